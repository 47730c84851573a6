//! Context manifest v1: what a context contains, and the preimage of its hash.
//!
//! Invariants of [`Manifest`]: entries are sorted bytewise by path, paths are unique, and no entry lies below another
//! one (a file is not a directory). The encoding is injective: `decode(encode(m)) == m` and nothing else decodes.
//! The format is specified in `docs/hash-format.md`; a change of it needs a new version and a new hash prefix.

use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

use crate::buffer::Buffer;
use crate::path::{escape_into, is_within};
use crate::{ContextHash, Error, FileDigest, RelPath};

/// BLAKE3 key derivation context of a manifest; a new format version never re-uses a string.
const CONTEXT: &str = "shipper 2026 context manifest v1";

/// What follows the path of an entry: kind, size, digest.
const TAIL: usize = 1 + 8 + 32;
/// Shortest possible encoded entry: length, one path byte and what follows it.
const MIN_ENTRY: usize = 4 + 1 + TAIL;
/// Bytes of a path for which room is made at first.
const TYPICAL_PATH: usize = 40;

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
/// assert_eq!((manifest.len(), manifest.bytes()), (1, 6));
/// assert_eq!(Manifest::decode(&manifest.encode())?, manifest);
/// println!("{}", manifest.hash()); // ctx1-..
/// # Ok::<(), shipper_hash::Error>(())
/// ```
#[derive(Clone)]
pub struct Manifest {
    /// The v1 body: what is hashed and kept; most contexts are never asked for more.
    body: Buffer,
    count: usize,
    bytes: u64,
    /// The same, read from `body` when somebody asks.
    entries: OnceLock<Vec<Entry>>,
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
        let mut writer = Writer::new(entries.len());
        for entry in &entries {
            if !writer.push((b"", entry.path.as_bytes()), (entry.kind, entry.size, entry.digest))? {
                return Err(Error::DuplicatePath { path: entry.path.clone() });
            }
        }
        Ok(Self { entries: OnceLock::from(entries), ..writer.finish() })
    }

    /// All entries, sorted by path bytes. The first call makes them of the encoded form.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        self.entries.get_or_init(|| {
            let mut rest = Reader(&self.body[8..]);
            let entry = |(path, kind, size, digest): (&[u8], u8, u64, FileDigest)| {
                let kind = Kind::from_byte(kind)?;
                Some(Entry { path: RelPath::trusted(path.to_vec()), kind, size, digest })
            };
            let entries: Vec<Entry> = std::iter::from_fn(|| rest.entry().and_then(entry)).collect();
            debug_assert_eq!(entries.len(), self.count);
            entries
        })
    }

    /// The paths of all entries, sorted by their bytes: read from the encoded form, one after the other.
    pub fn paths(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = Reader(&self.body[8..]);
        std::iter::from_fn(move || Some(rest.entry()?.0))
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The entry at `path`.
    #[must_use]
    pub fn get(&self, path: &[u8]) -> Option<&Entry> {
        let entries = self.entries();
        let at = entries.binary_search_by(|entry| entry.path.as_bytes().cmp(path)).ok()?;
        entries.get(at)
    }

    /// Sum of all content sizes in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The hash of the encoded manifest.
    #[must_use]
    pub fn hash(&self) -> ContextHash {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&self.body);
        ContextHash(hasher.finalize().into())
    }

    /// The v1 body: `u64le` count, then for each entry `u32le` path length, path, kind byte, `u64le` size, digest.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.body.to_vec()
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
        let mut writer = Writer::new(usize::try_from(count).unwrap_or_default());
        for at in 0..count {
            let (path, kind, size, digest) = rest.entry().ok_or_else(|| invalid(at, "it is cut off"))?;
            let path = RelPath::try_from(path).map_err(|error| invalid(at, &error.to_string()))?;
            let kind = Kind::from_byte(kind).ok_or_else(|| invalid(at, &format!("kind {kind} is unknown")))?;
            if !writer.push((b"", path.as_bytes()), (kind, size, digest))? {
                return Err(invalid(at, &format!("`{path}` is out of order")));
            }
        }
        if !rest.0.is_empty() {
            return Err(Error::InvalidManifest { reason: format!("{} bytes follow the last entry", rest.0.len()) });
        }
        Ok(writer.finish())
    }

    /// One line for each entry, `<64 hex> <kind> <size> <path>`, each ended by a line feed; the path is escaped.
    #[must_use]
    pub fn to_text(&self) -> String {
        use fmt::Write as _;
        let mut text = String::new();
        for entry in self.entries() {
            write!(text, "{} {} {} ", entry.digest, entry.kind, entry.size).expect("because a String takes all text");
            escape_into(entry.path.as_bytes(), &mut text);
            text.push('\n');
        }
        text
    }
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Manifest({} entries)\n{}", self.count, self.to_text())
    }
}

