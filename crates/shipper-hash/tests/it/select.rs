//! Selections: patterns, `.dockerignore`, narrowing, and how they go together.

use std::os::unix::net::UnixListener;

use shipper_dockerfile::{ContextPath, IgnoreFile};
use shipper_hash::{Added, Error, FileSet, Kind, Narrow, RelPath, Selection, Tree, TreeOptions, Warning};

use crate::project::{Project, path};

/// A project with a bit of everything.
fn project() -> Project {
    let project = Project::git();
    project.write(".gitignore", "dist/\n*.log\n").write("src/main.rs", "1").write("src/lib/x.rs", "2");
    project.write("dist/app.js", "3").write("dist/deep/y.js", "4").write("docs/a.md", "5").write("README.md", "6");
    project
        .write("x.log", "7")
        .write("shipper.toml", "8")
        .write(".shipper/runs/1", "9")
        .write("sub/shipper.toml", "10");
    project
}

fn texts(patterns: &[&str]) -> Vec<String> {
    patterns.iter().map(|&pattern| pattern.to_owned()).collect()
}

fn add(project: &Project, base: Option<&str>, selection: &Selection<'_>) -> Result<(Vec<String>, Added), Error> {
    let tree = project.tree();
    let mut context = tree.context(base.map(path).as_ref())?;
    let added = context.add(selection)?;
    let context = context.finish()?;
    Ok((context.manifest().entries().iter().map(|entry| entry.path.to_string()).collect(), added))
}

fn explicit(patterns: &[&str]) -> Selection<'static> {
    Selection { files: FileSet::Explicit(texts(patterns)), ..Selection::default() }
}

#[test]
fn patterns_are_anchored_and_directories_hold_what_is_below() {
    let project = project();
    for (patterns, expected) in [
        (&["*.md"][..], &["README.md"][..]),
        (&["**/*.md"], &["README.md", "docs/a.md"]),
        (&["src"], &["src/lib/x.rs", "src/main.rs"]),
        (&["src/"], &["src/lib/x.rs", "src/main.rs"]),
        (&["src/*"], &["src/lib/x.rs", "src/main.rs"]),
        (&["src/*.rs"], &["src/main.rs"]),
        (&["**/deep"], &["dist/deep/y.js"]),
        (&["d*s/[a-b].md", "x.log"], &["docs/a.md", "x.log"]),
    ] {
        assert_eq!(add(&project, None, &explicit(patterns)).unwrap().0, expected, "{patterns:?}");
    }
}

#[test]
fn patterns_that_cannot_mean_anything_are_errors() {
    for (pattern, reason) in [
        ("", "it has an empty part"),
        ("!a", "negation is not supported; use `exclude`"),
        ("/a", "patterns are relative to the top directory; leave out the `/` at the beginning"),
        ("a//b", "it has an empty part"),
        ("../a", "`.` and `..` are not supported"),
        ("./a", "`.` and `..` are not supported"),
        ("a[", "a `[` has no matching `]`, or its class is unknown"),
        ("a\\", "it ends in `\\`"),
    ] {
        let error = add(&project(), None, &explicit(&[pattern])).unwrap_err();
        assert_eq!(error.to_string(), format!("use `{pattern}` as a pattern: {reason}"));
    }
}

#[test]
fn inputs_add_what_git_and_dockerignore_ignore_and_exclude_has_the_last_word() {
    let project = project();
    let ignore = IgnoreFile::parse(b"docs\ndist\n").unwrap();
    let selection = Selection {
        ignore: Some(&ignore),
        inputs: texts(&["dist/**"]),
        exclude: texts(&["dist/deep", "src/lib/**"]),
        ..Selection::default()
    };
    let (paths, added) = add(&project, None, &selection).unwrap();
    assert_eq!(paths, [".gitignore", "README.md", "dist/app.js", "src/main.rs", "sub/shipper.toml"]);
    assert_eq!(added.files, 5);
    let outside = Selection { only: Some(vec![Narrow::Prefix(path("docs"))]), ..selection };
    assert_eq!(add(&project, None, &outside).unwrap().0, ["dist/app.js"]);
}

