//! Repositories in every state that git can put them into; `git ls-files` is the oracle.

use std::os::unix::fs::PermissionsExt as _;

use shipper_hash::{Error, FileSet, Kind, Narrow, Selection, Tree, TreeOptions, Untracked};

use crate::project::{Project, git_command, git_in, path};

/// A repository with one commit of a few files.
fn committed() -> Project {
    let project = Project::git();
    project.write("a", "1").write("dir/b", "2").write("dir/sub/c", "3").write("run.sh", "#!/bin/sh\n");
    project.chmod("run.sh", 0o755).link("link", "a");
    project.run(&["add", "."]).run(&["commit", "-q", "-m", "first"]);
    project
}

fn add(project: &Project, selection: &Selection<'_>) -> Result<usize, Error> {
    let tree = Tree::open(project.path(), &TreeOptions::default())?;
    let mut context = tree.context(None)?;
    Ok(context.add(selection)?.files)
}

fn only(prefix: &str) -> Selection<'static> {
    Selection { only: Some(vec![Narrow::Prefix(path(prefix))]), ..Selection::default() }
}

#[test]
fn a_clean_checkout_is_listed_with_kinds_from_disk() {
    let project = committed();
    project.assert_like_git();
    let manifest = project.context(&Selection::default()).manifest().clone();
    assert_eq!(manifest.get(b"run.sh").unwrap().kind, Kind::Executable);
    assert_eq!(manifest.get(b"link").unwrap().kind, Kind::Symlink);
    assert_eq!(manifest.get(b"a").unwrap().kind, Kind::File);
}

#[test]
fn the_work_tree_counts_and_not_what_is_staged() {
    let project = committed();
    let before = project.context(&Selection::default()).hash();
    project.write("a", "changed");
    let dirty = project.context(&Selection::default()).hash();
    assert_ne!(before, dirty);
    project.run(&["add", "a"]);
    assert_eq!(project.context(&Selection::default()).hash(), dirty);
    project.run(&["commit", "-q", "-m", "second"]);
    assert_eq!(project.context(&Selection::default()).hash(), dirty);
    project.write("a", "1");
    assert_eq!(project.context(&Selection::default()).hash(), before);
}

#[test]
fn a_new_file_counts_before_it_is_added() {
    let project = committed();
    project.write("new/file", "x");
    let untracked = project.context(&Selection::default()).hash();
    project.run(&["add", "new/file"]);
    assert_eq!(project.context(&Selection::default()).hash(), untracked);
    project.assert_like_git();
}

#[test]
fn a_deleted_file_leaves_the_set() {
    let project = committed();
    project.remove("a").remove("dir");
    project.assert_like_git();
}

/// R10: `assume-unchanged` and `skip-worktree` hide nothing.
#[test]
fn flags_in_the_index_cannot_hide_a_change() {
    // `git status` says nothing for any of these (facts on reliability, R10).
    for flag in ["--assume-unchanged", "--skip-worktree"] {
        let project = committed();
        let before = project.context(&Selection::default()).hash();
        project.run(&["update-index", flag, "a"]).write("a", "9");
        assert_ne!(project.context(&Selection::default()).hash(), before, "{flag}");
        assert!(project.output(&["status", "--porcelain"]).is_empty());
    }
}

#[test]
fn intent_to_add_and_conflicts_are_listed_once() {
    let project = committed();
    project.write("later", "x").run(&["add", "-N", "later"]);
    project.assert_like_git();

    let project = committed();
    project.run(&["checkout", "-q", "-b", "other"]).write("a", "theirs").run(&["commit", "-q", "-a", "-m", "o"]);
    project.run(&["checkout", "-q", "main"]).write("a", "ours").run(&["commit", "-q", "-a", "-m", "m"]);
    assert!(!project.try_git(&["merge", "-q", "other"]));
    assert!(String::from_utf8(project.output(&["ls-files", "-u"])).unwrap().lines().count() == 3);
    project.assert_like_git();
}