impl PartialEq for Manifest {
    fn eq(&self, other: &Self) -> bool {
        *self.body == *other.body
    }
}

impl Eq for Manifest {}

impl Default for Manifest {
    fn default() -> Self {
        Writer::new(0).finish()
    }
}

/// A manifest in the making; entries come in their order.
pub(crate) struct Writer {
    body: Buffer,
    count: usize,
    bytes: u64,
    /// Paths, by their places in `body`, of which the last one may be a part: a later path may lie below an earlier one
    /// with other names between them (`a`, `a.b`, `a/c`), so comparing neighbours is not enough. The last of all is last.
    open: Vec<Range<usize>>,
}

impl Writer {
    /// An empty one, with room for `entries`.
    pub(crate) fn new(entries: usize) -> Self {
        let mut body = Buffer::with_capacity(8 + entries * (MIN_ENTRY + TYPICAL_PATH));
        body.grow(8);
        Self { body, count: 0, bytes: 0, open: Vec::new() }
    }

    /// Adds an entry: its directory (empty for none) and name, and what it is. `false`, and nothing is added, if the path
    /// does not come after the one before.
    ///
    /// # Errors
    /// What [`Manifest::new`] says, but for duplicates.
    pub(crate) fn push(
        &mut self,
        (directory, name): (&[u8], &[u8]),
        (kind, size, digest): (Kind, u64, FileDigest),
    ) -> Result<bool, Error> {
        let invalid = |reason| Error::InvalidManifest { reason };
        let length = directory.len() + usize::from(!directory.is_empty()) + name.len();
        let head = u32::try_from(length).map_err(|_| invalid(format!("a path has {length} bytes")))?;
        let before = self.body.len();
        let place = self.body.grow(4 + length + TAIL);
        let (start, rest) = place.split_at_mut(4);
        let (path, tail) = rest.split_at_mut(length);
        start.copy_from_slice(&head.to_le_bytes());
        let (parent, last) = path.split_at_mut(length - name.len());
        last.copy_from_slice(name);
        if let Some((slash, parent)) = parent.split_last_mut() {
            parent.copy_from_slice(directory);
            *slash = b'/';
        }
        tail[0] = kind as u8;
        tail[1..9].copy_from_slice(&size.to_le_bytes());
        tail[9..].copy_from_slice(&digest.0);
        let path = before + 4..before + 4 + length;
        let is_after = |last: &Range<usize>| self.body[last.clone()] < self.body[path.clone()];
        if !self.open.last().is_none_or(is_after) {
            self.body.truncate(before);
            return Ok(false);
        }
        let (earlier, path) = (&self.body[..before], &self.body[path]);
        while self.open.last().is_some_and(|last| !path.starts_with(&earlier[last.clone()])) {
            self.open.pop();
        }
        // Everything still open is a byte prefix; one of them may be a whole-part prefix.
        if let Some(other) = self.open.iter().find(|other| is_within(path, &earlier[(*other).clone()])) {
            let (path, other) = (path.to_vec(), earlier[other.clone()].to_vec());
            return Err(Error::Overlap { path: RelPath::trusted(path), other: RelPath::trusted(other) });
        }
        if kind == Kind::EmptyDir && (size != 0 || digest != FileDigest::of(b"")) {
            let path = RelPath::trusted(path.to_vec());
            return Err(invalid(format!("the empty directory `{path}` has content")));
        }
        self.open.push(before + 4..before + 4 + length);
        self.count += 1;
        self.bytes = self.bytes.saturating_add(size);
        Ok(true)
    }

    pub(crate) fn finish(mut self) -> Manifest {
        self.body.as_mut()[..8].copy_from_slice(&(self.count as u64).to_le_bytes());
        Manifest { body: self.body, count: self.count, bytes: self.bytes, entries: OnceLock::new() }
    }
}

/// Takes fixed pieces off the front of a byte slice; `None` when too few are left.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    /// Path, kind, size and digest, unchecked.
    fn entry(&mut self) -> Option<(&'a [u8], u8, u64, FileDigest)> {
        let length = self.u32()?;
        let path = self.take(length as usize)?;
        let kind = self.take(1)?[0];
        Some((path, kind, self.u64()?, FileDigest(self.take(32)?.try_into().ok()?)))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }
}
