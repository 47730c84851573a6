//! What a builder would be sent and no hash covers, against a walk of the disk that knows nothing of git.

use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;
use shipper_dockerfile::{ContextPath, IgnoreFile};
use shipper_hash::{FileSet, LeakCause, Leaks, Narrow, Selection, Tree, TreeOptions, Untracked};

use crate::project::{Project, path};

fn leaks(project: &Project, selection: &Selection<'_>) -> Leaks {
    project.tree().leaks(&project.context(selection), selection).unwrap()
}

fn shown(leaks: &Leaks) -> Vec<(String, &'static str, &'static str)> {
    leaks.entries.iter().map(|leak| (leak.path.to_string(), leak.kind.as_str(), leak.cause.as_str())).collect()
}

/// Files, links and directories without anything sent in them, below `root` as `ignore` leaves them.
fn sent(root: &Path, ignore: &IgnoreFile) -> BTreeSet<Vec<u8>> {
    fn walk(root: &Path, directory: &Path, ignore: &IgnoreFile, all: &mut BTreeSet<Vec<u8>>) -> bool {
        use std::os::unix::ffi::OsStrExt as _;
        let mut any = false;
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let whole = entry.path();
            let name = whole.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
            let is_sent = !ignore.is_excluded(&name);
            let filled = entry.file_type().unwrap().is_dir() && walk(root, &whole, ignore, all);
            if is_sent && !filled {
                all.insert(name);
            }
            any |= is_sent || filled;
        }
        any
    }
    let mut all = BTreeSet::new();
    walk(root, root, ignore, &mut all);
    all
}

/// Compares what is hashed and what leaks with what is sent, and what is sent after the cure with what is hashed.
fn check(project: &Project, rules: &str) -> Leaks {
    let ignore = IgnoreFile::parse(rules.as_bytes()).unwrap();
    let selection = Selection { ignore: Some(&ignore), ..Selection::default() };
    let context = project.context(&selection);
    let leaks = project.tree().leaks(&context, &selection).unwrap();
    let paths = |sent: BTreeSet<Vec<u8>>| -> Vec<String> {
        sent.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect()
    };
    let hashed: BTreeSet<Vec<u8>> =
        context.manifest().entries().iter().map(|entry| entry.path.as_bytes().to_vec()).collect();
    let leaked =
        |leaks: &Leaks| leaks.entries.iter().map(|leak| leak.path.as_bytes().to_vec()).collect::<BTreeSet<_>>();
    assert!(hashed.is_disjoint(&leaked(&leaks)));
    let both = hashed.union(&leaked(&leaks)).cloned().collect();
    assert_eq!(paths(both), paths(sent(project.path(), &ignore)), "rules {rules:?}");
    let cured = format!("{rules}\n{}\n", leaks.lines.join("\n"));
    let cured = IgnoreFile::parse(cured.as_bytes()).unwrap();
    let left = sent(project.path(), &cured).difference(&hashed).cloned().collect::<BTreeSet<_>>();
    let nameless = |path: &Vec<u8>| leaks.nameless.iter().any(|root| path.starts_with(root.as_bytes()));
    // A directory whose last content is excluded is empty for a builder, and was none before.
    let emptied = |path: &Vec<u8>| project.path().join(String::from_utf8_lossy(path).as_ref()).is_dir();
    let left: BTreeSet<Vec<u8>> = left.into_iter().filter(|path| !nameless(path) && !emptied(path)).collect();
    assert_eq!(paths(left), Vec::<String>::new(), "rules {rules:?}, lines {:?}", leaks.lines);
    assert!(hashed.iter().all(|path| !cured.is_excluded(path)), "rules {rules:?}, lines {:?}", leaks.lines);
    leaks
}

