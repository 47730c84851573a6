//! The manifests of a tree, each parsed once.
//!
//! Only files of the tree's list are read. A manifest that is a symbolic link counts as absent: links are not followed,
//! and what the link names may lie anywhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::lock::Lock;
use super::manifest::Manifest;
use super::paths;
use super::source::Reference;
use crate::{Error, RelPath};

/// One file of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) path: RelPath,
    pub(crate) is_link: bool,
}

/// The files that may be part of a closure.
pub(crate) trait Files: Sync {
    /// All files and links, sorted by path.
    fn list(&self) -> &[Listed];
    /// The content of a file, or the text of a link.
    fn read(&self, path: &RelPath) -> Result<Vec<u8>, Error>;
}

/// What one source names.
pub(super) type References = Arc<[Reference]>;

/// What was parsed already, for several closures of one tree.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    /// By directory.
    manifests: Mutex<HashMap<String, Arc<Manifest>>>,
    /// By source; those of a file outside its package are more.
    references: Mutex<HashMap<(String, bool), References>>,
    /// By directory.
    locks: Mutex<HashMap<String, Arc<Lock>>>,
}

/// Nothing in a memo can be left half done, so a poisoned lock is as good as another.
fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads manifests through a [`Files`].
pub(super) struct Repo<'a> {
    files: &'a dyn Files,
    memo: &'a Memo,
}

impl<'a> Repo<'a> {
    pub(super) fn new(files: &'a dyn Files, memo: &'a Memo) -> Self {
        Self { files, memo }
    }

    pub(super) fn files(&self) -> &'a dyn Files {
        self.files
    }

    /// The file or link at `path`.
    pub(super) fn entry(&self, path: &[u8]) -> Option<&'a Listed> {
        let list = self.files.list();
        list.binary_search_by(|listed| listed.path.as_bytes().cmp(path)).ok().map(|at| &list[at])
    }

    /// The regular file at `path`.
    pub(super) fn file(&self, path: &str) -> Option<&'a RelPath> {
        self.entry(path.as_bytes()).filter(|listed| !listed.is_link).map(|listed| &listed.path)
    }

    /// The content of the file at `path`, `None` if there is none.
    pub(super) fn content(&self, path: &str) -> Result<Option<(&'a RelPath, Vec<u8>)>, Error> {
        self.file(path).map(|path| Ok((path, self.files.read(path)?))).transpose()
    }

    /// Everything below a directory, sorted.
    pub(super) fn below(&self, directory: &str) -> &'a [Listed] {
        let list = self.files.list();
        if directory.is_empty() {
            return list;
        }
        let prefix = format!("{directory}/").into_bytes();
        let start = list.partition_point(|listed| listed.path.as_bytes() < prefix.as_slice());
        let count = list[start..].partition_point(|listed| listed.path.as_bytes().starts_with(&prefix));
        &list[start..start + count]
    }

    /// Whether the directory has a manifest.
    pub(super) fn has_manifest(&self, directory: &str) -> bool {
        self.file(&paths::join(directory, "Cargo.toml")).is_some()
    }

    /// The manifest of a directory, `None` if it has none.
    pub(super) fn manifest(&self, directory: &str) -> Result<Option<Arc<Manifest>>, Error> {
        if let Some(manifest) = open(&self.memo.manifests).get(directory) {
            return Ok(Some(Arc::clone(manifest)));
        }
        let Some((path, bytes)) = self.content(&paths::join(directory, "Cargo.toml"))? else { return Ok(None) };
        let manifest = Arc::new(Manifest::parse(directory, path, &bytes)?);
        open(&self.memo.manifests).insert(directory.to_owned(), Arc::clone(&manifest));
        Ok(Some(manifest))
    }

    /// The lock file of a directory, `None` if it has none.
    pub(super) fn lock(&self, directory: &str) -> Result<Option<Arc<Lock>>, Error> {
        if let Some(lock) = open(&self.memo.locks).get(directory) {
            return Ok(Some(Arc::clone(lock)));
        }
        let Some((path, bytes)) = self.content(&paths::join(directory, "Cargo.lock"))? else { return Ok(None) };
        let lock = Arc::new(Lock::parse(path, &bytes)?);
        open(&self.memo.locks).insert(directory.to_owned(), Arc::clone(&lock));
        Ok(Some(lock))
    }

    /// What a source names, if that was found out already.
    pub(super) fn known_references(&self, source: &str, outside: bool) -> Option<References> {
        open(&self.memo.references).get(&(source.to_owned(), outside)).map(Arc::clone)
    }

    pub(super) fn remember_references(&self, source: &str, outside: bool, references: Vec<Reference>) {
        open(&self.memo.references).insert((source.to_owned(), outside), references.into());
    }

    /// The directories that have a manifest, sorted by the path of the manifest. Build directories (`target` beside a
    /// manifest) are passed over, vendored packages are not.
    pub(super) fn manifest_dirs(&self) -> Vec<&'a str> {
        let manifests =
            self.files.list().iter().filter(|listed| !listed.is_link && listed.path.file_name() == b"Cargo.toml");
        let dirs = manifests.filter_map(|listed| {
            let path = listed.path.as_str()?;
            Some(path.strip_suffix("Cargo.toml")?.trim_end_matches('/'))
        });
        dirs.filter(|dir| !self.is_build_output(dir)).collect()
    }

    /// Whether a path lies in a directory `target` that stands beside a manifest.
    pub(super) fn is_build_output(&self, path: &str) -> bool {
        let targets = path.match_indices("target").filter(|(at, _)| {
            let starts = *at == 0 || path.as_bytes()[at - 1] == b'/';
            let end = at + "target".len();
            starts && (end == path.len() || path.as_bytes()[end] == b'/')
        });
        targets.map(|(at, _)| path[..at].trim_end_matches('/')).any(|above| self.has_manifest(above))
    }
}
