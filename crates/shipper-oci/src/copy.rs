//! Copying an image or an index with everything below it, byte for byte.
//!
//! Invariants: blobs arrive before the manifests that name them, children before their index, tags last; nothing that is
//! proven to be there is asked for or sent; the destination's manifest is read back and has the digest of the source's.
//!
//! What proves a blob: a manifest in the destination that names it. What is not copied: referrers (signatures, SBOMs that
//! name the image as their subject), which have manifests of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use futures_util::{StreamExt as _, TryStreamExt as _};

use crate::store::{Target, blocking};
use crate::upload::{Origin, Presence};
use crate::{
    BlobSource, Descriptor, Digest, Error, MAX_INDEX_DEPTH, Manifest, ManifestKind, Pushed, Repository, Result,
    Selector, Tag, media_type,
};

/// Blobs that are on their way at the same time.
const PARALLEL: usize = 4;

/// Blobs up to this size are sent without asking first where an earlier image makes it likely that they are new.
const CHEAP: u64 = 256 * 1024;

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
/// costs one request per tag. Four blobs travel at a time, the largest first.
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

    // One look at each tag: it may be done already, and what it names proves blobs.
    let mut due = Vec::new();
    let mut earlier = Vec::new();
    for tag in tags {
        match peek(to, tag).await? {
            Some(existing) if existing.digest() == root.digest() => earlier.push(existing),
            Some(existing) => {
                earlier.push(existing);
                due.push(tag);
            }
            None => due.push(tag),
        }
    }
    let is_there = if earlier.iter().any(|existing| existing.digest() == root.digest()) || same(from, to) {
        true
    } else {
        tags.is_empty() && to.has_manifest(root.digest()).await?
    };
    if !is_there {
        copy_content(from, to, &root, &earlier, &mut report).await?;
        if due.is_empty() {
            to.put_manifest(&root, None).await?;
            report.manifests += 1;
            if !to.has_manifest(root.digest()).await? {
                return Err(Error::Incomplete { what: to.to_string(), missing: root.digest().to_string() });
            }
        }
    }
    for tag in due {
        to.put_manifest(&root, Some(tag)).await?;
        report.tags += 1;
    }
    report.manifests += usize::from(!is_there && report.tags > 0);
    Ok(report)
}

/// What a tag names, for saving work only.
async fn peek(to: &Repository, tag: &Tag) -> Result<Option<Manifest>> {
    match &to.target {
        Target::Registry(registry) => registry.peek(tag).await,
        Target::Layout(_) | Target::Refused => to.manifest(&Selector::Tag(tag.clone())).await,
    }
}

