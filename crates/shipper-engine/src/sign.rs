//! Signatures with a key: made as Sigstore bundles that refer to the image, and looked for there.
//!
//! Invariant: what counts is a bundle whose signature the key accepts and whose signed statement is about exactly the digest
//! that was read; nothing else that the registry says about it is believed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use shipper_attest::{BUNDLE_MEDIA_TYPE, SigningKey, Subject, VerifyingKey, predicate};
use shipper_oci::{Artifact, BlobSource, Manifest, Repository, Selector};

use crate::{Error, Options, Project, images, read};

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
    let private = signing_key(&options.directory, &options.environment, key)?;
    let place = images::stored(options, reference).await?;
    let repository = &place.repository;
    let failed = |source| Error::Store { action: format!("sign {reference}"), source };
    let manifest = repository.manifest(&place.selector).await.map_err(failed)?;
    let manifest = manifest.ok_or_else(|| Error::NoImage { reference: reference.to_owned() })?;
    let artifact = signature(repository, &manifest, &private)
        .map_err(|source| Error::Sign { reference: reference.to_owned(), source })?
        .map_err(failed)?;
    put(repository, &artifact).await.map_err(failed)?;
    Ok(Signed {
        reference: repository.reference(&Selector::Digest(manifest.digest().clone())),
        digest: manifest.digest().to_string(),
        signature: artifact.manifest.digest().to_string(),
        key_hint: private.verifying_key().hint(),
    })
}

/// Signs images that a run has pushed, before anything names them.
#[derive(Clone)]
pub(crate) struct Signer(Arc<SigningKey>);

impl Signer {
    /// The key of the configuration, if it names one.
    ///
    /// # Errors
    /// [`Error::Key`], [`Error::NoKey`] and [`Error::Read`].
    pub(crate) fn of(project: &Project) -> Result<Option<Self>, Error> {
        let key = project.settings.sign_key.as_ref();
        key.map(|key| signing_key(&project.root, &project.environment, &key.value).map(|key| Self(Arc::new(key))))
            .transpose()
    }

    /// Signs an image that is in a repository, unless this key has signed it there.
    ///
    /// # Errors
    /// [`Error::Sign`]; [`Error::Push`] for `service`.
    pub(crate) async fn sign(&self, repository: &Repository, manifest: &Manifest, service: &str) -> Result<(), Error> {
        let failed = |source| Error::Push {
            service: service.to_owned(),
            target: repository.to_string(),
            source: Box::new(source),
        };
        let own = std::slice::from_ref(&self.0.verifying_key()).to_vec();
        if signatures(repository, manifest, &own).await.map_err(failed)?.right > 0 {
            return Ok(());
        }
        let reference = || repository.reference(&Selector::Digest(manifest.digest().clone()));
        let artifact = signature(repository, manifest, &self.0)
            .map_err(|source| Error::Sign { reference: reference(), source })?
            .map_err(failed)?;
        put(repository, &artifact).await.map_err(failed)
    }
}

/// The artifact that holds a signature of an image.
fn signature(
    repository: &Repository,
    manifest: &Manifest,
    key: &SigningKey,
) -> shipper_attest::Result<shipper_oci::Result<Artifact>> {
    let bundle = shipper_attest::sign(&subject(repository, manifest)?, key)?;
    let annotations = BTreeMap::from([
        (CONTENT.to_owned(), "dsse-envelope".to_owned()),
        (PREDICATE_TYPE.to_owned(), predicate::SIGNATURE.to_owned()),
    ]);
    let layers = [(BUNDLE_MEDIA_TYPE, bundle.as_slice())];
    Ok(shipper_oci::artifact(BUNDLE_MEDIA_TYPE, &layers, Some(manifest.descriptor()), &annotations))
}

async fn put(repository: &Repository, artifact: &Artifact) -> shipper_oci::Result<()> {
    for (descriptor, bytes) in &artifact.blobs {
        repository.push_blob(descriptor, BlobSource::Bytes(bytes.clone().into())).await?;
    }
    repository.put_referrer(&artifact.manifest).await
}

/// The public key that `key` names, as [`sign`] names private ones.
///
/// # Errors
/// [`Error::Key`] and [`Error::Read`].
pub(crate) fn verifying_key(
    directory: &Path,
    environment: &BTreeMap<String, String>,
    key: &str,
) -> Result<VerifyingKey, Error> {
    let pem = pem(directory, environment, key)?;
    VerifyingKey::from_pem(&pem).map_err(|source| Error::Key { key: key.to_owned(), source })
}

fn signing_key(directory: &Path, environment: &BTreeMap<String, String>, key: &str) -> Result<SigningKey, Error> {
    let pem = pem(directory, environment, key)?;
    SigningKey::from_pem(&pem).map_err(|source| Error::Key { key: key.to_owned(), source })
}

fn pem(directory: &Path, environment: &BTreeMap<String, String>, key: &str) -> Result<Vec<u8>, Error> {
    if let Some(name) = key.strip_prefix("env:") {
        let text = environment.get(name).filter(|text| !text.is_empty());
        return Ok(text.ok_or_else(|| Error::NoKey { name: name.to_owned() })?.clone().into_bytes());
    }
    let path = directory.join(key);
    read::small(&path).map_err(|source| Error::Read { path, source })
}

fn subject(repository: &Repository, manifest: &Manifest) -> shipper_attest::Result<Subject> {
    Subject::new(repository.name().to_string(), manifest.digest().as_str())
}

/// Signatures of an image by one of some keys.
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
    keys: &[VerifyingKey],
) -> shipper_oci::Result<Signatures> {
    let mut found = Signatures::default();
    let Ok(subject) = subject(repository, manifest) else { return Ok(found) };
    for entry in repository.referrers(manifest.digest(), Some(BUNDLE_MEDIA_TYPE)).await? {
        let Some(artifact) = repository.manifest(&Selector::Digest(entry.digest.clone())).await? else { continue };
        let layers = artifact.as_image().map(|image| image.layers.as_slice()).unwrap_or_default();
        for layer in layers.iter().filter(|layer| layer.media_type == BUNDLE_MEDIA_TYPE) {
            let bundle = repository.blob(layer).await?;
            let mut refused = None;
            let is_right = keys.iter().any(|key| match shipper_attest::verify(&bundle, key, &subject) {
                Ok(statement) => statement.predicate_type == predicate::SIGNATURE,
                Err(error) => {
                    refused = Some(format!("{}: cannot {error}", entry.digest));
                    false
                }
            });
            if is_right {
                found.right += 1;
            } else {
                found.refused.extend(refused);
            }
        }
    }
    Ok(found)
}
