//! The inputs artifact `m-<key>`: inputs documents and context manifests beside the image, so that any machine can
//! say what changed.

use std::collections::BTreeMap;

use shipper_hash::Manifest as ContextManifest;
use shipper_oci::{Artifact, Descriptor, Manifest, Repository};
use shipper_plan::InputsDocument;

use crate::Error;
use crate::gather::Gathered;
use crate::names::{CONTEXT_MANIFEST, INPUTS_ARTIFACT, INPUTS_DOCUMENT, KEY};

/// The largest context manifest that is read back, in bytes: about a million files.
const LIMIT: usize = 128 << 20;
/// Level of the compression: manifests are mostly digests, which do not compress.
const LEVEL: i32 = 3;

/// The artifact of one built service, with the image as its subject: for each platform its inputs document and its
/// context manifest, one after the other. The same inputs give the same bytes.
///
/// # Errors
/// Where a document can not be written or compressed.
pub(crate) fn artifact(gathered: &Gathered, subject: Descriptor) -> Result<Artifact, Error> {
    let mut layers: Vec<(&str, Vec<u8>)> = Vec::new();
    for platform in &gathered.platforms {
        let manifest = zstd::bulk::compress(&platform.context.manifest().encode(), LEVEL)
            .map_err(|source| Error::Write { path: CONTEXT_MANIFEST.into(), source })?;
        layers.push((INPUTS_DOCUMENT, platform.inputs.to_json()?));
        layers.push((CONTEXT_MANIFEST, manifest));
    }
    let layers: Vec<(&str, &[u8])> = layers.iter().map(|(media_type, bytes)| (*media_type, bytes.as_slice())).collect();
    let annotations = BTreeMap::from([(KEY.to_owned(), gathered.key.to_string())]);
    shipper_oci::artifact(INPUTS_ARTIFACT, &layers, Some(subject), &annotations)
        .map_err(|source| Error::Store { action: "write the inputs artifact".to_owned(), source })
}

/// What a stored artifact holds, by platform. What can not be read or does not fit together is left out: the artifact
/// only explains.
pub(crate) async fn read(
    repository: &Repository,
    artifact: &Manifest,
) -> BTreeMap<String, (InputsDocument, Option<ContextManifest>)> {
    let mut found = BTreeMap::new();
    let Some(image) = artifact.as_image().filter(|_| artifact.artifact_type() == Some(INPUTS_ARTIFACT)) else {
        return found;
    };
    for pair in image.layers.chunks_exact(2) {
        let [document, stored] = pair else { continue };
        if document.media_type != INPUTS_DOCUMENT || stored.media_type != CONTEXT_MANIFEST {
            continue;
        }
        let Ok(bytes) = repository.blob(document).await else { continue };
        let Ok(document) = InputsDocument::from_json(&bytes) else { continue };
        let manifest = match repository.blob(stored).await {
            Ok(bytes) => {
                let body = zstd::bulk::decompress(&bytes, LIMIT).ok();
                let decoded = body.and_then(|body| ContextManifest::decode(&body).ok());
                decoded.filter(|decoded| decoded.hash().to_string() == document.context)
            }
            Err(_) => None,
        };
        found.insert(document.platform.clone(), (document, manifest));
    }
    found
}
