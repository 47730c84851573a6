//! Images, indexes and artifacts as documents: pure functions of their parts, so that equal parts give equal digests.
//!
//! Invariants:
//! - object keys of a configuration are sorted, whatever order a base image had them in;
//! - the number of `diff_ids`, of layers in the manifest and of non-empty history entries is the same;
//! - what a base image says and this module does not know is kept.
//!
//! Sources: OCI image specification 1.1, "config.md", "manifest.md", "image-index.md"; the rule that a new entrypoint
//! drops the command of the base is Docker's (Dockerfile reference, `ENTRYPOINT`).

mod base;
mod config;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::{Descriptor, Error, ImageIndex, ImageManifest, Layer, Manifest, Platform, media_type};

pub use base::BaseImage;

/// Collects what an image is made of.
///
/// ```
/// use shipper_oci::{ImageBuilder, LayerBuilder, LayerOptions, LayerSource};
/// let dir = tempfile::tempdir()?;
/// let mut layer = LayerBuilder::new("hello");
/// layer.add_file("/hello", LayerSource::Bytes(b"\x7fELF..".to_vec()), 0o755)?;
/// let layer = layer.write(&LayerOptions::default(), dir.path())?;
/// let image = ImageBuilder::new("linux/amd64".parse()?).layer(layer).entrypoint(["/hello"]).user("65532:65532").build()?;
/// assert_eq!(image.manifest.as_image().map(|image| image.layers.len()), Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ImageBuilder {
    platform: Platform,
    base: Option<BaseImage>,
    layers: Vec<Layer>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: BTreeMap<String, String>,
    user: Option<String>,
    workdir: Option<String>,
    expose: Vec<String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    created: u64,
}

impl ImageBuilder {
    /// An image without layers for `platform`, created at the Unix epoch.
    #[must_use]
    pub fn new(platform: Platform) -> ImageBuilder {
        ImageBuilder {
            platform,
            base: None,
            layers: Vec::new(),
            entrypoint: None,
            cmd: None,
            env: BTreeMap::new(),
            user: None,
            workdir: None,
            expose: Vec::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            created: 0,
        }
    }

    /// The image below; without one the image is built from scratch.
    #[must_use]
    pub fn base(mut self, base: BaseImage) -> ImageBuilder {
        self.base = Some(base);
        self
    }

    /// Puts a layer on top.
    #[must_use]
    pub fn layer(mut self, layer: Layer) -> ImageBuilder {
        self.layers.push(layer);
        self
    }

    /// What a container runs; drops the command of the base.
    #[must_use]
    pub fn entrypoint<S: Into<String>>(mut self, argv: impl IntoIterator<Item = S>) -> ImageBuilder {
        self.entrypoint = Some(argv.into_iter().map(Into::into).collect());
        self
    }

    /// Arguments that follow the entrypoint unless a container is given others.
    #[must_use]
    pub fn cmd<S: Into<String>>(mut self, argv: impl IntoIterator<Item = S>) -> ImageBuilder {
        self.cmd = Some(argv.into_iter().map(Into::into).collect());
        self
    }

    /// Sets an environment variable; replaces the value that the base has for it.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> ImageBuilder {
        self.env.insert(name.into(), value.into());
        self
    }

    /// User and group that a container starts as, `user[:group]`; else the base's.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> ImageBuilder {
        self.user = Some(user.into());
        self
    }

    /// The directory that a container starts in; else the base's.
    #[must_use]
    pub fn workdir(mut self, path: impl Into<String>) -> ImageBuilder {
        self.workdir = Some(path.into());
        self
    }

    /// A TCP port that the program listens on, in addition to those of the base.
    #[must_use]
    pub fn expose(mut self, port: u16) -> ImageBuilder {
        self.expose.push(format!("{port}/tcp"));
        self
    }

    /// A label of the image configuration; replaces the base's.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> ImageBuilder {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// An annotation of the manifest. Annotations of the base are not taken over.
    #[must_use]
    pub fn annotation(mut self, name: impl Into<String>, value: impl Into<String>) -> ImageBuilder {
        self.annotations.insert(name.into(), value.into());
        self
    }

    /// The time of creation, in seconds since the Unix epoch. It is part of the digest.
    #[must_use]
    pub fn created(mut self, seconds: u64) -> ImageBuilder {
        self.created = seconds;
        self
    }

    /// Builds the documents.
    ///
    /// # Errors
    /// [`Error::BasePlatform`] when the base is for another platform; [`Error::InvalidBase`] when its configuration or
    /// manifest is not one of an image; [`Error::Options`] when the time of creation is after the year 9999 or a
    /// variable's name is empty or contains `=`.
    pub fn build(self) -> Result<Image, Error> {
        let config_bytes = config::render(&self)?;
        let config = Descriptor::of(media_type::IMAGE_CONFIG, &config_bytes);
        let base_layers = self.base.as_ref().map_or_else(Vec::new, |base| base.layers().to_vec());
        let layers = base_layers.iter().cloned().chain(self.layers.iter().map(|layer| layer.descriptor.clone()));
        let mut manifest = ImageManifest::new(config.clone(), layers.collect());
        manifest.annotations = self.annotations;
        Ok(Image {
            manifest: Manifest::image(&manifest)?,
            config,
            config_bytes,
            layers: self.layers,
            base_layers,
            platform: self.platform,
        })
    }
}

