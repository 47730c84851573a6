//! The stat cache: digests of files and names of directories that provably did not change since they were read.
//!
//! A record is *used* only if every field of `lstat` equals (size, mode, modification and change time, device, inode).
//! It is *stored* only if the file was settled when it was read: both its times lie before the time that its file
//! system gave to a file written in this run before the read. Every later write gets a later change time, which no
//! program can set, so an equal `lstat` means equal bytes. (What no stat-based tool can see: a write through a shared
//! memory mapping that the kernel has not yet stamped; `paranoid` reads everything.)
//!
//! The same holds for a directory and its names, on file systems that are known to give a directory new times whenever a
//! name comes or goes; and for a git index and the paths in it.
//!
//! The file is optional. Missing, truncated, flipped, from another version or another tree: it is empty. It is written
//! to a temporary name and renamed, and only when something changed; of two writers the last one wins.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::buffer::Buffer;
use crate::fs::{FileType, Root, Special, Stat, Time, probe_time, stat_of};
use crate::path::platform_path;
use crate::repository::Tracked;
use crate::{Error, FileDigest};

/// First bytes of the file; the version changes with the layout.
const MAGIC: &[u8; 16] = b"shipper-files-4\n";
pub(crate) const DIGEST: usize = 32;
/// Both times, device, inode, size with mode: a number each.
pub(crate) const FIELDS: usize = 5 * 8;
/// The same with the digest.
const RECORD: usize = FIELDS + DIGEST;
/// Slack for file systems that count whole seconds.
const COARSE_SLACK: i64 = 2;
/// What precedes the records of a directory: its names are complete, and were when it looked so.
const LISTED: u8 = 1;
/// What was tracked when the index of the repository whose top level it is looked so.
const INDEX: u8 = 2;
/// Some of its names differ in case only.
const FOLDED: u8 = 4;
/// A file whose digest is known; other kinds of names are in [`KINDS`].
const DIGESTED: u8 = 0;
/// The same for a Git LFS pointer.
const LFS_POINTER: u8 = 9;
/// Bytes for what a name stands for.
const KINDS: [(u8, FileType); 8] = [
    (1, FileType::File),
    (2, FileType::Directory),
    (3, FileType::Symlink),
    (4, FileType::Special(Special::Fifo)),
    (5, FileType::Special(Special::Socket)),
    (6, FileType::Special(Special::CharacterDevice)),
    (7, FileType::Special(Special::BlockDevice)),
    (8, FileType::Special(Special::Unknown)),
];

/// Tells whether a file can no longer be changed without a trace.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settled {
    /// Device and time of a file that was written before anything was read.
    now: Option<(u64, Time)>,
    /// Whether the times of directories count.
    directories: bool,
}

impl Settled {
    /// Asks the tree's file system for its time, or that of the cache file if it lies on the same device.
    pub(crate) fn probe(root: &Root, cache: Option<&Path>) -> Self {
        let Some(cache) = cache else { return Self::default() };
        Self { now: probe_time(root).or_else(|| probe_beside(cache)), directories: root.times_directories() }
    }

    /// Whether the names in a directory that looks like `stat` can no longer change without a trace.
    pub(crate) fn holds_names(&self, stat: &Stat) -> bool {
        self.directories && self.holds(stat)
    }

    /// Whether `stat` is older than anything that could still happen to the file.
    pub(crate) fn holds(&self, stat: &Stat) -> bool {
        self.now.is_some_and(|(device, now)| {
            let slack = if now.1 == 0 { COARSE_SLACK } else { 0 };
            let limit = (now.0 - slack, now.1);
            device == stat.device && stat.modified < limit && stat.changed < limit
        })
    }
}

/// Writes a file next to `cache` for its time.
fn probe_beside(cache: &Path) -> Option<(u64, Time)> {
    if cfg!(not(unix)) {
        return None;
    }
    let path = temporary_name(cache, "probe");
    let written = File::create_new(&path).and_then(|mut file| {
        file.write_all(b".")?;
        file.metadata()
    });
    let _ = std::fs::remove_file(&path);
    let stat = stat_of(&written.ok()?);
    Some((stat.device, stat.modified))
}

/// Digests by directory and name.
#[derive(Debug, Default)]
pub(crate) struct StatCache {
    content: Arc<Buffer>,
    /// For each directory, where its part of `content` lies.
    directories: HashMap<Vec<u8>, Range<usize>>,
}

