//! A project directory, listed once and read once for all contexts that are made of it.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use shipper_dockerfile::WidenReason;

use crate::cache::{DirRecord, Record, Settled, StatCache};
use crate::commit::Commit;
use crate::content::{Counters, Known, Reader};
use crate::context::ContextBuilder;
use crate::fs::{FileType, Root};
use crate::listing::{Dir, Lister, Node, NodeKind};
use crate::narrow::{Followed, follow};
use crate::path::{join, split_parent};
use crate::repository::top_level;
use crate::walk::{Filter, Strictness};
use crate::{Error, Narrow, RelPath, Selection};

/// What counts of files that git does not know and does not ignore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Untracked {
    /// They are part of a context, as Docker would send them.
    #[default]
    Include,
    /// They are left out.
    Ignore,
    /// They are an error: for machines where a work tree should be clean.
    Deny,
}

/// How a tree is read.
#[derive(Clone, Debug, Default)]
pub struct TreeOptions {
    /// Policy on files that git does not know.
    pub untracked: Untracked,
    /// The file of the stat cache, which must lie outside the tree; `None` reads every file.
    pub cache: Option<PathBuf>,
    /// Read every file even if the cache knows it.
    pub paranoid: bool,
}

/// Work done on behalf of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TreeStats {
    /// Directories listed, from disk or from the cache.
    pub directories: usize,
    /// Names found in them, directories included.
    pub listed: usize,
    /// Files and links looked at (`lstat`, or `fstat` of a file that is read).
    pub stats: usize,
    /// Files whose bytes were read.
    pub read: usize,
    /// Bytes read from files.
    pub bytes: u64,
    /// Files whose digest came from the cache.
    pub cached: usize,
    /// Directories whose names came from the cache.
    pub recalled: usize,
    /// Git indexes that were read; one that looks as before comes from the cache.
    pub indexes: usize,
}

/// The path of a directory relative to the top level of its work tree.
#[cfg(feature = "git")]
fn below(root: &Path, top: &Path) -> Vec<u8> {
    root.strip_prefix(top).ok().and_then(crate::path::platform_bytes).unwrap_or_default()
}

/// A directory whose files contexts are made of.
///
/// Each directory is listed and each file read at most once, however many contexts are made. Hashing starts no
/// process, opens no socket and writes nothing into the tree.
///
/// ```
/// use shipper_hash::{Selection, Tree, TreeOptions};
/// # let directory = tempfile::tempdir()?;
/// # std::fs::write(directory.path().join("hello.txt"), "hello\n")?;
/// let tree = Tree::open(directory.path(), &TreeOptions::default())?;
/// let mut context = tree.context(None)?;
/// context.add(&Selection::default())?;
/// let context = context.finish()?;
/// assert_eq!(context.manifest().entries().len(), 1);
/// println!("{}", context.hash());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Tree {
    root: Arc<Root>,
    /// Where files are from, if not from the disk.
    commit: Option<Commit>,
    listing: Arc<Dir>,
    options: TreeOptions,
    cache: StatCache,
    settled: Settled,
    counters: Counters,
    tracked: OnceLock<Vec<RelPath>>,
    #[cfg(feature = "cargo")]
    cargo: OnceLock<crate::cargo::Index>,
}

impl Tree {
    /// Opens the directory `root`: in a git work tree (at its top level or below), or in none.
    ///
    /// The repository is the one of the nearest ancestor with a `.git`; the environment of git (`GIT_DIR`,
    /// `GIT_INDEX_FILE`) does not count.
    ///
    /// # Errors
    /// [`Error::Io`] if the directory or an ignore file cannot be read, [`Error::Git`] if the repository's index or
    /// configuration cannot be.
    pub fn open(root: &Path, options: &TreeOptions) -> Result<Self, Error> {
        let root = Root::open(root).map_err(|source| Error::io("open", root, source))?;
        let counters = Counters::default();
        let settled = Settled::probe(&root, options.cache.as_deref());
        let cache = match &options.cache {
            Some(path) if !options.paranoid => StatCache::load(path, &root),
            _ => StatCache::default(),
        };
        let lister = Lister {
            root: &root,
            commit: None,
            cache: &cache,
            settled: &settled,
            counters: &counters,
            stat: |_, _| false,
        };
        let listing = Dir::root(lister, top_level(root.path()))?;
        Ok(Self {
            root: Arc::new(root),
            commit: None,
            listing,
            options: options.clone(),
            cache,
            settled,
            counters,
            tracked: OnceLock::new(),
            #[cfg(feature = "cargo")]
            cargo: OnceLock::new(),
        })
    }

