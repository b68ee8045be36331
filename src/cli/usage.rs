//! `image-gateway usage`: what an organization has consumed, as a table with bars, as CSV or as JSON.

use clap::ValueEnum;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::client;
use super::failed::Failed;
use super::terminal;
use crate::proto;
use crate::proto::billing_service_client::BillingServiceClient;

mod csv;
mod paper;

/// What `usage` can be told.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Needs a key of the role ADMIN, or the operator's key and --organization. Days are in UTC. Credits are
those of the ledger, to the hundredth. USD is what OpenRouter billed the platform, Own USD what it
billed the organization itself, under its own key. In CSV an apostrophe stands before what a spreadsheet would take
for a formula; on a terminal its control characters are written as \\u{…}.

Example:
  GATEWAY_KEY=sq_live_… image-gateway usage --by agent --from 2026-11-01 --to 2026-11-30")]
pub(super) struct Args {
    /// Whose consumption; with the operator's key it must be named
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    organization: String,
    /// What to sum by
    #[arg(long, value_enum, default_value_t = By::Day)]
    by: By,
    /// From this day on (2026-11-01), or from this instant on (2026-11-01T12:00:00Z)
    #[arg(long, value_name = "DATE", value_parser = beginning)]
    from: Option<Timestamp>,
    /// To the end of this day, or to this instant
    #[arg(long, value_name = "DATE", value_parser = end)]
    to: Option<Timestamp>,
    /// Of this agent alone
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// By this model alone
    #[arg(long, value_name = "SLUG")]
    model: Option<String>,
    /// From this channel alone, such as whatsapp
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// Of this end user alone
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Of what was drawn with this key alone
    #[arg(long, value_enum, value_name = "WHOSE")]
    key_mode: Option<KeyMode>,
    /// Print the answer as JSON
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print the rows as CSV (RFC 4180), safe to open in a spreadsheet
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    gateway: client::Args,
}

/// What consumption is summed by.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    /// Days in UTC
    Day,
    /// Agents
    Agent,
    /// Models
    Model,
    /// Channels
    Channel,
    /// End users
    User,
}

/// Whose OpenRouter key paid.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum KeyMode {
    /// The platform's: charged by cost
    Platform,
    /// The organization's own: 1 credit per image
    Organization,
}

/// Asks, and prints.
pub(super) async fn run(args: Args) -> Result<(), Failed> {
    if args.from.zip(args.to).is_some_and(|(from, to)| from >= to) {
        let what = "there is no time between --from and --to";
        return Err(
            Failed::usage(what).hint("--from is the earlier one; --to is the end of its day")
        );
    }
    let mut client = BillingServiceClient::new(args.gateway.connect().await?);
    let answer = client.query_usage(args.query()).await;
    let answer = answer.map_err(|status| Failed::refused("cannot tell the usage", &status))?;
    let answer = answer.into_inner();
    if args.json {
        client::print_json(&answer, "QueryUsageResponse")
    } else if args.csv {
        let shown = terminal::is_shown();
        terminal::raw(csv::csv(&answer, args.by.name(), shown))
    } else {
        let columns = terminal::columns();
        terminal::result(paper::table(&answer, args.by.name(), columns))
    }
}

// === impl Args ===

impl Args {
    fn query(&self) -> proto::QueryUsageRequest {
        let group = match self.by {
            By::Day => proto::UsageGroup::Day,
            By::Agent => proto::UsageGroup::Agent,
            By::Model => proto::UsageGroup::Model,
            By::Channel => proto::UsageGroup::Channel,
            By::User => proto::UsageGroup::User,
        };
        let key_mode = match self.key_mode {
            None => proto::KeyMode::Unspecified,
            Some(KeyMode::Platform) => proto::KeyMode::Platform,
            Some(KeyMode::Organization) => proto::KeyMode::Organization,
        };
        proto::QueryUsageRequest {
            organization_id: self.organization.clone(),
            start_time: self.from.map(wire),
            end_time: self.to.map(wire),
            group_by: group.into(),
            agent_id: self.agent.clone().unwrap_or_default(),
            model: self.model.clone().unwrap_or_default(),
            channel: self.channel.clone().unwrap_or_default(),
            user_id: self.user.clone().unwrap_or_default(),
            key_mode: key_mode.into(),
        }
    }
}

// === impl By ===

impl By {
    const fn name(self) -> &'static str {
        match self {
            Self::Day => "Day",
            Self::Agent => "Agent",
            Self::Model => "Model",
            Self::Channel => "Channel",
            Self::User => "User",
        }
    }
}

pub(super) fn wire(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    }
}

fn beginning(text: &str) -> Result<Timestamp, String> {
    instant(text, Some)
}

/// The end of a day; that of the last day there is lies beyond all time.
pub(super) fn end(text: &str) -> Result<Timestamp, String> {
    if text.parse::<Date>().is_ok_and(|day| day == Date::MAX) {
        return Ok(Timestamp::MAX);
    }
    instant(text, |date| date.tomorrow().ok())
}

/// An instant as it is, or the midnight that `midnight` finds for a day.
fn instant(text: &str, midnight: impl Fn(Date) -> Option<Date>) -> Result<Timestamp, String> {
    if let Ok(instant) = text.parse() {
        return Ok(instant);
    }
    let day: Option<Date> = text.parse().ok().and_then(midnight);
    let midnight = day.and_then(|day| TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok());
    midnight.ok_or_else(|| "must be a day such as 2026-11-01 or an instant".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_meant_whole() {
        let from = beginning("2026-11-01").expect("a day");
        let to = end("2026-11-01").expect("a day");
        assert_eq!(from.to_string(), "2026-11-01T00:00:00Z");
        assert_eq!(to.to_string(), "2026-11-02T00:00:00Z");
        let instant = end("2026-11-01T12:00:00Z").expect("an instant");
        assert_eq!(instant.to_string(), "2026-11-01T12:00:00Z");
        assert!(beginning("yesterday").is_err());
        assert_eq!(end("9999-12-31"), Ok(Timestamp::MAX));
    }
}
