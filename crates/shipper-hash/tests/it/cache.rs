//! The stat cache: never a wrong digest, whatever happens to files or to the cache.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shipper_hash::{ContextHash, Selection, Tree, TreeOptions, TreeStats};

use crate::project::Project;

fn hash(root: &Path, cache: Option<PathBuf>) -> (ContextHash, TreeStats) {
    let tree = Tree::open(root, &TreeOptions { cache, ..TreeOptions::default() }).unwrap();
    let mut context = tree.context(None).unwrap();
    context.add(&Selection::default()).unwrap();
    let context = context.finish().unwrap();
    tree.save_cache().unwrap();
    (context.hash(), tree.stats())
}

/// Makes all files of the project old enough to be remembered: the clock must have moved since they were written.
fn settle(project: &Project) {
    let probe = project.beside("probe");
    let newest = |path: &Path| {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = path.metadata().unwrap();
        (metadata.ctime(), metadata.ctime_nsec())
    };
    std::fs::write(&probe, "").unwrap();
    let begin = newest(&probe);
    while newest(&probe) == begin {
        std::fs::write(&probe, "").unwrap();
    }
}

fn project() -> Project {
    let project = Project::new();
    project.write("a", "1").write("dir/b", "22").write("dir/c", "333").write("d", "").link("link", "a");
    settle(&project);
    project
}

#[test]
fn a_second_run_reads_nothing() {
    let project = project();
    let cache = project.beside("cache/files");
    let (cold, stats) = hash(project.path(), Some(cache.clone()));
    assert_eq!((stats.read, stats.cached), (4, 0));
    let written = std::fs::read(&cache).unwrap();
    let (warm, stats) = hash(project.path(), Some(cache.clone()));
    assert_eq!((warm, stats.read, stats.bytes, stats.cached), (cold, 0, 0, 4));
    assert_eq!(hash(project.path(), None).0, cold);
    // Without news it is not written again.
    std::fs::remove_file(&cache).unwrap();
    std::fs::write(&cache, &written).unwrap();
    let before = cache.metadata().unwrap().modified().unwrap();
    hash(project.path(), Some(cache.clone()));
    assert_eq!(cache.metadata().unwrap().modified().unwrap(), before);
}

#[test]
#[cfg(target_os = "linux")]
fn names_are_remembered_where_the_times_of_directories_tell_enough() {
    // ext2 to ext4, tmpfs, XFS, btrfs: `statfs(2)`.
    const TELLING: [i64; 4] = [0xef53, 0x0102_1994, 0x5846_5342, 0x9123_683e];
    let project = project();
    let cache = project.beside("files");
    let cold = hash(project.path(), Some(cache.clone())).1;
    let warm = hash(project.path(), Some(cache.clone())).1;
    assert_eq!((cold.recalled, warm.directories), (0, 2));
    let kind = rustix::fs::statfs(project.path()).unwrap().f_type;
    if !TELLING.contains(&kind) {
        return assert_eq!(warm.recalled, 0, "file system {kind:#x}");
    }
    assert_eq!(warm.recalled, 2);
    // One more name, and the time of the directory set back.
    let directory = File::open(project.path().join("dir")).unwrap();
    let before = directory.metadata().unwrap().modified().unwrap();
    project.write("dir/new", "4444");
    directory.set_modified(before).unwrap();
    let (found, stats) = hash(project.path(), Some(cache));
    assert_eq!((found, stats.recalled), (hash(project.path(), None).0, 1));
}

#[test]
#[cfg(feature = "git")]
fn an_index_is_read_when_it_changed_and_not_before() {
    let project = Project::git();
    let cache = project.beside("files");
    // Only the index says that `dir/b` counts.
    project.write("a", "1").write(".gitignore", "dir/*\n").write("dir/b", "22").write("dir/c", "333");
    project.run(&["add", ".", ":!dir"]).run(&["add", "--force", "dir/b"]);
    settle(&project);
    let (cold, stats) = hash(project.path(), Some(cache.clone()));
    assert_eq!((stats.indexes, stats.read), (1, 3));
    let (warm, stats) = hash(project.path(), Some(cache.clone()));
    assert_eq!((warm, stats.indexes, stats.cached), (cold, 0, 3));
    project.run(&["add", "--force", "dir/c"]);
    settle(&project);
    let (added, stats) = hash(project.path(), Some(cache.clone()));
    assert_eq!((added, stats.indexes, stats.read), (hash(project.path(), None).0, 1, 1));
    let (warm, stats) = hash(project.path(), Some(cache));
    assert_eq!((warm, stats.indexes), (added, 0));
    assert_ne!(warm, cold);
}

#[test]
fn only_changed_files_are_read_again() {
    let project = project();
    let cache = project.beside("cache/files");
    hash(project.path(), Some(cache.clone()));
    project.write("dir/b", "other").write("new", "n").remove("d");
    settle(&project);
    let (warm, stats) = hash(project.path(), Some(cache.clone()));
    assert_eq!((stats.read, stats.cached), (2, 2));
    assert_eq!(warm, hash(project.path(), None).0);
    assert_eq!(hash(project.path(), Some(cache)).1.read, 0);
}

#[test]
fn a_forged_modification_time_does_not_hide_an_edit_of_the_same_size() {
    let project = project();
    let cache = project.beside("files");
    let (before, _) = hash(project.path(), Some(cache.clone()));
    let file = project.path().join("a");
    let modified = file.metadata().unwrap().modified().unwrap();
    project.write("a", "2");
    File::open(&file).unwrap().set_modified(modified).unwrap();
    let (after, _) = hash(project.path(), Some(cache));
    assert_ne!(after, before);
    assert_eq!(after, hash(project.path(), None).0);
}

