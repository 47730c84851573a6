//! From the name of a package to everything that building it reads.
//!
//! The walk over manifests is here: which package is meant, which packages it is made of, which of them are members of
//! its workspace, which part of the lock they reach. What of their directories becomes part of the context is decided in
//! [`files`](super::files).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use toml::{Table, Value};

use super::config::{self, Configuration};
use super::discover::is_vendored;
use super::error::CargoError;
use super::lock::{Lock, Pruned, Start, Strangers};
use super::manifest::{Kinds, Manifest, ROOT_TABLES};
use super::render::render;
use super::repo::Repo;
use super::workspace::{self, Cut, Inherited};
use super::{LockedPackage, paths};
use crate::{Error, RelPath};

/// The packages of a closure and what they share.
pub(super) struct Closure<'a> {
    pub(super) repo: &'a Repo<'a>,
    pub(super) primary: Arc<Manifest>,
    /// The manifest that decides the workspace; the primary's own where it stands alone.
    pub(super) root: Arc<Manifest>,
    /// By directory.
    pub(super) packages: BTreeMap<String, Package>,
    pub(super) configuration: Configuration,
    lock: Option<Arc<Lock>>,
}

/// A package of the closure.
pub(super) struct Package {
    pub(super) manifest: Arc<Manifest>,
    /// The root of its workspace, if it belongs to one.
    pub(super) root: Option<Arc<Manifest>>,
    /// Directories of its path dependencies.
    edges: Vec<String>,
    /// What it needs to build, with the requirements under which it names it.
    needs: BTreeMap<String, Vec<Option<String>>>,
}

/// Finds the package that `name` means: the name alone, or `directory#name`.
pub(super) fn locate(repo: &Repo<'_>, name: &str) -> Result<Arc<Manifest>, Error> {
    let (wanted_dir, package) = match name.rsplit_once('#') {
        Some((directory, package)) => (paths::resolve("", directory), package),
        None => (None, name),
    };
    let mut found = Vec::new();
    let mut broken = None;
    for dir in repo.manifest_dirs() {
        if wanted_dir.as_ref().is_some_and(|wanted| wanted != dir) || is_vendored(repo, dir) {
            continue;
        }
        match repo.manifest(dir) {
            Ok(Some(manifest)) if manifest.name() == Some(package) => found.push(manifest),
            Ok(_) => {}
            // A tree may hold broken manifests on purpose; they matter where nothing else is found.
            Err(Error::Cargo(CargoError::Toml { path, .. })) => {
                if broken.is_none() && mentions(repo, &path, package)? {
                    broken = Some(path);
                }
            }
            Err(error) => return Err(error),
        }
    }
    match found.as_slice() {
        [manifest] => Ok(Arc::clone(manifest)),
        [] => {
            Err(CargoError::PackageNotFound { package: name.to_owned(), similar: similar(repo, package), broken }
                .into())
        }
        several => {
            let manifests = several.iter().map(|manifest| manifest.path.clone()).collect();
            Err(CargoError::AmbiguousPackage { package: package.to_owned(), manifests }.into())
        }
    }
}

fn mentions(repo: &Repo<'_>, manifest: &RelPath, package: &str) -> Result<bool, Error> {
    Ok(memchr::memmem::find(&repo.files().read(manifest)?, package.as_bytes()).is_some())
}

/// The package whose name is nearest to one that does not exist.
fn similar(repo: &Repo<'_>, wanted: &str) -> Option<String> {
    let manifests = repo.manifest_dirs().into_iter().filter_map(|dir| repo.manifest(dir).ok().flatten());
    let names: BTreeSet<String> = manifests.filter_map(|manifest| manifest.name().map(str::to_owned)).collect();
    let near = names.into_iter().map(|name| (distance(&name, wanted), name));
    near.filter(|(distance, name)| *distance <= 2 || name.ends_with(&format!("-{wanted}"))).min().map(|(_, name)| name)
}

/// The number of bytes to insert, remove or change (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

impl<'a> Closure<'a> {
    pub(super) fn of(repo: &'a Repo<'a>, primary: Arc<Manifest>) -> Result<Self, Error> {
        let root = workspace::root_of(repo, &primary)?;
        if let Some(root) = &root
            && !workspace::is_member(repo, root, &primary.dir)?
        {
            let (manifest, root) = (primary.path.clone(), root.path.clone());
            return Err(CargoError::NotAMember { manifest, root }.into());
        }
        let root = root.unwrap_or_else(|| Arc::clone(&primary));
        let configuration = config::read(repo, &root.dir)?;
        let lock = repo.lock(&root.dir)?;
        let mut closure = Self { repo, primary, root, packages: BTreeMap::new(), configuration, lock };
        closure.visit(closure.primary.dir.clone())?;
        let patches = std::mem::take(&mut closure.configuration.patches);
        for (manifest, key, dir) in patches {
            closure.require(&manifest, &key, &dir)?;
            closure.visit(dir)?;
        }
        closure.visit_patches()?;
        Ok(closure)
    }

