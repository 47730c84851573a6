//! `Cargo.lock`: the part that a closure can reach, written as cargo writes it.
//!
//! The format is that of cargo `src/cargo/core/resolver/encode.rs`, versions 1 to 4. A dependency is written by its name
//! alone where that is unambiguous in the file, so the references of a pruned lock are written anew: otherwise a second
//! version of a crate somewhere else in the workspace would change the text. A lock from which nothing is pruned comes
//! out byte for byte as cargo wrote it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use semver::{Version, VersionReq};
use toml::{Table, Value};

use super::error::CargoError;
use super::manifest::parse_toml;
use super::render::{write_string, write_value};
use crate::RelPath;

/// The newest format that is known.
const NEWEST: i64 = 4;

/// A parsed lock file.
#[derive(Debug)]
pub(super) struct Lock {
    pub(super) path: RelPath,
    /// The `version` line, if there is one.
    version: Option<i64>,
    packages: Vec<Package>,
    /// Patches that nothing uses.
    unused: Vec<Package>,
    /// Checksums of format 1, and what else a tool has put there.
    metadata: Table,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Package {
    name: String,
    version: String,
    /// Absent for packages of the tree.
    source: Option<String>,
    checksum: Option<String>,
    /// Indices of packages, in the order of the file.
    dependencies: Vec<usize>,
    replace: Option<usize>,
}

/// A package of the tree that is in the closure.
#[derive(Debug)]
pub(super) struct Start<'a> {
    pub(super) name: &'a str,
    pub(super) version: String,
    /// The packages that it needs to build, by name, with the version requirements under which it names them.
    pub(super) needs: BTreeMap<&'a str, Vec<Option<&'a str>>>,
}

/// What counts of a package of the tree that nobody has looked at yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strangers {
    /// All that the lock says it depends on, dev-dependencies included.
    Follow,
    /// Only itself.
    Stop,
}

/// The packages that can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pruned {
    /// By index; the value holds the dependencies that count.
    kept: BTreeMap<usize, Vec<usize>>,
}

impl Lock {
    pub(super) fn parse(path: &RelPath, bytes: &[u8]) -> Result<Self, CargoError> {
        let fault = |reason: String| CargoError::Lock { path: path.clone(), reason };
        let mut table = parse_toml(path, bytes)?;
        let version = match table.get("version") {
            None => None,
            Some(Value::Integer(version)) if (1..=NEWEST).contains(version) => Some(*version),
            Some(other) => return Err(fault(format!("its format is version {other}, the newest known is {NEWEST}"))),
        };
        let mut entries = Vec::new();
        // The oldest files have the root package apart.
        entries.extend(table.remove("root"));
        match table.remove("package") {
            None => {}
            Some(Value::Array(packages)) => entries.extend(packages),
            Some(_) => return Err(fault("`package` is not a list".into())),
        }
        let unused = table.get_mut("patch").and_then(|patch| patch.get_mut("unused")).and_then(Value::as_array_mut);
        let unused = unused.map(std::mem::take).unwrap_or_default();
        let metadata = match table.remove("metadata") {
            Some(Value::Table(metadata)) => metadata,
            _ => Table::new(),
        };

        let packages = entries.iter().map(Package::parse).collect::<Result<Vec<_>, _>>().map_err(&fault)?;
        let unused = unused.iter().map(Package::parse).collect::<Result<Vec<_>, _>>().map_err(&fault)?;
        let mut lock = Self { path: path.clone(), version, packages, unused, metadata };
        let index = Index::new(&lock.packages);
        let mut edges = Vec::with_capacity(entries.len());
        for entry in &entries {
            let names = entry.get("dependencies").and_then(Value::as_array).into_iter().flatten();
            // A reference to nothing is what a hand-made merge leaves; cargo resolves such a package anew.
            let dependencies =
                names.filter_map(Value::as_str).filter_map(|name| index.find(&lock.packages, name)).collect();
            let replace =
                entry.get("replace").and_then(Value::as_str).and_then(|name| index.find(&lock.packages, name));
            edges.push((dependencies, replace));
        }
        for (package, (dependencies, replace)) in lock.packages.iter_mut().zip(edges) {
            (package.dependencies, package.replace) = (dependencies, replace);
        }
        Ok(lock)
    }

