//! The directories of a tree, each read once per process: which names are there, tracked, ignored.
//!
//! Invariants: a [`Dir`] is what the disk said; the index only marks names as tracked and adds those that it expects
//! and that are not there. Directories are never reached through a link. `.git` never appears. Nodes are sorted by
//! name with `/` after the names of directories, so that a walk in their order yields paths in bytewise order.

use std::io::Read as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use crate::cache::{DirRecords, Settled, StatCache};
use crate::commit::{Commit, InTree, ObjectName};
use crate::content::{Counters, Known};
use crate::fold;
use crate::fs::{Directory, FileName, FileType, Name, Names, Root, Special, Stat, is_absent};
use crate::gitignore::Rules;
use crate::path::{escape, join, platform_path};
use crate::repository::{
    Child, Flags, MAX_IGNORE_FILE, Repository, is_nested_repository, is_work_tree, read_ignore_file,
};
use crate::{Error, FileDigest, Kind};

/// Longest path of a tree, in bytes (`PATH_MAX` on Linux): nothing deeper can be opened by a builder.
const MAX_PATH: usize = 4096;

/// One directory.
#[derive(Debug)]
pub(crate) struct Dir {
    /// Relative to the tree's root; the root's is empty.
    pub(crate) path: Vec<u8>,
    pub(crate) nodes: Vec<Node>,
    /// Whether it is on disk; the index may expect one that is not.
    pub(crate) exists: bool,
    /// What it looked like before its names were read, if the stat cache may remember them.
    pub(crate) listed: Option<Stat>,
    /// What the index looked like, if a repository was opened for this directory and the stat cache may remember it.
    pub(crate) index: Option<Stat>,
    /// Whether some of its names differ in case only.
    pub(crate) folded: bool,
    /// Whether that is so here or in a directory above it.
    pub(crate) below_folded: bool,
    /// What its `.git` stands for, if it has one.
    pub(crate) git: Option<FileType>,
    place: Place,
}

/// Where a directory stands in its repository.
#[derive(Clone, Debug)]
struct Place {
    repository: Arc<Repository>,
    /// Relative to the repository's top level.
    path: Vec<u8>,
    /// Where the index has what is tracked in it.
    tracked: u32,
    /// Rules that its own names are judged by; its own `.gitignore` included.
    rules: Option<Arc<Rules>>,
    /// Whether everything untracked in it is ignored, as far as it was judged.
    ignored: bool,
    /// The bytes of `path` that were judged, if not all were: that of a directory with tracked files waits until there
    /// is something in it that depends on it.
    judged: Option<usize>,
    /// Whether it may be missing on disk: the index expects it.
    expected: bool,
}

/// One name in a directory.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: FileName,
    pub(crate) kind: NodeKind,
    /// In the index; for a directory, whether anything below it is.
    pub(crate) tracked: bool,
    /// Untracked and ignored by git; of directories, known for those with nothing tracked below them.
    pub(crate) ignored: bool,
    /// What the disk has under this name; `None` if only the index has it.
    pub(crate) on_disk: Option<FileType>,
    /// The index, or the commit, says that it is executable.
    executable: bool,
    /// In a commit: the blob or tree behind the name.
    pub(crate) object: Option<Box<ObjectName>>,
    submodule: bool,
    /// For a directory: where the index has what is tracked in it.
    entries: u32,
    child: OnceLock<Arc<Dir>>,
    /// `lstat` at the time of the listing, if that alone did not make it known.
    pub(crate) seen: Option<Box<Stat>>,
    /// For files and links: what was found when it was last looked at.
    pub(crate) known: OnceLock<Known>,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeKind {
    File,
    Symlink,
    Directory,
    Special(Special),
    /// A file in the index, left out by a sparse checkout.
    Sparse,
    /// A directory in a sparse index, left out as a whole.
    SparseDirectory,
    /// A submodule without a checkout.
    Submodule,
    /// A submodule in a commit, whose files the commit does not have.
    CommittedSubmodule,
}

/// Who asks for a listing: what is to be counted, and which files will be looked at anyway.
#[derive(Clone, Copy)]
pub(crate) struct Lister<'a> {
    pub(crate) root: &'a Root,
    /// Where names come from instead of the disk.
    pub(crate) commit: Option<&'a Commit>,
    pub(crate) cache: &'a StatCache,
    pub(crate) settled: &'a Settled,
    pub(crate) counters: &'a Counters,
    /// Whether `lstat` is done for a file while its directory is open.
    pub(crate) stat: fn(&Node) -> bool,
}

