//! Reads one setting at a time and remembers what was wrong with each.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use super::Problem;
use super::values::Kind;

/// More than any key has; a larger file is not one.
const SECRET_FILE_MAX_BYTES: u64 = 64 * 1024;

/// No secret that can be anything is shorter: operators' keys have as many characters (`api.md`,
/// settings), that of stored keys has more.
const SECRET_CHARS_LEAST: usize = 32;

/// A secret as it may be given: itself, or the path of a file that holds it.
pub(super) type Given = (Option<SecretString>, Option<String>);

/// Collects problems while settings are read. A method returns `None` when it has added one.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) problems: Vec<Problem>,
}

impl Reader {
    /// A setting that is no secret.
    pub(super) fn plain<T>(
        &mut self,
        variable: &str,
        given: Option<String>,
        default: &str,
        kind: &Kind<T>,
    ) -> Option<T> {
        let text = given.filter(|text| !text.is_empty());
        let value = (kind.parse)(text.as_deref().unwrap_or(default));
        if value.is_none() {
            let shown = text.filter(|text| !may_carry_a_secret(text));
            self.add(variable, shown, kind.accepted);
        }
        value
    }

    /// A secret that may be left out.
    pub(super) fn secret<T>(
        &mut self,
        variable: &str,
        given: Given,
        kind: &Kind<T>,
    ) -> Option<Option<T>> {
        let Some(text) = self.secret_text(variable, given)? else {
            return Some(None);
        };
        let value = (kind.parse)(text.expose_secret());
        if value.is_none() {
            self.add(variable, None, kind.accepted);
        }
        value.map(Some)
    }

    /// A secret that must be there.
    pub(super) fn required_secret<T>(
        &mut self,
        variable: &str,
        given: Given,
        kind: &Kind<T>,
    ) -> Option<T> {
        let value = self.secret(variable, given, kind)?;
        if value.is_none() {
            let accepted = format!("must be set, or {variable}_FILE: {}", kind.meaning);
            self.add(variable, None, &accepted);
        }
        value
    }

    fn secret_text(&mut self, variable: &str, given: Given) -> Option<Option<SecretString>> {
        let value = given.0.filter(|value| !value.expose_secret().is_empty());
        let path = given.1.filter(|path| !path.is_empty());
        match (value, path) {
            (Some(_), Some(_)) => {
                let accepted = format!("must not be set together with {variable}_FILE");
                self.add(variable, None, &accepted);
                None
            }
            (value, None) => Some(value),
            (None, Some(path)) => match read_secret(&path) {
                Ok(text) => Some(Some(text)),
                Err(why) => {
                    let accepted = format!("must name a readable file with the secret ({why})");
                    let shown = Some(path).filter(|path| is_surely_a_path(path));
                    self.add(&format!("{variable}_FILE"), shown, &accepted);
                    None
                }
            },
        }
    }

    pub(super) fn add(&mut self, variable: &str, value: Option<String>, accepted: &str) {
        self.problems.push(Problem {
            variable: variable.to_owned(),
            value,
            accepted: accepted.to_owned(),
        });
    }
}

/// URLs carry secrets before an `@` or in their query, and none of the settings needs either.
fn may_carry_a_secret(text: &str) -> bool {
    text.contains(['@', '?'])
}

/// A common slip is to give the secret where the name of its file belongs. No secret begins with a
/// slash but one in base64, and that of 32 bytes ends with `=`.
fn is_surely_a_path(text: &str) -> bool {
    text.starts_with('/') && !text.ends_with('=')
}

/// The name of a file that was to hold a secret, unless it may be one itself.
pub(crate) fn secret_file(file: &Path) -> String {
    let text = file.to_string_lossy();
    if is_surely_a_path(&text) || text.chars().count() < SECRET_CHARS_LEAST {
        text.into_owned()
    } else {
        "the file that was named".to_owned()
    }
}

/// The secret in a file.
fn read_secret(path: &str) -> Result<SecretString, String> {
    secret_in(File::open(path).map_err(|error| error.to_string())?)
}

/// A text without the white space around it: editors and `echo` add a line break.
pub(super) fn secret_in(source: impl Read) -> Result<SecretString, String> {
    let mut text = String::new();
    source
        .take(SECRET_FILE_MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    match text.trim() {
        "" => Err("it is empty".to_owned()),
        secret => Ok(SecretString::from(secret)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_is_shown_unless_it_may_be_a_secret() {
        let shown = |text: &str| secret_file(Path::new(text));
        let hex = "c0ffee00".repeat(8);
        for path in [
            "operator.key",
            "./operator.key",
            "/etc/gateway/keys/operator/of-the-platform",
        ] {
            assert_eq!(shown(path), path);
        }
        for secret in [&hex, &format!("/{}=", &hex[..42]), &format!("any {hex}")] {
            assert_eq!(shown(secret), "the file that was named");
        }
    }
}
