//! What makes a service due and what does not.

use std::fs;
use std::process::Command;

use crate::support::{Project, TWO_SERVICES};

#[test]
fn the_second_run_says_in_one_line_that_nothing_is_due() {
    let project = Project::two_services();
    project.ship().says("never built").says("2 built");
    let before = crate::support::tree(&project.path().join(".shipper/images"));
    let second = project.ship().says("nothing is due, 2 services are up to date");
    assert_eq!(second.stderr.lines().count(), 1, "{}", second.stderr);
    assert_eq!(crate::support::tree(&project.path().join(".shipper/images")), before);
}

#[test]
fn nothing_is_due_after_changes_that_no_builder_sees() {
    let project = Project::two_services();
    project.ship();
    type Change = fn(&Project);
    let changes: [(&str, Change); 5] = [
        ("touch", |p| {
            Command::new("touch").arg(p.path().join("docs/index.md")).status().expect("touch runs");
        }),
        ("chmod g+w", |p| {
            Command::new("chmod").arg("g+w").arg(p.path().join("docs/index.md")).status().expect("chmod runs");
        }),
        ("a file of no service", |p| drop(p.repo.write("README.md", "other\n"))),
        ("git add", |p| drop(p.repo.git(&["add", "-A"]))),
        ("a directory without files", |p| drop(p.repo.mkdir("docs/empty"))),
    ];
    for (what, change) in changes {
        change(&project);
        assert!(project.due().is_empty(), "{what}: {:?}", project.due());
    }
}

#[test]
fn a_commit_another_path_and_another_clone_make_nothing_due() {
    let mut project = Project::new(&format!("{TWO_SERVICES}\n"));
    for path in ["docs/a", "site/a", "shared/a"] {
        project.repo.write(path, path);
    }
    project.repo.commit("start");
    let registry = tempfile::tempdir().expect("a directory");
    let registry = format!("oci:{}", registry.path().display());
    let ship = |project: &Project| project.run(["ship", "--registry", &registry]).ok();
    ship(&project).says("2 built");
    project.repo.write("NOTES", "x");
    project.repo.commit("notes");
    ship(&project).says("nothing is due");
    let clone = project.clone_to();
    assert_ne!(clone.path(), project.path());
    ship(&clone).says("nothing is due");
}

#[test]
fn a_change_makes_exactly_its_service_due_and_names_the_file() {
    type Change = fn(&Project);
    let check = |what: &str, change: Change, expected: &[(&str, &str)]| {
        let project = Project::two_services();
        project.repo.symlink("index.md", "docs/link");
        project.ship();
        assert!(project.due().is_empty());
        change(&project);
        let due = project.due();
        let due: Vec<(&str, &str)> = due.iter().map(|(service, reason)| (service.as_str(), reason.as_str())).collect();
        assert_eq!(due, expected, "{what}");
        project.ship();
        assert!(project.due().is_empty(), "{what}");
    };
    let docs = "inputs-changed docs/index.md";
    check("one byte", |p| drop(p.repo.write("docs/index.md", "docz\n")), &[("docs", docs)]);
    check("chmod +x", |p| p.repo.set_executable("docs/index.md", true), &[("docs", docs)]);
    check("a new file, untracked", |p| drop(p.repo.write("site/new", "")), &[("site", "inputs-changed site/new")]);
    check("a deleted file", |p| p.repo.remove("docs/link"), &[("docs", "inputs-changed docs/link")]);
    check(
        "a retargeted link",
        |p| {
            p.repo.remove("docs/link");
            p.repo.symlink("other.md", "docs/link");
        },
        &[("docs", "inputs-changed docs/link")],
    );
    check(
        "a rename",
        |p| p.repo.rename("docs/index.md", "docs/start.md"),
        &[("docs", "inputs-changed docs/index.md docs/start.md")],
    );
    check(
        "a shared file",
        |p| drop(p.repo.write("shared/logo.svg", "<svg></svg>")),
        &[("docs", "inputs-changed shared/logo.svg"), ("site", "inputs-changed shared/logo.svg")],
    );
    check(
        "an edit that keeps size and mtime",
        |p| {
            let path = p.path().join("docs/index.md");
            let mtime = fs::metadata(&path).and_then(|meta| meta.modified()).expect("a time");
            fs::write(&path, "dOcs\n").expect("writes");
            fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(mtime)).expect("sets");
        },
        &[("docs", docs)],
    );
}

