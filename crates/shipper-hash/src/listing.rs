//! The directories of a tree, each read once per process: which names are there, tracked, ignored.
//!
//! Invariants: a [`Dir`] is what the disk said; the index only marks names as tracked and adds those that it expects
//! and that are not there. Directories are never reached through a link. `.git` never appears. Nodes are sorted by
//! name with `/` after the names of directories, so that a walk in their order yields paths in bytewise order.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::cache::{DirRecords, Listed, Settled, StatCache};
use crate::commit::{Commit, InTree, ObjectName};
use crate::content::{Counters, Known};
use crate::fold;
use crate::fs::{Directory, FileName, FileType, Name, Root, Special, Stat, is_absent};
use crate::gitignore::Rules;
use crate::ignores::{IGNORE_FILE, Ignores};
use crate::path::{escape, join, platform_path};
use crate::repository::{Child, Flags, Repository, is_nested_repository, is_work_tree, read_ignore_file};
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
    /// What its own names are judged by; its own `.gitignore` included.
    ignores: Arc<Ignores>,
    /// Whether everything untracked in it is ignored; `None` until something untracked in it asks.
    ignored: Option<bool>,
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
    submodule: bool,
    found: NodeState,
}

/// What there is to be found of a name. Nearly all are files that the stat cache knows, so these are what is kept small.
#[derive(Debug)]
enum NodeState {
    /// Became known when its directory was listed.
    Known(Known),
    Other(Box<Other>),
}

#[derive(Debug, Default)]
struct Other {
    /// In a commit: the blob or tree behind the name.
    object: Option<ObjectName>,
    /// For a directory: where the index has what is tracked in it.
    entries: u32,
    child: OnceLock<Arc<Dir>>,
    /// For a file or link: what `lstat` said when its directory was listed, if it was asked.
    stat: Option<Box<Stat>>,
    /// For files and links: what was found when it was looked at.
    known: OnceLock<Known>,
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

/// Of a file that is tracked, or ignored, or neither: whether it is as good as certain to be wanted.
pub(crate) type StatAtOnce = fn(bool, bool) -> bool;

/// Who asks for a listing: what is to be counted, and which files will be looked at anyway.
#[derive(Clone, Copy)]
pub(crate) struct Lister<'a> {
    pub(crate) root: &'a Root,
    /// Where names come from instead of the disk.
    pub(crate) commit: Option<&'a Commit>,
    pub(crate) cache: &'a StatCache,
    pub(crate) settled: &'a Settled,
    pub(crate) counters: &'a Counters,
    /// Whether `lstat` is done for a file, which is tracked or may be ignored, while its directory is open.
    pub(crate) stat: StatAtOnce,
}

/// A directory that was opened.
struct Opened {
    directory: Directory,
    /// What it looked like before its names were read, if the stat cache may remember them.
    own: Option<Stat>,
    /// Sorted; `None` if they are those that the stat cache has.
    names: Option<Vec<Name>>,
}

