//! The image below an image: its manifest's layers and its configuration, checked against each other.

use serde_json::{Map, Value};

use crate::{Descriptor, Error, Manifest, Platform, media_type};

/// An image to build on.
#[derive(Debug, Clone, PartialEq)]
pub struct BaseImage {
    layers: Vec<Descriptor>,
    config: Map<String, Value>,
    platform: Platform,
}

impl BaseImage {
    /// The image of `manifest`, whose configuration is `config`. Layers of Docker manifests get the OCI media type of the
    /// same bytes.
    ///
    /// # Errors
    /// [`Error::InvalidBase`] for an index or an artifact, and when the configuration is not a JSON object, has no
    /// platform, or lists another number of layers than the manifest; [`Error::DigestMismatch`] when `config` is not what
    /// the manifest names.
    pub fn new(manifest: &Manifest, config: &[u8]) -> Result<BaseImage, Error> {
        let image = manifest.as_image().ok_or_else(|| invalid("it is an index; one of its images has to be chosen"))?;
        if !matches!(image.config.media_type.as_str(), media_type::IMAGE_CONFIG | media_type::DOCKER_CONFIG) {
            return Err(invalid("it is an artifact, not an image"));
        }
        if !image.config.digest.matches(config) {
            return Err(Error::DigestMismatch {
                what: "configuration of the base image".to_owned(),
                expected: image.config.digest.clone(),
                found: crate::Digest::of(config),
            });
        }
        let Ok(Value::Object(config)) = serde_json::from_slice(config) else {
            return Err(invalid("its configuration is not a JSON object"));
        };
        let text = |key: &str| config.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let (Some(os), Some(architecture)) = (text("os"), text("architecture")) else {
            return Err(invalid("its configuration names no platform"));
        };
        let platform = Platform {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: text("variant").map(str::to_owned),
        };
        let layers: Vec<Descriptor> = image.layers.iter().cloned().map(as_oci).collect();
        let base = BaseImage { layers, config, platform };
        if base.diff_ids()?.len() != base.layers.len() {
            return Err(invalid("its configuration and its manifest list different numbers of layers"));
        }
        Ok(base)
    }

    /// The layers, lowest first.
    #[must_use]
    pub fn layers(&self) -> &[Descriptor] {
        &self.layers
    }

    /// The platform in the configuration.
    #[must_use]
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// The user that the configuration names, if it names one.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        let user = self.config.get("config")?.get("User")?.as_str()?;
        (!user.is_empty()).then_some(user)
    }

    pub(super) fn config(&self) -> &Map<String, Value> {
        &self.config
    }

    /// Digests of the uncompressed layers, lowest first.
    pub(super) fn diff_ids(&self) -> Result<Vec<Value>, Error> {
        let rootfs = self.config.get("rootfs");
        match rootfs.and_then(|rootfs| rootfs.get("diff_ids")) {
            Some(Value::Array(ids)) => Ok(ids.clone()),
            // Go programs write `null` for an empty list.
            Some(Value::Null) | None if self.layers.is_empty() => Ok(Vec::new()),
            _ => Err(invalid("its configuration lists no layers")),
        }
    }
}

pub(super) fn invalid(reason: &str) -> Error {
    Error::InvalidBase { reason: reason.to_owned() }
}

/// An OCI manifest should not mix in Docker's media types; the bytes are the same.
fn as_oci(mut layer: Descriptor) -> Descriptor {
    let oci = match layer.media_type.as_str() {
        media_type::DOCKER_LAYER_GZIP => media_type::LAYER_GZIP,
        "application/vnd.docker.image.rootfs.diff.tar" => media_type::LAYER,
        "application/vnd.docker.image.rootfs.diff.tar.zstd" => media_type::LAYER_ZSTD,
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => {
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
        }
        _ => return layer,
    };
    layer.media_type = oci.to_owned();
    layer
}
