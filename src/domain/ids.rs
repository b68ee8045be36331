//! Names of things, each a type of its own, so that an agent can never be taken for an
//! organization. Texts are checked once, at the door; inside, a value of these types is valid.

use std::fmt;

use uuid::Uuid;

/// Why a text cannot be a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing but white space.
    #[error("must not be empty")]
    Empty,
    /// More characters than this kind of name may have.
    #[error("must have at most {max} characters")]
    TooLong {
        /// The most characters allowed.
        max: usize,
    },
    /// A character that this kind of name may not have.
    #[error("must consist of {allowed}")]
    Forbidden {
        /// What is allowed, in words.
        allowed: &'static str,
    },
}

/// Declares a name: a text with a greatest length and a set of allowed characters.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:expr, $allowed:literal, $test:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The most characters such a name has.
            pub const MAX_CHARS: usize = $max;

            /// Checks a text.
            ///
            /// # Errors
            /// [`NameError`] says what is wrong with it.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                let allowed: fn(char) -> bool = $test;
                if text.trim().is_empty() {
                    Err(NameError::Empty)
                } else if text.chars().count() > $max {
                    Err(NameError::TooLong { max: $max })
                } else if !text.chars().all(allowed) {
                    Err(NameError::Forbidden { allowed: $allowed })
                } else {
                    Ok(Self(text.to_owned()))
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// An organization: who pays. From the key of the caller, never from a body.
    OrganizationId, 64, "letters, digits, '.', '_' and '-'",
    |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
);
name!(
    /// An agent of an organization; it exists here when it has a Generate Image tool.
    AgentId, 128, "printable characters",
    |c| !c.is_control()
);
name!(
    /// The caller's id of one tool call: the idempotency key within the organization
    /// (`domain.md` C27).
    RequestId, 255, "printable characters",
    |c| !c.is_control()
);
name!(
    /// A model's id at OpenRouter, such as `black-forest-labs/flux.2-pro`.
    Slug, 128, "letters, digits, '.', '_', '-', ':' and '/'",
    |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/')
);
name!(
    /// The name of a top-up, unique within the organization, so that it is booked once.
    Reference, 255, "printable characters",
    |c| !c.is_control()
);

/// A generation: one tool call that makes images. Made by the gateway, sortable by time
/// (UUID version 7, RFC 9562).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GenerationId(Uuid);

/// A key of an organization. Made by the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKeyId(Uuid);

/// An organization's own OpenRouter key. Made by the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpenRouterKeyId(Uuid);

/// A row of the ledger. Made by the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(Uuid);

/// Declares what all ids made here can do.
macro_rules! made_here {
    ($name:ident) => {
        impl $name {
            /// Wraps a stored or freshly made UUID.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The bare UUID.
            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// Reads the usual text form; `None` if it is not a UUID.
            pub fn parse(text: &str) -> Option<Self> {
                Uuid::parse_str(text).ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }
    };
}

made_here!(GenerationId);
made_here!(ApiKeyId);
made_here!(OpenRouterKeyId);
made_here!(EntryId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_refused_for_what_is_wrong_with_it() {
        assert_eq!(AgentId::parse("  "), Err(NameError::Empty));
        assert_eq!(
            AgentId::parse(&"é".repeat(129)),
            Err(NameError::TooLong { max: 128 })
        );
        assert!(AgentId::parse(&"é".repeat(128)).is_ok());
        assert!(matches!(
            AgentId::parse("a\nb"),
            Err(NameError::Forbidden { .. })
        ));
        assert!(matches!(
            OrganizationId::parse("a/b"),
            Err(NameError::Forbidden { .. })
        ));
        assert!(Slug::parse("google/gemini-3-pro-image-preview:free").is_ok());
    }
}
