//! Paths inside a context: raw bytes, `/` between parts, relative, never empty.
//!
//! Invariants of [`RelPath`]: at least one part; no part is empty, `.` or `..`; no NUL byte; no leading or trailing `/`.
//! Nothing is assumed about the encoding: a file name that is not UTF-8 is an ordinary name.

use std::borrow::Borrow;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::Error;

/// A relative path in a context or tree, as raw bytes with `/` between the parts.
///
/// Ordered bytewise, which is the order of entries in a [`Manifest`](crate::Manifest).
/// `Display` escapes as the text form of a manifest does (see `docs/hash-format.md`).
///
/// ```
/// use shipper_hash::RelPath;
/// let path = RelPath::try_from("src/main.rs")?;
/// assert_eq!(path.file_name(), b"main.rs");
/// assert_eq!(path.parent(), Some(RelPath::try_from("src")?));
/// assert!(RelPath::try_from("../etc/passwd").is_err());
/// # Ok::<(), shipper_hash::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Vec<u8>);

impl RelPath {
    /// Checks `bytes` and takes them as a path.
    ///
    /// # Errors
    /// [`Error::InvalidPath`] if a rule of the type is broken.
    pub fn new(bytes: Vec<u8>) -> Result<Self, Error> {
        match fault(&bytes) {
            None => Ok(Self(bytes)),
            Some(reason) => Err(Error::InvalidPath { path: escape(&bytes), reason }),
        }
    }

    /// Takes bytes that are known to satisfy the rules: names from a directory listing joined by `/`.
    pub(crate) fn trusted(bytes: Vec<u8>) -> Self {
        debug_assert_eq!(fault(&bytes), None, "{}", escape(&bytes));
        Self(bytes)
    }

    /// The path's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path as text, if it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The last part.
    #[must_use]
    pub fn file_name(&self) -> &[u8] {
        split_parent(&self.0).1
    }

    /// The path without its last part; `None` if there is only one part.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        split_parent(&self.0).0.map(|parent| Self(parent.to_vec()))
    }

    /// This path followed by `other`.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        Self(join(&self.0, &other.0))
    }

    /// Whether this is `prefix` or lies below it; whole parts are compared.
    #[must_use]
    pub fn starts_with(&self, prefix: &Self) -> bool {
        is_within(&self.0, &prefix.0)
    }

    /// What follows `base` and its `/`; `None` if this path does not lie below `base`.
    #[must_use]
    pub fn strip_prefix(&self, base: &Self) -> Option<Self> {
        let rest = self.0.strip_prefix(base.0.as_slice())?.strip_prefix(b"/")?;
        Some(Self(rest.to_vec()))
    }

    /// The parts, first to last.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&byte| byte == b'/')
    }

    /// This path below `root`, in the platform's form.
    ///
    /// # Errors
    /// [`Error::InvalidPath`] where the platform cannot express the name (not on Unix).
    pub fn to_path(&self, root: &Path) -> Result<PathBuf, Error> {
        Ok(root.join(platform_path(&self.0)?))
    }
}

/// What keeps `bytes` from being a [`RelPath`].
pub(crate) fn fault(bytes: &[u8]) -> Option<&'static str> {
    if bytes.is_empty() {
        return Some("it is empty");
    }
    if bytes.contains(&0) {
        return Some("it contains a NUL byte");
    }
    if bytes[0] == b'/' {
        return Some("it is absolute");
    }
    for part in bytes.split(|&byte| byte == b'/') {
        match part {
            b"" => return Some("it has an empty part"),
            b"." => return Some("it has a `.` part"),
            b".." => return Some("it has a `..` part"),
            _ => {}
        }
    }
    None
}

/// Whether `path` is `prefix` or lies below it; the empty prefix holds everything.
pub(crate) fn is_within(path: &[u8], prefix: &[u8]) -> bool {
    prefix.is_empty() || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// `base/name`, or `name` if `base` is empty.
pub(crate) fn join(base: &[u8], name: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(base.len() + 1 + name.len());
    join_into(&mut bytes, base, name);
    bytes
}

/// Makes `bytes` the same as [`join`].
pub(crate) fn join_into(bytes: &mut Vec<u8>, base: &[u8], name: &[u8]) {
    bytes.clear();
    if !base.is_empty() {
        bytes.extend_from_slice(base);
        bytes.push(b'/');
    }
    bytes.extend_from_slice(name);
}

/// The directory (`None` at the top) and the last part.
pub(crate) fn split_parent(path: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (Some(&path[..slash]), &path[slash + 1..]),
        None => (None, path),
    }
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "other platforms cannot express every name")]
pub(crate) fn platform_path(bytes: &[u8]) -> Result<PathBuf, Error> {
    use std::os::unix::ffi::OsStrExt as _;
    Ok(PathBuf::from(std::ffi::OsStr::from_bytes(bytes)))
}

