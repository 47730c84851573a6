//! Names: repository names and registry hosts, as newtypes whose constructors validate. Tags are `shipper-tag`'s.
//!
//! Sources: OCI distribution specification 1.1, "Pulling manifests" (`<name>` and `<reference>` grammars), and the
//! grammar of the reference package of the Docker distribution project for hosts. Hand-written scanners: a compiled
//! regular expression for these costs tens of milliseconds at first use.

use std::borrow::Borrow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Error;

/// Deserialises a string and parses it; the parse error becomes the serde error.
pub(crate) fn deserialize_parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
    T::Err: fmt::Display,
{
    struct Visitor<T>(std::marker::PhantomData<T>);
    impl<T> serde::de::Visitor<'_> for Visitor<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }
    deserializer.deserialize_str(Visitor(std::marker::PhantomData))
}

/// The string side of a validated newtype: Display, Debug, serde, comparison with `str`.
macro_rules! text_newtype {
    ($name:ident) => {
        impl $name {
            /// The text as written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Error;

            fn try_from(input: &str) -> Result<$name, Error> {
                input.parse()
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(input: String) -> Result<$name, Error> {
                input.parse()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                deserialize_parsed(deserializer)
            }
        }
    };
}

/// A repository name: lower-case components joined by `/`, at most 255 characters, without a registry host.
///
/// ```
/// use shipper_oci::RepositoryName;
/// let name: RepositoryName = "shop/api".parse()?;
/// assert_eq!(name.components().collect::<Vec<_>>(), ["shop", "api"]);
/// assert!("../etc".parse::<RepositoryName>().is_err());
/// # Ok::<(), shipper_oci::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(Box<str>);

text_newtype!(RepositoryName);

impl RepositoryName {
    /// The components between the slashes, in order; at least one.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The name `self/rest`.
    ///
    /// # Errors
    /// When the result is longer than 255 characters.
    pub fn join(&self, rest: &RepositoryName) -> Result<RepositoryName, Error> {
        format!("{self}/{rest}").parse()
    }
}

impl FromStr for RepositoryName {
    type Err = Error;

    fn from_str(input: &str) -> Result<RepositoryName, Error> {
        let invalid = |reason| Error::invalid("repository name", input, reason);
        if input.is_empty() {
            return Err(invalid("it is empty"));
        }
        if input.len() > 255 {
            return Err(invalid("it is longer than 255 characters"));
        }
        if input.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(invalid("upper-case letters are not allowed"));
        }
        for component in input.split('/') {
            check_component(component).map_err(invalid)?;
        }
        Ok(RepositoryName(input.into()))
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn check_component(component: &str) -> Result<(), &'static str> {
    let bytes = component.as_bytes();
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if !(bytes.first().is_some_and(alphanumeric) && bytes.last().is_some_and(alphanumeric)) {
        return Err("each part between slashes must begin and end with a lower-case letter or a digit");
    }
    for separator in bytes.split(|byte| alphanumeric(byte)).filter(|run| !run.is_empty()) {
        let allowed =
            separator == b"." || separator == b"_" || separator == b"__" || separator.iter().all(|byte| *byte == b'-');
        if !allowed {
            return Err("between letters and digits only `.`, `_`, `__` or dashes are allowed");
        }
    }
    Ok(())
}

/// The host of a registry with an optional port, such as `ghcr.io`, `localhost:5000` or `[::1]:5000`; kept in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryHost(Box<str>);

text_newtype!(RegistryHost);

impl RegistryHost {
    /// Docker Hub, `docker.io`; requests go to `registry-1.docker.io`.
    #[must_use]
    pub fn docker_hub() -> RegistryHost {
        RegistryHost("docker.io".into())
    }

    /// The name or address without port and without brackets.
    #[must_use]
    pub fn name(&self) -> &str {
        let (host, _) = split_port(&self.0);
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, where one is written.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        split_port(&self.0).1.and_then(|port| port.parse().ok())
    }

    /// Whether this is the machine itself: `localhost`, 127.0.0.0/8 or `::1`. Only such hosts are spoken to over plain
    /// http without being named in the options.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback_name(self.name())
    }
}

/// Whether a host name or literal address names the machine itself.
pub(crate) fn is_loopback_name(name: &str) -> bool {
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Splits `host:port`; a bracketed IPv6 address keeps its brackets.
fn split_port(input: &str) -> (&str, Option<&str>) {
    if input.starts_with('[') {
        match input.split_once("]:") {
            Some((host, port)) => (&input[..=host.len()], Some(port)),
            None => (input, None),
        }
    } else {
        match input.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (input, None),
        }
    }
}

impl FromStr for RegistryHost {
    type Err = Error;

