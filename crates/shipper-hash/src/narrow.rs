//! Narrowing a context to what a build can read, through the symbolic links on the way.
//!
//! BuildKit follows links on the way to a `COPY` source and at the source itself, so what such a link points to is
//! read as well (`FollowPaths` in fsutil). Links inside of a copied directory are copied as links.

use std::sync::Arc;

use shipper_dockerfile::{ContextPath, Inputs, WidenReason};

use crate::content::{Known, Reader, Wanted};
use crate::listing::{Dir, NodeKind};
use crate::path::{is_within, join};
use crate::{Error, RelPath};

/// A link's path and its text.
type Link = (Vec<u8>, Vec<u8>);

/// A limit on what a context contains: everything else is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Narrow {
    /// This path, relative to the context's directory, and what is below it.
    Prefix(RelPath),
    /// A path or wildcard that a Dockerfile reads, and where symbolic links on the way to it lead.
    Path(ContextPath),
}

impl Narrow {
    /// Whether `path`, relative to the context's directory, is kept.
    pub(crate) fn covers(&self, path: &[u8]) -> bool {
        match self {
            Self::Prefix(prefix) => is_within(path, prefix.as_bytes()),
            Self::Path(wanted) => wanted.covers(path),
        }
    }

    /// Whether a link at `path` is kept because a builder follows it on its way.
    pub(crate) fn leads_through(&self, path: &[u8]) -> bool {
        match self {
            Self::Prefix(_) => false,
            Self::Path(wanted) => wanted.may_pass_through(path),
        }
    }

    /// Whether something below `directory` may be kept.
    pub(crate) fn may_cover_below(&self, directory: &[u8]) -> bool {
        match self {
            Self::Prefix(prefix) => is_within(directory, prefix.as_bytes()) || is_within(prefix.as_bytes(), directory),
            // A directory is on the way to a path exactly if a link in its place would be.
            Self::Path(wanted) => wanted.covers(directory) || wanted.may_pass_through(directory),
        }
    }
}

/// What is kept when the links of the context's directory `base` are followed.
pub(crate) enum Followed {
    /// These limits: the given ones and what they lead to.
    Limits(Vec<Narrow>),
    /// Everything, for these reasons.
    Whole(Vec<WidenReason>),
}

/// Adds to `limits` what links lead to.
pub(crate) fn follow(limits: &[Narrow], base: &Arc<Dir>, reader: Reader<'_>) -> Result<Followed, Error> {
    let is_prefix = |limit: &&Narrow| matches!(limit, Narrow::Prefix(_));
    let prefixes: Vec<Narrow> = limits.iter().filter(is_prefix).cloned().collect();
    let mut paths: Vec<ContextPath> = limits
        .iter()
        .filter_map(|limit| match limit {
            Narrow::Path(path) => Some(path.clone()),
            Narrow::Prefix(_) => None,
        })
        .collect();
    loop {
        let links = links_on_the_way(base, &paths, reader)?;
        let before = paths.len();
        match Inputs::Paths(paths).follow_links(&links) {
            Inputs::WholeContext { reasons } => return Ok(Followed::Whole(reasons)),
            // Nothing new means that no further directory can hold a link on the way.
            Inputs::Paths(all) if all.len() == before => {
                return Ok(Followed::Limits(prefixes.into_iter().chain(all.into_iter().map(Narrow::Path)).collect()));
            }
            Inputs::Paths(all) => paths = all,
        }
    }
}

/// The links on the way to one of `paths`, with their texts; paths are relative to the context's directory.
fn links_on_the_way(base: &Arc<Dir>, paths: &[ContextPath], reader: Reader<'_>) -> Result<Vec<Link>, Error> {
    let skip = if base.path.is_empty() { 0 } else { base.path.len() + 1 };
    let mut links = Vec::new();
    let mut waiting = vec![base.clone()];
    while let Some(directory) = waiting.pop() {
        for node in &directory.nodes {
            let is_link = node.kind == NodeKind::Symlink;
            let path = join(&directory.path, &node.name).split_off(skip);
            if !(is_link || node.is_directory()) || !paths.iter().any(|wanted| wanted.may_pass_through(&path)) {
                continue;
            }
            if !is_link {
                waiting.push(directory.child(node, reader.lister(|_, _| false))?);
                continue;
            }
            reader.look(&[Wanted { directory: &directory, nodes: vec![node] }])?;
            if let Some(Known::Link(link)) = node.known() {
                links.push((path, link.target.to_vec()));
            }
        }
    }
    Ok(links)
}
