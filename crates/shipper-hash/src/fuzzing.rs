//! What must hold for any bytes that come from outside: the checks that the fuzz targets (`fuzz/`) and the properties
//! share. Not part of the interface; only there with the feature `fuzzing`.

use std::collections::{BTreeMap, BTreeSet};

use crate::cache::{self, StatCache};
use crate::fs::Stat;
use crate::path::{fault, is_within};
use crate::repository::{Child, Flags, Tracked};

/// Reads `bytes` as a stat cache: as they are, and as the body of a file whose checksum is right.
///
/// # Panics
/// If a record is used for a file or directory that does not look as the record says.
pub fn cache_file(bytes: &[u8]) {
    let tree = [7; cache::DIGEST];
    // As good as never a cache, and then a whole one.
    if let Some(cache) = StatCache::parse(bytes.to_vec().into(), &tree) {
        contents(&cache, bytes);
    }
    let framed = cache::framed(&tree, bytes);
    assert!(StatCache::parse(framed.clone().into(), &[8; cache::DIGEST]).is_none(), "the cache of another tree");
    if let Some(cache) = StatCache::parse(framed.into(), &tree) {
        contents(&cache, bytes);
    }
}

fn contents(cache: &StatCache, bytes: &[u8]) {
    let looks = Stat::of_blob(1);
    let fields = cache::fields_of(&looks).expect("it has room");
    let holds = |wanted: &[u8]| bytes.windows(wanted.len()).any(|window| window == wanted);
    let paths: Vec<Vec<u8>> = cache.paths().map(<[u8]>::to_vec).collect();
    for path in paths {
        let records = cache.directory(&path);
        let used = records.are_complete(&looks) || records.tracked(&looks).is_some();
        assert!(!used || holds(&fields), "used for another directory");
        let tracked = records.tracked(&looks).map(|at| cache.tracked(at)).unwrap_or_default();
        for (_, child) in tracked.children(tracked.top()) {
            if let Child::Directory { at, .. } = child {
                tracked.children(at).for_each(drop);
            }
        }
        let mut asked = cache.directory(&path);
        for name in records.names.iter().map(|listed| listed.name).chain([b"a".as_slice()]) {
            if let Some(file) = asked.find(name, &looks) {
                assert!(holds(&fields) && holds(&cache.digest(file).0), "a digest from nowhere");
            }
        }
    }
}

/// Reads `bytes` as the paths of an index, separated by NUL, the first byte of each as its flags.
///
/// # Panics
/// If a path that leads out of the work tree or into `.git` is accepted or another one refused, or if the paths that are
/// found by directory are not those of the index.
pub fn index_paths(bytes: &[u8]) {
    let entry = |bytes: &'_ [u8]| -> Option<(Vec<u8>, Flags)> {
        let (&flags, path) = bytes.split_first()?;
        let bit = |at: u8| flags >> at & 1 == 1;
        let flags = Flags { executable: bit(0), submodule: bit(1), directory: bit(2), sparse: bit(3) };
        Some((path.to_vec(), flags))
    };
    let entries: Vec<(Vec<u8>, Flags)> = bytes.split(|&byte| byte == 0).filter_map(entry).collect();
    let bad = entries.iter().any(|(path, _)| fault(path).is_some() || names_git(path));
    let tracked = match Tracked::new(entries.iter().map(|(path, flags)| (path.as_slice(), *flags))) {
        Ok(tracked) => tracked,
        Err(problem) => return assert!(bad && !problem.is_empty(), "{problem}"),
    };
    assert!(!bad, "a path that leads elsewhere was accepted");
    let all: BTreeSet<&[u8]> = entries.iter().map(|(path, _)| path.as_slice()).collect();
    let mut found = BTreeMap::new();
    let mut needs = Vec::new();
    let mut waiting = vec![(Vec::new(), tracked.top())];
    while let Some((directory, at)) = waiting.pop() {
        assert_eq!(tracked.below(&directory), at, "not what is below a directory");
        for (name, child) in tracked.children(at) {
            assert!(!name.is_empty() && !name.contains(&b'/'), "no name");
            let path = crate::path::join(&directory, name);
            match child {
                Child::Directory { at, needed } => {
                    needs.push((path.clone(), needed));
                    waiting.push((path, at));
                }
                Child::File(flags) => assert!(found.insert(path, flags).is_none(), "found twice"),
            }
        }
    }
    assert!(found.keys().map(Vec::as_slice).eq(all), "not the paths of the index");
    for (directory, needed) in needs {
        let is_needed = |(path, flags): (&Vec<u8>, &Flags)| {
            (flags.sparse || flags.submodule) && *path != directory && is_within(path, &directory)
        };
        assert_eq!(found.iter().any(is_needed), needed, "a directory that must exist, or need not");
    }
}

