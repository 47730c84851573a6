#![doc = include_str!("../README.md")]

pub mod atomic;
mod descriptor;
mod digest;
mod error;
mod image;
mod layer;
mod layout;
mod lock;
mod manifest;
mod name;
mod platform;
mod reference;
mod secret;
mod store;
mod verify;

pub use descriptor::{Descriptor, media_type};
pub use digest::{Algorithm, Digest, DigestHasher};
pub use error::{Error, Result, Source};
pub use image::{Artifact, BaseImage, Image, ImageBuilder, artifact, index};
pub use layer::{Compression, Layer, LayerBuilder, LayerOptions, LayerSource};
pub use manifest::{
    ImageIndex, ImageManifest, MAX_INDEX_DEPTH, MAX_INDEX_ENTRIES, MAX_MANIFEST_BYTES, Manifest, ManifestKind,
};
pub use name::{RegistryHost, RepositoryName, Tag};
pub use platform::Platform;
pub use reference::{Reference, Selector};
pub use secret::Secret;
pub use store::{BlobSource, Pushed, Repository, Store};