    /// The files of a commit instead of those on disk, for the directory `root` in a git work tree.
    ///
    /// `revision` is what gitrevisions(7) says, for what is in the repository; nothing is fetched. The work tree is not
    /// looked at, so it may be bare of files, changed, or checked out elsewhere. A commit's context has the hash that a
    /// clean checkout has, unless git would change bytes on the way (`core.autocrlf`, filters, Git LFS): here content is
    /// what the blob holds. Submodules are commits of other repositories, and contexts that need one are refused.
    ///
    /// # Errors
    /// [`Error::NoRepository`], [`Error::Revision`] if there is no such commit, [`Error::NotInCommit`] if it does not have
    /// the directory, [`Error::Git`] if an object is missing or broken.
    #[cfg(feature = "git")]
    pub fn at_commit(root: &Path, revision: &str) -> Result<Self, Error> {
        let root = Root::open(root).map_err(|source| Error::io("open", root, source))?;
        let missing = || Error::NoRepository { path: root.path().to_owned(), revision: revision.to_owned() };
        let top = top_level(root.path()).ok_or_else(missing)?;
        if !crate::commit::is_revision(revision) {
            let source = "it is no name of a revision".into();
            return Err(Error::Revision { path: top.to_owned(), revision: revision.to_owned(), source });
        }
        let commit = Commit::open(top, revision, &below(root.path(), top))?;
        Self::of_commit(Arc::new(root), commit)
    }

    /// As [`Tree::at_commit`], for another commit of the repository. A file that both commits have is read once, if this
    /// tree is a commit's too.
    ///
    /// # Errors
    /// As [`Tree::at_commit`].
    #[cfg(feature = "git")]
    pub fn at_other_commit(&self, revision: &str) -> Result<Self, Error> {
        match (&self.commit, top_level(self.root.path())) {
            (Some(commit), Some(top)) if crate::commit::is_revision(revision) => {
                let commit = commit.other(revision, &below(self.root.path(), top))?;
                Self::of_commit(Arc::clone(&self.root), commit)
            }
            _ => Self::at_commit(self.root.path(), revision),
        }
    }

    #[cfg(feature = "git")]
    fn of_commit(root: Arc<Root>, commit: Commit) -> Result<Self, Error> {
        let listing = Dir::of_commit(&commit, &commit.tree)?;
        Ok(Self {
            root,
            commit: Some(commit),
            listing,
            options: TreeOptions::default(),
            cache: StatCache::default(),
            settled: Settled::default(),
            counters: Counters::default(),
            tracked: OnceLock::new(),
            #[cfg(feature = "cargo")]
            cargo: OnceLock::new(),
        })
    }

    /// The full name of the commit that the files are from; `None` if they are those on disk.
    #[must_use]
    pub fn commit(&self) -> Option<&str> {
        #[cfg(feature = "git")]
        return self.commit.as_ref().map(|commit| commit.name.as_str());
        #[cfg(not(feature = "git"))]
        None
    }

    /// The tree's directory, without links in its path.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Whether a git index says what is tracked. Without the feature `git` it never does.
    #[must_use]
    pub fn is_git(&self) -> bool {
        self.listing.repository().is_git
    }

