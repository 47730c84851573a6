#![doc = include_str!("../README.md")]

mod address;
mod api;
mod archive;
pub mod atomic;
mod auth;
mod challenge;
mod check;
mod client;
mod contents;
mod copy;
mod copy_referrers;
mod credentials;
mod daemon;
mod descriptor;
mod digest;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod image;
mod index_json;
mod layer;
mod layout;
mod lock;
mod manifest;
mod name;
#[cfg(feature = "oci-client")]
mod oci_client;
mod options;
mod pace;
mod platform;
mod push;
mod quirks;
mod realm;
mod reference;
mod referrers;
mod registry;
mod reply;
mod retry;
#[cfg(test)]
mod scramble;
mod secret;
mod sent;
mod standing;
mod store;
mod tls;
mod upload;
mod verify;
mod webhook;

pub use api::{Api, ApiAnswer};
pub use archive::Archive;
pub use check::{ContentReport, Fault, check_content};
pub use contents::{LayerFile, LayerFiles};
pub use copy::{CopyReport, Copying, copy};
pub use copy_referrers::{ReferrersReport, copy_referrers};
pub use credentials::{Credential, CredentialFuture, CredentialProvider, CredentialSources, Credentials};
pub use daemon::{Engine, Extent, Loaded};
pub use descriptor::{Descriptor, media_type};
pub use digest::{Algorithm, Digest, DigestHasher};
pub use error::{Access, Error, Result, Source, without_user};
pub use image::{Artifact, BaseImage, Image, ImageBuilder, artifact, index};
pub use layer::{Compression, Layer, LayerBuilder, LayerOptions, LayerSource};
pub use manifest::{
    ImageIndex, ImageManifest, MAX_INDEX_DEPTH, MAX_INDEX_ENTRIES, MAX_MANIFEST_BYTES, Manifest, ManifestKind,
};
pub use name::{RegistryHost, RepositoryName};
pub use options::{ClientOptions, Progress, ProgressSink, Proxies, RetryPolicy, Stats, Timeouts};
pub use platform::Platform;
pub use push::{BlobOrigin, Transferred, copy_blob, push_blobs};
pub use reference::{Reference, Selector};
pub use secret::Secret;
pub use shipper_tag::{InvalidTag, Tag};
pub use standing::{PushRight, Standing};
pub use store::{BlobSource, Pushed, Repository, Store};
pub use webhook::Webhook;
