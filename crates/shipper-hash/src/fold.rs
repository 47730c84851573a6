//! Names that a file system without a difference of case takes for one.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher as _};

use crate::RelPath;
use crate::path::{is_within, split_parent};

/// Pairs of paths.
pub(crate) type Pairs = Vec<(RelPath, RelPath)>;

/// Whether some of the `names` in a directory differ in case only: every directory is asked once, and only what lies in
/// one that has such names is looked at for [`pairs`].
pub(crate) fn any<'a>(names: impl Iterator<Item = &'a [u8]> + Clone) -> bool {
    let mut folded = Vec::new();
    for name in names.clone().filter(|name| name.iter().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii())) {
        let mut lower = Vec::new();
        if fold_into(name, &mut lower) && lower != name {
            folded.push(lower);
        }
    }
    folded.sort_unstable();
    let mut names = names;
    folded.windows(2).any(|pair| pair[0] == pair[1])
        || !folded.is_empty() && names.any(|name| folded.binary_search_by(|other| (**other).cmp(name)).is_ok())
}

/// Pairs of names in one directory, of files or of directories, that differ in case only; `paths` are sorted.
///
/// The work is one look at every byte, and little more for each name that has a letter in upper case.
pub(crate) fn pairs(paths: &[&[u8]]) -> Pairs {
    let mut pairs = Vec::new();
    // By the hash of the name in lower case.
    let mut seen: HashMap<u64, &[u8]> = HashMap::new();
    let mut lower = Vec::new();
    // The directory of the entry before, with its `/`.
    let mut directory: &[u8] = b"";
    for (at, &path) in paths.iter().enumerate() {
        let mut from = if path.starts_with(directory) {
            directory.len()
        } else {
            let common = directory.iter().zip(path).take_while(|(a, b)| a == b).count();
            path[..common].iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1)
        };
        let (mut has_case, mut last) = (false, from);
        for (at, &byte) in path.iter().enumerate().skip(from) {
            has_case |= byte.is_ascii_uppercase() | !byte.is_ascii();
            last = if byte == b'/' { at + 1 } else { last };
        }
        directory = &path[..last];
        while has_case && from <= path.len() {
            let end = path[from..].iter().position(|&byte| byte == b'/').map_or(path.len(), |length| from + length);
            let prefix = &path[..end];
            from = end + 1;
            // A name in lower case is found by those that are not.
            if !fold_into(prefix, &mut lower) || lower == prefix {
                continue;
            }
            let pair = |other: &[u8]| (RelPath::trusted(other.to_vec()), RelPath::trusted(prefix.to_vec()));
            let mut hasher = DefaultHasher::new();
            hasher.write(&lower);
            match seen.get(&hasher.finish()) {
                Some(&other) if other == prefix => {}
                Some(&other) if is_folded(other, &lower) => pairs.push(pair(other)),
                _ => {
                    // Letters in lower case come later, but for a few that are not ASCII.
                    let from = if lower.as_slice() < prefix { 0 } else { at };
                    if has(&paths[from..], &lower) {
                        pairs.push(pair(&lower));
                    }
                    seen.insert(hasher.finish(), prefix);
                }
            }
        }
    }
    pairs
}

/// Puts `path` with its last name in lower case into `lower`; `false` if its case cannot be told.
fn fold_into(path: &[u8], lower: &mut Vec<u8>) -> bool {
    let (parent, name) = split_parent(path);
    lower.clear();
    lower.extend_from_slice(path);
    lower.truncate(parent.map_or(0, |parent| parent.len() + 1));
    if name.is_ascii() {
        lower.extend(name.iter().map(u8::to_ascii_lowercase));
        return true;
    }
    std::str::from_utf8(name).is_ok_and(|name| {
        lower.extend_from_slice(name.to_lowercase().as_bytes());
        true
    })
}

fn is_folded(path: &[u8], lower: &[u8]) -> bool {
    let mut folded = Vec::new();
    fold_into(path, &mut folded) && folded == lower
}

/// Whether sorted `paths` have `path` or something below it; fast if that is near their beginning.
fn has(paths: &[&[u8]], path: &[u8]) -> bool {
    let mut end = 1;
    while paths.get(end).is_some_and(|other| *other < path) {
        end *= 2;
    }
    let near = &paths[end / 2..];
    let from = near[..near.len().min(end)].partition_point(|other| *other < path);
    // Between a name and what lies below it are those that go on with a byte before `/`.
    let mut alike = near[from..].iter().take_while(|other| other.starts_with(path));
    alike.any(|other| is_within(other, path))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn check(paths: &[&str], expected: &[(&str, &str)]) {
        let mut sorted: Vec<&[u8]> = paths.iter().map(|path| path.as_bytes()).collect();
        sorted.sort_unstable();
        let found: Vec<(String, String)> = pairs(&sorted).iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
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

    /// The number of pairs by their definition.
    fn naive(paths: &[Vec<u8>]) -> usize {
        let mut prefixes: Vec<&[u8]> = Vec::new();
        for path in paths {
            prefixes.extend((0..path.len()).filter(|&at| path[at] == b'/').map(|at| &path[..at]));
            prefixes.push(path);
        }
        prefixes.sort_unstable();
        prefixes.dedup();
        let mut folded: BTreeMap<Vec<u8>, Vec<&[u8]>> = BTreeMap::new();
        for prefix in prefixes {
            let mut lower = Vec::new();
            assert!(fold_into(prefix, &mut lower));
            folded.entry(lower).or_default().push(prefix);
        }
        folded.into_values().map(|group| group.len() - 1).sum()
    }

    proptest::proptest! {
        #[test]
        fn every_name_but_the_first_of_its_kind_is_in_a_pair(
            paths in proptest::collection::btree_set("[aAbB-][aA]?(/[aAbB.][bB]?){0,2}", 1..24),
        ) {
            let paths: Vec<Vec<u8>> = paths.into_iter().map(String::into_bytes).collect();
            // No file below a file.
            let is_directory = |path: &Vec<u8>| paths.iter().any(|other| other != path && is_within(other, path));
            let paths: Vec<Vec<u8>> = paths.iter().filter(|path| !is_directory(path)).cloned().collect();
            let paths: Vec<Vec<u8>> = paths.into_iter().filter(|path| crate::path::fault(path).is_none()).collect();
            let sorted: Vec<&[u8]> = paths.iter().map(Vec::as_slice).collect();
            let found = pairs(&sorted);
            proptest::prop_assert_eq!(found.len(), naive(&paths), "{:?}", found);
            let mut directories: BTreeMap<&[u8], BTreeSet<&[u8]>> = BTreeMap::new();
            for path in &paths {
                let mut rest = path.as_slice();
                while let (Some(parent), name) = split_parent(rest) {
                    directories.entry(parent).or_default().insert(name);
                    rest = parent;
                }
                directories.entry(b"").or_default().insert(rest);
            }
            let told = directories.values().any(|names| any(names.iter().copied()));
            proptest::prop_assert_eq!(told, !found.is_empty(), "{:?}", found);
        }
    }
}
