//! Commands that are clients of a running gateway: where it is, with which key, and what it answers
//! as JSON.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use secrecy::{ExposeSecret, SecretString};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::failed::Failed;
use super::terminal;
use crate::config;
use crate::proto;

mod tls;

/// A gateway that has not answered by then will not.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// How long one answer is waited for: a page of a list, or the first word of a stream.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// How the address of an encrypted gateway begins.
const ENCRYPTED: &str = "https://";

/// A connection that says nothing for so long is asked whether it is still there …
const PING_AFTER: Duration = Duration::from_secs(10);

/// … and is lost if it does not answer within this. A gateway answers in its transport, however busy
/// it is, so that only one that is gone, or stopped, is silent for so long.
const PING_PATIENCE: Duration = Duration::from_secs(10);

/// The package of the contract.
const PACKAGE: &str = "squados.images.v1";

/// A connection that carries a key.
pub(super) type Connection = InterceptedService<Channel, Bearer>;

/// Which gateway, with which key.
#[derive(clap::Args, Debug)]
#[group(id = "gateway")]
#[command(next_help_heading = "Gateway")]
pub(super) struct Args {
    /// Where the gateway serves gRPC: host:port, or a URL; with https:// it is encrypted
    #[arg(long, env = "LISTEN_ADDR", value_name = "ADDRESS", default_value = config::LISTEN_ADDR)]
    pub(super) address: String,
    /// The key of the organization
    #[arg(
        long = "gateway-key",
        env = "GATEWAY_KEY",
        value_name = "KEY",
        hide_env_values = true,
        value_parser = config::secret
    )]
    key: Option<SecretString>,
    /// A file that holds the key, instead; other users cannot see it in the list of processes
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    tls: tls::Args,
}

/// Adds the key to every call.
#[derive(Clone, Debug)]
pub(super) struct Bearer {
    /// Marked sensitive, so that neither a log nor a header table keeps it.
    header: MetadataValue<Ascii>,
}

// === impl Args ===

impl Args {
    /// Connects.
    pub(super) async fn connect(&self) -> Result<Connection, Failed> {
        connect_with(&self.address, &self.key()?, &self.tls).await
    }

    /// The file goes first, so that it can be named while the environment has another key.
    fn key(&self) -> Result<SecretString, Failed> {
        let key = match (&self.key_file, &self.key) {
            (Some(file), _) => {
                let text = std::fs::read_to_string(file).map_err(|error| {
                    let file = config::secret_file(file);
                    Failed::new(format!("cannot read the key in {file}")).because(error)
                })?;
                SecretString::from(text.trim())
            }
            (None, Some(key)) => key.clone(),
            (None, None) => SecretString::default(),
        };
        if key.expose_secret().is_empty() {
            return Err(Failed::usage("no key was given")
                .hint("set GATEWAY_KEY, or name a file that holds it with --key-file"));
        }
        Ok(key)
    }
}

/// Connects to a gateway of this machine with a key.
pub(super) async fn connect(address: &str, key: &SecretString) -> Result<Connection, Failed> {
    connect_with(address, key, &tls::Args::default()).await
}

async fn connect_with(
    address: &str,
    key: &SecretString,
    tls: &tls::Args,
) -> Result<Connection, Failed> {
    let bearer = Bearer::new(key)?;
    let url = url(address, tls.any());
    let is_encrypted = url.starts_with(ENCRYPTED);
    let unreachable = |error| {
        Failed::new(format!("cannot reach a gateway at {url}"))
            .because(error)
            .hint(hint(is_encrypted))
    };
    let mut endpoint = Endpoint::from_shared(url.clone())
        .map_err(unreachable)?
        .timeout(ANSWER_PATIENCE)
        .http2_keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_PATIENCE)
        .keep_alive_while_idle(true);
    if is_encrypted {
        endpoint = endpoint.tls_config(tls.config()?).map_err(unreachable)?;
    } else if tls.any() {
        return Err(Failed::usage(format!("{url} is not encrypted"))
            .hint("certificates make sense only with an address that begins with https://"));
    }
    if !tls.lets_pass(endpoint.uri()) {
        return Err(
            Failed::usage(format!("{url} is not encrypted: whoever listens would have the key")).hint(
                "an address that begins with https:// is; --allow-plaintext is for a network of your own",
            ),
        );
    }
    // All of it, also what comes after the socket is open.
    let connected = tokio::time::timeout(CONNECT_PATIENCE, endpoint.connect()).await;
    let connected = connected.map_err(|_| {
        Failed::new(format!("no gateway answers at {url}")).hint(hint(is_encrypted))
    })?;
    let channel = connected.map_err(unreachable)?;
    Ok(InterceptedService::new(channel, bearer))
}

