//! The files of a commit, from git's object database alone: no work tree is needed and none is looked at.
//!
//! Invariants: object ids are names here and enter no hash; content is what the blob holds, without filters or
//! conversion of line endings; names come from strangers and are checked before they become paths. Nothing is fetched:
//! an object that a partial or shallow clone does not have is an error.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use gix::bstr::BStr;
use gix::objs::tree::EntryKind;

use crate::Error;
use crate::content::Hashed;
use crate::path::{escape, fault, join};

/// Largest blob that is read, in bytes: it is held in memory.
const MAX_BLOB: u64 = 1 << 30;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The name of an object: 20 or 32 bytes.
pub(crate) type ObjectName = Box<[u8]>;

/// A name, what it stands for, and the object behind it.
pub(crate) type TreeEntry = (Box<[u8]>, InTree, ObjectName);

/// One commit of a repository.
pub(crate) struct Commit {
    repository: gix::ThreadSafeRepository,
    top: std::path::PathBuf,
    /// The commit's own name in hexadecimal digits.
    pub(crate) name: String,
    /// The tree of the directory that it was opened for.
    pub(crate) tree: ObjectName,
    /// What files turned out to be, for all commits that are opened from one another.
    known: Arc<Mutex<HashMap<ObjectName, Hashed>>>,
}

/// What a name in a tree stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InTree {
    File { executable: bool },
    Symlink,
    Directory,
    Submodule,
}

impl std::fmt::Debug for Commit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commit").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Commit {
    /// The commit that `revision` names (gitrevisions(7)) in the repository with the top level `top`, and in it the
    /// directory `below`, relative to the top level.
    pub(crate) fn open(top: &Path, revision: &str, below: &[u8]) -> Result<Self, Error> {
        let open = || -> Result<Option<Self>, Failure> {
            let options = gix::open::Options::isolated().with(gix::sec::Trust::Reduced).open_path_as_is(true);
            let repository = gix::open_opts(top.join(".git"), options)?;
            let Some((name, tree)) = find(&repository, revision, below)? else { return Ok(None) };
            let (repository, top) = (repository.into_sync(), top.to_owned());
            Ok(Some(Self { repository, top, name, tree, known: Arc::default() }))
        };
        found(open(), top, revision, below)
    }

    /// As [`Commit::open`], for another commit of the same repository. What files turned out to be is known to both.
    pub(crate) fn other(&self, revision: &str, below: &[u8]) -> Result<Self, Error> {
        let open = || -> Result<Option<Self>, Failure> {
            let Some((name, tree)) = find(&self.repository.to_thread_local(), revision, below)? else {
                return Ok(None);
            };
            let (repository, top) = (self.repository.clone(), self.top.clone());
            Ok(Some(Self { repository, top, name, tree, known: Arc::clone(&self.known) }))
        };
        found(open(), &self.top, revision, below)
    }

    /// What the file behind an object turned out to be, if it was looked at before.
    pub(crate) fn known(&self, id: &[u8]) -> Option<Hashed> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Remembers what the file behind an object turned out to be.
    pub(crate) fn remember(&self, id: &[u8], file: &Hashed) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(id.into(), file.clone());
    }

    /// The names in a tree that stands for the directory `path`, in git's order, which is that of whole paths.
    pub(crate) fn list(&self, tree: &[u8], path: &[u8]) -> Result<Vec<TreeEntry>, Error> {
        let read = || -> Result<_, Failure> {
            let repository = self.repository.to_thread_local();
            let object = repository.find_object(gix::ObjectId::try_from(tree)?)?.try_into_tree()?;
            let mut names = Vec::new();
            for entry in object.decode()?.entries {
                let name: &[u8] = entry.filename;
                if fault(name).is_some() || name.contains(&b'/') || name.eq_ignore_ascii_case(b".git") {
                    return Err(format!("a tree holds the name `{}`", escape(&join(path, name))).into());
                }
                let kind = match entry.mode.kind() {
                    EntryKind::Blob => InTree::File { executable: false },
                    EntryKind::BlobExecutable => InTree::File { executable: true },
                    EntryKind::Link => InTree::Symlink,
                    EntryKind::Tree => InTree::Directory,
                    EntryKind::Commit => InTree::Submodule,
                };
                names.push((name.into(), kind, entry.oid.as_bytes().into()));
            }
            Ok(names)
        };
        read().map_err(|source| self.failed(source))
    }

    /// The bytes of a blob.
    pub(crate) fn blob(&self, id: &[u8], path: &[u8]) -> Result<Vec<u8>, Error> {
        let read = || -> Result<_, Failure> {
            let repository = self.repository.to_thread_local();
            let id = gix::ObjectId::try_from(id)?;
            if repository.find_header(id)?.size() > MAX_BLOB {
                return Err(format!("`{}` is larger than 1 GiB", escape(path)).into());
            }
            let mut blob = repository.find_object(id)?.try_into_blob()?;
            Ok(blob.take_data())
        };
        read().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: Failure) -> Error {
        Error::Git { path: self.top.clone(), source }
    }
}

/// The commit's own name, and the tree of the directory `below` in it; `None` where it does not have that.
fn find(repository: &gix::Repository, revision: &str, below: &[u8]) -> Result<Option<(String, ObjectName)>, Failure> {
    let commit = repository.rev_parse_single(revision)?.object()?.peel_to_commit()?;
    let (name, mut tree) = (commit.id.to_string(), commit.tree_id()?.detach());
    for part in below.split(|&byte| byte == b'/').filter(|part| !part.is_empty()) {
        let object = repository.find_object(tree)?.try_into_tree()?;
        let found = object
            .decode()?
            .entries
            .iter()
            .find(|entry| entry.filename == part)
            .map(|entry| (entry.mode.is_tree(), entry.oid.to_owned()));
        match found {
            Some((true, id)) => tree = id,
            _ => return Ok(None),
        }
    }
    Ok(Some((name, tree.as_bytes().into())))
}

fn found(opened: Result<Option<Commit>, Failure>, top: &Path, revision: &str, below: &[u8]) -> Result<Commit, Error> {
    match opened {
        Ok(Some(commit)) => Ok(commit),
        Ok(None) => Err(Error::NotInCommit { revision: revision.to_owned(), path: escape(below) }),
        Err(source) => Err(Error::Revision { path: top.to_owned(), revision: revision.to_owned(), source }),
    }
}

/// Whether `text` could be a revision at all; what begins with `-` is a flag that was mistyped.
pub(crate) fn is_revision(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('-') && !BStr::new(text).contains(&0)
}
