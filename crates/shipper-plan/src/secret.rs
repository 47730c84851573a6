//! Values that look like credentials, where everybody can read them: build arguments and the environment of an image.
//!
//! Both are in the image's configuration or history, and arguments in provenance, too (CVE-2023-26054 and its kin). What
//! is found is refused, so that it is seen before it is pushed.

use std::fmt;

/// Last words of names that hold credentials; after BuildKit's check `SecretsUsedInArgOrEnv`, without `KEY` alone, which
/// public keys and keys of caches end with.
const NAMES: [&str; 11] = [
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
    "CREDENTIALS",
    "API_KEY",
    "APIKEY",
    "PRIVATE_KEY",
    "SECRET_KEY",
];

/// How credentials begin that say what they are, and who issues them.
const PREFIXES: [(&str, &str); 11] = [
    ("ghp_", "GitHub"),
    ("gho_", "GitHub"),
    ("ghs_", "GitHub"),
    ("github_pat_", "GitHub"),
    ("glpat-", "GitLab"),
    ("npm_", "npm"),
    ("xoxb-", "Slack"),
    ("xoxp-", "Slack"),
    ("pypi-", "PyPI"),
    ("sk_live_", "Stripe"),
    ("AKIA", "AWS"),
];

/// Characters that follow a prefix, at least: a shorter value is a word that begins like it.
const SHORTEST: usize = 16;

/// Why a value looks like a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Its name says so.
    Name,
    /// It begins like the tokens of this issuer.
    Token(&'static str),
    /// It is a private key in PEM.
    PrivateKey,
}

/// Whether `value` under `name` looks like a credential.
pub(crate) fn look(name: &str, value: &str) -> Option<Look> {
    if value.contains("-----BEGIN ") && value.contains("PRIVATE KEY-----") {
        return Some(Look::PrivateKey);
    }
    let is_token = |prefix: &str| {
        value.strip_prefix(prefix).is_some_and(|rest| {
            rest.len() >= SHORTEST && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        })
    };
    if let Some((_, issuer)) = PREFIXES.iter().find(|(prefix, _)| is_token(prefix)) {
        return Some(Look::Token(issuer));
    }
    let name = name.to_ascii_uppercase().replace('-', "_");
    let ends = |word: &str| name.strip_suffix(word).is_some_and(|before| before.is_empty() || before.ends_with('_'));
    (!value.is_empty() && NAMES.iter().any(|word| ends(word))).then_some(Look::Name)
}

impl fmt::Display for Look {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => out.write_str("is a credential by its name"),
            Self::Token(issuer) => write!(out, "looks like a token of {issuer}"),
            Self::PrivateKey => out.write_str("is a private key"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_give_credentials_away() {
        let token = format!("ghp_{}", "a1B2".repeat(9));
        for (name, value, expected) in [
            ("NPM_TOKEN", "x", Some(Look::Name)),
            ("npm-token", "x", Some(Look::Name)),
            ("TOKEN", "x", Some(Look::Name)),
            ("DB_PASSWORD", "x", Some(Look::Name)),
            ("API_KEY", "x", Some(Look::Name)),
            ("PLAIN", token.as_str(), Some(Look::Token("GitHub"))),
            ("PLAIN", "AKIAIOSFODNN7EXAMPLEX", Some(Look::Token("AWS"))),
            ("PLAIN", "-----BEGIN RSA PRIVATE KEY-----\nMII", Some(Look::PrivateKey)),
            // Nothing is in it.
            ("NPM_TOKEN", "", None),
            // Words that contain one, and what is about one.
            ("TOKENIZER", "x", None),
            ("BROKEN", "x", None),
            ("TOKEN_TTL", "60", None),
            ("CACHE_KEY", "x", None),
            ("PUBLIC_KEY", "-----BEGIN PUBLIC KEY-----", None),
            ("PLAIN", "npm_config", None),
            ("PLAIN", "pypi-mirror.example.com/simple/index", None),
            ("PROFILE", "release", None),
        ] {
            assert_eq!(look(name, value), expected, "{name}={value}");
        }
    }
}
