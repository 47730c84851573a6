//! Bringing a set of blobs into a repository: what is proven is not asked for, the rest travels side by side.
//!
//! Invariants: a blob that a given manifest of the repository names is neither asked for nor sent; the largest blob goes
//! first, so that no big one is left alone at the end; at most [`MOST`] travel at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use futures_util::{StreamExt as _, TryStreamExt as _};

use crate::layout::Layout;
use crate::pace::MOST;
use crate::store::{Target, blocking};
use crate::upload::{Origin, Presence};
use crate::{BlobSource, Descriptor, Digest, Error, Manifest, ManifestKind, Pushed, Repository, Result};

/// Blobs up to this size are sent without asking first where an earlier image makes it likely that they are new.
const CHEAP: u64 = 256 * 1024;

/// Where the bytes of a blob are.
#[derive(Debug, Clone)]
pub enum BlobOrigin {
    /// On this machine.
    Local(BlobSource),
    /// In a repository, which may be of another store: streamed and verified, or mounted within one registry.
    Repository(Repository),
}

/// What became of a set of blobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transferred {
    /// Blobs whose bytes were sent.
    pub uploaded: usize,
    /// Blobs that the destination took from another of its repositories.
    pub mounted: usize,
    /// Blobs that were there, those that `earlier` proves included.
    pub existed: usize,
    /// Bytes of the blobs sent.
    pub bytes: u64,
    /// Bytes of the blobs mounted.
    pub mounted_bytes: u64,
    /// Bytes of the blobs that were there.
    pub existed_bytes: u64,
}

impl Transferred {
    fn count(&mut self, how: Pushed, size: u64) {
        match how {
            Pushed::Uploaded => {
                self.uploaded += 1;
                self.bytes += size;
            }
            Pushed::Existed => {
                self.existed += 1;
                self.existed_bytes += size;
            }
            Pushed::Mounted => {
                self.mounted += 1;
                self.mounted_bytes += size;
            }
        }
    }
}

/// Brings blobs into a repository, each digest once, four at a time, the largest first. Manifests of the repository that
/// were read before (the image that a tag names now) prove the blobs that they name: those cost no request.
///
/// A registry may have lost a blob that a manifest proves. It then refuses the new manifest with [`Error::Incomplete`],
/// and the caller pushes once more without `earlier`.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use shipper_oci::{BlobOrigin, BlobSource, Descriptor, Store, media_type, push_blobs};
/// # let dir = tempfile::tempdir()?;
/// let repository = Store::layout(dir.path()).repository(&"shop/api".parse()?);
/// let blob = (Descriptor::of(media_type::EMPTY, b"{}"), BlobOrigin::Local(BlobSource::Bytes("{}".into())));
/// let first = push_blobs(&repository, vec![blob.clone()], &[]).await?;
/// assert_eq!((first.uploaded, first.bytes), (1, 2));
/// assert_eq!(push_blobs(&repository, vec![blob], &[]).await?.existed, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::NotFound`] when a repository does not have its blob; mismatches; what reading and writing may meet. Blobs
/// that arrived before stay.
pub async fn push_blobs(
    to: &Repository,
    blobs: Vec<(Descriptor, BlobOrigin)>,
    earlier: &[Manifest],
) -> Result<Transferred> {
    // Looking into a layout costs no request, and files can be damaged under a manifest.
    let proven = if matches!(to.target, Target::Layout(_)) { BTreeSet::new() } else { proven_by(earlier) };
    let mut done = Transferred::default();
    let mut due: BTreeMap<Digest, (Descriptor, BlobOrigin)> = BTreeMap::new();
    for (descriptor, origin) in blobs {
        if proven.contains(&descriptor.digest) {
            done.count(Pushed::Existed, descriptor.size);
        } else {
            due.insert(descriptor.digest.clone(), (descriptor, origin));
        }
    }
    let mut due: Vec<_> = due.into_values().collect();
    due.sort_by_key(|(descriptor, _)| std::cmp::Reverse(descriptor.size));
    let likely_new = !earlier.is_empty();
    // The futures own their blobs: a closure over borrowed items would make the whole push not `Send`.
    let mut pushed = futures_util::stream::iter(due)
        .map(|(descriptor, origin)| async move {
            let presence = if likely_new && descriptor.size <= CHEAP { Presence::Assumed } else { Presence::Unknown };
            Ok::<_, Error>((transfer(&descriptor, &origin, to, presence).await?, descriptor.size))
        })
        .buffer_unordered(MOST);
    while let Some((how, size)) = pushed.try_next().await? {
        done.count(how, size);
    }
    Ok(done)
}

/// What manifests that were read from a repository prove to be in it: their blobs, or their children.
pub(crate) fn proven_by(manifests: &[Manifest]) -> BTreeSet<Digest> {
    let named = manifests.iter().flat_map(|manifest| match manifest.kind() {
        ManifestKind::Image(image) => image.blobs(),
        ManifestKind::Index(index) => index.manifests.iter().collect(),
    });
    named.map(|descriptor| descriptor.digest.clone()).collect()
}

/// Copies one blob, if it is not there: a layer of a base image, for one. Streamed and verified; mounted where one
/// registry has both repositories.
///
/// # Errors
/// [`Error::NotFound`] when the source does not have it; everything that reading and writing may meet.
pub async fn copy_blob(from: &Repository, blob: &Descriptor, to: &Repository) -> Result<Pushed> {
    transfer(blob, &BlobOrigin::Repository(from.clone()), to, Presence::Unknown).await
}

async fn transfer(blob: &Descriptor, origin: &BlobOrigin, to: &Repository, presence: Presence) -> Result<Pushed> {
    let from = match origin {
        BlobOrigin::Local(source) => return push_local(blob, source.clone(), to, presence).await,
        BlobOrigin::Repository(from) => from,
    };
    match (&from.target, &to.target) {
        (Target::Layout(layout), _) => {
            let file = path_of(layout.clone(), blob.clone()).await?;
            push_local(blob, BlobSource::File(file), to, presence).await
        }
        (Target::Registry(source), Target::Registry(registry)) => {
            let mount = (source.client.host() == registry.client.host()).then_some(&source.name);
            registry.push_blob(blob, &Origin::Remote(source), mount, presence).await
        }
        (Target::Registry(source), Target::Layout(layout)) => {
            let (target, wanted) = (layout.clone(), blob.clone());
            if blocking(move || target.holds(&wanted)).await? {
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

async fn push_local(blob: &Descriptor, source: BlobSource, to: &Repository, presence: Presence) -> Result<Pushed> {
    match &to.target {
        Target::Registry(registry) => registry.push_blob(blob, &Origin::Local(&source), None, presence).await,
        Target::Layout(_) | Target::Refused => to.push_blob(blob, source).await,
    }
}

/// The file of a layout's blob, which has the right size; a missing one is named instead of a file.
async fn path_of(layout: Layout, blob: Descriptor) -> Result<PathBuf> {
    blocking(move || layout.open_blob(&blob).map(|(_, path)| path)).await
}
