//! Stages: exactly the manifest's files, and convergence from wherever they were left.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use shipper_hash::{Context, Error, FileSet, Selection, StageReport, Tree, TreeOptions};

use crate::project::{Project, path};

fn project() -> Project {
    let project = Project::new();
    project.write("a", "1").write("dir/b", "22").write("dir/sub/run.sh", "#!").chmod("dir/sub/run.sh", 0o700);
    project.write("c", "").link("dir/link", "../a").mkdir("empty").chmod("a", 0o600);
    project
}

fn context(project: &Project) -> Context {
    project.context(&Selection { files: FileSet::Worktree, ..Selection::default() })
}

/// What a directory holds, as a manifest would say it.
fn assert_staged(context: &Context, stage: &Path) {
    let tree = Tree::open(stage, &TreeOptions::default()).unwrap();
    let mut staged = tree.context(None).unwrap();
    staged.add(&Selection { files: FileSet::Worktree, ..Selection::default() }).unwrap();
    assert_eq!(staged.finish().unwrap().manifest(), context.manifest());
    for entry in context.manifest().entries() {
        let path = entry.path.to_path(stage).unwrap();
        let mode = path.symlink_metadata().unwrap().permissions().mode() & 0o7777;
        match entry.kind.as_str() {
            "file" => assert_eq!(mode, 0o644, "{}", entry.path),
            "executable" | "empty-dir" => assert_eq!(mode, 0o755, "{}", entry.path),
            _ => {}
        }
        for directory in path.ancestors().skip(1).take_while(|ancestor| ancestor.starts_with(stage)) {
            assert_eq!(directory.metadata().unwrap().permissions().mode() & 0o7777, 0o755);
        }
    }
}

fn times(stage: &Path, names: &[&str]) -> BTreeMap<String, (i64, i64)> {
    let time = |name: &str| {
        let metadata = stage.join(name).symlink_metadata().unwrap();
        (metadata.mtime(), metadata.mtime_nsec())
    };
    names.iter().map(|name| ((*name).to_owned(), time(name))).collect()
}

fn report(written: usize, removed: usize, kept: usize, bytes: u64) -> StageReport {
    let mut report = StageReport::default();
    (report.written, report.removed, report.kept, report.bytes) = (written, removed, kept, bytes);
    report
}

#[test]
fn a_new_stage_holds_exactly_the_manifest() {
    let project = project();
    let stage = project.beside("cache/stage");
    let context = context(&project);
    assert_eq!(context.stage(&stage).unwrap(), report(6, 0, 0, 1 + 2 + 2 + 4));
    assert_staged(&context, &stage);
    assert_eq!(std::fs::read_link(stage.join("dir/link")).unwrap(), Path::new("../a"));
    assert_eq!(context.stage(&stage).unwrap(), report(0, 0, 6, 0));
}

#[test]
fn only_what_changed_is_written_and_gets_a_later_time() {
    let project = project();
    let stage = project.beside("stage");
    context(&project).stage(&stage).unwrap();
    let before = times(&stage, &["a", "c", "dir/b", "dir/sub/run.sh"]);
    project.write("a", "2").remove("c").write("new/file", "3").chmod("dir/b", 0o755);
    let changed = context(&project);
    assert_eq!(changed.stage(&stage).unwrap(), report(3, 1, 3, 2), "a, new/file and the mode of dir/b");
    assert_staged(&changed, &stage);
    let after = times(&stage, &["a", "dir/b", "dir/sub/run.sh"]);
    assert!(after["a"] > before["a"], "cargo and make must see that it changed");
    assert_eq!(after["dir/b"], before["dir/b"]);
    assert_eq!(after["dir/sub/run.sh"], before["dir/sub/run.sh"]);
}

#[test]
fn a_rewritten_file_is_later_even_if_the_old_one_is_from_the_future() {
    let project = project();
    let stage = project.beside("stage");
    context(&project).stage(&stage).unwrap();
    let future = std::time::SystemTime::now() + std::time::Duration::from_secs(86_400);
    std::fs::File::open(stage.join("a")).unwrap().set_modified(future).unwrap();
    project.write("a", "2");
    context(&project).stage(&stage).unwrap();
    assert!(stage.join("a").metadata().unwrap().modified().unwrap() > future);
}

