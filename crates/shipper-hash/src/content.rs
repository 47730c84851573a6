//! Looking at files: what is there now, and the digest of its bytes.
//!
//! Invariants: a digest belongs to bytes that were read while the file did not change (`fstat` before and after are
//! equal), or comes from the stat cache, which proves as much. Memory is one buffer per thread, whatever the size of a
//! file. Each node is looked at once per process.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::cache::{DirRecords, Remembered, Settled, StatCache};
use crate::commit::Commit;
use crate::fs::{Directory, FileType, Root, Stat, is_absent, stat_of_file};
use crate::listing::{Dir, Lister, Node, NodeKind, StatAtOnce};
use crate::path::{join, platform_path};
use crate::{Error, FileDigest, RelPath};

/// Bytes read at once.
const BUFFER: usize = 1 << 20;
/// How often a file that changes under the reader is read again.
const ATTEMPTS: usize = 4;
/// Items that a thread takes at once.
const BATCH: usize = 16;
/// Files below which a second thread costs more than it saves.
const FILES_PER_THREAD: usize = 256;
/// Largest Git LFS pointer file, in bytes (Git LFS specification, "The Pointer").
const MAX_LFS_POINTER: u64 = 1023;
const LFS_MAGIC: &[u8] = b"version https://git-lfs.github.com/spec/";

/// What a file or link turned out to be.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    /// It vanished after its directory was listed.
    Gone,
    Link(Box<Link>),
    File(Box<Hashed>),
    /// A file that looks as the stat cache says.
    Remembered(Remembered),
}

/// A symbolic link.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) target: Box<[u8]>,
    pub(crate) digest: FileDigest,
}

/// A file that was read.
#[derive(Clone, Debug)]
pub(crate) struct Hashed {
    /// What it looked like meanwhile.
    pub(crate) stat: Stat,
    pub(crate) digest: FileDigest,
    pub(crate) lfs_pointer: bool,
    /// Whether the stat cache may remember it.
    pub(crate) settled: bool,
}

impl Known {
    /// The digest of a file's bytes; `None` for anything else.
    pub(crate) fn file_digest(&self, cache: &StatCache) -> Option<FileDigest> {
        match self {
            Self::Gone | Self::Link(_) => None,
            Self::File(file) => Some(file.digest),
            Self::Remembered(file) => Some(cache.digest(*file)),
        }
    }
}

/// Work done so far, counted by all threads.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) directories: AtomicUsize,
    pub(crate) names: AtomicUsize,
    pub(crate) stats: AtomicUsize,
    pub(crate) read: AtomicUsize,
    pub(crate) bytes: AtomicU64,
    pub(crate) cached: AtomicUsize,
    pub(crate) unsettled: AtomicUsize,
    /// Directories whose names came from the cache.
    pub(crate) recalled: AtomicUsize,
    /// Git indexes that were read.
    pub(crate) indexes: AtomicUsize,
    /// Directories and indexes that the cache does not have yet and may have.
    pub(crate) storable: AtomicUsize,
}

/// Reads on behalf of one tree.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) root: &'a Root,
    /// Where content comes from instead of the disk.
    pub(crate) commit: Option<&'a Commit>,
    pub(crate) cache: &'a StatCache,
    pub(crate) settled: &'a Settled,
    pub(crate) counters: &'a Counters,
}

/// Files of one directory that are wanted.
pub(crate) struct Wanted<'a> {
    pub(crate) directory: &'a Dir,
    pub(crate) nodes: Vec<&'a Node>,
}