#[test]
fn the_configuration_counts_where_it_changes_the_image_and_nowhere_else() {
    let check = |addition: &str, expected: &[(&str, &str)]| {
        let project = Project::two_services();
        project.repo.write("site/robots.txt", "");
        project.ship();
        project.repo.write("shipper.toml", format!("{TWO_SERVICES}{addition}"));
        let due = project.due();
        let due: Vec<(&str, &str)> = due.iter().map(|(service, reason)| (service.as_str(), reason.as_str())).collect();
        assert_eq!(due, expected, "{addition}");
    };
    check("# a comment\n", &[]);
    check("check = [[\"true\"]]\n", &[]);
    check("user = \"1:1\"\n", &[("site", "recipe-changed")]);
    check("salt = \"x\"\n", &[("site", "recipe-changed")]);
    check(
        "exclude = [\"site/index.html\"]\ninputs = [\"README.md\"]\n",
        &[("site", "inputs-changed README.md site/index.html")],
    );
}

#[test]
fn going_back_to_what_was_built_builds_nothing() {
    let project = Project::two_services();
    let first = project.ship_digests();
    project.repo.write("docs/index.md", "other");
    assert_ne!(project.ship_digests(), first);
    project.repo.write("docs/index.md", "docs\n");
    assert!(project.due().is_empty());
    assert_eq!(project.ship_digests(), first);
}

#[test]
fn check_fails_when_work_is_due_and_force_builds_the_same_bytes() {
    let project = Project::two_services();
    project.run(["plan", "--check"]).exits(1);
    let first = project.ship_digests();
    project.run(["plan", "--check"]).exits(0);
    project.run(["ship", "--force"]).ok().says("forced");
    assert_eq!(project.ship_digests(), first);
}

#[test]
fn no_push_builds_and_writes_nothing() {
    let project = Project::two_services();
    let pushed = project.run(["ship", "--no-push", "--json"]).ok().events().pop().expect("events");
    assert!(!project.path().join(".shipper/images").exists());
    assert_eq!(project.due().len(), 2);
    assert_eq!(pushed["images"]["docs"]["digest"], project.ship_digests()["docs"], "the same bytes");
    // Also what is built on something that is not pushed.
    let config = format!("{TWO_SERVICES}base = 'd'\nneeds = {{ d = 'docs' }}\n");
    project.repo.write("shipper.toml", config.replacen("[service.docs]", "[service.docs]\nsalt = 'new'", 1));
    project.run(["ship", "--no-push"]).ok().says("2 built");
    assert_eq!(project.due().len(), 2);
}

#[test]
fn runs_at_the_same_time_agree() {
    let project = Project::two_services();
    let expected = project.ship_digests();
    for _ in 0..10 {
        std::fs::remove_dir_all(project.path().join(".shipper/images")).expect("images");
        let mut runs: Vec<_> = (0..4)
            .map(|_| {
                let mut command = project.command(["ship", "--json"]);
                command
                    .stdout(std::process::Stdio::piped())
                    .stderr(std::process::Stdio::piped())
                    .spawn()
                    .expect("starts")
            })
            .collect();
        for run in runs.drain(..) {
            let ran = crate::support::Ran::of(&run.wait_with_output().expect("ends")).ok();
            let images = ran.events().pop().expect("events")["images"].clone();
            for (service, digest) in &expected {
                assert_eq!(images[service]["digest"], *digest, "{service}");
            }
        }
    }
}

#[test]
fn a_service_that_was_named_is_shipped_alone() {
    let project = Project::two_services();
    project.run(["ship", "docs"]).ok().says("1 built");
    assert_eq!(project.due().keys().collect::<Vec<_>>(), ["site"]);
}

#[test]
fn the_same_inputs_give_the_same_digests_everywhere() {
    let project = Project::two_services();
    let first = project.ship_digests();
    let clone = project.clone_to();
    let mut command = clone.command(["ship", "--json"]);
    // Another directory, umask and time zone.
    let script = format!("umask 077; exec {} \"$@\"", env!("CARGO_BIN_EXE_shipper"));
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script).arg("sh").args(command.get_args()).current_dir(clone.path());
    shell.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("TZ", "Pacific/Apia");
    command = shell;
    let ran = crate::support::Ran::of(&command.output().expect("starts")).ok();
    let last = ran.events().pop().expect("events");
    for (service, digest) in first {
        assert_eq!(last["images"][&service]["digest"], digest, "{service}");
    }
}

#[test]
fn a_layout_that_lost_or_damaged_an_image_gets_it_again() {
    let project = Project::two_services();
    let first = project.ship_digests();
    let manifest = project.layout("demo/docs").join("blobs/sha256").join(&first["docs"]["sha256:".len()..]);
    let whole = std::fs::read(&manifest).expect("a manifest");
    for damage in [None, Some(&whole[..whole.len() / 2]), Some(b"{}")] {
        match damage {
            None => std::fs::remove_file(&manifest).expect("removes"),
            Some(bytes) => std::fs::write(&manifest, bytes).expect("writes"),
        }
        let due = project.due();
        assert_eq!(due.keys().collect::<Vec<_>>(), ["docs"], "{due:?}");
        assert!(due["docs"].starts_with("image-missing"), "{due:?}");
        assert_eq!(project.ship_digests(), first);
        assert_eq!(std::fs::read(&manifest).expect("a manifest"), whole);
        assert!(project.due().is_empty());
        project.run(["verify", "docs"]).ok();
    }
}

