//! Lock files of Python: `requirements.txt` with exact versions (pip documentation, "Requirements File Format"),
//! `poetry.lock` and `uv.lock`.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use crate::cargo::{packages, table, without_credentials};
use crate::component::{Bill, Checksum, Component};
use crate::purl::{Ecosystem, purl};
use crate::{Error, Result};

/// A name as PyPI compares names (PEP 503).
fn normal(name: &str) -> String {
    let parts: Vec<&str> = name.split(['-', '_', '.']).filter(|part| !part.is_empty()).collect();
    parts.join("-").to_ascii_lowercase()
}

fn component(name: &str, version: Option<&str>, checksums: BTreeSet<Checksum>, development: bool) -> Component {
    let name = normal(name);
    Component {
        ecosystem: Ecosystem::Pypi,
        purl: purl(Ecosystem::Pypi, &name, version, &[]),
        name,
        version: version.map(str::to_owned),
        download: None,
        checksums,
        licence: None,
        development,
    }
}

/// A checksum written `sha256:<hex>`.
fn checksum(text: &str) -> Option<Checksum> {
    let (algorithm, hex) = text.split_once(':')?;
    Checksum::from_hex(algorithm, hex)
}

/// The packages of a `requirements.txt`. A requirement without exact version (`==`) is a package without version.
///
/// # Errors
/// [`Error::LockFile`] for a line that is no requirement.
pub fn requirements(bytes: &[u8]) -> Result<Bill> {
    let fault = |reason: String| Error::LockFile { format: "requirements.txt", reason };
    let text = std::str::from_utf8(bytes).map_err(|error| fault(format!("it is not UTF-8: {error}")))?;
    let joined = text.trim_start_matches('\u{feff}').replace("\\\r\n", " ").replace("\\\n", " ");
    let mut bill = Bill::default();
    for line in joined.lines() {
        let line = line.split(" #").next().unwrap_or(line).trim();
        // Options name files and indexes, no packages.
        if line.is_empty() || line.starts_with(['#', '-']) {
            continue;
        }
        let (requirement, options) = line.split_once(" --").unwrap_or((line, ""));
        let hashes = format!("--{options}");
        let hashes = hashes.split_ascii_whitespace().filter_map(|word| checksum(word.strip_prefix("--hash=")?));
        let requirement = requirement.split(';').next().unwrap_or(requirement).trim();
        let end = requirement.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
        let (name, rest) = requirement.split_at(end.unwrap_or(requirement.len()));
        if name.is_empty() {
            return Err(fault(format!(
                "`{}` is no requirement",
                line.chars().take(60).collect::<String>().escape_debug()
            )));
        }
        let rest = match rest.trim_start().strip_prefix('[') {
            Some(extras) => extras.split_once(']').map_or("", |(_, rest)| rest),
            None => rest,
        };
        let version = rest.trim().strip_prefix("==").map(|version| version.trim_start_matches('=').trim());
        let version = version.filter(|version| !version.contains([',', '*', ' ']) && !version.is_empty());
        bill.add(component(name, version, hashes.collect(), false));
    }
    Ok(bill)
}

fn text<'t>(entry: &'t Table, key: &str) -> Option<&'t str> {
    entry.get(key).and_then(Value::as_str)
}

fn named<'t>(format: &'static str, entry: &'t Table) -> Result<&'t str> {
    text(entry, "name").ok_or_else(|| Error::LockFile { format, reason: "a package has no name".to_owned() })
}

/// The packages of a `poetry.lock`.
///
/// # Errors
/// [`Error::LockFile`].
pub fn poetry_lock(bytes: &[u8]) -> Result<Bill> {
    const FORMAT: &str = "poetry.lock";
    let document = table(FORMAT, bytes)?;
    let apart = document.get("metadata").and_then(|metadata| metadata.get("files")).and_then(Value::as_table);
    let mut bill = Bill::default();
    let mut known: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let entries = packages(FORMAT, &document)?;
    let mut purls = Vec::with_capacity(entries.len());
    for entry in &entries {
        let name = named(FORMAT, entry)?;
        // Since poetry 1.3 the files are with the package.
        let files = entry.get("files").or_else(|| apart?.get(name)).and_then(Value::as_array);
        let hashes = files.into_iter().flatten().filter_map(|file| checksum(file.get("hash")?.as_str()?));
        let groups = entry.get("groups").and_then(Value::as_array);
        let is_main = |group: &Value| group.as_str() == Some("main");
        let development = text(entry, "category") == Some("dev") || groups.is_some_and(|all| !all.iter().any(is_main));
        let one = component(name, text(entry, "version"), hashes.collect(), development);
        known.entry(one.name.clone()).or_default().push(one.purl.clone());
        purls.push(one.purl.clone());
        bill.add(one);
    }
    for (entry, from) in entries.iter().zip(&purls) {
        let names = entry.get("dependencies").and_then(Value::as_table).into_iter().flat_map(Table::keys);
        for to in names.filter_map(|name| known.get(&normal(name))).flatten() {
            bill.needs(from, to);
        }
    }
    Ok(bill)
}

