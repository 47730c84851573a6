//! Manifests: an immutable view of one image manifest or image index, raw bytes kept.
//!
//! Invariants of a [`Manifest`]:
//! - its digest is the digest of exactly [`Manifest::bytes`], never of a re-serialisation;
//! - it has one meaning: the document's `mediaType`, the media type under which it was served and its fields agree, no
//!   field of the other kind is present and no key appears twice (CVE-2021-41190 is what happens otherwise);
//! - every digest in it is well formed;
//! - it is at most [`MAX_MANIFEST_BYTES`] long, nested at most 64 deep, and an index has at most [`MAX_INDEX_ENTRIES`].
//!
//! Sources: OCI image specification 1.1 ("manifest.md", "image-index.md"), Docker image manifest version 2 schema 2.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::descriptor::null_as_default;
use crate::{Descriptor, Digest, Error, Platform, media_type};

/// Longest manifest, index or configuration that is read: 4 MiB, the limit that the distribution specification asks
/// registries to accept.
pub const MAX_MANIFEST_BYTES: u64 = 4 * 1024 * 1024;

/// Most entries of an index that is read from a peer.
pub const MAX_INDEX_ENTRIES: usize = 1_000;

/// Indexes may contain indexes; this many levels of index are followed.
pub const MAX_INDEX_DEPTH: usize = 2;

const MAX_JSON_DEPTH: usize = 64;

/// An image (or artifact) manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    schema_version: SchemaVersion,
    /// The document's own media type; [`media_type::IMAGE_MANIFEST`] unless it was read from elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// For artifacts: what kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(deserialize_with = "null_as_default")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one is about (signatures, SBOMs).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub annotations: BTreeMap<String, String>,
}

impl ImageManifest {
    /// An OCI image manifest without notes.
    #[must_use]
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> ImageManifest {
        ImageManifest {
            schema_version: SchemaVersion,
            media_type: Some(media_type::IMAGE_MANIFEST.to_owned()),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Configuration and layers that a registry must hold, each digest once, in order: configuration first, layers
    /// lowest first. Non-distributable layers are left out.
    #[must_use]
    pub fn blobs(&self) -> Vec<&Descriptor> {
        let mut seen = std::collections::BTreeSet::new();
        std::iter::once(&self.config)
            .chain(self.layers.iter().filter(|layer| !media_type::is_non_distributable(&layer.media_type)))
            .filter(|blob| seen.insert(&blob.digest))
            .collect()
    }
}

/// An image index: manifests of one image for several platforms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageIndex {
    schema_version: SchemaVersion,
    /// The document's own media type; [`media_type::IMAGE_INDEX`] unless it was read from elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// For artifacts: what kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifests, in order of preference.
    #[serde(deserialize_with = "null_as_default")]
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub annotations: BTreeMap<String, String>,
}

impl ImageIndex {
    /// An OCI image index without notes.
    #[must_use]
    pub fn new(manifests: Vec<Descriptor>) -> ImageIndex {
        ImageIndex {
            schema_version: SchemaVersion,
            media_type: Some(media_type::IMAGE_INDEX.to_owned()),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Entries that are images, in order: statements about images are left out, which BuildKit files under a platform of the
    /// system `unknown` ("Image attestation storage" in its documentation).
    pub fn images(&self) -> impl Iterator<Item = &Descriptor> {
        self.manifests.iter().filter(|entry| entry.platform.as_ref().is_none_or(|platform| platform.os != "unknown"))
    }

    /// Platforms of the images, in order; those of entries that name none are not known.
    pub fn platforms(&self) -> impl Iterator<Item = &Platform> {
        self.images().filter_map(|entry| entry.platform.as_ref())
    }

    /// The first image for a platform, which [`Platform::matches`] tells.
    ///
    /// ```
    /// use shipper_oci::{Descriptor, ImageIndex, media_type};
    /// let entry = |content: &[u8], platform: &str| {
    ///     Ok::<_, shipper_oci::Error>(Descriptor::of(media_type::IMAGE_MANIFEST, content).with_platform(platform.parse()?))
    /// };
    /// let index = ImageIndex::new(vec![entry(b"{}", "linux/amd64")?, entry(b"{ }", "linux/arm64/v8")?]);
    /// assert_eq!(index.image_for(&"linux/arm64".parse()?), Some(&index.manifests[1]));
    /// assert_eq!(index.image_for(&"linux/riscv64".parse()?), None);
    /// # Ok::<(), shipper_oci::Error>(())
    /// ```
    #[must_use]
    pub fn image_for(&self, platform: &Platform) -> Option<&Descriptor> {
        self.images().find(|entry| entry.platform.as_ref().is_some_and(|own| platform.matches(own)))
    }
}

/// `"schemaVersion": 2`, the only one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SchemaVersion;

impl Serialize for SchemaVersion {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(2)
    }
}

impl<'de> Deserialize<'de> for SchemaVersion {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<SchemaVersion, D::Error> {
        match u64::deserialize(deserializer)? {
            2 => Ok(SchemaVersion),
            other => Err(serde::de::Error::custom(format_args!("schemaVersion is {other}, not 2"))),
        }
    }
}

/// What a [`Manifest`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one exists per manifest, behind an Arc; boxes would only hinder pattern matching"
)]
pub enum ManifestKind {
    /// One image or artifact.
    Image(ImageManifest),
    /// Several manifests under one name.
    Index(ImageIndex),
}