/// R5: names that are not UTF-8, or that could end a line.
#[test]
fn names_are_bytes() {
    let project = Project::git();
    project.write_bytes(b"caf\xe9", "1").write("new\nline", "2").write("tab\t\"quote\\", "3").write("-dash", "4");
    project.write_bytes(b"dir\xff/x", "5").write_bytes(b".gitignore", b"ign\xe9\n").write_bytes(b"ign\xe9", "6");
    project.assert_like_git();
    project.run(&["add", "."]);
    project.assert_like_git();
    let names = project.paths(&Selection::default());
    assert_eq!(
        names,
        ["-dash", ".gitignore", "caf\\xe9", "dir\\xff/x", "new\\nline", "tab\t\"quote\\\\"]
            .map(|name| name.replace('\t', "\\t"))
    );
}

/// R10: the bytes on disk, not those of the blob.
#[test]
fn line_endings_are_hashed_as_they_are_on_disk() {
    let project = Project::git();
    project.run(&["config", "core.autocrlf", "true"]).write("text", "a\r\nb\r\n").run(&["add", "text"]);
    project.run(&["commit", "-q", "-m", "crlf"]);
    assert!(project.output(&["status", "--porcelain"]).is_empty());
    let entry = project.context(&Selection::default()).manifest().get(b"text").unwrap().clone();
    assert_eq!(entry.size, 6, "six bytes on disk, four in the blob");
}

#[test]
fn a_linked_work_tree_has_its_own_list() {
    let project = committed();
    let linked = project.beside("linked");
    project.run(&["worktree", "add", "-q", "-b", "side", linked.to_str().unwrap()]);
    std::fs::write(linked.join("extra"), "x").unwrap();
    git_in(&linked, &["add", "extra"]);
    std::fs::write(project.path().join(".git/info/exclude"), "*.shared\n").unwrap();
    std::fs::write(linked.join("y.shared"), "x").unwrap();
    let tree = Tree::open(&linked, &TreeOptions::default()).unwrap();
    assert!(tree.is_git());
    let paths: Vec<String> = tree.tracked().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(paths, ["a", "dir/b", "dir/sub/c", "extra", "link", "run.sh"]);
}

#[test]
fn a_shallow_clone_and_a_sha256_repository_hash_alike() {
    let project = committed();
    project.write("a", "2").run(&["commit", "-q", "-a", "-m", "second"]);
    let hash = project.context(&Selection::default()).hash();
    let shallow = project.beside("shallow");
    let source = format!("file://{}", project.path().display());
    git_in(project.path(), &["clone", "-q", "--depth", "1", &source, shallow.to_str().unwrap()]);
    let of = |root: &std::path::Path| {
        let tree = Tree::open(root, &TreeOptions::default()).unwrap();
        assert!(tree.is_git());
        let mut context = tree.context(None).unwrap();
        context.add(&Selection::default()).unwrap();
        context.finish().unwrap().hash()
    };
    assert_eq!(of(&shallow), hash);
    std::fs::remove_dir_all(shallow.join(".git")).unwrap();
    git_in(&shallow, &["init", "-q", "--object-format=sha256", "."]);
    git_in(&shallow, &["add", "."]);
    assert_eq!(of(&shallow), hash);
    // The same files without any repository.
    std::fs::remove_dir_all(shallow.join(".git")).unwrap();
    let tree = Tree::open(&shallow, &TreeOptions::default()).unwrap();
    let mut context = tree.context(None).unwrap();
    context.add(&Selection::default()).unwrap();
    assert_eq!(context.finish().unwrap().hash(), hash);
}

#[test]
fn index_formats_make_no_difference() {
    let project = committed();
    let hash = project.context(&Selection::default()).hash();
    for arguments in [
        &["update-index", "--index-version", "4"][..],
        &["update-index", "--split-index"],
        &["update-index", "--untracked-cache"],
    ] {
        project.run(arguments);
        assert_eq!(project.context(&Selection::default()).hash(), hash, "{arguments:?}");
    }
    project.run(&["config", "index.skipHash", "true"]).write("a", "1").run(&["add", "--renormalize", "."]);
    assert_eq!(project.context(&Selection::default()).hash(), hash);
}

