//! The files of a commit: git as the oracle, and the work tree's own hash.

use proptest::prelude::*;
use shipper_hash::{Context, Error, FileSet, RelPath, Selection, Tree};

use crate::project::Project;

fn context_of(tree: &Tree, base: Option<&RelPath>, selection: &Selection<'_>) -> Result<Context, Error> {
    let mut context = tree.context(base)?;
    context.add(selection)?;
    context.finish()
}

fn at(project: &Project, revision: &str) -> Result<Context, Error> {
    context_of(&Tree::at_commit(project.path(), revision)?, None, &Selection::default())
}

fn committed() -> Project {
    let project = Project::git();
    project.write("a", "1").write("dir/b", "22").write("dir/deep/c", "333").write("run", "#!").chmod("run", 0o755);
    project.link("link", "dir/b").write(".gitignore", "*.log\n");
    project.run(&["add", "-A"]).run(&["commit", "-q", "-m", "one"]);
    project
}

#[test]
fn a_clean_checkout_and_its_commit_have_one_hash() {
    let project = committed();
    project.write("noise.log", "ignored");
    let expected = project.context(&Selection::default());
    for revision in ["HEAD", "main", "HEAD^{commit}", "@"] {
        let found = at(&project, revision).unwrap();
        assert_eq!(found.manifest().entries(), expected.manifest().entries(), "{revision}");
        assert_eq!(found.hash(), expected.hash());
    }
}

#[test]
fn a_file_that_two_commits_have_is_read_once() {
    let project = committed();
    project.write("a", "changed");
    project.run(&["add", "-A"]).run(&["commit", "-q", "-m", "two"]);
    let new = Tree::at_commit(project.path(), "HEAD").unwrap();
    context_of(&new, None, &Selection::default()).unwrap();
    let all = new.stats().read;
    let old = new.at_other_commit("HEAD~1").unwrap();
    let found = context_of(&old, None, &Selection::default()).unwrap();
    assert_eq!((all, old.stats().read), (5, 1), "{:?}", old.stats());
    assert_eq!(found.hash(), at(&project, "HEAD~1").unwrap().hash());
    assert!(matches!(old.at_other_commit("nothing"), Err(Error::Revision { .. })));
    // From the work tree, and below the top level.
    let tree = Tree::open(&project.path().join("dir"), &Default::default()).unwrap();
    let below = tree.at_other_commit("HEAD").unwrap().at_other_commit("HEAD~1").unwrap();
    let found = context_of(&below, None, &Selection::default()).unwrap();
    let paths: Vec<String> = found.manifest().entries().iter().map(|entry| entry.path.to_string()).collect();
    assert_eq!(paths, ["b", "deep/c"]);
}

#[test]
fn the_work_tree_is_not_looked_at() {
    let project = committed();
    let expected = project.context(&Selection::default()).hash();
    project.write("a", "changed").write("new", "untracked").remove("dir");
    project.run(&["rm", "-q", "--cached", "run"]);
    assert_ne!(project.context(&Selection::default()).hash(), expected);
    assert_eq!(at(&project, "HEAD").unwrap().hash(), expected);
    // An old state is there as long as git has it.
    project.run(&["add", "-A"]).run(&["commit", "-q", "-m", "two"]);
    assert_eq!(at(&project, "HEAD~1").unwrap().hash(), expected);
    assert_ne!(at(&project, "HEAD").unwrap().hash(), expected);
}

#[test]
fn selections_mean_the_same() {
    let project = committed();
    let tree = Tree::at_commit(project.path(), "HEAD").unwrap();
    let disk = project.tree();
    let base = RelPath::try_from("dir").unwrap();
    let explicit = FileSet::Explicit(vec!["dir/**".to_owned(), "run".to_owned()]);
    let selections = [
        (Some(&base), Selection::default()),
        (None, Selection { exclude: vec!["dir/deep".to_owned()], ..Selection::default() }),
        (None, Selection { files: explicit, ..Selection::default() }),
    ];
    for (base, selection) in selections {
        let one = context_of(&tree, base, &selection).unwrap();
        let other = context_of(&disk, base, &selection).unwrap();
        assert_eq!(one.manifest().entries(), other.manifest().entries());
    }
    assert_eq!(tree.read(&RelPath::try_from("dir/b").unwrap()).unwrap(), b"22");
    assert_eq!(tree.tracked().unwrap(), disk.tracked().unwrap());
    assert_eq!(tree.commit().map(str::len), Some(40));
}

#[test]
fn a_directory_of_the_work_tree_is_one_of_the_commit() {
    let project = committed();
    let tree = Tree::at_commit(&project.path().join("dir"), "HEAD").unwrap();
    let found = context_of(&tree, None, &Selection::default()).unwrap();
    let paths: Vec<String> = found.manifest().entries().iter().map(|entry| entry.path.to_string()).collect();
    assert_eq!(paths, ["b", "deep/c"]);
    project.mkdir("later");
    assert!(matches!(Tree::at_commit(&project.path().join("later"), "HEAD"), Err(Error::NotInCommit { .. })));
}