    /// Follows the edges from the packages of the closure. Of those, only the dependencies count that a build needs; of
    /// all others the lock knows no dev-dependencies.
    pub(super) fn prune(&self, starts: &[Start<'_>], strangers: Strangers) -> Pruned {
        let mut kept = BTreeMap::new();
        let mut queue = Vec::new();
        for start in starts {
            for at in self.of_tree(start) {
                let edges = self.needed(at, start);
                queue.extend(&edges);
                kept.insert(at, edges);
            }
        }
        while let Some(at) = queue.pop() {
            if let Entry::Vacant(entry) = kept.entry(at) {
                let package = &self.packages[at];
                queue.extend(&package.replace);
                if package.source.is_none() && strangers == Strangers::Stop {
                    entry.insert(Vec::new());
                    continue;
                }
                queue.extend(&package.dependencies);
                entry.insert(package.dependencies.clone());
            }
        }
        Pruned { kept }
    }

    /// The entries of a package of the tree: one, unless two packages of the tree share a name.
    fn of_tree(&self, start: &Start<'_>) -> Vec<usize> {
        let is_ours = |at: &usize| self.packages[*at].source.is_none() && self.packages[*at].name == start.name;
        let mut ours: Vec<usize> = (0..self.packages.len()).filter(is_ours).collect();
        if ours.len() > 1 && ours.iter().any(|at| self.packages[*at].version == start.version) {
            ours.retain(|at| self.packages[*at].version == start.version);
        }
        ours
    }

    fn needed(&self, at: usize, start: &Start<'_>) -> Vec<usize> {
        let dependencies = &self.packages[at].dependencies;
        let is_needed = |dependency: &usize| {
            let package = &self.packages[*dependency];
            let Some(requirements) = start.needs.get(package.name.as_str()) else { return false };
            let versions = dependencies.iter().filter(|other| self.packages[**other].name == package.name).count();
            // One version serves every table that names the package. With several, a dev-dependency may be the reason
            // for this one; where that cannot be told, it stays.
            versions == 1 || requirements.iter().any(|requirement| admits(*requirement, &package.version))
        };
        dependencies.iter().copied().filter(is_needed).collect()
    }

    /// Whether a package of this name was reached.
    pub(super) fn reaches(&self, pruned: &Pruned, name: &str) -> bool {
        pruned.kept.keys().any(|at| self.packages[*at].name == name)
    }

    /// Name, version and source of each package that was reached, sorted.
    pub(super) fn locked(&self, pruned: &Pruned) -> BTreeSet<(String, String, Option<String>)> {
        let packages = pruned.kept.keys().map(|at| &self.packages[*at]);
        packages.map(|package| (package.name.clone(), package.version.clone(), package.source.clone())).collect()
    }

    /// The file with the packages that were reached, and with the unused patches that `keep_unused` names.
    pub(super) fn render(&self, pruned: &Pruned, keep_unused: impl Fn(&str) -> bool) -> String {
        let mut text = String::from(
            "# This file is automatically @generated by Cargo.\n# It is not intended for manual editing.\n",
        );
        if let Some(version) = self.version {
            text.push_str(&format!("version = {version}\n\n"));
        }
        let names = Names::new(self, pruned);
        for (at, dependencies) in &pruned.kept {
            let package = &self.packages[*at];
            text.push_str("[[package]]\n");
            package.render(&mut text);
            if let Some(replace) = package.replace {
                text.push_str("replace = ");
                write_string(&names.of(replace), &mut text);
                text.push('\n');
            } else if !dependencies.is_empty() {
                text.push_str("dependencies = [\n");
                for dependency in dependencies {
                    text.push(' ');
                    write_string(&names.of(*dependency), &mut text);
                    text.push_str(",\n");
                }
                text.push_str("]\n");
            }
            text.push('\n');
        }
        for package in self.unused.iter().filter(|package| keep_unused(&package.name)) {
            text.push_str("[[patch.unused]]\n");
            package.render(&mut text);
            text.push('\n');
        }
        let kept: BTreeSet<String> = pruned.kept.keys().map(|at| self.packages[*at].checksum_key()).collect();
        let mut metadata: Vec<_> = self.metadata.iter().collect();
        metadata.retain(|(key, _)| !key.starts_with(CHECKSUM) || kept.contains(*key));
        metadata.sort_unstable_by_key(|(key, _)| *key);
        if !metadata.is_empty() {
            text.push_str("[metadata]\n");
            for (key, value) in metadata {
                write_string(key, &mut text);
                text.push_str(" = ");
                write_value(value, &mut text);
                text.push('\n');
            }
            text.push('\n');
        }
        text.truncate(text.trim_end_matches('\n').len());
        text.push('\n');
        text
    }

    /// Format 1 has its checksums in a table of their own and every reference in full.
    fn is_format_1(&self) -> bool {
        self.version == Some(1) || self.metadata.keys().any(|key| key.starts_with(CHECKSUM))
    }
}

const CHECKSUM: &str = "checksum ";

/// Whether a version satisfies a requirement; `true` where there is none or where either cannot be parsed.
fn admits(requirement: Option<&str>, version: &str) -> bool {
    let (Some(requirement), Ok(version)) = (requirement, Version::parse(version)) else { return true };
    VersionReq::parse(requirement).map_or(true, |requirement| requirement.matches(&version))
}

impl Package {
    fn parse(entry: &Value) -> Result<Self, String> {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
        let name = text("name").ok_or("a package has no name")?;
        let version = text("version").ok_or_else(|| format!("the package `{name}` has no version"))?;
        let (source, checksum) = (text("source"), text("checksum"));
        Ok(Self { name, version, source, checksum, dependencies: Vec::new(), replace: None })
    }

