//! Statements that lie in an index beside its images, as BuildKit and `ship` put them there: what they are, and whether each is
//! about an image of that index.
//!
//! Invariant: what the index and the manifest of statements say about a statement is compared with the statement itself; nothing
//! of what is stated is judged.

use std::collections::BTreeMap;

use shipper_attest::Statement;
use shipper_oci::{Descriptor, Digest, Manifest, Repository};

use crate::attach;
use crate::inputs::Problem;

/// Longest statement that is read, in bytes: what [`Repository::blob`] gives. Its digest is checked whatever its length.
const MOST: u64 = 4 << 20;

/// A statement about an image of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageStatement {
    /// Digest of the image that it is about.
    pub image: String,
    /// What it states: the type of its predicate.
    pub predicate_type: String,
    /// Whether it names the image itself. Otherwise only the index says so: where it is longer than 4 MiB and was not read, and
    /// where it names nothing, as BuildKit writes it for images that were built without a name.
    pub names_image: bool,
}

/// The statements that `root` holds, in its order, and what is wrong with them. `images` are the manifests below `root`.
pub(crate) async fn of_index(
    repository: &Repository,
    root: &Manifest,
    images: &[Manifest],
) -> (Vec<ImageStatement>, Vec<(String, Problem)>) {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    let known: BTreeMap<&Digest, &Manifest> = images.iter().map(|image| (image.digest(), image)).collect();
    let entries = root.as_index().map(|index| index.manifests.as_slice()).unwrap_or_default();
    for (entry, image) in entries.iter().filter_map(|entry| Some((entry, attach::about(entry)?))) {
        let part = format!("statements {}", entry.digest);
        let is_of_index = entries.iter().any(|other| other.digest.as_str() == image && attach::about(other).is_none());
        if !is_of_index {
            let problem = format!("they are about `{image}`, which is no image of the index");
            problems.push((part, Problem::Wrong(problem)));
            continue;
        }
        // One that could not be read was told already.
        let Some(manifest) = known.get(&entry.digest).and_then(|manifest| manifest.as_image()) else { continue };
        for (layer, predicate_type) in manifest.layers.iter().filter_map(|it| Some((it, attach::stated_in(it)?))) {
            match compare(repository, layer, image, predicate_type).await {
                Ok(names_image) => found.push(ImageStatement {
                    image: image.to_owned(),
                    predicate_type: predicate_type.to_owned(),
                    names_image,
                }),
                Err(problem) => problems.push((format!("statement {}", layer.digest), problem)),
            }
        }
    }
    (found, problems)
}

/// Whether a statement names `image`. It may name nothing, but no other image, and must state what its layer says.
async fn compare(
    repository: &Repository,
    layer: &Descriptor,
    image: &str,
    predicate_type: &str,
) -> Result<bool, Problem> {
    if layer.size > MOST {
        return Ok(false);
    }
    let bytes = repository.blob(layer).await.map_err(Problem::Unread)?;
    let statement = Statement::parse(&bytes).map_err(|error| Problem::Wrong(format!("cannot {error}")))?;
    if statement.predicate_type != predicate_type {
        let stated = statement.predicate_type;
        return Err(Problem::Wrong(format!("it states `{stated}`, and its layer says `{predicate_type}`")));
    }
    if statement.subjects.is_empty() {
        return Ok(false);
    }
    if !statement.subjects.iter().any(|subject| subject == image) {
        return Err(Problem::Wrong(format!("it is about {}", statement.subjects.join(", "))));
    }
    Ok(true)
}