#[test]
fn what_git_ignores_and_what_git_has_for_itself_leaks() {
    let project = Project::git();
    project.write(".gitignore", "target\n*.log\n").write("src/main.rs", "1").write("target/debug/app", "12345");
    project.write("target/x.log", "12").write("a.log", "1").write("src/b.log", "1").mkdir("empty/deep");
    project.write("shipper.toml", "").write(".shipper/x", "");
    let leaks = check(&project, "**/.git\n");
    let expected = [
        (".shipper/x", "file", "shipper"),
        ("a.log", "file", "ignored"),
        ("empty/deep", "empty-dir", "empty"),
        ("shipper.toml", "file", "shipper"),
        ("src/b.log", "file", "ignored"),
        ("target/debug/app", "file", "ignored"),
        ("target/x.log", "file", "ignored"),
    ];
    assert_eq!(shown(&leaks), expected.map(|(path, kind, cause)| (path.to_owned(), kind, cause)));
    let roots: Vec<(String, usize, u64)> =
        leaks.roots.iter().map(|root| (root.path.to_string(), root.entries, root.bytes)).collect();
    assert_eq!(roots[5], ("target".to_owned(), 2, 7));
    assert_eq!(leaks.lines, [".shipper", "a.log", "empty", "shipper.toml", "src/b.log", "target"]);
    assert_eq!(leaks.bytes(), 9);
    let own = check(&project, "");
    assert_eq!(own.lines[0], ".git");
    assert!(own.entries.iter().any(|leak| leak.path == path(".git/HEAD") && leak.cause == LeakCause::Repository));
}

#[test]
fn what_an_exception_takes_back_is_named_below_it() {
    let project = Project::git();
    project.write(".gitignore", "/a\n").write("a/b/c", "1").write("a/b/d/e", "1").write("a/x", "1").write("k", "1");
    let found = check(&project, ".git\na\n!a/b\n");
    assert_eq!(found.lines, ["a", "a/b"]);
    // An exception for all of it is no matter.
    assert_eq!(check(&project, ".git\na\n!a\n").lines, ["a"]);
    assert_eq!(check(&project, ".git\na\n!**/e\n").lines, ["a", "a/b", "a/b/d", "a/b/d/e"]);
}

#[test]
fn a_directory_that_holds_tracked_files_is_never_named_whole() {
    let project = Project::git();
    project.write(".gitignore", "*.o\n").write("gen/a.o", "1").write("gen/b.o", "1").write("gen/c.c", "1");
    project.write("only/d.x", "1").run(&["add", "gen/c.c"]);
    // The build reads neither of the two, so that nothing below `gen` is in the context.
    let ignore = IgnoreFile::parse(b"**/*.c\n.git\n.gitignore\nonly").unwrap();
    let found = leaks(&project, &Selection { ignore: Some(&ignore), ..Selection::default() });
    assert_eq!(found.lines, ["gen/a.o", "gen/b.o"]);
}

#[test]
fn narrowed_contexts_leak_what_the_build_reads() {
    let project = Project::git();
    project.write(".gitignore", "*.log\n").write("a/x", "1").write("a/y.log", "1").write("b/z.log", "1");
    project.link("l", "b").write("b/kept", "1");
    let narrowed = |path: &[u8]| Selection {
        only: Some(vec![Narrow::Path(ContextPath::new(path).unwrap())]),
        ..Selection::default()
    };
    let found = |path: &[u8]| shown(&leaks(&project, &narrowed(path))).into_iter().map(|one| one.0).collect::<Vec<_>>();
    assert_eq!(found(b"a"), ["a/y.log"]);
    // Builders follow the link.
    assert_eq!(found(b"l"), ["b/z.log"]);
    assert_eq!(found(b"a/x"), Vec::<String>::new());
}

#[test]
fn special_files_leak_and_sockets_are_passed_over() {
    let project = Project::git();
    project.write(".gitignore", "run\n").mkdir("run");
    let fifo = std::process::Command::new("mkfifo").arg(project.path().join("run/fifo")).status().unwrap();
    assert!(fifo.success());
    let _socket = std::os::unix::net::UnixListener::bind(project.path().join("run/socket")).unwrap();
    let ignore = IgnoreFile::parse(b".git\n").unwrap();
    let found = leaks(&project, &Selection { ignore: Some(&ignore), ..Selection::default() });
    assert_eq!(shown(&found), [("run/fifo".to_owned(), "special", "ignored")]);
}

