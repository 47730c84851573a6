//! Where statements about images are put: into the index beside the image, as BuildKit does
//! (moby/buildkit `docs/attestations/attestation-storage.md`), or as artifacts that refer to it.
//!
//! Invariant: the manifest of an image does not depend on what is stated about it.

use std::collections::BTreeMap;

use serde_json::json;
use shipper_attest::STATEMENT_MEDIA_TYPE;
use shipper_oci::{Artifact, Descriptor, ImageManifest, Manifest, media_type};
use shipper_plan::AttestationsConfig;

/// Annotation of a layer or artifact: what the statement in it states.
pub(crate) const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";
/// Annotations of an entry of an index that is no image, but about one.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
/// The platform of such an entry.
const NO_PLATFORM: &str = "unknown/unknown";

/// One statement.
#[derive(Debug, Clone)]
pub(crate) struct Stated {
    /// What it states.
    pub(crate) predicate_type: &'static str,
    /// The statement, JSON.
    pub(crate) bytes: Vec<u8>,
}

/// What is stated about the images of a service.
#[derive(Debug, Clone)]
pub(crate) struct Attestations {
    /// Where it is put.
    pub(crate) form: AttestationsConfig,
    /// The images, and what is stated about each.
    pub(crate) images: Vec<(Manifest, Vec<Stated>)>,
}

/// What there is to write besides the images: manifests that go into the index, and artifacts that refer to an image. One of
/// the two lists is empty.
pub(crate) fn artifacts(attestations: &Attestations) -> shipper_oci::Result<(Vec<Artifact>, Vec<Artifact>)> {
    let (mut in_index, mut referring) = (Vec::new(), Vec::new());
    for (image, stated) in attestations.images.iter().filter(|(_, stated)| !stated.is_empty()) {
        match attestations.form {
            AttestationsConfig::Index => in_index.push(beside(image, stated)?),
            AttestationsConfig::Referrers => {
                for one in stated {
                    referring.push(referrer(image, one)?);
                }
            }
        }
    }
    Ok((in_index, referring))
}

/// The manifest of statements about one image. It looks like an image for no platform, so that every tool stores it.
fn beside(image: &Manifest, stated: &[Stated]) -> shipper_oci::Result<Artifact> {
    let mut layers = Vec::with_capacity(stated.len());
    let mut blobs = Vec::with_capacity(stated.len() + 1);
    for one in stated {
        let mut layer = Descriptor::of(STATEMENT_MEDIA_TYPE, &one.bytes);
        blobs.push((layer.clone(), one.bytes.clone()));
        layer.annotations.insert(PREDICATE_TYPE.to_owned(), one.predicate_type.to_owned());
        layers.push(layer);
    }
    let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.digest.as_str()).collect();
    let config = json!({
        "architecture": "unknown",
        "os": "unknown",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config_bytes = config.to_string().into_bytes();
    let config = Descriptor::of(media_type::IMAGE_CONFIG, &config_bytes);
    let mut manifest = ImageManifest::new(config.clone(), layers);
    manifest.annotations.insert(REFERENCE_DIGEST.to_owned(), image.digest().to_string());
    blobs.insert(0, (config, config_bytes));
    Ok(Artifact { manifest: Manifest::image(&manifest)?, blobs })
}

/// Digest of the image that an entry of an index is about; `None` where the entry is an image itself.
pub(crate) fn about(entry: &Descriptor) -> Option<&str> {
    let is_about = entry.annotations.get(REFERENCE_TYPE).is_some_and(|of_type| of_type == "attestation-manifest");
    is_about.then(|| entry.annotations.get(REFERENCE_DIGEST).map_or("", String::as_str))
}

/// What the statement in a layer states; `None` for other layers.
pub(crate) fn stated_in(layer: &Descriptor) -> Option<&str> {
    let is_statement = layer.media_type == STATEMENT_MEDIA_TYPE;
    is_statement.then(|| layer.annotations.get(PREDICATE_TYPE).map_or("", String::as_str))
}

/// The entry in the index for a manifest of statements.
pub(crate) fn index_entry(attached: &Artifact) -> shipper_oci::Result<Descriptor> {
    let mut entry = attached.manifest.descriptor().with_platform(NO_PLATFORM.parse()?);
    let about = attached.manifest.annotations().get(REFERENCE_DIGEST).cloned().unwrap_or_default();
    entry.annotations.insert(REFERENCE_TYPE.to_owned(), "attestation-manifest".to_owned());
    entry.annotations.insert(REFERENCE_DIGEST.to_owned(), about);
    Ok(entry)
}

/// The artifact of one statement about an image.
fn referrer(image: &Manifest, stated: &Stated) -> shipper_oci::Result<Artifact> {
    let annotations = BTreeMap::from([(PREDICATE_TYPE.to_owned(), stated.predicate_type.to_owned())]);
    let layers = [(STATEMENT_MEDIA_TYPE, stated.bytes.as_slice())];
    shipper_oci::artifact(STATEMENT_MEDIA_TYPE, &layers, Some(image.descriptor()), &annotations)
}