/// R10: what is not checked out is not taken for deleted.
#[test]
fn what_a_sparse_checkout_leaves_out_is_an_error_where_it_is_needed() {
    for arguments in [
        &["sparse-checkout", "set", "--no-cone", "/a", "/run.sh", "/link"][..],
        &["sparse-checkout", "set", "--cone"],
        &["sparse-checkout", "set", "--cone", "--sparse-index"],
    ] {
        let project = committed();
        project.run(arguments);
        assert!(!project.path().join("dir").exists(), "{arguments:?}");
        assert_eq!(add(&project, &only("a")).unwrap(), 1, "{arguments:?}");
        for selection in [Selection::default(), only("dir"), only("dir/sub"), only("dir/sub/c")] {
            let error = add(&project, &selection).unwrap_err();
            assert!(matches!(error, Error::SparseInput { .. }), "{arguments:?} {selection:?}: {error}");
        }
        assert!(add(&project, &only("dir")).unwrap_err().hint().unwrap().contains("git sparse-checkout add"));
        // Docker's walk would not see it either.
        let worktree = Selection { files: FileSet::Worktree, ..Selection::default() };
        assert_eq!(add(&project, &worktree).unwrap(), 3, "{arguments:?}");
        // What is excluded is not needed.
        let without = Selection { exclude: vec!["dir".into()], ..Selection::default() };
        assert_eq!(add(&project, &without).unwrap(), 3, "{arguments:?}");
    }
}

#[test]
fn a_file_that_a_sparse_checkout_left_out_and_is_there_again_counts() {
    let project = committed();
    project.run(&["sparse-checkout", "set", "--no-cone", "/a", "/dir"]).write("run.sh", "other");
    project.link("link", "a");
    project.assert_like_git();
}

/// R9: nothing is initialised or updated; what is not there is an error.
#[test]
fn submodules_are_recursed_with_their_own_rules() {
    let inner = Project::git();
    inner.write("lib.c", "1").write(".gitignore", "*.o\n").write("deep/x", "2").run(&["add", "."]);
    inner.run(&["commit", "-q", "-m", "lib"]);
    let project = committed();
    let source = inner.path().to_str().unwrap();
    project.run(&["submodule", "--quiet", "add", source, "third/lib"]).run(&["commit", "-q", "-m", "module"]);
    project.write("third/lib/new.c", "3").write("third/lib/x.o", "4").write(".gitignore", "*.c\n");
    let paths = project.paths(&only("third"));
    assert_eq!(paths, ["third/lib/.gitignore", "third/lib/deep/x", "third/lib/lib.c", "third/lib/new.c"]);

    project.run(&["submodule", "--quiet", "deinit", "-f", "third/lib"]);
    for selection in [Selection::default(), only("third"), only("third/lib/deep")] {
        let error = add(&project, &selection).unwrap_err();
        assert!(matches!(&error, Error::Submodule { path } if path.as_bytes() == b"third/lib"), "{error}");
        assert_eq!(error.hint().unwrap(), "run `git submodule update --init third/lib`");
    }
    assert_eq!(add(&project, &only("dir")).unwrap(), 2);
    project.remove("third");
    assert!(matches!(add(&project, &Selection::default()).unwrap_err(), Error::Submodule { .. }));
}

#[test]
fn nested_repositories_are_somebody_elses() {
    let project = committed();
    project.mkdir("clone").mkdir("fake/.git");
    git_in(&project.path().join("clone"), &["init", "-q", "."]);
    project.write("clone/x", "1").write("fake/y", "2").write("broken/.git", "nonsense").write("broken/z", "3");
    project.assert_like_git();
    let worktree = project.paths(&Selection { files: FileSet::Worktree, ..Selection::default() });
    assert!(worktree.contains(&"clone/x".to_owned()));
    assert!(!worktree.iter().any(|path| path.contains(".git/")));
}

