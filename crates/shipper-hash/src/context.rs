//! Putting a context together, and what comes out.

use std::collections::BTreeMap;
#[cfg(feature = "cargo")]
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::content::Known;
use crate::fold::{Pairs, pairs};
use crate::found::Found;
use crate::fs::Root;
use crate::listing::{Dir, Node};
use crate::manifest::Writer;
use crate::path::{escape, is_within, join};
use crate::walk::{Filter, Strictness};
use crate::{Added, ContextHash, Entry, Error, FileSet, Kind, Manifest, Narrow, RelPath, Selection, Tree};

/// A context in the making: the union of what was added.
pub struct ContextBuilder<'t> {
    tree: &'t Tree,
    base: Option<RelPath>,
    found: Found,
    synthesised: BTreeMap<RelPath, Vec<u8>>,
    warnings: Vec<Warning>,
}

/// The exact content of a context, and where it is to be had.
#[derive(Debug)]
pub struct Context {
    pub(crate) root: Arc<Root>,
    /// The context's directory relative to the tree's root; empty for the root itself.
    pub(crate) base: Vec<u8>,
    pub(crate) synthesised: BTreeMap<RelPath, Vec<u8>>,
    /// Whether the files are there to be read again.
    pub(crate) on_disk: bool,
    /// Whether the disk says which files are executable.
    pub(crate) mode_on_disk: bool,
    manifest: Manifest,
    warnings: Vec<Warning>,
}

/// Something in a context that is probably not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// A link whose target lies outside the context, so that a build cannot follow it.
    LinkLeavesContext {
        /// The link, relative to the context's directory.
        path: RelPath,
        /// Its target text, escaped.
        target: String,
    },
    /// A file that holds a Git LFS pointer instead of the content it stands for.
    LfsPointer {
        /// The file, relative to the context's directory.
        path: RelPath,
    },
    /// Two names in one directory that a file system without a difference of case takes for one.
    FoldedNames {
        /// The first of them, relative to the context's directory.
        path: RelPath,
        /// The other one.
        other: RelPath,
        /// How many more there are of such pairs.
        more: usize,
    },
    /// A pattern that names nothing.
    UnmatchedPattern {
        /// The pattern as given.
        pattern: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LinkLeavesContext { path, target } => {
                write!(f, "the link `{path}` points to `{target}`, outside the context")
            }
            Self::LfsPointer { path } => {
                write!(f, "`{path}` is a Git LFS pointer, not the file itself (`git lfs pull` fetches it)")
            }
            Self::FoldedNames { path, other, more } => {
                write!(f, "`{path}` and `{other}` are one file where case makes no difference")?;
                if *more > 0 { write!(f, ", and {more} more pairs are") } else { Ok(()) }
            }
            Self::UnmatchedPattern { pattern } => write!(f, "the pattern `{pattern}` names no file"),
        }
    }
}

impl<'t> ContextBuilder<'t> {
    pub(crate) fn new(tree: &'t Tree, base: Option<RelPath>) -> Self {
        Self { tree, base, found: Found::default(), synthesised: BTreeMap::new(), warnings: Vec::new() }
    }

