//! Laws of the manifest: injective encoding, sensitivity, diff.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use shipper_hash::{ChangeKind, Entry, FileDigest, Kind, Manifest, RelPath};

fn path(text: &str) -> RelPath {
    RelPath::try_from(text).unwrap()
}

fn file(name: &str, content: &str) -> Entry {
    Entry::new(path(name), Kind::File, content.as_bytes())
}

/// Any content below any name; names that would put one entry below another are dropped.
fn manifests() -> impl Strategy<Value = Manifest> {
    let part = prop_oneof![
        4 => "[ab.]{1,2}".prop_filter("a plain name", |name| name != "." && name != "..").prop_map(String::into_bytes),
        1 => vec(any::<u8>().prop_filter("a name byte", |byte| *byte != 0 && *byte != b'/'), 1..4)
            .prop_filter("a plain name", |name| name != b"." && name != b".."),
    ];
    let names = vec(part, 1..4).prop_map(|parts| RelPath::new(parts.join(&b'/')).unwrap());
    let kinds = prop_oneof![Just(Kind::File), Just(Kind::Executable), Just(Kind::Symlink), Just(Kind::EmptyDir)];
    btree_map(names, (kinds, vec(any::<u8>(), 0..4)), 0..8).prop_map(|entries| {
        let mut kept: Vec<Entry> = Vec::new();
        for (path, (kind, content)) in entries {
            if kept.iter().all(|entry| !path.starts_with(&entry.path)) {
                let content = if kind == Kind::EmptyDir { Vec::new() } else { content };
                kept.push(Entry::new(path, kind, &content));
            }
        }
        Manifest::new(kept).unwrap()
    })
}

