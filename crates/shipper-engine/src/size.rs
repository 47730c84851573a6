//! `size diff`: by what two images differ in size: layers with the instructions that made them, and files.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use shipper_oci::{
    Descriptor, ImageIndex, LayerFile, LayerFiles, Manifest, ManifestKind, Platform, Repository, Selector,
};

use crate::images::{Place, source};
use crate::{Error, Options};

/// What is compared.
#[derive(Debug, Clone)]
pub struct SizeOptions {
    /// The platform whose image is taken of an index; that of this machine where it is absent, or the only one.
    pub platform: Option<Platform>,
    /// How many files are named, those first whose size changed most.
    pub files: usize,
}

/// An image by its size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SizedImage {
    /// As it was asked for.
    pub reference: String,
    /// Digest of its manifest.
    pub digest: String,
    /// Bytes of its layers, compressed.
    pub compressed: u64,
    /// Bytes of the files that a container sees.
    pub unpacked: u64,
    /// How many files that are.
    pub files: usize,
}

/// What became of a layer or a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SizeChange {
    /// It is in the second image only.
    Added,
    /// It is in the first image only.
    Removed,
    /// It is in both, and differs.
    Changed,
    /// It is in both.
    Same,
}

/// A layer in one image or in both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SizedLayer {
    /// What became of it.
    pub change: SizeChange,
    /// The instruction that made it, as the image's history has it; empty where it has none.
    pub instruction: String,
    /// Bytes in the first image, compressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Bytes in the second image, compressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SizedFile {
    /// What became of it.
    pub change: SizeChange,
    /// Its path.
    pub path: String,
    /// Bytes in the first image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Bytes in the second image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

/// The difference of two images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SizeDiff {
    /// The first image.
    pub before: SizedImage,
    /// The second image.
    pub after: SizedImage,
    /// Layers, in the order of the second image; those of the first one alone stand where they were.
    pub layers: Vec<SizedLayer>,
    /// The files whose sizes differ most, then by path.
    pub files: Vec<SizedFile>,
    /// How many files were added, removed and changed in all.
    pub added: usize,
    /// Files that are gone.
    pub removed: usize,
    /// Files that differ.
    pub changed: usize,
}

impl SizeDiff {
    /// By how many percent the compressed size grew, rounded down; 0 where it shrank.
    #[must_use]
    pub fn growth(&self) -> u64 {
        let (before, after) = (self.before.compressed, self.after.compressed);
        (after.saturating_sub(before) * 100).checked_div(before).unwrap_or(if after > 0 { u64::MAX } else { 0 })
    }
}

/// Reads both images whole and compares them; a layer that both have is read once.
///
/// # Errors
/// As [`inspect`](crate::inspect); [`Error::Platform`] where an index has no image for the platform.
pub async fn size_diff(options: &Options, before: &str, after: &str, wanted: &SizeOptions) -> Result<SizeDiff, Error> {
    let before = Image::open(options, before, wanted.platform.as_ref()).await?;
    let after = Image::open(options, after, wanted.platform.as_ref()).await?;
    let mut read = BTreeMap::new();
    let files = (before.files(&mut read).await?, after.files(&mut read).await?);
    let mut changed = differing(&files.0, &files.1);
    let count = |change| changed.iter().filter(|file| file.change == change).count();
    let (added, removed, differ) = (count(SizeChange::Added), count(SizeChange::Removed), count(SizeChange::Changed));
    changed.sort_by(|a, b| b.weight().cmp(&a.weight()).then_with(|| a.path.cmp(&b.path)));
    changed.truncate(wanted.files);
    Ok(SizeDiff {
        layers: layers(&before.layers, &after.layers),
        before: before.sized(&files.0),
        after: after.sized(&files.1),
        files: changed,
        added,
        removed,
        changed: differ,
    })
}

impl SizedFile {
    fn weight(&self) -> u64 {
        self.before.unwrap_or_default().abs_diff(self.after.unwrap_or_default())
    }
}

type Files = BTreeMap<String, LayerFile>;

fn differing(before: &Files, after: &Files) -> Vec<SizedFile> {
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let compared = paths.into_iter().filter_map(|path| {
        let (old, new) = (before.get(path), after.get(path));
        let change = match (old, new) {
            (Some(old), Some(new)) if old == new => return None,
            (Some(_), Some(_)) => SizeChange::Changed,
            (None, _) => SizeChange::Added,
            (_, None) => SizeChange::Removed,
        };
        let size = |file: Option<&LayerFile>| file.map(|file| file.size);
        Some(SizedFile { change, path: path.clone(), before: size(old), after: size(new) })
    });
    compared.collect()
}

struct Layer {
    descriptor: Descriptor,
    instruction: String,
}

