//! Writing a built image in the order that leaves nothing dangling: blobs, image manifests, identities of platforms, index,
//! signatures, inputs artifact, identity, names, hint. A run killed anywhere leaves unreferenced things, never a name on
//! something incomplete.

use shipper_oci::{
    Artifact, BlobOrigin, BlobSource, Descriptor, Digest, Image, Manifest, Platform, Repository, Selector, Transferred,
    push_blobs,
};
use shipper_plan::Recipe;
use shipper_report::{BlobCounts, Event, Name, Phase};

use crate::attach::{self, Stated};
use crate::attest::Attester;
use crate::bases::image_of;
use crate::claim::Patience;
use crate::gather::Gathered;
use crate::identity::Identity;
use crate::names::{KEY, SERVICE, branch_tag, tag};
use crate::naming::{Naming, move_tag};
use crate::sign::Signer;
use crate::trust::Trust;
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

    /// Its blobs and where they are; none of what is there already.
    fn blobs(&self) -> Vec<(Descriptor, BlobOrigin)> {
        match self {
            Self::Built { image, base } => {
                let base = base.iter().flat_map(|base| {
                    image.base_layers.iter().map(|layer| (layer.clone(), BlobOrigin::Repository(base.clone())))
                });
                let own =
                    image.layers.iter().filter(|layer| layer.is_written()).map(|layer| {
                        (layer.descriptor.clone(), BlobOrigin::Local(BlobSource::File(layer.path.clone())))
                    });
                let config = (image.config.clone(), in_memory(&image.config_bytes));
                base.chain(own).chain([config]).collect()
            }
            Self::Copied { manifest, from } => {
                let blobs = manifest.as_image().map(shipper_oci::ImageManifest::blobs).unwrap_or_default();
                blobs.into_iter().map(|blob| (blob.clone(), BlobOrigin::Repository(from.clone()))).collect()
            }
            Self::Stored(_) => Vec::new(),
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
    /// What became of blobs, what is stated about the images included.
    pub(crate) blobs: BlobCounts,
    /// Names besides the identity.
    pub(crate) names: Vec<Name>,
}

/// What is to be published.
pub(crate) struct Publication<'a> {
    /// The service and its keys.
    pub(crate) gathered: &'a Gathered,
    /// Its images, sorted as its platforms are.
    pub(crate) images: &'a [PlatformImage],
    /// Who states something about them.
    pub(crate) attester: &'a Attester<'a>,
    /// The names that the image gets.
    pub(crate) naming: &'a Naming,
    /// The branch that is checked out.
    pub(crate) branch: Option<&'a str>,
    /// Whether another image under the identity is an error.
    pub(crate) forced: bool,
    /// Who signs the images, if anybody does.
    pub(crate) signer: Option<&'a Signer>,
    /// Whose images are adopted.
    pub(crate) trust: &'a Trust,
}

/// Publishes the images of a service.
///
/// # Errors
/// [`Error::Push`], or [`Error::Identity`] where the identity names other bytes; the tag then stays as it is.
pub(crate) async fn publish(
    repository: &Repository,
    publication: &Publication<'_>,
    events: &Events,
) -> Result<Published, Error> {
    let Publication { gathered, images, attester, naming, branch, forced, signer, trust } = *publication;
    let service = &gathered.service.name;
    let failed =
        |source| Error::Push { service: service.clone(), target: repository.to_string(), source: Box::new(source) };
    let layers = images.iter().filter_map(|image| image.manifest().as_image()).flat_map(|image| &image.layers);
    let size = layers.map(|layer| layer.size).sum();
    let documents = inputs::Documents::of(gathered)?;

    let mut blobs: Vec<(Descriptor, BlobOrigin)> = images.iter().flat_map(PlatformImage::blobs).collect();
    blobs.extend(documents.blobs()?.iter().map(|(descriptor, bytes)| (descriptor.clone(), in_memory(bytes))));
    events.emit(Event::ActionProgress {
        service: service.clone(),
        phase: Phase::Push,
        message: format!("{} blobs", blobs.len()),
        done: 0,
        total: blobs.len() as u64,
    });
    let earlier = earlier(repository, branch).await;
    let mut sent = counts(&push_blobs(repository, blobs.clone(), &earlier).await.map_err(failed)?);
    match put_images(repository, images).await {
        // The registry has lost a blob that the earlier image proved, or hides one that another run pushes, too: everything is
        // asked for.
        Err(shipper_oci::Error::Incomplete { .. }) => {
            sent = sent_again(&sent, &counts(&push_blobs(repository, blobs, &[]).await.map_err(failed)?));
            put_images(repository, images).await.map_err(failed)?;
        }
        result => result.map_err(failed)?,
    }
    // Where another run was faster with a platform, its image is the platform's.
    let mut manifests: Vec<Manifest> = images.iter().map(|image| image.manifest().clone()).collect();
    let identity = Identity {
        repository,
        trust,
        service,
        key: &gathered.key,
        platforms: &gathered.service.platforms,
        forced,
        may_differ: may_differ(&gathered.service.recipe),
        patience: Patience::default(),
    };
    if images.len() > 1 {
        for ((platform, image), manifest) in gathered.platforms.iter().zip(images).zip(&mut manifests) {
            if let Some(signer) = signer.filter(|_| !matches!(image, PlatformImage::Stored(_))) {
                signer.sign(repository, manifest, service).await?;
            }
            let (key, own) = (platform.inputs.key(), [platform.inputs.platform.clone()]);
            let settled = Identity { key: &key, platforms: &own, ..identity }.settle(manifest, None).await?;
            // From a time when it was the only platform, its identity may name an index with statements.
            *manifest = match settled.as_index() {
                Some(_) => image_of(repository, settled.digest().as_str(), &own[0]).await.map_err(failed)?,
                None => settled,
            };
        }
    }
    let attestations = attester.attest(manifests)?;
    let (beside, referring) = attach::artifacts(&attestations).map_err(failed)?;
    sent.add(&put_artifacts(repository, &beside, &referring).await.map_err(failed)?);
    let image = match attestations.images.as_slice() {
        [(only, _)] if beside.is_empty() => only.clone(),
        images => {
            let index = index(gathered, images, &beside).map_err(failed)?;
            repository.put_manifest(&index, None).await.map_err(failed)?;
            index
        }
    };
    // Whoever finds the identity finds the signature.
    if let Some(signer) = signer {
        signer.sign(repository, &image, service).await?;
    }
    let artifact = |subject| documents.artifact(subject);
    let image = identity.settle(&image, Some(&artifact)).await?;
    let names = naming.apply(repository, &image).await?;
    move_tag(repository, &image, &tag(&branch_tag(branch))).await.map_err(failed)?;
    Ok(Published { digest: image.digest().clone(), size, blobs: sent, names })
}

