//! Signatures with a key: made as Sigstore bundles that refer to the image, and looked for there.
//!
//! Invariant: what counts is a bundle whose signature the key accepts and whose signed statement is about exactly the digest
//! that was read; nothing else that the registry says about it is believed.

use std::collections::BTreeMap;

use shipper_attest::{BUNDLE_MEDIA_TYPE, SigningKey, Subject, VerifyingKey, predicate};
use shipper_oci::{BlobSource, Manifest, Repository, Selector};

use crate::{Error, Options, images, read};

/// Annotations of cosign on the artifact of a bundle (sigstore/cosign `specs/BUNDLE_SPEC.md`).
const CONTENT: &str = "dev.sigstore.bundle.content";
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";

/// What [`sign`] did.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The image by its digest.
    pub reference: String,
    /// The image's digest.
    pub digest: String,
    /// Digest of the artifact that holds the signature.
    pub signature: String,
    /// What others may find the key by.
    pub key_hint: String,
}

/// Signs the image at a reference with a private key: a file, or `env:NAME` for an environment variable with its content.
///
/// # Errors
/// [`Error::Key`] and [`Error::Read`] for the key, before anything else; [`Error::NoImage`]; [`Error::Store`].
pub async fn sign(options: &Options, reference: &str, key: &str) -> Result<Signed, Error> {
    let pem = pem(options, key)?;
    let private = SigningKey::from_pem(&pem).map_err(|source| Error::Key { key: key.to_owned(), source })?;
    let place = images::stored(options, reference).await?;
    let repository = &place.repository;
    let failed = |source| Error::Store { action: format!("sign {reference}"), source };
    let manifest = repository.manifest(&place.selector).await.map_err(failed)?;
    let manifest = manifest.ok_or_else(|| Error::NoImage { reference: reference.to_owned() })?;
    let unsigned = |source| Error::Sign { reference: reference.to_owned(), source };
    let subject = subject(repository, &manifest).map_err(unsigned)?;
    let bundle = shipper_attest::sign(&subject, &private).map_err(unsigned)?;
    let annotations = BTreeMap::from([
        (CONTENT.to_owned(), "dsse-envelope".to_owned()),
        (PREDICATE_TYPE.to_owned(), predicate::SIGNATURE.to_owned()),
    ]);
    let layers = [(BUNDLE_MEDIA_TYPE, bundle.as_slice())];
    let artifact = shipper_oci::artifact(BUNDLE_MEDIA_TYPE, &layers, Some(manifest.descriptor()), &annotations);
    let artifact = artifact.map_err(failed)?;
    for (descriptor, bytes) in &artifact.blobs {
        repository.push_blob(descriptor, BlobSource::Bytes(bytes.clone().into())).await.map_err(failed)?;
    }
    repository.put_referrer(&artifact.manifest).await.map_err(failed)?;
    Ok(Signed {
        reference: repository.reference(&Selector::Digest(manifest.digest().clone())),
        digest: manifest.digest().to_string(),
        signature: artifact.manifest.digest().to_string(),
        key_hint: private.verifying_key().hint(),
    })
}

/// The public key that `key` names, as [`sign`] names private ones.
///
/// # Errors
/// [`Error::Key`] and [`Error::Read`].
pub(crate) fn verifying_key(options: &Options, key: &str) -> Result<VerifyingKey, Error> {
    let pem = pem(options, key)?;
    VerifyingKey::from_pem(&pem).map_err(|source| Error::Key { key: key.to_owned(), source })
}

fn pem(options: &Options, key: &str) -> Result<Vec<u8>, Error> {
    if let Some(name) = key.strip_prefix("env:") {
        let text = options.environment.get(name).filter(|text| !text.is_empty());
        return Ok(text.ok_or_else(|| Error::NoKey { name: name.to_owned() })?.clone().into_bytes());
    }
    let path = options.directory.join(key);
    read::small(&path).map_err(|source| Error::Read { path, source })
}

fn subject(repository: &Repository, manifest: &Manifest) -> shipper_attest::Result<Subject> {
    Subject::new(repository.name().to_string(), manifest.digest().as_str())
}

/// Signatures of an image by one key.
#[derive(Debug, Default)]
pub(crate) struct Signatures {
    /// How many are right.
    pub(crate) right: usize,
    /// Why others are not.
    pub(crate) refused: Vec<String>,
}

/// Looks through the bundles that refer to an image.
///
/// # Errors
/// Where it can not be told which there are, or one can not be read.
pub(crate) async fn signatures(
    repository: &Repository,
    manifest: &Manifest,
    key: &VerifyingKey,
) -> shipper_oci::Result<Signatures> {
    let mut found = Signatures::default();
    let Ok(subject) = subject(repository, manifest) else { return Ok(found) };
    for entry in repository.referrers(manifest.digest(), Some(BUNDLE_MEDIA_TYPE)).await? {
        let Some(artifact) = repository.manifest(&Selector::Digest(entry.digest.clone())).await? else { continue };
        let layers = artifact.as_image().map(|image| image.layers.as_slice()).unwrap_or_default();
        for layer in layers.iter().filter(|layer| layer.media_type == BUNDLE_MEDIA_TYPE) {
            let bundle = repository.blob(layer).await?;
            match shipper_attest::verify(&bundle, key, &subject) {
                Ok(statement) if statement.predicate_type == predicate::SIGNATURE => found.right += 1,
                Ok(_) => {}
                Err(error) => found.refused.push(format!("{}: cannot {error}", entry.digest)),
            }
        }
    }
    Ok(found)
}
