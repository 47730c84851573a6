//! Trees in memory: shapes that no test on disk can make, and anything at all without a panic.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Files by path; a text that begins with `-> ` is a link.
struct Memory {
    list: Vec<Listed>,
    texts: BTreeMap<RelPath, Vec<u8>>,
}

impl Memory {
    fn new(files: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Self {
        let texts: BTreeMap<RelPath, Vec<u8>> =
            files.into_iter().filter_map(|(path, text)| Some((RelPath::new(path).ok()?, text))).collect();
        let listed = texts.iter().map(|(path, text)| Listed { path: path.clone(), is_link: text.starts_with(b"-> ") });
        Self { list: listed.collect(), texts }
    }

    fn of(files: &[(&str, &str)]) -> Self {
        Self::new(files.iter().map(|(path, text)| (path.as_bytes().to_vec(), text.as_bytes().to_vec())))
    }

    fn paths(&self, package: &str) -> Vec<String> {
        let plan = plan(self, &Memo::default(), package).unwrap_or_else(|error| panic!("cannot {error}"));
        plan.files.iter().map(ToString::to_string).collect()
    }
}

impl Files for Memory {
    fn list(&self) -> &[Listed] {
        &self.list
    }

    fn read(&self, path: &RelPath) -> Result<Vec<u8>, Error> {
        let text = self.texts.get(path).ok_or_else(|| Error::NotFound { path: path.clone() })?;
        Ok(text.strip_prefix(b"-> ").unwrap_or(text).to_vec())
    }
}

#[test]
fn names_that_are_not_text_are_files_like_others() {
    let mut files = vec![
        (b"a/Cargo.toml".to_vec(), b"package = { name = 'a' }".to_vec()),
        (b"a/src/lib.rs".to_vec(), b"include_str!(\"../data/x\");".to_vec()),
        (b"a/data/caf\xe9".to_vec(), b"text".to_vec()),
        (b"b\xff/Cargo.toml".to_vec(), b"package = { name = 'a' }".to_vec()),
    ];
    let expected = ["a/data/caf\\xe9", "a/src/lib.rs"];
    assert_eq!(Memory::new(files.clone()).paths("a"), expected);
    files.push((b"a/nested\xff/Cargo.toml".to_vec(), b"package = { name = 'n' }".to_vec()));
    files.push((b"a/nested\xff/lib.rs".to_vec(), Vec::new()));
    assert_eq!(Memory::new(files).paths("a"), expected, "a nested package is one whatever its name");
}

#[test]
fn links_are_followed_once_and_never_out_of_the_tree() {
    let memory = Memory::of(&[
        ("a/Cargo.toml", "package = { name = 'a' }"),
        ("a/loop", "-> loop"),
        ("a/ping", "-> ../pong"),
        ("pong", "-> a/ping"),
        ("a/out", "-> ../../out"),
        ("a/root", "-> .."),
        ("a/self", "-> ."),
        ("a/absolute", "-> /etc"),
        ("a/dir", "-> ../shared"),
        ("shared/one.txt", "1"),
        ("shared/deeper", "-> ../other"),
        ("other/two.txt", "2"),
        ("unrelated/three.txt", "3"),
    ]);
    assert_eq!(
        memory.paths("a"),
        [
            "a/absolute",
            "a/dir",
            "a/loop",
            "a/out",
            "a/ping",
            "a/root",
            "a/self",
            "other/two.txt",
            "pong",
            "shared/deeper",
            "shared/one.txt",
        ]
    );
}

#[test]
fn a_link_in_the_place_of_a_manifest_is_no_manifest() {
    let memory = Memory::of(&[("a/Cargo.toml", "-> ../b/Cargo.toml"), ("b/Cargo.toml", "package = { name = 'b' }")]);
    assert_eq!(memory.paths("b"), [""; 0]);
}

#[test]
fn paths_with_dots_and_slashes_name_the_same_places() {
    let memory = Memory::of(&[
        (
            "Cargo.toml",
            "package = { name = 'r' }\nworkspace = { members = ['./a/', '.', 'b//c'], default-members = ['.', './a'] }\ndependencies = { a = { path = './a/.' }, c = { path = 'a/../b/c/' } }",
        ),
        ("a/Cargo.toml", "package = { name = 'a' }\ndependencies = {}"),
        ("b/c/Cargo.toml", "package = { name = 'c' }"),
    ]);
    let plan = plan(&memory, &Memo::default(), "r").unwrap();
    let text = String::from_utf8(plan.rendered[b"Cargo.toml".as_slice()].clone()).unwrap();
    assert!(text.contains("default-members = [\".\", \"a\"]\nmembers = [\"a\", \"b/c\"]\n"), "{text}");
}

/// Lines of manifests, locks and sources, in an order that makes no sense.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        "[package]",
        "[workspace]",
        "[dependencies]",
        "[workspace.dependencies]",
        "[workspace.package]",
        "[patch.crates-io]",
        "[[bin]]",
        "[lib]",
        "[features]",
        "[target.x.dependencies]",
        "[replace]",
        "[[package]]",
        "[toolchain]",
        "[source.v]",
        "name = 'a'",
        "name = 'b'",
        "name = 1",
        "version = '1.0.0'",
        "version.workspace = true",
        "workspace = '..'",
        "workspace = true",
        "members = ['*', 'b']",
        "members = ['**']",
        "members = ['[']",
        "exclude = ['a']",
        "path = '../b'",
        "path = '/'",
        "path = ''",
        "a = { path = '../a' }",
        "b = { path = '../b', optional = true }",
        "b = { workspace = true }",
        "b = '1'",
        "\"b:1.0.0\" = { path = 'b' }",
        "build = '../x.rs'",
        "readme = '..'",
        "default = ['b/x', 'dep:b', 'c?/y']",
        "dependencies = ['b', 'b 1.0.0', 'b 1.0.0 (r)']",
        "source = 'r#1'",
        "channel = 'stable'",
        "directory = 'b'",
        "include = ['config.toml', '../Cargo.toml']",
        "paths = ['a']",
        "include!(\"../../x.rs\");",
        "#[path = \"../../b/src/lib.rs\"] mod b;",
        "mod x { mod y; }",
        "-> ../b",
        "-> ..",
        "1.95.0",
        "}",
        "\u{feff}",
        "",
    ]);
    prop_oneof![
        prop::collection::vec(line, 0..10).prop_map(|lines| lines.join("\n").into_bytes()),
        prop::collection::vec(any::<u8>(), 0..30),
    ]
}

