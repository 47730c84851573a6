//! Digests of registry bytes: a newtype that cannot hold anything but a well-formed digest.
//!
//! Invariant: a [`Digest`] is `sha256:<64 lower-case hex>` or `sha512:<128 lower-case hex>`, checked in every constructor,
//! deserialising included. Nothing else may form a blob path or a URL in this crate, so a digest out of a hostile
//! document cannot climb out of a directory or of a repository (the class of CVE-2024-3727).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256, Sha512};

use crate::Error;

/// The hash function of a [`Digest`]; the two registered ones of the OCI image specification (descriptor, "Registered
/// algorithms").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// SHA-256: what every registry writes.
    Sha256,
    /// SHA-512: read and verified, never written by this crate unless asked.
    Sha512,
}

impl Algorithm {
    /// The name before the colon: `sha256` or `sha512`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    fn hex_len(self) -> usize {
        match self {
            Algorithm::Sha256 => 64,
            Algorithm::Sha512 => 128,
        }
    }
}

/// The digest of bytes that a registry or a layout stores, such as `sha256:2cf2..`.
///
/// ```
/// use shipper_oci::Digest;
/// let digest = Digest::of(b"hello");
/// assert_eq!(digest.to_string(), "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
/// assert!("sha256:../../etc/passwd".parse::<Digest>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    text: Box<str>,
}

impl Digest {
    /// The SHA-256 digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Digest {
        let mut hasher = DigestHasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The digest whose SHA-256 value is already known.
    #[must_use]
    pub fn from_sha256(value: [u8; 32]) -> Digest {
        Digest::from_raw(Algorithm::Sha256, &value)
    }

    fn from_raw(algorithm: Algorithm, value: &[u8]) -> Digest {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(8 + value.len() * 2);
        text.push_str(algorithm.as_str());
        text.push(':');
        for byte in value {
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 15)]));
        }
        Digest { algorithm, text: text.into_boxed_str() }
    }

    /// The hash function.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The lower-case hexadecimal part after the colon: 64 characters for SHA-256, 128 for SHA-512.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.text[self.algorithm.as_str().len() + 1..]
    }

    /// The whole digest, `sha256:<hex>`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `bytes` have this digest.
    #[must_use]
    pub fn matches(&self, bytes: &[u8]) -> bool {
        let mut hasher = DigestHasher::new(self.algorithm);
        hasher.update(bytes);
        hasher.finish() == *self
    }

    /// A hasher of the same algorithm, for content that is read in pieces.
    #[must_use]
    pub fn hasher(&self) -> DigestHasher {
        DigestHasher::new(self.algorithm)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(input: &str) -> Result<Digest, Error> {
        let invalid = |reason| Error::invalid("digest", input, reason);
        let (name, hex) = input.split_once(':').ok_or_else(|| invalid("it has no `algorithm:` part"))?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return Err(invalid("the algorithm is neither sha256 nor sha512")),
        };
        if hex.len() != algorithm.hex_len() {
            return Err(invalid("the hexadecimal part has the wrong length"));
        }
        if !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(invalid("the part after the colon is not lower-case hexadecimal"));
        }
        Ok(Digest { algorithm, text: input.into() })
    }
}

impl TryFrom<&str> for Digest {
    type Error = Error;

    fn try_from(input: &str) -> Result<Digest, Error> {
        input.parse()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        crate::name::deserialize_parsed(deserializer)
    }
}

/// Computes a [`Digest`] of bytes that arrive in pieces. Also an [`std::io::Write`], which never fails.
///
/// ```
/// use shipper_oci::{Digest, DigestHasher};
/// let mut hasher = DigestHasher::default();
/// hasher.update(b"hel");
/// hasher.update(b"lo");
/// assert_eq!(hasher.finish(), Digest::of(b"hello"));
/// ```
#[derive(Debug, Clone)]
pub struct DigestHasher(State);

#[derive(Debug, Clone)]
enum State {
    Sha256(Sha256),
    // A boxed state keeps the common case small.
    Sha512(Box<Sha512>),
}

impl DigestHasher {
    /// A hasher that has seen no byte yet.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> DigestHasher {
        DigestHasher(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Box::new(Sha512::new())),
        })
    }

    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of everything added so far.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(state) => Digest::from_raw(Algorithm::Sha256, &state.finalize()),
            State::Sha512(state) => Digest::from_raw(Algorithm::Sha512, &state.finalize()),
        }
    }
}

impl Default for DigestHasher {
    fn default() -> DigestHasher {
        DigestHasher::new(Algorithm::Sha256)
    }
}

impl std::io::Write for DigestHasher {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_well_formed_digests_are_accepted() {
        let hex64 = "a".repeat(64);
        for good in [format!("sha256:{hex64}"), format!("sha512:{hex64}{hex64}")] {
            assert_eq!(good.parse::<Digest>().unwrap().to_string(), good);
        }
        for bad in [
            String::new(),
            "banana".into(),
            hex64.clone(),
            format!("sha256:{}", "A".repeat(64)),
            format!("sha256:{}", "a".repeat(63)),
            format!("sha256:{}", "a".repeat(65)),
            format!("sha256:{}/..", "a".repeat(61)),
            format!("sha512:{hex64}"),
            format!("md5:{}", "a".repeat(32)),
            format!("sha256:{hex64} "),
            format!(" sha256:{hex64}"),
            format!("sha256:{}é", "a".repeat(62)),
            "sha256:../../../../admin/secret?x=".into(),
        ] {
            let error = bad.parse::<Digest>().unwrap_err();
            assert!(error.to_string().contains("digest"), "{bad}: {error}");
            assert!(serde_json::from_value::<Digest>(serde_json::Value::String(bad)).is_err());
        }
    }

    #[test]
    fn sha512_is_verified_like_sha256() {
        let mut hasher = DigestHasher::new(Algorithm::Sha512);
        hasher.update(b"abc");
        let digest = hasher.finish();
        assert!(digest.as_str().starts_with("sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea2"));
        assert!(digest.matches(b"abc"));
        assert!(!digest.matches(b"abd"));
        assert_eq!(digest.hex().len(), 128);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]
        #[test]
        fn parsing_never_panics_and_round_trips(seed in any::<u64>()) {
            const PIECES: [&str; 12] = ["0", "9", "a", "f", "a0b1c2d3", "89abcdef", "A", "/", "..", "é", "\n", ":"];
            let prefix = ["sha256:", "sha512:", ""][(seed % 3) as usize];
            // Mostly of the first six, so that some are digests.
            let pieces = if seed % 2 == 0 { &PIECES[..6] } else { &PIECES[..] };
            let mut input = format!("{prefix}{}", crate::scramble::text(seed, pieces, 60));
            if seed % 4 == 0 {
                input.truncate(7 + 64);
            }
            if let Ok(digest) = input.parse::<Digest>() {
                prop_assert_eq!(digest.as_str(), &input);
                prop_assert!(digest.hex().bytes().all(|b| b.is_ascii_hexdigit()));
            }
        }
    }
}
