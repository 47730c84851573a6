//! The binaries of a package, as cargo finds them.
//!
//! Source of the rules: Cargo book, "Cargo Targets", "Target auto-discovery".

use std::collections::BTreeSet;

use toml::Value;

use super::manifest::Manifest;
use super::paths;
use super::repo::Repo;

/// Names of the binaries, sorted.
pub(super) fn binaries(repo: &Repo<'_>, manifest: &Manifest, root: Option<&Manifest>) -> Vec<String> {
    let package = manifest.name().unwrap_or_default();
    let explicit = manifest.table.get("bin").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut claimed: BTreeSet<String> = BTreeSet::new();
    for binary in explicit {
        names.extend(binary.get("name").and_then(Value::as_str).map(str::to_owned));
        let path = binary.get("path").and_then(Value::as_str);
        claimed.extend(path.and_then(|path| paths::resolve(&manifest.dir, path)));
    }
    let automatic = manifest.package().and_then(|package| package.get("autobins")).and_then(Value::as_bool);
    // The oldest edition only looks for binaries where none is listed.
    if automatic.unwrap_or_else(|| explicit.is_empty() || manifest.edition(root) >= 2018) {
        let found = discovered(repo, &manifest.dir, package);
        names.extend(found.into_iter().filter(|(_, path)| !claimed.contains(path)).map(|(name, _)| name));
    }
    names.into_iter().collect()
}

/// Names and sources in the places that cargo looks at.
fn discovered(repo: &Repo<'_>, dir: &str, package: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let main = paths::join(dir, "src/main.rs");
    if repo.entry(main.as_bytes()).is_some() {
        found.push((package.to_owned(), main));
    }
    let bin = paths::join(dir, "src/bin");
    for listed in repo.below(&bin) {
        let Some(path) = listed.path.as_str() else { continue };
        let below = &path[bin.len() + 1..];
        let name = match below.split_once('/') {
            None => below.strip_suffix(".rs"),
            Some((directory, "main.rs")) => Some(directory),
            Some(_) => None,
        };
        if let Some(name) = name.filter(|name| !name.starts_with('.')) {
            found.push((name.to_owned(), path.to_owned()));
        }
    }
    found
}