/// A manifest as a registry stores it. Cheap to clone.
///
/// ```
/// use shipper_oci::{media_type, Descriptor, ImageManifest, Manifest};
/// let manifest = Manifest::image(&ImageManifest::new(Descriptor::of(media_type::EMPTY, b"{}"), vec![]))?;
/// let again = Manifest::parse(Some(media_type::IMAGE_MANIFEST), manifest.bytes().to_vec())?;
/// assert_eq!(again.digest(), manifest.digest());
/// # Ok::<(), shipper_oci::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Manifest(Arc<Inner>);

#[derive(PartialEq, Eq)]
struct Inner {
    bytes: Bytes,
    digest: Digest,
    media_type: String,
    kind: ManifestKind,
}

impl Manifest {
    /// Parses a document. `media_type` is what the peer called it (`Content-Type` or the descriptor's media type);
    /// parameters after `;` are ignored. Without it the document's `mediaType` decides, without both its fields do.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above [`MAX_MANIFEST_BYTES`]; [`Error::InvalidManifest`] when the bytes are not JSON, have
    /// more than one meaning, or are a kind of document that is not read (Docker schema 1).
    pub fn parse(media_type: Option<&str>, bytes: Vec<u8>) -> Result<Manifest, Error> {
        let bytes = Bytes::from(bytes);
        let digest = Digest::of(&bytes);
        Manifest::parse_named(media_type, bytes, digest)
    }

    /// Parses bytes that were asked for by digest.
    ///
    /// # Errors
    /// As [`Manifest::parse`], and [`Error::DigestMismatch`] when the bytes have another digest.
    pub fn parse_expecting(expected: &Digest, media_type: Option<&str>, bytes: Vec<u8>) -> Result<Manifest, Error> {
        if !expected.matches(&bytes) {
            let found = {
                let mut hasher = expected.hasher();
                hasher.update(&bytes);
                hasher.finish()
            };
            return Err(Error::DigestMismatch { what: "manifest".into(), expected: expected.clone(), found });
        }
        Manifest::parse_named(media_type, Bytes::from(bytes), expected.clone())
    }

    fn parse_named(served_as: Option<&str>, bytes: Bytes, digest: Digest) -> Result<Manifest, Error> {
        let invalid = |reason: String| Error::InvalidManifest { digest: digest.clone(), reason };
        if bytes.len() as u64 > MAX_MANIFEST_BYTES {
            return Err(Error::TooLarge { what: format!("manifest {digest}"), limit: MAX_MANIFEST_BYTES });
        }
        // Fields that are not read would be skipped without a look at how they are encoded, and others read them.
        let text = std::str::from_utf8(&bytes).map_err(|error| invalid(format!("it is not UTF-8: {error}")))?;
        check_depth(&bytes).map_err(|reason| invalid(reason.to_owned()))?;
        check_keys(&bytes).map_err(&invalid)?;
        let shape: Shape = serde_json::from_str(text).map_err(|error| invalid(printable(&error)))?;
        let (media_type, is_index) = shape.decide(served_as).map_err(&invalid)?;
        let kind = if is_index {
            let index: ImageIndex = serde_json::from_str(text).map_err(|error| invalid(printable(&error)))?;
            if index.manifests.len() > MAX_INDEX_ENTRIES {
                return Err(Error::TooLarge {
                    what: format!("number of entries of index {digest}"),
                    limit: MAX_INDEX_ENTRIES as u64,
                });
            }
            ManifestKind::Index(index)
        } else {
            ManifestKind::Image(serde_json::from_str(text).map_err(|error| invalid(printable(&error)))?)
        };
        Ok(Manifest(Arc::new(Inner { bytes, digest, media_type, kind })))
    }

    /// Serialises an image manifest. The bytes depend on nothing but the fields.
    ///
    /// # Errors
    /// As [`Manifest::parse`]: what a reader would refuse is not written.
    pub fn image(image: &ImageManifest) -> Result<Manifest, Error> {
        Manifest::serialised(image)
    }

    /// Serialises an image index.
    ///
    /// # Errors
    /// As [`Manifest::parse`].
    pub fn index(index: &ImageIndex) -> Result<Manifest, Error> {
        Manifest::serialised(index)
    }

    fn serialised<T: Serialize>(document: &T) -> Result<Manifest, Error> {
        let bytes = serde_json::to_vec(document)
            .expect("because the document is made of strings, numbers and maps with string keys");
        Manifest::parse(None, bytes)
    }