    /// Begins a context whose paths are relative to `base`, a directory of the tree, or to the root.
    ///
    /// # Errors
    /// [`Error::NotFound`] if `base` is no directory of the tree.
    pub fn context(&self, base: Option<&RelPath>) -> Result<ContextBuilder<'_>, Error> {
        if let Some(base) = base {
            let found = self.base_listing(Some(base))?.filter(|directory| directory.exists);
            found.ok_or_else(|| Error::NotFound { path: base.clone() })?;
        }
        Ok(ContextBuilder::new(self, base.cloned()))
    }

    /// The paths of all files and links of the [`Tracked`](crate::FileSet::Tracked) set, relative to the root and
    /// sorted by path bytes. Under [`Untracked::Deny`] untracked files are listed; what cannot be hashed is not.
    ///
    /// # Errors
    /// [`Error::Io`] if a directory cannot be listed.
    pub fn tracked(&self) -> Result<&[RelPath], Error> {
        if self.tracked.get().is_none() {
            let filter = Filter::new(None, &Selection::default(), None, self.options.untracked)?;
            let (found, _) = filter.apply(&self.listing, self.reader(), Strictness::PassOver)?;
            let path = |(directory, node): (&Dir, &Node)| RelPath::trusted(join(&directory.path, &node.name));
            let paths = found.files().map(path).collect();
            self.tracked.get_or_init(|| paths);
        }
        Ok(self.tracked.get().map(Vec::as_slice).unwrap_or_default())
    }

    /// What is known about the Cargo packages of the tree.
    #[cfg(feature = "cargo")]
    pub(crate) fn cargo_index(&self) -> Result<&crate::cargo::Index, Error> {
        if let Some(index) = self.cargo.get() {
            return Ok(index);
        }
        let index = crate::cargo::Index::new(self)?;
        Ok(self.cargo.get_or_init(|| index))
    }

    /// The bytes of one regular file of the tree, ignored by git or not; links are not followed.
    ///
    /// A context that contains the file later has these bytes, or the stage finds that it changed.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no regular file at `path`, [`Error::Io`] if it cannot be read,
    /// [`Error::ChangedWhileReading`] if it does not hold still.
    pub fn read(&self, path: &RelPath) -> Result<Vec<u8>, Error> {
        let (parent, name) = split_parent(path.as_bytes());
        let missing = || Error::NotFound { path: path.clone() };
        let directory = self.directory(parent.unwrap_or_default())?.ok_or_else(missing)?;
        let node = directory.node(name).filter(|node| node.kind == NodeKind::File);
        self.reader().content(&directory, node.ok_or_else(missing)?)?.ok_or_else(missing)
    }

    /// Writes the stat cache if anything is to be added. A failure costs speed only: warn and go on.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save_cache(&self) -> Result<(), Error> {
        let Some(path) = &self.options.cache else { return Ok(()) };
        let count = |counter: &std::sync::atomic::AtomicUsize| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        if count(&counters.read) == count(&counters.unsettled) && count(&counters.storable) == 0 {
            return Ok(());
        }
        let mut directories = Vec::new();
        let mut waiting = vec![&self.listing];
        while let Some(directory) = waiting.pop() {
            waiting.extend(directory.nodes.iter().filter_map(Node::listed_child));
            if directory.exists {
                directories.push(self.record(directory));
            }
        }
        self.cache.save(path, &self.root, &directories)
    }

    /// What the cache should hold for a directory.
    fn record<'a>(&'a self, directory: &'a Dir) -> DirRecord<'a> {
        let mut old = self.cache.directory(&directory.path);
        let on_disk = directory.nodes.iter().filter_map(|node| Some((node, node.on_disk?)));
        let record = |(node, file_type): (&'a Node, FileType)| match node.known() {
            Some(Known::File(file)) if file.settled => {
                Record::of_file(&node.name, &file.stat, file.digest, file.lfs_pointer)
            }
            Some(Known::Remembered(file)) => Record::of_remembered(&node.name, &self.cache, *file),
            None if file_type == FileType::File => old.keep(&node.name),
            _ => Record::new(&node.name, file_type),
        };
        let mut records: Vec<Record<'a>> = on_disk.map(record).collect();
        records.extend(directory.git.map(|file_type| Record::new(b".git", file_type)));
        records.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        let index = directory.index.map(|index| (index, directory.repository().tracked.bytes()));
        DirRecord { path: &directory.path, listed: directory.listed, index, folded: directory.folded, records }
    }

    /// What has been done so far.
    #[must_use]
    pub fn stats(&self) -> TreeStats {
        let counters = &self.counters;
        TreeStats {
            directories: counters.directories.load(Ordering::Relaxed),
            listed: counters.names.load(Ordering::Relaxed),
            stats: counters.stats.load(Ordering::Relaxed),
            read: counters.read.load(Ordering::Relaxed),
            bytes: counters.bytes.load(Ordering::Relaxed),
            cached: counters.cached.load(Ordering::Relaxed),
            recalled: counters.recalled.load(Ordering::Relaxed),
            indexes: counters.indexes.load(Ordering::Relaxed),
        }
    }

    /// The listing of the directory `path`; `None` if there is none.
    fn directory(&self, path: &[u8]) -> Result<Option<Arc<Dir>>, Error> {
        let mut directory = self.listing.clone();
        for part in path.split(|&byte| byte == b'/').filter(|part| !part.is_empty()) {
            let Some(node) = directory.subdirectory(part) else { return Ok(None) };
            directory = directory.child(node, self.reader().lister(|_, _| false))?;
        }
        Ok(Some(directory))
    }

    /// The listing of a context's directory.
    pub(crate) fn base_listing(&self, base: Option<&RelPath>) -> Result<Option<Arc<Dir>>, Error> {
        self.directory(base.map(RelPath::as_bytes).unwrap_or_default())
    }

    /// The narrowing of `selection` with what symbolic links in the directory `base` lead to, and why it was given up.
    pub(crate) fn limits(
        &self,
        selection: &Selection<'_>,
        base: Option<&RelPath>,
    ) -> Result<(Option<Vec<Narrow>>, Vec<WidenReason>), Error> {
        match (&selection.only, self.base_listing(base)?) {
            (Some(limits), Some(base)) => Ok(match follow(limits, &base, self.reader())? {
                Followed::Limits(limits) => (Some(limits), Vec::new()),
                Followed::Whole(reasons) => (None, reasons),
            }),
            (only, _) => Ok((only.clone(), Vec::new())),
        }
    }

    pub(crate) fn listing(&self) -> &Arc<Dir> {
        &self.listing
    }

    /// The target text of the link `path`.
    #[cfg(feature = "cargo")]
    pub(crate) fn link_target(&self, path: &RelPath) -> Result<Vec<u8>, Error> {
        let (parent, name) = split_parent(path.as_bytes());
        let missing = || Error::NotFound { path: path.clone() };
        let directory = self.directory(parent.unwrap_or_default())?.ok_or_else(missing)?;
        let node = directory.node(name).filter(|node| node.kind == NodeKind::Symlink).ok_or_else(missing)?;
        self.reader().look(&[crate::content::Wanted { directory: &directory, nodes: vec![node] }])?;
        match node.known() {
            Some(Known::Link(link)) => Ok(link.target.to_vec()),
            _ => Err(missing()),
        }
    }

    pub(crate) fn is_on_disk(&self) -> bool {
        self.commit.is_none()
    }

    pub(crate) fn shared_root(&self) -> &Arc<Root> {
        &self.root
    }

    pub(crate) fn cache(&self) -> &StatCache {
        &self.cache
    }

    pub(crate) fn untracked(&self) -> Untracked {
        self.options.untracked
    }

    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader {
            root: &self.root,
            commit: self.commit.as_ref(),
            cache: &self.cache,
            settled: &self.settled,
            counters: &self.counters,
        }
    }
}
