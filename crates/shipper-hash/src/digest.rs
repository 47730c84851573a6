//! The three 32-byte values of this crate, as separate types that cannot be mixed up.
//!
//! [`FileDigest`] is plain BLAKE3-256 of one file's bytes, so `b3sum` checks it. [`ContextHash`] is BLAKE3 in key
//! derivation mode over an encoded manifest; [`BuildKey`](crate::BuildKey) lives in `key.rs`.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// BLAKE3-256 of a file's bytes, or of the target text of a symbolic link.
///
/// Prints as 64 lower-case hexadecimal digits, the form of `b3sum`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileDigest(pub(crate) [u8; 32]);

impl FileDigest {
    /// The digest of `content`.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self(blake3::hash(content).into())
    }

    /// A digest that was computed elsewhere.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Names the content of a context: paths, kinds and bytes of all its files, and nothing else.
///
/// Prints as `ctx1-` and 64 lower-case hexadecimal digits. Time stamps, owners, the checkout's place, the order of
/// reading and the state of caches do not enter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContextHash(pub(crate) [u8; 32]);

impl ContextHash {
    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

const CONTEXT_PREFIX: &str = "ctx1-";

impl fmt::Display for FileDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex(&self.0))
    }
}

impl FromStr for FileDigest {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        unhex(text).map(Self).ok_or_else(|| invalid(text, "64 lower-case hexadecimal digits"))
    }
}

impl fmt::Display for ContextHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{CONTEXT_PREFIX}{}", hex(&self.0)))
    }
}

impl FromStr for ContextHash {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        text.strip_prefix(CONTEXT_PREFIX)
            .and_then(unhex)
            .map(Self)
            .ok_or_else(|| invalid(text, "`ctx1-` and 64 lower-case hexadecimal digits"))
    }
}

impl fmt::Debug for FileDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileDigest({self})")
    }
}

impl fmt::Debug for ContextHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContextHash({self})")
    }
}

pub(crate) fn invalid(text: &str, expected: &'static str) -> Error {
    let shown: String = text.chars().take(80).collect();
    Error::InvalidDigest { text: crate::path::escape(shown.as_bytes()), expected }
}

/// Lower-case hexadecimal digits of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// The 32 bytes behind 64 lower-case hexadecimal digits; one text form per value, so upper case is refused.
pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let text: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_round_trip_and_refuse_every_other_spelling() {
        let digest = FileDigest::of(b"");
        let text = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse::<FileDigest>().unwrap(), digest);
        let context = ContextHash(digest.0);
        assert_eq!(format!("ctx1-{text}").parse::<ContextHash>().unwrap(), context);
        assert_eq!(context.to_string(), format!("ctx1-{text}"));
        for bad in ["", "ctx1-", text, &format!("ctx2-{text}"), &format!("ctx1-{}", text.to_uppercase())] {
            assert!(bad.parse::<ContextHash>().is_err(), "{bad}");
        }
        for bad in ["", &text[1..], &format!("{text}0"), &text.to_uppercase(), &format!("ctx1-{text}")] {
            assert!(bad.parse::<FileDigest>().is_err(), "{bad}");
        }
    }
}
