//! `copy`, `push` and `inspect`, judged by skopeo and umoci.

use std::path::Path;

use shipper_testkit::{Auth, DockerRegistry, FakeRegistry, Fault, Rule, Skopeo, Umoci, need};

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

#[test]
fn who_may_not_write_is_told_so_and_who_may_not_read_knows_nothing() {
    let registry = FakeRegistry::builder().auth(Auth::basic("user", "password").read_only()).start();
    registry.create_repository("shop/docs");
    let project = Project::two_services();
    let config = serde_json::json!({ "auths": { registry.host(): { "auth": "dXNlcjpwYXNzd29yZA==" } } });
    std::fs::create_dir_all(project.repo.home().join(".docker")).expect("creates");
    std::fs::write(project.repo.home().join(".docker/config.json"), config.to_string()).expect("writes");
    project.ship();
    let (source, target) = (docs(&project), format!("{}/shop/docs:v1", registry.host()));
    for command in ["push", "copy", "promote"] {
        project.run([command, &source, &target]).exits(5).says("access denied");
    }
    assert!(registry.tags("shop/docs").is_empty());
    for status in [400, 405, 413] {
        registry.clear_faults();
        registry.fault(Rule::new(Fault::status(status)).method("POST"));
        project.run(["copy", &source, &target]).exits(5).says(&status.to_string());
    }
    for status in [400, 403, 405] {
        registry.clear_faults();
        registry.fault(Rule::new(Fault::status(status)).method("GET").path("/manifests/"));
        project.run(["copy", &target, "oci:copied"]).exits(3);
    }
    assert!(!project.path().join("copied").exists());
}

#[test]
fn an_image_without_a_name_is_the_only_one_or_must_be_named() {
    let skopeo = need!(Skopeo::find());
    let project = Project::two_services();
    let digests = project.ship_digests();
    let (docs, layout) = (docs(&project), project.path().join("copied"));
    // As skopeo writes it: without a tag.
    let copied = format!("oci:{}", layout.display());
    skopeo.copy(&docs, &copied);
    assert_eq!(text(&project.run(["inspect", "--json", "oci:copied"]).ok().json()["digest"]), digests["docs"]);
    project.run(["copy", "oci:copied", "oci:again:v1"]).ok();
    // One image by several names, beside artifacts: what `ship` leaves.
    let embedded = format!("oci:{}", project.layout("demo/docs").display());
    assert_eq!(text(&project.run(["inspect", "--json", &embedded]).ok().json()["digest"]), digests["docs"]);
    project.run(["sign", &embedded, "--key", &crate::sign::key("ed25519.pem")]).ok();
    assert_eq!(text(&project.run(["inspect", "--json", &embedded]).ok().json()["digest"]), digests["docs"]);
    let site = project.plan()["services"][1]["tag"].clone();
    let site = format!("oci:{}:{}", project.layout("demo/site").display(), text(&site));
    project.run(["copy", &site, "oci:again:v2"]).ok();
    let refused = project.run(["inspect", "oci:again"]).exits(2).says("holds 2 images, and none is named");
    refused.says("hint: name one of").says("v1").says("v2");
    // Of what `ship` leaves, by the names that people know.
    project.repo.write("docs/index.md", "another\n");
    project.ship();
    project.run(["inspect", &embedded]).exits(2).says("last-main");
    project.run(["copy", &site, "oci:again"]).ok().says("again:latest");
    assert_eq!(text(&project.run(["inspect", "--json", "oci:again"]).ok().json()["digest"]), digests["site"]);
    project.run(["inspect", "oci:nowhere"]).exits(1).says("cannot find oci:nowhere");
}