#[test]
fn untracked_files_leak_where_they_do_not_count() {
    let project = Project::git();
    project.write("tracked", "1").run(&["add", "tracked"]).write("new/a", "1").write("new/b", "1");
    let options = TreeOptions { untracked: Untracked::Ignore, ..TreeOptions::default() };
    let tree = Tree::open(project.path(), &options).unwrap();
    let ignore = IgnoreFile::parse(b".git\n").unwrap();
    let selection = Selection { ignore: Some(&ignore), ..Selection::default() };
    let mut context = tree.context(None).unwrap();
    context.add(&selection).unwrap();
    let found = tree.leaks(&context.finish().unwrap(), &selection).unwrap();
    assert_eq!(shown(&found).iter().map(|one| one.2).collect::<Vec<_>>(), ["untracked", "untracked"]);
    assert_eq!(found.lines, ["new"]);
}

#[test]
fn everything_on_disk_and_the_files_of_a_commit_leak_nothing_and_nothing_is_told() {
    let project = Project::new();
    project.write("a/b", "1").mkdir("c");
    let all = Selection { files: FileSet::Worktree, ..Selection::default() };
    assert_eq!(leaks(&project, &all), Leaks::default());
    let project = Project::git();
    project.write("a", "1").run(&["add", "a"]).run(&["commit", "-q", "-m", "one"]);
    let tree = Tree::at_commit(project.path(), "HEAD").unwrap();
    let context = project.context(&Selection::default());
    tree.leaks(&context, &Selection::default()).expect_err("a commit has no work tree");
}

#[test]
fn a_context_below_the_root_leaks_by_its_own_paths() {
    let project = Project::git();
    project.write(".gitignore", "*.log\n").write("web/index.html", "1").write("web/x.log", "1").write("y.log", "1");
    let tree = project.tree();
    let mut context = tree.context(Some(&path("web"))).unwrap();
    context.add(&Selection::default()).unwrap();
    let found = tree.leaks(&context.finish().unwrap(), &Selection::default()).unwrap();
    assert_eq!(found.lines, ["x.log"]);
}

const RULES: [&str; 14] =
    ["*", "a", "!a/b", "**/x", "b*", "!**/*.o", ".git", "**/.git", "a/**", "*.o", "!b", "{o}|x", "!a/*/x", "!**/b"];
const IGNORED: [&str; 8] = ["*.o", "/a", "b/", "!b/x", "x y", "{o}", "a/b", "[!a]"];
const NAMES: [&[u8]; 10] = [b"a", b"b", b"x", b"p.o", b"q.o", b"x y ", b"{o}|x", b"caf\xe9", b"n\nl", b"#!\\"];

/// The same cases each time; with another number others as well.
fn cases() -> u32 {
    std::env::var("SHIPPER_LEAK_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(80)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        rng_seed: proptest::test_runner::RngSeed::Fixed(3),
        ..ProptestConfig::default()
    })]

    #[test]
    fn hashed_and_leaked_is_what_is_sent(
        files in prop::collection::vec((prop::collection::vec(0..NAMES.len(), 1..4), any::<bool>()), 1..12),
        ignored in prop::collection::vec(0..IGNORED.len(), 0..4),
        rules in prop::collection::vec(0..RULES.len(), 0..4),
        nested in any::<bool>(),
    ) {
        let project = Project::new();
        project.write(".git/HEAD", "ref: refs/heads/main\n").mkdir(".git/objects").mkdir(".git/refs");
        for (parts, is_file) in files {
            use std::os::unix::ffi::OsStrExt as _;
            let name = parts.iter().map(|&part| NAMES[part]).collect::<Vec<_>>().join(&b'/');
            let whole = project.path().join(std::ffi::OsStr::from_bytes(&name));
            // Something else may be in the way.
            if std::fs::create_dir_all(whole.parent().unwrap()).is_ok() && whole.symlink_metadata().is_err() {
                if is_file { std::fs::write(&whole, "1").unwrap() } else { std::fs::create_dir(&whole).unwrap() }
            }
        }
        if nested {
            project.write("nested/.git/HEAD", "ref: refs/heads/main\n").mkdir("nested/.git/objects");
            project.mkdir("nested/.git/refs").write("nested/x", "1");
        }
        let lines = |chosen: &[usize], from: &[&str]| chosen.iter().map(|&at| format!("{}\n", from[at])).collect::<String>();
        project.write(".gitignore", lines(&ignored, &IGNORED));
        check(&project, &lines(&rules, &RULES));
    }
}
