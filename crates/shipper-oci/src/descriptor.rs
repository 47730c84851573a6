//! Descriptors: what one document says about bytes stored elsewhere.
//!
//! Source: OCI image specification 1.1, "OCI Content Descriptors". Own serde types instead of a shared crate's, so that the
//! digest is validated while deserialising and serialised documents are byte for byte stable (ordered maps).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, Platform};

/// Media types of the documents and blobs that this crate reads and writes.
pub mod media_type {
    /// OCI image manifest.
    pub const IMAGE_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image index.
    pub const IMAGE_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// Docker image manifest, version 2 schema 2.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker manifest list.
    pub const DOCKER_MANIFEST_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// OCI image configuration.
    pub const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// Docker image configuration.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// Uncompressed layer.
    pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// Layer compressed with gzip.
    pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// Layer compressed with zstd.
    pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// Docker layer compressed with gzip.
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// The empty JSON object, used as configuration of artifacts.
    pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";

    /// Whether layers of this type may legally be absent from a registry (Windows base layers).
    #[must_use]
    pub fn is_non_distributable(media_type: &str) -> bool {
        media_type.starts_with("application/vnd.oci.image.layer.nondistributable.")
            || media_type.starts_with("application/vnd.docker.image.rootfs.foreign.diff.tar")
    }

    /// Whether this names a document that [`crate::Manifest`] parses.
    #[must_use]
    pub fn is_manifest(media_type: &str) -> bool {
        matches!(media_type, IMAGE_MANIFEST | IMAGE_INDEX | DOCKER_MANIFEST | DOCKER_MANIFEST_LIST)
    }
}

/// Media type, digest and size of some bytes, with optional notes about them.
///
/// ```
/// use shipper_oci::{media_type, Descriptor};
/// let descriptor = Descriptor::of(media_type::EMPTY, b"{}");
/// assert_eq!(descriptor.size, 2);
/// assert_eq!(descriptor.digest.hex(), "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the bytes are.
    pub media_type: String,
    /// Digest of the bytes.
    pub digest: Digest,
    /// Number of bytes.
    pub size: u64,
    /// Other places to find the bytes. Kept, never fetched from.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub urls: Vec<String>,
    /// Free notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub annotations: BTreeMap<String, String>,
    /// The bytes themselves in base64. Kept, never trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// In an index: the platform of the image. `os.version` and `os.features` are not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// In an index: the artifact type of the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    /// A descriptor without notes.
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type: media_type.into(),
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            data: None,
            platform: None,
            artifact_type: None,
        }
    }

    /// The descriptor of `bytes`, with their SHA-256 digest.
    #[must_use]
    pub fn of(media_type: &str, bytes: &[u8]) -> Descriptor {
        Descriptor::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// The same with `platform` set.
    #[must_use]
    pub fn with_platform(mut self, platform: Platform) -> Descriptor {
        self.platform = Some(platform);
        self
    }
}

/// Some writers (Go programs) print `null` for an empty list or map.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_digest_fails_while_deserialising() {
        let text = r#"{"mediaType":"x/y","digest":"sha256:../../../../admin/secret?x=","size":1}"#;
        let error = serde_json::from_str::<Descriptor>(text).unwrap_err();
        assert!(error.to_string().contains("digest"), "{error}");
        assert!(serde_json::from_str::<Descriptor>(&text.replace("\"size\":1", "\"size\":-1")).is_err());
    }

    #[test]
    fn empty_notes_are_left_out_and_null_is_empty() {
        let mut descriptor = Descriptor::of("x/y", b"z");
        let text = serde_json::to_string(&descriptor).unwrap();
        assert_eq!(text, format!(r#"{{"mediaType":"x/y","digest":"{}","size":1}}"#, descriptor.digest));
        let with_null = text.replace("\"size\":1", "\"size\":1,\"annotations\":null,\"urls\":null,\"platform\":null");
        assert_eq!(serde_json::from_str::<Descriptor>(&with_null).unwrap(), descriptor);
        descriptor.annotations.insert("k".into(), "v".into());
        descriptor = descriptor.with_platform("linux/arm64/v8".parse().unwrap());
        let text = serde_json::to_string(&descriptor).unwrap();
        assert_eq!(serde_json::from_str::<Descriptor>(&text).unwrap(), descriptor);
    }
}