/// R6, R7: a bare repository that is committed as plain files must stay plain files: `gix::discover` would run its filters.
#[test]
fn a_buried_bare_repository_is_never_opened() {
    let project = committed();
    let marker = project.beside("ran");
    let hook = format!("touch {}", marker.display());
    git_in(project.path(), &["init", "-q", "--bare", "bare"]);
    let config = format!(
        "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = .\n\tfsmonitor = \"{hook}\"\n\
         [filter \"evil\"]\n\tclean = \"{hook}\"\n\tsmudge = \"{hook}\"\n\tprocess = \"{hook}\"\n"
    );
    project.write("bare/config", &config).write("bare/.gitattributes", "* filter=evil\n").write("bare/data", "x");
    // The same configuration in the repository itself.
    let own = std::fs::read_to_string(project.path().join(".git/config")).unwrap();
    std::fs::write(project.path().join(".git/config"), own + &config.replace("\tworktree = .\n", "")).unwrap();
    project.write(".gitattributes", "* filter=evil\n");

    let whole = project.paths(&Selection::default());
    assert!(whole.contains(&"bare/config".to_owned()) && whole.contains(&"bare/HEAD".to_owned()));
    let inside = Tree::open(&project.path().join("bare"), &TreeOptions::default()).unwrap();
    let mut context = inside.context(None).unwrap();
    context.add(&Selection::default()).unwrap();
    let context = context.finish().unwrap();
    assert!(context.manifest().get(b"config").is_some());
    assert!(!marker.exists(), "a program of the repository ran");
}

#[test]
fn excludes_come_from_the_places_that_git_reads() {
    let project = committed();
    project.write("x.local", "1").write("x.config", "1").write("x.kept", "1");
    let info = project.path().join(".git/info");
    std::fs::create_dir_all(&info).unwrap();
    std::fs::write(info.join("exclude"), "*.local\n!*.kept\n").unwrap();
    std::fs::write(project.beside("excludes"), "*.config\n*.kept\n").unwrap();
    project.run(&["config", "core.excludesFile", project.beside("excludes").to_str().unwrap()]);
    project.assert_like_git();
    assert_eq!(project.paths(&Selection::default()).iter().filter(|path| path.starts_with("x.")).count(), 1);
    // Relative to the top level, and case as the configuration says.
    project.write("my-excludes", "*.CONFIG\n").run(&["config", "core.excludesFile", "my-excludes"]);
    project.assert_like_git();
    project.run(&["config", "core.ignoreCase", "true"]);
    project.assert_like_git();
}

#[test]
fn included_configuration_counts() {
    let project = committed();
    project.write("x.inc", "1");
    std::fs::write(project.beside("ignore"), "*.inc\n").unwrap();
    std::fs::write(
        project.beside("more"),
        format!("[core]\n\texcludesFile = {}\n", project.beside("ignore").display()),
    )
    .unwrap();
    project.run(&["config", "include.path", project.beside("more").to_str().unwrap()]);
    project.run(&["config", "--add", "include.path", "/nowhere/at/all"]);
    project.assert_like_git();
    assert!(!project.paths(&Selection::default()).contains(&"x.inc".to_owned()));
}

