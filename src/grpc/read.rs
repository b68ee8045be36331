//! From the wire to the domain: each field is read once, and a bad one is named.

use std::ops::RangeInclusive;

use jiff::Timestamp;

use crate::domain::failure::Failure;
use crate::domain::generation::{Channel, Origin};
use crate::domain::ids::{AgentId, NameError, OrganizationId, RequestId, Slug};
use crate::domain::money::Credits;
use crate::domain::seen;
use crate::domain::shape::{AspectRatio, Background, OutputFormat, Quality, Resolution};
use crate::ports::Period;
use crate::proto;

use super::caller::Caller;

/// The seconds of `google.protobuf.Timestamp`: from the first of the year 1 to the last of 9999.
const TIMES: RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Nanoseconds in a second; a time of day is never negative there.
const NANOS: i32 = 1_000_000_000;

/// Nanoseconds in a microsecond, which is what the books keep.
const NANOS_PER_MICRO: i32 = 1_000;

/// The last time that the books can keep: after it comes the year 10000 somewhere on earth, and no
/// number of microseconds is a time (`jiff`).
const LAST: Timestamp = Timestamp::constant(253_402_207_200, 0);

/// The organization that pays: the key's. An operator has none.
pub(super) fn payer(caller: &Caller) -> Result<OrganizationId, Failure> {
    match caller {
        Caller::Organization { id, .. } => Ok(id.clone()),
        Caller::Operator => Err(Failure::not_for_the_operator()),
    }
}

/// The organization a Billing or Organization call is about (`api.md`). A key that names another
/// one is told the same whether that one exists or not.
pub(super) fn subject(caller: &Caller, organization_id: &str) -> Result<OrganizationId, Failure> {
    match caller {
        Caller::Organization { id, .. }
            if organization_id.is_empty() || organization_id == id.as_str() =>
        {
            Ok(id.clone())
        }
        Caller::Organization { .. } => Err(Failure::another_organization()),
        Caller::Operator => name("organization_id", organization_id, OrganizationId::parse),
    }
}

/// A name, by the rules of its kind.
pub(super) fn name<T>(
    field: &str,
    text: &str,
    parse: fn(&str) -> Result<T, NameError>,
) -> Result<T, Failure> {
    parse(text).map_err(|error| Failure::invalid(field, error.to_string()))
}

/// A name that comes into being with this call: by the rules of its kind, and of characters that are
/// seen. Names that were taken before this rule can still be asked for by [`name`].
pub(super) fn new_name<T>(
    field: &str,
    text: &str,
    parse: fn(&str) -> Result<T, NameError>,
) -> Result<T, Failure> {
    let read = name(field, text, parse)?;
    if text.chars().all(seen::stands_in_id) {
        Ok(read)
    } else {
        Err(unprintable(field))
    }
}

fn unprintable(field: &str) -> Failure {
    Failure::invalid(field, "must consist of printable characters")
}

pub(super) fn agent_id(text: &str) -> Result<AgentId, Failure> {
    name("agent_id", text, AgentId::parse)
}

pub(super) fn slug(field: &str, text: &str) -> Result<Slug, Failure> {
    name(field, text, Slug::parse)
}

/// The caller's id, or a fresh one.
pub(super) fn request_id(text: &str) -> Result<RequestId, Failure> {
    if text.is_empty() {
        let made = uuid::Uuid::now_v7().to_string();
        name("request_id", &made, RequestId::parse)
    } else {
        new_name("request_id", text, RequestId::parse)
    }
}

/// A text of at most `max` characters.
pub(super) fn text(field: &str, text: String, max: usize) -> Result<String, Failure> {
    if text.chars().count() > max {
        return Err(Failure::invalid(
            field,
            format!("must have at most {max} characters"),
        ));
    }
    Ok(text)
}

/// A display name: 1 to 200 printable characters. It is shown on terminals and in lists, where others
/// would act.
pub(super) fn display_name(field: &str, value: String) -> Result<String, Failure> {
    if value.trim().is_empty() {
        return Err(Failure::invalid(field, "must not be empty"));
    }
    if !value.chars().all(seen::stands_in_name) {
        return Err(unprintable(field));
    }
    text(field, value, 200)
}

/// An amount of credits; empty is none.
pub(super) fn credits(field: &str, text: &str) -> Result<Option<Credits>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    let read = Credits::parse(text).map(Some);
    read.map_err(|error| Failure::invalid(field, error.to_string()))
}