    /// Adds a package and what it depends on by path.
    fn visit(&mut self, dir: String) -> Result<(), Error> {
        let mut waiting = vec![dir];
        while let Some(dir) = waiting.pop() {
            if self.packages.contains_key(&dir) {
                continue;
            }
            let Some(manifest) = self.repo.manifest(&dir)? else { continue };
            if manifest.name().is_none() {
                return Err(manifest.invalid("package.name", "is missing or is not a string"));
            }
            let root = workspace::root_of(self.repo, &manifest)?;
            let mut edges = Vec::new();
            let mut needs: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
            for dependency in manifest.dependencies(Kinds::Build) {
                let resolved = workspace::resolve(&manifest, root.as_deref(), &dependency)?;
                let requirement = resolved.requirement.map(str::to_owned);
                needs.entry(resolved.package.to_owned()).or_default().push(requirement);
                let Some((owner, path)) = resolved.path else { continue };
                let target = owner.resolve(&resolved.key, path)?;
                self.require(&owner.path, &resolved.key, &target)?;
                edges.push(target);
            }
            waiting.extend(edges.iter().cloned());
            self.packages.insert(dir, Package { manifest, root, edges, needs });
        }
        Ok(())
    }

    fn require(&self, manifest: &RelPath, key: &str, dir: &str) -> Result<(), Error> {
        if self.repo.has_manifest(dir) {
            return Ok(());
        }
        let wanted = paths::file(dir, "Cargo.toml");
        Err(match wanted {
            Some(wanted) => CargoError::ManifestMissing { manifest: manifest.clone(), key: key.to_owned(), wanted },
            None => {
                let reason = "is no path".to_owned();
                CargoError::Invalid { manifest: manifest.clone(), key: key.to_owned(), reason }
            }
        }
        .into())
    }

    /// Adds the packages that `[patch]` and `[replace]` put in the place of others, as far as those are reached. Each may
    /// reach further ones.
    fn visit_patches(&mut self) -> Result<(), Error> {
        let root = Arc::clone(&self.root);
        loop {
            // Not through a patched package whose manifest was not read yet: its dev-dependencies do not count.
            let pruned = self.reached(Strangers::Stop);
            let before = self.packages.len();
            for patch in patches(&root) {
                let Some(path) = patch.path else { continue };
                if !self.is_used(pruned.as_ref(), patch.package) {
                    continue;
                }
                let dir = root.resolve(&patch.key, path)?;
                self.require(&root.path, &patch.key, &dir)?;
                self.visit(dir)?;
            }
            if self.packages.len() == before {
                return Ok(());
            }
        }
    }

    /// Whether a patch of this package has a use. Without a lock nobody knows, so it has.
    fn is_used(&self, pruned: Option<&Pruned>, package: &str) -> bool {
        match (&self.lock, pruned) {
            (Some(lock), Some(pruned)) => lock.reaches(pruned, package),
            _ => true,
        }
    }

    fn pruned(&self) -> Option<Pruned> {
        self.reached(Strangers::Follow)
    }

    fn reached(&self, strangers: Strangers) -> Option<Pruned> {
        let lock = self.lock.as_ref()?;
        let starts = self.packages.values().map(|package| Start {
            name: package.manifest.name().unwrap_or_default(),
            version: package.manifest.version(package.root.as_deref()),
            needs: package
                .needs
                .iter()
                .map(|(name, requirements)| (name.as_str(), requirements.iter().map(Option::as_deref).collect()))
                .collect(),
        });
        Some(lock.prune(&starts.collect::<Vec<_>>(), strangers))
    }

    /// The text of the pruned lock and the packages in it, sorted; `None` without a lock.
    pub(super) fn locked(&self) -> Option<(RelPath, String, Vec<LockedPackage>)> {
        let lock = self.lock.as_ref()?;
        let pruned = self.pruned()?;
        let patched =
            |name: &str| patches(&self.root).iter().any(|patch| patch.package == name) && lock.reaches(&pruned, name);
        let text = lock.render(&pruned, patched);
        let packages = lock.locked(&pruned).into_iter();
        let packages = packages.map(|(name, version, source)| LockedPackage { name, version, source }).collect();
        Some((lock.path.clone(), text, packages))
    }

    /// Whether the package has this root.
    fn belongs_to(package: &Package, root: &Manifest) -> bool {
        package.root.as_ref().is_some_and(|own| own.dir == root.dir)
    }

