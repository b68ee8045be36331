//! Secrets that must not be one another: one that goes out with every call would let OpenRouter act
//! as the operator, or open what is sealed.

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::reader::Reader;
use super::{Config, MasterKey};

/// Notes every secret that has the value of another.
pub(super) fn check(config: &Config, reader: &mut Reader) {
    let mut refuse = |variable: &str, other: &str, why: &str| {
        let accepted = format!("must not have the value of {other} as well: {why}");
        reader.add(variable, None, &accepted);
    };
    let (api_key, stored) = (&config.openrouter_api_key, &config.key_encryption_key);
    let operator = config.operator_key.as_ref();
    if operator.is_some_and(|operator| is_same(operator, api_key)) {
        let why = "OpenRouter is sent that with every call";
        refuse("OPERATOR_KEY", "OPENROUTER_API_KEY", why);
    }
    if operator.is_some_and(|operator| opens(stored.as_ref(), operator)) {
        let why = "whoever calls as the operator would send it over the network";
        refuse("OPERATOR_KEY", "KEY_ENCRYPTION_KEY", why);
    }
    if opens(stored.as_ref(), api_key) {
        let why = "OpenRouter would be sent it with every call";
        refuse("OPENROUTER_API_KEY", "KEY_ENCRYPTION_KEY", why);
    }
}

fn is_same(one: &SecretString, other: &SecretString) -> bool {
    let [one, other] = [one, other].map(|secret| secret.expose_secret().as_bytes());
    one.ct_eq(other).into()
}

/// Whether a secret is the key of keys, in any of the forms in which that can be given.
fn opens(key: Option<&MasterKey>, secret: &SecretString) -> bool {
    key.is_some_and(|key| key.is_written_as(secret.expose_secret()))
}