/// How often files of a directory were looked at, and how often the cache had them.
#[derive(Default)]
struct Looked {
    stats: usize,
    cached: usize,
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
        let found = node.other().expect("because the stat cache makes only files known");
        if let Some(child) = found.child.get() {
            return Ok(child.clone());
        }
        let path = join(&self.path, &node.name);
        if let (Some(commit), Some(tree)) = (lister.commit, &found.object) {
            let mut child = Self::in_commit(commit, path, tree, self.place.clone())?;
            child.below_folded |= self.below_folded;
            let child = Arc::new(child);
            return Ok(found.child.get_or_init(|| child).clone());
        }
        let (place, index) = if node.submodule {
            lister.open_repository(&lister.root.path().join(platform_path(&path)?), &path)?
        } else {
            let parent = &self.place;
            let place = Place {
                repository: parent.repository.clone(),
                path: join(&parent.path, &node.name),
                tracked: found.entries,
                ignores: parent.ignores.clone(),
                ignored: (!node.tracked).then_some(node.ignored),
                expected: node.tracked,
            };
            (place, None)
        };
        let mut child = Self { index, ..Self::list(lister, path, place)? };
        child.below_folded |= self.below_folded;
        let child = Arc::new(child);
        // Another thread may have been faster; what is known about files must have one home.
        Ok(found.child.get_or_init(|| child).clone())
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
            let other = Other { object: Some(object), ..Other::default() };
            Node { executable, ..Node::expected(&name, kind, other) }
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
        let opened = match open(lister, &path, &records) {
            Ok(opened) => Some(opened),
            // Deleted meanwhile, or expected by the index and not there.
            Err(error) if is_absent(&error) && (place.expected || !path.is_empty()) => None,
            Err(error) => return Err(failed(error)),
        };
        let found = opened.as_ref().map(|opened| &opened.names);
        let (mut names, folded) = match found {
            Some(None) => (std::mem::take(&mut records.names), records.folded),
            Some(Some(found)) => {
                let names = found.iter().map(|(name, file_type)| (&**name, *file_type));
                let folded = fold::any(names.clone().map(|(name, _)| name));
                (names.map(|name| records.joined(name)).collect(), folded)
            }
            None => (Vec::new(), false),
        };
        let find = |names: &[Listed<'_>], name: &[u8]| names.binary_search_by(|other| other.name.cmp(name)).ok();
        let git = find(&names, b".git").map(|at| names.remove(at).file_type);
        if git.is_some() {
            let top = place.path.is_empty();
            if !top && place.tracked == 0 && is_nested_repository(&root.path().join(platform_path(&path)?)) {
                place.ignored = Some(true);
            }
        }
        // The rules of an ignored directory do not count.
        if place.ignored != Some(true)
            && find(&names, IGNORE_FILE).is_some_and(|at| names[at].file_type == FileType::File)
        {
            place.ignores = place.ignores.with_file(&place.path, &path);
        }
        let directory = opened.as_ref().map(|opened| &opened.directory);
        let has_checkout = |name: &[u8]| {
            platform_path(&join(&path, name)).is_ok_and(|relative| is_work_tree(&root.path().join(relative)))
        };
        let mut looked = Looked::default();
        let look = |listed: &Listed<'_>, tracked, ignored| match directory {
            Some(directory) if (lister.stat)(tracked, ignored) => looked.look(directory, listed),
            _ => NodeState::Other(Box::default()),
        };
        let mut nodes = place.nodes(root, &names, has_checkout, look)?;
        // Once for a directory: what several threads write to is slow.
        let add = |counter: &AtomicUsize, count| counter.fetch_add(count, Ordering::Relaxed);
        let counters = lister.counters;
        add(&counters.directories, 1);
        add(&counters.names, names.len() + usize::from(git.is_some()));
        add(&counters.stats, looked.stats);
        add(&counters.cached, looked.cached);
        if let Some(opened) = &opened {
            let is_new = opened.names.is_some();
            add(&counters.recalled, usize::from(!is_new));
            add(&counters.storable, usize::from(is_new && opened.own.is_some()));
        }
        let order = |a: &Node, b: &Node| compare((&a.name, a.is_directory()), (&b.name, b.is_directory()));
        // Names of directories, and what is missing, are the few that are out of place.
        if nodes.iter().any(|node| node.is_directory() || node.on_disk.is_none()) {
            nodes.sort_by(order);
        }
        let exists = directory.is_some();
        let listed = opened.and_then(|opened| opened.own);
        Ok(Self { path, nodes, exists, listed, index: None, folded, below_folded: folded, git, place })
    }
}

impl Lister<'_> {
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

impl Looked {
    /// `lstat` of a file or link in an open directory, and its digest if the cache has it.
    fn look(&mut self, directory: &Directory, listed: &Listed<'_>) -> NodeState {
        let mut other = Other::default();
        // A file that the cache does not have is opened in any case, and looked at then.
        if listed.file_type == FileType::Symlink || listed.digested.is_some() {
            self.stats += 1;
            // Whatever fails here is tried again when the file is looked at.
            let stat = directory.stat(listed.name).ok();
            if let Some(remembered) = stat.as_ref().and_then(|stat| listed.digested?.matches(stat)) {
                self.cached += 1;
                return NodeState::Known(Known::Remembered(remembered));
            }
            other.stat = stat.map(Box::new);
        }
        NodeState::Other(Box::new(other))
    }
}

