//! The image of several platforms that one platform's image is a part of.
//!
//! Invariants: "no" means that every whole image of the repository was read; what could not be read, or was not for there were
//! too many, makes the answer "could not tell". A whole image has its inputs beside it (`m-<key>`), and a platform's own
//! identity has none, so that only the former are read: at most [`MOST`], [`TOGETHER`] at a time.

use std::collections::BTreeSet;

use shipper_oci::{Digest, Manifest, Repository, Selector, Tag};
use tokio::task::JoinSet;

/// Most images that are read for one answer.
const MOST: usize = 1_000;
/// Reads at the same time.
const TOGETHER: usize = 8;

/// Whether a manifest is a part of a whole image.
pub(crate) enum Part {
    /// An index under an identity with inputs names it.
    OfWhole,
    /// None does.
    OfNone,
    /// What kept that from being known.
    Unknown(String),
}

/// Looks for the whole image that names `part`.
pub(crate) async fn part(repository: &Repository, part: &Digest) -> Part {
    let tags = match repository.tags().await {
        Ok(tags) => tags,
        Err(error) => return Part::Unknown(error.chain()),
    };
    let wholes = wholes(&tags);
    let count = wholes.len();
    let mut unread = (count > MOST).then(|| format!("none of {MOST} of the repository's {count} images has it"));
    let mut waiting = wholes.into_iter().take(MOST);
    let mut reads = JoinSet::new();
    loop {
        while reads.len() < TOGETHER
            && let Some(name) = waiting.next()
        {
            let repository = repository.clone();
            reads.spawn(async move { repository.manifest(&Selector::Tag(name)).await });
        }
        let Some(read) = reads.join_next().await else { break };
        match read.expect("because a read does not panic and is not cancelled") {
            Ok(Some(whole)) if names(&whole, part) => return Part::OfWhole,
            Ok(_) => {}
            Err(error) => unread = Some(error.chain()),
        }
    }
    unread.map_or(Part::OfNone, Part::Unknown)
}

/// Whether an index has `part` among its manifests.
pub(crate) fn names(whole: &Manifest, part: &Digest) -> bool {
    whole.as_index().is_some_and(|index| index.manifests.iter().any(|one| one.digest == *part))
}

/// The identities that have inputs beside them, in the order of `tags`.
fn wholes(tags: &[Tag]) -> Vec<Tag> {
    let inputs: BTreeSet<&str> = tags.iter().filter_map(|tag| tag.as_str().strip_prefix("m-")).collect();
    let is_whole = |tag: &&Tag| tag.as_str().strip_prefix("h-").is_some_and(|key| inputs.contains(key));
    tags.iter().filter(is_whole).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::tag;

    #[test]
    fn only_identities_with_inputs_are_whole_images() {
        let tags = ["h-1", "h-2", "h-3", "last-main", "m-1", "m-3", "m-4", "v1"].map(tag);
        assert_eq!(wholes(&tags), ["h-1", "h-3"].map(tag));
    }
}