const fn hint(is_encrypted: bool) -> &'static str {
    if is_encrypted {
        "does it serve TLS there? --ca-file names the authority of its certificate, and \
         --client-cert-file and --client-key-file show yours if it asks for one"
    } else {
        "is it running there? `--address` or LISTEN_ADDR says where to look; a gateway with a \
         certificate is at https://…"
    }
}

// === impl Bearer ===

impl Bearer {
    fn new(key: &SecretString) -> Result<Self, Failed> {
        let header = format!("Bearer {}", key.expose_secret());
        let mut header = MetadataValue::try_from(header)
            .map_err(|error| Failed::new("the key fits into no header").because(error))?;
        header.set_sensitive(true);
        Ok(Self { header })
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let header = self.header.clone();
        request.metadata_mut().insert("authorization", header);
        Ok(request)
    }
}

/// The address by which this machine reaches a listener, which may listen on all addresses.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The most pages of one list: what has more comes from something that always names another.
pub(super) const PAGES_MAX: u32 = 100;

/// What was typed as a URL; encrypted if that is all that makes sense.
fn url(address: &str, encrypted: bool) -> String {
    let scheme = if encrypted { ENCRYPTED } else { "http://" };
    match address.parse() {
        Ok(address) => format!("{scheme}{}", reachable(address)),
        Err(_) if address.contains("://") => address.to_owned(),
        Err(_) => format!("{scheme}{address}"),
    }
}

/// An answer as one JSON document, in the protobuf JSON mapping.
pub(super) fn json(message: &impl Message, name: &str) -> Result<serde_json::Value, Failed> {
    let unknown = |error| Failed::new("cannot write the answer as JSON").because(error);
    let pool = DescriptorPool::decode(proto::DESCRIPTORS)
        .map_err(|error| Failed::new("the contract cannot be read").because(error))?;
    let descriptor = pool
        .get_message_by_name(&format!("{PACKAGE}.{name}"))
        .ok_or_else(|| Failed::new(format!("the contract has no message {name}")))?;
    let bytes = message.encode_to_vec();
    let message = DynamicMessage::decode(descriptor, bytes.as_slice())
        .map_err(|error| Failed::new("cannot write the answer as JSON").because(error))?;
    let options = SerializeOptions::new().skip_default_fields(false);
    let written = message.serialize_with_options(serde_json::value::Serializer, &options);
    written.map_err(unknown)
}

/// A list that has more pages than [`PAGES_MAX`].
pub(super) fn endless(what: &str) -> Failed {
    Failed::new(format!("the list of {what} does not end"))
        .hint("is this a gateway? --address names it")
}

/// Prints an answer as one JSON document.
pub(super) fn print_json(message: &impl Message, name: &str) -> Result<(), Failed> {
    terminal::json(&json(message, name)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_becomes_a_url_that_reaches_it() {
        for (address, encrypted, expected) in [
            ("0.0.0.0:50051", false, "http://127.0.0.1:50051"),
            ("[::]:7", false, "http://[::1]:7"),
            ("gateway:50051", false, "http://gateway:50051"),
            ("gateway:50051", true, "https://gateway:50051"),
            ("127.0.0.1:50051", true, "https://127.0.0.1:50051"),
            ("https://gateway", false, "https://gateway"),
            ("http://gateway", true, "http://gateway"),
        ] {
            assert_eq!(url(address, encrypted), expected);
        }
    }

    #[test]
    fn an_answer_is_written_in_the_protobuf_json_mapping() {
        let row = proto::UsageRow {
            key: "2026-11-23".to_owned(),
            images: 3,
            ..Default::default()
        };
        let json = json(&row, "UsageRow").expect("JSON");
        assert_eq!(json["images"], "3");
        assert_eq!(json["usdCost"], "");
    }

    #[test]
    fn a_key_is_never_shown() {
        let bearer = Bearer::new(&SecretString::from("sq_live_secret")).expect("a header");
        assert!(!format!("{bearer:?}").contains("secret"));
    }
}
