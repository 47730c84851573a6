//! Cargo's messages while it builds: progress, and where the executables are.
//!
//! Source: the Cargo book, "External tools", section "JSON messages".

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;

use super::metadata::Metadata;
use crate::log::Step;

#[derive(Debug, Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    package_id: String,
    target: Option<Target>,
    #[serde(default)]
    fresh: bool,
    executable: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
}

/// Counts crates while they are compiled.
#[derive(Debug)]
pub(super) struct Progress {
    package: String,
    names: BTreeMap<String, (String, String)>,
    total: usize,
    done: BTreeSet<String>,
    fresh: usize,
    executables: BTreeMap<String, PathBuf>,
}

impl Progress {
    /// Progress of building the package with this id.
    pub(super) fn new(metadata: &Metadata, package: &str) -> Progress {
        let names = metadata
            .packages()
            .iter()
            .map(|package| (package.id.clone(), (package.name.clone(), package.version.clone())));
        Progress {
            package: package.to_owned(),
            names: names.collect(),
            total: metadata.compiled_for(package).len(),
            done: BTreeSet::new(),
            fresh: 0,
            executables: BTreeMap::new(),
        }
    }

    /// Takes one line of standard output; lines that are no messages come from programs that Cargo runs.
    pub(super) fn message(&mut self, line: &str) -> Option<Step> {
        // Diagnostics arrive rendered, on standard error.
        let message: Message = serde_json::from_str(line).ok()?;
        if message.reason != "compiler-artifact" {
            return None;
        }
        let target = message.target?;
        if let Some(executable) = message.executable.filter(|_| message.package_id == self.package)
            && target.kind.iter().any(|kind| kind == "bin")
        {
            self.executables.insert(target.name.clone(), executable);
        }
        // A build script is not yet the crate.
        if target.kind.iter().any(|kind| kind == "custom-build") || !self.done.insert(message.package_id.clone()) {
            return None;
        }
        self.fresh += usize::from(message.fresh);
        let (name, version) = self.names.get(&message.package_id).cloned().unwrap_or((target.name, String::new()));
        let done = self.done.len();
        Some(Step::Crate { name, version, fresh: message.fresh, done, total: self.total.max(done) })
    }

    pub(super) fn summary(&self) -> Step {
        Step::Compiled { compiled: self.done.len() - self.fresh, fresh: self.fresh }
    }

    /// The package's binaries by name.
    pub(super) fn into_executables(self) -> BTreeMap<String, PathBuf> {
        self.executables
    }
}

/// Whether a line is Cargo's own status (`   Compiling x v1.0.0`), which the steps say better.
pub(super) fn is_status(line: &str) -> bool {
    const VERBS: &[&str] = &[
        "Adding",
        "Blocking",
        "Building",
        "Checking",
        "Compiling",
        "Dirty",
        "Downgrading",
        "Downloaded",
        "Downloading",
        "Finished",
        "Fresh",
        "Locking",
        "Removing",
        "Running",
        "Unpacking",
        "Updating",
        "Upgrading",
    ];
    // Verbs are aligned right in twelve columns.
    let trimmed = line.trim_start();
    let verb = trimmed.split(' ').next().unwrap_or_default();
    VERBS.contains(&verb) && line.len() - trimmed.len() + verb.len() == 12
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_are_counted_once_and_executables_are_the_packages_own() {
        let metadata = Metadata::parse(
            r#"{"packages": [{"id": "path+x#app@0.1.0", "name": "app", "version": "0.1.0", "source": null, "manifest_path": "/x", "targets": []}],
                "workspace_members": [], "resolve": {"nodes": [{"id": "path+x#app@0.1.0", "deps": []}]}}"#,
        )
        .unwrap();
        let mut progress = Progress::new(&metadata, "path+x#app@0.1.0");
        let mut take = |id: &str, kind: &str, name: &str, fresh: bool| {
            progress.message(&format!(
                r#"{{"reason":"compiler-artifact","package_id":"{id}","target":{{"kind":["{kind}"],"name":"{name}"}},"fresh":{fresh},"executable":"/t/{name}"}}"#
            ))
        };
        assert_eq!(take("path+x#app@0.1.0", "custom-build", "build-script-build", false), None);
        assert_eq!(
            take("registry+y#dep@2.0.0", "lib", "dep", true),
            Some(Step::Crate { name: "dep".into(), version: String::new(), fresh: true, done: 1, total: 1 })
        );
        assert_eq!(
            take("path+x#app@0.1.0", "bin", "one", false),
            Some(Step::Crate { name: "app".into(), version: "0.1.0".into(), fresh: false, done: 2, total: 2 })
        );
        assert_eq!(take("path+x#app@0.1.0", "bin", "two", false), None);
        assert!(take("registry+y#other@2.0.0", "bin", "three", false).is_some());
        for line in ["", "not json", "{}", r#"{"reason":"build-finished","success":true}"#] {
            assert_eq!(progress.message(line), None);
        }
        assert_eq!(progress.summary(), Step::Compiled { compiled: 2, fresh: 1 });
        assert_eq!(progress.into_executables().into_keys().collect::<Vec<_>>(), ["one", "two"]);
    }

    #[test]
    fn status_lines_are_told_from_diagnostics() {
        assert!(is_status("   Compiling app v0.1.0 (/x)") && is_status("    Finished `release` profile"));
        assert!(!is_status("error: Compiling") && !is_status("Compiling x") && !is_status("  Running x"));
        assert!(!is_status("") && !is_status("            "));
    }
}
