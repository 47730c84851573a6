//! Which workspace a package belongs to, and what of the root manifest its members see.
//!
//! Cargo's rules (Cargo book, "Workspaces"; cargo `src/cargo/core/workspace.rs`): the root is the manifest itself if it
//! has `[workspace]`, else what `package.workspace` names, else the nearest manifest above that has `[workspace]` and
//! does not exclude the package. Members are what `members` lists, the root package, and the path dependencies of members
//! that lie below the root.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use toml::{Table, Value};

use super::error::CargoError;
use super::manifest::{Dependency, Kinds, Manifest, ROOT_TABLES, is_inherited};
use super::paths;
use super::repo::Repo;
use crate::Error;
use crate::glob::Glob;

/// The root of the workspace that the package belongs to; `None` if it stands alone.
pub(super) fn root_of(repo: &Repo<'_>, manifest: &Arc<Manifest>) -> Result<Option<Arc<Manifest>>, Error> {
    if manifest.workspace().is_some() {
        return Ok(Some(Arc::clone(manifest)));
    }
    if let Some(root) = pointed_root(repo, manifest)? {
        return Ok(Some(root));
    }
    for directory in paths::ancestors(&manifest.dir).skip(1) {
        let Some(above) = repo.manifest(directory)? else { continue };
        if above.workspace().is_some() {
            if !is_excluded(&above, &manifest.dir)? {
                return Ok(Some(above));
            }
        } else if let Some(root) = pointed_root(repo, &above)? {
            return Ok(Some(root));
        }
    }
    Ok(None)
}

/// The root that `package.workspace` names.
fn pointed_root(repo: &Repo<'_>, manifest: &Manifest) -> Result<Option<Arc<Manifest>>, Error> {
    let Some(directory) = manifest.workspace_pointer()? else { return Ok(None) };
    match repo.manifest(&directory)? {
        Some(root) if root.workspace().is_some() => Ok(Some(root)),
        _ => Err(manifest.invalid("package.workspace", "names no workspace root")),
    }
}

/// Whether `exclude` covers the directory and `members` does not name it or a directory above it.
fn is_excluded(root: &Manifest, directory: &str) -> Result<bool, Error> {
    // Literal paths, as in cargo: patterns in `members` do not count here.
    let covers = |paths: Vec<&str>| {
        paths
            .into_iter()
            .filter_map(|path| paths::resolve(&root.dir, path))
            .any(|path| paths::is_within(directory, &path))
    };
    Ok(covers(list(root, "exclude")?) && !covers(list(root, "members")?))
}

fn list<'a>(root: &'a Manifest, key: &str) -> Result<Vec<&'a str>, Error> {
    let value = root.workspace().and_then(|workspace| workspace.get(key));
    root.strings(&format!("workspace.{key}"), value)
}

