//! `Cargo.lock`, formats 1 to 4 (cargo `src/cargo/core/resolver/encode.rs`).

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use crate::component::{Bill, Checksum, Component};
use crate::purl::{Ecosystem, purl};
use crate::{Error, Result};

const CRATES_IO: [&str; 2] =
    ["registry+https://github.com/rust-lang/crates.io-index", "sparse+https://index.crates.io/"];

/// Reads a table of TOML.
pub(crate) fn table(format: &'static str, bytes: &[u8]) -> Result<Table> {
    let fault = |reason: String| Error::LockFile { format, reason };
    let text = std::str::from_utf8(bytes).map_err(|error| fault(format!("it is not UTF-8: {error}")))?;
    toml::from_str(text).map_err(|error| fault(error.message().to_owned()))
}

/// The tables of the list `package`.
pub(crate) fn packages<'t>(format: &'static str, table: &'t Table) -> Result<Vec<&'t Table>> {
    let fault = |reason: &str| Error::LockFile { format, reason: reason.to_owned() };
    match table.get("package") {
        None => Ok(Vec::new()),
        Some(Value::Array(entries)) => {
            entries.iter().map(|entry| entry.as_table().ok_or_else(|| fault("a package is not a table"))).collect()
        }
        Some(_) => Err(fault("`package` is not a list")),
    }
}

/// Packages by name: version, source without its commit, package URL.
type Known<'t> = BTreeMap<&'t str, Vec<(&'t str, Option<&'t str>, String)>>;

/// The packages of a `Cargo.lock`.
///
/// # Errors
/// [`Error::LockFile`].
pub fn cargo_lock(bytes: &[u8]) -> Result<Bill> {
    const FORMAT: &str = "Cargo.lock";
    let fault = |reason: &str| Error::LockFile { format: FORMAT, reason: reason.to_owned() };
    let table = table(FORMAT, bytes)?;
    if let Some(version) = table.get("version")
        && !version.as_integer().is_some_and(|version| (1..=4).contains(&version))
    {
        return Err(fault(&format!("its format is version {version}, the newest known is 4")));
    }
    let metadata = table.get("metadata").and_then(Value::as_table);
    let mut bill = Bill::default();
    let mut known: Known<'_> = BTreeMap::new();
    let entries = packages(FORMAT, &table)?;
    let mut purls = Vec::with_capacity(entries.len());
    for entry in &entries {
        let text = |key: &str| entry.get(key).and_then(Value::as_str);
        let (Some(name), Some(version)) = (text("name"), text("version")) else {
            return Err(fault("a package has no name or no version"));
        };
        let source = text("source");
        let plain = source.map(|source| source.split('#').next().unwrap_or(source));
        let old = || metadata?.get(&format!("checksum {name} {version} ({})", plain?)).and_then(Value::as_str);
        let checksum = text("checksum").or_else(old);
        let (purl, download) = place(name, version, source);
        purls.push(purl.clone());
        known.entry(name).or_default().push((version, plain, purl.clone()));
        bill.add(Component {
            ecosystem: Ecosystem::Cargo,
            name: name.to_owned(),
            version: Some(version.to_owned()),
            purl,
            download,
            checksums: checksum.and_then(|hex| Checksum::from_hex("sha256", hex)).into_iter().collect(),
            licence: None,
            development: false,
        });
    }
    for (entry, from) in entries.iter().zip(&purls) {
        let references = entry.get("dependencies").and_then(Value::as_array).into_iter().flatten();
        for to in references.filter_map(Value::as_str).filter_map(|reference| find(&known, reference)) {
            bill.needs(from, &to);
        }
    }
    Ok(bill)
}

/// Package URL and download location of a package.
fn place(name: &str, version: &str, source: Option<&str>) -> (String, Option<String>) {
    let of = |qualifiers: &[(&str, &str)]| purl(Ecosystem::Cargo, name, Some(version), qualifiers);
    match source {
        None => (of(&[]), None),
        Some(source) if CRATES_IO.contains(&source) => {
            (of(&[]), Some(format!("https://crates.io/api/v1/crates/{name}/{version}/download")))
        }
        Some(source) if source.starts_with("git+") => {
            let (url, commit) = source.split_once('#').unwrap_or((source, ""));
            let url = without_credentials(url.split('?').next().unwrap_or(url));
            let place = if commit.is_empty() { url } else { format!("{url}@{commit}") };
            (of(&[("vcs_url", &place)]), Some(place))
        }
        Some(source) => {
            let url = source.split_once('+').map_or(source, |(_, url)| url);
            (of(&[("repository_url", &without_credentials(url))]), None)
        }
    }
}