/// Whether both handles mean one repository.
fn same(from: &Repository, to: &Repository) -> bool {
    match (&from.target, &to.target) {
        (Target::Layout(from), Target::Layout(to)) => from.root() == to.root(),
        (Target::Registry(from), Target::Registry(to)) => {
            from.client.host() == to.client.host() && from.name == to.name
        }
        _ => false,
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
    let mut proven = BTreeSet::new();
    for manifest in earlier {
        match manifest.kind() {
            ManifestKind::Image(image) => proven.extend(image.blobs().into_iter().map(|blob| blob.digest.clone())),
            ManifestKind::Index(index) => proven.extend(index.manifests.iter().map(|child| child.digest.clone())),
        }
    }
    let mut needed = Needed::default();
    gather(from, to, root, &proven, MAX_INDEX_DEPTH, &mut needed).await?;
    let mut blobs: Vec<Descriptor> = needed.blobs.into_values().collect();
    blobs.sort_by_key(|blob| std::cmp::Reverse(blob.size));
    let had_earlier = !earlier.is_empty();
    // The futures own their descriptors: a closure over borrowed items would make the whole copy not `Send`.
    let mut pushed = futures_util::stream::iter(blobs)
        .map(|blob| async move {
            let presence = if had_earlier && blob.size <= CHEAP { Presence::Assumed } else { Presence::Unknown };
            Ok::<_, Error>((transfer(from, to, &blob, presence).await?, blob.size))
        })
        .buffer_unordered(PARALLEL);
    while let Some((how, size)) = pushed.try_next().await? {
        match how {
            Pushed::Uploaded => {
                report.uploaded += 1;
                report.bytes += size;
            }
            Pushed::Existed => report.existed += 1,
            Pushed::Mounted => report.mounted += 1,
        }
    }
    drop(pushed);
    report.existed += needed.proven;
    for child in &needed.children {
        to.put_manifest(child, None).await?;
        report.manifests += 1;
    }
    Ok(())
}

/// What is to be brought over: blobs by digest, and children in the order of writing.
#[derive(Default)]
struct Needed {
    blobs: BTreeMap<Digest, Descriptor>,
    children: Vec<Manifest>,
    seen: BTreeSet<Digest>,
    proven: usize,
}

async fn gather(
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
                need_blob(blob, proven, needed);
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
            need_blob(child, proven, needed);
            continue;
        }
        if depth == 0 {
            let reason = format!("indexes are nested more than {MAX_INDEX_DEPTH} deep");
            return Err(Error::InvalidManifest { digest: manifest.digest().clone(), reason });
        }
        needed.seen.insert(child.digest.clone());
        let there = match &to.target {
            Target::Registry(registry) => registry.seems_to_have_manifest(&child.digest).await?,
            Target::Layout(_) | Target::Refused => to.has_manifest(&child.digest).await?,
        };
        if there {
            continue;
        }
        let selector = Selector::Digest(child.digest.clone());
        let loaded =
            from.manifest(&selector).await?.ok_or_else(|| Error::NotFound { what: from.reference(&selector) })?;
        let found = loaded.bytes().len() as u64;
        if found != child.size {
            return Err(Error::SizeMismatch { what: from.reference(&selector), expected: child.size, found });
        }
        Box::pin(gather(from, to, &loaded, proven, depth - 1, needed)).await?;
        needed.children.push(loaded);
    }
    Ok(())
}

fn need_blob(blob: &Descriptor, proven: &BTreeSet<Digest>, needed: &mut Needed) {
    if proven.contains(&blob.digest) {
        needed.proven += 1;
    } else {
        needed.blobs.insert(blob.digest.clone(), blob.clone());
    }
}

/// Copies one blob, if it is not there: a layer of a base image, for one. Streamed and verified; mounted where one
/// registry has both repositories.
///
/// # Errors
/// [`Error::NotFound`] when the source does not have it; everything that reading and writing may meet.
pub async fn copy_blob(from: &Repository, blob: &Descriptor, to: &Repository) -> Result<Pushed> {
    transfer(from, to, blob, Presence::Unknown).await
}

async fn transfer(from: &Repository, to: &Repository, blob: &Descriptor, presence: Presence) -> Result<Pushed> {
    match (&from.target, &to.target) {
        (Target::Layout(layout), Target::Layout(_)) => {
            let (_, path) = open(layout.clone(), blob.clone()).await?;
            to.push_blob(blob, BlobSource::File(path)).await
        }
        (Target::Layout(layout), Target::Registry(registry)) => {
            let (_, path) = open(layout.clone(), blob.clone()).await?;
            registry.push_blob(blob, &Origin::Local(&BlobSource::File(path)), None, presence).await
        }
        (Target::Registry(source), Target::Registry(registry)) => {
            let mount = (source.client.host() == registry.client.host()).then_some(&source.name);
            registry.push_blob(blob, &Origin::Remote(source), mount, presence).await
        }
        (Target::Registry(source), Target::Layout(layout)) => {
            let (target, wanted) = (layout.clone(), blob.clone());
            if blocking(move || Ok(target.blob_size(&wanted.digest)? == Some(wanted.size))).await? {
                return Ok(Pushed::Existed);
            }
            let path = layout.blob_path(&blob.digest);
            let start = || layout.start_blob_anew(blob);
            source.pull_blob(blob, Path::new(&path), start).await?;
            Ok(Pushed::Uploaded)
        }
        (Target::Refused, _) => Err(from.refused()),
        (_, Target::Refused) => Err(to.refused()),
    }
}

/// Checks that a layout has a blob; a missing one is named instead of a file.
async fn open(layout: crate::layout::Layout, blob: Descriptor) -> Result<(std::fs::File, std::path::PathBuf)> {
    blocking(move || layout.open_blob(&blob)).await
}
