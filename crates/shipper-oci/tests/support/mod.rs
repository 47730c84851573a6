//! Images made by hand, for the tests of this crate.

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeMap;
use std::time::Duration;

use shipper_oci::{
    BlobSource, ClientOptions, Credential, Credentials, Descriptor, ImageIndex, ImageManifest, Manifest, Repository,
    Store, Tag, media_type,
};

/// A configuration that skopeo and umoci accept, for one uncompressed layer.
pub(crate) fn config_for(diff_id: &str) -> String {
    format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#
    )
}

/// A tar archive with one file, so that real tools can unpack the layer.
pub(crate) fn layer_with(content: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    tar.append_data(&mut header, "file", content.as_bytes()).unwrap();
    tar.into_inner().unwrap()
}

/// An image in memory.
pub(crate) struct Sample {
    pub(crate) manifest: Manifest,
    pub(crate) blobs: Vec<(Descriptor, Vec<u8>)>,
}

impl Sample {
    /// An image of one layer with `content` in it.
    pub(crate) fn image(content: &str) -> Sample {
        let layer = layer_with(content);
        let layer_descriptor = Descriptor::of(media_type::LAYER, &layer);
        let config = config_for(layer_descriptor.digest.as_str()).into_bytes();
        let config_descriptor = Descriptor::of(media_type::IMAGE_CONFIG, &config);
        let image = ImageManifest::new(config_descriptor.clone(), vec![layer_descriptor.clone()]);
        Sample {
            manifest: Manifest::image(&image).unwrap(),
            blobs: vec![(config_descriptor, config), (layer_descriptor, layer)],
        }
    }

    pub(crate) async fn push_blobs(&self, to: &Repository) {
        for (descriptor, bytes) in &self.blobs {
            to.push_blob(descriptor, BlobSource::Bytes(bytes.clone().into())).await.unwrap();
        }
    }

    pub(crate) async fn push(&self, to: &Repository, tag: Option<&str>) {
        self.push_blobs(to).await;
        let tag = tag.map(|tag| tag.parse().unwrap());
        to.put_manifest(&self.manifest, tag.as_ref()).await.unwrap();
    }
}

/// An index over images, with made-up platforms.
pub(crate) fn index_of(images: &[&Sample]) -> Manifest {
    let platforms = ["linux/amd64", "linux/arm64", "linux/arm/v7"];
    let entries = images
        .iter()
        .zip(platforms.iter().cycle())
        .map(|(image, platform)| image.manifest.descriptor().with_platform(platform.parse().unwrap()))
        .collect();
    Manifest::index(&ImageIndex::new(entries)).unwrap()
}

/// Options for tests: no pauses worth noticing.
pub(crate) fn quick() -> ClientOptions {
    let mut options = ClientOptions::default();
    options.retry.base = Duration::from_millis(1);
    options.retry.cap = Duration::from_millis(5);
    options.retry.retry_after_cap = Duration::from_millis(20);
    options
}

/// Options with one user's password for one host.
pub(crate) fn with_password(host: &str, username: &str, password: &str) -> ClientOptions {
    let mut options = quick();
    let credential = Credential::Basic { username: username.to_owned(), password: password.into() };
    options.credentials = Credentials::fixed(BTreeMap::from([(host.parse().unwrap(), credential)]));
    options
}

/// The repository `shop/api` of a registry.
pub(crate) fn repository(host: &str, options: ClientOptions) -> Repository {
    Store::parse(host, options).unwrap().repository(&"shop/api".parse().unwrap())
}

pub(crate) fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}