/// What is stored about one directory.
#[derive(Debug, Default)]
pub(crate) struct DirRecords<'a> {
    listed: Option<&'a [u8; FIELDS]>,
    /// And where the file has what was tracked.
    index: Option<(&'a [u8; FIELDS], Range<usize>)>,
    /// Whether some of the names differ in case only.
    pub(crate) folded: bool,
    /// Sorted by name; asked for in any order, fastest in theirs.
    pub(crate) names: Vec<Listed<'a>>,
    next: usize,
}

/// A name in a directory, what it stands for, and what is stored about its content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) file_type: FileType,
    pub(crate) digested: Option<Digested<'a>>,
}

/// A file whose digest is stored; whether it still counts is to be seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digested<'a> {
    at: u32,
    lfs_pointer: bool,
    record: &'a [u8; RECORD],
}

/// A file whose digest is stored, and what was seen of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remembered {
    /// Where its record lies.
    at: u32,
    pub(crate) executable: bool,
    pub(crate) lfs_pointer: bool,
    /// In bytes.
    pub(crate) size: u64,
}

/// What will be stored about a directory.
#[derive(Debug)]
pub(crate) struct DirRecord<'a> {
    pub(crate) path: &'a [u8],
    /// What it looked like, if `records` has all its names.
    pub(crate) listed: Option<Stat>,
    /// What the index looked like and what was tracked, if the directory is the top level of a repository.
    pub(crate) index: Option<(Stat, &'a [u8])>,
    /// Whether some of its names differ in case only.
    pub(crate) folded: bool,
    /// Sorted by name.
    pub(crate) records: Vec<Record<'a>>,
}

/// What will be stored about a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    name: &'a [u8],
    /// For [`KINDS`] or one of the two besides.
    kind: u8,
    digest: Option<[u8; RECORD]>,
}

impl StatCache {
    /// Reads the cache of the tree at `root`; whatever is wrong with it, the result is empty.
    pub(crate) fn load(path: &Path, root: &Root) -> Self {
        let load = || {
            let metadata = std::fs::metadata(path).ok()?;
            if !metadata.is_file() {
                return None;
            }
            let size = usize::try_from(metadata.len()).ok()?;
            Self::parse(Buffer::read(File::open(path).ok()?, size).ok()?, &tree_id(root))
        };
        load().unwrap_or_default()
    }

    pub(crate) fn parse(content: Buffer, tree: &[u8; DIGEST]) -> Option<Self> {
        let end = content.len().checked_sub(DIGEST)?;
        let (body, checksum) = content.split_at(end);
        if !body.starts_with(MAGIC) || blake3::hash(body).as_bytes() != checksum {
            return None;
        }
        let mut at = MAGIC.len();
        let mut take = |length: usize| {
            let range = at..at.checked_add(length).filter(|&next| next <= end)?;
            at = range.end;
            Some(range)
        };
        let number = |range: Range<usize>| Some(u32::from_le_bytes(content.get(range)?.try_into().ok()?) as usize);
        if content[take(DIGEST)?] != *tree {
            return None;
        }
        let count = number(take(4)?)?;
        let mut directories = HashMap::with_capacity(count.min(end / 12));
        for _ in 0..count {
            let length = number(take(4)?)?;
            let path = content[take(length)?].to_vec();
            let length = number(take(4)?)?;
            directories.insert(path, take(length)?);
        }
        Some(Self { content: Arc::new(content), directories })
    }

    /// The directories that something is stored about, in no order.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn paths(&self) -> impl Iterator<Item = &[u8]> {
        self.directories.keys().map(Vec::as_slice)
    }

    /// What is stored about the directory `path`.
    pub(crate) fn directory(&self, path: &[u8]) -> DirRecords<'_> {
        let Some(range) = self.directories.get(path) else { return DirRecords::default() };
        DirRecords::parse(&self.content[range.clone()], range.start).unwrap_or_default()
    }

    /// What was tracked, which lies at a place that was found in this cache.
    pub(crate) fn tracked(&self, at: Range<usize>) -> Tracked {
        Tracked::remembered(self.content.clone(), at)
    }

    /// The digest of a file that was found in this cache.
    pub(crate) fn digest(&self, file: Remembered) -> FileDigest {
        let mut digest = [0; DIGEST];
        digest.copy_from_slice(&self.record(file)[FIELDS..]);
        FileDigest(digest)
    }

    fn record(&self, file: Remembered) -> &[u8] {
        &self.content[file.at as usize..][..RECORD]
    }

    /// Writes `directories`, and all others as they are.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written; nothing but speed is lost.
    pub(crate) fn save(&self, path: &Path, root: &Root, directories: &[DirRecord<'_>]) -> Result<(), Error> {
        let replaced: HashSet<&[u8]> = directories.iter().map(|directory| directory.path).collect();
        // What is gone from the disk goes from the cache, too.
        let exists = |path: &[u8]| platform_path(path).is_ok_and(|path| root.path().join(path).is_dir());
        let kept: Vec<_> = self
            .directories
            .iter()
            .filter(|(path, _)| !replaced.contains(path.as_slice()) && exists(path.as_slice()))
            .collect();
        let mut content = MAGIC.to_vec();
        content.extend_from_slice(&tree_id(root));
        put_length(&mut content, kept.len() + directories.len());
        for (path, range) in kept {
            put_length(&mut content, path.len());
            content.extend_from_slice(path);
            put_length(&mut content, range.len());
            content.extend_from_slice(&self.content[range.clone()]);
        }
        for directory in directories {
            put_length(&mut content, directory.path.len());
            content.extend_from_slice(directory.path);
            let encoded = directory.encode();
            put_length(&mut content, encoded.len());
            content.extend_from_slice(&encoded);
        }
        let checksum = blake3::hash(&content);
        content.extend_from_slice(checksum.as_bytes());
        write_atomically(path, &content)
    }
}