#[test]
fn content_is_the_blob_where_git_would_change_it() {
    let project = Project::git();
    project.write(".gitattributes", "*.txt text eol=crlf\n").write("a.txt", "1\n2\n");
    project.run(&["add", "-A"]).run(&["commit", "-q", "-m", "one"]).remove("a.txt");
    project.run(&["checkout", "-q", "--", "a.txt"]);
    let size = |context: &Context| {
        let entries = context.manifest().entries();
        entries.iter().find(|entry| entry.path.as_bytes() == b"a.txt").map(|entry| entry.size)
    };
    assert_eq!(size(&project.context(&Selection::default())), Some(6));
    assert_eq!(size(&at(&project, "HEAD").unwrap()), Some(4));
}

#[test]
fn what_is_no_commit_is_an_error_that_names_it() {
    let project = committed();
    for revision in ["nothing", "HEAD~5", "", "-x", "HEAD:a", "HEAD^{tree}", "a..b", "\0"] {
        let error = at(&project, revision).unwrap_err();
        assert!(matches!(error, Error::Revision { .. }), "{revision:?}: {error:?}");
    }
    let empty = Project::git();
    assert!(matches!(at(&empty, "HEAD"), Err(Error::Revision { .. })));
    let without = Project::new();
    assert!(matches!(at(&without, "HEAD"), Err(Error::NoRepository { .. })));
}

#[test]
fn a_missing_object_is_an_error_and_a_submodule_too() {
    let project = committed();
    let blob = String::from_utf8(project.output(&["rev-parse", "HEAD:dir/b"])).unwrap();
    let (head, tail) = blob.trim().split_at(2);
    std::fs::remove_file(project.path().join(".git/objects").join(head).join(tail)).unwrap();
    assert!(matches!(at(&project, "HEAD"), Err(Error::Git { .. })));

    let other = committed();
    let commit = String::from_utf8(other.output(&["rev-parse", "HEAD"])).unwrap();
    other.run(&["update-index", "--add", "--cacheinfo", &format!("160000,{},sub", commit.trim())]);
    other.run(&["commit", "-q", "-m", "two"]);
    let Err(error @ Error::CommittedSubmodule { .. }) = at(&other, "HEAD") else { panic!("a submodule was read") };
    assert_eq!(error.to_string(), "read the submodule `sub` of a commit: its files are in another repository");
    let part = Selection { exclude: vec!["sub".to_owned()], ..Selection::default() };
    assert!(context_of(&Tree::at_commit(other.path(), "HEAD").unwrap(), None, &part).is_ok());
}

#[test]
fn hostile_names_in_a_tree_do_not_become_paths() {
    for name in ["..", ".git", ".GIT", "."] {
        let project = committed();
        let blob = String::from_utf8(project.output(&["rev-parse", "HEAD:a"])).unwrap();
        // `git mktree` lets such names pass.
        let script = format!("printf '100644 blob %s\\t%s\\n' {} '{name}' | git mktree", blob.trim());
        let made = std::process::Command::new("sh").args(["-c", &script]).current_dir(project.path()).output().unwrap();
        let tree = String::from_utf8(made.stdout).unwrap();
        let commit = project.output(&["commit-tree", "-m", "x", tree.trim()]);
        let revision = String::from_utf8(commit).unwrap();
        assert!(matches!(at(&project, revision.trim()), Err(Error::Git { .. })), "{name}");
    }
}

#[test]
fn the_files_of_a_commit_are_not_staged_from_disk() {
    let project = committed();
    let context = at(&project, "HEAD").unwrap();
    assert!(matches!(context.stage(&project.beside("stage")), Err(Error::OnlyInCommit)));
    assert!(matches!(context.write_tar(Vec::new()), Err(Error::OnlyInCommit)));
    assert!(!project.beside("stage").exists());
}

#[test]
fn packed_objects_and_linked_work_trees_are_read_alike() {
    let project = committed();
    let expected = at(&project, "HEAD").unwrap().hash();
    project.run(&["gc", "-q", "--prune=now"]);
    assert_eq!(at(&project, "HEAD").unwrap().hash(), expected);
    let linked = project.beside("linked");
    project.run(&["worktree", "add", "-q", "--no-checkout", "--detach", linked.to_str().unwrap()]);
    let linked = Project::at(linked);
    assert_eq!(at(&linked, "main").unwrap().hash(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is committed without filters, a clean checkout has the hash of its commit.
    #[test]
    fn histories_and_checkouts_agree(
        steps in prop::collection::vec((0..6_usize, 0..5_u8, any::<bool>()), 1..12),
    ) {
        const PLACES: [&str; 6] = ["a", "a.b", "d/a", "d/e/f", "d.x", "z \u{e9}"];
        let project = Project::git();
        for (place, content, executable) in steps {
            let path = PLACES[place];
            let _ = std::fs::remove_file(project.path().join(path));
            project.mkdir("d/e");
            match content {
                0 => {}
                1 => drop(project.link(path, "target")),
                _ => drop(project.write(path, [content]).chmod(path, if executable { 0o755 } else { 0o644 })),
            }
            project.run(&["add", "-A"]).run(&["commit", "-q", "--allow-empty", "-m", "next"]);
            let found = at(&project, "HEAD").unwrap();
            let expected = project.context(&Selection::default());
            prop_assert_eq!(found.manifest().entries(), expected.manifest().entries());
        }
    }
}