#[test]
fn whatever_a_builder_left_behind_is_put_right() {
    let project = project();
    let stage = project.beside("stage");
    let context = context(&project);
    let spoilers: [&dyn Fn(&Path); 13] = [
        &|stage| std::fs::write(stage.join("a"), "9").unwrap(),
        &|stage| std::fs::write(stage.join("a"), "longer").unwrap(),
        &|stage| std::fs::remove_file(stage.join("a")).unwrap(),
        &|stage| std::fs::write(stage.join("extra"), "x").unwrap(),
        &|stage| std::fs::create_dir_all(stage.join("target/debug")).unwrap(),
        &|stage| {
            std::fs::remove_file(stage.join("a")).unwrap();
            std::fs::create_dir_all(stage.join("a/deep")).unwrap();
            std::fs::write(stage.join("a/deep/x"), "x").unwrap();
        },
        &|stage| {
            std::fs::remove_dir_all(stage.join("dir")).unwrap();
            std::fs::write(stage.join("dir"), "x").unwrap();
        },
        &|stage| {
            std::fs::remove_dir_all(stage.join("dir")).unwrap();
            std::os::unix::fs::symlink("/etc", stage.join("dir")).unwrap();
        },
        &|stage| {
            std::fs::remove_file(stage.join("a")).unwrap();
            std::os::unix::fs::symlink("c", stage.join("a")).unwrap();
        },
        &|stage| {
            std::fs::remove_file(stage.join("dir/link")).unwrap();
            std::os::unix::fs::symlink("../c", stage.join("dir/link")).unwrap();
        },
        &|stage| {
            std::fs::set_permissions(stage.join("dir/sub"), std::fs::Permissions::from_mode(0o555)).unwrap();
            std::fs::set_permissions(stage.join("dir"), std::fs::Permissions::from_mode(0o000)).unwrap();
        },
        &|stage| std::fs::set_permissions(stage.join("a"), std::fs::Permissions::from_mode(0o000)).unwrap(),
        &|stage| {
            std::fs::write(stage.join("empty/x"), "x").unwrap();
            std::os::unix::net::UnixListener::bind(stage.join("socket")).unwrap();
        },
    ];
    for (at, spoil) in spoilers.iter().enumerate() {
        context.stage(&stage).unwrap();
        spoil(&stage);
        context.stage(&stage).unwrap_or_else(|error| panic!("spoiler {at}: {error}"));
        assert_staged(&context, &stage);
        assert_eq!(context.stage(&stage).unwrap(), report(0, 0, 6, 0), "spoiler {at}");
    }
    assert!(Path::new("/etc/passwd").exists());
}

/// The same size, the same modification time, other bytes: only the change time gives it away.
#[test]
fn a_forged_time_does_not_hide_a_change_in_the_stage() {
    let project = project();
    let stage = project.beside("stage");
    let context = context(&project);
    context.stage(&stage).unwrap();
    let modified = stage.join("a").metadata().unwrap().modified().unwrap();
    std::fs::write(stage.join("a"), "9").unwrap();
    std::fs::File::open(stage.join("a")).unwrap().set_modified(modified).unwrap();
    assert_eq!(context.stage(&stage).unwrap(), report(1, 0, 5, 1));
    assert_staged(&context, &stage);
}

