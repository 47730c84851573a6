//! Context manifest v1: what a context contains, and the preimage of its hash.
//!
//! Invariants of [`Manifest`]: entries are sorted bytewise by path, paths are unique, and no entry lies below another
//! one (a file is not a directory). The encoding is injective: `decode(encode(m)) == m` and nothing else decodes.
//! The format is specified in `docs/hash-format.md`; a change of it needs a new version and a new hash prefix.

use std::fmt;

use crate::path::{escape_into, is_within};
use crate::{ContextHash, Error, FileDigest, RelPath};

/// BLAKE3 key derivation context of a manifest; a new format version never re-uses a string.
const CONTEXT: &str = "shipper 2026 context manifest v1";

/// Shortest possible encoded entry: length, one path byte, kind, size, digest.
const MIN_ENTRY: usize = 4 + 1 + 1 + 8 + 32;

/// What an entry is. The numbers are the kind bytes of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Kind {
    /// A regular file without the owner's execute bit.
    File = 0,
    /// A regular file with the owner's execute bit.
    Executable = 1,
    /// A symbolic link; its content is the target text.
    Symlink = 2,
    /// A directory without anything in it.
    EmptyDir = 3,
    /// A submodule that is recorded by its commit id; its content is the id's hexadecimal text.
    Gitlink = 4,
}

impl Kind {
    /// `file`, `executable`, `symlink`, `empty-dir` or `gitlink`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Executable => "executable",
            Self::Symlink => "symlink",
            Self::EmptyDir => "empty-dir",
            Self::Gitlink => "gitlink",
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::File, Self::Executable, Self::Symlink, Self::EmptyDir, Self::Gitlink]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }

    /// Whether this is a regular file, executable or not.
    #[must_use]
    pub fn is_file(self) -> bool {
        matches!(self, Self::File | Self::Executable)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One file, link or empty directory of a context.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// Path relative to the context's root.
    pub path: RelPath,
    /// What it is.
    pub kind: Kind,
    /// Number of content bytes; of the target text for links; 0 for empty directories.
    pub size: u64,
    /// BLAKE3-256 of the content; of no bytes for empty directories.
    pub digest: FileDigest,
}

impl Entry {
    /// An entry whose content is `content`.
    #[must_use]
    pub fn new(path: RelPath, kind: Kind, content: &[u8]) -> Self {
        Self { path, kind, size: content.len() as u64, digest: FileDigest::of(content) }
    }
}

/// The content of a context: entries sorted by path bytes, no duplicates.
///
/// ```
/// use shipper_hash::{Entry, Kind, Manifest, RelPath};
/// let entry = Entry::new(RelPath::try_from("hello.txt")?, Kind::File, b"hello\n");
/// let manifest = Manifest::new(vec![entry])?;
/// assert_eq!(manifest.bytes(), 6);
/// assert_eq!(Manifest::decode(&manifest.encode())?, manifest);
/// println!("{}", manifest.hash()); // ctx1-..
/// # Ok::<(), shipper_hash::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    entries: Vec<Entry>,
}

impl Manifest {
    /// Sorts `entries` and checks them.
    ///
    /// # Errors
    /// [`Error::DuplicatePath`] if a path occurs twice, [`Error::Overlap`] if one entry lies below another,
    /// [`Error::InvalidManifest`] if an empty directory has content or a path is longer than 2^32 - 1 bytes.
    pub fn new(mut entries: Vec<Entry>) -> Result<Self, Error> {
        // Entries nearly always come in order already.
        if !entries.is_sorted_by(|a, b| a.path < b.path) {
            entries.sort_by(|a, b| a.path.cmp(&b.path));
        }
        check(&entries)?;
        Ok(Self { entries })
    }