impl Dir {
    /// Lists the root of a tree, which lies in the repository at `top` or in none.
    pub(crate) fn root(lister: Lister<'_>, top: Option<&std::path::Path>) -> Result<Arc<Self>, Error> {
        let (place, index) = match top {
            Some(top) => Place::of_root(lister, top)?,
            None => (Place::top(Repository::none()), None),
        };
        Ok(Arc::new(Self { index, ..Self::list(lister, Vec::new(), place)? }))
    }

    /// Lists the directory of a commit that stands for the root of a tree.
    #[cfg(feature = "git")]
    pub(crate) fn of_commit(commit: &Commit, tree: &[u8]) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self::in_commit(commit, Vec::new(), tree, Place::top(Repository::of_commit()))?))
    }

    /// The repository that decides what is tracked in this directory.
    pub(crate) fn repository(&self) -> &Repository {
        &self.place.repository
    }

    /// The listing of a directory in this one; read at the first call.
    pub(crate) fn child(&self, node: &Node, lister: Lister<'_>) -> Result<Arc<Self>, Error> {
        if let Some(child) = node.child.get() {
            return Ok(child.clone());
        }
        let path = join(&self.path, &node.name);
        if let (Some(commit), Some(tree)) = (lister.commit, &node.object) {
            let mut child = Self::in_commit(commit, path, tree, self.place.clone())?;
            child.below_folded |= self.below_folded;
            let child = Arc::new(child);
            return Ok(node.child.get_or_init(|| child).clone());
        }
        let (place, index) = if node.submodule {
            lister.open_repository(&lister.root.path().join(platform_path(&path)?), &path)?
        } else {
            let parent = &self.place;
            let place = Place {
                repository: parent.repository.clone(),
                path: join(&parent.path, &node.name),
                tracked: node.entries,
                rules: parent.rules.clone(),
                ignored: parent.ignored || node.ignored,
                judged: node.tracked.then(|| parent.judged.unwrap_or(parent.path.len())),
                expected: node.tracked,
            };
            (place, None)
        };
        let mut child = Self { index, ..Self::list(lister, path, place)? };
        child.below_folded |= self.below_folded;
        let child = Arc::new(child);
        // Another thread may have been faster; what is known about files must have one home.
        Ok(node.child.get_or_init(|| child).clone())
    }

    /// The file, link or other thing in this directory that is called `name` and is not a directory.
    pub(crate) fn node(&self, name: &[u8]) -> Option<&Node> {
        self.find(name, false)
    }

    /// The directory in this one that is called `name`.
    pub(crate) fn subdirectory(&self, name: &[u8]) -> Option<&Node> {
        self.find(name, true)
    }

    fn find(&self, name: &[u8], directory: bool) -> Option<&Node> {
        let wanted = (name, directory);
        let at = self.nodes.binary_search_by(|node| compare((&node.name, node.is_directory()), wanted)).ok()?;
        self.nodes.get(at)
    }

    /// What a tree of a commit has: everything in it is tracked, and nothing else is there.
    fn in_commit(commit: &Commit, path: Vec<u8>, tree: &[u8], place: Place) -> Result<Self, Error> {
        if path.len() > MAX_PATH {
            return Err(too_long(&path));
        }
        let names = commit.list(tree, &path)?.into_iter();
        let nodes = names.map(|(name, kind, object)| {
            let (kind, executable) = match kind {
                InTree::File { executable } => (NodeKind::File, executable),
                InTree::Symlink => (NodeKind::Symlink, false),
                InTree::Directory => (NodeKind::Directory, false),
                InTree::Submodule => (NodeKind::CommittedSubmodule, false),
            };
            Node { tracked: true, executable, object: Some(Box::new(object)), ..Node::new((&*name).into(), kind) }
        });
        let nodes: Vec<Node> = nodes.collect();
        let folded = fold::any(nodes.iter().map(|node| &*node.name));
        Ok(Self {
            path,
            nodes,
            exists: true,
            listed: None,
            index: None,
            folded,
            below_folded: folded,
            git: None,
            place,
        })
    }

    fn list(lister: Lister<'_>, path: Vec<u8>, mut place: Place) -> Result<Self, Error> {
        let root = lister.root;
        if path.len() > MAX_PATH {
            return Err(too_long(&path));
        }
        let failed = |source| match platform_path(&path) {
            Ok(relative) => Error::io("list", &root.path().join(relative), source),
            Err(error) => error,
        };
        let mut records = lister.cache.directory(&path);
        let (directory, listed, Names { mut names, folded }) = match open(lister, &path, &records) {
            Ok((directory, listed, names)) => (Some(directory), listed, names),
            // Deleted meanwhile, or expected by the index and not there.
            Err(error) if is_absent(&error) && (place.expected || !path.is_empty()) => (None, None, Names::default()),
            Err(error) => return Err(failed(error)),
        };
        lister.counters.directories.fetch_add(1, Ordering::Relaxed);
        lister.counters.names.fetch_add(names.len(), Ordering::Relaxed);
        let find = |names: &[Name], name: &[u8]| names.binary_search_by(|(other, _)| (**other).cmp(name)).ok();
        let git = find(&names, b".git").map(|at| names.remove(at).1);
        if git.is_some() {
            let top = place.path.is_empty();
            if !top && place.tracked == 0 && is_nested_repository(&root.path().join(platform_path(&path)?)) {
                place.ignored = true;
            }
        }
        if let Some(directory) = &directory {
            let has_rules = find(&names, b".gitignore").is_some_and(|at| names[at].1 == FileType::File);
            // The rules of an ignored directory do not count.
            if has_rules
                && !place.judge()
                && let Some(content) = read_rules(directory).map_err(failed)?
            {
                let fold_case = place.repository.fold_case;
                place.rules = Some(Rules::parse(&content, &place.path, fold_case, place.rules.take()));
            }
        }
        let mut nodes = place.nodes(names, |name| {
            platform_path(&join(&path, name)).is_ok_and(|relative| is_work_tree(&root.path().join(relative)))
        });
        // In the order of the records, too.
        if let Some(directory) = &directory {
            for node in &mut nodes {
                if matches!(node.kind, NodeKind::File | NodeKind::Symlink) && (lister.stat)(node) {
                    lister.look(directory, node, &mut records);
                }
            }
        }
        let order = |a: &Node, b: &Node| compare((&a.name, a.is_directory()), (&b.name, b.is_directory()));
        // Names of directories, and what is missing, are the few that are out of place.
        if nodes.iter().any(|node| node.is_directory() || node.on_disk.is_none()) {
            nodes.sort_by(order);
        }
        let exists = directory.is_some();
        Ok(Self { path, nodes, exists, listed, index: None, folded, below_folded: folded, git, place })
    }
}