    /// The tree that the files come from.
    #[must_use]
    pub fn tree(&self) -> &'t Tree {
        self.tree
    }

    /// The context's directory relative to the tree's root; `None` for the root itself.
    #[must_use]
    pub fn base(&self) -> Option<&RelPath> {
        self.base.as_ref()
    }

    /// Adds all files that `selection` takes.
    ///
    /// # Errors
    /// [`Error::Pattern`], [`Error::OutsideBase`], [`Error::UntrackedFiles`], and for what cannot be hashed
    /// [`Error::SparseInput`], [`Error::Submodule`] and [`Error::SpecialFile`]; [`Error::Io`] and [`Error::Git`].
    pub fn add(&mut self, selection: &Selection<'_>) -> Result<Added, Error> {
        let (only, widened) = self.tree.limits(selection, self.base.as_ref())?;
        let filter = Filter::new(self.base.as_ref(), selection, only.clone(), self.tree.untracked())?;
        let (found, unmatched) = filter.apply(self.tree.listing(), self.tree.reader(), Strictness::Refuse)?;
        let files = found.len();
        self.found.append(found);
        for pattern in &unmatched {
            let warning = Warning::UnmatchedPattern { pattern: pattern.clone() };
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        Ok(Added { files, unmatched, only, widened })
    }

    /// Adds the file `path` of the `Tracked` set, or all its files below the directory `path`.
    ///
    /// `path` is relative to the tree's root, as in [`Tree::tracked`].
    ///
    /// # Errors
    /// [`Error::NotFound`] if the set has nothing there, [`Error::OutsideBase`] if it lies outside the context; the
    /// others of [`add`](Self::add).
    pub fn add_path(&mut self, path: &RelPath) -> Result<Added, Error> {
        let inside = match &self.base {
            None => path.clone(),
            Some(base) => path.strip_prefix(base).ok_or_else(|| Error::OutsideBase {
                path: path.clone(),
                pattern: path.to_string(),
                base: base.clone(),
            })?,
        };
        let only = Some(vec![Narrow::Prefix(inside)]);
        let added = self.add(&Selection { files: FileSet::Tracked, only, ..Selection::default() })?;
        if added.files == 0 {
            return Err(Error::NotFound { path: path.clone() });
        }
        Ok(added)
    }

    /// Adds what `selection` takes of `wanted`, which is relative to the tree's root.
    #[cfg(feature = "cargo")]
    pub(crate) fn add_wanted(&mut self, selection: &Selection<'_>, wanted: &BTreeSet<RelPath>) -> Result<(), Error> {
        let filter = Filter::new(self.base.as_ref(), selection, selection.only.clone(), self.tree.untracked())?;
        let (mut found, _) = filter.apply(self.tree.listing(), self.tree.reader(), Strictness::Refuse)?;
        found.retain(|path| wanted.contains(path));
        self.found.append(found);
        Ok(())
    }

    /// Adds a file that is not on disk, in place of whatever else has this path.
    ///
    /// `path` is relative to the context's directory.
    pub fn add_bytes(&mut self, path: RelPath, content: Vec<u8>) {
        self.synthesised.insert(path, content);
    }

    /// Reads what is not known yet, with several threads, and fixes the content.
    ///
    /// Files that vanish meanwhile are not part of it.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that cannot be read, [`Error::ChangedWhileReading`] for one that does not hold still,
    /// [`Error::Overlap`] if a synthesised file and a file on disk exclude each other.
    pub fn finish(mut self) -> Result<Context, Error> {
        self.tree.reader().look(&self.found.unknown())?;
        let mode_on_disk = self.found.mode_on_disk();
        let mut warnings = Vec::new();
        let (manifest, mut folded) = match self.in_order(&mut warnings)? {
            Some(whole) => whole,
            None => {
                warnings.clear();
                let manifest = Manifest::new(self.entries(&mut warnings))?;
                let paths: Vec<&[u8]> = manifest.entries().iter().map(|entry| entry.path.as_bytes()).collect();
                let folded = pairs(&paths);
                (manifest, folded)
            }
        };
        self.warnings.append(&mut warnings);
        if !folded.is_empty() {
            let more = folded.len() - 1;
            let (path, other) = folded.swap_remove(0);
            self.warnings.push(Warning::FoldedNames { path, other, more });
        }
        Ok(Context {
            root: self.tree.shared_root().clone(),
            base: self.base.as_ref().map(|base| base.as_bytes().to_vec()).unwrap_or_default(),
            synthesised: self.synthesised,
            on_disk: self.tree.is_on_disk(),
            mode_on_disk,
            manifest,
            warnings: self.warnings,
        })
    }

    /// The manifest of what one walk found, which comes in order, and the names in it that differ in case only; `None` if
    /// there is more to put together.
    fn in_order(&self, warnings: &mut Vec<Warning>) -> Result<Option<(Manifest, Pairs)>, Error> {
        if self.found.walks != 1 || !self.synthesised.is_empty() || !self.found.empty.is_empty() {
            return Ok(None);
        }
        let mut writer = Writer::new(self.found.len());
        let mut suspects = Vec::new();
        for (directory, node) in self.found.files() {
            let Some(facts) = node.facts(directory.repository(), self.tree.cache()) else { continue };
            let path = self.in_context(&directory.path);
            if !writer.push((path, &node.name), facts)? {
                return Ok(None);
            }
            warnings.extend(self.warning(directory, node));
            if directory.below_folded {
                suspects.push(join(path, &node.name));
            }
        }
        let suspects: Vec<&[u8]> = suspects.iter().map(Vec::as_slice).collect();
        Ok(Some((writer.finish(), pairs(&suspects))))
    }

    /// The entries of everything that was added, without duplicates; empty directories come last.
    fn entries(&self, warnings: &mut Vec<Warning>) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(self.found.len() + self.synthesised.len());
        for (directory, node) in self.found.files() {
            let path = RelPath::trusted(join(self.in_context(&directory.path), &node.name));
            if let Some((kind, size, digest)) = node.facts(directory.repository(), self.tree.cache())
                && !self.synthesised.contains_key(&path)
            {
                warnings.extend(self.warning(directory, node));
                entries.push(Entry { path, kind, size, digest });
            }
        }
        for (path, content) in &self.synthesised {
            entries.push(Entry::new(path.clone(), Kind::File, content));
        }
        // One addition comes in order; several may overlap.
        if !entries.is_sorted_by(|a, b| a.path < b.path) {
            entries.sort_by(|a, b| a.path.cmp(&b.path));
            entries.dedup_by(|a, b| a.path == b.path);
        }
        let mut empty: Vec<RelPath> =
            self.found.empty.iter().map(|path| RelPath::trusted(self.in_context(path).to_vec())).collect();
        empty.sort_unstable();
        empty.dedup();
        // Another addition may have found something in it.
        empty.retain(|path| !has_below(&entries, path));
        let empty = empty.into_iter().map(|path| Entry::new(path, Kind::EmptyDir, b""));
        entries.extend(empty);
        entries
    }

    /// What is probably not meant about a link or file.
    fn warning(&self, directory: &Dir, node: &Node) -> Option<Warning> {
        let path = || RelPath::trusted(join(self.in_context(&directory.path), &node.name));
        match node.known()? {
            Known::Link(link) if leaves(path().as_bytes(), &link.target) => {
                Some(Warning::LinkLeavesContext { path: path(), target: escape(&link.target) })
            }
            Known::File(file) if file.lfs_pointer => Some(Warning::LfsPointer { path: path() }),
            Known::Remembered(file) if file.lfs_pointer => Some(Warning::LfsPointer { path: path() }),
            _ => None,
        }
    }

    /// `path` (relative to the tree's root, the context's directory or below) relative to the context's directory, which
    /// itself is empty.
    fn in_context<'p>(&self, path: &'p [u8]) -> &'p [u8] {
        match &self.base {
            Some(base) => path.get(base.as_bytes().len() + 1..).unwrap_or_default(),
            None => path,
        }
    }
}

impl fmt::Debug for ContextBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextBuilder")
            .field("base", &self.base)
            .field("files", &self.found.len())
            .finish_non_exhaustive()
    }
}

impl Context {
    /// Everything in the context.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The hash of the manifest.
    #[must_use]
    pub fn hash(&self) -> ContextHash {
        self.manifest.hash()
    }

    /// What is probably not meant, in no particular order.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

/// Whether sorted `entries` have `path` itself or something below it.
pub(crate) fn has_below(entries: &[Entry], path: &RelPath) -> bool {
    let from = entries.partition_point(|entry| entry.path < *path);
    let near = entries[from..].iter().take_while(|entry| entry.path.as_bytes().starts_with(path.as_bytes()));
    let mut near = near;
    near.any(|entry| is_within(entry.path.as_bytes(), path.as_bytes()))
}

/// Whether the target of the link at `path` lies, by its text, outside the context.
fn leaves(path: &[u8], target: &[u8]) -> bool {
    if target.first() == Some(&b'/') {
        return true;
    }
    let mut depth = path.iter().filter(|&&byte| byte == b'/').count();
    for part in target.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if depth == 0 => return true,
            b".." => depth -= 1,
            _ => depth += 1,
        }
    }
    false
}
