//! Bringing over what refers to an image: signatures, SBOMs, provenance, and what refers to those.
//!
//! Invariants: what is brought names as its subject what it was listed for, whatever the list says; a referrer is listed at
//! the destination when this has returned; what is listed there already is neither read twice nor sent. Source: OCI
//! distribution specification 1.1, "Listing Referrers": the subject of a manifest may be missing when that is stored.

use std::collections::{BTreeSet, VecDeque};

use crate::copy::{Needed, gather};
use crate::referrers::Lists;
use crate::store::Target;
use crate::{
    BlobOrigin, Digest, Error, MAX_INDEX_DEPTH, Manifest, Repository, Result, Selector, media_type, push_blobs,
};

/// Most referrers of one image that are brought over, those of referrers included.
const MOST: usize = 1_000;

/// What [`copy_referrers`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReferrersReport {
    /// Referrers that the destination has now.
    pub referrers: usize,
    /// Those of them that were written.
    pub written: usize,
    /// Blobs whose bytes were sent.
    pub uploaded: usize,
    /// Blobs that the destination took from another of its repositories.
    pub mounted: usize,
    /// Blobs that were there.
    pub existed: usize,
    /// Bytes of the blobs sent.
    pub bytes: u64,
}

/// Copies what refers to `subject`, to the images of an index, and to referrers themselves, as far as `wanted` says so of
/// its artifact type: of what the list says it is, and of what its manifest says. Where nothing refers to them this costs
/// one list of each at the source (one request more where the registry keeps no lists) and nothing at the destination.
/// Within one repository there is nothing to do. See [`crate::Copying`] for an example.
///
/// # Errors
/// [`Error::TooLarge`] for more than 1,000 referrers; everything that reading and writing may meet.
pub async fn copy_referrers(
    from: &Repository,
    subject: &Manifest,
    to: &Repository,
    wanted: &(dyn Fn(Option<&str>) -> bool + Sync),
) -> Result<ReferrersReport> {
    let mut report = ReferrersReport::default();
    if from.is_same_as(to) {
        return Ok(report);
    }
    let mut lists = Lists::of(from);
    let mut subjects: VecDeque<Digest> = with_children(subject).into();
    let mut seen: BTreeSet<Digest> = subjects.iter().cloned().collect();
    let mut due = Vec::new();
    while let Some(subject) = subjects.pop_front() {
        let mut found = Vec::new();
        for entry in lists.read(&subject, None).await? {
            if !seen.insert(entry.digest.clone()) || !wanted(entry.artifact_type.as_deref()) {
                continue;
            }
            // One that is listed and gone by now.
            let Some(referrer) = from.manifest(&Selector::Digest(entry.digest)).await? else { continue };
            if referrer.subject().is_some_and(|of| of.digest == subject) && wanted(referrer.artifact_type()) {
                found.push(referrer);
            }
        }
        if found.is_empty() {
            continue;
        }
        report.referrers += found.len();
        if report.referrers > MOST {
            let what = format!("number of referrers of {}", from.reference(&Selector::Digest(subject)));
            return Err(Error::TooLarge { what, limit: MOST as u64 });
        }
        subjects.extend(found.iter().map(|referrer| referrer.digest().clone()));
        let known = to.referrers(&subject, None).await?;
        for referrer in found {
            let is_known = known.iter().any(|entry| entry.digest == *referrer.digest());
            report.written += usize::from(!is_known);
            due.push((referrer, is_known));
        }
    }
    // A layout's files can be damaged under a list, and the right bytes are at hand.
    let again = matches!(to.target, Target::Layout(_));
    let due: Vec<Manifest> = due.into_iter().filter(|(_, known)| again || !known).map(|(due, _)| due).collect();
    write(from, to, &due, &mut report).await?;
    Ok(report)
}

/// A manifest and those that it names, if it is an index, each once.
fn with_children(root: &Manifest) -> Vec<Digest> {
    let children = root.as_index().map(|index| index.manifests.as_slice()).unwrap_or_default();
    let images = children.iter().filter(|child| media_type::is_manifest(&child.media_type));
    let mut digests = vec![root.digest().clone()];
    for child in images {
        if !digests.contains(&child.digest) {
            digests.push(child.digest.clone());
        }
    }
    digests
}

async fn write(from: &Repository, to: &Repository, due: &[Manifest], report: &mut ReferrersReport) -> Result<()> {
    let mut needed = Needed::default();
    for referrer in due {
        gather(from, to, referrer, &BTreeSet::new(), MAX_INDEX_DEPTH, &mut needed).await?;
    }
    let blobs = needed.blobs.into_values().map(|blob| (blob, BlobOrigin::Repository(from.clone()))).collect();
    let done = push_blobs(to, blobs, &[]).await?;
    report.uploaded = done.uploaded;
    report.mounted = done.mounted;
    report.existed = done.existed;
    report.bytes = done.bytes;
    for child in &needed.children {
        to.put_manifest(child, None).await?;
    }
    for referrer in due {
        to.put_referrer(referrer).await?;
    }
    Ok(())
}