/// The user's own configuration, from each place where git looks for it.
#[test]
fn the_users_excludes_count_as_in_git() {
    let project = committed();
    for name in ["x.xdg", "x.home", "x.global", "x.included", "x.env", "x.default"] {
        project.write(name, "1");
    }
    let home = project.beside("home");
    let write = |name: &str, content: &str| {
        let path = home.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    write("xdg/git/ignore", "*.xdg\n");
    write(".config/git/ignore", "*.default\n");
    let run = |hidden: &str, environment: &[(&str, &str)]| {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "git::is_like_git_where_it_is_told", "--ignored"]);
        for name in ["XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_COUNT"] {
            child.env_remove(name);
        }
        let output = child
            .env("HOME", &home)
            .envs(environment.iter().copied())
            .env("TREE_TO_HASH", project.path())
            .env("HIDDEN", hidden)
            .output();
        let output = output.unwrap();
        assert!(output.status.success(), "{environment:?} {}", String::from_utf8_lossy(&output.stdout));
    };
    run("x.default", &[]);
    run("x.xdg", &[("XDG_CONFIG_HOME", home.join("xdg").to_str().unwrap())]);
    write(".gitconfig", "[core]\n\texcludesFile = ~/mine\n");
    write("mine", "*.home\n");
    run("x.home", &[]);
    write("mine", "*.included\n");
    write("special", "[core]\n\texcludesFile = ~/mine\n");
    let condition = format!("[includeIf \"gitdir:{}/\"]\n\tpath = special\n", project.path().display());
    write(".gitconfig", &condition);
    run("x.included", &[]);
    write("other", "[core]\n\texcludesFile = ~/global\n");
    write("global", "*.global\n");
    run("x.global", &[("GIT_CONFIG_GLOBAL", home.join("other").to_str().unwrap())]);
    write("from-env", "*.env\n");
    run(
        "x.env",
        &[
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "core.excludesFile"),
            ("GIT_CONFIG_VALUE_0", home.join("from-env").to_str().unwrap()),
        ],
    );
    run("", &[("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "core.excludesFile"), ("GIT_CONFIG_VALUE_0", "")]);
}

/// The part of the test above that runs in another environment.
#[test]
#[ignore = "started by the test above"]
fn is_like_git_where_it_is_told() {
    let Some(root) = std::env::var_os("TREE_TO_HASH") else { return };
    let project = Project::at(root.into());
    project.assert_like_git();
    let shown = project.paths(&Selection::default());
    let names = ["x.xdg", "x.home", "x.global", "x.included", "x.env", "x.default"];
    let hidden: Vec<&str> = names.into_iter().filter(|name| !shown.contains(&(*name).to_owned())).collect();
    assert_eq!(hidden.concat(), std::env::var("HIDDEN").unwrap());
}

/// R7: a configuration cannot make the reader wait or read without end.
#[test]
fn excludes_files_that_are_no_files_are_none() {
    let project = committed();
    let fifo = project.beside("fifo");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    for file in ["/dev/zero", "/proc/kmsg", "/nowhere", fifo.to_str().unwrap()] {
        project.run(&["config", "core.excludesFile", file]);
        assert_eq!(add(&project, &Selection::default()).unwrap(), 5, "{file}");
    }
}

#[test]
fn the_executable_bit_is_the_owners_or_the_indexs_as_configured() {
    let project = committed();
    let kind = |project: &Project, name: &str| {
        project.context(&Selection::default()).manifest().get(name.as_bytes()).unwrap().kind
    };
    project.chmod("a", 0o611);
    assert_eq!(kind(&project, "a"), Kind::File);
    project.chmod("a", 0o744);
    assert_eq!(kind(&project, "a"), Kind::Executable);
    project.run(&["config", "core.fileMode", "false"]);
    assert_eq!(kind(&project, "a"), Kind::File);
    project.chmod("run.sh", 0o644);
    assert_eq!(kind(&project, "run.sh"), Kind::Executable);
}

/// R1: a link in the place of a directory is content.
#[test]
fn a_tracked_file_below_a_link_is_gone() {
    let project = committed();
    std::fs::rename(project.path().join("dir"), project.beside("moved")).unwrap();
    project.link("dir", project.beside("moved").to_str().unwrap());
    let manifest = project.context(&Selection::default()).manifest().clone();
    assert_eq!(manifest.get(b"dir").unwrap().kind, Kind::Symlink);
    assert!(manifest.get(b"dir/b").is_none());
    project.assert_like_git();
}

#[test]
fn files_and_directories_may_change_places() {
    let project = committed();
    project.remove("a").write("a/now/deep", "1").remove("dir").write("dir", "a file");
    project.assert_like_git();
}

/// R2, R9: an index cannot name what lies outside.
#[test]
fn a_hostile_index_is_refused() {
    let project = committed();
    // An index entry `../escape`, written as git would never write it.
    let index = project.path().join(".git/index");
    let mut bytes = std::fs::read(&index).unwrap();
    let at = bytes.windows(6).position(|window| window == b"run.sh").unwrap();
    bytes[at..at + 6].copy_from_slice(b"../abc");
    let end = bytes.len() - 20;
    // A null checksum means that there is none (`index.skipHash`).
    bytes[end..].fill(0);
    std::fs::write(&index, bytes).unwrap();
    let error = Tree::open(project.path(), &TreeOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Git { .. }), "{error}");
    std::fs::write(&index, b"DIRC\0\0\0\x02\xff\xff\xff\xff garbage").unwrap();
    assert!(matches!(Tree::open(project.path(), &TreeOptions::default()).unwrap_err(), Error::Git { .. }));
}

#[test]
fn a_git_file_that_leads_nowhere_is_an_error() {
    let project = Project::new();
    project.write("a", "1").write(".git", "gitdir: /nowhere\n");
    let error = Tree::open(project.path(), &TreeOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Git { .. }), "{error}");
}

