//! `copy`, `push` and `inspect`, judged by skopeo and umoci.

use std::path::Path;

use shipper_testkit::{DockerRegistry, Skopeo, Umoci, need};

use crate::support::{Project, text};

/// `oci:` and the embedded layout of `docs` with its identity tag.
fn docs(project: &Project) -> String {
    let plan = project.plan();
    format!("oci:{}:{}", project.layout("demo/docs").display(), text(&plan["services"][0]["tag"]))
}

#[test]
fn an_image_is_unpacked_to_the_intended_tree() {
    let umoci = need!(Umoci::find());
    let project = Project::two_services();
    project.repo.write_executable("docs/run.sh", "#!/bin/sh\n");
    project.repo.symlink("index.md", "docs/link");
    project.ship();
    let reference = docs(&project);
    let (layout, tag) = reference["oci:".len()..].rsplit_once(':').expect("a tag");
    let to = tempfile::tempdir().expect("a directory");
    let rootfs = umoci.unpack(Path::new(layout), tag, &to.path().join("bundle"));
    let files = crate::support::tree(&rootfs.join("srv"));
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["docs/index.md", "docs/link", "docs/run.sh", "shared/logo.svg"]);
    assert_eq!(files["docs/index.md"], b"docs\n");
    assert_eq!(std::fs::read_link(rootfs.join("srv/docs/link")).expect("a link"), Path::new("index.md"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &str| std::fs::metadata(rootfs.join(path)).expect("exists").permissions().mode() & 0o7777;
        assert_eq!((mode("srv/docs/index.md"), mode("srv/docs/run.sh"), mode("srv/docs")), (0o644, 0o755, 0o755));
    }
}

#[test]
fn what_we_copy_and_what_skopeo_copies_has_one_digest() {
    let skopeo = need!(Skopeo::find());
    let registry = need!(DockerRegistry::start());
    let project = Project::two_services();
    let digest = project.ship_digests()["docs"].clone();
    let source = docs(&project);
    let theirs = format!("docker://{}/theirs:1", registry.host());
    skopeo.copy(&source, &theirs);
    assert_eq!(skopeo.digest(&theirs), digest);
    let ours = format!("{}/ours:1", registry.host());
    assert_eq!(project.run(["push", &source, &ours]).ok().stdout.trim_end(), digest);
    assert_eq!(skopeo.digest(&format!("docker://{ours}")), digest);
    let back = format!("oci:{}:1", project.path().join("back").display());
    project.run(["copy", &ours, &back]).ok();
    assert_eq!(skopeo.digest(&back), digest);
    project.run(["copy", &ours, &back]).ok().says("0 of");
}

#[test]
fn an_image_is_inspected_as_text_json_and_bytes() {
    let project = Project::two_services();
    let digest = project.ship_digests()["docs"].clone();
    let source = docs(&project);
    let shown = project.run(["inspect", &source]).ok().stdout;
    assert!(shown.contains(&digest) && shown.contains("65532:65532") && shown.contains("dev.shipper.key"), "{shown}");
    let json = project.run(["inspect", "--json", &source]).ok().json();
    assert_eq!(json["digest"], digest);
    assert_eq!(json["config"]["config"]["Labels"]["dev.shipper.service"], "docs");
    assert_eq!(json["config"]["config"]["Labels"]["dev.shipper.key"], project.plan()["services"][0]["key"]);
    let raw = project.run(["inspect", "--raw", &source]).ok().stdout;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&raw).expect("JSON"), json["manifest"]);
}

#[test]
fn what_is_not_there_is_a_no_and_what_is_no_name_is_usage() {
    let project = Project::two_services();
    project.ship();
    let nothing = format!("oci:{}:nothing", project.layout("demo/docs").display());
    project.run(["inspect", &nothing]).exits(1).says("cannot find");
    project.run(["inspect", "UPPER/case"]).exits(2);
    project.run(["inspect", "127.0.0.1:1/x:1"]).exits(3);
    project.run(["copy", &docs(&project), "example.com/x@sha256:00"]).exits(2);
}