    /// The digest of [`Manifest::bytes`].
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.0.digest
    }

    /// One of the four media types that are read; never with parameters.
    #[must_use]
    pub fn media_type(&self) -> &str {
        &self.0.media_type
    }

    /// The document exactly as stored.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The document exactly as stored, shared instead of copied.
    #[must_use]
    pub fn shared_bytes(&self) -> Bytes {
        self.0.bytes.clone()
    }

    /// The parsed document.
    #[must_use]
    pub fn kind(&self) -> &ManifestKind {
        &self.0.kind
    }

    /// The image, if it is one.
    #[must_use]
    pub fn as_image(&self) -> Option<&ImageManifest> {
        match self.kind() {
            ManifestKind::Image(image) => Some(image),
            ManifestKind::Index(_) => None,
        }
    }

    /// The index, if it is one.
    #[must_use]
    pub fn as_index(&self) -> Option<&ImageIndex> {
        match self.kind() {
            ManifestKind::Index(index) => Some(index),
            ManifestKind::Image(_) => None,
        }
    }

    /// The annotations of the document.
    #[must_use]
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        match self.kind() {
            ManifestKind::Image(image) => &image.annotations,
            ManifestKind::Index(index) => &index.annotations,
        }
    }

    /// The artifact type, where one is stated.
    #[must_use]
    pub fn artifact_type(&self) -> Option<&str> {
        match self.kind() {
            ManifestKind::Image(image) => image.artifact_type.as_deref(),
            ManifestKind::Index(index) => index.artifact_type.as_deref(),
        }
    }

    /// The manifest that this one is about, where one is stated.
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        match self.kind() {
            ManifestKind::Image(image) => image.subject.as_ref(),
            ManifestKind::Index(index) => index.subject.as_ref(),
        }
    }

    /// Media type, digest and size, without notes.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type(), self.digest().clone(), self.bytes().len() as u64)
    }
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifest").field("digest", self.digest()).field("kind", self.kind()).finish()
    }
}

/// Which of the telling fields are present.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    media_type: Option<String>,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    manifests: Option<serde::de::IgnoredAny>,
    fs_layers: Option<serde::de::IgnoredAny>,
    /// Of the withdrawn artifact manifest of OCI 1.1 release candidates.
    blobs: Option<serde::de::IgnoredAny>,
}

impl Shape {
    /// The media type and whether it is an index.
    fn decide(&self, served_as: Option<&str>) -> Result<(String, bool), String> {
        if self.fs_layers.is_some() {
            return Err(
                "it is a Docker schema 1 manifest, which is not read; push the image again with a current tool".into(),
            );
        }
        let image_fields = self.config.is_some() || self.layers.is_some();
        if self.manifests.is_some() && image_fields {
            return Err("it has fields of an image (`config`, `layers`) and of an index (`manifests`) at once".into());
        }
        if self.blobs.is_some() {
            return Err("it is a withdrawn kind of artifact manifest (`blobs`), which is not read".into());
        }
        let served_as = served_as.map(|text| text.split(';').next().unwrap_or_default().trim());
        let media_type = match (self.media_type.as_deref(), served_as) {
            (Some(own), Some(served)) if !own.eq_ignore_ascii_case(served) => {
                return Err(format!(
                    "it calls itself `{}` but was served as `{}`",
                    crate::error::shown(own),
                    crate::error::shown(served)
                ));
            }
            (Some(own), _) => own.to_ascii_lowercase(),
            (None, Some(served)) => served.to_ascii_lowercase(),
            (None, None) if self.manifests.is_some() => media_type::IMAGE_INDEX.to_owned(),
            (None, None) => media_type::IMAGE_MANIFEST.to_owned(),
        };
        let is_index = match media_type.as_str() {
            media_type::IMAGE_INDEX | media_type::DOCKER_MANIFEST_LIST => true,
            media_type::IMAGE_MANIFEST | media_type::DOCKER_MANIFEST => false,
            other => return Err(format!("its media type `{}` is not read", crate::error::shown(other))),
        };
        if is_index && image_fields {
            return Err("it is served as an index but has fields of an image (`config`, `layers`)".into());
        }
        if !is_index && self.manifests.is_some() {
            return Err("it is served as an image but has the field `manifests` of an index".into());
        }
        Ok((media_type, is_index))
    }
}

/// Go's JSON reader matches keys regardless of case, so `Manifests` would be a second meaning of the document.
fn check_keys(bytes: &[u8]) -> Result<(), String> {
    const KNOWN: [&str; 9] = [
        "schemaVersion",
        "mediaType",
        "artifactType",
        "config",
        "layers",
        "manifests",
        "subject",
        "annotations",
        "fsLayers",
    ];
    let keys: BTreeMap<String, serde::de::IgnoredAny> =
        serde_json::from_slice(bytes).map_err(|error| printable(&error))?;
    match keys.keys().find(|key| KNOWN.iter().any(|known| known.eq_ignore_ascii_case(key) && known != key)) {
        Some(key) => Err(format!("its key `{key}` differs from a known one only in case")),
        None => Ok(()),
    }
}

/// A serde message quotes the document, which the peer wrote.
fn printable(error: &serde_json::Error) -> String {
    crate::error::shown(&error.to_string())
}

/// Refuses documents nested deeper than [`MAX_JSON_DEPTH`] before a parser recurses into them.
fn check_depth(bytes: &[u8]) -> Result<(), &'static str> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_JSON_DEPTH {
                    return Err("it is nested more than 64 levels deep");
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