/// Whether a part of `path` is `.git`, in whatever case.
fn names_git(path: &[u8]) -> bool {
    let is_git = |at: usize| {
        let part = path[at..].split(|&byte| byte == b'/').next().unwrap_or_default();
        part.eq_ignore_ascii_case(b".git")
    };
    path.iter().enumerate().any(|(at, &byte)| byte == b'.' && (at == 0 || path[at - 1] == b'/') && is_git(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cases() -> ProptestConfig {
        let asked = std::env::var("SHIPPER_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok());
        ProptestConfig::with_cases(asked.unwrap_or(100_000))
    }

    /// Some of `words` and a few bytes that mean nothing, by one number: a tree of values for each piece costs more than
    /// the checks.
    fn pieces(words: Vec<Vec<u8>>, most: u64) -> impl Strategy<Value = Vec<u8>> {
        any::<u64>().prop_map(move |mut state| {
            // SplitMix64.
            let mut below = |limit: u64| {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                (mixed ^ mixed >> 31) % limit
            };
            let mut bytes = Vec::new();
            for _ in 0..below(most) {
                match below(13) {
                    0 => bytes.extend((0..1 + below(3)).map(|_| below(256) as u8)),
                    _ => bytes.extend_from_slice(&words[below(words.len() as u64) as usize]),
                }
            }
            bytes
        })
    }

    /// Paths of every kind; `\0` ends one, the byte after it has the flags of the next.
    fn index() -> impl Strategy<Value = Vec<u8>> {
        let words = "\0 |\0(|a|b|ab|a-|a/|/|b/|.|..|.git|.GIT/|/.|-|é|\u{1}|c".split('|');
        pieces(words.map(|word| word.as_bytes().to_vec()).collect(), 24)
    }

    /// Numbers, names and records as they lie in the file.
    fn cache() -> impl Strategy<Value = Vec<u8>> {
        let number = |number: u32| number.to_le_bytes().to_vec();
        let fields = cache::fields_of(&Stat::of_blob(1)).expect("it has room").to_vec();
        let name = [&[1, 0][..], b"a"].concat();
        let file = [&name[..], &[0], &fields, &[9; cache::DIGEST]].concat();
        let directory = |flags: u8, records: &[&[u8]]| {
            let content = [&[flags][..], &records.concat()].concat();
            let length = u32::try_from(content.len()).expect("it is short");
            [number(1), b"d".to_vec(), number(length), content].concat()
        };
        let words = vec![
            directory(0, &[&file]),
            directory(1, &[&fields, &file, &name, &[3]]),
            directory(3, &[&fields, &fields, &name, &[2]]),
            directory(1, &[&file]),
            number(0),
            number(1),
            number(2),
            number(u32::MAX),
            fields,
            name,
            file,
            vec![1],
            vec![0],
        ];
        // A count that is right more often than not.
        (0..3_u32, pieces(words, 6)).prop_map(move |(count, rest)| [number(count), rest].concat())
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn no_bytes_confuse_the_paths_of_an_index(bytes in index()) {
            index_paths(&bytes);
        }

        #[test]
        fn no_bytes_confuse_the_stat_cache(bytes in cache()) {
            cache_file(&bytes);
        }
    }

    #[test]
    fn the_checks_reach_what_they_are_about() {
        let tree = [7; cache::DIGEST];
        let looks = Stat::of_blob(1);
        let mut used = 0;
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        for _ in 0..300 {
            let bytes = proptest::strategy::ValueTree::current(&cache().new_tree(&mut runner).expect("a tree"));
            if let Some(cache) = StatCache::parse(cache::framed(&tree, &bytes).into(), &tree) {
                used += usize::from(cache.directory(b"d").find(b"a", &looks).is_some());
            }
        }
        assert!(used >= 5, "only {used} caches of 300 have a digest that is used");
    }

    #[test]
    fn the_corpus_of_the_fuzz_targets_passes() {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
        for (target, check) in [("index_paths", index_paths as fn(&[u8])), ("cache_file", cache_file)] {
            let entries: Vec<_> = std::fs::read_dir(corpus.join(target)).expect("a corpus").collect();
            assert!(!entries.is_empty(), "no corpus");
            for entry in entries {
                check(&std::fs::read(entry.expect("an entry").path()).expect("a file"));
            }
        }
    }
}
