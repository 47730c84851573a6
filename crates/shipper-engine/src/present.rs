//! Layers that need not be assembled: those of the image that was shipped last, where they hold the same now.
//!
//! Invariants: a layer counts only if the inputs beside that image say that it was made in the same way of the same content,
//! the image carries the key of these inputs, a trusted key has signed it where there are such keys, and the repository says
//! in this run that it has the layer. Whatever can not be told is no failure: the layer is written. `--force`, which compares,
//! and a run that pushes nothing write them all.

use shipper_build::{FILES_LAYER, binaries_layer};
use shipper_hash::Manifest as ContextManifest;
use shipper_oci::{Digest, Layer, Repository, Selector};
use shipper_plan::{InputsDocument, Recipe};

use crate::bases::image_of;
use crate::gather::Platform;
use crate::names::{branch_tag, tag};
use crate::probe::{inputs_of, stored_key};
use crate::trust::Trust;

/// Content of fewer bytes is compressed faster than asked for.
const WORTH: u64 = 1 << 20;

/// What a layer is made of.
enum Content<'a> {
    /// Files and what lies below directories, by their paths in the context.
    Files(Vec<&'a str>),
    /// One program.
    Binary(&'a str),
}

/// Where the last image is looked for, and whose.
pub(crate) struct Last<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) trust: &'a Trust,
    /// Branches whose last image may be of use, the first first.
    pub(crate) branches: [Option<&'a str>; 2],
}

/// Layers of a platform's image that the repository has.
pub(crate) async fn layers(last: &Last<'_>, recipe: &Recipe, platform: &Platform) -> Vec<Layer> {
    let wanted = wanted(recipe, platform);
    if wanted.is_empty() {
        return Vec::new();
    }
    for branch in last.branches {
        match of_branch(last, branch, &wanted, platform).await {
            Ok(Some(layers)) => return layers,
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(error = error.chain(), "the last image tells nothing of its layers");
                return Vec::new();
            }
        }
        if last.branches[0] == last.branches[1] {
            break;
        }
    }
    Vec::new()
}

/// Layers that are worth a question, by what the history of an image calls them.
fn wanted<'a>(recipe: &'a Recipe, platform: &Platform) -> Vec<(String, Content<'a>)> {
    let Recipe::Assemble { cargo, binary, files } = recipe else { return Vec::new() };
    let mut wanted = Vec::new();
    if !files.is_empty() {
        wanted.push((FILES_LAYER.to_owned(), Content::Files(files.values().map(String::as_str).collect())));
    }
    // What is compiled has no content before it is.
    if let (None, Some(path)) = (cargo, binary.get(&platform.inputs.platform)) {
        let name = path.rsplit('/').next().unwrap_or(path);
        wanted.push((binaries_layer(&[name]), Content::Binary(path)));
    }
    wanted.retain(|(_, content)| size(platform.context.manifest(), content) >= WORTH);
    wanted
}

impl Content<'_> {
    fn has(&self, path: &[u8]) -> bool {
        let below = |source: &str| {
            source == "." || {
                let rest = path.strip_prefix(source.trim_end_matches('/').as_bytes());
                rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
            }
        };
        match self {
            Self::Files(sources) => sources.iter().any(|source| below(source)),
            Self::Binary(source) => path == source.as_bytes(),
        }
    }

    /// Whether two contexts have the same of it.
    fn is_same(&self, one: &ContextManifest, other: &ContextManifest) -> bool {
        let of = |manifest: &ContextManifest| -> Vec<_> {
            manifest.entries().iter().filter(|entry| self.has(entry.path.as_bytes())).cloned().collect()
        };
        let (one, other) = (of(one), of(other));
        // A program behind a link is not the one that the entry is about.
        one == other && (matches!(self, Self::Files(_)) || one.iter().all(|entry| entry.kind.is_file()))
    }
}

fn size(manifest: &ContextManifest, content: &Content<'_>) -> u64 {
    manifest.entries().iter().filter(|entry| content.has(entry.path.as_bytes())).map(|entry| entry.size).sum()
}

/// Whether layers of the two are made in the same way.
fn is_made_alike(one: &InputsDocument, other: &InputsDocument) -> bool {
    let way = |inputs: &InputsDocument| -> Vec<(String, String)> {
        let recipe = inputs
            .recipe
            .iter()
            .filter(|(name, _)| *name == "assembly" || *name == "binary" || name.starts_with("files."));
        let options = inputs.image_options.iter().filter(|(name, _)| *name == "image.compression");
        recipe.chain(options).map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    way(one) == way(other)
}

/// `None` where there is no such image or nothing of it is the same.
async fn of_branch(
    last: &Last<'_>,
    branch: Option<&str>,
    wanted: &[(String, Content<'_>)],
    platform: &Platform,
) -> shipper_oci::Result<Option<Vec<Layer>>> {
    let repository = last.repository;
    let Some(whole) = repository.manifest(&Selector::Tag(tag(&branch_tag(branch)))).await? else { return Ok(None) };
    let Ok(mut previous) = inputs_of(repository, &whole).await? else { return Ok(None) };
    let Some((inputs, Some(context))) = previous.platforms.remove(&platform.inputs.platform) else { return Ok(None) };
    if !is_made_alike(&inputs, &platform.inputs) {
        return Ok(None);
    }
    let same = wanted.iter().filter(|(_, content)| content.is_same(&context, platform.context.manifest()));
    let same: Vec<&str> = same.map(|(name, _)| name.as_str()).collect();
    if same.is_empty() || last.trust.objection(repository, &whole).await?.is_some() {
        return Ok(None);
    }
    let image = image_of(repository, whole.digest().as_str(), &platform.inputs.platform).await?;
    if stored_key(repository, &image).await? != Some(inputs.key().to_string()) {
        return Ok(None);
    }
    let Some(manifest) = image.as_image() else { return Ok(None) };
    let config: serde_json::Value =
        serde_json::from_slice(&repository.blob(&manifest.config).await?).unwrap_or_default();
    let made = |entry: &&serde_json::Value| entry["empty_layer"] != true;
    let history: Vec<&serde_json::Value> = config["history"].as_array().into_iter().flatten().filter(made).collect();
    let diff_ids: Vec<Digest> = config["rootfs"]["diff_ids"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|id| id.as_str()?.parse().ok())
        .collect();
    if history.len() != manifest.layers.len() || diff_ids.len() != manifest.layers.len() {
        return Ok(None);
    }
    let mut found = Vec::new();
    for name in same {
        // A base may have one of the same name; the service's own lies above it.
        let Some(at) = history.iter().rposition(|entry| entry["created_by"] == name) else { continue };
        let (descriptor, diff_id) = (manifest.layers[at].clone(), diff_ids[at].clone());
        // Files can be damaged under their names; a registry has what it says that it has.
        let is_there = match repository.store().is_remote() {
            true => repository.has_blob(&descriptor.digest).await?,
            false => repository.check_blob(&descriptor).await.is_ok(),
        };
        if is_there {
            found.push(Layer { descriptor, diff_id, path: std::path::PathBuf::new(), created_by: name.to_owned() });
        }
    }
    Ok(Some(found))
}