fn counts(sent: &Transferred) -> BlobCounts {
    BlobCounts {
        reused: sent.existed as u64,
        reused_bytes: sent.existed_bytes,
        mounted: sent.mounted as u64,
        mounted_bytes: sent.mounted_bytes,
        uploaded: sent.uploaded as u64,
        uploaded_bytes: sent.bytes,
    }
}

/// Of the same blobs, pushed twice: what the first push brought was there for the second one.
fn sent_again(first: &BlobCounts, second: &BlobCounts) -> BlobCounts {
    let (blobs, bytes) = (first.uploaded + first.mounted, first.uploaded_bytes + first.mounted_bytes);
    let mut both = BlobCounts { reused: 0, reused_bytes: 0, ..*first };
    both.add(second);
    both.reused = both.reused.saturating_sub(blobs);
    both.reused_bytes = both.reused_bytes.saturating_sub(bytes);
    both
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

/// Makes an image that is there the one that was last shipped from a branch, which the next plan compares with.
///
/// # Errors
/// Where it can not be told or written.
pub(crate) async fn remember(
    repository: &Repository,
    digest: &Digest,
    branch: Option<&str>,
) -> shipper_oci::Result<()> {
    let hint = tag(&branch_tag(branch));
    if repository.tagged_digest(&hint).await?.as_ref() == Some(digest) {
        return Ok(());
    }
    match repository.manifest(&Selector::Digest(digest.clone())).await? {
        Some(manifest) => move_tag(repository, &manifest, &hint).await,
        None => Ok(()),
    }
}

/// Whether two builds of one key may give other bytes: a linker and a C library are the machine's own, and a Dockerfile may
/// do anything. What shipper puts into layers itself is the same everywhere.
fn may_differ(recipe: &Recipe) -> bool {
    !matches!(recipe, Recipe::Assemble { cargo: None, .. })
}

async fn put_images(repository: &Repository, images: &[PlatformImage]) -> shipper_oci::Result<()> {
    for image in images.iter().filter(|image| !matches!(image, PlatformImage::Stored(_))) {
        repository.put_manifest(image.manifest(), None).await?;
    }
    Ok(())
}

/// Writes what is stated about images, which are there.
async fn put_artifacts(
    repository: &Repository,
    beside: &[Artifact],
    referring: &[Artifact],
) -> shipper_oci::Result<BlobCounts> {
    let blobs = beside.iter().chain(referring).flat_map(|artifact| &artifact.blobs);
    let blobs: Vec<_> = blobs.map(|(descriptor, bytes)| (descriptor.clone(), in_memory(bytes))).collect();
    if blobs.is_empty() {
        return Ok(BlobCounts::default());
    }
    let sent = push_blobs(repository, blobs, &[]).await?;
    for artifact in beside {
        repository.put_manifest(&artifact.manifest, None).await?;
    }
    for artifact in referring {
        repository.put_referrer(&artifact.manifest).await?;
    }
    Ok(counts(&sent))
}

/// The image that was last shipped from this branch: what it names need not be asked for. A failure to read it only costs
/// questions.
async fn earlier(repository: &Repository, branch: Option<&str>) -> Vec<Manifest> {
    let last = repository.manifest(&Selector::Tag(tag(&branch_tag(branch)))).await;
    let Ok(Some(last)) = last else { return Vec::new() };
    let mut manifests = Vec::new();
    for child in last.as_index().map(|index| index.manifests.as_slice()).unwrap_or_default() {
        if let Ok(Some(child)) = repository.manifest(&Selector::Digest(child.digest.clone())).await {
            manifests.push(child);
        }
    }
    manifests.push(last);
    manifests
}

fn in_memory(bytes: &[u8]) -> BlobOrigin {
    BlobOrigin::Local(BlobSource::Bytes(bytes.to_vec().into()))
}

fn index(
    gathered: &Gathered,
    images: &[(Manifest, Vec<Stated>)],
    beside: &[Artifact],
) -> shipper_oci::Result<Manifest> {
    let mut children = Vec::with_capacity(images.len() + beside.len());
    for (platform, (image, _)) in gathered.platforms.iter().zip(images) {
        let platform: Platform = platform.inputs.platform.parse()?;
        children.push(image.descriptor().with_platform(platform));
    }
    for attached in beside {
        children.push(attach::index_entry(attached)?);
    }
    let annotations = [
        (KEY.to_owned(), gathered.key.to_string()),
        (SERVICE.to_owned(), gathered.service.name.clone()),
        ("org.opencontainers.image.title".to_owned(), gathered.service.name.clone()),
    ];
    shipper_oci::index(&children, &annotations.into())
}
