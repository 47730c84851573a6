//! The files that a walk found.

use std::sync::Arc;

use crate::content::Wanted;
use crate::listing::{Dir, Node};

/// Files, links and empty directories, in bytewise order of their paths as long as one walk adds them.
#[derive(Default)]
pub(crate) struct Found {
    directories: Vec<Arc<Dir>>,
    /// Place in `directories`, place among its nodes.
    files: Vec<(usize, usize)>,
    /// Directories that have nothing of the context in them, relative to the tree's root.
    pub(crate) empty: Vec<Vec<u8>>,
}

impl Found {
    /// Number of files, links and empty directories.
    pub(crate) fn len(&self) -> usize {
        self.files.len() + self.empty.len()
    }

    /// Adds the node with the number `node` of `directory`; `place` is where this call notes the directory's place.
    pub(crate) fn push(&mut self, directory: &Arc<Dir>, place: &mut Option<usize>, node: usize) {
        let at = *place.get_or_insert_with(|| {
            self.directories.push(directory.clone());
            self.directories.len() - 1
        });
        self.files.push((at, node));
    }

    /// Adds everything in `other`.
    pub(crate) fn append(&mut self, other: Self) {
        let offset = self.directories.len();
        self.directories.extend(other.directories);
        self.files.extend(other.files.into_iter().map(|(directory, node)| (directory + offset, node)));
        self.empty.extend(other.empty);
    }

    #[cfg(feature = "cargo")]
    /// Keeps only the files and links whose paths (relative to the tree's root) `wanted` takes.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&[u8]) -> bool) {
        let directories = &self.directories;
        self.files.retain(|&(directory, node)| {
            let directory = &directories[directory];
            wanted(&crate::path::join(&directory.path, &directory.nodes[node].name))
        });
    }

    /// All files and links with their directories.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&Dir, &Node)> {
        self.files.iter().map(|&(directory, node)| {
            let directory = &*self.directories[directory];
            (directory, &directory.nodes[node])
        })
    }

    /// All files and links by directory, so that each is opened once.
    pub(crate) fn by_directory(&self) -> Vec<Wanted<'_>> {
        let mut groups: Vec<Wanted<'_>> =
            self.directories.iter().map(|directory| Wanted { directory, nodes: Vec::new() }).collect();
        for &(directory, node) in &self.files {
            groups[directory].nodes.push(&self.directories[directory].nodes[node]);
        }
        groups
    }
}
