//! The files that a walk found.

use std::sync::Arc;

use crate::content::Wanted;
use crate::listing::{Dir, Node};

/// Files, links and empty directories, in bytewise order of their paths as long as one walk adds them.
#[derive(Default)]
pub(crate) struct Found {
    directories: Vec<Arc<Dir>>,
    /// Place in `directories`, place among its nodes.
    files: Vec<(u32, u32)>,
    /// Whether some of them are still to be looked at.
    unknown: bool,
    /// How many walks added something.
    pub(crate) walks: usize,
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
        self.unknown |= directory.nodes[node].known.get().is_none();
        self.files.push((narrow(at), narrow(node)));
    }

    /// Adds everything in `other`.
    pub(crate) fn append(&mut self, other: Self) {
        let offset = narrow(self.directories.len());
        self.directories.extend(other.directories);
        self.files.extend(other.files.into_iter().map(|(directory, node)| (directory + offset, node)));
        self.empty.extend(other.empty);
        self.unknown |= other.unknown;
        self.walks += other.walks.max(1);
    }

    #[cfg(feature = "cargo")]
    /// Keeps only the files and links whose paths (relative to the tree's root) `wanted` takes.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&[u8]) -> bool) {
        let directories = &self.directories;
        self.files.retain(|&(directory, node)| {
            let directory = &directories[directory as usize];
            wanted(&crate::path::join(&directory.path, &directory.nodes[node as usize].name))
        });
    }

    /// Whether all repositories that files are from let the disk say which are executable.
    pub(crate) fn mode_on_disk(&self) -> bool {
        self.directories.iter().all(|directory| !directory.repository().mode_from_index)
    }

    /// All files and links with their directories.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&Dir, &Node)> {
        self.files.iter().map(|&(directory, node)| {
            let directory = &*self.directories[directory as usize];
            (directory, &directory.nodes[node as usize])
        })
    }

    /// The files and links that are not known yet, by directory, so that each is opened once.
    pub(crate) fn unknown(&self) -> Vec<Wanted<'_>> {
        if !self.unknown {
            return Vec::new();
        }
        let mut groups: Vec<Wanted<'_>> =
            self.directories.iter().map(|directory| Wanted { directory, nodes: Vec::new() }).collect();
        for &(directory, node) in &self.files {
            let node = &self.directories[directory as usize].nodes[node as usize];
            if node.known.get().is_none() {
                groups[directory as usize].nodes.push(node);
            }
        }
        groups.retain(|group| !group.nodes.is_empty());
        groups
    }
}

fn narrow(at: usize) -> u32 {
    u32::try_from(at).expect("because a tree of 2^32 directories or names in one cannot be held")
}
