//! Images made by hand, for the tests of this crate.

use shipper_oci::{BlobSource, Descriptor, ImageIndex, ImageManifest, Manifest, Repository, media_type};

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