    /// Directories of the packages that are members of the workspace of `root`: listed, or path dependencies of members.
    /// A package that only a patch brings in belongs to the workspace for what it inherits and is no member.
    fn members(&self, root: &Manifest) -> Result<BTreeSet<String>, Error> {
        let mut members = BTreeSet::new();
        let mut waiting = Vec::new();
        for (dir, package) in &self.packages {
            let is_first = *dir == self.primary.dir || *dir == root.dir;
            if Self::belongs_to(package, root) && (is_first || workspace::lists(root, "members", dir)?) {
                waiting.push(dir);
            }
        }
        while let Some(dir) = waiting.pop() {
            let Some(package) = self.packages.get(dir) else { continue };
            if Self::belongs_to(package, root) && members.insert(dir.clone()) {
                waiting.extend(&package.edges);
            }
        }
        Ok(members)
    }

    /// The manifests as the closure sees them, by path.
    pub(super) fn manifests(&self) -> Result<BTreeMap<RelPath, Vec<u8>>, Error> {
        let mut texts = BTreeMap::new();
        let mut roots: BTreeMap<&str, &Arc<Manifest>> = BTreeMap::new();
        let mut inherited: BTreeMap<&str, Inherited> = BTreeMap::new();
        for package in self.packages.values() {
            let mut table = package.manifest.stripped();
            match &package.root {
                Some(root) => {
                    roots.insert(&root.dir, root);
                    inherited.entry(&root.dir).or_default().add(&package.manifest, Some(root))?;
                }
                None => {
                    Inherited::default().add(&package.manifest, None)?;
                    if package.manifest.dir == self.root.dir {
                        let own = &package.manifest.table;
                        table.extend(
                            ROOT_TABLES.iter().filter_map(|key| Some(((*key).to_owned(), own.get(*key)?.clone()))),
                        );
                        self.cut_patches(&mut table);
                    }
                }
            }
            texts.insert(package.manifest.path.clone(), render(&table).into_bytes());
        }
        for (dir, root) in roots {
            let mut members = self.members(root)?;
            members.remove(dir);
            let strangers = self.packages.iter().filter(|(other, package)| {
                paths::is_within(other, dir) && *other != dir && !Self::belongs_to(package, root)
            });
            let cut = Cut {
                members: members.into_iter().collect(),
                strangers: strangers.map(|(dir, _)| dir.clone()).collect(),
                inherited: inherited.remove(dir).unwrap_or_default(),
                has_root_package: self.packages.contains_key(dir),
                decides: dir == self.root.dir,
            };
            let mut table = workspace::cut(root, &cut)?;
            self.cut_patches(&mut table);
            texts.insert(root.path.clone(), render(&table).into_bytes());
        }
        Ok(texts)
    }

    /// Leaves the patches and replacements out that nothing of the closure uses: cargo would have to look for what they
    /// name.
    fn cut_patches(&self, table: &mut Table) {
        let pruned = self.pruned();
        if let Some(Value::Table(sources)) = table.get_mut("patch") {
            for entries in sources.iter_mut().filter_map(|(_, entries)| entries.as_table_mut()) {
                entries.retain(|name, spec| self.is_used(pruned.as_ref(), package_of(name, spec)));
            }
            sources.retain(|_, entries| entries.as_table().is_none_or(|entries| !entries.is_empty()));
            if sources.is_empty() {
                table.remove("patch");
            }
        }
        if let Some(Value::Table(entries)) = table.get_mut("replace") {
            entries.retain(|spec, _| self.is_used(pruned.as_ref(), package_of_spec(spec)));
            if entries.is_empty() {
                table.remove("replace");
            }
        }
    }
}

/// One entry of `[patch]` or `[replace]`.
struct Patch<'a> {
    /// The key of its path.
    key: String,
    package: &'a str,
    path: Option<&'a str>,
}

fn patches(root: &Manifest) -> Vec<Patch<'_>> {
    let mut found = Vec::new();
    for (source, entries) in root.table.get("patch").and_then(Value::as_table).into_iter().flatten() {
        for (name, spec) in entries.as_table().into_iter().flatten() {
            let key = format!("patch.{source}.{name}.path");
            found.push(Patch { key, package: package_of(name, spec), path: spec.get("path").and_then(Value::as_str) });
        }
    }
    for (name, spec) in root.table.get("replace").and_then(Value::as_table).into_iter().flatten() {
        let key = format!("replace.{name}.path");
        found.push(Patch { key, package: package_of_spec(name), path: spec.get("path").and_then(Value::as_str) });
    }
    found
}

fn package_of<'a>(name: &'a str, spec: &'a Value) -> &'a str {
    spec.get("package").and_then(Value::as_str).unwrap_or(name)
}

/// The name in `name:version`, `name@version` or `url#name@version`.
fn package_of_spec(spec: &str) -> &str {
    let last = spec.rsplit(['#', '/']).next().unwrap_or(spec);
    last.split([':', '@']).next().unwrap_or(last)
}