#[test]
fn a_stage_without_a_valid_record_is_compared_by_content() {
    let project = project();
    let stage = project.beside("stage");
    let record = project.beside(".stage.stage-record");
    let context = context(&project);
    context.stage(&stage).unwrap();
    let good = std::fs::read(&record).unwrap();
    let before = times(&stage, &["a", "dir/b"]);
    let damaged = (0..good.len()).step_by(7).map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    });
    let cut = (0..good.len()).step_by(31).map(|at| good[..at].to_vec());
    for bytes in damaged.chain(cut) {
        std::fs::write(&record, bytes).unwrap();
        // Bytes that only a look at the content can find: what an interrupted write may have left.
        std::fs::write(stage.join("c"), "?").unwrap();
        assert_eq!(context.stage(&stage).unwrap(), report(1, 0, 5, 0));
        assert_eq!(times(&stage, &["a", "dir/b"]), before);
    }
    assert_staged(&context, &stage);
}

#[test]
fn the_record_is_gone_while_the_stage_is_changed() {
    let project = project();
    let stage = project.beside("stage");
    context(&project).stage(&stage).unwrap();
    assert!(project.beside(".stage.stage-record").exists());
    let hashed = {
        project.write("a", "changed").write("z", "later");
        context(&project)
    };
    // The copy stops at `z`, after `a` was written.
    project.write("z", "other");
    let error = hashed.stage(&stage).unwrap_err();
    assert!(matches!(&error, Error::ChangedSinceHashed { path } if path.as_bytes() == b"z"), "{error}");
    assert!(!project.beside(".stage.stage-record").exists());
    assert!(!stage.join("z").exists(), "unverified bytes do not stay");
    let again = context(&project);
    again.stage(&stage).unwrap();
    assert_staged(&again, &stage);
}

#[test]
fn what_changed_after_hashing_is_refused_in_each_of_its_forms() {
    type Change<'a> = (&'a str, &'a dyn Fn(&Project));
    let changes: [Change<'_>; 8] = [
        ("a", &|project| {
            project.write("a", "2");
        }),
        ("a", &|project| {
            project.write("a", "longer");
        }),
        ("a", &|project| {
            project.remove("a");
        }),
        ("a", &|project| {
            project.chmod("a", 0o755);
        }),
        ("a", &|project| {
            project.remove("a").link("a", "c");
        }),
        ("a", &|project| {
            project.remove("a").mkdir("a");
        }),
        ("dir/link", &|project| {
            project.remove("dir/link").link("dir/link", "b");
        }),
        ("dir/b", &|project| {
            std::fs::rename(project.path().join("dir"), project.path().join("moved")).unwrap();
            project.link("dir", "moved");
        }),
    ];
    for (at, (name, change)) in changes.iter().enumerate() {
        let project = project();
        let context = context(&project);
        change(&project);
        let error = context.stage(&project.beside("stage")).unwrap_err();
        assert!(
            matches!(&error, Error::ChangedSinceHashed { path } if path.as_bytes() == name.as_bytes()),
            "change {at}: {error}"
        );
        assert!(matches!(context.write_tar(std::io::sink()).unwrap_err(), Error::ChangedSinceHashed { .. }));
    }
}

#[test]
fn synthesised_files_are_staged_like_others() {
    let project = project();
    let tree = project.tree();
    let mut builder = tree.context(Some(&path("dir"))).unwrap();
    builder.add_path(&path("dir/b")).unwrap();
    builder.add_bytes(path("Cargo.lock"), b"pruned".to_vec());
    let context = builder.finish().unwrap();
    let stage = project.beside("stage");
    context.stage(&stage).unwrap();
    assert_staged(&context, &stage);
    assert_eq!(std::fs::read(stage.join("Cargo.lock")).unwrap(), b"pruned");
    assert_eq!(std::fs::read(stage.join("b")).unwrap(), b"22");
}

#[test]
fn directories_that_must_not_be_emptied_are_refused() {
    let project = project();
    let context = context(&project);
    std::os::unix::fs::symlink(project.path(), project.beside("link")).unwrap();
    std::fs::write(project.beside("file"), "").unwrap();
    for bad in [project.path().to_owned(), project.beside("."), project.beside("link"), project.beside("file")] {
        let error = context.stage(&bad).unwrap_err();
        assert!(matches!(error, Error::BadStage { .. }), "{}: {error}", bad.display());
    }
    assert!(project.path().join("a").exists());
}