    /// All entries, sorted by path bytes.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry at `path`.
    #[must_use]
    pub fn get(&self, path: &[u8]) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|entry| entry.path.as_bytes().cmp(path)).ok()?;
        self.entries.get(at)
    }

    /// Sum of all content sizes in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.entries.iter().fold(0, |sum, entry| sum.saturating_add(entry.size))
    }

    /// The hash of the encoded manifest.
    #[must_use]
    pub fn hash(&self) -> ContextHash {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&self.encode());
        ContextHash(hasher.finalize().into())
    }

    /// The v1 body: `u64le` count, then for each entry `u32le` path length, path, kind byte, `u64le` size, digest.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let length: usize = self.entries.iter().map(|entry| MIN_ENTRY - 1 + entry.path.as_bytes().len()).sum();
        let mut body = Vec::with_capacity(8 + length);
        body.extend_from_slice(&(self.entries.len() as u64).to_le_bytes());
        for entry in &self.entries {
            let path = entry.path.as_bytes();
            let length = u32::try_from(path.len()).expect("because `check` refuses longer paths");
            body.extend_from_slice(&length.to_le_bytes());
            body.extend_from_slice(path);
            body.push(entry.kind as u8);
            body.extend_from_slice(&entry.size.to_le_bytes());
            body.extend_from_slice(&entry.digest.0);
        }
        body
    }

    /// Reads a v1 body. Memory stays proportional to `body`, whatever the count in it says.
    ///
    /// # Errors
    /// [`Error::InvalidManifest`] for anything that [`encode`](Self::encode) does not write: unknown kinds, wrong
    /// order, bad paths, bytes missing or left over.
    pub fn decode(body: &[u8]) -> Result<Self, Error> {
        let invalid = |at: u64, reason: &str| Error::InvalidManifest { reason: format!("entry {at}: {reason}") };
        let mut rest = Reader(body);
        let count = rest.u64().ok_or_else(|| Error::InvalidManifest { reason: "it has no entry count".into() })?;
        let possible = (body.len() / MIN_ENTRY) as u64;
        if count > possible {
            return Err(Error::InvalidManifest {
                reason: format!("{count} entries do not fit into {} bytes", body.len()),
            });
        }
        let mut entries: Vec<Entry> = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
        for at in 0..count {
            let truncated = || invalid(at, "it is cut off");
            let length = rest.u32().ok_or_else(truncated)?;
            let path = rest.take(length as usize).ok_or_else(truncated)?;
            let kind = rest.take(1).ok_or_else(truncated)?[0];
            let size = rest.u64().ok_or_else(truncated)?;
            let digest = rest.take(32).and_then(|bytes| bytes.try_into().ok()).ok_or_else(truncated)?;
            let path = RelPath::try_from(path).map_err(|error| invalid(at, &error.to_string()))?;
            let kind = Kind::from_byte(kind).ok_or_else(|| invalid(at, &format!("kind {kind} is unknown")))?;
            if entries.last().is_some_and(|last| last.path >= path) {
                return Err(invalid(at, &format!("`{path}` is out of order")));
            }
            entries.push(Entry { path, kind, size, digest: FileDigest(digest) });
        }
        if !rest.0.is_empty() {
            return Err(Error::InvalidManifest { reason: format!("{} bytes follow the last entry", rest.0.len()) });
        }
        check(&entries)?;
        Ok(Self { entries })
    }

    /// One line for each entry, `<64 hex> <kind> <size> <path>`, each ended by a line feed; the path is escaped.
    #[must_use]
    pub fn to_text(&self) -> String {
        use fmt::Write as _;
        let mut text = String::new();
        for entry in &self.entries {
            write!(text, "{} {} {} ", entry.digest, entry.kind, entry.size).expect("because a String takes all text");
            escape_into(entry.path.as_bytes(), &mut text);
            text.push('\n');
        }
        text
    }
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Manifest({} entries)\n{}", self.entries.len(), self.to_text())
    }
}

/// The invariants that sorted entries must keep.
fn check(entries: &[Entry]) -> Result<(), Error> {
    // Open directories of the walk: a later path may lie below an earlier one with other names between them
    // (`a`, `a.b`, `a/c`), so comparing neighbours is not enough.
    let mut open: Vec<&RelPath> = Vec::new();
    for entry in entries {
        let path = entry.path.as_bytes();
        while open.last().is_some_and(|last| !path.starts_with(last.as_bytes())) {
            open.pop();
        }
        // Everything still open is a byte prefix; one of them may be a whole-part prefix.
        if let Some(other) = open.iter().find(|other| is_within(path, other.as_bytes())) {
            return Err(if other.as_bytes() == path {
                Error::DuplicatePath { path: entry.path.clone() }
            } else {
                Error::Overlap { path: entry.path.clone(), other: (*other).clone() }
            });
        }
        open.push(&entry.path);
        if u32::try_from(path.len()).is_err() {
            return Err(Error::InvalidManifest { reason: format!("a path has {} bytes", path.len()) });
        }
        if entry.kind == Kind::EmptyDir && (entry.size != 0 || entry.digest != FileDigest::of(b"")) {
            return Err(Error::InvalidManifest { reason: format!("the empty directory `{}` has content", entry.path) });
        }
    }
    Ok(())
}

/// Takes fixed pieces off the front of a byte slice; `None` when too few are left.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }
}
