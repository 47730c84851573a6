//! What changed between two manifests, for `why` and for people.
//!
//! Law: the list is empty if and only if the two hashes are equal.

use std::cmp::Ordering;
use std::collections::HashMap;

use crate::{Entry, Manifest, RelPath};

/// One path that differs between two manifests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Change {
    /// The path, relative to the context's root; of a renamed entry, the new one.
    pub path: RelPath,
    /// How it differs.
    pub kind: ChangeKind,
    /// The old path of a renamed entry.
    pub from: Option<RelPath>,
}

/// How a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ChangeKind {
    /// Only in the new manifest.
    Added,
    /// Only in the old manifest.
    Removed,
    /// Other bytes (and perhaps another execute bit).
    Content,
    /// The same bytes with another execute bit.
    Mode,
    /// Another kind of entry: a file became a link, for example.
    Kind,
    /// The same entry under another path.
    Renamed,
}

impl ChangeKind {
    /// `added`, `removed`, `content`, `mode`, `kind` or `renamed`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Content => "content",
            Self::Mode => "mode",
            Self::Kind => "kind",
            Self::Renamed => "renamed",
        }
    }
}

impl std::fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl Manifest {
    /// What must change in this (old) manifest to become `new`, sorted by path bytes.
    ///
    /// An entry that is gone and one that is new count as one renamed entry if kind and content are equal and there is
    /// something in them; among several the first ones in the order of paths belong together.
    ///
    /// ```
    /// use shipper_hash::{ChangeKind, Entry, Kind, Manifest, RelPath};
    /// let path = RelPath::try_from("a")?;
    /// let old = Manifest::new(vec![Entry::new(path.clone(), Kind::File, b"1")])?;
    /// let new = Manifest::new(vec![Entry::new(path, Kind::File, b"2")])?;
    /// assert_eq!(old.diff(&new)[0].kind, ChangeKind::Content);
    /// assert!(old.diff(&old).is_empty());
    /// # Ok::<(), shipper_hash::Error>(())
    /// ```
    #[must_use]
    pub fn diff(&self, new: &Self) -> Vec<Change> {
        let (mut before, mut after) = (self.entries().iter().peekable(), new.entries().iter().peekable());
        let (mut changes, mut removed, mut added) = (Vec::new(), Vec::new(), Vec::new());
        let mut push = |path: &RelPath, kind| changes.push(Change { path: path.clone(), kind, from: None });
        loop {
            let order = match (before.peek(), after.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => old.path.cmp(&new.path),
            };
            let old = if order.is_le() { before.next() } else { None };
            let new = if order.is_ge() { after.next() } else { None };
            match (old, new) {
                (Some(old), None) => removed.push(old),
                (None, Some(new)) => added.push(new),
                (Some(old), Some(new)) => {
                    let same_content = old.digest == new.digest && old.size == new.size;
                    if old.kind != new.kind && !(old.kind.is_file() && new.kind.is_file()) {
                        push(&new.path, ChangeKind::Kind);
                    } else if !same_content {
                        push(&new.path, ChangeKind::Content);
                    } else if old.kind != new.kind {
                        push(&new.path, ChangeKind::Mode);
                    }
                }
                (None, None) => break,
            }
        }
        changes.extend(moved(&removed, &added));
        changes.sort_unstable();
        changes
    }
}

/// What became of entries whose paths are in one manifest only.
fn moved(removed: &[&Entry], added: &[&Entry]) -> Vec<Change> {
    let is_telling = |entry: &&&Entry| entry.size > 0;
    // Last first, so that the first is taken from the end.
    let mut sources: HashMap<_, Vec<&Entry>> = HashMap::new();
    for &entry in removed.iter().rev().filter(is_telling) {
        sources.entry((entry.kind, entry.digest)).or_default().push(entry);
    }
    let mut changes = Vec::with_capacity(removed.len() + added.len());
    let mut gone: Vec<&RelPath> = Vec::new();
    for entry in added {
        let source = if is_telling(&entry) { sources.get_mut(&(entry.kind, entry.digest)) } else { None };
        let from = source.and_then(Vec::pop).map(|source| &source.path);
        gone.extend(from);
        let kind = if from.is_some() { ChangeKind::Renamed } else { ChangeKind::Added };
        changes.push(Change { path: entry.path.clone(), kind, from: from.cloned() });
    }
    gone.sort_unstable();
    let rest = removed.iter().filter(|entry| gone.binary_search(&&entry.path).is_err());
    changes.extend(rest.map(|entry| Change { path: entry.path.clone(), kind: ChangeKind::Removed, from: None }));
    changes
}
