//! `package-lock.json` and `npm-shrinkwrap.json`, versions 2 and 3 (npm/cli
//! `docs/lib/content/configuring-npm/package-lock-json.md`).

use serde_json::{Map, Value};

use crate::component::{Bill, Checksum, Component};
use crate::licence::normalise;
use crate::purl::{Ecosystem, purl};
use crate::{Error, Result};

const FORMAT: &str = "package-lock.json";
const MODULES: &str = "node_modules/";

/// The packages of a `package-lock.json`.
///
/// # Errors
/// [`Error::LockFile`].
pub fn npm_lock(bytes: &[u8]) -> Result<Bill> {
    let fault = |reason: String| Error::LockFile { format: FORMAT, reason };
    let document: Value = serde_json::from_slice(bytes).map_err(|error| fault(error.to_string()))?;
    match document.get("lockfileVersion").and_then(Value::as_u64) {
        Some(2 | 3) => {}
        Some(1) => return Err(fault("it is of version 1; npm 7 and later write it anew".to_owned())),
        _ => return Err(fault("its `lockfileVersion` is not known".to_owned())),
    }
    let packages = document.get("packages").and_then(Value::as_object);
    let packages = packages.ok_or_else(|| fault("it has no `packages`".to_owned()))?;
    let mut bill = Bill::default();
    for (path, entry) in packages {
        bill_entry(path, entry).into_iter().for_each(|component| bill.add(component));
    }
    for (path, entry) in packages {
        let Some(from) = bill_entry(path, entry) else { continue };
        for kind in ["dependencies", "optionalDependencies", "peerDependencies"] {
            let names = entry.get(kind).and_then(Value::as_object).into_iter().flat_map(Map::keys);
            for to in names.filter_map(|name| resolved(packages, path, name)) {
                bill.needs(&from.purl, &to.purl);
            }
        }
    }
    Ok(bill)
}

/// An installed package; nothing for the project itself and what it links to.
fn bill_entry(path: &str, entry: &Value) -> Option<Component> {
    let (_, installed) = path.rsplit_once(MODULES)?;
    let text = |key: &str| entry.get(key).and_then(Value::as_str);
    let is = |key: &str| entry.get(key).and_then(Value::as_bool).unwrap_or(false);
    if is("link") {
        return None;
    }
    // Behind an alias the name is told.
    let name = text("name").unwrap_or(installed);
    let version = text("version");
    Some(Component {
        ecosystem: Ecosystem::Npm,
        name: name.to_owned(),
        version: version.map(str::to_owned),
        purl: purl(Ecosystem::Npm, name, version, &[]),
        download: text("resolved").filter(|url| url.contains("://")).map(crate::cargo::without_credentials),
        checksums: text("integrity").map(Checksum::from_integrity).unwrap_or_default(),
        licence: text("license").and_then(normalise),
        development: is("dev") || is("devOptional"),
    })
}

/// What `name` means in the package at `path`: the nearest directory of modules that has it, as Node looks for it.
fn resolved(packages: &Map<String, Value>, path: &str, name: &str) -> Option<Component> {
    let mut directory = Some(path);
    while let Some(here) = directory {
        let separator = if here.is_empty() { "" } else { "/" };
        let candidate = format!("{here}{separator}{MODULES}{name}");
        if let Some(entry) = packages.get(&candidate) {
            return bill_entry(&candidate, entry);
        }
        directory = match here.rsplit_once(MODULES) {
            Some((above, _)) => Some(above.trim_end_matches('/')),
            None if here.is_empty() => None,
            None => Some(""),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_found_as_node_finds_them() {
        let lock = r#"{"lockfileVersion": 3, "packages": {
            "": {"name": "web", "dependencies": {"a": "1"}},
            "node_modules/a": {"version": "1.0.0", "resolved": "https://u:hunter2@r.example/a.tgz", "license": "MIT",
                "integrity": "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==",
                "dependencies": {"@s/b": "1"}},
            "node_modules/a/node_modules/@s/b": {"version": "1.0.0", "dependencies": {"c": "1"}},
            "node_modules/@s/b": {"version": "2.0.0", "dev": true},
            "node_modules/c": {"name": "real", "version": "1.0.0"},
            "node_modules/web-own": {"resolved": "packages/own", "link": true}}}"#;
        let bill = npm_lock(lock.as_bytes()).unwrap();
        let purls: Vec<&str> = bill.components().map(|one| one.purl.as_str()).collect();
        assert_eq!(purls, ["pkg:npm/%40s/b@1.0.0", "pkg:npm/%40s/b@2.0.0", "pkg:npm/a@1.0.0", "pkg:npm/real@1.0.0"]);
        assert_eq!(bill.needs_of(purls[2]).collect::<Vec<_>>(), [purls[0]]);
        assert_eq!(bill.needs_of(purls[0]).collect::<Vec<_>>(), [purls[3]]);
        let a = bill.components().nth(2).unwrap();
        assert_eq!((a.checksums.len(), a.licence.as_deref()), (1, Some("MIT")));
        assert_eq!(a.download.as_deref(), Some("https://r.example/a.tgz"));
        assert!(bill.components().nth(1).unwrap().development);
    }

    #[test]
    fn other_versions_are_refused() {
        for text in
            ["", "[]", "{}", r#"{"lockfileVersion": 1}"#, r#"{"lockfileVersion": 3}"#, r#"{"lockfileVersion": 9}"#]
        {
            assert!(matches!(npm_lock(text.as_bytes()), Err(Error::LockFile { .. })), "{text}");
        }
    }
}