/// An image, and what its repository is a view of.
struct Image {
    reference: String,
    place: Place,
    manifest: Manifest,
    layers: Vec<Layer>,
}

impl Image {
    async fn open(options: &Options, text: &str, platform: Option<&Platform>) -> Result<Self, Error> {
        let place = source(options, text).await?;
        let failed = |source| Error::Store { action: format!("read {text}"), source };
        let absent = || Error::NoImage { reference: text.to_owned() };
        let found = place.repository.manifest(&place.selector).await.map_err(failed)?.ok_or_else(absent)?;
        let manifest = match found.kind() {
            ManifestKind::Image(_) => found,
            ManifestKind::Index(index) => {
                let chosen = chosen(index, platform).ok_or_else(|| Error::Platform {
                    reference: text.to_owned(),
                    platform: platform.map_or_else(|| Platform::host().to_string(), ToString::to_string),
                })?;
                let selector = Selector::Digest(chosen.digest.clone());
                place.repository.manifest(&selector).await.map_err(failed)?.ok_or_else(absent)?
            }
        };
        let image = manifest.as_image().ok_or_else(absent)?;
        let config = place.repository.blob(&image.config).await.map_err(failed)?;
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap_or_default();
        // Instructions without a layer say so (OCI image specification, "OCI Image Configuration").
        let history = config["history"].as_array().into_iter().flatten();
        let mut made = history.filter(|step| step["empty_layer"] != true).map(|step| {
            step["created_by"].as_str().or_else(|| step["comment"].as_str()).unwrap_or_default().to_owned()
        });
        let layer = |descriptor: &Descriptor| Layer {
            descriptor: descriptor.clone(),
            instruction: made.next().unwrap_or_default(),
        };
        let layers = image.layers.iter().map(layer).collect();
        Ok(Self { reference: text.to_owned(), place, manifest, layers })
    }

    /// The files that a container sees. `read` has the layers that were read already.
    async fn files(&self, read: &mut BTreeMap<String, LayerFiles>) -> Result<Files, Error> {
        let mut files = Files::new();
        for layer in &self.layers {
            let digest = layer.descriptor.digest.to_string();
            if !read.contains_key(&digest) {
                let repository: &Repository = &self.place.repository;
                let failed = |source| Error::Store { action: format!("read {}", self.reference), source };
                let found = repository.layer_files(&layer.descriptor).await.map_err(failed)?;
                read.insert(digest.clone(), found);
            }
            read[&digest].apply(&mut files);
        }
        Ok(files)
    }

    fn sized(&self, files: &Files) -> SizedImage {
        SizedImage {
            reference: self.reference.clone(),
            digest: self.manifest.digest().to_string(),
            compressed: self.layers.iter().map(|layer| layer.descriptor.size).sum(),
            unpacked: files.values().map(|file| file.size).sum(),
            files: files.len(),
        }
    }
}

/// The image of an index for a platform; where none is asked for, that of this machine, else the only one.
fn chosen<'a>(index: &'a ImageIndex, platform: Option<&Platform>) -> Option<&'a Descriptor> {
    if let Some(platform) = platform {
        return index.image_for(platform);
    }
    let mut images = index.images();
    let only = images.next().filter(|_| images.next().is_none());
    index.image_for(&Platform::host()).or(only)
}

/// Layers of both images side by side: equal ones, then those of one instruction, in their order.
fn layers(before: &[Layer], after: &[Layer]) -> Vec<SizedLayer> {
    let is_pair = |old: &Layer, new: &Layer| {
        old.descriptor.digest == new.descriptor.digest
            || (!old.instruction.is_empty() && old.instruction == new.instruction)
    };
    let mut rest = before.iter().peekable();
    let mut found = Vec::new();
    let removed = |old: &Layer| SizedLayer {
        change: SizeChange::Removed,
        instruction: old.instruction.clone(),
        before: Some(old.descriptor.size),
        after: None,
    };
    for new in after {
        let ahead = rest.clone().position(|old| is_pair(old, new));
        let Some(ahead) = ahead else {
            found.push(SizedLayer {
                change: SizeChange::Added,
                instruction: new.instruction.clone(),
                before: None,
                after: Some(new.descriptor.size),
            });
            continue;
        };
        found.extend(rest.by_ref().take(ahead).map(removed));
        let old = rest.next().expect("because it was found ahead");
        let is_same = old.descriptor.digest == new.descriptor.digest;
        found.push(SizedLayer {
            change: if is_same { SizeChange::Same } else { SizeChange::Changed },
            instruction: new.instruction.clone(),
            before: Some(old.descriptor.size),
            after: Some(new.descriptor.size),
        });
    }
    found.extend(rest.map(removed));
    found
}
