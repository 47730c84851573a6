//! Writing a built image in the order that leaves nothing dangling: blobs, image manifests, index, inputs artifact,
//! identities, hint. A run killed anywhere leaves unreferenced things, never a name on something incomplete.

use shipper_hash::BuildKey;
use shipper_oci::{BlobSource, Descriptor, Digest, Image, Manifest, Platform, Pushed, Repository, Selector};
use shipper_plan::Existing;
use shipper_report::{Event, Name, Phase};

use crate::gather::Gathered;
use crate::names::{KEY, SERVICE, branch_tag, tag};
use crate::naming::{Naming, move_tag};
use crate::probe::{existing, stored_key};
use crate::{Error, Events, inputs};

/// One platform's image: built in this run, or already there under the platform's own identity.
pub(crate) enum PlatformImage {
    /// Assembled.
    Built {
        /// The image, with its new layers on disk.
        image: Box<Image>,
        /// Where its base layers come from.
        base: Option<Repository>,
    },
    /// Written by a builder into a layout of its own.
    Copied {
        /// The image's manifest.
        manifest: Manifest,
        /// The layout.
        from: Repository,
    },
    /// Read back under the platform's identity.
    Stored(Manifest),
}

impl PlatformImage {
    pub(crate) fn manifest(&self) -> &Manifest {
        match self {
            Self::Built { image, .. } => &image.manifest,
            Self::Copied { manifest, .. } | Self::Stored(manifest) => manifest,
        }
    }
}

/// What was published.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    /// Digest that the identity names.
    pub(crate) digest: Digest,
    /// Sum of the compressed layers in bytes, over all platforms.
    pub(crate) size: u64,
    /// Bytes that were written.
    pub(crate) uploaded: u64,
    /// Names besides the identity.
    pub(crate) names: Vec<Name>,
}

/// Publishes the images of `gathered`, sorted as its platforms are.
///
/// # Errors
/// [`Error::Push`], or [`Error::Identity`] where the identity names other bytes; the tag then stays as it is.
pub(crate) async fn publish(
    repository: &Repository,
    gathered: &Gathered,
    images: &[PlatformImage],
    naming: &Naming,
    branch: Option<&str>,
    forced: bool,
    events: &Events,
) -> Result<Published, Error> {
    let service = &gathered.service.name;
    let failed =
        |source| Error::Push { service: service.clone(), target: repository.to_string(), source: Box::new(source) };
    let mut uploaded = 0;
    let mut size = 0;
    for image in images {
        if let Some(image) = image.manifest().as_image() {
            size += image.layers.iter().map(|layer| layer.size).sum::<u64>();
        }
        uploaded += match image {
            PlatformImage::Built { image, base } => {
                push_blobs(repository, service, image, base.as_ref(), events).await.map_err(failed)?
            }
            PlatformImage::Copied { manifest, from } => copy_blobs(repository, manifest, from).await.map_err(failed)?,
            PlatformImage::Stored(_) => continue,
        };
        repository.put_manifest(image.manifest(), None).await.map_err(failed)?;
    }
    let image = match images {
        [only] => only.manifest().clone(),
        _ => {
            let index = index(gathered, images).map_err(failed)?;
            repository.put_manifest(&index, None).await.map_err(failed)?;
            index
        }
    };
    let artifact = inputs::artifact(gathered, image.descriptor())?;
    for (descriptor, bytes) in &artifact.blobs {
        let source = BlobSource::Bytes(bytes.clone().into());
        uploaded += written(repository.push_blob(descriptor, source).await.map_err(failed)?, descriptor);
    }
    let stored_inputs = tag(&gathered.key.inputs_tag());
    repository.put_manifest(&artifact.manifest, Some(&stored_inputs)).await.map_err(failed)?;

    if images.len() > 1 {
        for (platform, image) in gathered.platforms.iter().zip(images) {
            let own = [platform.inputs.platform.clone()];
            identify(repository, service, &platform.inputs.key(), &own, image.manifest(), forced).await?;
        }
    }
    let platforms = &gathered.service.platforms;
    let digest = identify(repository, service, &gathered.key, platforms, &image, forced).await?;
    let names = if digest == *image.digest() {
        naming.apply(repository, &image).await?
    } else {
        name_existing(repository, service, naming, &digest).await?
    };
    if digest == *image.digest() {
        move_tag(repository, &image, &tag(&branch_tag(branch))).await.map_err(failed)?;
    }
    Ok(Published { digest, size, uploaded, names })
}

