//! What a builder would be sent from the work tree and no hash covers.
//!
//! A builder that is given a directory walks it by `.dockerignore` alone: files that git ignores, `.git` itself and empty
//! directories go along, so that an image may hold what its key does not name. Nothing is read here, only listed.

mod cure;

use std::sync::Arc;

use crate::context::has_below;
use crate::fs::{FileType, Special};
use crate::listing::{Dir, Node, NodeKind};
use crate::path::{is_within, join, platform_path};
use crate::walk::{Filter, RESERVED, Strictness};
use crate::{Context, Error, RelPath, Selection, Tree, Untracked};

/// Something that a builder would be sent from the work tree and that the context does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leak {
    /// Its path, relative to the context's directory.
    pub path: RelPath,
    /// What it is.
    pub kind: LeakKind,
    /// Size in bytes; 0 for what has no content of its own, and of links.
    pub size: u64,
    /// Why no hash covers it.
    pub cause: LeakCause,
}

/// What a [`Leak`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LeakKind {
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A directory in which nothing is that would be sent.
    EmptyDir,
    /// A FIFO or a device. (Builders pass over sockets.)
    Special,
}

impl LeakKind {
    /// `file`, `symlink`, `empty-dir` or `special`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Symlink => "symlink",
            Self::EmptyDir => "empty-dir",
            Self::Special => "special",
        }
    }
}

/// Why something is not in a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LeakCause {
    /// Git ignores it.
    Ignored,
    /// Git does not track it, and untracked files were left out.
    Untracked,
    /// It belongs to a repository's `.git`.
    Repository,
    /// It is one of shipper's own files at the tree's root.
    Shipper,
    /// Git knows no directories.
    Empty,
    /// The file set or its `exclude` leave it out.
    LeftOut,
}

impl LeakCause {
    /// `ignored`, `untracked`, `repository`, `shipper`, `empty` or `left-out`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ignored => "ignored",
            Self::Untracked => "untracked",
            Self::Repository => "repository",
            Self::Shipper => "shipper",
            Self::Empty => "empty",
            Self::LeftOut => "left-out",
        }
    }
}

/// Leaks that one name stands for: a path, and whatever leaks below it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeakRoot {
    /// The path, relative to the context's directory: of a single leak, or the uppermost directory in which nothing is
    /// tracked and nothing is in the context.
    pub path: RelPath,
    /// Number of leaks.
    pub entries: usize,
    /// Sum of their sizes in bytes.
    pub bytes: u64,
    /// Why the first of them is not in the context.
    pub cause: LeakCause,
}

/// What [`Tree::leaks`] finds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leaks {
    /// Everything, sorted by path bytes.
    pub entries: Vec<Leak>,
    /// The same by the names that stand for it, sorted by path bytes.
    pub roots: Vec<LeakRoot>,
    /// Lines that cure it: with these at the end of the `.dockerignore`, a builder is sent what the context has. None of
    /// them excludes anything of the context.
    pub lines: Vec<String>,
    /// Roots that no line can name without excluding a part of the context.
    pub nameless: Vec<RelPath>,
}

impl Leaks {
    /// Sum of the sizes in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(|leak| leak.size).sum()
    }
}

