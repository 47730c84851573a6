//! What changed between two manifests, for `why` and for people.
//!
//! Law: the list is empty if and only if the two hashes are equal.

use std::cmp::Ordering;

use crate::{Manifest, RelPath};

/// One path that differs between two manifests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Change {
    /// The path, relative to the context's root.
    pub path: RelPath,
    /// How it differs.
    pub kind: ChangeKind,
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
}

impl ChangeKind {
    /// `added`, `removed`, `content`, `mode` or `kind`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Content => "content",
            Self::Mode => "mode",
            Self::Kind => "kind",
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
        let mut changes = Vec::new();
        let mut push = |path: &RelPath, kind| changes.push(Change { path: path.clone(), kind });
        loop {
            let order = match (before.peek(), after.peek()) {
                (None, None) => return changes,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => old.path.cmp(&new.path),
            };
            let old = if order.is_le() { before.next() } else { None };
            let new = if order.is_ge() { after.next() } else { None };
            match (old, new) {
                (Some(old), None) => push(&old.path, ChangeKind::Removed),
                (None, Some(new)) => push(&new.path, ChangeKind::Added),
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
                (None, None) => return changes,
            }
        }
    }
}