/// A URL without `user:password@`.
pub(crate) fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// The package that `name`, `name version` or `name version (source)` means.
fn find(known: &Known<'_>, reference: &str) -> Option<String> {
    let mut words = reference.splitn(3, ' ');
    let mut found: Vec<_> = known.get(words.next()?)?.iter().collect();
    if let Some(version) = words.next() {
        found.retain(|(known, ..)| *known == version);
    }
    if let Some(source) = words.next() {
        let source = source.trim_start_matches('(').trim_end_matches(')').split('#').next();
        found.retain(|(_, known, _)| *known == source);
    }
    if found.len() > 1 {
        // Packages of the tree have no source to name.
        found.retain(|(_, source, _)| source.is_none());
    }
    let purls: BTreeSet<&String> = found.iter().map(|(.., purl)| purl).collect();
    (purls.len() == 1).then(|| purls.into_iter().next().cloned()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
version = 4
[[package]]
name = "api"
version = "0.1.0"
dependencies = ["a 1.0.0", "own", "forked"]
[[package]]
name = "a"
version = "1.0.0"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "1111111111111111111111111111111111111111111111111111111111111111"
dependencies = ["a 2.0.0"]
[[package]]
name = "a"
version = "2.0.0"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "short"
[[package]]
name = "own"
version = "3.0.0"
source = "sparse+https://user:hunter2@crates.example/index/"
[[package]]
name = "forked"
version = "1.0.0"
source = "git+https://hunter2@git.example/forked?branch=x#c0ffee"
"#;

    #[test]
    fn packages_are_named_with_where_they_come_from_and_no_credentials() {
        let bill = cargo_lock(LOCK.as_bytes()).unwrap();
        let purls: Vec<&str> = bill.components().map(|one| one.purl.as_str()).collect();
        let expected = [
            "pkg:cargo/a@1.0.0",
            "pkg:cargo/a@2.0.0",
            "pkg:cargo/api@0.1.0",
            "pkg:cargo/forked@1.0.0?vcs_url=git%2Bhttps:%2F%2Fgit.example%2Fforked%40c0ffee",
            "pkg:cargo/own@3.0.0?repository_url=https:%2F%2Fcrates.example%2Findex%2F",
        ];
        assert_eq!(purls, expected);
        assert!(!format!("{bill:?}").contains("hunter2"));
        assert_eq!(bill.needs_of("pkg:cargo/api@0.1.0").collect::<Vec<_>>(), [expected[0], expected[3], expected[4]]);
        assert_eq!(bill.needs_of("pkg:cargo/a@1.0.0").collect::<Vec<_>>(), [expected[1]]);
        assert_eq!(bill.roots().len(), 1);
        let checksums: Vec<usize> = bill.components().map(|one| one.checksums.len()).collect();
        assert_eq!(checksums, [1, 0, 0, 0, 0]);
    }

    #[test]
    fn checksums_of_format_1_are_found() {
        let lock = "[[package]]\nname = 'a'\nversion = '1.0.0'\nsource = 'registry+https://x/y'\n[metadata]\n\
                    'checksum a 1.0.0 (registry+https://x/y)' = \
                    '1111111111111111111111111111111111111111111111111111111111111111'\n";
        assert_eq!(cargo_lock(lock.as_bytes()).unwrap().components().next().unwrap().checksums.len(), 1);
    }

    #[test]
    fn what_is_no_lock_is_refused() {
        let texts: [&[u8]; 5] =
            [b"\xff", b"package = 1", b"version = 9", b"[[package]]\nname = 'a'", b"package = ['a']"];
        for text in texts {
            assert!(matches!(cargo_lock(text), Err(Error::LockFile { .. })), "{}", text.escape_ascii());
        }
        assert!(cargo_lock(b"").unwrap().is_empty());
    }
}
