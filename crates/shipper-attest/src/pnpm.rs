//! `pnpm-lock.yaml`, versions 6 and 9 (pnpm/spec `lockfile/6.0.md`, `lockfile/9.0.md`).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::component::{Bill, Checksum, Component};
use crate::purl::{Ecosystem, purl};
use crate::{Error, Result, yaml};

const FORMAT: &str = "pnpm-lock.yaml";

/// The packages of a `pnpm-lock.yaml`. What no importer needs but for development is marked as such.
///
/// # Errors
/// [`Error::LockFile`].
pub fn pnpm_lock(bytes: &[u8]) -> Result<Bill> {
    let fault = |reason: String| Error::LockFile { format: FORMAT, reason };
    let text = std::str::from_utf8(bytes).map_err(|error| fault(format!("it is not UTF-8: {error}")))?;
    let document = yaml::read(text).map_err(fault)?;
    let version = document.get("lockfileVersion").and_then(Value::as_str).unwrap_or_default();
    if !["6", "9"].contains(&version.split('.').next().unwrap_or_default()) {
        return Err(fault(format!("its version is `{}`; 6 and 9 are read", version.escape_default())));
    }
    let table = |key: &str| document.get(key).and_then(Value::as_object);
    let mut bill = Bill::default();
    for (key, entry) in table("packages").into_iter().flatten() {
        package(key, entry).into_iter().for_each(|component| bill.add(component));
    }
    // Version 6 has the dependencies with the packages, version 9 apart.
    for section in ["packages", "snapshots"] {
        for (key, entry) in table(section).into_iter().flatten() {
            let Some(from) = package(key, entry) else { continue };
            for to in dependencies(entry, &["dependencies", "optionalDependencies"]) {
                bill.needs(&from.purl, &to);
            }
        }
    }
    let alone = document.get("importers").is_none().then_some(&document);
    let importers = table("importers").into_iter().flat_map(Map::values).chain(alone);
    let roots: BTreeSet<String> =
        importers.flat_map(|importer| dependencies(importer, &["dependencies", "optionalDependencies"])).collect();
    bill.mark_development(&roots);
    Ok(bill)
}

/// Name and version of `name@version(peers)`, `/name@version(peers)`.
fn split(key: &str) -> Option<(&str, &str)> {
    let key = key.strip_prefix('/').unwrap_or(key);
    let key = key.split('(').next().unwrap_or(key);
    let at = key.get(1..)?.find('@')? + 1;
    Some((&key[..at], &key[at + 1..]))
}

fn package(key: &str, entry: &Value) -> Option<Component> {
    let (name, version) = split(key)?;
    let resolution = |key: &str| entry.get("resolution").and_then(|it| it.get(key)).and_then(Value::as_str);
    let told = |key: &str| entry.get(key).and_then(Value::as_str);
    let (name, version) = (told("name").unwrap_or(name), told("version").unwrap_or(version));
    Some(Component {
        ecosystem: Ecosystem::Npm,
        name: name.to_owned(),
        version: Some(version.to_owned()),
        purl: purl(Ecosystem::Npm, name, Some(version), &[]),
        download: resolution("tarball").filter(|url| url.contains("://")).map(crate::cargo::without_credentials),
        checksums: resolution("integrity").map(Checksum::from_integrity).unwrap_or_default(),
        licence: None,
        development: false,
    })
}

/// Package URLs of what an importer or package names: `name: version`, `alias: name@version`, `{ version }`.
fn dependencies(of: &Value, kinds: &[&str]) -> Vec<String> {
    let entries = kinds.iter().filter_map(|kind| of.get(*kind)?.as_object()).flatten();
    let one = |(name, value): (&String, &Value)| {
        let version = value.as_str().or_else(|| value.get("version")?.as_str())?;
        let version = version.split('(').next().unwrap_or(version);
        let (name, version) = match split(version) {
            Some((real, version)) if !version.contains('/') => (real, version),
            _ => (name.as_str(), version),
        };
        Some(purl(Ecosystem::Npm, name, Some(version), &[]))
    };
    entries.filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NINE: &str = "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      a:\n        specifier: ^1\n        \
        version: 1.0.0(@s/peer@2.0.0)\n    devDependencies:\n      d: {specifier: ^1, version: 3.0.0}\npackages:\n  \
        a@1.0.0:\n    resolution: {integrity: sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=}\n  '@s/peer@2.0.0': {}\n  d@3.0.0: {}\n\
        snapshots:\n  a@1.0.0(@s/peer@2.0.0):\n    dependencies:\n      '@s/peer': 2.0.0\n";
    const SIX: &str = "lockfileVersion: '6.0'\ndependencies:\n  a:\n    specifier: ^1\n    version: 1.0.0\npackages:\n  \
        /a@1.0.0:\n    resolution: {integrity: x}\n    dependencies:\n      '@s/peer': 2.0.0\n    dev: false\n  \
        /@s/peer@2.0.0:\n    dev: false\n  /d@3.0.0:\n    dev: true\n";

    #[test]
    fn both_versions_give_the_same_packages() {
        for text in [NINE, SIX] {
            let bill = pnpm_lock(text.as_bytes()).unwrap();
            let known: Vec<(&str, bool)> = bill.components().map(|one| (one.purl.as_str(), one.development)).collect();
            let expected = [("pkg:npm/%40s/peer@2.0.0", false), ("pkg:npm/a@1.0.0", false), ("pkg:npm/d@3.0.0", true)];
            assert_eq!(known, expected);
            assert_eq!(bill.needs_of(known[1].0).collect::<Vec<_>>(), [known[0].0]);
        }
        assert_eq!(pnpm_lock(NINE.as_bytes()).unwrap().components().nth(1).unwrap().checksums.len(), 1);
    }

    #[test]
    fn what_could_multiply_work_is_refused() {
        let deep = format!("lockfileVersion: '9.0'\npackages: {}", "[".repeat(1000));
        let texts = ["", "a: [", "lockfileVersion: 5.4", "a: &x 1\nb: *x", &deep, "a: 1\n---\nb: 2\n", "\u{0}"];
        for text in texts {
            assert!(matches!(pnpm_lock(text.as_bytes()), Err(Error::LockFile { .. })), "{text:.50}");
        }
    }
}