#[cfg(not(unix))]
pub(crate) fn platform_path(bytes: &[u8]) -> Result<PathBuf, Error> {
    let refuse = |reason| Error::InvalidPath { path: escape(bytes), reason };
    let text = std::str::from_utf8(bytes).map_err(|_| refuse("this platform has no such file name"))?;
    if text.contains(['\\', ':']) {
        return Err(refuse("this platform has no such file name"));
    }
    Ok(text.split('/').collect())
}

/// The bytes of a file name or path as the platform gives it, parts joined by `/`; `None` if it has no byte form.
#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "other platforms have names without a byte form")]
pub(crate) fn platform_bytes(path: &Path) -> Option<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt as _;
    Some(path.as_os_str().as_bytes().to_vec())
}

/// The bytes of a file name or path as the platform gives it, parts joined by `/`; `None` if it has no byte form.
#[cfg(not(unix))]
pub(crate) fn platform_bytes(path: &Path) -> Option<Vec<u8>> {
    Some(path.to_str()?.replace('\\', "/").into_bytes())
}

/// Appends `bytes` in the text form of a manifest: printable UTF-8 as it is, everything else escaped as in C.
///
/// Escaped are `\`, C0 and C1 controls, DEL, bytes that are not UTF-8, and the characters that reorder or break
/// displayed text (U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069).
pub(crate) fn escape_into(bytes: &[u8], text: &mut String) {
    use fmt::Write as _;
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                '\0'..='\u{1f}'
                | '\u{7f}'..='\u{9f}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}' => {
                    for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                        write!(text, "\\x{byte:02x}").expect("because a String takes all text");
                    }
                }
                printable => text.push(printable),
            }
        }
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("because a String takes all text");
        }
    }
}

/// `bytes` in the text form of a manifest.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    escape_into(bytes, &mut text);
    text
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&escape(&self.0))
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl TryFrom<&str> for RelPath {
    type Error = Error;
    fn try_from(text: &str) -> Result<Self, Error> {
        Self::new(text.as_bytes().to_vec())
    }
}

impl TryFrom<&[u8]> for RelPath {
    type Error = Error;
    fn try_from(bytes: &[u8]) -> Result<Self, Error> {
        Self::new(bytes.to_vec())
    }
}

impl TryFrom<Vec<u8>> for RelPath {
    type Error = Error;
    fn try_from(bytes: Vec<u8>) -> Result<Self, Error> {
        Self::new(bytes)
    }
}

impl std::str::FromStr for RelPath {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::try_from(text)
    }
}

impl AsRef<[u8]> for RelPath {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for RelPath {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_every_path_that_is_not_plain_and_relative() {
        for bad in ["", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/.", "a/../b", "a\0b"] {
            assert!(RelPath::try_from(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "a/b", "...", ".a", "a.", "a b", "\n", "-", "a\\b"] {
            assert_eq!(RelPath::try_from(good).unwrap().as_bytes(), good.as_bytes());
        }
        assert!(RelPath::try_from(&b"caf\xe9"[..]).is_ok());
    }

    #[test]
    fn prefixes_are_whole_parts() {
        let path = |text| RelPath::try_from(text).unwrap();
        assert!(path("a/b").starts_with(&path("a")));
        assert!(path("a").starts_with(&path("a")));
        assert!(!path("a.b").starts_with(&path("a")));
        assert_eq!(path("a/b/c").strip_prefix(&path("a")), Some(path("b/c")));
        assert_eq!(path("a").strip_prefix(&path("a")), None);
        assert_eq!(path("ab").strip_prefix(&path("a")), None);
        assert_eq!(path("a").join(&path("b/c")), path("a/b/c"));
    }

    #[test]
    fn display_escapes_what_could_fool_a_terminal() {
        for (bytes, text) in [
            (&b"plain.txt"[..], "plain.txt"),
            (b"a\nb\tc\rd", "a\\nb\\tc\\rd"),
            (b"\x1b[31m", "\\x1b[31m"),
            (b"caf\xe9", "caf\\xe9"),
            ("café".as_bytes(), "café"),
            (b"a\\b", "a\\\\b"),
            ("a\u{202e}b".as_bytes(), "a\\xe2\\x80\\xaeb"),
            ("\u{85}".as_bytes(), "\\xc2\\x85"),
        ] {
            assert_eq!(RelPath::try_from(bytes).unwrap().to_string(), text);
        }
    }
}