#[test]
fn an_empty_context_is_an_empty_directory() {
    let project = Project::new();
    let stage = project.beside("stage");
    std::fs::create_dir_all(stage.join("old/deep")).unwrap();
    std::fs::write(stage.join("old/x"), "x").unwrap();
    let context = project.context(&Selection::default());
    assert_eq!(context.stage(&stage).unwrap(), report(0, 1, 0, 0));
    assert_eq!(std::fs::read_dir(&stage).unwrap().count(), 0);
}

/// G18: under a writer that never rests, a stage either holds what was hashed or is refused.
#[test]
fn what_was_hashed_is_what_is_staged_while_files_change() {
    let project = Project::new();
    for file in 0..20 {
        project.write(&format!("d/f{file}"), "0");
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (mut staged, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0_u64.. {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                let path = project.path().join(format!("d/f{}", round % 20));
                // A few bytes at a time, in place, so that half-written files are seen.
                let mut file = std::fs::OpenOptions::new().write(true).truncate(true).open(path).unwrap();
                for byte in [b"a", b"b", b"c"].iter().take(usize::try_from(round % 3 + 1).unwrap()) {
                    file.write_all(*byte).unwrap();
                }
                std::thread::yield_now();
            }
        });
        let stage = project.beside("stage");
        for _ in 0..200 {
            let tree = project.tree();
            let mut context = tree.context(None).unwrap();
            context.add(&Selection::default()).unwrap();
            let result = context.finish().and_then(|context| context.stage(&stage).map(|_| context));
            match result {
                Ok(context) => {
                    staged += 1;
                    assert_staged(&context, &stage);
                }
                Err(error) => {
                    refused += 1;
                    assert!(error.is_changed(), "{error}");
                }
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(staged + refused, 200);
    assert!(refused > 0, "the writer was never seen");
}

/// G2 for stages: killed anywhere, the next call makes it right.
#[test]
fn a_killed_call_leaves_a_stage_that_the_next_one_completes() {
    let project = Project::new();
    for file in 0..300 {
        project.write(&format!("d{}/f{file}", file % 7), format!("{file}").repeat(200));
    }
    let stage = project.beside("stage");
    let test = std::env::current_exe().unwrap();
    let mut interrupted = 0;
    for round in 0..25_u64 {
        project.write("d0/f0", format!("round {round}")).write(&format!("new/{round}"), "x");
        let mut child = std::process::Command::new(&test)
            .args(["--exact", "stage::stages_for_ever", "--ignored", "--nocapture"])
            .env("STAGE_FROM", project.path())
            .env("STAGE_TO", &stage)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // It says so when it begins.
        child.stderr.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        // Not a wait for anything: the moment is meant to be arbitrary.
        std::thread::sleep(std::time::Duration::from_micros(round * 1_700));
        child.kill().unwrap();
        child.wait().unwrap();
        interrupted += usize::from(!project.beside(".stage.stage-record").exists());
        let context = project.context(&Selection::default());
        context.stage(&stage).unwrap();
        assert_staged(&context, &stage);
    }
    assert!(interrupted > 0, "no call was interrupted while it changed the stage");
}

/// The victim of the test above: changes the stage to and fro until it is killed.
#[test]
#[ignore = "runs until it is killed; started by the test above"]
fn stages_for_ever() {
    let (Some(from), Some(to)) = (std::env::var_os("STAGE_FROM"), std::env::var_os("STAGE_TO")) else { return };
    let tree = Tree::open(Path::new(&from), &TreeOptions::default()).unwrap();
    let select = |exclude: &str| {
        let mut context = tree.context(None).unwrap();
        let exclude = vec![exclude.to_owned()];
        context.add(&Selection { exclude, ..Selection::default() }).unwrap();
        context.finish().unwrap()
    };
    let (one, other) = (select("d1"), select("d2"));
    std::io::stderr().write_all(b".").unwrap();
    loop {
        one.stage(Path::new(&to)).unwrap();
        other.stage(Path::new(&to)).unwrap();
    }
}