#[test]
fn shippers_own_files_are_only_there_if_they_are_named() {
    let project = project();
    let paths = |inputs: &[&str], exclude: &[&str]| {
        let selection = Selection { inputs: texts(inputs), exclude: texts(exclude), ..Selection::default() };
        let paths = add(&project, None, &selection).unwrap().0;
        paths.into_iter().filter(|path| path.contains("shipper")).collect::<Vec<_>>()
    };
    assert_eq!(paths(&[], &[]), ["sub/shipper.toml"]);
    assert_eq!(paths(&["**", "*.toml", "shipper*"], &[]), ["sub/shipper.toml"]);
    assert_eq!(paths(&["shipper.toml"], &[]), ["shipper.toml", "sub/shipper.toml"]);
    assert_eq!(paths(&[".shipper/runs/*"], &[]), [".shipper/runs/1", "sub/shipper.toml"]);
    assert_eq!(paths(&["shipper.toml"], &["**/shipper.toml"]), Vec::<String>::new());
    let worktree = Selection { files: FileSet::Worktree, ..Selection::default() };
    assert!(!add(&project, None, &worktree).unwrap().0.contains(&"shipper.toml".to_owned()));
    assert_eq!(add(&project, None, &explicit(&["**"])).unwrap().0.len(), 9);
    assert_eq!(add(&project, None, &explicit(&[".git", ".git/**"])).unwrap().0.len(), 0);
}

#[test]
fn an_input_outside_the_context_is_an_error() {
    let project = project();
    for pattern in ["dist", "docs/a.md", "**/*.md", "src/main.rs"] {
        let selection = Selection { inputs: texts(&[pattern]), ..Selection::default() };
        let error = add(&project, Some("src/lib"), &selection).unwrap_err();
        assert!(matches!(&error, Error::OutsideBase { base, .. } if *base == path("src/lib")), "{pattern}: {error}");
    }
    let selection = Selection { inputs: texts(&["dist/deep/**"]), ..Selection::default() };
    let (paths, _) = add(&project, Some("dist"), &selection).unwrap();
    assert_eq!(paths, ["deep/y.js"]);
}

#[test]
fn patterns_that_name_nothing_are_reported() {
    let selection = Selection { inputs: texts(&["nope/**", "src/*.rs"]), ..Selection::default() };
    let project = project();
    assert_eq!(add(&project, None, &selection).unwrap().1.unmatched, ["nope/**"]);
    let warning = Warning::UnmatchedPattern { pattern: "nope/**".into() };
    assert_eq!(warning.to_string(), "the pattern `nope/**` names no file");
    assert_eq!(project.context(&selection).warnings(), [warning]);
}

#[test]
fn dockerignore_is_relative_to_the_context_and_exceptions_reach_into_excluded_directories() {
    let project = Project::new();
    project.write("app/a", "1").write("app/keep/b", "2").write("app/skip/c", "3").write("a", "4").mkdir("app/skip/e");
    let ignore = IgnoreFile::parse(b"*\n!keep\n!skip/c\n").unwrap();
    for files in [FileSet::Tracked, FileSet::Worktree] {
        let selection = Selection { files, ignore: Some(&ignore), ..Selection::default() };
        assert_eq!(add(&project, Some("app"), &selection).unwrap().0, ["keep/b", "skip/c"]);
    }
}

#[test]
fn an_excluded_directory_that_cannot_be_read_is_never_entered() {
    let project = Project::new();
    project.write("a", "1").mkdir("volume");
    let _socket = UnixListener::bind(project.path().join("volume/socket")).unwrap();
    let ignore = IgnoreFile::parse(b"volume\n").unwrap();
    let tree = project.tree();
    let mut context = tree.context(None).unwrap();
    let selection = Selection { files: FileSet::Worktree, ignore: Some(&ignore), ..Selection::default() };
    assert_eq!(context.add(&selection).unwrap().files, 1);
    assert_eq!(tree.stats().directories, 1, "only the root was listed");
}

