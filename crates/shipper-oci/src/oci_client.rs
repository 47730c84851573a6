//! Conversions from and to the types of the crate `oci-client` (feature `oci-client`), for programs that use both.
//!
//! Invariant: what comes from `oci-client` is validated as if it came from a registry. Its types keep less than a
//! document may say (no `data` of a descriptor, no `subject` of an index), so that bytes and digest of a [`Manifest`] do
//! not survive the way there and back; compare digests of what a registry holds, not of conversions.

use oci_client::manifest::{OciDescriptor, OciManifest};

use crate::{Descriptor, Digest, Error, Manifest, ManifestKind, Reference};

/// ```
/// let ours: shipper_oci::Reference = "ghcr.io/acme/api:v1".parse()?;
/// let theirs = oci_client::Reference::from(&ours);
/// assert_eq!(theirs.whole(), "ghcr.io/acme/api:v1");
/// assert_eq!(shipper_oci::Reference::try_from(&theirs)?, ours);
/// # Ok::<(), shipper_oci::Error>(())
/// ```
impl From<&Reference> for oci_client::Reference {
    fn from(reference: &Reference) -> Self {
        let (registry, repository) = (reference.registry.to_string(), reference.repository.to_string());
        match (&reference.tag, &reference.digest) {
            (Some(tag), Some(digest)) => {
                Self::with_tag_and_digest(registry, repository, tag.to_string(), digest.to_string())
            }
            (None, Some(digest)) => Self::with_digest(registry, repository, digest.to_string()),
            // A reference of theirs always selects something.
            (tag, None) => {
                let tag = tag.as_ref().map_or_else(|| "latest".to_owned(), ToString::to_string);
                Self::with_tag(registry, repository, tag)
            }
        }
    }
}

/// The mirror of a reference, where it has one, is left out.
///
/// # Errors
/// [`Error::InvalidReference`] and its like where a part breaks its grammar: their constructors take any text.
impl TryFrom<&oci_client::Reference> for Reference {
    type Error = Error;

    fn try_from(reference: &oci_client::Reference) -> Result<Self, Error> {
        Ok(Self {
            registry: reference.registry().parse()?,
            repository: reference.repository().parse()?,
            tag: reference.tag().map(str::parse).transpose()?,
            digest: reference.digest().map(str::parse).transpose()?,
        })
    }
}

/// # Errors
/// [`Error::TooLarge`] where the size is more than an `i64` holds.
impl TryFrom<&Descriptor> for OciDescriptor {
    type Error = Error;

    fn try_from(descriptor: &Descriptor) -> Result<Self, Error> {
        let size = i64::try_from(descriptor.size)
            .map_err(|_| Error::TooLarge { what: format!("blob {}", descriptor.digest), limit: i64::MAX as u64 })?;
        Ok(Self {
            media_type: descriptor.media_type.clone(),
            digest: descriptor.digest.to_string(),
            size,
            urls: (!descriptor.urls.is_empty()).then(|| descriptor.urls.clone()),
            annotations: (!descriptor.annotations.is_empty()).then(|| descriptor.annotations.clone()),
            artifact_type: descriptor.artifact_type.clone(),
        })
    }
}

/// # Errors
/// [`Error::InvalidReference`] and its like for a digest that is none or a negative size.
impl TryFrom<&OciDescriptor> for Descriptor {
    type Error = Error;

    fn try_from(descriptor: &OciDescriptor) -> Result<Self, Error> {
        let digest: Digest = descriptor.digest.parse()?;
        let size = u64::try_from(descriptor.size)
            .map_err(|_| Error::invalid("size of a blob", &descriptor.size.to_string(), "it is negative"))?;
        Ok(Self {
            urls: descriptor.urls.clone().unwrap_or_default(),
            annotations: descriptor.annotations.clone().unwrap_or_default(),
            artifact_type: descriptor.artifact_type.clone(),
            ..Self::new(descriptor.media_type.clone(), digest, size)
        })
    }
}

/// # Errors
/// [`Error::InvalidManifest`] where their types do not take what the document says.
impl TryFrom<&Manifest> for OciManifest {
    type Error = Error;

    fn try_from(manifest: &Manifest) -> Result<Self, Error> {
        let read = match manifest.kind() {
            ManifestKind::Image(_) => serde_json::from_slice(manifest.bytes()).map(OciManifest::Image),
            ManifestKind::Index(_) => serde_json::from_slice(manifest.bytes()).map(OciManifest::ImageIndex),
        };
        read.map_err(|error| Error::InvalidManifest { digest: manifest.digest().clone(), reason: error.to_string() })
    }
}

/// A document in this crate's order of fields, with a digest of its own.
///
/// # Errors
/// As [`Manifest::parse`].
impl TryFrom<&OciManifest> for Manifest {
    type Error = Error;

    fn try_from(manifest: &OciManifest) -> Result<Self, Error> {
        let bytes = serde_json::to_vec(manifest)
            .expect("because the document is made of strings, numbers and maps with string keys");
        Manifest::parse(Some(manifest.content_type()), bytes)
    }
}