/// The packages of a `uv.lock`. The project itself is not among them; what it needs for development only is marked as such.
///
/// # Errors
/// [`Error::LockFile`].
pub fn uv_lock(bytes: &[u8]) -> Result<Bill> {
    const FORMAT: &str = "uv.lock";
    let document = table(FORMAT, bytes)?;
    if document.get("version").and_then(Value::as_integer) != Some(1) {
        return Err(Error::LockFile { format: FORMAT, reason: "its version is not 1".to_owned() });
    }
    let mut bill = Bill::default();
    let mut known: BTreeMap<String, Vec<(Option<&str>, String)>> = BTreeMap::new();
    let entries = packages(FORMAT, &document)?;
    let is_own = |entry: &Table| {
        let source = entry.get("source").and_then(Value::as_table);
        source.is_some_and(|source| ["virtual", "editable", "directory"].iter().any(|kind| source.contains_key(*kind)))
    };
    for entry in entries.iter().filter(|entry| !is_own(entry)) {
        let version = text(entry, "version");
        let wheels = entry.get("wheels").and_then(Value::as_array).into_iter().flatten();
        let files = entry.get("sdist").into_iter().chain(wheels);
        let hashes = files.filter_map(|file| checksum(file.get("hash")?.as_str()?)).collect();
        let mut one = component(named(FORMAT, entry)?, version, hashes, false);
        let git = entry.get("source").and_then(|source| source.get("git")).and_then(Value::as_str);
        one.download = git.map(without_credentials);
        known.entry(one.name.clone()).or_default().push((version, one.purl.clone()));
        bill.add(one);
    }
    let found = |needs: Option<&Value>| -> Vec<String> {
        let mut found = Vec::new();
        for need in needs.and_then(Value::as_array).into_iter().flatten() {
            let told = |key: &str| need.get(key).and_then(Value::as_str);
            let all = told("name").and_then(|name| known.get(&normal(name))).into_iter().flatten();
            let all = all.filter(|(have, _)| told("version").is_none() || *have == told("version"));
            found.extend(all.map(|(_, purl)| purl.clone()));
        }
        found
    };
    let mut roots = BTreeSet::new();
    for entry in &entries {
        let optional = entry.get("optional-dependencies").and_then(Value::as_table);
        let mut needed = found(entry.get("dependencies"));
        needed.extend(optional.into_iter().flat_map(Table::values).flat_map(|extra| found(Some(extra))));
        if is_own(entry) {
            roots.extend(needed);
            continue;
        }
        let from = component(named(FORMAT, entry)?, text(entry, "version"), BTreeSet::new(), false).purl;
        needed.iter().for_each(|to| bill.needs(&from, to));
    }
    bill.mark_development(&roots);
    Ok(bill)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "1111111111111111111111111111111111111111111111111111111111111111";

    fn known(bill: &Bill) -> Vec<(&str, usize, bool)> {
        bill.components().map(|one| (one.purl.as_str(), one.checksums.len(), one.development)).collect()
    }

    #[test]
    fn requirements_have_versions_and_hashes() {
        let text = format!(
            "# a comment\n-r other.txt\n--index-url https://u:hunter2@x/simple\nFlask_Login[x]==1.0 ; python_version > '3' \\\n    \
             --hash=sha256:{HASH} \\\n    --hash=sha256:{}\nopen>=2,<3  # not exact\nurl @ https://x/y.whl\n",
            HASH.replace('1', "2")
        );
        let bill = requirements(text.as_bytes()).unwrap();
        let expected =
            [("pkg:pypi/flask-login@1.0", 2, false), ("pkg:pypi/open", 0, false), ("pkg:pypi/url", 0, false)];
        assert_eq!(known(&bill), expected);
        assert!(!format!("{bill:?}").contains("hunter2"));
        assert!(requirements(b"./local\n=x").is_err());
        assert!(requirements(b"\xff").is_err());
    }

    #[test]
    fn poetry_groups_are_told_apart() {
        let text = format!(
            "[[package]]\nname = 'A_b'\nversion = '1.0'\ngroups = ['main']\nfiles = [{{ file = 'x', hash = 'sha256:{HASH}' }}]\n\
             [package.dependencies]\nC = '>=1'\n[[package]]\nname = 'c'\nversion = '2.0'\ngroups = ['dev']\n"
        );
        let bill = poetry_lock(text.as_bytes()).unwrap();
        assert_eq!(known(&bill), [("pkg:pypi/a-b@1.0", 1, false), ("pkg:pypi/c@2.0", 0, true)]);
        assert_eq!(bill.needs_of("pkg:pypi/a-b@1.0").collect::<Vec<_>>(), ["pkg:pypi/c@2.0"]);
        assert!(poetry_lock(b"[[package]]\nversion = '1'").is_err());
    }

    #[test]
    fn what_a_uv_project_needs_for_development_only_is_marked() {
        let text = format!(
            "version = 1\n[[package]]\nname = 'own'\nversion = '0'\nsource = {{ virtual = '.' }}\ndependencies = [{{ name = 'a' }}]\n\
             [package.dev-dependencies]\ndev = [{{ name = 'd' }}]\n[[package]]\nname = 'a'\nversion = '1'\nsource = {{ registry = \
             'https://pypi.org/simple' }}\ndependencies = [{{ name = 'b' }}]\nsdist = {{ url = 'x', hash = 'sha256:{HASH}' }}\n\
             [[package]]\nname = 'b'\nversion = '2'\n[[package]]\nname = 'd'\nversion = '3'\n"
        );
        let bill = uv_lock(text.as_bytes()).unwrap();
        let expected = [("pkg:pypi/a@1", 1, false), ("pkg:pypi/b@2", 0, false), ("pkg:pypi/d@3", 0, true)];
        assert_eq!(known(&bill), expected);
        assert_eq!(bill.needs_of("pkg:pypi/a@1").collect::<Vec<_>>(), ["pkg:pypi/b@2"]);
        assert!(uv_lock(b"version = 2").is_err());
    }
}