    fn render(&self, text: &mut String) {
        let keys = [("name", Some(&self.name)), ("version", Some(&self.version)), ("source", self.source.as_ref())];
        for (key, value) in keys.into_iter().chain([("checksum", self.checksum.as_ref())]) {
            if let Some(value) = value {
                text.push_str(key);
                text.push_str(" = ");
                write_string(value, text);
                text.push('\n');
            }
        }
    }

    /// The source as references name it: without the commit that follows `#`.
    fn reference_source(&self) -> Option<&str> {
        self.source.as_deref().map(|source| source.split('#').next().unwrap_or(source))
    }

    fn full_name(&self) -> String {
        match self.reference_source() {
            Some(source) => format!("{} {} ({source})", self.name, self.version),
            None => format!("{} {}", self.name, self.version),
        }
    }

    fn checksum_key(&self) -> String {
        format!("{CHECKSUM}{}", self.full_name())
    }
}

/// Finds packages by the references of a lock file.
struct Index {
    by_name: HashMap<String, Vec<usize>>,
}

impl Index {
    fn new(packages: &[Package]) -> Self {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, package) in packages.iter().enumerate() {
            by_name.entry(package.name.clone()).or_default().push(at);
        }
        Self { by_name }
    }

    /// The package that `name`, `name version` or `name version (source)` means.
    fn find(&self, packages: &[Package], reference: &str) -> Option<usize> {
        let mut words = reference.splitn(3, ' ');
        let (name, version) = (words.next()?, words.next());
        let source = words.next().map(|source| source.trim_start_matches('(').trim_end_matches(')'));
        let mut found = self.by_name.get(name)?.clone();
        if let Some(version) = version {
            found.retain(|at| packages[*at].version == version);
        }
        match source {
            Some(source) => {
                let wanted = source.split('#').next();
                found.retain(|at| packages[*at].reference_source() == wanted);
            }
            // Packages of the tree have no source to name, so without one they come first.
            None if found.len() > 1 => found.retain(|at| packages[*at].source.is_none()),
            None => {}
        }
        match found.as_slice() {
            [only] => Some(*only),
            _ => None,
        }
    }
}

/// The shortest references that are unambiguous among the packages that were kept.
struct Names<'a> {
    lock: &'a Lock,
    /// Per name: how many packages have each version.
    versions: HashMap<&'a str, BTreeMap<&'a str, usize>>,
    in_full: bool,
}

impl<'a> Names<'a> {
    fn new(lock: &'a Lock, pruned: &Pruned) -> Self {
        let mut versions: HashMap<&str, BTreeMap<&str, usize>> = HashMap::new();
        for at in pruned.kept.keys() {
            let package = &lock.packages[*at];
            *versions.entry(&package.name).or_default().entry(&package.version).or_default() += 1;
        }
        Self { lock, versions, in_full: lock.is_format_1() }
    }

    fn of(&self, at: usize) -> String {
        let package = &self.lock.packages[at];
        let versions = self.versions.get(package.name.as_str());
        let alike = versions.and_then(|versions| versions.get(package.version.as_str())).copied().unwrap_or(1);
        if self.in_full || alike > 1 {
            package.full_name()
        } else if versions.is_some_and(|versions| versions.len() > 1) {
            format!("{} {}", package.name, package.version)
        } else {
            package.name.clone()
        }
    }
}

#[cfg(test)]
mod tests;