#[test]
fn a_file_that_was_just_written_is_not_remembered() {
    let project = project();
    let cache = project.beside("files");
    // As old as the probe or younger: the clock of the future cannot be reached by waiting.
    let future = std::time::SystemTime::now() + Duration::from_secs(3600);
    File::open(project.path().join("a")).unwrap().set_modified(future).unwrap();
    settle(&project);
    hash(project.path(), Some(cache.clone()));
    let (_, stats) = hash(project.path(), Some(cache));
    assert_eq!((stats.read, stats.cached), (1, 3));
}

#[test]
fn the_mode_comes_from_the_disk_even_if_the_digest_is_remembered() {
    let project = project();
    let cache = project.beside("files");
    let (before, _) = hash(project.path(), Some(cache.clone()));
    project.chmod("a", 0o755);
    let (after, _) = hash(project.path(), Some(cache));
    assert_ne!(after, before);
    assert_eq!(after, hash(project.path(), None).0);
}

#[test]
fn a_damaged_cache_is_an_empty_one() {
    let project = project();
    let cache = project.beside("files");
    let (expected, _) = hash(project.path(), Some(cache.clone()));
    let good = std::fs::read(&cache).unwrap();
    // G16: ten thousand, each bit of the file among them.
    for flip in 0..10_000_usize.max(good.len() * 8) {
        let (at, bit) = (flip % good.len(), flip / good.len() % 8);
        let mut bytes = good.clone();
        bytes[at] ^= 1 << bit;
        // From the second round on, another byte as well.
        if flip >= good.len() * 8 {
            bytes[(flip * 7919) % good.len()] ^= 1 << (flip % 8);
        }
        if bytes == good {
            continue;
        }
        std::fs::write(&cache, &bytes).unwrap();
        let (found, stats) = hash(project.path(), Some(cache.clone()));
        assert_eq!((found, stats.cached, stats.recalled), (expected, 0, 0), "byte {at}, bit {bit}");
    }
    for length in 0..good.len() {
        std::fs::write(&cache, &good[..length]).unwrap();
        assert_eq!(hash(project.path(), Some(cache.clone())).0, expected, "length {length}");
    }
}

#[test]
fn the_cache_of_another_tree_is_not_used() {
    let (one, other) = (project(), project());
    let cache = one.beside("files");
    hash(one.path(), Some(cache.clone()));
    other.write("a", "different");
    let (found, stats) = hash(other.path(), Some(cache));
    assert_eq!(stats.cached, 0);
    assert_eq!(found, hash(other.path(), None).0);
}

#[test]
fn a_cache_that_cannot_be_written_is_an_error_and_nothing_else() {
    let project = project();
    let cache = project.path().join("a/below-a-file");
    let tree = Tree::open(project.path(), &TreeOptions { cache: Some(cache), ..TreeOptions::default() }).unwrap();
    let mut context = tree.context(None).unwrap();
    context.add(&Selection::default()).unwrap();
    assert_eq!(context.finish().unwrap().hash(), hash(project.path(), None).0);
    assert!(tree.save_cache().unwrap_err().to_string().starts_with("write `"));
}

#[test]
fn a_directory_or_a_device_as_cache_is_an_empty_cache() {
    let project = project();
    for cache in [project.beside("."), PathBuf::from("/dev/zero")] {
        let options = TreeOptions { cache: Some(cache), ..TreeOptions::default() };
        let tree = Tree::open(project.path(), &options).unwrap();
        assert_eq!(tree.stats().cached, 0);
    }
}

#[test]
fn what_a_killed_writer_left_is_swept_when_it_is_old() {
    let project = project();
    let cache = project.beside("files");
    let (old, young, other) =
        (project.beside("files.1-0.new"), project.beside("files.2-0.new"), project.beside("other.1-0.new"));
    let past = std::time::SystemTime::now() - Duration::from_secs(7200);
    for (path, time) in [(&old, Some(past)), (&young, None), (&other, Some(past))] {
        std::fs::write(path, "x").unwrap();
        if let Some(time) = time {
            File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        }
    }
    hash(project.path(), Some(cache));
    assert_eq!((old.exists(), young.exists(), other.exists()), (false, true, true));
}

#[test]
fn paranoia_reads_everything() {
    let project = project();
    let cache = project.beside("files");
    hash(project.path(), Some(cache.clone()));
    let options = TreeOptions { cache: Some(cache), paranoid: true, ..TreeOptions::default() };
    let tree = Tree::open(project.path(), &options).unwrap();
    let mut context = tree.context(None).unwrap();
    context.add(&Selection::default()).unwrap();
    context.finish().unwrap();
    assert_eq!((tree.stats().read, tree.stats().cached), (4, 0));
}

#[test]
fn a_narrow_run_keeps_what_it_did_not_look_at() {
    let project = project();
    let cache = project.beside("files");
    hash(project.path(), Some(cache.clone()));
    project.write("dir/b", "new");
    settle(&project);
    let options = TreeOptions { cache: Some(cache.clone()), ..TreeOptions::default() };
    let tree = Tree::open(project.path(), &options).unwrap();
    let mut context = tree.context(None).unwrap();
    context.add_path(&crate::project::path("dir/b")).unwrap();
    context.finish().unwrap();
    tree.save_cache().unwrap();
    assert_eq!(hash(project.path(), Some(cache)).1.cached, 4);
}
