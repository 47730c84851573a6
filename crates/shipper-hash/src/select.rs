//! What goes into a context, as a user says it.
//!
//! Order of the rules, for each path: `exclude` drops it; `inputs` takes it whatever git, `.dockerignore` and the
//! narrowing say; otherwise it must be in the file set, not excluded by `.dockerignore`, and covered by the narrowing.
//! `.git` is never part of a context. Shipper's own files at the tree's root are only if a pattern names them.

use shipper_dockerfile::{IgnoreFile, WidenReason};

use crate::Narrow;

/// Which files a context is made of, before it is narrowed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum FileSet {
    /// Files that git tracks and untracked files that it does not ignore. Outside a repository: every file that no
    /// `.gitignore` names.
    #[default]
    Tracked,
    /// Everything on disk but `.git`, as Docker's own walk would send it; empty directories count.
    Worktree,
    /// Files on disk that a pattern names, ignored by git or not.
    Explicit(Vec<String>),
}

/// What goes into a context.
#[derive(Clone, Debug, Default)]
pub struct Selection<'a> {
    /// The files to begin with.
    pub files: FileSet,
    /// Rules of a `.dockerignore`, relative to the context's directory.
    pub ignore: Option<&'a IgnoreFile>,
    /// Keep only what one of these covers.
    pub only: Option<Vec<Narrow>>,
    /// Patterns relative to the tree's root: files that are added even when git or `.dockerignore` ignore them.
    pub inputs: Vec<String>,
    /// Patterns relative to the tree's root: files that are left out, whatever else says they belong.
    pub exclude: Vec<String>,
}

/// What one call of [`ContextBuilder::add`](crate::ContextBuilder::add) found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Number of files, links and empty directories.
    pub files: usize,
    /// Patterns of `inputs` and of an explicit file set that name nothing.
    pub unmatched: Vec<String>,
    /// What the narrowing became when symbolic links were followed; `None` if nothing is narrowed.
    pub only: Option<Vec<Narrow>>,
    /// Why the narrowing was given up: symbolic links lead a path of it to the whole context. Empty if it was not.
    pub widened: Vec<WidenReason>,
}