impl Node {
    /// One that only the index or a commit has.
    fn expected(name: &[u8], kind: NodeKind, other: Other) -> Self {
        Self {
            name: name.into(),
            kind,
            tracked: true,
            ignored: false,
            on_disk: None,
            executable: false,
            submodule: false,
            found: NodeState::Other(Box::new(other)),
        }
    }

    /// The listing of this directory, if it was read already.
    pub(crate) fn listed_child(&self) -> Option<&Arc<Dir>> {
        self.other()?.child.get()
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.kind == NodeKind::Directory
    }

    /// The size of a file in bytes, if it was looked at.
    pub(crate) fn size(&self) -> Option<u64> {
        match self.known() {
            Some(Known::File(file)) => Some(file.stat.size),
            Some(Known::Remembered(file)) => Some(file.size),
            _ => self.stat().map(|stat| stat.size),
        }
    }

    fn other(&self) -> Option<&Other> {
        if let NodeState::Other(other) = &self.found { Some(other) } else { None }
    }

    /// In a commit: the blob or tree behind the name.
    pub(crate) fn object(&self) -> Option<&ObjectName> {
        self.other()?.object.as_ref()
    }

    /// What `lstat` said when the directory was listed, if that alone did not make it known.
    pub(crate) fn stat(&self) -> Option<&Stat> {
        self.other()?.stat.as_deref()
    }

    /// What this file or link turned out to be.
    pub(crate) fn known(&self) -> Option<&Known> {
        match &self.found {
            NodeState::Known(known) => Some(known),
            NodeState::Other(other) => other.known.get(),
        }
    }

    /// Makes it known; the first to say so is right.
    pub(crate) fn learn(&self, known: Known) -> &Known {
        match &self.found {
            NodeState::Known(first) => first,
            NodeState::Other(other) => other.known.get_or_init(|| known),
        }
    }

