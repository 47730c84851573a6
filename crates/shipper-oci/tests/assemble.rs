//! Assembled images, judged by skopeo and umoci.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests stop where something is wrong")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use shipper_oci::{
    BaseImage, BlobSource, Compression, Image, ImageBuilder, Layer, LayerBuilder, LayerOptions, LayerSource, Store,
    index,
};
use shipper_testkit::{Skopeo, Umoci, need};

fn layer(dir: &Path, compression: Compression, add: impl FnOnce(&mut LayerBuilder)) -> Layer {
    let mut layer = LayerBuilder::new("test");
    add(&mut layer);
    layer.write(&LayerOptions::new(compression, 1_700_000_000), dir).unwrap()
}

fn text(content: &str) -> LayerSource {
    LayerSource::Bytes(content.as_bytes().to_vec())
}

fn scratch(dir: &Path, compression: Compression) -> Image {
    let long = format!("/long/{}/{}", "d".repeat(150), "ü".repeat(100));
    let layer = layer(dir, compression, |layer| {
        layer.add_file("/bin/tool", text("#!/bin/sh\n"), 0o755).unwrap();
        layer.add_file("/etc/conf", text("a=1\n"), 0o644).unwrap();
        layer.add_file(&long, text("long"), 0o644).unwrap();
        layer.add_symlink("/etc/link", "../bin/tool").unwrap();
        layer.add_dir("/tmp", 0o1777).unwrap();
    });
    let image = ImageBuilder::new("linux/amd64".parse().unwrap()).layer(layer).entrypoint(["/bin/tool"]);
    image.env("A", "1").label("l", "v").annotation("a", "n").created(1_700_000_000).build().unwrap()
}

/// A second image on the first, which replaces one file.
fn on_top(dir: &Path, base: &Image) -> Image {
    let layer = layer(dir, Compression::Gzip, |layer| {
        layer.add_file("/etc/conf", text("a=2\n"), 0o644).unwrap();
    });
    let base = BaseImage::new(&base.manifest, &base.config_bytes).unwrap();
    ImageBuilder::new("linux/amd64".parse().unwrap()).base(base).layer(layer).env("B", "2").build().unwrap()
}

async fn store(dir: &Path, image: &Image, tag: &str) -> PathBuf {
    let repository = Store::layout(dir.join("images")).repository(&"app".parse().unwrap());
    for layer in &image.layers {
        repository.push_blob(&layer.descriptor, BlobSource::File(layer.path.clone())).await.unwrap();
    }
    repository.push_blob(&image.config, BlobSource::Bytes(image.config_bytes.clone().into())).await.unwrap();
    repository.put_manifest(&image.manifest, Some(&tag.parse().unwrap())).await.unwrap();
    dir.join("images/app")
}

#[tokio::test]
async fn umoci_unpacks_what_was_put_in() {
    let umoci = need!(Umoci::find());
    let dir = tempfile::tempdir().unwrap();
    let base = scratch(dir.path(), Compression::Gzip);
    store(dir.path(), &base, "base").await;
    let layout = store(dir.path(), &on_top(dir.path(), &base), "top").await;
    let root = umoci.unpack(&layout, "top", &dir.path().join("bundle"));
    let metadata = |path: &str| fs::symlink_metadata(root.join(path)).unwrap();
    assert_eq!(metadata("bin/tool").permissions().mode() & 0o7777, 0o755);
    assert_eq!(metadata("tmp").permissions().mode() & 0o7777, 0o1777);
    assert_eq!(metadata("etc").permissions().mode() & 0o7777, 0o755);
    assert_eq!(metadata("etc/conf").mtime(), 1_700_000_000);
    assert_eq!(fs::read_to_string(root.join("etc/conf")).unwrap(), "a=2\n", "the upper layer wins");
    assert_eq!(fs::read_link(root.join("etc/link")).unwrap(), Path::new("../bin/tool"));
    let long = format!("long/{}/{}", "d".repeat(150), "ü".repeat(100));
    assert_eq!(fs::read_to_string(root.join(long)).unwrap(), "long");
}

#[tokio::test]
async fn skopeo_reads_and_copies_images_and_indexes() {
    let skopeo = need!(Skopeo::find());
    let dir = tempfile::tempdir().unwrap();
    for compression in [Compression::Gzip, Compression::Zstd] {
        let base = scratch(dir.path(), compression);
        store(dir.path(), &base, "base").await;
        let top = on_top(dir.path(), &base);
        let layout = store(dir.path(), &top, "top").await;
        let reference = format!("oci:{}:top", layout.display());
        assert_eq!(skopeo.digest(&reference), top.manifest.digest().to_string());
        let seen = skopeo.inspect(&reference);
        assert_eq!(seen["Labels"]["l"], "v");
        assert_eq!(seen["Env"], serde_json::json!(["A=1", "B=2"]));
        assert_eq!(seen["Created"], "1970-01-01T00:00:00Z");
        assert_eq!(seen["Layers"].as_array().unwrap().len(), 2);
        // A copy checks every digest, those of the uncompressed layers included.
        skopeo.copy(&reference, &format!("oci:{}:copy", dir.path().join("copied").display()));

        let children = [top.descriptor(), base.descriptor()];
        let both = index(&children, &std::collections::BTreeMap::new()).unwrap();
        let repository = Store::layout(dir.path().join("images")).repository(&"app".parse().unwrap());
        repository.put_manifest(&both, Some(&"both".parse().unwrap())).await.unwrap();
        assert_eq!(skopeo.digest(&format!("oci:{}:both", layout.display())), both.digest().to_string());
    }
}
