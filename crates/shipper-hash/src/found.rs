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
    /// Those that were not known when they were added, in the same order.
    unknown: Vec<(u32, u32)>,
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
        let file = (narrow(at), narrow(node));
        self.files.push(file);
        if directory.nodes[node].known().is_none() {
            self.unknown.push(file);
        }
    }

    /// Adds everything in `other`.
    pub(crate) fn append(&mut self, other: Self) {
        let offset = narrow(self.directories.len());
        self.directories.extend(other.directories);
        let moved = |(directory, node): (u32, u32)| (directory + offset, node);
        self.files.extend(other.files.into_iter().map(moved));
        self.unknown.extend(other.unknown.into_iter().map(moved));
        self.empty.extend(other.empty);
        self.walks += other.walks.max(1);
    }

    #[cfg(feature = "cargo")]
    /// Keeps only the files and links whose paths (relative to the tree's root) `wanted` takes.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&[u8]) -> bool) {
        let directories = &self.directories;
        let is_wanted = |&(directory, node): &(u32, u32)| {
            let directory = &directories[directory as usize];
            wanted(&crate::path::join(&directory.path, &directory.nodes[node as usize].name))
        };
        self.files.retain(is_wanted);
        self.unknown.retain(is_wanted);
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
        let mut groups: Vec<Wanted<'_>> = Vec::new();
        for of_directory in self.unknown.chunk_by(|a, b| a.0 == b.0) {
            let directory = &*self.directories[of_directory[0].0 as usize];
            let nodes = of_directory.iter().map(|&(_, node)| &directory.nodes[node as usize]);
            let nodes: Vec<&Node> = nodes.filter(|node| node.known().is_none()).collect();
            groups.push(Wanted { directory, nodes });
        }
        groups
    }
}

fn narrow(at: usize) -> u32 {
    u32::try_from(at).expect("because a tree of 2^32 directories or names in one cannot be held")
}