/// Whether a list of the workspace (`members`, `default-members`) names the directory, by path or by pattern.
pub(super) fn lists(root: &Manifest, key: &str, directory: &str) -> Result<bool, Error> {
    for pattern in list(root, key)? {
        // The root's own path is literal, whatever characters it has.
        let mut above = String::new();
        for character in root.dir.chars() {
            if matches!(character, '*' | '?' | '[' | '\\') {
                above.push('\\');
            }
            above.push(character);
        }
        let Some(pattern) = paths::resolve(&above, pattern) else { continue };
        let glob = Glob::parse(pattern.as_bytes(), false)
            .map_err(|_| root.invalid(&format!("workspace.{key}"), format!("has the malformed pattern `{pattern}`")))?;
        if glob.matches(directory.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the package of a directory is a member: cargo refuses to build it otherwise.
pub(super) fn is_member(repo: &Repo<'_>, root: &Manifest, directory: &str) -> Result<bool, Error> {
    if directory == root.dir || lists(root, "members", directory)? {
        return Ok(true);
    }
    // Rarely needed: a member that is not listed but is a path dependency of members.
    let mut queue: Vec<String> = Vec::new();
    for candidate in repo.manifest_dirs() {
        let listed = candidate == root.dir || lists(root, "members", candidate)?;
        if listed && !is_excluded(root, candidate)? {
            queue.push(candidate.to_owned());
        }
    }
    let mut seen: HashSet<String> = queue.iter().cloned().collect();
    while let Some(member) = queue.pop() {
        if member == directory {
            return Ok(true);
        }
        let Some(manifest) = repo.manifest(&member)? else { continue };
        for dependency in manifest.dependencies(Kinds::All) {
            let Ok(resolved) = resolve(&manifest, Some(root), &dependency) else { continue };
            let Some(path) = resolved.path.and_then(|(owner, path)| paths::resolve(&owner.dir, path)) else { continue };
            if paths::is_within(&path, &root.dir) && !is_excluded(root, &path)? && seen.insert(path.clone()) {
                queue.push(path);
            }
        }
    }
    Ok(false)
}

/// A dependency with what the workspace says about it.
#[derive(Debug)]
pub(super) struct Resolved<'a> {
    /// The package's name.
    pub(super) package: &'a str,
    pub(super) requirement: Option<&'a str>,
    /// The path as written, and the manifest that it is relative to.
    pub(super) path: Option<(&'a Manifest, &'a str)>,
    /// Where it stands in that manifest.
    pub(super) key: String,
}

/// Follows `workspace = true`.
pub(super) fn resolve<'a>(
    manifest: &'a Manifest,
    root: Option<&'a Manifest>,
    dependency: &Dependency<'a>,
) -> Result<Resolved<'a>, Error> {
    if !dependency.is_inherited() {
        return resolved(manifest, dependency);
    }
    let key = || dependency.key.clone();
    let root = root.ok_or_else(|| CargoError::NoWorkspace { manifest: manifest.path.clone(), key: key() })?;
    let table = root.workspace().and_then(|workspace| workspace.get("dependencies"));
    let inherited = format!("workspace.dependencies.{}", dependency.name);
    let Some(spec) = table.and_then(|table| table.get(dependency.name)) else {
        return Err(not_inherited(manifest, root, &dependency.key, inherited));
    };
    resolved(root, &Dependency::new(inherited, dependency.name, spec))
}

fn resolved<'a>(owner: &'a Manifest, dependency: &Dependency<'a>) -> Result<Resolved<'a>, Error> {
    Ok(Resolved {
        package: dependency.package(),
        requirement: dependency.requirement(),
        path: dependency.path(owner)?.map(|path| (owner, path)),
        key: format!("{}.path", dependency.key),
    })
}

fn not_inherited(manifest: &Manifest, root: &Manifest, key: &str, inherited: String) -> Error {
    let (manifest, root, key) = (manifest.path.clone(), root.path.clone(), key.to_owned());
    CargoError::NotInherited { manifest, key, root, inherited }.into()
}

/// What packages take over from their workspace.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    package: BTreeSet<String>,
    dependencies: BTreeSet<String>,
    lints: bool,
}

impl Inherited {
    /// Adds what one package takes over; `root` is the root of its workspace.
    pub(super) fn add(&mut self, manifest: &Manifest, root: Option<&Manifest>) -> Result<(), Error> {
        let lints = manifest.table.get("lints").is_some_and(is_inherited);
        let package = manifest.package().into_iter().flatten();
        let keys: Vec<&String> = package.filter(|(_, value)| is_inherited(value)).map(|(key, _)| key).collect();
        let Some(root) = root else {
            let key = keys.first().map(|key| format!("package.{key}")).or_else(|| lints.then(|| "lints".to_owned()));
            return match key {
                Some(key) => Err(CargoError::NoWorkspace { manifest: manifest.path.clone(), key }.into()),
                None => Ok(()),
            };
        };
        let defined = root.workspace().and_then(|workspace| workspace.get("package"));
        for key in keys {
            if defined.and_then(|defined| defined.get(key)).is_none() {
                let inherited = format!("workspace.package.{key}");
                return Err(not_inherited(manifest, root, &format!("package.{key}"), inherited));
            }
            self.package.insert(key.clone());
        }
        if lints && root.workspace().is_some_and(|workspace| !workspace.contains_key("lints")) {
            return Err(not_inherited(manifest, root, "lints", "workspace.lints".to_owned()));
        }
        self.lints |= lints;
        let dependencies = manifest.dependencies(Kinds::Build);
        self.dependencies.extend(dependencies.iter().filter(|dep| dep.is_inherited()).map(|dep| dep.name.to_owned()));
        Ok(())
    }
}

