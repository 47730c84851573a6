//! Copying an image or an index with everything below it, byte for byte.
//!
//! Invariants: blobs arrive before the manifests that name them, children before their index, tags last; nothing that is
//! proven to be there is asked for or sent; the digest that the destination says it stored is that of the source.
//!
//! What proves a blob: a manifest in the destination that names it. Referrers (signatures, SBOMs that name the image as their
//! subject) have manifests of their own: `copy_referrers.rs`.

use std::collections::{BTreeMap, BTreeSet};

use crate::push::proven_by;
use crate::registry::Seen;
use crate::store::Target;
use crate::{
    BlobOrigin, Descriptor, Digest, Error, MAX_INDEX_DEPTH, Manifest, ManifestKind, Repository, Result, Selector, Tag,
    media_type, push_blobs,
};

/// What [`copy`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyReport {
    /// Digest of the copied manifest, equal on both sides.
    pub digest: Digest,
    /// Manifests written, children included.
    pub manifests: usize,
    /// Tags that were written; those that named the image already are not counted.
    pub tags: usize,
    /// Blobs whose bytes were sent.
    pub uploaded: usize,
    /// Blobs that the destination took from another of its repositories.
    pub mounted: usize,
    /// Blobs that were there.
    pub existed: usize,
    /// Bytes of the blobs sent.
    pub bytes: u64,
}

/// Copies what `selector` names in `from` to `to` and points `tags` to it. A second run finds everything in place and
/// costs one request per tag. Four blobs travel at a time, the largest first. Within one repository no blob is touched:
/// a tag costs one request to read and one to write.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # use shipper_oci::{BlobSource, Descriptor, ImageManifest, Manifest, Store, copy, media_type};
/// # let dir = tempfile::tempdir()?;
/// let store = Store::layout(dir.path());
/// let (from, to) = (store.repository(&"build/api".parse()?), store.repository(&"release/api".parse()?));
/// # let config = Descriptor::of(media_type::EMPTY, b"{}");
/// # from.push_blob(&config, BlobSource::Bytes("{}".into())).await?;
/// # from.put_manifest(&Manifest::image(&ImageManifest::new(config, vec![]))?, Some(&"v1".parse()?)).await?;
/// let report = copy(&from, &"v1".parse()?, &to, &["v1".parse()?, "latest".parse()?]).await?;
/// assert_eq!(report.tags, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::NotFound`] when the source has no such manifest or misses a part of it; [`Error::Conflict`] when a tag of the
/// destination may not move; everything that reading and writing may meet.
pub async fn copy(from: &Repository, selector: &Selector, to: &Repository, tags: &[Tag]) -> Result<CopyReport> {
    Copying::begin(from, selector, to, tags).await?.name().await
}

/// A [`copy`] between its two steps: what is copied is at the destination, but for its own manifest, and no tag names it
/// yet. Here belongs what must be there before anybody finds the image: what refers to it, with [`crate::copy_referrers`].
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # use shipper_oci::{BlobSource, Descriptor, ImageManifest, Manifest, Store, media_type};
/// use shipper_oci::{Copying, copy_referrers};
/// # let dir = tempfile::tempdir()?;
/// let store = Store::layout(dir.path());
/// let (from, to) = (store.repository(&"build/api".parse()?), store.repository(&"release/api".parse()?));
/// # let config = Descriptor::of(media_type::EMPTY, b"{}");
/// # from.push_blob(&config, BlobSource::Bytes("{}".into())).await?;
/// # from.put_manifest(&Manifest::image(&ImageManifest::new(config, vec![]))?, Some(&"v1".parse()?)).await?;
/// let copying = Copying::begin(&from, &"v1".parse()?, &to, &["v1".parse()?]).await?;
/// let signatures = copy_referrers(&from, copying.manifest(), &to, &|_| true).await?;
/// assert_eq!((signatures.referrers, copying.name().await?.tags), (0, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "no tag is written before `name`"]
pub struct Copying {
    from: Repository,
    to: Repository,
    root: Manifest,
    /// Tags that do not name the root yet.
    due: Vec<Tag>,
    /// What the tags named before.
    earlier: Vec<Manifest>,
    is_there: bool,
    report: CopyReport,
}

impl Copying {
    /// Brings over everything below the manifest that `selector` names.
    ///
    /// # Errors
    /// As [`copy`].
    pub async fn begin(from: &Repository, selector: &Selector, to: &Repository, tags: &[Tag]) -> Result<Copying> {
        let Some(root) = from.manifest(selector).await? else {
            return Err(Error::NotFound { what: from.reference(selector) });
        };
        let mut report = CopyReport {
            digest: root.digest().clone(),
            manifests: 0,
            tags: 0,
            uploaded: 0,
            mounted: 0,
            existed: 0,
            bytes: 0,
        };

        // One look at each tag: it may be done already, and what it names proves blobs. Within one repository there is
        // nothing to prove, and writing a tag that is right costs no more than looking at it.
        let retag = from.is_same_as(to);
        let mut due = Vec::new();
        let mut earlier = Vec::new();
        for tag in tags {
            match if retag { None } else { peek(to, tag).await? } {
                Some(existing) if existing.digest() == root.digest() => earlier.push(existing),
                Some(existing) => {
                    earlier.push(existing);
                    due.push(tag.clone());
                }
                None => due.push(tag.clone()),
            }
        }
        let is_there = retag
            || earlier.iter().any(|existing| existing.digest() == root.digest())
            || (tags.is_empty() && to.has_manifest(root.digest()).await?);
        if !is_there {
            copy_content(from, to, &root, &earlier, &mut report).await?;
        } else if !retag && matches!(to.target, Target::Layout(_)) {
            // Files can be damaged under a manifest, and the right bytes are at hand.
            copy_content(from, to, &root, &[], &mut report).await?;
        }
        Ok(Copying { from: from.clone(), to: to.clone(), root, due, earlier, is_there, report })
    }

