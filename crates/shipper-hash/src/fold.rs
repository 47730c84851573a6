//! Names that a file system without a difference of case takes for one.

use std::collections::BTreeMap;

use crate::context::has_below;
use crate::path::split_parent;
use crate::{Entry, RelPath};

/// Pairs of names in one directory, of files or of directories, that differ in case only; `entries` are sorted.
///
/// The work is one look at every byte and little more for each name that has a letter in upper case.
pub(crate) fn pairs(entries: &[Entry]) -> Vec<(RelPath, RelPath)> {
    let mut seen: BTreeMap<Vec<u8>, &[u8]> = BTreeMap::new();
    let mut pairs = Vec::new();
    let mut last: &[u8] = b"";
    for entry in entries {
        let path = entry.path.as_bytes();
        let common = last.iter().zip(path).take_while(|(a, b)| a == b).count();
        let mut from = path[..common].iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
        last = path;
        while from <= path.len() {
            let end = path[from..].iter().position(|&byte| byte == b'/').map_or(path.len(), |length| from + length);
            let (prefix, name) = (&path[..end], &path[from..end]);
            from = end + 1;
            if !name.iter().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
                continue;
            }
            // A name in lower case is found by those that are not.
            let Some(folded) = fold(name).filter(|folded| folded != name) else { continue };
            let parent = split_parent(prefix).0;
            let folded = parent.map_or_else(|| folded.clone(), |parent| crate::path::join(parent, &folded));
            let pair = |other: &[u8]| (RelPath::trusted(other.to_vec()), RelPath::trusted(prefix.to_vec()));
            let lower = RelPath::trusted(folded);
            match seen.get(lower.as_bytes()) {
                // A directory and something of the same name that is no directory do not come together.
                Some(&other) if other != prefix => pairs.push(pair(other)),
                Some(_) => {}
                None => {
                    if has_below(entries, &lower) {
                        pairs.push(pair(lower.as_bytes()));
                    }
                    seen.insert(lower.as_bytes().to_vec(), prefix);
                }
            }
        }
    }
    pairs
}

/// A name in lower case; `None` if its case cannot be told.
fn fold(name: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(name).ok()?;
    Some(text.to_lowercase().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn check(paths: &[&str], expected: &[(&str, &str)]) {
        let mut entries: Vec<Entry> =
            paths.iter().map(|path| Entry::new(RelPath::try_from(*path).expect("a path"), Kind::File, b"")).collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let found: Vec<(String, String)> =
            pairs(&entries).iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        let expected: Vec<(String, String)> =
            expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(found, expected, "{paths:?}");
    }

    #[test]
    fn names_that_differ_in_case_only_are_pairs() {
        check(&["a", "b", "A b"], &[]);
        check(&["README", "readme"], &[("readme", "README")]);
        check(&["README", "Readme"], &[("README", "Readme")]);
        check(&["d/Makefile", "d/makefile", "e/Makefile"], &[("d/makefile", "d/Makefile")]);
        check(&["Docs/a", "docs/b"], &[("docs", "Docs")]);
        // What lies in such directories is not told again.
        check(&["Docs/A", "docs/a"], &[("docs", "Docs")]);
        check(&["Caf\u{c9}", "caf\u{e9}"], &[("caf\u{e9}", "Caf\u{c9}")]);
        check(&["A/x", "A-/x", "A"], &[]);
        check(&["a/B/c", "a/B/d", "a/b"], &[("a/b", "a/B")]);
    }
}
