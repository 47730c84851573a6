//! Two images as OCI layouts that every client takes: ten layers of 50 MB of gzip, nine of them shared.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use shipper_testkit::registry::digest_of;

use crate::process::{output, say};

const LAYERS: usize = 10;
/// Bytes of a layer before compression, which gains nothing on them.
const LAYER_BYTES: usize = 50_000_000;
const MARKER: &str = "images 1";

/// Makes `one` and `two` below `root`, once.
pub(super) fn make(root: &Path) -> anyhow::Result<()> {
    let marker = root.join("complete");
    if std::fs::read_to_string(&marker).is_ok_and(|made| made == MARKER) {
        return Ok(());
    }
    say(&format!("making two images in {}", root.display()));
    let _ = std::fs::remove_dir_all(root);
    let layers: Vec<Layer> = (0..=LAYERS).map(|number| layer(root, number)).collect::<anyhow::Result<_>>()?;
    layout(&root.join("one"), &layers[..LAYERS])?;
    layout(&root.join("two"), &layers[1..])?;
    std::fs::write(&marker, MARKER).context("cannot mark the images as complete")
}

struct Layer {
    file: PathBuf,
    digest: String,
    diff_id: String,
    size: usize,
}

fn layer(root: &Path, number: usize) -> anyhow::Result<Layer> {
    std::fs::create_dir_all(root).with_context(|| format!("cannot create {}", root.display()))?;
    let plain = root.join(format!("layer-{number}"));
    let bytes = noise(number as u64 + 1);
    let diff_id = digest_of(&bytes);
    std::fs::write(&plain, bytes).with_context(|| format!("cannot write {}", plain.display()))?;
    output(Command::new("gzip").args(["-n", "-1", "-f"]).arg(&plain))?;
    let file = plain.with_extension("gz");
    let compressed = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Layer { digest: digest_of(&compressed), size: compressed.len(), diff_id, file })
}

/// Bytes without any pattern, the same on every machine (xorshift64*, Vigna 2016).
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let words = std::iter::repeat_with(|| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()
    });
    words.take(LAYER_BYTES / 8).flatten().collect()
}

fn layout(root: &Path, layers: &[Layer]) -> anyhow::Result<()> {
    let blobs = root.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).with_context(|| format!("cannot create {}", blobs.display()))?;
    let place = |digest: &str| blobs.join(digest.trim_start_matches("sha256:"));
    let put = |bytes: &str| -> anyhow::Result<(String, usize)> {
        let digest = digest_of(bytes.as_bytes());
        std::fs::write(place(&digest), bytes).context("cannot write a blob")?;
        Ok((digest, bytes.len()))
    };
    let mut listed = Vec::new();
    for layer in layers {
        std::fs::hard_link(&layer.file, place(&layer.digest)).context("cannot link a blob")?;
        listed.push(descriptor("layer.v1.tar+gzip", &layer.digest, layer.size, ""));
    }
    let diff_ids: Vec<String> = layers.iter().map(|layer| format!("\"{}\"", layer.diff_id)).collect();
    let (config, size) = put(&format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diff_ids.join(",")
    ))?;
    let (manifest, length) = put(&format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]}}"#,
        descriptor("config.v1+json", &config, size, ""),
        listed.join(",")
    ))?;
    let name = r#","annotations":{"org.opencontainers.image.ref.name":"image"}"#;
    let entry = descriptor("manifest.v1+json", &manifest, length, name);
    std::fs::write(root.join("index.json"), format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#))
        .and_then(|()| std::fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#))
        .context("cannot write the layout")
}

fn descriptor(kind: &str, digest: &str, size: usize, more: &str) -> String {
    format!(r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{digest}","size":{size}{more}}}"#)
}