/// R3: nothing that is not a file is opened.
#[test]
fn special_files_are_errors_unless_they_are_left_out() {
    let project = Project::git();
    project.write("a", "1").mkdir("run");
    let _socket = UnixListener::bind(project.path().join("run/socket")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        project.path().join("run/fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    for files in [FileSet::Tracked, FileSet::Worktree, FileSet::Explicit(texts(&["run/fifo"]))] {
        let error = add(&project, None, &Selection { files, ..Selection::default() }).unwrap_err();
        assert_eq!(error.to_string(), "put `run/fifo` into a context: it is a FIFO");
    }
    let selection = Selection { exclude: texts(&["run/fifo"]), ..Selection::default() };
    let error = add(&project, None, &selection).unwrap_err();
    assert_eq!(error.to_string(), "put `run/socket` into a context: it is a socket");
    project.write(".gitignore", "run/\n");
    assert_eq!(add(&project, None, &Selection::default()).unwrap().0, [".gitignore", "a"]);
}

/// R3: what cannot be read is not passed over.
#[test]
fn what_cannot_be_read_is_an_error_that_names_it() {
    if rustix::process::geteuid().is_root() {
        crate::skip("unreadable files: root can read everything");
        return;
    }
    let project = Project::new();
    project.write("a", "1").write("closed/x", "1").chmod("a", 0o000);
    let error = add(&project, None, &Selection::default()).unwrap_err();
    assert_eq!(error.to_string(), format!("read `{}`", project.path().join("a").display()));
    assert!(error.hint().unwrap().contains(".dockerignore"));
    project.chmod("a", 0o644).chmod("closed", 0o000);
    let error = add(&project, None, &Selection::default()).unwrap_err();
    project.chmod("closed", 0o755);
    assert_eq!(error.to_string(), format!("list `{}`", project.path().join("closed").display()));
}

/// R1: links to anywhere, to themselves and to nothing.
#[test]
fn links_are_content_and_never_followed() {
    let project = Project::new();
    project.write("dir/x", "1").link("loop", "loop").link("out", "/etc/passwd").link("dangling", "nowhere");
    project.link("dir/up", "../dir/x").link("dir/away", "../../project/dir/x").link("todir", "dir");
    let context = project.context(&Selection::default());
    let link = |name: &str| {
        let entry = context.manifest().get(name.as_bytes()).unwrap();
        (entry.kind, entry.size)
    };
    assert_eq!(link("out"), (Kind::Symlink, 11));
    assert_eq!(link("todir"), (Kind::Symlink, 3));
    assert!(context.manifest().get(b"todir/x").is_none());
    let leaving: Vec<String> = context.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        leaving,
        [
            "the link `dir/away` points to `../../project/dir/x`, outside the context",
            "the link `out` points to `/etc/passwd`, outside the context",
        ]
    );
    let before = context.hash();
    project.remove("dangling").link("dangling", "elsewhere");
    assert_ne!(project.context(&Selection::default()).hash(), before);
}

#[test]
fn narrowing_follows_the_links_that_a_builder_follows() {
    let project = Project::new();
    project.write("real/config/a", "1").write("real/b", "2").write("other", "3").mkdir("app").write("app/own", "4");
    project.link("app/config", "../real/config").link("app/own-link", "own");
    let narrowed = |pattern: &str| {
        let only = Some(vec![Narrow::Path(ContextPath::new(pattern.as_bytes()).unwrap())]);
        add(&project, None, &Selection { only, ..Selection::default() }).unwrap()
    };
    assert_eq!(narrowed("app/config").0, ["app/config", "real/config/a"]);
    assert_eq!(narrowed("app/*").0, ["app/config", "app/own", "app/own-link", "real/config/a"]);
    assert_eq!(narrowed("app").0, ["app/config", "app/own", "app/own-link"], "links below a source are copied");
    assert_eq!(narrowed("r*/b").0, ["real/b"]);
    project.link("all", ".");
    let (paths, added) = narrowed("all/other");
    assert_eq!((paths, added.widened), (vec!["all".to_owned(), "other".to_owned()], vec![]));
    let (paths, added) = narrowed("all");
    assert_eq!(added.widened.len(), 1, "the link is the whole context");
    assert_eq!(paths, project.paths(&Selection::default()));
}