impl Reader<'_> {
    /// Makes everything in `wanted` known, with as many threads as pay.
    ///
    /// # Errors
    /// One of the errors that occurred, if any did: the first in the order of `wanted`.
    pub(crate) fn look(&self, wanted: &[Wanted<'_>]) -> Result<(), Error> {
        let unknown = |wanted: &&Wanted<'_>| wanted.nodes.iter().any(|node| node.known().is_none());
        let wanted: Vec<&Wanted<'_>> = wanted.iter().filter(unknown).collect();
        let files = wanted.iter().map(|wanted| wanted.nodes.len()).sum();
        in_parallel(&wanted, files, |wanted, buffer| self.look_in(wanted, buffer))
    }

    /// Lists directories for a caller that will look at the files for which `stat` holds.
    pub(crate) fn lister(&self, stat: StatAtOnce) -> Lister<'_> {
        Lister {
            root: self.root,
            commit: self.commit,
            cache: self.cache,
            settled: self.settled,
            counters: self.counters,
            stat,
        }
    }

    fn look_in(&self, wanted: &Wanted<'_>, buffer: &mut Vec<u8>) -> Result<(), Error> {
        let path = &wanted.directory.path;
        if let Some(commit) = self.commit {
            for node in &wanted.nodes {
                if node.known().is_some() {
                    continue;
                }
                let earlier = node.object().filter(|_| node.kind == NodeKind::File).and_then(|id| commit.known(id));
                let known = match earlier {
                    Some(file) => Known::File(Box::new(file)),
                    None => self.look_in_commit(commit, path, node)?.1,
                };
                node.learn(known);
            }
            return Ok(());
        }
        let mut records = self.cache.directory(path);
        // Opened when the first file needs it; in a warm run none does.
        let mut directory = None;
        for node in &wanted.nodes {
            if node.known().is_some() {
                continue;
            }
            let seen = node.stat().filter(|stat| stat.file_type == FileType::File);
            let remembered = seen.and_then(|stat| records.find(&node.name, stat)).map(Known::Remembered);
            let known = match (remembered, &directory) {
                (Some(known), _) => {
                    self.counters.cached.fetch_add(1, Ordering::Relaxed);
                    known
                }
                (None, Some(directory)) => self.look_at(directory, path, node, &mut records, buffer)?,
                (None, None) => match self.root.directory(path) {
                    Ok(opened) => self.look_at(directory.insert(opened), path, node, &mut records, buffer)?,
                    Err(error) if is_absent(&error) => Known::Gone,
                    Err(source) => {
                        return Err(Error::io("open", &self.root.path().join(platform_path(path)?), source));
                    }
                },
            };
            node.learn(known);
        }
        Ok(())
    }

    /// What a commit has under a name, and its bytes.
    fn look_in_commit(&self, commit: &Commit, path: &[u8], node: &Node) -> Result<(Vec<u8>, Known), Error> {
        let path = join(path, &node.name);
        let Some(object) = node.object() else { return Err(Error::OnlyInCommit) };
        let bytes = commit.blob(object, &path)?;
        let digest = FileDigest::of(&bytes);
        if node.kind == NodeKind::Symlink {
            return Ok((bytes.clone(), Known::Link(Box::new(Link { target: bytes.into(), digest }))));
        }
        self.counters.read.fetch_add(1, Ordering::Relaxed);
        self.counters.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let lfs_pointer = bytes.len() as u64 <= MAX_LFS_POINTER && bytes.starts_with(LFS_MAGIC);
        let stat = Stat::of_blob(bytes.len() as u64);
        let file = Hashed { stat, digest, lfs_pointer, settled: false };
        commit.remember(object, &file);
        Ok((bytes, Known::File(Box::new(file))))
    }

    fn look_at(
        &self,
        directory: &Directory,
        path: &[u8],
        node: &Node,
        records: &mut DirRecords<'_>,
        buffer: &mut Vec<u8>,
    ) -> Result<Known, Error> {
        let at = || RelPath::trusted(join(path, &node.name));
        let failed = |source| match at().to_path(self.root.path()) {
            Ok(path) => Error::io("read", &path, source),
            Err(error) => error,
        };
        // What is not in the cache is read whatever it looks like, if it is still the file that was listed.
        let is_new = node.stat().is_none() && node.kind == NodeKind::File && records.digested(&node.name).is_none();
        if is_new
            && let Ok(file) = directory.open(&node.name)
            && let Ok(Some(known)) = self.read(file, buffer, |_| {})
        {
            self.counters.stats.fetch_add(1, Ordering::Relaxed);
            return Ok(known);
        }
        let stat = match node.stat() {
            Some(stat) => *stat,
            None => {
                self.counters.stats.fetch_add(1, Ordering::Relaxed);
                match directory.stat(&node.name) {
                    Err(error) if is_absent(&error) => return Ok(Known::Gone),
                    result => result.map_err(failed)?,
                }
            }
        };
        match stat.file_type {
            FileType::File => {}
            FileType::Symlink => {
                return match directory.read_link(&node.name) {
                    Ok(target) => {
                        let digest = FileDigest::of(&target);
                        Ok(Known::Link(Box::new(Link { target: target.into(), digest })))
                    }
                    Err(error) if is_absent(&error) => Ok(Known::Gone),
                    // Replaced between the two calls.
                    Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                        Err(Error::ChangedWhileReading { path: at() })
                    }
                    Err(error) => Err(failed(error)),
                };
            }
            FileType::Directory => return Err(Error::ChangedWhileReading { path: at() }),
            FileType::Special(special) => {
                return Err(Error::SpecialFile { path: at(), what: special.as_str() });
            }
        }
        if let Some(remembered) = records.find(&node.name, &stat) {
            self.counters.cached.fetch_add(1, Ordering::Relaxed);
            return Ok(Known::Remembered(remembered));
        }
        for _ in 0..ATTEMPTS {
            let file = match directory.open(&node.name) {
                Err(error) if is_absent(&error) => return Ok(Known::Gone),
                result => result.map_err(failed)?,
            };
            match self.read(file, buffer, |_| {}).map_err(failed)? {
                Some(known) => return Ok(known),
                None => std::thread::yield_now(),
            }
        }
        Err(Error::ChangedWhileReading { path: at() })
    }

    /// The bytes of a regular file; `None` if it is gone or something else by now.
    ///
    /// # Errors
    /// [`Error::ChangedWhileReading`] also if it is not what it was when another context looked at it.
    pub(crate) fn content(&self, directory: &Dir, node: &Node) -> Result<Option<Vec<u8>>, Error> {
        if let Some(commit) = self.commit {
            let (bytes, known) = self.look_in_commit(commit, &directory.path, node)?;
            node.learn(known);
            return Ok(Some(bytes));
        }
        let path = RelPath::trusted(join(&directory.path, &node.name));
        let full = path.to_path(self.root.path())?;
        let failed = |source| Error::io("read", &full, source);
        let opened = self.root.directory(&directory.path).map_err(failed)?;
        for _ in 0..ATTEMPTS {
            let file = match opened.open(&node.name) {
                Err(error) if is_absent(&error) => return Ok(None),
                result => result.map_err(failed)?,
            };
            let mut content = Vec::new();
            if let Some(known) =
                self.read(file, &mut Vec::new(), |piece| content.extend_from_slice(piece)).map_err(failed)?
            {
                let Some(digest) = known.file_digest(self.cache) else { return Ok(None) };
                let first = node.learn(known).file_digest(self.cache);
                return match first {
                    None => Ok(None),
                    Some(first) if first == digest => Ok(Some(content)),
                    Some(_) => Err(Error::ChangedWhileReading { path }),
                };
            }
        }
        Err(Error::ChangedWhileReading { path })
    }

    /// Reads one open file; `None` if it changed meanwhile. `piece` sees the bytes, also of a failed attempt.
    fn read(&self, mut file: File, buffer: &mut Vec<u8>, mut piece: impl FnMut(&[u8])) -> io::Result<Option<Known>> {
        let before = stat_of_file(&file)?;
        if before.file_type != FileType::File {
            return Ok(None);
        }
        let mut head = Vec::new();
        let (digest, length) = digest_of(&mut file, before.size, buffer, |bytes| {
            if head.is_empty() {
                head = bytes[..bytes.len().min(LFS_MAGIC.len())].to_vec();
            }
            piece(bytes);
            Ok(())
        })?;
        let after = stat_of_file(&file)?;
        self.counters.read.fetch_add(1, Ordering::Relaxed);
        self.counters.bytes.fetch_add(length, Ordering::Relaxed);
        if before != after || length != after.size {
            return Ok(None);
        }
        let lfs_pointer = length <= MAX_LFS_POINTER && head == LFS_MAGIC;
        let settled = self.settled.holds(&after);
        if !settled {
            self.counters.unsettled.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Some(Known::File(Box::new(Hashed { stat: after, digest, lfs_pointer, settled }))))
    }
}