/// What is left of a workspace.
#[derive(Debug, Default)]
pub(super) struct Cut {
    /// Directories of the members in the closure, the root's own not among them; sorted.
    pub(super) members: Vec<String>,
    /// Directories in the closure that lie below the root and belong to no workspace or to another one; sorted.
    pub(super) strangers: Vec<String>,
    pub(super) inherited: Inherited,
    /// Whether the package of the root manifest itself is in the closure.
    pub(super) has_root_package: bool,
    /// Whether this root decides profiles and patches; only the one of the package that is built does.
    pub(super) decides: bool,
}

/// The root manifest as the members in the closure see it, without patches; those depend on the lock.
pub(super) fn cut(root: &Manifest, cut: &Cut) -> Result<Table, Error> {
    let mut table = if cut.has_root_package { root.stripped() } else { Table::new() };
    if !cut.has_root_package
        && let Some(value) = root.table.get("cargo-features")
    {
        table.insert("cargo-features".into(), value.clone());
    }
    if cut.decides {
        for key in ROOT_TABLES {
            if let Some(value) = root.table.get(key) {
                table.insert(key.into(), value.clone());
            }
        }
    }
    let mut workspace = root.workspace().cloned().unwrap_or_default();
    for key in ["members", "default-members", "exclude", "metadata"] {
        workspace.remove(key);
    }
    keep_only(&mut workspace, "package", &cut.inherited.package);
    keep_only(&mut workspace, "dependencies", &cut.inherited.dependencies);
    if !cut.inherited.lints {
        workspace.remove("lints");
    }
    if !cut.has_root_package
        && !workspace.contains_key("resolver")
        && let Some(resolver) = resolver_of_package(root)
    {
        workspace.insert("resolver".into(), resolver);
    }
    if !cut.members.is_empty() {
        let members = cut.members.iter().map(|member| member_entry(root, member, &cut.strangers));
        workspace.insert("members".into(), Value::Array(members.map(Value::String).collect()));
    }
    let mut default_members = Vec::new();
    let root_package = cut.has_root_package.then_some(&root.dir);
    for member in root_package.into_iter().chain(&cut.members) {
        if lists(root, "default-members", member)? {
            default_members.push(Value::String(paths::relative(&root.dir, member)));
        }
    }
    if !default_members.is_empty() {
        workspace.insert("default-members".into(), Value::Array(default_members));
    }
    if !cut.strangers.is_empty() {
        let strangers = cut.strangers.iter().map(|stranger| Value::String(paths::relative(&root.dir, stranger)));
        workspace.insert("exclude".into(), Value::Array(strangers.collect()));
    }
    table.insert("workspace".into(), Value::Table(workspace));
    Ok(table)
}

/// Cargo lets a literal member win over an `exclude` below it, a pattern not; so a member that has a stranger below it is
/// written as a pattern that matches nothing else.
fn member_entry(root: &Manifest, member: &str, strangers: &[String]) -> String {
    let mut entry = paths::relative(&root.dir, member);
    if strangers.iter().any(|stranger| paths::is_within(stranger, member))
        && let Some(last) = entry.pop()
    {
        entry.push_str(&format!("[{last}]"));
    }
    entry
}

fn keep_only(workspace: &mut Table, key: &str, used: &BTreeSet<String>) {
    if let Some(Value::Table(table)) = workspace.get_mut(key) {
        table.retain(|name, _| used.contains(name));
        if table.is_empty() {
            workspace.remove(key);
        }
    }
}

/// The resolver that the root package's manifest implies and that a manifest without a package would lose (Cargo book,
/// "Resolver versions").
fn resolver_of_package(root: &Manifest) -> Option<Value> {
    let package = root.package()?;
    if let Some(resolver) = package.get("resolver") {
        return Some(resolver.clone());
    }
    match root.edition(Some(root)) {
        ..2021 => None,
        2021..2024 => Some(Value::String("2".into())),
        _ => Some(Value::String("3".into())),
    }
}