impl Lister<'_> {
    /// `lstat` of a file or link in an open directory, and its digest if the cache has it.
    fn look(self, directory: &Directory, node: &mut Node, records: &mut DirRecords<'_>) {
        let digested = records.digested(&node.name);
        // It will be opened in any case, and looked at then.
        if digested.is_none() && node.kind == NodeKind::File {
            return;
        }
        self.counters.stats.fetch_add(1, Ordering::Relaxed);
        // Whatever fails here is tried again when the file is looked at.
        let Ok(stat) = directory.stat(&node.name) else { return };
        if let Some(remembered) = digested.and_then(|digested| digested.matches(&stat)) {
            self.counters.cached.fetch_add(1, Ordering::Relaxed);
            node.known = OnceLock::from(Known::Remembered(remembered));
        } else {
            node.seen = Some(Box::new(stat));
        }
    }

    /// Opens the repository with the top level `top` for the directory `path` of the tree; and what its index looked
    /// like, if the cache may remember what is in it.
    fn open_repository(self, top: &std::path::Path, path: &[u8]) -> Result<(Place, Option<Stat>), Error> {
        let records = self.cache.directory(path);
        let repository = Repository::open(top, &|stat| records.tracked(stat).map(|at| self.cache.tracked(at)))?;
        let is_new = |stat: Option<Stat>| usize::from(stat.is_some_and(|stat| records.tracked(&stat).is_none()));
        let index = repository.index.filter(|stat| self.settled.holds(stat));
        self.counters.indexes.fetch_add(is_new(repository.index), Ordering::Relaxed);
        self.counters.storable.fetch_add(is_new(index), Ordering::Relaxed);
        Ok((Place::top(repository), index))
    }
}

impl Node {
    fn new(name: FileName, kind: NodeKind) -> Self {
        Self {
            name,
            kind,
            tracked: false,
            ignored: false,
            on_disk: None,
            executable: false,
            object: None,
            submodule: false,
            entries: 0,
            child: OnceLock::new(),
            seen: None,
            known: OnceLock::new(),
        }
    }