/// Names an image that is there: the same bytes under other tags, and no blob is looked at.
///
/// # Errors
/// As [`Naming::apply`]; [`Error::Push`] where the image is gone.
pub(crate) async fn name_existing(
    repository: &Repository,
    service: &str,
    naming: &Naming,
    digest: &Digest,
) -> Result<Vec<Name>, Error> {
    let selector = Selector::Digest(digest.clone());
    let failed =
        |source| Error::Push { service: service.to_owned(), target: repository.to_string(), source: Box::new(source) };
    let manifest = repository.manifest(&selector).await.map_err(failed)?;
    let manifest =
        manifest.ok_or_else(|| failed(shipper_oci::Error::NotFound { what: repository.reference(&selector) }))?;
    naming.apply(repository, &manifest).await
}

/// Uploads what the repository does not have, and returns how many bytes that were.
async fn push_blobs(
    repository: &Repository,
    service: &str,
    image: &Image,
    base: Option<&Repository>,
    events: &Events,
) -> shipper_oci::Result<u64> {
    let mut uploaded = 0;
    for layer in &image.base_layers {
        let Some(base) = base else { continue };
        uploaded += written(shipper_oci::copy_blob(base, layer, repository).await?, layer);
    }
    let total = image.layers.len() as u64;
    for (done, layer) in image.layers.iter().enumerate() {
        events.emit(Event::ActionProgress {
            service: service.to_owned(),
            phase: Phase::Push,
            message: format!("{} {}", layer.created_by, shipper_report::bytes(layer.descriptor.size)),
            done: done as u64,
            total,
        });
        let source = BlobSource::File(layer.path.clone());
        uploaded += written(repository.push_blob(&layer.descriptor, source).await?, &layer.descriptor);
    }
    let source = BlobSource::Bytes(image.config_bytes.clone().into());
    uploaded += written(repository.push_blob(&image.config, source).await?, &image.config);
    Ok(uploaded)
}

/// Copies what a builder wrote, and returns how many bytes that were.
async fn copy_blobs(repository: &Repository, manifest: &Manifest, from: &Repository) -> shipper_oci::Result<u64> {
    let mut uploaded = 0;
    for blob in manifest.as_image().map(shipper_oci::ImageManifest::blobs).unwrap_or_default() {
        uploaded += written(shipper_oci::copy_blob(from, blob, repository).await?, blob);
    }
    Ok(uploaded)
}

fn written(pushed: Pushed, descriptor: &Descriptor) -> u64 {
    if pushed == Pushed::Uploaded { descriptor.size } else { 0 }
}

fn index(gathered: &Gathered, images: &[PlatformImage]) -> shipper_oci::Result<Manifest> {
    let mut children = Vec::with_capacity(images.len());
    for (platform, image) in gathered.platforms.iter().zip(images) {
        let platform: Platform = platform.inputs.platform.parse()?;
        children.push(image.manifest().descriptor().with_platform(platform));
    }
    let annotations = [
        (KEY.to_owned(), gathered.key.to_string()),
        (SERVICE.to_owned(), gathered.service.name.clone()),
        ("org.opencontainers.image.title".to_owned(), gathered.service.name.clone()),
    ];
    shipper_oci::index(&children, &annotations.into())
}

/// Writes an identity tag once. If another run wrote it meanwhile, its image is adopted; `--force` compares instead.
async fn identify(
    repository: &Repository,
    service: &str,
    key: &BuildKey,
    platforms: &[String],
    manifest: &Manifest,
    forced: bool,
) -> Result<Digest, Error> {
    let failed =
        |source| Error::Push { service: service.to_owned(), target: repository.to_string(), source: Box::new(source) };
    let name = tag(&key.identity_tag());
    match repository.put_immutable(manifest, &name).await {
        Ok(()) => return Ok(manifest.digest().clone()),
        Err(error) if error.is_conflict() => {}
        Err(error) => return Err(failed(error)),
    }
    let selector = Selector::Tag(name.clone());
    let found = repository.manifest(&selector).await.map_err(failed)?;
    let found = found.ok_or_else(|| failed(shipper_oci::Error::NotFound { what: repository.reference(&selector) }))?;
    let stored = stored_key(repository, &found).await.map_err(failed)?;
    match existing(repository, key, platforms).await? {
        Existing::Verified { .. } if !forced => Ok(found.digest().clone()),
        // What belongs to this key and can not be used is replaced.
        Existing::Incomplete { .. } if stored == Some(key.to_string()) => {
            repository.put_manifest(manifest, Some(&name)).await.map_err(failed)?;
            Ok(manifest.digest().clone())
        }
        _ => Err(Error::Identity {
            service: service.to_owned(),
            tag: name.to_string(),
            existing: found.digest().to_string(),
            built: manifest.digest().to_string(),
        }),
    }
}