#[test]
fn a_wildcard_narrowing_lists_only_the_directories_on_the_way() {
    let project = Project::new();
    for directory in ["a", "b", "c"] {
        project.write(&format!("{directory}/x/1"), "1").write(&format!("{directory}/y/2"), "2");
    }
    let tree = project.tree();
    let mut context = tree.context(None).unwrap();
    let only = Some(vec![Narrow::Path(ContextPath::new(b"[ab]/x").unwrap())]);
    assert_eq!(context.add(&Selection { only, ..Selection::default() }).unwrap().files, 2);
    assert_eq!(tree.stats().directories, 5, "the root, a, a/x, b, b/x");
}

#[test]
fn several_additions_are_a_union() {
    let project = project();
    let tree = project.tree();
    let mut context = tree.context(None).unwrap();
    context.add_path(&path("src/main.rs")).unwrap();
    context.add_path(&path("src")).unwrap();
    context.add_path(&path("README.md")).unwrap();
    context.add_bytes(path("README.md"), b"other".to_vec());
    context.add_bytes(path("new/file"), b"new".to_vec());
    assert!(matches!(context.add_path(&path("nope")).unwrap_err(), Error::NotFound { .. }));
    assert!(matches!(context.add_path(&path("dist/app.js")).unwrap_err(), Error::NotFound { .. }));
    let context = context.finish().unwrap();
    let paths: Vec<String> = context.manifest().entries().iter().map(|entry| entry.path.to_string()).collect();
    assert_eq!(paths, ["README.md", "new/file", "src/lib/x.rs", "src/main.rs"]);
    assert_eq!(context.manifest().get(b"README.md").unwrap().size, 5);
}

#[test]
fn paths_are_relative_to_the_tree_when_added_and_to_the_context_when_listed() {
    let project = project();
    let tree = project.tree();
    let mut context = tree.context(Some(&path("src"))).unwrap();
    context.add_path(&path("src/lib")).unwrap();
    assert!(matches!(context.add_path(&path("docs")).unwrap_err(), Error::OutsideBase { .. }));
    context.add_bytes(path("made"), vec![1]);
    let context = context.finish().unwrap();
    let paths: Vec<String> = context.manifest().entries().iter().map(|entry| entry.path.to_string()).collect();
    assert_eq!(paths, ["lib/x.rs", "made"]);
    for missing in ["nope", "README.md", "src/nope"] {
        assert!(matches!(tree.context(Some(&path(missing))).unwrap_err(), Error::NotFound { .. }), "{missing}");
    }
}

#[test]
fn a_synthesised_file_cannot_lie_below_a_file() {
    let project = project();
    let tree = project.tree();
    let mut context = tree.context(None).unwrap();
    context.add(&Selection::default()).unwrap();
    context.add_bytes(path("README.md/x"), Vec::new());
    assert!(matches!(context.finish().unwrap_err(), Error::Overlap { .. }));
}

#[test]
fn contexts_of_one_tree_share_listing_and_reading() {
    let project = Project::git();
    for service in 0..5 {
        for file in 0..10 {
            project.write(&format!("s{service}/f{file}"), format!("{service} {file}"));
        }
    }
    let tree = project.tree();
    let hash = |base: Option<&str>| {
        let mut context = tree.context(base.map(path).as_ref()).unwrap();
        context.add(&Selection::default()).unwrap();
        context.finish().unwrap().hash()
    };
    let whole = hash(None);
    let stats = tree.stats();
    assert_eq!((stats.directories, stats.stats, stats.read), (6, 50, 50));
    assert_eq!(stats.bytes, 50 * 3);
    for service in 0..5 {
        hash(Some(&format!("s{service}")));
    }
    assert_eq!(hash(None), whole);
    assert_eq!(tree.stats(), stats, "nothing was looked at twice");
}