proptest! {
    #[test]
    fn no_tree_makes_it_panic(
        texts in prop::collection::vec(texts(), 12),
        valid in any::<bool>(),
        package in prop::sample::select(vec!["a", "b", "a#a", "#", ".#b", "", "../#a"]),
    ) {
        let paths = [
            "Cargo.toml", "Cargo.lock", "a/Cargo.toml", "a/src/lib.rs", "a/src/main.rs", "b/Cargo.toml", "b/src/lib.rs", "b/c/Cargo.toml",
            ".cargo/config.toml", "rust-toolchain", "x.rs", "a/link",
        ];
        let files = paths.iter().zip(texts).map(|(path, text)| {
            // Half of the trees have a package that is found, so that the rest is reached.
            let text = if valid && *path == "a/Cargo.toml" { [b"[package]\nname = 'a'\n", text.as_slice()].concat() } else { text };
            (path.as_bytes().to_vec(), text)
        });
        let memory = Memory::new(files);
        let memo = Memo::default();
        if let Ok(plan) = plan(&memory, &memo, package) {
            prop_assert!(plan.files.iter().all(|path| !plan.rendered.contains_key(path)));
            prop_assert!(plan.files.iter().all(|path| memory.texts.contains_key(path)), "only files of the tree");
            // The same again, with what is remembered and without.
            for memo in [&memo, &Memo::default()] {
                let again = super::plan(&memory, memo, package).map_err(|error| TestCaseError::fail(error.to_string()))?;
                prop_assert_eq!((&again.files, &again.rendered, &again.closure), (&plan.files, &plan.rendered, &plan.closure));
            }
        }
        let _ = discover::packages(&memory, &memo);
    }
}
