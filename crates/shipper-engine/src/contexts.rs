//! The named contexts of a Dockerfile that are directories: hashed as the context itself is, and given to the builder as
//! staged directories.
//!
//! Invariant: what a builder is given under a name is what is in the key under that name; a name that the target does not
//! use is neither.

use std::collections::BTreeMap;
use std::sync::Arc;

use shipper_dockerfile::Analysis;
use shipper_hash::{Context, RelPath, Selection, Tree};
use shipper_plan::{DockerfileRecipe, Service};

use crate::Error;
use crate::narrowed::ignore_file;

/// Hashes the directories that the build uses, by their names.
///
/// # Errors
/// [`Error::Context`] for a path that is none, [`Error::NoInput`] for a directory without files.
pub(crate) fn named(
    tree: &Tree,
    service: &Service,
    recipe: &DockerfileRecipe,
    analysis: &Analysis,
) -> Result<BTreeMap<String, Arc<Context>>, Error> {
    let mut contexts = BTreeMap::new();
    for (name, directory) in &recipe.contexts {
        // Another frontend may use any of them.
        let is_standard = analysis.frontend.as_ref().is_none_or(|frontend| frontend.standard);
        if is_standard && !analysis.used_contexts.contains(name) {
            continue;
        }
        contexts.insert(name.clone(), Arc::new(one(tree, service, directory)?));
    }
    Ok(contexts)
}

fn one(tree: &Tree, service: &Service, directory: &str) -> Result<Context, Error> {
    let failed = |source| Error::Context { service: service.name.clone(), source };
    let base = match directory {
        "." => None,
        directory => Some(RelPath::try_from(directory).map_err(failed)?),
    };
    // A named context has rules of its own (buildkit, frontend/dockerui/namedcontext.go).
    let rules = if directory == "." { ".dockerignore".to_owned() } else { format!("{directory}/.dockerignore") };
    let ignore = ignore_file(&service.name, [rules], |path| crate::read::of_tree(tree, path))?;
    let mut builder = tree.context(base.as_ref()).map_err(failed)?;
    builder.add(&Selection { ignore: ignore.as_ref(), ..Selection::default() }).map_err(failed)?;
    let context = builder.finish().map_err(failed)?;
    if context.manifest().is_empty() {
        return Err(crate::gather::no_input(tree, service, directory));
    }
    Ok(context)
}
