//! Reading an image again, whole, to see whether it is still what its digests say.
//!
//! Invariant: a report without faults means that every byte below the manifest was read by this call and has the digest and
//! the size of its descriptor. What could not be read is a fault too.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;

use crate::pace::MOST;
use crate::{
    Descriptor, Digest, Error, MAX_INDEX_DEPTH, Manifest, ManifestKind, Repository, Result, Selector, media_type,
};

/// One part of an image that is not as its descriptor says, or could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub struct Fault {
    /// The part: `manifest sha256:..`, `config sha256:..`, `layer sha256:..`.
    pub part: String,
    /// What is wrong with it; [`Error::is_unknown`] where that could not be told.
    pub error: Error,
}

/// What [`check_content`] read and found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ContentReport {
    /// Image manifests, those of an index in their order; only those that could be read.
    pub images: Vec<Manifest>,
    /// Manifests and indexes read, the first included.
    pub manifests: usize,
    /// Blobs read, each digest once.
    pub blobs: usize,
    /// Bytes of the blobs.
    pub bytes: u64,
    /// What is wrong: manifests in the order of the index, then blobs by digest.
    pub faults: Vec<Fault>,
}

/// Reads everything below a manifest and compares it with its descriptors: the children of an index, configurations and
/// layers. Nothing is kept; four blobs are read at a time. Layers that their registry does not hold (non-distributable ones)
/// are left out.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use shipper_oci::{BlobSource, Descriptor, ImageManifest, Manifest, Store, check_content, media_type};
/// # let dir = tempfile::tempdir()?;
/// let repository = Store::layout(dir.path()).repository(&"shop/api".parse()?);
/// let config = Descriptor::of(media_type::EMPTY, b"{}");
/// repository.push_blob(&config, BlobSource::Bytes("{}".into())).await?;
/// let manifest = Manifest::image(&ImageManifest::new(config.clone(), vec![]))?;
/// repository.put_manifest(&manifest, None).await?;
/// assert!(check_content(&repository, &manifest).await.faults.is_empty());
/// std::fs::write(dir.path().join("shop/api/blobs/sha256").join(config.digest.hex()), "[]")?;
/// assert!(check_content(&repository, &manifest).await.faults[0].error.is_corrupt());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn check_content(repository: &Repository, root: &Manifest) -> ContentReport {
    let mut report = ContentReport::default();
    let mut found = Found::default();
    // A tag may have led here: what is stored under the digest is what deployments get.
    let digest = Selector::Digest(root.digest().clone());
    match repository.manifest(&digest).await {
        Ok(Some(_)) => {}
        Ok(None) => report.fault("manifest", root.digest(), Error::NotFound { what: repository.reference(&digest) }),
        Err(error) => report.fault("manifest", root.digest(), error),
    }
    walk(repository, root, MAX_INDEX_DEPTH, &mut found, &mut report).await;
    found.blobs.sort_by(|(_, a), (_, b)| (&a.digest, a.size).cmp(&(&b.digest, b.size)));
    found.blobs.dedup_by(|(_, a), (_, b)| a.digest == b.digest && a.size == b.size);
    let mut checks = futures_util::stream::iter(found.blobs)
        .map(|(kind, blob)| async move {
            let result = repository.check_blob(&blob).await;
            (kind, blob, result)
        })
        .buffered(MOST);
    while let Some((kind, blob, result)) = checks.next().await {
        report.blobs += 1;
        match result {
            Ok(()) => report.bytes += blob.size,
            Err(error) => report.fault(kind, &blob.digest, error),
        }
    }
    report
}

#[derive(Default)]
struct Found {
    blobs: Vec<(&'static str, Descriptor)>,
    manifests: BTreeSet<Digest>,
}

async fn walk(
    repository: &Repository,
    manifest: &Manifest,
    depth: usize,
    found: &mut Found,
    report: &mut ContentReport,
) {
    report.manifests += 1;
    let index = match manifest.kind() {
        ManifestKind::Image(image) => {
            report.images.push(manifest.clone());
            let kind = |blob: &Descriptor| if blob.digest == image.config.digest { "config" } else { "layer" };
            found.blobs.extend(image.blobs().into_iter().map(|blob| (kind(blob), blob.clone())));
            return;
        }
        ManifestKind::Index(index) => index,
    };
    for child in &index.manifests {
        if !media_type::is_manifest(&child.media_type) {
            found.blobs.push(("layer", child.clone()));
            continue;
        }
        if !found.manifests.insert(child.digest.clone()) {
            continue;
        }
        match read(repository, manifest, child, depth).await {
            Ok(loaded) => Box::pin(walk(repository, &loaded, depth.saturating_sub(1), found, report)).await,
            Err(error) => report.fault("manifest", &child.digest, error),
        }
    }
}

/// A child of an index, with the size and media type that the index says.
async fn read(repository: &Repository, index: &Manifest, child: &Descriptor, depth: usize) -> Result<Manifest> {
    let selector = Selector::Digest(child.digest.clone());
    let what = repository.reference(&selector);
    if depth == 0 {
        let reason = format!("indexes are nested more than {MAX_INDEX_DEPTH} deep");
        return Err(Error::InvalidManifest { digest: index.digest().clone(), reason });
    }
    let loaded = repository.manifest(&selector).await?.ok_or_else(|| Error::NotFound { what: what.clone() })?;
    let found = loaded.bytes().len() as u64;
    if found != child.size {
        return Err(Error::SizeMismatch { what, expected: child.size, found });
    }
    if !loaded.media_type().eq_ignore_ascii_case(&child.media_type) {
        let reason = format!("the index calls it `{}`", crate::error::shown(&child.media_type));
        return Err(Error::InvalidManifest { digest: child.digest.clone(), reason });
    }
    Ok(loaded)
}

impl ContentReport {
    fn fault(&mut self, kind: &str, digest: &Digest, error: Error) {
        self.faults.push(Fault { part: format!("{kind} {digest}"), error });
    }
}
