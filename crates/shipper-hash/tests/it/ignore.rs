//! Ignore rules: generated trees and generated `.gitignore` files, judged by git.

use std::cell::RefCell;

use proptest::collection::vec;
use proptest::prelude::*;
use shipper_hash::{Tree, TreeOptions};

use crate::project::Project;

/// Number of generated cases: one `git` process each.
const CASES: u32 = 300;

thread_local! {
    static PROJECT: RefCell<Option<Project>> = const { RefCell::new(None) };
}

/// Patterns built from everything that has a meaning somewhere.
fn patterns() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => prop::sample::select(vec!["a", "b", "ab", ".", "c.o"]).prop_map(|text| text.as_bytes().to_vec()),
        4 => prop::sample::select(vec!["*", "**", "?", "/", "/", "***"]).prop_map(|text| text.as_bytes().to_vec()),
        2 => prop::sample::select(vec![
            "[ab]", "[!a]", "[^b]", "[a-c]", "[[:alpha:]]", "[]a]", "[a", "[b-", "[[:x:]]", "[\\]]", "[a-]", "{a,b}",
            "\\a", "\\*", "\\", " ", "\\ ", "!", "#", "\r", "\t", "[[:]", "[*]", "a**", "**b",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        1 => Just(b"\xe9".to_vec()),
    ];
    vec(piece, 1..6).prop_map(|pieces| pieces.concat())
}

fn files() -> impl Strategy<Value = Vec<u8>> {
    vec((patterns(), prop::bool::weighted(0.2), prop::bool::weighted(0.2)), 0..5).prop_map(|lines| {
        let line = |(pattern, negated, directory): (Vec<u8>, bool, bool)| {
            [if negated { &b"!"[..] } else { b"" }, &pattern, if directory { b"/" } else { b"" }, b"\n"].concat()
        };
        lines.into_iter().map(line).collect::<Vec<_>>().concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]

    #[test]
    fn ignored_is_what_git_ignores(top in files(), a in files(), ab in files(), exclude in files()) {
        PROJECT.with_borrow_mut(|slot| {
            let project = slot.get_or_insert_with(project);
            project.write_bytes(b".gitignore", &top).write_bytes(b"a/.gitignore", &a);
            project.write_bytes(b"a/b/.gitignore", &ab).write_bytes(b".git/info/exclude", &exclude);
            project.assert_like_git();
        });
    }
}

/// Names that the patterns can meet, three levels deep, a few of them tracked.
fn project() -> Project {
    let project = Project::git();
    let names: [&[u8]; 12] = [b"a", b"b", b"ab", b"c.o", b"ab.", b"\xe9", b"*", b"[a", b"{a,b}", b" a", b"a ", b"abab"];
    for directory in ["", "a/", "b/", "a/a/", "a/b/", "ab/b/", "a/b/ab/", "b/a/b/"] {
        for name in names {
            let path = [directory.as_bytes(), name].concat();
            if !matches!(
                path.as_slice(),
                b"a" | b"b" | b"ab" | b"a/a" | b"a/b" | b"ab/b" | b"a/b/ab" | b"b/a" | b"b/a/b"
            ) {
                project.write_bytes(&path, "");
            }
        }
    }
    project.run(&["add", "-f", "a/b/c.o", "b/ab", "b/a/b/b"]);
    project
}

/// Ignore files are read when something untracked asks, all of those above it at once.
#[test]
fn many_ignore_files_decide_about_one_name() {
    let project = Project::git();
    let mut directory = String::new();
    for depth in 0..200 {
        // The last word is that of the deepest file that has one; every other one takes the name back.
        let rule = if depth % 2 == 0 { "*.x\n" } else { "!*.x\n" };
        project.write(&format!("{directory}.gitignore"), if depth < 198 { rule } else { "\n" });
        directory.push_str("d/");
    }
    project.write(&format!("{directory}tracked"), "t").run(&["add", "-A"]);
    project.write(&format!("{directory}a.x"), "1").write(&format!("{directory}a.y"), "2");
    project.assert_like_git();
    // The same once the directory itself is ignored further up.
    project.write("d/d/.gitignore", "d/\n");
    project.assert_like_git();
    let tree = Tree::open(project.path(), &TreeOptions::default()).unwrap();
    let listed = tree.tracked().unwrap();
    assert!(listed.iter().any(|path| path.file_name() == b"tracked"));
    assert!(listed.iter().all(|path| path.file_name() != b"a.y"), "it is ignored now");
}
