//! The one error type of this crate.

use std::io;
use std::path::{Path, PathBuf};

use crate::RelPath;
use crate::path::{escape, platform_bytes};

/// Why a context could not be hashed, read or staged.
///
/// The text is a fragment that fits after "cannot ..."; what the user can do about it is in [`hint`](Self::hint).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that are not a plain relative path.
    #[error("use `{path}` as a path: {reason}")]
    InvalidPath {
        /// The bytes, escaped.
        path: String,
        /// Which rule is broken.
        reason: &'static str,
    },
    /// Text that is not the printed form of a digest, hash or key.
    #[error("read `{text}` as a digest: expected {expected}")]
    InvalidDigest {
        /// The text, shortened and escaped.
        text: String,
        /// The form that was expected.
        expected: &'static str,
    },
    /// Bytes that are not an encoded manifest, or entries that do not make one.
    #[error("use this as a context manifest: {reason}")]
    InvalidManifest {
        /// What is wrong, with the number of the entry.
        reason: String,
    },
    /// Two entries for one path.
    #[error("put `{path}` into one context twice")]
    DuplicatePath {
        /// The path.
        path: RelPath,
    },
    /// An entry that lies below another one that is not a directory.
    #[error("put both `{other}` and `{path}` into one context")]
    Overlap {
        /// The lower path.
        path: RelPath,
        /// The upper path.
        other: RelPath,
    },
    /// A pattern of `inputs`, `exclude` or an explicit file set that cannot be understood.
    #[error("use `{pattern}` as a pattern: {reason}")]
    Pattern {
        /// The pattern as given.
        pattern: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A pattern of `inputs` that names a path outside the context.
    #[error("add `{path}` (named by `{pattern}`) to the context `{base}`: it lies outside")]
    OutsideBase {
        /// The path, relative to the tree's root.
        path: RelPath,
        /// The pattern or path that names it.
        pattern: String,
        /// The context's directory.
        base: RelPath,
    },
    /// A path that was asked for by name and is not a file of the set.
    #[error("find `{path}` among the files of the tree")]
    NotFound {
        /// The path, relative to the tree's root.
        path: RelPath,
    },
    /// A file or directory that could not be read, written or listed.
    #[error("{action} `{}`", show(.path))]
    Io {
        /// What was tried: `read`, `list`, `write`, ...
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A git repository whose index or configuration could not be read.
    #[error("read the git repository `{}`", show(.path))]
    Git {
        /// The work tree's top level.
        path: PathBuf,
        /// What the git library said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A revision that names no commit here.
    #[error("find the commit `{revision}` in `{}`", show(.path))]
    Revision {
        /// The work tree's top level.
        path: PathBuf,
        /// As given.
        revision: String,
        /// What the git library said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A directory that a commit does not have.
    #[error("find the directory `{path}` in the commit `{revision}`")]
    NotInCommit {
        /// The commit as given.
        revision: String,
        /// The directory, relative to the work tree's top level.
        path: String,
    },
    /// A commit was asked for where there is no git repository.
    #[error("find the commit `{revision}`: `{}` lies in no git repository", show(.path))]
    NoRepository {
        /// The directory.
        path: PathBuf,
        /// As given.
        revision: String,
    },
    /// The files of a commit were to be read from disk.
    #[error("read the files of a commit from disk")]
    OnlyInCommit,
    /// A tracked path that a sparse checkout left out, and that the context needs.
    #[error("read `{path}`: the sparse checkout leaves it out")]
    SparseInput {
        /// The path, relative to the tree's root.
        path: RelPath,
    },
    /// A submodule without a checkout.
    #[error("read the submodule `{path}`: it is not checked out")]
    Submodule {
        /// The path, relative to the tree's root.
        path: RelPath,
    },
    /// A submodule in a commit: the commit names the submodule's commit and has none of its files.
    #[error("read the submodule `{path}` of a commit: its files are in another repository")]
    CommittedSubmodule {
        /// The path, relative to the tree's root.
        path: RelPath,
    },
    /// A FIFO, socket or device.
    #[error("put `{path}` into a context: it is a {what}")]
    SpecialFile {
        /// The path, relative to the tree's root.
        path: RelPath,
        /// `FIFO`, `socket`, `character device`, ...
        what: &'static str,
    },
    /// Files that git does not know, where the policy forbids them.
    #[error("hash a tree with untracked files: {}", some_of(.paths))]
    UntrackedFiles {
        /// All of them, relative to the tree's root, sorted.
        paths: Vec<RelPath>,
    },
    /// A directory that must not be used as a stage: everything else in a stage is removed.
    #[error("use `{}` as a stage: {reason}", show(.path))]
    BadStage {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file that kept changing under the reader.
    #[error("read `{path}`: it changes while it is read")]
    ChangedWhileReading {
        /// The path, relative to the tree's root.
        path: RelPath,
    },
    /// A file that is not what it was when the context was hashed.
    #[error("use `{path}`: it changed after the context was hashed")]
    ChangedSinceHashed {
        /// The path, relative to the context's root.
        path: RelPath,
    },
    /// Manifests, a lock or a toolchain file of Cargo that make no closure.
    #[cfg(feature = "cargo")]
    #[error(transparent)]
    Cargo(#[from] crate::CargoError),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// Whether the work tree moved while it was used; trying again may succeed.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        matches!(self, Self::ChangedWhileReading { .. } | Self::ChangedSinceHashed { .. })
    }

    /// Whether the tree contains something that the policy or the format refuses, as opposed to a failure of the system.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(
            self,
            Self::SparseInput { .. }
                | Self::Submodule { .. }
                | Self::CommittedSubmodule { .. }
                | Self::SpecialFile { .. }
                | Self::UntrackedFiles { .. }
                | Self::OutsideBase { .. }
        )
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Revision { .. } => Some("name a branch, a tag or a commit that is here; nothing is fetched".into()),
            Self::SparseInput { path } => Some(format!("add it to the checkout: `git sparse-checkout add {path}`")),
            Self::Submodule { path } => Some(format!("run `git submodule update --init {path}`")),
            Self::CommittedSubmodule { path } => {
                Some(format!("add `{path}` to `exclude`, or check the commit out with its submodules"))
            }
            Self::SpecialFile { path, .. } => {
                Some(format!("remove it, or leave it out: add `{path}` to .gitignore, .dockerignore or `exclude`"))
            }
            Self::UntrackedFiles { .. } => {
                Some("add them with `git add`, ignore them, or set `untracked = \"include\"`".into())
            }
            Self::ChangedWhileReading { path } | Self::ChangedSinceHashed { path } => {
                Some(format!("wait until nothing writes to `{path}`, then run again"))
            }
            Self::OutsideBase { .. } => Some("choose a `context` directory that contains it".into()),
            Self::Io { action: "read" | "list", source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("make it readable, or leave it out with .gitignore, .dockerignore or `exclude`".into())
            }
            #[cfg(feature = "cargo")]
            Self::Cargo(error) => error.hint(),
            _ => None,
        }
    }
}

fn show(path: &Path) -> String {
    platform_bytes(path).map_or_else(|| path.display().to_string(), |bytes| escape(&bytes))
}

fn some_of(paths: &[RelPath]) -> String {
    const SHOWN: usize = 10;
    let mut text: Vec<String> = paths.iter().take(SHOWN).map(|path| format!("`{path}`")).collect();
    if paths.len() > SHOWN {
        text.push(format!("and {} more", paths.len() - SHOWN));
    }
    text.join(", ")
}
