//! The grammar of tags, as a newtype whose constructor validates.
//!
//! Source: OCI distribution specification 1.1, "Pulling manifests": `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`. A hand-written
//! scanner: a compiled regular expression for this costs milliseconds at first use.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest tag, in bytes.
pub const MAX_TAG: usize = 128;

/// Why a text is no tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("use {text:?} as tag: {reason}")]
pub struct InvalidTag {
    /// As written, cut after 200 characters.
    pub text: String,
    /// Which rule it breaks.
    pub reason: &'static str,
}

/// A tag: 1 to 128 characters of `[A-Za-z0-9_.-]`, the first of them none of `.` and `-`.
///
/// ```
/// use shipper_tag::Tag;
/// assert_eq!("h-0123abcd".parse::<Tag>()?.as_str(), "h-0123abcd");
/// assert!("feature/login".parse::<Tag>().is_err());
/// # Ok::<(), shipper_tag::InvalidTag>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Box<str>);

impl Tag {
    /// The text as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `byte` may stand in a tag.
pub(crate) fn is_tag_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

impl FromStr for Tag {
    type Err = InvalidTag;

    fn from_str(input: &str) -> Result<Tag, InvalidTag> {
        let invalid = |reason| Err(InvalidTag { text: input.chars().take(200).collect(), reason });
        match input.bytes().next() {
            None => return invalid("it is empty"),
            Some(b'.' | b'-') => return invalid("it begins with `.` or `-`"),
            Some(_) => {}
        }
        if input.len() > MAX_TAG {
            return invalid("it is longer than 128 characters");
        }
        if !input.bytes().all(is_tag_byte) {
            return invalid("only letters, digits, `_`, `.` and `-` are allowed");
        }
        Ok(Tag(input.into()))
    }
}

impl TryFrom<&str> for Tag {
    type Error = InvalidTag;

    fn try_from(input: &str) -> Result<Tag, InvalidTag> {
        input.parse()
    }
}

impl TryFrom<String> for Tag {
    type Error = InvalidTag;

    fn try_from(input: String) -> Result<Tag, InvalidTag> {
        input.parse()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for Tag {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Tag {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for Tag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tag, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_follow_the_grammar() {
        let long = "a".repeat(128);
        for good in ["latest", "v1.2.3", "_", "A-b_c.d", "h-0123", &long] {
            assert_eq!(good.parse::<Tag>().unwrap().as_str(), good);
        }
        let too_long = "a".repeat(129);
        for bad in ["", ".x", "-x", "a/b", "a:b", "a@b", "a b", "a+b", "é", "a\n", "..", &too_long] {
            assert!(bad.parse::<Tag>().is_err(), "{bad:?}");
        }
    }
}