    fn from_str(input: &str) -> Result<RegistryHost, Error> {
        let invalid = |reason| Error::invalid("registry host", input, reason);
        if input.len() > 255 {
            return Err(invalid("it is longer than 255 characters"));
        }
        let (host, port) = split_port(input);
        if let Some(port) = port {
            let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            if !digits || port.parse::<u16>().map_or(true, |port| port == 0) {
                return Err(invalid("the port is not a number from 1 to 65535"));
            }
        }
        if let Some(address) = host.strip_prefix('[') {
            let address = address.strip_suffix(']').ok_or_else(|| invalid("the `]` of the IPv6 address is missing"))?;
            address.parse::<Ipv6Addr>().map_err(|_| invalid("the part in brackets is not an IPv6 address"))?;
        } else {
            for label in host.split('.') {
                let bytes = label.as_bytes();
                let edges = [bytes.first(), bytes.last()];
                if !edges.iter().all(|byte| byte.is_some_and(u8::is_ascii_alphanumeric)) || bytes.len() > 63 {
                    return Err(invalid(
                        "each label must have 1 to 63 characters and begin and end with a letter or a digit",
                    ));
                }
                if !bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
                    return Err(invalid("only letters, digits, `-`, `_` and dots are allowed"));
                }
            }
        }
        Ok(RegistryHost(input.to_ascii_lowercase().into()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn repository_names_follow_the_grammar() {
        let long = "a".repeat(255);
        for good in ["a", "shop/api", "library/ubuntu", "a.b", "a_b", "a__b", "a---b", "0/1/2", &long] {
            assert_eq!(good.parse::<RepositoryName>().unwrap().as_str(), good);
        }
        let too_long = "a".repeat(256);
        for bad in [
            "", "/", "a/", "/a", "a//b", "..", "a/..", "a/../b", "a..b", "a___b", "a._b", "-a", "a-", "A", "a:b",
            "a@b", "a b", "é", &too_long,
        ] {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn hosts_know_port_and_loopback() {
        let cases: &[(&str, &str, Option<u16>, bool)] = &[
            ("ghcr.io", "ghcr.io", None, false),
            ("GHCR.io:443", "ghcr.io", Some(443), false),
            ("localhost", "localhost", None, true),
            ("localhost:5000", "localhost", Some(5000), true),
            ("127.0.0.2:1", "127.0.0.2", Some(1), true),
            ("[::1]:5000", "::1", Some(5000), true),
            ("[::1]", "::1", None, true),
            ("[fe80::1]:80", "fe80::1", Some(80), false),
            ("localhost.example.com", "localhost.example.com", None, false),
            ("a_b.example", "a_b.example", None, false),
        ];
        for (input, name, port, loopback) in cases {
            let host: RegistryHost = input.parse().unwrap();
            assert_eq!((host.name(), host.port(), host.is_loopback()), (*name, *port, *loopback), "{input}");
        }
        for bad in [
            "",
            ":5000",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:b",
            "a..b",
            ".a",
            "a.",
            "-a",
            "a/b",
            "user@host",
            "[::1",
            "[x]",
            "::1",
            "[::1]x",
            "a b",
            "é.io",
        ] {
            assert!(bad.parse::<RegistryHost>().is_err(), "{bad:?}");
        }
    }

    /// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, as an automaton that reads one byte after the other.
    fn is_component(text: &str) -> bool {
        let (mut after, mut dashes) = (String::new(), false);
        for byte in text.bytes() {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' => (after, dashes) = ("x".to_owned(), false),
                b'.' if after == "x" => after = ".".to_owned(),
                b'_' if after == "x" => after = "_".to_owned(),
                b'_' if after == "_" => after = "__".to_owned(),
                b'-' if after == "x" || dashes => (after, dashes) = ("-".to_owned(), true),
                _ => return false,
            }
        }
        after == "x"
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]

        /// What is accepted follows the grammar, is printed as it was, and stays one path in a URL.
        #[test]
        fn a_repository_name_is_a_path_that_no_url_changes(seed in any::<u64>()) {
            const PIECES: [&str; 18] =
                ["a", "b", "0", "z9", ".", "..", "_", "-", "--", "/", "a", "x", "A", "%2e", "\\", "?", "é", "\n"];
            let input = crate::scramble::text(seed, &PIECES[..if seed % 3 == 0 { 18 } else { 12 }], 12);
            let parsed = input.parse::<RepositoryName>();
            prop_assert_eq!(parsed.is_ok(), input.split('/').all(is_component), "{:?}", input);
            let Ok(name) = parsed else { return Ok(()) };
            prop_assert_eq!(name.as_str(), &input);
            prop_assert_eq!(name.components().collect::<Vec<_>>().join("/"), input.clone());
            let url = url::Url::parse("https://a.test/v2/").unwrap().join(&format!("{name}/tags/list")).unwrap();
            prop_assert_eq!(url.path(), format!("/v2/{input}/tags/list"));
            prop_assert_eq!(url.host_str(), Some("a.test"));
        }

        /// What is accepted is the authority of a URL and nothing else of it: no user, no path, and the port that was written.
        #[test]
        fn a_host_is_the_authority_of_a_url_and_nothing_else(seed in any::<u64>()) {
            const PIECES: [&str; 24] = [
                "a", "b-c", "d_e", "0", "127", "1", "::1", ".", "..", ":", "5000", "65536", "[", "]", "-", "GHCR", ".io",
                "localhost", "@", "/", "\\", "#", "%", "é",
            ];
            let input = crate::scramble::text(seed, &PIECES, 8);
            let Ok(host) = input.parse::<RegistryHost>() else { return Ok(()) };
            prop_assert_eq!(host.as_str(), input.to_ascii_lowercase());
            prop_assert_eq!(host.as_str().parse::<RegistryHost>().ok(), Some(host.clone()));
            // A name that ends in a number is an address in disguise, or none.
            let Ok(url) = url::Url::parse(&format!("http://{host}/v2/")) else { return Ok(()) };
            prop_assert!(url.username().is_empty() && url.password().is_none() && url.path() == "/v2/", "{}", url);
            prop_assert_eq!(url.port_or_known_default(), Some(host.port().unwrap_or(80)));
            let found = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let is_address = found.parse::<IpAddr>().is_ok();
            prop_assert!(found == host.name() || is_address, "{} {}", host, found);
            prop_assert!(!host.is_loopback() || is_loopback_name(&found), "{} {}", host, found);
        }
    }
}