/// A value of a closed set; empty is none.
pub(super) fn optional<T>(
    field: &str,
    text: &str,
    parse: fn(&str) -> Option<T>,
    accepted: &str,
) -> Result<Option<T>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    let read = parse(text).map(Some);
    read.ok_or_else(|| Failure::invalid(field, format!("must be {accepted}")))
}

pub(super) fn aspect_ratio(field: &str, text: &str) -> Result<Option<AspectRatio>, Failure> {
    optional(field, text, AspectRatio::parse, "a ratio such as \"16:9\"")
}

pub(super) fn resolution(field: &str, text: &str) -> Result<Option<Resolution>, Failure> {
    let accepted = "one of \"512\", \"768\", \"1K\", \"1.5K\", \"2K\", \"4K\"";
    optional(field, text, Resolution::parse, accepted)
}

pub(super) fn quality(text: &str) -> Result<Option<Quality>, Failure> {
    let accepted = "one of \"auto\", \"low\", \"medium\", \"high\", \"xhigh\", \"max\"";
    optional("quality", text, Quality::parse, accepted)
}

pub(super) fn output_format(text: &str) -> Result<Option<OutputFormat>, Failure> {
    let accepted = "one of \"png\", \"jpeg\", \"webp\"";
    optional("output_format", text, OutputFormat::parse, accepted)
}

pub(super) fn background(text: &str) -> Result<Option<Background>, Failure> {
    let accepted = "one of \"auto\", \"opaque\", \"transparent\"";
    optional("background", text, Background::parse, accepted)
}

/// A number that must not be negative.
pub(super) fn amount(field: &str, value: i32) -> Result<u32, Failure> {
    u32::try_from(value).map_err(|_| Failure::invalid(field, "must not be negative"))
}

/// A number of bytes that must not be negative.
pub(super) fn size(field: &str, value: i64) -> Result<u64, Failure> {
    u64::try_from(value).map_err(|_| Failure::invalid(field, "must not be negative"))
}

/// A period from `start_time` to before `end_time`; either may be open.
pub(super) fn period(
    start: Option<&prost_types::Timestamp>,
    end: Option<&prost_types::Timestamp>,
) -> Result<Period, Failure> {
    let from = start.map(|at| instant("start_time", at)).transpose()?;
    let before = end.map(|at| instant("end_time", at)).transpose()?;
    if from.zip(before).is_some_and(|(from, before)| from > before) {
        return Err(Failure::invalid("end_time", "is before start_time"));
    }
    Ok(Period { from, before })
}

/// A time, to the microsecond. What is later than [`LAST`] is that: many write the end of the year
/// 9999 for "never".
pub(super) fn instant(field: &str, at: &prost_types::Timestamp) -> Result<Timestamp, Failure> {
    let whole = TIMES.contains(&at.seconds) && (0..NANOS).contains(&at.nanos);
    if !whole {
        let what = "is no time between the years 1 and 9999";
        return Err(Failure::invalid(field, what));
    }
    let micros = at.nanos - at.nanos % NANOS_PER_MICRO;
    Ok(Timestamp::new(at.seconds, micros).map_or(LAST, |at| at.min(LAST)))
}

/// A known value of an enum; an unknown number is an error, not a guess.
pub(super) fn known<T: TryFrom<i32>>(field: &str, value: i32) -> Result<T, Failure> {
    T::try_from(value).map_err(|_| Failure::invalid(field, format!("has no value {value}")))
}

pub(super) fn channel(value: i32) -> Result<Channel, Failure> {
    Ok(match known("channel", value)? {
        proto::Channel::Unspecified => Channel::Unspecified,
        proto::Channel::Hub => Channel::Hub,
        proto::Channel::PublicChat => Channel::PublicChat,
        proto::Channel::Widget => Channel::Widget,
        proto::Channel::Whatsapp => Channel::Whatsapp,
        proto::Channel::Telegram => Channel::Telegram,
        proto::Channel::Api => Channel::Api,
    })
}

pub(super) fn origin(value: i32) -> Result<Origin, Failure> {
    Ok(match known("origin", value)? {
        proto::Origin::Unspecified | proto::Origin::Live => Origin::Live,
        proto::Origin::Test => Origin::Test,
    })
}