    /// What a manifest says about this file or link: kind, size in bytes, digest. `None` if it is gone, or not known yet.
    pub(crate) fn facts(&self, repository: &Repository, cache: &StatCache) -> Option<(Kind, u64, FileDigest)> {
        let (executable, size, digest) = match self.known()? {
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
        let tracked = repository.tracked.top();
        let ignores = Ignores::known(Vec::new(), repository.fold_case, repository.rules.clone(), false);
        Self {
            repository: Arc::new(repository),
            path: Vec::new(),
            tracked,
            ignores,
            ignored: Some(false),
            expected: false,
        }
    }

    /// The place of a tree's root in the repository at `top`: rules of the directories above it count.
    fn of_root(lister: Lister<'_>, top: &std::path::Path) -> Result<(Self, Option<Stat>), Error> {
        let root = lister.root.path();
        let (mut place, index) = lister.open_repository(top, b"")?;
        let below = root.strip_prefix(top).unwrap_or(std::path::Path::new(""));
        let fold_case = place.repository.fold_case;
        let (mut rules, mut ignored) = (place.repository.rules.clone(), false);
        let mut directory = top.to_owned();
        for part in below.components() {
            if !ignored && let Some(content) = read_ignore_file(&directory.join(".gitignore"))? {
                rules = Some(Rules::parse(&content, &place.path, fold_case, rules));
            }
            directory.push(part);
            let name = crate::path::platform_bytes(part.as_ref()).unwrap_or_default();
            place.path = join(&place.path, &name);
            ignored |= rules.as_ref().is_some_and(|rules| rules.ignores(&place.path, true));
        }
        place.ignores = Ignores::known(place.path.clone(), fold_case, rules, ignored);
        place.ignored = Some(ignored);
        place.tracked = place.repository.tracked.below(&place.path);
        Ok((place, index))
    }

    /// Whether git ignores something untracked in this directory.
    fn ignore(&mut self, root: &Root, name: &[u8], is_directory: bool) -> Result<bool, Error> {
        let all = match self.ignored {
            Some(all) => all,
            None => self.ignores.ignore_all(root, &self.path)?,
        };
        self.ignored = Some(all);
        Ok(all || self.ignores.ignore(root, &join(&self.path, name), is_directory)?)
    }

    /// Joins what the disk has (`names`, sorted) with what the index expects; `look` finds what there is to be found of a
    /// file or link that is tracked, or ignored.
    fn nodes(
        &mut self,
        root: &Root,
        names: &[Listed<'_>],
        has_checkout: impl Fn(&[u8]) -> bool,
        mut look: impl FnMut(&Listed<'_>, bool, bool) -> NodeState,
    ) -> Result<Vec<Node>, Error> {
        let repository = self.repository.clone();
        // An index with a conflict may have both a file and a directory of one name.
        let mut expected: Vec<(Option<Flags>, u32)> = vec![(None, 0); names.len()];
        let mut nodes = Vec::with_capacity(names.len());
        // Both are sorted, but for what follows the names of directories.
        let mut next = 0;
        for (name, child) in repository.tracked.children(self.tracked) {
            let at = match names.get(next) {
                Some(listed) if listed.name == name => Some(next),
                _ => names.binary_search_by(|listed| listed.name.cmp(name)).ok(),
            };
            next = at.map_or(next, |at| at + 1);
            match (child, at) {
                (Child::File(flags), Some(at)) => expected[at].0 = Some(flags),
                (Child::Directory { at: entries, .. }, Some(at)) => expected[at].1 = entries,
                (Child::File(flags), None) if flags.submodule => nodes.push(missing(name, NodeKind::Submodule)),
                (Child::File(flags), None) if flags.sparse => nodes.push(missing(name, sparse(flags))),
                // A directory that is gone matters only for what must not be missing in it.
                (Child::Directory { at: entries, needed: true }, None) => {
                    let other = Other { entries, ..Other::default() };
                    nodes.push(Node::expected(name, NodeKind::Directory, other));
                }
                (_, None) => {}
            }
        }
        for (listed, (flags, entries)) in names.iter().zip(expected) {
            let name = listed.name;
            let is_directory = listed.file_type == FileType::Directory;
            let submodule = is_directory && flags.is_some_and(|flags| flags.submodule);
            let kind = match listed.file_type {
                FileType::Directory if submodule && !has_checkout(name) => NodeKind::Submodule,
                FileType::Directory => NodeKind::Directory,
                FileType::File => NodeKind::File,
                FileType::Symlink => NodeKind::Symlink,
                FileType::Special(special) => NodeKind::Special(special),
            };
            // Something may be in the way of what the checkout leaves out.
            if is_directory && let Some(flags) = flags.filter(|flags| flags.sparse && !flags.submodule) {
                nodes.push(missing(name, sparse(flags)));
            }
            let tracked = if is_directory { submodule || entries != 0 } else { flags.is_some() };
            let executable = !is_directory && flags.is_some_and(|flags| flags.executable);
            let ignored = !tracked && self.ignore(root, name, is_directory)?;
            let found = if matches!(kind, NodeKind::File | NodeKind::Symlink) {
                look(listed, tracked, ignored)
            } else {
                NodeState::Other(Box::new(Other { entries: if submodule { 0 } else { entries }, ..Other::default() }))
            };
            let on_disk = Some(listed.file_type);
            nodes.push(Node { name: name.into(), kind, tracked, ignored, on_disk, executable, submodule, found });
        }
        Ok(nodes)
    }
}

fn too_long(path: &[u8]) -> Error {
    Error::InvalidPath { path: escape(&path[..80]) + "...", reason: "it is longer than 4096 bytes" }
}

fn sparse(flags: Flags) -> NodeKind {
    if flags.directory { NodeKind::SparseDirectory } else { NodeKind::Sparse }
}

fn missing(name: &[u8], kind: NodeKind) -> Node {
    Node::expected(name, kind, Other::default())
}

/// Opens a directory, and lists it if `records` may not have all its names.
fn open(lister: Lister<'_>, path: &[u8], records: &DirRecords<'_>) -> std::io::Result<Opened> {
    let directory = lister.root.directory(path)?;
    let own = directory.own_stat().ok().filter(|stat| lister.settled.holds_names(stat));
    if own.as_ref().is_some_and(|own| records.are_complete(own)) {
        return Ok(Opened { directory, own, names: None });
    }
    let mut names = directory.list()?;
    names.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(Opened { directory, own, names: Some(names) })
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
