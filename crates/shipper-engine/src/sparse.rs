//! Which directories of a repository a job needs that ships some services: what a sparse checkout has to have.
//!
//! Invariant: where it can not be told, all of them. A directory that is missing all the same is an error of hashing, never
//! another key.

use std::collections::BTreeSet;
use std::path::Path;

use shipper_plan::{Base, Recipe, SecretConfig, Service};

use crate::Project;
use crate::ci::placed;

/// The directories, relative to the repository with `/`, sorted; empty for the whole repository. What lies in its root is always
/// there.
#[must_use]
pub fn checkout_directories(project: &Project, services: &[&str]) -> Vec<String> {
    let keys = project.settings.sign_key.iter().map(|key| &key.value).chain(&project.settings.trusted_keys.value);
    let mut paths: BTreeSet<String> = keys.filter(|key| !key.starts_with("env:")).cloned().collect();
    // They, and all that they are built on.
    let (mut open, mut seen) = (services.to_vec(), BTreeSet::new());
    while let Some(name) = open.pop() {
        let Some(service) = project.services.get(name).filter(|_| seen.insert(name)) else { continue };
        let Some(read) = read_by(service) else { return Vec::new() };
        paths.extend(read);
        open.extend(service.needs.values().map(String::as_str));
    }
    let (_, within) = placed(&project.root);
    let mut directories = BTreeSet::new();
    for path in paths {
        let Some(directory) = directory(&project.root, &path) else { return Vec::new() };
        let parts = [within.as_str(), directory.as_str()];
        directories.insert(parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"));
    }
    if !within.is_empty() {
        directories.insert(within);
    }
    // The root is there without being named, and a list of nothing would mean everything.
    directories.into_iter().filter(|directory| !directory.is_empty()).collect()
}

/// Paths that a service is made of; `None` where that may be any.
fn read_by(service: &Service) -> Option<Vec<String>> {
    // What is compiled or checked reads whatever it likes, and a pattern may name anything.
    if !service.check.is_empty() || !service.inputs.is_empty() {
        return None;
    }
    let mut paths = Vec::new();
    match &service.recipe {
        Recipe::Assemble { cargo: Some(_), .. } => return None,
        Recipe::Assemble { binary, files, .. } => paths.extend(binary.values().chain(files.values()).cloned()),
        Recipe::Dockerfile(recipe) => {
            if recipe.closure.is_some() {
                return None;
            }
            paths.extend([recipe.dockerfile.clone(), recipe.context.clone()]);
            paths.extend(recipe.contexts.values().cloned());
            paths.extend(recipe.secrets.values().filter_map(|secret| match secret {
                SecretConfig::File(path) => Some(path.clone()),
                SecretConfig::Env(_) => None,
            }));
        }
    }
    if let Base::Layout { directory, .. } = &service.base {
        paths.push(directory.clone());
    }
    Some(paths)
}

/// The directory that a path is or lies in; empty for the root and for what lies outside of the project, `None` for a path that is
/// the project itself.
fn directory(root: &Path, path: &str) -> Option<String> {
    let path = path.trim_start_matches("./").trim_end_matches('/');
    if path.split('/').any(|part| part == "..") || path.starts_with(['/', '~']) {
        return Some(String::new());
    }
    if matches!(path, "" | ".") {
        return None;
    }
    if root.join(path).is_dir() {
        return Some(path.to_owned());
    }
    Some(path.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned())
}
