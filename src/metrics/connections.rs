//! What is counted of connections: how many there are, why they ended, and the certificate that
//! encrypts them.

use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{Labels, Metrics};

/// Why a connection of the gRPC port ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// By the peer, or at the end of this process.
    Closed,
    /// The peer vanished or did not answer pings.
    Lost,
    /// No call for too long.
    Idle,
    /// Old enough; its calls could finish.
    Aged,
    /// Old enough, and its calls did not finish.
    CutOff,
    /// It did not take what it was answered, or did not finish what it asked, for too long.
    Stalled,
    /// Another needed the place.
    PutOut,
    /// All places are taken by connections with calls, which move.
    Full,
    /// It did not arrive in time.
    TimedOut,
    /// It could not be encrypted: plaintext, no accepted certificate, no common version.
    TlsFailed,
    /// It did not speak HTTP/2.
    NotHttp2,
    /// It broke the rules of HTTP/2.
    Broken,
    /// It flooded, or tried too many keys that are not good.
    Flood,
    /// Turned away before a byte was read, for what others from its address did.
    TurnedAway,
}

/// The metrics themselves. What needs TLS has no series without it: a certificate that expires in
/// 1970 would alarm people.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: Gauge,
    ended: Family<Labels<1>, Counter>,
    calls_shed: Counter,
    newcomers_waited: Counter,
    addresses_held: Gauge,
    expires: LateGauge,
    refused: LateGauge,
}

/// A gauge that is shown once it has a value.
#[derive(Clone, Debug, Default)]
struct LateGauge(Arc<OnceLock<Gauge>>);

/// A connection that is open until this is dropped.
#[must_use = "the connection counts as open only while this lives"]
#[derive(Debug)]
pub struct OpenConnection {
    metrics: Arc<Metrics>,
}

// === impl ConnectionEnd ===

impl ConnectionEnd {
    const ALL: [Self; 14] = [
        Self::Closed,
        Self::Lost,
        Self::Idle,
        Self::Aged,
        Self::CutOff,
        Self::Stalled,
        Self::PutOut,
        Self::Full,
        Self::TimedOut,
        Self::TlsFailed,
        Self::NotHttp2,
        Self::Broken,
        Self::Flood,
        Self::TurnedAway,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Lost => "lost",
            Self::Idle => "idle",
            Self::Aged => "aged",
            Self::CutOff => "cut_off",
            Self::Stalled => "stalled",
            Self::PutOut => "put_out",
            Self::Full => "full",
            Self::TimedOut => "timed_out",
            Self::TlsFailed => "tls_failed",
            Self::NotHttp2 => "not_http2",
            Self::Broken => "broken",
            Self::Flood => "flood",
            Self::TurnedAway => "turned_away",
        }
    }
}

// === impl Connections ===

impl Connections {
    pub(super) fn register(&self, registry: &mut Registry) {
        for end in ConnectionEnd::ALL {
            let _ = self.ended.get_or_create(&[("reason", end.label())]);
        }
        registry.register(
            "connections",
            "Connections of the gRPC port that are open",
            self.open.clone(),
        );
        registry.register(
            "connections_ended",
            "Connections of the gRPC port that ended, by reason",
            self.ended.clone(),
        );
        registry.register(
            "calls_shed",
            "Calls refused at the door because too many were open",
            self.calls_shed.clone(),
        );
        registry.register(
            "newcomers_waited",
            "Connections of the gRPC port that waited for their turn, for what others from their address did",
            self.newcomers_waited.clone(),
        );
        registry.register(
            "addresses_held",
            "Addresses that something is held against: connections that flooded, or never showed a good key",
            self.addresses_held.clone(),
        );
        registry.register_with_unit(
            "tls_certificate_expiry_timestamp",
            "When the TLS certificate in use expires, in seconds since 1970",
            Unit::Seconds,
            self.expires.clone(),
        );
        registry.register(
            "tls_files_refused",
            "1 while the TLS files hold what cannot be used, and the old certificate stays",
            self.refused.clone(),
        );
    }
}

// === impl Metrics ===

impl Metrics {
    /// A connection is open for as long as the answer of this is kept.
    pub fn connection_opened(self: &Arc<Self>) -> OpenConnection {
        self.connections.open.inc();
        OpenConnection {
            metrics: Arc::clone(self),
        }
    }

    /// A connection ended, for this reason.
    pub fn connection_ended(&self, end: ConnectionEnd) {
        let ended = &self.connections.ended;
        ended.get_or_create(&[("reason", end.label())]).inc();
    }

    /// A call was refused because too many are open.
    pub fn call_shed(&self) {
        self.connections.calls_shed.inc();
    }

    /// A newcomer has to wait for its turn.
    pub fn newcomer_waits(&self) {
        self.connections.newcomers_waited.inc();
    }

    /// So many addresses are remembered for what was done from there.
    pub fn addresses_held(&self, addresses: usize) {
        let addresses = i64::try_from(addresses).unwrap_or(i64::MAX);
        self.connections.addresses_held.set(addresses);
    }

    /// A certificate is in use that expires then, in seconds since 1970.
    pub fn certificate_taken(&self, expires: i64) {
        self.connections.expires.set(expires);
        self.certificate_refused(false);
    }

    /// Whether the files hold what cannot be used.
    pub fn certificate_refused(&self, refused: bool) {
        self.connections.refused.set(i64::from(refused));
    }
}

// === impl LateGauge ===

impl LateGauge {
    fn set(&self, value: i64) {
        self.0.get_or_init(Gauge::default).set(value);
    }
}

impl EncodeMetric for LateGauge {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.get().map_or(Ok(()), |gauge| gauge.encode(encoder))
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }

    fn is_empty(&self) -> bool {
        self.0.get().is_none()
    }
}

// === impl OpenConnection ===

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.metrics.connections.open.dec();
    }
}