impl Tree {
    /// What a builder would be sent from the directory of `context`, by the rules and the narrowing of `selection`, that
    /// `context` does not have.
    ///
    /// Of `selection` only `ignore` and `only` count: a builder knows neither file sets nor `inputs`. Nothing is read;
    /// the work is a listing of all directories that `.dockerignore` does not exclude.
    ///
    /// ```
    /// use shipper_hash::{Selection, Tree, TreeOptions};
    /// # let directory = tempfile::tempdir()?;
    /// # std::fs::create_dir(directory.path().join("dist"))?;
    /// # std::fs::write(directory.path().join("dist/app.js"), "app")?;
    /// # std::fs::write(directory.path().join(".gitignore"), "dist\n")?;
    /// let tree = Tree::open(directory.path(), &TreeOptions::default())?;
    /// let mut context = tree.context(None)?;
    /// context.add(&Selection::default())?;
    /// let leaks = tree.leaks(&context.finish()?, &Selection::default())?;
    /// assert_eq!(leaks.entries[0].path.to_string(), "dist/app.js");
    /// assert_eq!(leaks.lines, ["dist"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OnlyInCommit`] if the tree is that of a commit; [`Error::Io`] if a directory cannot be listed.
    pub fn leaks(&self, context: &Context, selection: &Selection<'_>) -> Result<Leaks, Error> {
        if !self.is_on_disk() {
            return Err(Error::OnlyInCommit);
        }
        let base = (!context.base.is_empty()).then(|| RelPath::trusted(context.base.clone()));
        let (only, _) = self.limits(selection, base.as_ref())?;
        let filter = Filter::of_builder(base.as_ref(), selection, only)?;
        let (found, _) = filter.apply(self.listing(), self.reader(), Strictness::PassOver)?;
        let mut search = Search { tree: self, context, skip: skip(&context.base), leaks: Vec::new() };
        for (directory, node) in found.files() {
            search.node(directory, node)?;
        }
        if let Some(base) = self.base_listing(base.as_ref())? {
            search.repositories(&base, &filter)?;
        }
        search.leaks.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        for path in &found.empty {
            search.empty(path);
        }
        let leaks = search.leaks;
        let roots = self.roots(&leaks, context)?;
        let (mut lines, mut nameless) = cure::lines(&roots, context.manifest());
        if let Some(ignore) = selection.ignore {
            cure::against_exceptions(ignore, &leaks, &roots, &mut lines, &mut nameless);
        }
        Ok(Leaks { entries: leaks, roots, lines, nameless })
    }

    /// The names that stand for `leaks`, which are sorted.
    fn roots(&self, leaks: &[Leak], context: &Context) -> Result<Vec<LeakRoot>, Error> {
        let base = (!context.base.is_empty()).then(|| RelPath::trusted(context.base.clone()));
        let mut roots: Vec<LeakRoot> = Vec::new();
        for leak in leaks {
            match roots.last_mut().filter(|root| is_within(leak.path.as_bytes(), root.path.as_bytes())) {
                Some(root) => {
                    root.entries += 1;
                    root.bytes += leak.size;
                }
                None => roots.push(LeakRoot {
                    path: self.root_of(leak, base.as_ref(), context)?,
                    entries: 1,
                    bytes: leak.size,
                    cause: leak.cause,
                }),
            }
        }
        Ok(roots)
    }

    /// The uppermost directory on the way to `leak` in which nothing is tracked and nothing is of the context.
    fn root_of(&self, leak: &Leak, base: Option<&RelPath>, context: &Context) -> Result<RelPath, Error> {
        let path = leak.path.as_bytes();
        let mut directory = self.base_listing(base)?;
        let ends = (0..path.len()).filter(|&at| path[at] == b'/').chain([path.len()]);
        let mut start = 0;
        for end in ends {
            let name = &path[start..end];
            start = end + 1;
            let node = directory.as_ref().and_then(|directory| directory.subdirectory(name));
            let upper = RelPath::trusted(path[..end].to_vec());
            let untouched = node.is_none_or(|node| !node.tracked);
            if untouched && !has_below(context.manifest().entries(), &upper) {
                return Ok(upper);
            }
            directory = node.and_then(Node::listed_child).cloned();
        }
        Ok(leak.path.clone())
    }
}

/// A search in progress.
struct Search<'t> {
    tree: &'t Tree,
    context: &'t Context,
    /// Bytes of the paths of the tree that are not part of the paths of the context.
    skip: usize,
    leaks: Vec<Leak>,
}

