//! The closure of one Cargo package: exactly what building it reads.
//!
//! No `cargo` process is started: manifests, lock and sources are parsed. The result is a set of files of the tree plus
//! texts in the place of others: manifests without what only tests see, the workspace manifest cut to the members of the
//! closure, the lock pruned to what they reach. Invariants: an edit outside the closure changes nothing; cargo accepts
//! the staged closure offline wherever it accepts the tree; what is missed is an error of the build and never a wrong
//! skip, because the build reads the stage and nothing else.

mod closure;
mod config;
mod context;
mod discover;
mod error;
mod files;
mod lock;
mod manifest;
mod paths;
mod render;
mod repo;
mod source;
mod targets;
mod toolchain;
mod workspace;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use context::Index;
pub use context::cargo_packages;
pub use error::CargoError;
pub(crate) use repo::{Files, Listed, Memo};

use crate::{Error, RelPath};

/// What is known about a package and the closure that was added for it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CargoClosure {
    /// The name of the package.
    pub package: String,
    /// Its version, inherited where it is; `0.0.0` where there is none.
    pub version: String,
    /// Its directory; `None` for the tree's root.
    pub package_dir: Option<RelPath>,
    /// The directory in which cargo is to be run: that of the workspace's manifest, or the package's own where it stands
    /// alone. `None` for the tree's root.
    pub workspace_root: Option<RelPath>,
    /// The manifests of the packages in the closure, sorted. Manifests and not directories, because a package may lie in
    /// the tree's root, which has no relative path.
    pub members: Vec<RelPath>,
    /// Names of the binaries of the package, sorted.
    pub bins: Vec<String>,
    /// The binary that `cargo run` would start, where the manifest says so.
    pub default_run: Option<String>,
    /// The compiler that the tree asks for, where it does.
    pub toolchain: Option<Toolchain>,
    /// The packages of the pruned lock, sorted. Cargo may use fewer and must not use others.
    pub locked: Vec<LockedPackage>,
    /// Whether the workspace has a lock among the files of the tree.
    pub has_lock: bool,
    /// Files that sources of the closure name by a literal and that are not among the files of the tree. Most are under a
    /// condition that never holds; if the compiler cannot find a file, this says why. Sorted.
    pub missing: Vec<MissingFile>,
}

/// A package of a lock file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockedPackage {
    /// The name.
    pub name: String,
    /// The exact version.
    pub version: String,
    /// Where it comes from, as the lock spells it; `None` for packages of the tree.
    pub source: Option<String>,
}

/// What a toolchain file of the tree says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// `1.95.0`, `stable`, `nightly-2026-03-01`, ...
    pub channel: String,
    /// Whether the channel names one compiler for ever.
    pub exact: bool,
    /// The file that says so.
    pub file: RelPath,
}

/// A file that a source names and the tree does not have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingFile {
    /// The source.
    pub source: RelPath,
    /// The path as written.
    pub named: String,
}

/// A package that makes a program.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CargoPackage {
    /// The name.
    pub name: String,
    /// Its directory; `None` for the tree's root.
    pub dir: Option<RelPath>,
    /// Its version; `0.0.0` where there is none.
    pub version: String,
    /// Names of the binaries, sorted; at least one.
    pub bins: Vec<String>,
    /// The binary that `cargo run` would start, where the manifest says so.
    pub default_run: Option<String>,
    /// Whether the package may be published. Services usually may not, and tools of the repository neither.
    pub publish: bool,
    /// Whether it lies below a directory that is named for examples, tests, fixtures, or the code of others.
    pub auxiliary: bool,
}

/// A closure as files.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Files of the tree, as they are.
    pub(crate) files: BTreeSet<RelPath>,
    /// Files with a text of their own; none of them is in `files`.
    pub(crate) rendered: BTreeMap<RelPath, Vec<u8>>,
    pub(crate) closure: CargoClosure,
}

/// Works out the closure of a package.
pub(crate) fn plan(files: &dyn Files, memo: &Memo, package: &str) -> Result<Plan, Error> {
    let repo = repo::Repo::new(files, memo);
    let primary = closure::locate(&repo, package)?;
    let closure = closure::Closure::of(&repo, primary)?;
    let toolchain = toolchain::find(&repo, &closure.root.dir)?;
    let mut rendered = closure.manifests()?;
    let (lock, locked) = match closure.locked() {
        Some((path, text, packages)) => (Some((path, text)), Some(packages)),
        None => (None, None),
    };
    let has_lock = lock.is_some();
    rendered.extend(lock.map(|(path, text)| (path, text.into_bytes())));
    let mut gathered = files::gather(&closure, &rendered, locked.as_deref())?;
    gathered.files.extend(toolchain.as_ref().map(|(file, _)| (*file).clone()));

    let primary = &closure.primary;
    let root = closure.packages.get(&primary.dir).and_then(|package| package.root.as_deref());
    let default_run = primary.package_value("default-run", root).and_then(toml::Value::as_str);
    let closure = CargoClosure {
        package: primary.name().unwrap_or_default().to_owned(),
        version: primary.version(root),
        package_dir: paths::directory(&primary.dir),
        workspace_root: paths::directory(&closure.root.dir),
        members: closure
            .packages
            .values()
            .map(|package| package.manifest.path.clone())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
        bins: targets::binaries(&repo, primary, root),
        default_run: default_run.map(str::to_owned),
        toolchain: toolchain.and_then(|(_, toolchain)| toolchain),
        locked: locked.unwrap_or_default(),
        has_lock,
        missing: gathered.missing,
    };
    Ok(Plan { files: gathered.files, rendered, closure })
}

#[cfg(test)]
mod tests;
