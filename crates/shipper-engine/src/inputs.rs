//! The inputs artifact `m-<key>`: inputs documents and context manifests beside the image, so that any machine can
//! say what changed.

use std::collections::BTreeMap;

use shipper_hash::{BuildKey, Manifest as ContextManifest};
use shipper_oci::{Artifact, Descriptor, Manifest, Repository};
use shipper_plan::InputsDocument;

use crate::Error;
use crate::gather::Gathered;
use crate::names::{CONTEXT_MANIFEST, INPUTS_ARTIFACT, INPUTS_DOCUMENT, KEY};

/// The largest context manifest that is read back, in bytes: about a million files.
const LIMIT: usize = 128 << 20;
/// Level of the compression: manifests are mostly digests, which do not compress.
const LEVEL: i32 = 3;

/// What the artifact of one service holds: for each platform its inputs document and its context manifest, one after the
/// other. The same inputs give the same bytes.
pub(crate) struct Documents {
    key: BuildKey,
    /// Media type and bytes.
    layers: Vec<(&'static str, Vec<u8>)>,
}

impl Documents {
    /// Serialised and compressed.
    ///
    /// # Errors
    /// Where a document can not be written or compressed.
    pub(crate) fn of(gathered: &Gathered) -> Result<Self, Error> {
        let mut layers = Vec::with_capacity(2 * gathered.platforms.len());
        for platform in &gathered.platforms {
            let manifest = zstd::bulk::compress(&platform.context.manifest().encode(), LEVEL)
                .map_err(|source| Error::Write { path: CONTEXT_MANIFEST.into(), source })?;
            layers.push((INPUTS_DOCUMENT, platform.inputs.to_json()?));
            layers.push((CONTEXT_MANIFEST, manifest));
        }
        Ok(Self { key: gathered.key, layers })
    }

    /// Everything that must be there before the artifact of any image of this key.
    ///
    /// # Errors
    /// As [`Documents::artifact`].
    pub(crate) fn blobs(&self) -> Result<Vec<(Descriptor, Vec<u8>)>, Error> {
        self.with_subject(None).map(|artifact| artifact.blobs)
    }

    /// The artifact with an image as its subject.
    ///
    /// # Errors
    /// Where it would be too large.
    pub(crate) fn artifact(&self, subject: Descriptor) -> Result<Manifest, Error> {
        self.with_subject(Some(subject)).map(|artifact| artifact.manifest)
    }

    fn with_subject(&self, subject: Option<Descriptor>) -> Result<Artifact, Error> {
        let layers: Vec<(&str, &[u8])> =
            self.layers.iter().map(|(media_type, bytes)| (*media_type, bytes.as_slice())).collect();
        let annotations = BTreeMap::from([(KEY.to_owned(), self.key.to_string())]);
        shipper_oci::artifact(INPUTS_ARTIFACT, &layers, subject, &annotations)
            .map_err(|source| Error::Store { action: "write the inputs artifact".to_owned(), source })
    }
}

/// What a stored artifact holds, by platform. What can not be read or does not fit together is left out: here the artifact
/// only explains.
pub(crate) async fn read(
    repository: &Repository,
    artifact: &Manifest,
) -> BTreeMap<String, (InputsDocument, Option<ContextManifest>)> {
    let read = documents(repository, artifact).await.into_iter().flatten();
    read.map(|(document, manifest)| (document.platform.clone(), (document, manifest.ok()))).collect()
}

/// Why a stored document is of no use.
pub(crate) enum Problem {
    /// It could not be read.
    Unread(shipper_oci::Error),
    /// It was read, and is not what it should be.
    Wrong(String),
}

impl Problem {
    fn wrong(problem: impl std::fmt::Display) -> Self {
        Self::Wrong(problem.to_string())
    }
}

/// A stored context manifest, or what is wrong with it.
type StoredContext = Result<ContextManifest, Problem>;

/// Each pair of documents of a stored artifact, or what is wrong with it, in their order. A context manifest is the one that
/// the inputs document beside it names.
pub(crate) async fn documents(
    repository: &Repository,
    artifact: &Manifest,
) -> Vec<Result<(InputsDocument, StoredContext), Problem>> {
    let Some(image) = artifact.as_image().filter(|_| artifact.artifact_type() == Some(INPUTS_ARTIFACT)) else {
        return vec![Err(Problem::wrong("it is no inputs artifact"))];
    };
    let mut found = Vec::new();
    for pair in image.layers.chunks(2) {
        found.push(match pair {
            [document, stored] if document.media_type == INPUTS_DOCUMENT && stored.media_type == CONTEXT_MANIFEST => {
                pair_of(repository, document, stored).await
            }
            _ => Err(Problem::wrong("it is not made of inputs documents and context manifests in turn")),
        });
    }
    found
}

async fn pair_of(
    repository: &Repository,
    document: &Descriptor,
    stored: &Descriptor,
) -> Result<(InputsDocument, StoredContext), Problem> {
    let bytes = repository.blob(document).await.map_err(Problem::Unread)?;
    let document = InputsDocument::from_json(&bytes).map_err(Problem::wrong)?;
    let manifest = match repository.blob(stored).await {
        Ok(bytes) => context(&bytes, &document),
        Err(error) => Err(Problem::Unread(error)),
    };
    Ok((document, manifest))
}

fn context(compressed: &[u8], document: &InputsDocument) -> StoredContext {
    let wrong = |what: &dyn std::fmt::Display| Problem::Wrong(format!("its context manifest: {what}"));
    let body = zstd::bulk::decompress(compressed, LIMIT).map_err(|error| wrong(&error))?;
    let manifest = ContextManifest::decode(&body).map_err(|error| wrong(&error))?;
    let hash = manifest.hash().to_string();
    if hash == document.context {
        Ok(manifest)
    } else {
        Err(Problem::Wrong(format!("its context manifest is that of {hash}, not of {}", document.context)))
    }
}