/// An image that is built and not yet stored anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The manifest.
    pub manifest: Manifest,
    /// Descriptor of the configuration.
    pub config: Descriptor,
    /// The configuration, JSON.
    pub config_bytes: Vec<u8>,
    /// The new layers, lowest first: to be pushed from their files.
    pub layers: Vec<Layer>,
    /// The layers of the base, lowest first: to be copied or mounted from where the base is.
    pub base_layers: Vec<Descriptor>,
    /// The platform of the image.
    pub platform: Platform,
}

impl Image {
    /// Descriptor of the manifest as an entry of an index: with its platform.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        self.manifest.descriptor().with_platform(self.platform.clone())
    }
}

/// An index of `children`, sorted by platform (operating system, architecture, variant; those without one last) and then
/// by digest, whatever order they come in.
///
/// # Errors
/// As [`Manifest::parse`], for an index with too many entries.
pub fn index(children: &[Descriptor], annotations: &BTreeMap<String, String>) -> Result<Manifest, Error> {
    let mut children = children.to_vec();
    children.sort_by_cached_key(|child| {
        let platform = child.platform.as_ref().map(Platform::to_string);
        (platform.is_none(), platform, child.digest.clone())
    });
    let mut index = ImageIndex::new(children);
    index.annotations.clone_from(annotations);
    Manifest::index(&index)
}

/// An artifact that is built and not yet stored anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The manifest.
    pub manifest: Manifest,
    /// Everything that must be stored before the manifest, the empty configuration first; no digest twice.
    pub blobs: Vec<(Descriptor, Vec<u8>)>,
}

/// An artifact of `artifact_type` with these layers (media type and bytes), about `subject` if there is one
/// (image-spec 1.1, "manifest.md", "Guidelines for Artifact Usage").
///
/// Without layers the empty configuration stands in as the only layer, as the specification asks.
///
/// # Errors
/// As [`Manifest::parse`].
pub fn artifact(
    artifact_type: &str,
    layers: &[(&str, &[u8])],
    subject: Option<Descriptor>,
    annotations: &BTreeMap<String, String>,
) -> Result<Artifact, Error> {
    const EMPTY: &[u8] = b"{}";
    let config = Descriptor::of(media_type::EMPTY, EMPTY);
    let mut blobs: Vec<(Descriptor, Vec<u8>)> = vec![(config.clone(), EMPTY.to_vec())];
    let mut descriptors = Vec::new();
    for (layer_type, bytes) in layers {
        let descriptor = Descriptor::of(layer_type, bytes);
        if blobs.iter().all(|(known, _)| known.digest != descriptor.digest) {
            blobs.push((descriptor.clone(), bytes.to_vec()));
        }
        descriptors.push(descriptor);
    }
    if descriptors.is_empty() {
        descriptors.push(config.clone());
    }
    let mut manifest = ImageManifest::new(config, descriptors);
    manifest.artifact_type = Some(artifact_type.to_owned());
    // Only what identifies the subject: notes and platform of the descriptor it came from would be copied by hand.
    manifest.subject = subject.map(|subject| Descriptor::new(subject.media_type, subject.digest, subject.size));
    manifest.annotations.clone_from(annotations);
    Ok(Artifact { manifest: Manifest::image(&manifest)?, blobs })
}