/// The digest of everything that `file` yields, and how many bytes that was; `piece` sees them pass.
pub(crate) fn digest_of(
    file: &mut impl io::Read,
    expected: u64,
    buffer: &mut Vec<u8>,
    mut piece: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<(FileDigest, u64)> {
    // One byte more than expected, so that the end of the file is seen without a second buffer.
    let wanted = usize::try_from(expected).map_or(BUFFER, |size| (size + 1).clamp(1 << 12, BUFFER));
    if buffer.len() < wanted {
        buffer.resize(wanted, 0);
    }
    // A file that is read at once needs none.
    let mut hasher: Option<blake3::Hasher> = None;
    let mut length = 0;
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok((FileDigest(hasher.unwrap_or_default().finalize().into()), length)),
            Ok(count) => {
                length += count as u64;
                piece(&buffer[..count])?;
                // A read that comes back short has met the end of a file; that of `/proc` is not where its size says.
                let is_last = length == expected && count < buffer.len();
                if is_last && length == count as u64 {
                    return Ok((FileDigest::of(&buffer[..count]), length));
                }
                let hasher = hasher.get_or_insert_with(blake3::Hasher::new);
                hasher.update(&buffer[..count]);
                if is_last {
                    return Ok((FileDigest(hasher.finalize().into()), length));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Calls `work` for each of `items`, which hold `files` files, with as many threads as pay; each has a buffer.
///
/// # Errors
/// One of the errors that occurred, if any did: the first in the order of `items` among those seen.
pub(crate) fn in_parallel<T: Sync>(
    items: &[T],
    files: usize,
    work: impl Fn(&T, &mut Vec<u8>) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let threads = threads().min(files / FILES_PER_THREAD + 1);
    let next = AtomicUsize::new(0);
    let run = || -> Result<(), (usize, Error)> {
        let mut buffer = Vec::new();
        loop {
            let from = next.fetch_add(BATCH, Ordering::Relaxed);
            for (at, item) in items.iter().enumerate().skip(from).take(BATCH) {
                work(item, &mut buffer).map_err(|error| {
                    next.store(items.len(), Ordering::Relaxed);
                    (at, error)
                })?;
            }
            if from >= items.len() {
                return Ok(());
            }
        }
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let own = run();
        let helped = helpers.into_iter().map(|helper| match helper.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        std::iter::once(own).chain(helped).collect()
    });
    let errors = results.into_iter().filter_map(Result::err);
    errors.min_by_key(|(at, _)| *at).map_or(Ok(()), |(_, error)| Err(error))
}

/// How many threads read at once.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get().min(16))
}