impl<'a> DirRecords<'a> {
    /// What is in `content`, which begins at the place `start` of the file.
    fn parse(content: &'a [u8], start: usize) -> Option<Self> {
        let (&flags, mut rest) = content.split_first()?;
        let (mut listed, mut index) = (None, None);
        if flags & LISTED != 0 {
            let (fields, after) = rest.split_first_chunk()?;
            (listed, rest) = (Some(fields), after);
        }
        if flags & INDEX != 0 {
            let (fields, after) = rest.split_first_chunk()?;
            let (length, after) = after.split_first_chunk()?;
            let at = start + content.len() - after.len();
            let (tracked, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            (index, rest) = (Some((fields, at..at + tracked.len())), after);
        }
        let mut names = Vec::with_capacity(rest.len() / (RECORD + 16));
        while let Some((head, after)) = rest.split_first_chunk::<2>() {
            let (name, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*head)))?;
            let (&kind, after) = after.split_first()?;
            let (listed, after) = if kind == DIGESTED || kind == LFS_POINTER {
                let (record, after) = after.split_first_chunk()?;
                let at = u32::try_from(start + content.len() - after.len() - RECORD).ok()?;
                let digested = Some(Digested { at, lfs_pointer: kind == LFS_POINTER, record });
                (Listed { name, file_type: FileType::File, digested }, after)
            } else {
                let file_type = KINDS.iter().find(|(byte, _)| *byte == kind)?.1;
                (Listed { name, file_type, digested: None }, after)
            };
            names.push(listed);
            rest = after;
        }
        Some(Self { listed, index, folded: flags & FOLDED != 0, names, next: 0 })
    }

    /// Whether `names` are all names in the directory: it looks exactly as it did when they were stored.
    pub(crate) fn are_complete(&self, own: &Stat) -> bool {
        self.listed.is_some_and(|listed| looks_like(listed, own))
    }

    /// Where the file has what was tracked when the index of the directory's repository looked exactly like `stat`.
    pub(crate) fn tracked(&self, stat: &Stat) -> Option<Range<usize>> {
        let (_, tracked) = self.index.as_ref().filter(|(index, _)| looks_like(index, stat))?;
        Some(tracked.clone())
    }

    /// The file `name`, if it looks exactly as it did when its digest was stored.
    pub(crate) fn find(&mut self, name: &[u8], stat: &Stat) -> Option<Remembered> {
        self.digested(name)?.matches(stat)
    }

    /// What is stored about the file `name`, unseen.
    pub(crate) fn keep(&mut self, name: &'a [u8]) -> Record<'a> {
        match self.digested(name) {
            Some(digested) => Record::digested(name, *digested.record, digested.lfs_pointer),
            None => Record::new(name, FileType::File),
        }
    }

    /// A name that the disk has, with what is stored about it.
    pub(crate) fn joined<'n>(&mut self, (name, file_type): (&'n [u8], FileType)) -> Listed<'n>
    where
        'a: 'n,
    {
        Listed { name, file_type, digested: self.digested(name) }
    }

    /// What the file `name` looked like when its digest was stored, if one is.
    pub(crate) fn digested(&mut self, name: &[u8]) -> Option<Digested<'a>> {
        if self.names.get(self.next).is_none_or(|next| next.name != name) {
            self.next = self.names.binary_search_by(|other| other.name.cmp(name)).ok()?;
        }
        self.next += 1;
        self.names.get(self.next - 1)?.digested
    }
}