#[test]
fn a_name_that_never_moves_stays_where_a_layout_has_lost_its_image() {
    let mut project = Project::two_services();
    let ship = |project: &Project, arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.envs([("GITHUB_ACTIONS", "true"), ("GITHUB_REF", "refs/tags/v1.0.0"), ("GITHUB_EVENT_NAME", "push")]);
        command.env("GITHUB_SHA", project.repo.head());
        crate::support::Ran::of(&command.output().expect("the binary starts"))
    };
    ship(&project, &["ship", "docs"]).ok();
    let layout = project.layout("demo/docs");
    let named = |tag: &str| {
        let index: serde_json::Value =
            serde_json::from_slice(&std::fs::read(layout.join("index.json")).expect("an index")).expect("JSON");
        let entries = index["manifests"].as_array().expect("entries").clone();
        let entry = entries.into_iter().find(|entry| entry["annotations"]["org.opencontainers.image.ref.name"] == tag);
        crate::support::text(&entry.expect("the tag")["digest"])
    };
    let first = named("v1.0.0");
    let blob = layout.join("blobs/sha256").join(&first["sha256:".len()..]);
    std::fs::remove_file(&blob).expect("removes");
    // Other content under the same version.
    project.repo.write("docs/index.md", "other\n");
    project.repo.commit("other");
    ship(&project, &["plan", "docs"]).ok().says("`v1.0.0` names another image").says(&first);
    ship(&project, &["ship", "docs"]).exits(5).says("cannot name `docs` by v1.0.0").says(&first);
    assert_eq!((named("v1.0.0"), named("latest")), (first.clone(), first.clone()));
    let place = |tag: &str| format!("oci:{}:{tag}", layout.display());
    let other = crate::support::text(&project.plan()["services"][0]["tag"]);
    project.run(["promote", &place(&other), &place("v1.0.0")]).exits(5).says(&first);
    assert_eq!(named("v1.0.0"), first);
    // The image itself comes back under its name.
    project.repo.write("docs/index.md", "docs\n");
    ship(&project, &["ship", "docs"]).ok();
    assert!(blob.exists() && named("v1.0.0") == first);
}

#[test]
fn after_going_back_a_reason_names_what_changed_since() {
    let project = Project::two_services();
    project.repo.write("docs/more.md", "1");
    project.ship();
    project.repo.write("docs/index.md", "other\n");
    project.ship();
    project.repo.write("docs/index.md", "docs\n");
    project.ship().says("nothing is due");
    project.repo.write("docs/more.md", "2");
    assert_eq!(project.due()["docs"], "inputs-changed docs/more.md");
}

#[test]
fn inputs_that_a_layout_has_lost_are_written_again() {
    let project = Project::two_services();
    project.ship();
    let layout = project.layout("demo/docs");
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(layout.join("index.json")).expect("an index")).expect("JSON");
    let entries = index["manifests"].as_array().expect("entries").iter();
    let name = |entry: &&serde_json::Value| {
        entry["annotations"]["org.opencontainers.image.ref.name"].as_str().is_some_and(|name| name.starts_with("m-"))
    };
    let inputs = crate::support::text(&entries.clone().find(name).expect("inputs")["digest"]);
    std::fs::remove_file(layout.join("blobs/sha256").join(&inputs["sha256:".len()..])).expect("removes");
    let wrong = project.run(["verify", "docs"]).exits(1);
    assert!(wrong.stdout.contains("it is missing"), "{}", wrong.stdout);
    project.run(["ship", "--force"]).ok();
    project.run(["verify", "docs"]).ok();
    // A copy brings them back to a layout that lost them.
    let identity = crate::support::text(&project.plan()["services"][0]["tag"]);
    let from = format!("oci:{}:{identity}", layout.display());
    project.run(["copy", &from, "oci:other:v1"]).ok();
    let there = project.path().join("other/blobs/sha256").join(&inputs["sha256:".len()..]);
    std::fs::remove_file(&there).expect("removes");
    project.run(["copy", &from, "oci:other:v1"]).ok();
    assert!(there.exists());
    // With the whole store gone everything is built again.
    std::fs::remove_dir_all(layout.join("blobs")).expect("removes");
    project.ship();
    project.run(["verify"]).ok();
}
