//! All packages of a tree that make a program.

use std::sync::Arc;

use toml::Value;

use super::manifest::Manifest;
use super::paths;
use super::repo::{Files, Memo, Repo};
use super::{CargoPackage, targets, workspace};
use crate::Error;

/// Names of directories whose packages serve the development of others.
const AUXILIARY: [&str; 8] = ["examples", "tests", "benches", "fixtures", "testdata", "fuzz", "vendor", "third_party"];

/// The packages with at least one binary, sorted by the path of their manifest. What cannot be parsed is passed over: a
/// tree may hold broken manifests on purpose, and whoever names such a package hears about it.
pub(super) fn packages(files: &dyn Files, memo: &Memo) -> Result<Vec<CargoPackage>, Error> {
    let repo = Repo::new(files, memo);
    let mut found = Vec::new();
    for dir in repo.manifest_dirs() {
        if is_vendored(&repo, dir) {
            continue;
        }
        match repo.manifest(dir) {
            Ok(Some(manifest)) => found.extend(package(&repo, &manifest)),
            Ok(None) => {}
            Err(Error::Cargo(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn package(repo: &Repo<'_>, manifest: &Arc<Manifest>) -> Option<CargoPackage> {
    let name = manifest.name()?;
    let root = workspace::root_of(repo, manifest).ok().flatten();
    let root = root.as_deref();
    let bins = targets::binaries(repo, manifest, root);
    let value = |key: &str| manifest.package_value(key, root);
    let publish = match value("publish") {
        Some(Value::Boolean(publish)) => *publish,
        Some(Value::Array(registries)) => !registries.is_empty(),
        _ => true,
    };
    (!bins.is_empty()).then(|| CargoPackage {
        name: name.to_owned(),
        dir: paths::directory(&manifest.dir),
        version: manifest.version(root),
        bins,
        default_run: value("default-run").and_then(Value::as_str).map(str::to_owned),
        publish,
        auxiliary: manifest.dir.split('/').any(|part| AUXILIARY.contains(&part)),
    })
}

/// Whether the package is a copy that `cargo vendor` made.
pub(super) fn is_vendored(repo: &Repo<'_>, dir: &str) -> bool {
    repo.entry(paths::join(dir, ".cargo-checksum.json").as_bytes()).is_some()
}