    /// The listing of this directory, if it was read already.
    pub(crate) fn listed_child(&self) -> Option<&Arc<Dir>> {
        self.child.get()
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.kind == NodeKind::Directory
    }

    /// The size of a file in bytes, if it was looked at.
    pub(crate) fn size(&self) -> Option<u64> {
        match self.known.get() {
            Some(Known::File(file)) => Some(file.stat.size),
            Some(Known::Remembered(file)) => Some(file.size),
            _ => self.seen.as_ref().map(|stat| stat.size),
        }
    }

    /// What a manifest says about this file or link: kind, size in bytes, digest. `None` if it is gone, or not known yet.
    pub(crate) fn facts(&self, repository: &Repository, cache: &StatCache) -> Option<(Kind, u64, FileDigest)> {
        let (executable, size, digest) = match self.known.get()? {
            Known::Gone => return None,
            Known::Link(link) => return Some((Kind::Symlink, link.target.len() as u64, link.digest)),
            Known::File(file) => (file.stat.is_executable(), file.stat.size, file.digest),
            Known::Remembered(file) => (file.executable, file.size, cache.digest(*file)),
        };
        // As the disk says, unless the repository's index decides.
        let executable = if repository.mode_from_index { self.executable } else { executable };
        Some((if executable { Kind::Executable } else { Kind::File }, size, digest))
    }
}

impl Place {
    fn top(repository: Repository) -> Self {
        let (tracked, rules) = (repository.tracked.top(), repository.rules.clone());
        Self {
            repository: Arc::new(repository),
            path: Vec::new(),
            tracked,
            rules,
            ignored: false,
            judged: None,
            expected: false,
        }
    }

    /// The place of a tree's root in the repository at `top`: rules of the directories above it count.
    fn of_root(lister: Lister<'_>, top: &std::path::Path) -> Result<(Self, Option<Stat>), Error> {
        let root = lister.root.path();
        let (mut place, index) = lister.open_repository(top, b"")?;
        let below = root.strip_prefix(top).unwrap_or(std::path::Path::new(""));
        let mut directory = top.to_owned();
        for part in below.components() {
            if !place.ignored
                && let Some(content) = read_ignore_file(&directory.join(".gitignore"))?
            {
                let fold_case = place.repository.fold_case;
                place.rules = Some(Rules::parse(&content, &place.path, fold_case, place.rules.take()));
            }
            directory.push(part);
            let name = crate::path::platform_bytes(part.as_ref()).unwrap_or_default();
            place.path = join(&place.path, &name);
            place.ignored |= place.rules.as_ref().is_some_and(|rules| rules.ignores(&place.path, true));
        }
        place.tracked = place.repository.tracked.below(&place.path);
        Ok((place, index))
    }

    /// Whether everything untracked in this directory is ignored. To be asked while `rules` are those that its own name
    /// is judged by.
    fn judge(&mut self) -> bool {
        if let (Some(judged), false, Some(rules)) = (self.judged.take(), self.ignored, &self.rules) {
            // No directory in between has rules of its own: it would have been judged because of them.
            let ends = (judged + 1..self.path.len()).filter(|&at| self.path[at] == b'/').chain([self.path.len()]);
            self.ignored = ends.into_iter().any(|end| rules.ignores(&self.path[..end], true));
        }
        self.ignored
    }

