//! What can be wrong with the Cargo manifests of a tree.

use crate::RelPath;

/// Why the closure of a Cargo package could not be determined.
///
/// Every variant names the manifest, and the key in it where there is one. As with [`Error`](crate::Error), the text fits
/// after "cannot ..." and [`hint`](Self::hint) says what the user can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CargoError {
    /// A manifest, lock, configuration or toolchain file that is not TOML.
    #[error("read `{path}`: line {line}: {message}")]
    Toml {
        /// The file.
        path: RelPath,
        /// Line of the fault, from 1.
        line: usize,
        /// What the parser said.
        message: String,
    },
    /// A key that is missing or has a value of the wrong kind.
    #[error("use `{manifest}`: `{key}` {reason}")]
    Invalid {
        /// The file.
        manifest: RelPath,
        /// The key, with dots.
        key: String,
        /// What is wrong with it: "is not a string".
        reason: String,
    },
    /// No tracked manifest has a package of this name.
    #[error("find the Cargo package `{package}`")]
    PackageNotFound {
        /// The name that was asked for.
        package: String,
        /// The name of a package of the tree that is spelled nearly so.
        similar: Option<String>,
        /// A manifest that mentions the name and is not TOML.
        broken: Option<RelPath>,
    },
    /// Several manifests have a package of this name.
    #[error("tell which package `{package}` is meant: {} have one of that name", list(.manifests))]
    AmbiguousPackage {
        /// The name that was asked for.
        package: String,
        /// The manifests, sorted.
        manifests: Vec<RelPath>,
    },
    /// A path that leads out of the tree, or an absolute one.
    #[error("follow `{key}` of `{manifest}`: `{path}` lies outside the tree")]
    OutsideTree {
        /// The manifest.
        manifest: RelPath,
        /// The key, with dots.
        key: String,
        /// The path as written.
        path: String,
    },
    /// A path to a package that has no manifest among the files of the tree.
    #[error("follow `{key}` of `{manifest}`: there is no `{wanted}` among the tracked files")]
    ManifestMissing {
        /// The manifest.
        manifest: RelPath,
        /// The key, with dots.
        key: String,
        /// The manifest that should be there.
        wanted: RelPath,
    },
    /// A package below a workspace root that neither counts nor excludes it.
    #[error("use `{manifest}`: it lies in the workspace of `{root}` and is not a member of it")]
    NotAMember {
        /// The package's manifest.
        manifest: RelPath,
        /// The workspace's manifest.
        root: RelPath,
    },
    /// `workspace = true` in a package that belongs to no workspace of the tree.
    #[error("resolve `{key}` of `{manifest}`: no workspace of the tree contains this package")]
    NoWorkspace {
        /// The manifest.
        manifest: RelPath,
        /// The key, with dots.
        key: String,
    },
    /// `workspace = true` for a key that the workspace does not define.
    #[error("resolve `{key}` of `{manifest}`: `{root}` has no `{inherited}`")]
    NotInherited {
        /// The manifest.
        manifest: RelPath,
        /// The key, with dots.
        key: String,
        /// The workspace's manifest.
        root: RelPath,
        /// The key that is missing there.
        inherited: String,
    },
    /// A `Cargo.lock` that cannot be understood.
    #[error("read `{path}`: {reason}")]
    Lock {
        /// The lock file.
        path: RelPath,
        /// What is wrong with it.
        reason: String,
    },
    /// A toolchain that is a directory of one machine.
    #[error("use the toolchain of `{path}`: `toolchain.path` is a directory of this machine")]
    ToolchainPath {
        /// The toolchain file.
        path: RelPath,
    },
}

impl CargoError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::PackageNotFound { similar: Some(name), .. } => Some(format!("there is a package `{name}`")),
            Self::PackageNotFound { broken: Some(path), .. } => {
                Some(format!("`{path}` mentions it and is not valid TOML"))
            }
            Self::PackageNotFound { package, .. } => Some(format!(
                "check `package.name` in the manifests, and that the manifest of `{package}` is not ignored by git"
            )),
            Self::AmbiguousPackage { package, manifests } => {
                let directory = manifests.first().and_then(RelPath::parent);
                let directory = directory.map_or_else(|| ".".to_owned(), |directory| directory.to_string());
                Some(format!("name the directory as well: `{directory}#{package}`"))
            }
            Self::OutsideTree { path, .. } if super::paths::is_absolute(path) => {
                Some("write the path relative to the manifest".into())
            }
            Self::OutsideTree { .. } => Some(
                "move the project root up so that it contains both, or depend on a published or git version".into(),
            ),
            Self::ManifestMissing { wanted, .. } => {
                Some(format!("correct the path, or make sure that git does not ignore `{wanted}`"))
            }
            Self::NotAMember { manifest, root } => {
                let directory = manifest.parent().map_or_else(|| ".".to_owned(), |directory| directory.to_string());
                Some(format!("add `{directory}` to `workspace.members` or `workspace.exclude` of `{root}`"))
            }
            Self::NoWorkspace { .. } => {
                Some("the workspace's `Cargo.toml` must lie in the tree: move the project root up".into())
            }
            Self::ToolchainPath { .. } => Some("name a `channel` instead".into()),
            Self::Lock { .. } => Some("run `cargo generate-lockfile`, or a current cargo".into()),
            Self::Toml { .. } | Self::Invalid { .. } | Self::NotInherited { .. } => None,
        }
    }
}

fn list(paths: &[RelPath]) -> String {
    let names: Vec<String> = paths.iter().map(|path| format!("`{path}`")).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}