#[test]
fn reading_a_file_and_hashing_it_see_the_same_bytes() {
    let project = project();
    let tree = project.tree();
    assert_eq!(tree.read(&path("src/main.rs")).unwrap(), b"1");
    assert_eq!(tree.read(&path("x.log")).unwrap(), b"7", "ignored files can be read");
    project.write("src/main.rs", "changed");
    let mut context = tree.context(None).unwrap();
    context.add(&Selection::default()).unwrap();
    let context = context.finish().unwrap();
    assert_eq!(context.manifest().get(b"src/main.rs").unwrap().digest, shipper_hash::FileDigest::of(b"1"));
    let error = context.stage(&project.beside("stage")).unwrap_err();
    assert!(matches!(error, Error::ChangedSinceHashed { .. }) && error.is_changed());
    for missing in ["nope", "src", "src/nope/x", "README.md/x"] {
        assert!(matches!(tree.read(&path(missing)).unwrap_err(), Error::NotFound { .. }), "{missing}");
    }
    project.link("link", "README.md");
    assert!(matches!(project.tree().read(&path("link")).unwrap_err(), Error::NotFound { .. }));
}

/// R10: a pointer in the place of the file is said.
#[test]
fn git_lfs_pointers_are_noticed() {
    let project = Project::new();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    project.write("big.bin", pointer).write("long", pointer.repeat(40)).write("other", "version 2\n");
    let warnings: Vec<String> =
        project.context(&Selection::default()).warnings().iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["`big.bin` is a Git LFS pointer, not the file itself (`git lfs pull` fetches it)"]);
}

/// R4: depth costs no stack.
#[test]
fn a_deep_path_is_walked_and_one_too_deep_is_refused() {
    let project = Project::new();
    let mut deep = project.path().to_owned();
    for _ in 0..1000 {
        deep.push("d");
    }
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("f"), "1").unwrap();
    let context = project.context(&Selection::default());
    assert_eq!(context.manifest().entries()[0].path.parts().count(), 1001);
    context.stage(&project.beside("stage")).unwrap();

    // Deeper than one system call can name: made step by step.
    let name = "n".repeat(200);
    let mut directory =
        rustix::fs::open(project.path(), rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
    for _ in 0..25 {
        rustix::fs::mkdirat(&directory, &name, rustix::fs::Mode::RWXU).unwrap();
        directory =
            rustix::fs::openat(&directory, &name, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
    }
    let tree = project.tree();
    let error = tree.context(None).unwrap().add(&Selection::default()).unwrap_err();
    assert!(error.to_string().ends_with("it is longer than 4096 bytes"), "{error}");
    let without = Selection { exclude: vec!["nnn*".into()], ..Selection::default() };
    assert_eq!(tree.context(None).unwrap().add(&without).unwrap().files, 1);
}

#[test]
fn neither_place_nor_time_nor_mask_nor_order_enter_the_hash() {
    let files = [("b/c", "1"), ("a", "2"), ("b.c", "3"), ("z/y/x", "4")];
    let make = |order: &mut dyn Iterator<Item = usize>, mode: u32| {
        let project = Project::new();
        for at in order {
            project.write(files[at].0, files[at].1).chmod(files[at].0, mode);
        }
        project
    };
    let first = make(&mut (0..4), 0o644);
    let second = make(&mut (0..4).rev(), 0o600);
    let past = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
    std::fs::File::open(second.path().join("a")).unwrap().set_modified(past).unwrap();
    let hash = first.context(&Selection::default()).hash();
    assert_eq!(second.context(&Selection::default()).hash(), hash);
    // Through a link to the tree, too.
    let alias = second.beside("alias");
    std::os::unix::fs::symlink(second.path(), &alias).unwrap();
    let tree = Tree::open(&alias, &TreeOptions::default()).unwrap();
    let mut context = tree.context(None).unwrap();
    context.add(&Selection::default()).unwrap();
    assert_eq!(context.finish().unwrap().hash(), hash);
}

#[test]
fn many_files_are_hashed_alike_by_many_threads() {
    let project = Project::new();
    let mut entries = Vec::new();
    for directory in 0..60 {
        for file in 0..25 {
            let (name, content) = (format!("d{directory}/e{}/f{file}", file % 3), format!("{directory}-{file}"));
            project.write(&name, &content);
            let path = RelPath::try_from(name.as_str()).unwrap();
            entries.push(shipper_hash::Entry::new(path, Kind::File, content.as_bytes()));
        }
    }
    let expected = shipper_hash::Manifest::new(entries).unwrap();
    assert_eq!(project.context(&Selection::default()).manifest(), &expected);
}