impl Digested<'_> {
    /// The file, if it looks exactly as it did when its digest was stored.
    pub(crate) fn matches(self, stat: &Stat) -> Option<Remembered> {
        let Self { at, lfs_pointer, record } = self;
        let remembered = Remembered { at, size: stat.size, executable: stat.is_executable(), lfs_pointer };
        let looks = record.first_chunk().is_some_and(|fields| looks_like(fields, stat));
        (looks && stat.file_type == FileType::File).then_some(remembered)
    }
}

impl DirRecord<'_> {
    fn encode(&self) -> Vec<u8> {
        let mut content = vec![if self.folded { FOLDED } else { 0 }];
        if let Some(fields) = self.listed.as_ref().and_then(fields_of) {
            content[0] |= LISTED;
            content.extend_from_slice(&fields);
        }
        if let Some((stat, tracked)) = &self.index
            && let Some(fields) = fields_of(stat)
        {
            content[0] |= INDEX;
            content.extend_from_slice(&fields);
            put_length(&mut content, tracked.len());
            content.extend_from_slice(tracked);
        }
        for record in &self.records {
            record.encode(&mut content);
        }
        content
    }
}

impl<'a> Record<'a> {
    /// A name of which nothing but its kind is known.
    pub(crate) fn new(name: &'a [u8], file_type: FileType) -> Self {
        let kind = KINDS.iter().find(|(_, known)| *known == file_type);
        Self { name, kind: kind.expect("because the table has every kind").0, digest: None }
    }

    fn digested(name: &'a [u8], digest: [u8; RECORD], lfs_pointer: bool) -> Self {
        Self { name, kind: if lfs_pointer { LFS_POINTER } else { DIGESTED }, digest: Some(digest) }
    }

    /// A file that was read.
    pub(crate) fn of_file(name: &'a [u8], stat: &Stat, digest: FileDigest, lfs_pointer: bool) -> Self {
        let Some(fields) = fields_of(stat) else { return Self::new(name, FileType::File) };
        let mut bytes = [0; RECORD];
        bytes[..FIELDS].copy_from_slice(&fields);
        bytes[FIELDS..].copy_from_slice(&digest.0);
        Self::digested(name, bytes, lfs_pointer)
    }

    /// A file that was not read, because it looks as `cache` says.
    pub(crate) fn of_remembered(name: &'a [u8], cache: &StatCache, file: Remembered) -> Self {
        match cache.record(file).try_into() {
            Ok(bytes) => Self::digested(name, bytes, file.lfs_pointer),
            Err(_) => Self::new(name, FileType::File),
        }
    }

    pub(crate) fn name(&self) -> &'a [u8] {
        self.name
    }

    fn encode(&self, content: &mut Vec<u8>) {
        let length = u16::try_from(self.name.len()).expect("because a path of a tree has less than 64 KiB");
        content.extend_from_slice(&length.to_le_bytes());
        content.extend_from_slice(self.name);
        content.push(self.kind);
        content.extend(self.digest.iter().flatten());
    }
}

/// What a file looks like, in a form that is equal only if every field is. `None` for what the form has no room for (times
/// before 1970 or after 2513, 256 TiB): that is never remembered.
pub(crate) fn fields_of(stat: &Stat) -> Option<[u8; FIELDS]> {
    let time = |(seconds, nanoseconds): Time| {
        let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds < 1 << 34)?;
        (nanoseconds < 1 << 30).then_some(seconds << 30 | u64::from(nanoseconds))
    };
    let size = (stat.size < 1 << 48 && stat.mode < 1 << 16).then_some(stat.size << 16 | u64::from(stat.mode))?;
    let fields = [time(stat.modified)?, time(stat.changed)?, stat.device, stat.inode, size];
    let mut bytes = [0; FIELDS];
    for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
        place.copy_from_slice(&field.to_le_bytes());
    }
    Some(bytes)
}

fn looks_like(fields: &[u8; FIELDS], stat: &Stat) -> bool {
    fields_of(stat).is_some_and(|now| now == *fields)
}

fn put_length(content: &mut Vec<u8>, length: usize) {
    let length =
        u32::try_from(length).expect("because a tree of 2^32 directories or files per directory cannot be held");
    content.extend_from_slice(&length.to_le_bytes());
}

/// A file whose checksum is right, with `body` after what names the tree.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn framed(tree: &[u8; DIGEST], body: &[u8]) -> Vec<u8> {
    let content = [MAGIC, &tree[..], body].concat();
    [&content[..], blake3::hash(&content).as_bytes()].concat()
}

