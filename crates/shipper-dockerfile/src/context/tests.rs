//! Rows and laws for context paths and the links on their way.

use super::{ContextPath, Inputs, WidenKind};
use proptest::prelude::*;

fn path(pattern: &str) -> ContextPath {
    ContextPath::new(pattern.as_bytes()).unwrap_or_else(|| panic!("{pattern} is the root"))
}

#[test]
fn a_path_covers_itself_and_what_is_below() {
    let check = |pattern: &str, covered: &[&str], other: &[&str]| {
        for name in covered {
            assert!(path(pattern).covers(name.as_bytes()), "{pattern} should cover {name}");
        }
        for name in other {
            assert!(!path(pattern).covers(name.as_bytes()), "{pattern} should not cover {name}");
        }
    };
    check("a", &["a", "a/b", "a/b/c"], &["ab", "b", "b/a"]);
    check("a/b", &["a/b", "a/b/c"], &["a", "a/c", "a/bc"]);
    check("/a/./b/../c/", &["a/c"], &["a/b"]);
    check("*.rs", &["x.rs", "x.rs/y"], &["a/x.rs", "x.rsx"]);
    check("a/*/c", &["a/b/c", "a/x/c/d"], &["a/c", "a/b/b/c"]);
    check("a?[b-d]", &["axb", "a.d"], &["axe", "ab"]);
    check("a[^b]", &["ac"], &["ab"]);
    // The literal name of a wildcard counts as well.
    check("a[1].txt", &["a1.txt", "a[1].txt"], &["a2.txt"]);
    // From a `**` or a malformed class on, everything.
    check("a/**/c", &["a/x", "a/x/y", "a"], &["b"]);
    check("a/b**", &["a/x"], &["b"]);
    check("a/[", &["a/x"], &["b"]);
    check("a\u{e9}", &["a\u{e9}"], &["a"]);
}

#[test]
fn the_root_is_no_path() {
    for pattern in ["", ".", "/", "a/..", "..", "**", "**/x", "[", "//./"] {
        assert_eq!(ContextPath::new(pattern.as_bytes()), None, "{pattern}");
    }
}

#[test]
fn links_on_the_way_are_followed_and_links_below_are_not() {
    let check = |pattern: &str, link: &str, expected: bool| {
        assert_eq!(path(pattern).may_pass_through(link.as_bytes()), expected, "{pattern} {link}");
    };
    check("a/b/c", "a", true);
    check("a/b/c", "a/b", true);
    check("a/b/c", "a/b/c", true);
    check("a/b/c", "a/b/c/d", false);
    check("a/b/c", "b", false);
    check("a/*/c", "a/x", true);
    check("*.rs", "x.rs", true);
    check("*.rs", "x.md", false);
    // BuildKit follows them for the checksum of a wildcard.
    check("?/b", "a/b/up", true);
    check("a/\\[b\\]", "a/[b]/up", false);
    check("a/**/c", "a/x/y", true);
    check("a/**/c", "b", false);
}

fn linked(pattern: &str, links: &[(&str, &str)]) -> Inputs {
    let links: Vec<_> =
        links.iter().map(|(link, target)| (link.as_bytes().to_vec(), target.as_bytes().to_vec())).collect();
    Inputs::Paths(vec![path(pattern)]).follow_links(&links)
}

#[test]
fn the_targets_of_links_are_read_as_well() {
    let check = |pattern: &str, links: &[(&str, &str)], expected: &[&str]| match linked(pattern, links) {
        Inputs::Paths(paths) => {
            assert_eq!(paths.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{pattern}");
        }
        whole @ Inputs::WholeContext { .. } => panic!("{pattern}: {whole:?}"),
    };
    check("a", &[], &["a"]);
    check("a", &[("a", "b")], &["a", "a", "b"]);
    check("a/b", &[("a", "x")], &["a/b", "a", "x/b"]);
    check("a/b", &[("a/b", "../c")], &["a/b", "a/b", "c"]);
    check("a/b", &[("a/b", "/c")], &["a/b", "a/b", "c"]);
    check("a/b", &[("a/b", "../../../c")], &["a/b", "a/b", "c"]);
    check("a/b", &[("a", "x"), ("x/b", "y")], &["a/b", "a", "x/b", "x/b", "x/y"]);
    check("*/b", &[("a", "x/y")], &["*/b", "a", "x/y/b"]);
    check("a", &[("b", "c"), ("a/b", "c")], &["a"]);
    // A link to itself adds nothing.
    check("a/b", &[("a/b", "b")], &["a/b", "a/b"]);
    // The text of a link is no wildcard.
    check("a", &[("a", "b*")], &["a", "a", "b\\\\*"]);
    // The link itself is sent along, but not what else lies in its target.
    let through = linked("a/b", &[("a", "x")]);
    assert!(through.covers(b"a") && through.covers(b"x/b/c") && !through.covers(b"x/c") && !through.covers(b"a/c"));
    let quoted = linked("a", &[("a", "b*")]);
    assert!(quoted.covers(b"b*") && !quoted.covers(b"bc"));
    let Inputs::Paths(paths) = linked("a", &[("a", "b")]) else { panic!("a link to a file is no reason") };
    assert_eq!((paths[0].via.as_deref(), paths[2].via.as_deref()), (None, Some(b"a".as_slice())));
}

#[test]
fn a_link_to_the_root_or_without_end_widens() {
    for (pattern, target) in [("a", "."), ("a", ".."), ("a", "/"), ("a/..b/..", "x/.."), ("a/b", "a/a")] {
        let Inputs::WholeContext { reasons } = linked(pattern, &[("a", target)]) else {
            panic!("{pattern} through {target} should widen")
        };
        assert_eq!(reasons[0].kind, WidenKind::Symlink { link: b"a".to_vec() }, "{target}");
    }
    // Below a link to the root lies a plain path.
    assert!(!linked("a/b", &[("a", ".")]).covers(b"c"));
    let whole = linked("a", &[("a", ".")]);
    assert_eq!(whole.clone().follow_links(&[]), whole);
    assert!(whole.covers(b"anything"));
}

fn part() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "ab", "*", "?", "a*", "[ab]", "[^a]", ".", "..", ""])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn what_covers_a_directory_covers_all_below(parts in prop::collection::vec(part(), 1..4), path in "[abc]{1,2}(/[abc]{1,2}){0,3}") {
        let Some(entry) = ContextPath::new(parts.join("/").as_bytes()) else { return Ok(()) };
        if entry.covers(path.as_bytes()) {
            let below = format!("{path}/x");
            prop_assert!(entry.covers(below.as_bytes()));
        }
        // A path is reached through its parents: if they are links, they are on the way.
        for (end, _) in path.match_indices('/') {
            prop_assert!(!entry.covers(path.as_bytes()) || entry.covers(&path.as_bytes()[..end]) || entry.may_pass_through(&path.as_bytes()[..end]));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(pattern in prop::collection::vec(any::<u8>(), 0..24), path in prop::collection::vec(any::<u8>(), 0..24), target in prop::collection::vec(any::<u8>(), 0..24)) {
        if let Some(entry) = ContextPath::new(&pattern) {
            let covers = entry.covers(&path);
            let inputs = Inputs::Paths(vec![entry]).follow_links(&[(path.clone(), target)]);
            prop_assert!(!covers || inputs.covers(&path));
        }
    }
}
