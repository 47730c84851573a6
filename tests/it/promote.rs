//! `promote`: the same bytes under a name that does not move by accident.

use shipper_testkit::{DockerRegistry, FakeRegistry, Fault, Rule, Skopeo, need};

use crate::support::{Project, text};

/// The image of `docs` in the embedded layout, and its digest.
fn docs(project: &Project) -> (String, String) {
    let digest = project.ship_digests()["docs"].clone();
    let tag = text(&project.plan()["services"][0]["tag"]);
    (format!("oci:{}:{tag}", project.layout("demo/docs").display()), digest)
}

#[test]
fn an_image_is_promoted_through_registries_and_back_with_one_digest() {
    let skopeo = need!(Skopeo::find());
    let (staging, live) = (need!(DockerRegistry::start()), need!(DockerRegistry::start()));
    let project = Project::two_services();
    let (source, digest) = docs(&project);
    let staged = format!("{}/demo/docs:rc", staging.host());
    let released = format!("{}/demo/docs:v1", live.host());
    let back = format!("oci:{}:v1", project.path().join("back").display());
    for (from, to) in [(&source, &staged), (&staged, &released), (&released, &back)] {
        let ran = project.run(["promote", from, to]).ok().says("both sides agree");
        assert_eq!(ran.stdout.trim_end(), digest);
        project.run(["promote", from, to]).ok().says("(0 of");
    }
    assert_eq!(skopeo.digest(&format!("docker://{released}")), digest);
    assert_eq!(skopeo.digest(&back), digest);
    project.run(["verify", &released, &back]).ok();
}

#[test]
fn what_was_damaged_in_a_layout_is_brought_again() {
    let project = Project::two_services();
    let (source, digest) = docs(&project);
    let layout = project.path().join("out");
    let to = format!("oci:{}:v1", layout.display());
    project.run(["promote", &source, &to]).ok();
    let by_digest = format!("oci:{}@{digest}", layout.display());
    assert_eq!(project.run(["inspect", "--json", &by_digest]).ok().json()["digest"], digest);
    let damage = |layout: &std::path::Path| {
        let inspected = project.run(["inspect", "--json", &to]).ok().json();
        let layers = inspected["manifest"]["layers"].as_array().expect("layers");
        let hex = text(&layers[layers.len() - 1]["digest"]).replace("sha256:", "");
        let path = layout.join("blobs/sha256").join(hex);
        let mut bytes = std::fs::read(&path).expect("a blob");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::remove_file(&path).expect("removes");
        std::fs::write(path, bytes).expect("writes");
    };
    for again in [["promote", &source, &to], ["copy", &source, &to]] {
        damage(&layout);
        project.run(["verify", &by_digest]).exits(1);
        project.run(again).ok();
        project.run(["verify", &by_digest]).ok();
    }
    damage(&project.layout("demo/docs"));
    project.run(["verify", "docs"]).exits(1);
    project.run(["ship", "--force", "docs"]).ok();
    project.run(["verify", "docs"]).ok();
}

#[test]
fn a_name_on_another_image_moves_only_by_force() {
    let registry = need!(DockerRegistry::start());
    let project = Project::two_services();
    let (first, one) = docs(&project);
    project.repo.write("docs/index.md", "changed\n");
    let (second, two) = docs(&project);
    assert_ne!(one, two);
    for to in [format!("{}/demo/docs:v1", registry.host()), format!("oci:{}:v1", project.path().join("out").display())]
    {
        project.run(["promote", &first, &to]).ok();
        project.run(["promote", &second, &to]).exits(5).says(&one).says(&two).says("hint: `--force` moves it");
        let now = project.run(["inspect", "--json", &to]).ok().json();
        assert_eq!(now["digest"], one, "it stays as it is");
        let moved = project.run(["promote", "--force", "--json", &second, &to]).ok().json();
        assert_eq!((&moved["digest"], &moved["moved-from"]), (&two.clone().into(), &one.clone().into()));
    }
}

#[test]
fn a_registry_that_keeps_something_else_is_not_believed() {
    let project = Project::two_services();
    let (source, _) = docs(&project);
    let registry = FakeRegistry::start();
    registry.create_repository("demo/docs");
    let to = format!("{}/demo/docs:v1", registry.host());
    // The blob is asked for again after the copy, and has gone by then.
    project.run(["copy", &source, &to]).ok();
    let blobs = registry.blobs("demo/docs");
    for blob in &blobs {
        let path = format!("/blobs/{blob}");
        registry.fault(Rule::new(Fault::status(404)).path(&path));
        let ran = project.run(["promote", &source, &to]);
        assert!(matches!(ran.code, Some(3 | 5)), "{blob}: {}", ran.stderr);
        registry.clear_faults();
    }
    assert!(blobs.len() >= 2, "{blobs:?}");
    project.run(["promote", &source, &to]).ok();
}

#[test]
fn what_is_proven_absent_is_a_no() {
    let registry = FakeRegistry::start();
    registry.create_repository("demo/docs");
    let project = Project::two_services();
    project.ship();
    let layout = project.layout("demo/docs");
    let to = format!("oci:{}:v1", project.path().join("out").display());
    let archive = project.path().join("docs.tar");
    let tar = std::process::Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(&layout).arg(".").status();
    assert!(tar.expect("tar runs").success());
    let archived = format!("oci-archive:{}:nothing", archive.display());
    let sources = [
        format!("oci:{}:nothing", layout.display()),
        format!("oci:{}:latest", project.path().join("nowhere").display()),
        format!("{}/demo/docs:nothing", registry.host()),
        archived.clone(),
    ];
    for source in &sources {
        for command in ["copy", "promote"] {
            project.run([command, source, &to]).exits(1).says("cannot ");
        }
        project.run(["inspect", source]).exits(1);
        project.run(["verify", source]).exits(1);
    }
    project.run(["copy", &archived, &to]).exits(1).says(&format!("cannot find {archived}"));
    project.run(["promote", "127.0.0.1:1/x:1", &to]).exits(3);
    project.run(["promote", &sources[0], "docker-daemon:x"]).exits(2).says("an engine keeps no digests");
    project.run(["promote", &sources[0], "example.com/x@sha256:00"]).exits(2);
}