/// Names the tree, so that the cache of another one is not even looked into.
fn tree_id(root: &Root) -> [u8; DIGEST] {
    blake3::hash(root.path().as_os_str().as_encoded_bytes()).into()
}

/// A name next to `path` that no other writer uses.
pub(crate) fn temporary_name(path: &Path, what: &str) -> PathBuf {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{}.{what}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    path.with_file_name(name)
}

/// Replaces the file `path` as a whole, making its directory if need be.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::io("write", path, source);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let temporary = temporary_name(path, "new");
    let written = File::create_new(&temporary)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    sweep(path);
    written.map_err(failed)
}

/// Removes what writers of `path` that were killed left behind an hour ago or earlier, as far as that is possible.
fn sweep(path: &Path) {
    const OLD: Duration = Duration::from_secs(3600);
    let modified = |path: &Path| std::fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    let (Some(name), Some(parent), Ok(now)) = (path.file_name(), path.parent(), modified(path)) else { return };
    let mut prefix = name.to_owned();
    prefix.push(".");
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        let is_temporary =
            name.starts_with(prefix.as_encoded_bytes()) && (name.ends_with(b".new") || name.ends_with(b".probe"));
        let is_old = || modified(&entry.path()).is_ok_and(|then| now.duration_since(then).is_ok_and(|age| age > OLD));
        if is_temporary && is_old() {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::FileType;

    fn stat(modified: Time, changed: Time, device: u64) -> Stat {
        Stat { file_type: FileType::File, mode: 0o644, size: 1, modified, changed, device, inode: 1 }
    }

    #[test]
    fn only_what_is_strictly_older_than_the_file_systems_time_is_settled() {
        let settled = Settled { now: Some((7, (100, 500))), directories: true };
        for (modified, changed, device, expected) in [
            ((100, 499), (100, 499), 7, true),
            ((50, 0), (99, 999), 7, true),
            // A write after the probe may get this very time.
            ((100, 500), (100, 499), 7, false),
            ((100, 499), (100, 500), 7, false),
            // Set by hand to the future, or changed in it.
            ((200, 0), (99, 0), 7, false),
            ((99, 0), (101, 0), 7, false),
            // Another file system has another clock.
            ((50, 0), (50, 0), 8, false),
        ] {
            assert_eq!(settled.holds(&stat(modified, changed, device)), expected, "{modified:?} {changed:?} {device}");
        }
    }

    #[test]
    fn a_file_system_of_whole_seconds_gets_two_seconds_of_slack() {
        let settled = Settled { now: Some((7, (100, 0))), directories: true };
        assert!(settled.holds(&stat((97, 0), (97, 0), 7)));
        assert!(!settled.holds(&stat((98, 0), (97, 0), 7)));
        assert!(!settled.holds(&stat((97, 0), (99, 0), 7)));
    }

    #[test]
    fn without_a_probe_nothing_is_settled() {
        assert!(!Settled::default().holds(&stat((0, 0), (0, 0), 0)));
        assert!(!Settled::default().holds_names(&stat((0, 0), (0, 0), 0)));
    }

    #[test]
    fn looks_are_equal_only_if_every_field_is() {
        let base = Stat { size: 1 << 47, modified: (1 << 33, 7), changed: (9, 999_999_999), ..stat((0, 0), (0, 0), 3) };
        let others = [
            Stat { mode: 0o755, ..base },
            Stat { size: base.size + 1, ..base },
            Stat { modified: (base.modified.0, 8), ..base },
            Stat { modified: (base.modified.0 + 1, 7), ..base },
            Stat { changed: (9, 999_999_998), ..base },
            Stat { changed: (10, 999_999_999), ..base },
            Stat { device: 4, ..base },
            Stat { inode: 2, ..base },
        ];
        let fields = fields_of(&base).unwrap();
        assert!(looks_like(&fields, &base));
        for (at, other) in others.iter().enumerate() {
            assert!(!looks_like(&fields, other), "{other:?}");
            assert!(others[..at].iter().all(|earlier| fields_of(earlier) != fields_of(other)), "{other:?}");
        }
        for beyond in
            [Stat { modified: (-1, 0), ..base }, Stat { changed: (1 << 34, 0), ..base }, Stat { size: 1 << 48, ..base }]
        {
            assert_eq!(fields_of(&beyond), None, "{beyond:?}");
            assert!(!looks_like(&fields, &beyond));
        }
    }
}