impl Search<'_> {
    /// A file, link or special file that a builder is sent.
    fn node(&mut self, directory: &Dir, node: &Node) -> Result<(), Error> {
        let whole = join(&directory.path, &node.name);
        let kind = match node.kind {
            NodeKind::Symlink => LeakKind::Symlink,
            NodeKind::Special(Special::Socket) => return Ok(()),
            NodeKind::Special(_) => LeakKind::Special,
            _ => LeakKind::File,
        };
        let reserved = RESERVED.iter().any(|name| is_within(&whole, name));
        let cause = match node {
            _ if reserved => LeakCause::Shipper,
            node if node.ignored => LeakCause::Ignored,
            node if !node.tracked && self.tree.untracked() != Untracked::Include => LeakCause::Untracked,
            _ => LeakCause::LeftOut,
        };
        let Some(path) = self.missing(&whole) else { return Ok(()) };
        let size = match (kind, node.size()) {
            (LeakKind::File, Some(size)) => size,
            (LeakKind::File, None) => self.size(&directory.path, &node.name)?,
            _ => 0,
        };
        self.leaks.push(Leak { path, kind, size, cause });
        Ok(())
    }

    /// A directory in which the walk found nothing; leaks are sorted by now.
    fn empty(&mut self, whole: &[u8]) {
        let Some(path) = self.missing(whole) else { return };
        let at = self.leaks.partition_point(|leak| leak.path < path);
        let mut near = self.leaks[at..].iter().take_while(|leak| leak.path.as_bytes().starts_with(path.as_bytes()));
        let filled = near.any(|leak| is_within(leak.path.as_bytes(), path.as_bytes()))
            || has_below(self.context.manifest().entries(), &path);
        if !filled {
            let leak = Leak { path, kind: LeakKind::EmptyDir, size: 0, cause: LeakCause::Empty };
            self.leaks.insert(at, leak);
        }
    }

    /// Each `.git` in and below the directory `base` as far as it was listed; the walk of a context never sees one.
    fn repositories(&mut self, base: &Arc<Dir>, filter: &Filter<'_>) -> Result<(), Error> {
        let mut waiting = vec![base.clone()];
        while let Some(directory) = waiting.pop() {
            waiting.extend(directory.nodes.iter().filter_map(Node::listed_child).cloned());
            if let Some(file_type) = directory.git {
                self.repository(join(&directory.path, b".git"), file_type, filter)?;
            }
        }
        Ok(())
    }

    /// What is at `path` and below it.
    fn repository(&mut self, path: Vec<u8>, file_type: FileType, filter: &Filter<'_>) -> Result<(), Error> {
        let mut waiting = vec![(path, file_type)];
        while let Some((whole, file_type)) = waiting.pop() {
            let inside = &whole[self.skip..];
            let kind = match file_type {
                FileType::Directory => {
                    let names = self.names(&whole)?;
                    if names.is_empty() && filter.sends(inside) {
                        LeakKind::EmptyDir
                    } else {
                        waiting.extend(names.into_iter().map(|(name, kind)| (join(&whole, &name), kind)));
                        continue;
                    }
                }
                FileType::File => LeakKind::File,
                FileType::Symlink => LeakKind::Symlink,
                FileType::Special(Special::Socket) => continue,
                FileType::Special(_) => LeakKind::Special,
            };
            let (true, Some(path)) = (filter.sends(inside), self.missing(&whole)) else { continue };
            let (parent, name) = crate::path::split_parent(&whole);
            let size = if kind == LeakKind::File { self.size(parent.unwrap_or_default(), name)? } else { 0 };
            self.leaks.push(Leak { path, kind, size, cause: LeakCause::Repository });
        }
        Ok(())
    }

    /// The path relative to the context's directory, if the context does not have it.
    fn missing(&self, whole: &[u8]) -> Option<RelPath> {
        let path = RelPath::trusted(whole.get(self.skip..)?.to_vec());
        self.context.manifest().get(path.as_bytes()).is_none().then_some(path)
    }

    /// Names in a directory that is not part of the listing; none if it is gone.
    fn names(&self, path: &[u8]) -> Result<Vec<crate::fs::Name>, Error> {
        match self.tree.shared_root().directory(path).and_then(|directory| directory.list()) {
            Ok(names) => Ok(names),
            Err(error) if crate::fs::is_absent(&error) => Ok(Vec::new()),
            Err(source) => Err(Error::io("list", &self.tree.root().join(platform_path(path)?), source)),
        }
    }

    /// Size of a file in bytes; 0 if it is gone.
    fn size(&self, directory: &[u8], name: &[u8]) -> Result<u64, Error> {
        match self.tree.shared_root().directory(directory).and_then(|directory| directory.stat(name)) {
            Ok(stat) => Ok(stat.size),
            Err(error) if crate::fs::is_absent(&error) => Ok(0),
            Err(source) => Err(Error::io("look at", &self.tree.root().join(platform_path(directory)?), source)),
        }
    }
}

/// Bytes before the part of a path that lies in the directory `base`.
fn skip(base: &[u8]) -> usize {
    if base.is_empty() { 0 } else { base.len() + 1 }
}