#[test]
fn an_empty_repository_has_its_untracked_files() {
    let project = Project::git();
    assert_eq!(add(&project, &Selection::default()).unwrap(), 0);
    project.write("a", "1");
    project.assert_like_git();
}

#[test]
fn unreadable_ignored_directories_do_not_matter() {
    let project = committed();
    project.write(".gitignore", "/secret\n").write("secret/x", "1");
    std::fs::set_permissions(project.path().join("secret"), std::fs::Permissions::from_mode(0o000)).unwrap();
    let files = add(&project, &Selection::default());
    std::fs::set_permissions(project.path().join("secret"), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(files.unwrap(), 6);
}

#[test]
fn deny_looks_at_what_the_context_would_contain() {
    let project = committed();
    project.write("stray", "1");
    let options = TreeOptions { untracked: Untracked::Deny, ..TreeOptions::default() };
    let tree = Tree::open(project.path(), &options).unwrap();
    let mut context = tree.context(None).unwrap();
    assert_eq!(context.add(&only("dir")).unwrap().files, 2);
    assert!(matches!(context.add(&Selection::default()).unwrap_err(), Error::UntrackedFiles { .. }));
    // Named by hand, it is meant.
    let named = Selection { inputs: vec!["stray".into()], ..Selection::default() };
    assert_eq!(context.add(&named).unwrap().files, 6);
    assert!(tree.tracked().unwrap().contains(&path("stray")));
    assert!(matches!(context.add_path(&path("stray")).unwrap_err(), Error::UntrackedFiles { .. }));
}

#[test]
fn tracked_files_are_what_git_lists() {
    let project = Project::git();
    project.write("tracked", "1").write(".gitignore", "*.o\n/out/\n").write("out/forced", "1").write("x.o", "1");
    project.run(&["add", "tracked", ".gitignore"]).run(&["add", "-f", "out/forced", "x.o"]);
    project.write("y.o", "1").write("out/not", "1").write("untracked/new", "1").write("gone", "1");
    project.run(&["add", "gone"]);
    project.remove("gone");
    project.assert_like_git();
}

#[test]
fn untracked_files_can_be_ignored_or_denied() {
    let project = Project::git();
    project.write("tracked", "1").run(&["add", "tracked"]).write("new", "1").write("dir/new", "1");
    let with = |untracked| {
        let tree = Tree::open(project.path(), &TreeOptions { untracked, ..TreeOptions::default() }).unwrap();
        let mut context = tree.context(None).unwrap();
        context.add(&Selection::default()).map(|added| added.files)
    };
    assert_eq!(with(Untracked::Include).unwrap(), 3);
    assert_eq!(with(Untracked::Ignore).unwrap(), 1);
    let error = with(Untracked::Deny).unwrap_err();
    assert_eq!(error.to_string(), "hash a tree with untracked files: `dir/new`, `new`");
    assert!(matches!(error, Error::UntrackedFiles { paths } if paths.len() == 2));
}

/// An index of a size at which the library's own limits for repositories without trust would refuse it.
#[test]
fn an_index_of_two_hundred_thousand_entries_is_read() {
    use std::io::Write as _;
    let project = committed();
    let mut child = git_command(project.path())
        .args(["update-index", "--index-info"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = String::new();
    for entry in 0..200_000 {
        lines.push_str("100644 e69de29bb2d1d6434b8b29ae775ad8c2e48c5391\tgone/");
        lines.push_str(&entry.to_string());
        lines.push('\n');
    }
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(add(&project, &Selection::default()).unwrap(), 5);
}

/// R1: a directory that becomes a link to another place while it is walked lets nothing of that place in.
#[test]
fn a_link_swapped_in_during_the_walk_leads_nowhere() {
    let project = committed();
    let outside = project.beside("outside");
    std::fs::create_dir_all(outside.join("sub")).unwrap();
    for name in ["b", "secret", "sub/c"] {
        std::fs::write(outside.join(name), "secret").unwrap();
    }
    let secret = shipper_hash::FileDigest::of(b"secret");
    let (inside, spare, link) = (project.path().join("dir"), project.beside("spare"), project.beside("link"));
    std::os::unix::fs::symlink(&outside, &link).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                std::fs::rename(&inside, &spare).unwrap();
                std::fs::rename(&link, &inside).unwrap();
                std::fs::rename(&inside, &link).unwrap();
                std::fs::rename(&spare, &inside).unwrap();
            }
        });
        for _ in 0..1_000 {
            let hashed = Tree::open(project.path(), &TreeOptions::default()).and_then(|tree| {
                let mut context = tree.context(None)?;
                context.add(&Selection::default())?;
                context.finish()
            });
            // A walk may meet the directory at a moment when it is no directory.
            if let Ok(context) = hashed {
                assert!(context.manifest().entries().iter().all(|entry| entry.digest != secret));
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// R8: files of somebody else are hashed like one's own, without `safe.directory`.
#[test]
fn a_repository_of_another_owner_is_read_like_ones_own() {
    let project = committed();
    project.write("new", "1").write(".gitignore", "*.o\n").write("x.o", "1");
    let hash = project.context(&Selection::default()).hash();
    if !rustix::process::geteuid().is_root() {
        crate::skip("a repository of another owner: only root can give files away");
        return;
    }
    let owner = std::process::Command::new("chown").args(["-R", "12345:12345"]).arg(project.path()).status().unwrap();
    assert!(owner.success());
    assert!(!project.try_git(&["status"]), "git itself refuses");
    let context = project.context(&Selection::default());
    assert_eq!(context.hash(), hash);
    context.stage(&project.beside("stage")).unwrap();
}

/// R7 and G9: hashing starts no process and opens no socket, whatever the repository's configuration says.
#[test]
fn hashing_starts_no_process_and_opens_no_socket() {
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        crate::skip_for_lack_of_a_tool("system calls of hashing: strace is not installed");
        return;
    }
    let project = committed();
    project.write("new", "1").run(&["config", "core.fsmonitor", "false"]);
    let trace = project.beside("trace");
    let output = std::process::Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=execve,execveat,fork,vfork,socket,connect", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "git::hashes_what_it_is_told", "--ignored"])
        .env("TREE_TO_HASH", project.path())
        .output()
        .unwrap();
    if String::from_utf8_lossy(&output.stderr).contains("PTRACE") {
        crate::skip("system calls of hashing: tracing is not permitted");
        return;
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let calls = std::fs::read_to_string(trace).unwrap();
    let calls: Vec<&str> = calls.lines().filter(|line| !line.contains("+++") && !line.contains("---")).collect();
    assert_eq!(calls.len(), 1, "only the test itself is started: {calls:#?}");
}

/// The traced part of the test above.
#[test]
#[ignore = "started by the test above"]
fn hashes_what_it_is_told() {
    let Some(root) = std::env::var_os("TREE_TO_HASH") else { return };
    let tree = Tree::open(std::path::Path::new(&root), &TreeOptions::default()).unwrap();
    let mut context = tree.context(None).unwrap();
    assert_eq!(context.add(&Selection::default()).unwrap().files, 6);
    context.finish().unwrap();
}
