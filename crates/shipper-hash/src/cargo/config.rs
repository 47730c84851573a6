//! `.cargo/config.toml` of the tree, and the files that it names.
//!
//! Sources of the rules: Cargo book, "Configuration" (hierarchy, config-relative paths) and "Source Replacement". The
//! files are part of a context as they are: cargo gives almost every key a meaning for the build.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::manifest::{Manifest, parse_toml};
use super::paths;
use super::repo::Repo;
use crate::{Error, RelPath};

/// Includes of includes; cargo refuses cycles, so more than this is one.
const MAX_FILES: usize = 64;

/// What the configuration brings into a context.
#[derive(Debug, Default)]
pub(super) struct Configuration {
    /// The configuration files.
    pub(super) files: BTreeSet<RelPath>,
    /// Files that they name (a linker script, a wrapper) and directories of which everything counts; those that are in
    /// the tree, relative to its root.
    pub(super) named: BTreeSet<String>,
    /// Directories with one vendored package in each subdirectory.
    pub(super) vendored: BTreeSet<String>,
    /// Patches by path: the manifest-like file, the key, the directory.
    pub(super) patches: Vec<(RelPath, String, String)>,
}

/// Reads the configuration that cargo finds in `directory` and above, inside the tree.
pub(super) fn read(repo: &Repo<'_>, directory: &str) -> Result<Configuration, Error> {
    let mut configuration = Configuration::default();
    let mut waiting = Vec::new();
    for directory in paths::ancestors(directory) {
        let names = [".cargo/config", ".cargo/config.toml"].map(|name| paths::join(directory, name));
        // Of two, cargo reads the one without an extension.
        waiting.extend(names.into_iter().find(|name| repo.file(name).is_some()));
    }
    while let Some(name) = waiting.pop() {
        let Some((path, bytes)) = repo.content(&name)? else { continue };
        if configuration.files.len() == MAX_FILES || !configuration.files.insert(path.clone()) {
            continue;
        }
        let table = parse_toml(path, &bytes)?;
        let file = File { repo, path, dir: paths::parent(&name).unwrap_or_default(), table: &table };
        waiting.extend(file.includes());
        file.collect(&mut configuration)?;
    }
    Ok(configuration)
}

struct File<'a> {
    repo: &'a Repo<'a>,
    path: &'a RelPath,
    /// Its directory, usually `.cargo`.
    dir: &'a str,
    table: &'a Table,
}

impl File<'_> {
    /// Other configuration files, relative to this one.
    fn includes(&self) -> Vec<String> {
        let entry = |value: &Value| value.as_str().or_else(|| value.get("path")?.as_str()).map(str::to_owned);
        let entries = match self.table.get("include") {
            Some(Value::Array(entries)) => entries.iter().filter_map(entry).collect(),
            Some(other) => entry(other).into_iter().collect(),
            None => Vec::new(),
        };
        entries.iter().filter_map(|path| paths::resolve(self.dir, path)).collect()
    }

    /// A path that is relative to the directory which holds `.cargo`.
    fn resolve(&self, path: &str) -> Option<String> {
        paths::resolve(paths::parent(self.dir)?, path)
    }

    fn tables<'v>(&'v self, key: &str) -> impl Iterator<Item = (&'v String, &'v Value)> + use<'v> {
        self.table.get(key).and_then(Value::as_table).into_iter().flatten()
    }

    fn collect(&self, found: &mut Configuration) -> Result<(), Error> {
        for (_, source) in self.tables("source") {
            let directory = |key: &str| self.resolve(source.get(key)?.as_str()?);
            found.vendored.extend(directory("directory"));
            found.named.extend(directory("local-registry"));
        }
        for (source, entries) in self.tables("patch") {
            for (name, spec) in entries.as_table().into_iter().flatten() {
                let Some(path) = spec.get("path").and_then(Value::as_str) else { continue };
                let key = format!("patch.{source}.{name}.path");
                let above = paths::parent(self.dir).unwrap_or_default();
                let relative_to = Manifest { path: self.path.clone(), dir: above.to_owned(), table: Table::new() };
                let directory = relative_to.resolve(&key, path)?;
                found.patches.push((self.path.clone(), key, directory));
            }
        }
        let mut programs: Vec<&Value> = Vec::new();
        let build = self.table.get("build");
        for key in ["rustc", "rustc-wrapper", "rustc-workspace-wrapper"] {
            programs.extend(build.and_then(|build| build.get(key)));
        }
        programs.extend(self.tables("target").filter_map(|(_, target)| target.get("linker")));
        // A bare name is looked up in `PATH`.
        let programs = programs.into_iter().filter_map(Value::as_str).filter(|path| path.contains('/'));
        let relative = self.tables("env").map(|(_, variable)| variable);
        let relative = relative.filter(|value| value.get("relative").and_then(Value::as_bool) == Some(true));
        let relative = relative.filter_map(|value| value.get("value")?.as_str());
        let overrides =
            self.table.get("paths").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let named = programs.chain(relative).chain(overrides).filter_map(|path| self.resolve(path));
        // A variable that holds the root of the tree is no wish for everything in it.
        found.named.extend(named.filter(|path| !path.is_empty() && self.is_there(path)));
        Ok(())
    }

    fn is_there(&self, path: &str) -> bool {
        self.repo.entry(path.as_bytes()).is_some() || !self.repo.below(path).is_empty()
    }
}