    /// What is copied, as the source has it.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.root
    }

    /// Writes the manifest and the tags.
    ///
    /// # Errors
    /// As [`copy`].
    pub async fn name(self) -> Result<CopyReport> {
        let Copying { from, to, root, due, earlier, is_there, mut report } = self;
        if !is_there && due.is_empty() {
            to.put_manifest(&root, None).await?;
            report.manifests += 1;
            if !to.has_manifest(root.digest()).await? {
                return Err(Error::Incomplete { what: to.to_string(), missing: root.digest().to_string() });
            }
        }
        for tag in &due {
            match put(&to, &root, tag).await {
                // The registry has lost a blob that an earlier image proved: everything is asked for.
                Err(Error::Incomplete { .. }) if !is_there && report.tags == 0 && !earlier.is_empty() => {
                    copy_content(&from, &to, &root, &[], &mut report).await?;
                    put(&to, &root, tag).await?;
                }
                result => result?,
            }
            report.tags += 1;
        }
        report.manifests += usize::from(!is_there && report.tags > 0);
        Ok(report)
    }
}

/// Writes a tag that may move.
async fn put(to: &Repository, root: &Manifest, tag: &Tag) -> Result<()> {
    match &to.target {
        Target::Registry(registry) => registry.put_manifest(root, Some(tag), Seen::InAnswer).await,
        Target::Layout(_) | Target::Refused => to.put_manifest(root, Some(tag)).await,
    }
}

/// What a tag names, for saving work only.
async fn peek(to: &Repository, tag: &Tag) -> Result<Option<Manifest>> {
    match &to.target {
        Target::Registry(registry) => registry.peek(tag).await,
        Target::Layout(_) | Target::Refused => to.sound_manifest(&Selector::Tag(tag.clone())).await,
    }
}

impl Repository {
    /// Whether both handles mean one repository, so that nothing has to travel between them.
    #[must_use]
    pub fn is_same_as(&self, other: &Repository) -> bool {
        match (&self.target, &other.target) {
            (Target::Layout(own), Target::Layout(other)) => own.root() == other.root(),
            (Target::Registry(own), Target::Registry(other)) => {
                own.client.host() == other.client.host() && own.name == other.name
            }
            _ => false,
        }
    }
}

/// Brings over everything below `root`, but not `root` itself.
async fn copy_content(
    from: &Repository,
    to: &Repository,
    root: &Manifest,
    earlier: &[Manifest],
    report: &mut CopyReport,
) -> Result<()> {
    let proven = proven_by(earlier);
    let mut needed = Needed::default();
    gather(from, to, root, &proven, MAX_INDEX_DEPTH, &mut needed).await?;
    let blobs = needed.blobs.into_values().map(|blob| (blob, BlobOrigin::Repository(from.clone()))).collect();
    let done = push_blobs(to, blobs, earlier).await?;
    report.uploaded += done.uploaded;
    report.mounted += done.mounted;
    report.existed += done.existed;
    report.bytes += done.bytes;
    for child in &needed.children {
        to.put_manifest(child, None).await?;
        report.manifests += 1;
    }
    Ok(())
}

/// What is to be brought over: blobs by digest, and children in the order of writing.
#[derive(Default)]
pub(crate) struct Needed {
    pub(crate) blobs: BTreeMap<Digest, Descriptor>,
    pub(crate) children: Vec<Manifest>,
    seen: BTreeSet<Digest>,
}

/// Adds everything below `manifest` that the destination does not have.
pub(crate) async fn gather(
    from: &Repository,
    to: &Repository,
    manifest: &Manifest,
    proven: &BTreeSet<Digest>,
    depth: usize,
    needed: &mut Needed,
) -> Result<()> {
    let index = match manifest.kind() {
        ManifestKind::Image(image) => {
            for blob in image.blobs() {
                needed.blobs.insert(blob.digest.clone(), blob.clone());
            }
            return Ok(());
        }
        ManifestKind::Index(index) => index,
    };
    for child in &index.manifests {
        if proven.contains(&child.digest) || needed.seen.contains(&child.digest) {
            continue;
        }
        // Build caches list their layers as children of an index.
        if !media_type::is_manifest(&child.media_type) {
            needed.blobs.insert(child.digest.clone(), child.clone());
            continue;
        }
        if depth == 0 {
            let reason = format!("indexes are nested more than {MAX_INDEX_DEPTH} deep");
            return Err(Error::InvalidManifest { digest: manifest.digest().clone(), reason });
        }
        needed.seen.insert(child.digest.clone());
        let selector = Selector::Digest(child.digest.clone());
        let there = match &to.target {
            Target::Registry(registry) => registry.seems_to_have_manifest(&selector).await?,
            Target::Layout(_) | Target::Refused => to.has_manifest(&child.digest).await?,
        };
        // The blobs of a layout's image are looked at all the same: see `copy`.
        if there && !matches!(to.target, Target::Layout(_)) {
            continue;
        }
        let loaded =
            from.manifest(&selector).await?.ok_or_else(|| Error::NotFound { what: from.reference(&selector) })?;
        let found = loaded.bytes().len() as u64;
        if found != child.size {
            return Err(Error::SizeMismatch { what: from.reference(&selector), expected: child.size, found });
        }
        Box::pin(gather(from, to, &loaded, proven, depth - 1, needed)).await?;
        if !there {
            needed.children.push(loaded);
        }
    }
    Ok(())
}