    /// Joins what the disk has (`names`, sorted) with what the index expects.
    fn nodes(&mut self, names: Vec<Name>, has_checkout: impl Fn(&[u8]) -> bool) -> Vec<Node> {
        let repository = self.repository.clone();
        let children = repository.tracked.children(self.tracked);
        let mut files: Vec<Option<Flags>> = vec![None; names.len()];
        let mut directories: Vec<u32> = vec![0; names.len()];
        let mut nodes = Vec::with_capacity(names.len());
        // Both are sorted, but for what follows the names of directories.
        let mut next = 0;
        for (name, child) in children {
            let at = match names.get(next) {
                Some((other, _)) if **other == *name => Some(next),
                _ => names.binary_search_by(|(other, _)| (**other).cmp(name)).ok(),
            };
            next = at.map_or(next, |at| at + 1);
            match (child, at) {
                (Child::File(flags), Some(at)) => files[at] = Some(flags),
                (Child::Directory { at: entries, .. }, Some(at)) => directories[at] = entries,
                (Child::File(flags), None) if flags.submodule => nodes.push(missing(name, NodeKind::Submodule)),
                (Child::File(flags), None) if flags.sparse => nodes.push(missing(name, sparse(flags))),
                // A directory that is gone matters only for what must not be missing in it.
                (Child::Directory { at: entries, needed: true }, None) => {
                    nodes.push(Node { entries, ..missing(name, NodeKind::Directory) });
                }
                (_, None) => {}
            }
        }
        for (((name, file_type), flags), entries) in names.into_iter().zip(files).zip(directories) {
            let mut node = match (file_type, flags) {
                (FileType::Directory, Some(flags)) if flags.submodule => {
                    let populated = has_checkout(&name);
                    let kind = if populated { NodeKind::Directory } else { NodeKind::Submodule };
                    Node { tracked: true, submodule: true, ..Node::new(name, kind) }
                }
                (FileType::Directory, flags) => {
                    // Something may be in the way of what the checkout leaves out.
                    if let Some(flags) = flags.filter(|flags| flags.sparse) {
                        nodes.push(missing(&name, sparse(flags)));
                    }
                    Node { tracked: entries != 0, entries, ..Node::new(name, NodeKind::Directory) }
                }
                (other, flags) => {
                    let kind = match other {
                        FileType::Symlink => NodeKind::Symlink,
                        FileType::Special(special) => NodeKind::Special(special),
                        _ => NodeKind::File,
                    };
                    let executable = flags.is_some_and(|flags| flags.executable);
                    Node { tracked: flags.is_some(), executable, ..Node::new(name, kind) }
                }
            };
            node.on_disk = Some(file_type);
            node.ignored = !node.tracked && (self.judge() || self.ignores(&node));
            nodes.push(node);
        }
        nodes
    }

    fn ignores(&self, node: &Node) -> bool {
        let Some(rules) = &self.rules else { return false };
        rules.ignores(&join(&self.path, &node.name), node.is_directory())
    }
}

fn too_long(path: &[u8]) -> Error {
    Error::InvalidPath { path: escape(&path[..80]) + "...", reason: "it is longer than 4096 bytes" }
}

fn sparse(flags: Flags) -> NodeKind {
    if flags.directory { NodeKind::SparseDirectory } else { NodeKind::Sparse }
}

fn missing(name: &[u8], kind: NodeKind) -> Node {
    Node { tracked: true, ..Node::new(name.into(), kind) }
}

/// Opens a directory; its names, and what it looked like before they were read, if they may be remembered.
fn open(
    lister: Lister<'_>,
    path: &[u8],
    records: &DirRecords<'_>,
) -> std::io::Result<(Directory, Option<Stat>, Names)> {
    let directory = lister.root.directory(path)?;
    let own = directory.own_stat().ok().filter(|stat| lister.settled.holds_names(stat));
    if let Some(names) = own.as_ref().and_then(|own| records.names(own)) {
        lister.counters.recalled.fetch_add(1, Ordering::Relaxed);
        return Ok((directory, own, names));
    }
    let mut names = directory.list()?;
    names.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    lister.counters.storable.fetch_add(usize::from(own.is_some()), Ordering::Relaxed);
    let folded = fold::any(names.iter().map(|(name, _)| &**name));
    Ok((directory, own, Names { names, folded }))
}

/// The `.gitignore` of an open directory. A link is none (as in git since 2.32), nor is anything but a file.
fn read_rules(directory: &Directory) -> std::io::Result<Option<Vec<u8>>> {
    let file = match directory.open(b".gitignore") {
        Err(error) if is_absent(&error) => return Ok(None),
        result => result?,
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > MAX_IGNORE_FILE {
        return Ok(None);
    }
    let mut content = Vec::new();
    file.take(MAX_IGNORE_FILE).read_to_end(&mut content)?;
    Ok(Some(content))
}

/// The order of full paths: bytewise, with `/` after the name of a directory.
fn compare(a: (&[u8], bool), b: (&[u8], bool)) -> std::cmp::Ordering {
    let common = a.0.len().min(b.0.len());
    a.0[..common].cmp(&b.0[..common]).then_with(|| {
        let next = |(name, directory): (&[u8], bool)| match name.get(common) {
            Some(&byte) => Some(byte),
            None => directory.then_some(b'/'),
        };
        next(a).cmp(&next(b)).then_with(|| a.0.len().cmp(&b.0.len()))
    })
}