proptest! {
    #[test]
    fn decoding_returns_what_was_encoded(manifest in manifests()) {
        let body = manifest.encode();
        prop_assert_eq!(&Manifest::decode(&body).unwrap(), &manifest);
        prop_assert!(body.is_empty() || Manifest::decode(&body[..body.len() - 1]).is_err());
        let longer = [body.as_slice(), &[0]].concat();
        prop_assert!(Manifest::decode(&longer).is_err());
        let paths: Vec<&[u8]> = manifest.entries().iter().map(|entry| entry.path.as_bytes()).collect();
        prop_assert_eq!(manifest.paths().collect::<Vec<_>>(), paths);
    }

    #[test]
    fn what_decodes_is_what_encode_writes(manifest in manifests(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut body = manifest.encode();
        let at = at.index(body.len());
        body[at] = byte;
        if let Ok(decoded) = Manifest::decode(&body) {
            prop_assert_eq!(decoded.encode(), body);
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(body in vec(any::<u8>(), 0..200)) {
        if let Ok(decoded) = Manifest::decode(&body) {
            prop_assert_eq!(decoded.encode(), body);
        }
    }

    #[test]
    fn diff_is_empty_exactly_when_hashes_are_equal(old in manifests(), new in manifests()) {
        prop_assert_eq!(old.diff(&new).is_empty(), old.hash() == new.hash());
        prop_assert!(old.diff(&old).is_empty());
    }

    #[test]
    fn applying_the_diff_gives_the_new_manifest(old in manifests(), new in manifests()) {
        let changes = old.diff(&new);
        prop_assert!(changes.is_sorted_by(|a, b| a.path < b.path));
        let mut entries: Vec<Entry> = old.entries().to_vec();
        for change in changes {
            entries.retain(|entry| entry.path != change.path && Some(&entry.path) != change.from.as_ref());
            if change.kind != ChangeKind::Removed {
                entries.push(new.get(change.path.as_bytes()).unwrap().clone());
            }
        }
        prop_assert_eq!(Manifest::new(entries).unwrap(), new);
    }

    #[test]
    fn entries_come_back_in_path_order_whatever_the_order_given(manifest in manifests(), seed: u64) {
        let mut entries = manifest.entries().to_vec();
        let count = entries.len().max(1);
        entries.rotate_left(usize::try_from(seed % count as u64).unwrap());
        prop_assert_eq!(Manifest::new(entries).unwrap().hash(), manifest.hash());
    }
}

/// R11, R12: the digest is of the content itself, and every part of an entry counts.
#[test]
fn each_single_mutation_changes_the_hash() {
    let base = || vec![file("a/x", "1"), file("a/y", "2"), Entry::new(path("l"), Kind::Symlink, b"a/x")];
    let with = |change: &dyn Fn(&mut Vec<Entry>)| {
        let mut entries = base();
        change(&mut entries);
        Manifest::new(entries).unwrap().hash()
    };
    let hashes = [
        with(&|_| {}),
        with(&|entries| entries[0] = file("a/x", "2")),
        with(&|entries| entries[0].kind = Kind::Executable),
        with(&|entries| entries[0] = file("b/x", "1")),
        with(&|entries| {
            entries[0] = file("a/x", "2");
            entries[1] = file("a/y", "1");
        }),
        with(&|entries| entries[2] = Entry::new(path("l"), Kind::Symlink, b"a/y")),
        with(&|entries| entries[2] = file("l", "a/x")),
        with(&|entries| drop(entries.pop())),
        with(&|entries| entries.push(file("z", ""))),
        with(&|entries| entries.push(Entry::new(path("z"), Kind::EmptyDir, b""))),
        with(&|entries| entries[0].size += 1),
    ];
    for (at, hash) in hashes.iter().enumerate() {
        assert!(!hashes[at + 1..].contains(hash), "mutation {at}");
    }
}

#[test]
fn one_entry_cannot_lie_below_another() {
    let reason = |entries: Vec<Entry>| Manifest::new(entries).unwrap_err().to_string();
    assert_eq!(
        reason(vec![file("a", ""), file("a.b", ""), file("a/c", "")]),
        "put both `a` and `a/c` into one context"
    );
    assert_eq!(reason(vec![file("a", "1"), file("b", ""), file("a", "2")]), "put `a` into one context twice");
    let full = Entry { path: path("d"), kind: Kind::EmptyDir, size: 1, digest: FileDigest::of(b"x") };
    assert_eq!(reason(vec![full]), "use this as a context manifest: the empty directory `d` has content");
    assert!(Manifest::new(vec![file("a", ""), file("a.b/c", ""), file("ab", "")]).is_ok());
}

/// G8: a hundred thousand damaged manifests are refused or mean exactly their bytes.
#[test]
fn damaged_manifests_do_no_harm() {
    let entries = (0..8).map(|at| file(&format!("d{}/f{at}", at % 3), &"x".repeat(at))).collect();
    let good = Manifest::new(entries).unwrap().encode();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |limit: usize| {
        // xorshift: the same sequence in every run.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % limit as u64).unwrap()
    };
    for _ in 0..100_000 {
        let mut body = good.clone();
        for _ in 0..=next(3) {
            match next(4) {
                0 => body.truncate(next(body.len() + 1)),
                1 => body.insert(next(body.len() + 1), u8::try_from(next(256)).unwrap()),
                _ if body.is_empty() => {}
                2 => drop(body.remove(next(body.len()))),
                _ => {
                    let at = next(body.len());
                    body[at] ^= 1 << next(8);
                }
            }
        }
        if let Ok(decoded) = Manifest::decode(&body) {
            assert_eq!(decoded.encode(), body);
        }
    }
}

#[test]
fn a_huge_count_costs_no_memory() {
    let error = Manifest::decode(&u64::MAX.to_le_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "use this as a context manifest: 18446744073709551615 entries do not fit into 8 bytes"
    );
}

#[test]
fn the_text_form_is_one_escaped_line_per_entry() {
    let manifest = Manifest::new(vec![
        Entry::new(RelPath::try_from(&b"caf\xe9\n"[..]).unwrap(), Kind::Executable, b"x"),
        Entry::new(path("d"), Kind::EmptyDir, b""),
    ])
    .unwrap();
    let (x, empty) = (FileDigest::of(b"x"), FileDigest::of(b""));
    let expected = format!("{x} executable 1 caf\\xe9\\n\n{empty} empty-dir 0 d\n");
    assert_eq!(manifest.to_text(), expected);
}

#[test]
fn diff_says_how_each_path_changed() {
    let old = Manifest::new(vec![
        file("content", "1"),
        file("mode", "1"),
        file("both", "1"),
        file("kind", "t"),
        file("gone", "1"),
        file("same", "1"),
        file("old place", "moved"),
        file("second", "twin"),
        file("first", "twin"),
        file("empty", ""),
    ])
    .unwrap();
    let new = Manifest::new(vec![
        file("content", "2"),
        Entry::new(path("mode"), Kind::Executable, b"1"),
        Entry::new(path("both"), Kind::Executable, b"2"),
        Entry::new(path("kind"), Kind::Symlink, b"t"),
        file("new", "1"),
        file("same", "1"),
        file("place/new", "moved"),
        file("one of twins", "twin"),
        file("empty too", ""),
    ])
    .unwrap();
    let shown = |change: &shipper_hash::Change| match &change.from {
        Some(from) => format!("{} {from} to {}", change.kind, change.path),
        None => format!("{} {}", change.kind, change.path),
    };
    let changes: Vec<String> = old.diff(&new).iter().map(shown).collect();
    assert_eq!(
        changes,
        [
            "content both",
            "content content",
            "removed empty",
            "added empty too",
            "kind kind",
            "mode mode",
            "renamed gone to new",
            "renamed first to one of twins",
            "renamed old place to place/new",
            "removed second",
        ]
        .map(str::to_owned)
    );
}
