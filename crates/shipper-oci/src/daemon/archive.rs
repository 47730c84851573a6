//! The archive that an engine loads: an OCI layout with one name, and for older engines what `docker save` writes.
//!
//! Invariant: each blob is in it once, streamed from where it is.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::json;

use crate::http::BodyStream;
use crate::store::{Target, blocking};
use crate::upload::{Failure, file_stream, remote_stream};
use crate::{
    Descriptor, Digest, Error, MAX_INDEX_DEPTH, Manifest, ManifestKind, Repository, Result, Selector, media_type,
};

/// A file of the archive: in memory, or a blob where it is.
enum Part {
    Bytes(Bytes),
    Blob(Box<(Repository, Descriptor)>),
}

/// What is loaded.
pub(super) struct Content {
    parts: Vec<(String, Part)>,
    blobs: BTreeSet<Digest>,
    /// Bytes of the blobs.
    pub(super) bytes: u64,
}

/// Where a blob lies in a layout.
fn place(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}

impl Content {
    /// A manifest with everything below it.
    ///
    /// # Errors
    /// As [`Repository::manifest`]; [`Error::Incomplete`] where an index names what is not there.
    pub(super) async fn of(from: &Repository, manifest: &Manifest) -> Result<Self> {
        let mut content = Self { parts: Vec::new(), blobs: BTreeSet::new(), bytes: 0 };
        content.add(from, manifest, MAX_INDEX_DEPTH).await?;
        Ok(content)
    }

    async fn add(&mut self, from: &Repository, manifest: &Manifest, depth: usize) -> Result<()> {
        if !self.blobs.insert(manifest.digest().clone()) {
            return Ok(());
        }
        self.parts.push((place(manifest.digest()), Part::Bytes(manifest.shared_bytes())));
        let index = match manifest.kind() {
            ManifestKind::Image(image) => {
                for blob in image.blobs() {
                    self.add_blob(from, blob);
                }
                return Ok(());
            }
            ManifestKind::Index(index) => index,
        };
        for child in &index.manifests {
            if !media_type::is_manifest(&child.media_type) {
                self.add_blob(from, child);
                continue;
            }
            if depth == 0 {
                let reason = format!("indexes are nested more than {MAX_INDEX_DEPTH} deep");
                return Err(Error::InvalidManifest { digest: manifest.digest().clone(), reason });
            }
            let found = from.manifest(&Selector::Digest(child.digest.clone())).await?;
            let found = found.ok_or_else(|| Error::Incomplete {
                what: from.reference(&Selector::Digest(manifest.digest().clone())),
                missing: child.digest.to_string(),
            })?;
            Box::pin(self.add(from, &found, depth - 1)).await?;
        }
        Ok(())
    }

    fn add_blob(&mut self, from: &Repository, blob: &Descriptor) {
        if self.blobs.insert(blob.digest.clone()) {
            self.bytes += blob.size;
            self.parts.push((place(&blob.digest), Part::Blob(Box::new((from.clone(), blob.clone())))));
        }
    }

    /// The archive as a stream, in which `root` has the name `name`, and so has `image` for engines that read `docker save`'s.
    pub(super) fn archive(self, root: &Manifest, image: &Manifest, name: &str, failure: &Failure) -> BodyStream {
        let mut entry = serde_json::to_value(root.descriptor()).unwrap_or_default();
        let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        entry["annotations"] = json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag });
        let index = json!({ "schemaVersion": 2, "manifests": [entry] });
        let mut parts = vec![("oci-layout".to_owned(), Part::Bytes(r#"{"imageLayoutVersion":"1.0.0"}"#.into()))];
        parts.extend(self.parts);
        parts.push(("index.json".to_owned(), Part::Bytes(index.to_string().into())));
        if let Some(image) = image.as_image() {
            let layers: Vec<String> = image.layers.iter().map(|layer| place(&layer.digest)).collect();
            let saved = json!([{ "Config": place(&image.config.digest), "RepoTags": [name], "Layers": layers }]);
            parts.push(("manifest.json".to_owned(), Part::Bytes(saved.to_string().into())));
        }
        let failure = failure.clone();
        let files = futures_util::stream::iter(parts).then(move |(path, part)| {
            let failure = failure.clone();
            async move { file(&path, part, failure.clone()).await.map_err(|error| failure.set(error)) }
        });
        let end = futures_util::stream::once(async { Ok(Bytes::from_static(&[0; 1024])) });
        Box::pin(files.try_flatten().chain(end))
    }
}

/// Header, content and padding of one file.
async fn file(path: &str, part: Part, failure: Failure) -> Result<BodyStream> {
    let (size, content) = match part {
        Part::Bytes(bytes) => {
            let content: BodyStream = Box::pin(futures_util::stream::iter([Ok(bytes.clone())]));
            (bytes.len() as u64, content)
        }
        Part::Blob(place) => {
            let (from, blob) = *place;
            (blob.size, blob_stream(&from, &blob, failure).await?)
        }
    };
    let mut header = ::tar::Header::new_gnu();
    header.set_entry_type(::tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_size(size);
    header
        .set_path(path)
        .map_err(|_| Error::InvalidImagePath { path: path.to_owned(), reason: "it is too long for an archive" })?;
    header.set_cksum();
    let head = Bytes::copy_from_slice(header.as_bytes());
    let padding = Bytes::from(vec![0; usize::try_from((512 - size % 512) % 512).unwrap_or(0)]);
    let head = futures_util::stream::iter([Ok(head)]);
    Ok(Box::pin(head.chain(content).chain(futures_util::stream::iter([Ok(padding)]))))
}

/// A blob's bytes from where they are; those of a registry are verified on the way.
async fn blob_stream(from: &Repository, blob: &Descriptor, failure: Failure) -> Result<BodyStream> {
    match &from.target {
        Target::Layout(layout) => {
            let (layout, wanted) = (layout.clone(), blob.clone());
            let path = blocking(move || layout.open_blob(&wanted).map(|(_, path)| path)).await?;
            file_stream(path, blob, failure).await
        }
        Target::Registry(registry) => Ok(remote_stream(registry.open_blob(blob).await?, blob.clone(), failure)),
        Target::Refused => Err(from.refused()),
    }
}
