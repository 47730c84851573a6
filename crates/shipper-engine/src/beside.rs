//! What lies beside an image and travels with it: what refers to it, and the inputs artifact `m-<key>`.
//!
//! Invariants: both are at the destination before a name is; an `m-<key>` that is about another image stays as it is, and
//! one that is about another image at the source is left there; the inputs artifact counts as inputs and never as one of the
//! referrers, which a registry with lists of its own has it in as well.

use shipper_hash::BuildKey;
use shipper_oci::{BlobOrigin, CopyReport, Copying, Manifest, Repository, Selector, Tag, copy_referrers, push_blobs};

use crate::names::{ANNOUNCEMENT, INPUTS_ARTIFACT, tag};
use crate::probe::stored_key;

/// What was found beside an image when that was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beside {
    /// Manifests that refer to the image, to one of its parts, or to one another: signatures, SBOMs.
    pub referrers: usize,
    /// Those of them that the destination did not have.
    pub written: usize,
    /// The inputs artifact.
    pub inputs: BesideInputs,
    /// Bytes written for all of them.
    pub bytes: u64,
}

/// What became of an inputs artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BesideInputs {
    /// The source has none for this image.
    None,
    /// It was written.
    Copied,
    /// It was there.
    Present,
    /// The destination has one of the same key that is about another image. It stays.
    OfAnother,
}

impl BesideInputs {
    /// In JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Copied => "copied",
            Self::Present => "present",
            Self::OfAnother => "of-another",
        }
    }
}

/// Copies an image with what lies beside it, then names it.
///
/// # Errors
/// As [`shipper_oci::copy`] and [`shipper_oci::copy_referrers`].
pub(crate) async fn copy(
    from: &Repository,
    selector: &Selector,
    to: &Repository,
    tags: &[Tag],
) -> shipper_oci::Result<(CopyReport, Beside)> {
    let copying = Copying::begin(from, selector, to, tags).await?;
    let beside = bring(from, copying.manifest(), to).await?;
    Ok((copying.name().await?, beside))
}

/// Brings over what lies beside `image`, whose blobs and parts are there.
async fn bring(from: &Repository, image: &Manifest, to: &Repository) -> shipper_oci::Result<Beside> {
    let mut beside = Beside { referrers: 0, written: 0, inputs: BesideInputs::None, bytes: 0 };
    if from.is_same_as(to) {
        return Ok(beside);
    }
    let of_shipper = [INPUTS_ARTIFACT, ANNOUNCEMENT];
    let wanted = |kind: Option<&str>| kind.is_none_or(|kind| !of_shipper.contains(&kind));
    let copied = copy_referrers(from, image, to, &wanted).await?;
    (beside.referrers, beside.written, beside.bytes) = (copied.referrers, copied.written, copied.bytes);
    if let Some(Ok(key)) = stored_key(from, image).await?.map(|key| key.parse::<BuildKey>()) {
        let (inputs, bytes) = bring_inputs(from, image, &tag(&key.inputs_tag()), to).await?;
        beside.inputs = inputs;
        beside.bytes += bytes;
    }
    Ok(beside)
}

async fn bring_inputs(
    from: &Repository,
    image: &Manifest,
    name: &Tag,
    to: &Repository,
) -> shipper_oci::Result<(BesideInputs, u64)> {
    let is_about = |artifact: &Manifest| {
        artifact.artifact_type() == Some(INPUTS_ARTIFACT)
            && artifact.subject().is_some_and(|subject| subject.digest == *image.digest())
    };
    let selector = Selector::Tag(name.clone());
    let there = to.sound_manifest(&selector).await?;
    // A layout's files can be damaged under a name, and the right bytes are at hand.
    if to.store().is_remote() && there.as_ref().is_some_and(is_about) {
        return Ok((BesideInputs::Present, 0));
    }
    let Some(artifact) = from.manifest(&selector).await?.filter(is_about) else { return Ok((BesideInputs::None, 0)) };
    if there.as_ref().is_some_and(|there| there.digest() != artifact.digest()) {
        return Ok((BesideInputs::OfAnother, 0));
    }
    let blobs = artifact.as_image().map(shipper_oci::ImageManifest::blobs).unwrap_or_default();
    let blobs = blobs.into_iter().map(|blob| (blob.clone(), BlobOrigin::Repository(from.clone()))).collect();
    let sent = push_blobs(to, blobs, &[]).await?;
    match to.put_immutable(&artifact, name).await {
        Ok(()) if there.is_some() => Ok((BesideInputs::Present, sent.bytes)),
        Ok(()) => Ok((BesideInputs::Copied, sent.bytes)),
        // Another run was faster.
        Err(error) if error.is_conflict() => Ok((BesideInputs::OfAnother, sent.bytes)),
        Err(error) => Err(error),
    }
}
