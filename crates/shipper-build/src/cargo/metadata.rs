//! What `cargo metadata` says about the staged workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::BuildError;

/// The documents of large workspaces have a few MiB.
pub(super) const LIMIT: usize = 256 << 20;

#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Option<Resolve>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Package {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: String,
    /// Where the package comes from; `None` for path dependencies.
    pub(super) source: Option<String>,
    pub(super) manifest_path: PathBuf,
    default_run: Option<String>,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dep>,
}

#[derive(Debug, Deserialize)]
struct Dep {
    pkg: String,
    dep_kinds: Vec<DepKind>,
}

#[derive(Debug, Deserialize)]
struct DepKind {
    kind: Option<String>,
}

impl Metadata {
    pub(super) fn parse(text: &str) -> Result<Metadata, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// The workspace member with this name.
    ///
    /// # Errors
    /// [`BuildError::PackageMissing`].
    pub(super) fn member(&self, name: &str) -> Result<&Package, BuildError> {
        let members = || self.packages.iter().filter(|package| self.workspace_members.contains(&package.id));
        members().find(|package| package.name == name).ok_or_else(|| {
            let mut known: Vec<String> = members().map(|package| package.name.clone()).collect();
            known.sort();
            BuildError::PackageMissing { package: name.to_owned(), known }
        })
    }

    /// All packages, those that are not compiled for this target included.
    pub(super) fn packages(&self) -> &[Package] {
        &self.packages
    }

    /// Ids of the packages that are compiled for `package`, itself included: normal and build dependencies.
    pub(super) fn compiled_for(&self, package: &str) -> BTreeSet<&str> {
        let nodes: BTreeMap<&str, &Node> =
            self.resolve.iter().flat_map(|resolve| &resolve.nodes).map(|node| (node.id.as_str(), node)).collect();
        let mut seen = BTreeSet::new();
        let mut queue: Vec<&str> = nodes.keys().copied().filter(|id| *id == package).collect();
        while let Some(id) = queue.pop() {
            if !seen.insert(id) {
                continue;
            }
            let compiled = |dep: &&Dep| dep.dep_kinds.iter().any(|kind| kind.kind.as_deref() != Some("dev"));
            let deps = nodes.get(id).into_iter().flat_map(|node| &node.deps).filter(compiled);
            queue.extend(deps.map(|dep| dep.pkg.as_str()));
        }
        seen
    }

    /// Refuses a path dependency that the stage does not contain.
    ///
    /// # Errors
    /// [`BuildError::OutsideStage`].
    pub(super) fn refuse_outside(&self, stage: &Path) -> Result<(), BuildError> {
        let outside = |package: &&Package| package.source.is_none() && !package.manifest_path.starts_with(stage);
        match self.packages.iter().find(outside) {
            Some(package) => {
                Err(BuildError::OutsideStage { package: package.name.clone(), path: package.manifest_path.clone() })
            }
            None => Ok(()),
        }
    }
}

impl Package {
    /// Names of the binaries, sorted.
    pub(super) fn bins(&self) -> Vec<String> {
        let is_bin = |target: &&Target| target.kind.iter().any(|kind| kind == "bin");
        let mut bins: Vec<String> = self.targets.iter().filter(is_bin).map(|target| target.name.clone()).collect();
        bins.sort();
        bins
    }

    /// The binary that `cargo run` would start, if the package says.
    pub(super) fn default_run(&self) -> Option<&str> {
        self.default_run.as_deref()
    }
}

/// Name and version of the packages in a lock file that come from a registry or a git repository, sorted.
///
/// # Errors
/// A message for a file that is no lock file.
pub(super) fn external_packages(lock: &str) -> Result<BTreeSet<(String, String)>, String> {
    #[derive(Deserialize)]
    struct Lock {
        #[serde(default)]
        package: Vec<Locked>,
    }
    #[derive(Deserialize)]
    struct Locked {
        name: String,
        version: String,
        source: Option<String>,
    }
    let lock: Lock = toml::from_str(lock).map_err(|error| error.message().to_owned())?;
    let external = lock.package.into_iter().filter(|package| package.source.is_some());
    Ok(external.map(|package| (package.name, package.version)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{
        "packages": [
            {"id": "a", "name": "a", "version": "1.0.0", "source": null, "manifest_path": "/s/a/Cargo.toml", "default_run": "x",
             "targets": [{"kind": ["bin"], "name": "y"}, {"kind": ["lib"], "name": "a"}, {"kind": ["bin"], "name": "x"}]},
            {"id": "b", "name": "b", "version": "1.0.0", "source": "registry+x", "manifest_path": "/c/b/Cargo.toml", "targets": []},
            {"id": "c", "name": "c", "version": "1.0.0", "source": null, "manifest_path": "/s/c/Cargo.toml", "targets": []}
        ],
        "workspace_members": ["a", "c"],
        "resolve": {"nodes": [
            {"id": "a", "deps": [{"pkg": "b", "dep_kinds": [{"kind": "dev"}, {"kind": "build"}]}, {"pkg": "c", "dep_kinds": [{"kind": "dev"}]}]},
            {"id": "b", "deps": [{"pkg": "a", "dep_kinds": [{"kind": null}]}]},
            {"id": "c", "deps": []}
        ]}
    }"#;

    #[test]
    fn the_graph_is_followed_without_development_dependencies() {
        let metadata = Metadata::parse(TEXT).unwrap();
        let package = metadata.member("a").unwrap();
        assert_eq!((package.bins(), package.default_run()), (vec!["x".to_owned(), "y".to_owned()], Some("x")));
        assert_eq!(metadata.compiled_for("a").into_iter().collect::<Vec<_>>(), ["a", "b"]);
        let error = metadata.member("b").unwrap_err();
        assert_eq!(error.to_string(), "there is no package `b` in the build context; there is a, c");
        metadata.refuse_outside(Path::new("/s")).unwrap();
        assert!(matches!(metadata.refuse_outside(Path::new("/s/a")), Err(BuildError::OutsideStage { .. })));
    }

    #[test]
    fn only_packages_with_a_source_have_to_be_pinned() {
        let lock = "version = 4\n[[package]]\nname = \"a\"\nversion = \"0.1.0\"\n[[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"registry+x\"\n";
        let found = external_packages(lock).unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("b".to_owned(), "1.0.0".to_owned())]);
        assert!(external_packages("").unwrap().is_empty());
        assert!(external_packages("[package]").is_err());
    }
}
