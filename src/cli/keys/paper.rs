//! Keys on paper: an aligned table, and what is said about one.

use anstyle::Style;
use jiff::Timestamp;

use crate::cli::terminal::{self, Text};
use crate::proto::{ApiKey, Organization, Role};

const HEAD: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();

/// What to do with a new operator's key.
pub(super) const OPERATOR: &str = "\
This is kept nowhere and cannot be shown again. Keep it in a file that only the gateway can read,
and start the gateway with OPERATOR_KEY_FILE naming it; the one before ends with the restart.";

const HEADS: [&str; 7] = [
    "Id",
    "Name",
    "Role",
    "Prefix",
    "Created",
    "Last used",
    "State",
];

/// Whose OpenRouter key an organization draws with.
pub(super) fn pays_with(organization: &Organization) -> String {
    let name = &organization.id;
    if organization.openrouter_key_masked.is_empty() {
        return format!("{name} draws with the platform's key: images are charged by cost");
    }
    let masked = &organization.openrouter_key_masked;
    format!("{name} draws with its own key {masked}: 1 credit per image, OpenRouter bills the rest")
}

/// A table for people.
pub(super) fn table(keys: &[ApiKey], now: Timestamp) -> Text {
    if keys.is_empty() {
        return "there are no keys".into();
    }
    let rows: Vec<_> = keys
        .iter()
        .map(|key| (cells(key, now), is_good(key, now)))
        .collect();
    let width = |column: usize| {
        let cells = rows
            .iter()
            .map(|(cells, _)| terminal::width(&cells[column]));
        cells.chain([HEADS[column].len()]).max().unwrap_or(0)
    };
    let widths: [usize; 7] = std::array::from_fn(width);
    let head = line(&HEADS.map(str::to_owned), &widths);
    let mut lines = vec![Text::from(head).styled(HEAD)];
    for (cells, good) in &rows {
        let line = Text::from(line(cells, &widths));
        lines.push(if *good { line } else { line.styled(FAINT) });
    }
    Text::lines(lines)
}

/// What is said of a new key.
pub(super) fn made(key: &ApiKey) -> Text {
    let until = match key.expire_time.as_ref() {
        Some(at) => format!(", until {}", minute(Some(at))),
        None => String::new(),
    };
    Text::lines([
        format!(
            "This is kept nowhere and cannot be shown again. It is the key {} of the organization {},",
            key.id, key.organization_id
        ),
        format!("with the role {}{until}.", role(key)),
    ])
}

/// What is said of a key that has ended.
pub(super) fn ended(key: &ApiKey) -> String {
    format!(
        "{} ({}) opens nothing since {}",
        key.prefix,
        key.name,
        minute(key.revoke_time.as_ref())
    )
}

fn cells(key: &ApiKey, now: Timestamp) -> [String; 7] {
    [
        key.id.clone(),
        key.name.clone(),
        role(key).to_owned(),
        key.prefix.clone(),
        minute(key.create_time.as_ref()),
        minute(key.last_used_time.as_ref()),
        state(key, now),
    ]
}

fn role(key: &ApiKey) -> &'static str {
    match key.role() {
        Role::Unspecified => "",
        Role::Runtime => "runtime",
        Role::Admin => "admin",
        Role::Owner => "owner",
    }
}

fn state(key: &ApiKey, now: Timestamp) -> String {
    let end = minute(key.expire_time.as_ref());
    match (&key.revoke_time, &key.expire_time) {
        (Some(at), _) => format!("revoked {}", minute(Some(at))),
        (None, Some(_)) if is_good(key, now) => format!("good until {end}"),
        (None, Some(_)) => format!("expired {end}"),
        (None, None) => "good".to_owned(),
    }
}

fn is_good(key: &ApiKey, now: Timestamp) -> bool {
    let expires = key.expire_time.as_ref().and_then(time);
    key.revoke_time.is_none() && expires.is_none_or(|at| at > now)
}

/// A time to the minute, in UTC; a dash if there is none.
fn minute(at: Option<&prost_types::Timestamp>) -> String {
    let at = at.and_then(time);
    at.map_or_else(
        || "–".to_owned(),
        |at| at.strftime("%Y-%m-%d %H:%MZ").to_string(),
    )
}

fn time(at: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(at.seconds, at.nanos).ok()
}

fn line(cells: &[String; 7], widths: &[usize; 7]) -> String {
    let padded = cells.iter().zip(widths);
    let padded: Vec<_> = padded
        .map(|(cell, width)| terminal::left(cell, *width))
        .collect();
    padded.join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds, nanos: 0 })
    }

    fn key(name: &str) -> ApiKey {
        ApiKey {
            id: "1".to_owned(),
            name: name.to_owned(),
            prefix: "sq_live_a".to_owned(),
            role: Role::Admin.into(),
            create_time: at(0),
            ..ApiKey::default()
        }
    }

    #[test]
    fn columns_stand_under_each_other_and_say_what_each_key_is_good_for() {
        let now = Timestamp::from_second(90).expect("a time");
        let keys = [
            key("ops"),
            ApiKey {
                expire_time: at(3600),
                last_used_time: at(60),
                ..key("agents\n")
            },
            ApiKey {
                expire_time: at(60),
                ..key("old")
            },
            ApiKey {
                revoke_time: at(30),
                ..key("gone")
            },
        ];
        let table = table(&keys, now).plain();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines,
            [
                "Id  Name     Role   Prefix     Created            Last used          State",
                "1   ops      admin  sq_live_a  1970-01-01 00:00Z  –                  good",
                "1   agents\u{fffd}  admin  sq_live_a  1970-01-01 00:00Z  1970-01-01 00:01Z  good until 1970-01-01 01:00Z",
                "1   old      admin  sq_live_a  1970-01-01 00:00Z  –                  expired 1970-01-01 00:01Z",
                "1   gone     admin  sq_live_a  1970-01-01 00:00Z  –                  revoked 1970-01-01 00:00Z",
            ]
        );
        assert_eq!(super::table(&[], now).plain(), "there are no keys");
    }
}
