//! The tables `[sign]` and `[trust]`: with which key images are signed, and whose signatures make them usable. No build key
//! depends on them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The table `[sign]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SignConfig {
    /// The private key that `ship` signs with what it pushes: a PEM file relative to the project, or `env:NAME` for an
    /// environment variable with its content. Pull requests sign nothing. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// The table `[trust]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrustedKeysConfig {
    /// Public keys, PEM files relative to the project or `env:NAME`: an image that none of them has signed is not reused.
    /// Default: none, and every image under its identity is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<String>>,
}

/// The names of keys of both tables, as they can be used.
///
/// # Errors
/// [`Error::Invalid`] for an empty name, and for a list without keys, which would trust nobody or everybody.
pub(crate) fn checked(sign: &SignConfig, trust: &TrustedKeysConfig) -> Result<(Option<String>, Vec<String>), Error> {
    let is_empty = |name: &String| name.is_empty() || name == "env:";
    if sign.key.as_ref().is_some_and(is_empty) {
        return Err(Error::invalid("sign.key", "it names no key"));
    }
    let keys = trust.keys.clone().unwrap_or_default();
    if trust.keys.is_some() && keys.is_empty() {
        return Err(Error::invalid_with("trust.keys", "it is empty", "name a public key, or leave the line out"));
    }
    if keys.iter().any(is_empty) {
        return Err(Error::invalid("trust.keys", "one of its names is empty"));
    }
    Ok((sign.key.clone(), keys))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_keys_are_checked() {
        let check = |key: Option<&str>, keys: Option<&[&str]>| {
            let keys = keys.map(|keys| keys.iter().map(|&key| key.to_owned()).collect());
            checked(&SignConfig { key: key.map(str::to_owned) }, &TrustedKeysConfig { keys })
        };
        assert_eq!(check(None, None).expect("nothing is said"), (None, Vec::new()));
        let (key, keys) = check(Some("env:KEY"), Some(&["a.pem", "env:B"])).expect("names");
        assert_eq!((key.as_deref(), keys.len()), (Some("env:KEY"), 2));
        for (key, keys) in
            [(Some(""), None), (Some("env:"), None), (None, Some(&[] as &[&str])), (None, Some(&["a", ""]))]
        {
            check(key, keys).expect_err("no name");
        }
    }
}
