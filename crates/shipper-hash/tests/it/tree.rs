//! File sets that need no git.

use crate::project::{Project, path};
use shipper_hash::{FileSet, Kind, Narrow, Selection, Tree, TreeOptions};

#[test]
fn a_directory_without_git_has_all_files_that_no_gitignore_names() {
    let project = Project::new();
    project.write("a.txt", "a").write("target/x", "x").write("sub/b.txt", "b").write("sub/.gitignore", "*.tmp\n");
    project.write("sub/c.tmp", "c").write(".gitignore", "/target\n");
    assert_eq!(project.paths(&Selection::default()), [".gitignore", "a.txt", "sub/.gitignore", "sub/b.txt"]);
}

#[test]
fn the_top_level_directory_and_a_subdirectory_agree() {
    let project = Project::git();
    project.write(".gitignore", "*.log\n").write("app/a", "1").write("app/b.log", "1").write("app/c/d", "1");
    let whole = project.tree();
    let mut context = whole.context(Some(&path("app"))).unwrap();
    context.add(&Selection::default()).unwrap();
    let below = Tree::open(&project.path().join("app"), &TreeOptions::default()).unwrap();
    let mut alone = below.context(None).unwrap();
    alone.add(&Selection::default()).unwrap();
    let (context, alone) = (context.finish().unwrap(), alone.finish().unwrap());
    assert_eq!(context.manifest(), alone.manifest());
    assert_eq!(context.manifest().entries().len(), 2);
}

#[test]
fn a_worktree_context_has_ignored_files_and_empty_directories() {
    let project = Project::git();
    project.write(".gitignore", "out\n").write("out/x", "1").mkdir("empty").mkdir("deep/empty");
    let selection = Selection { files: FileSet::Worktree, ..Selection::default() };
    let context = project.context(&selection);
    let entries: Vec<(String, Kind)> =
        context.manifest().entries().iter().map(|entry| (entry.path.to_string(), entry.kind)).collect();
    let expected =
        [(".gitignore", Kind::File), ("deep/empty", Kind::EmptyDir), ("empty", Kind::EmptyDir), ("out/x", Kind::File)];
    assert_eq!(entries, expected.map(|(path, kind)| (path.to_owned(), kind)));
}

#[test]
fn narrowing_keeps_whole_parts() {
    let project = Project::new();
    project.write("a/x", "1").write("ab/x", "1").write("c", "1").write("d/e/f", "1");
    let only = Some(vec![Narrow::Prefix(path("a")), Narrow::Prefix(path("d/e/f"))]);
    assert_eq!(project.paths(&Selection { only, ..Selection::default() }), ["a/x", "d/e/f"]);
}
