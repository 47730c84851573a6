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
    let image = registry.manifest("demo/docs", "v1").expect("an image");
    let image: serde_json::Value = serde_json::from_slice(&image.bytes).expect("JSON");
    let layers = image["layers"].as_array().expect("layers").iter();
    let blobs: Vec<String> = layers.chain([&image["config"]]).map(|blob| text(&blob["digest"])).collect();
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

const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shipper-attest/tests/keys");

/// Promotes with `--json`, and returns what was brought beside the image.
#[track_caller]
fn beside(project: &Project, from: &str, to: &str) -> (u64, u64, String) {
    let beside = project.run(["promote", "--json", from, to]).ok().json()["beside"].take();
    let count = |name: &str| beside[name].as_u64().expect("a number");
    (count("referrers"), count("referrers-written"), text(&beside["inputs"]))
}

#[test]
fn signatures_and_inputs_travel_with_an_image() {
    let docker = need!(DockerRegistry::start());
    let fake = FakeRegistry::start();
    let project = Project::two_services();
    let (source, _) = docs(&project);
    project.run(["sign", "--key", &format!("{KEYS}/p256.pem"), &source]).ok();
    let identity = source.rsplit(':').next().expect("a tag");
    // A list of files, one that the registry keeps, one under a tag, and back.
    let listed = format!("{}/live/docs:{identity}", fake.host());
    let tagged = format!("{}/other/docs:{identity}", docker.host());
    let back = format!("oci:{}:{identity}", project.path().join("back").display());
    let within = format!("{}/again/docs:{identity}", fake.host());
    for (from, to) in [(&source, &listed), (&listed, &tagged), (&tagged, &back), (&listed, &within)] {
        assert_eq!(beside(&project, from, to), (1, 1, "copied".to_owned()), "{from} to {to}");
        assert_eq!(beside(&project, from, to), (1, 0, "present".to_owned()), "{from} to {to} again");
        let verified = project.run(["verify", "--json", "--key", &format!("{KEYS}/p256.pub.pem"), to]).ok().json();
        let image = &verified["images"][0];
        assert_eq!((&image["inputs"], &image["signatures"]), (&true.into(), &1.into()), "{image}");
    }
    // A second time nothing is written but the name.
    fake.clear_log();
    project.run(["promote", &tagged, &listed]).ok().says("with 1 referrer and its inputs");
    assert!(fake.log().writes().iter().all(|write| write.path.ends_with(identity)), "{}", fake.log());
}

#[test]
fn inputs_of_another_image_at_the_destination_stay() {
    let project = Project::two_services();
    let (source, _) = docs(&project);
    let registry = FakeRegistry::start();
    let inputs = source.rsplit(':').next().expect("a tag").replacen('h', "m", 1);
    let to = format!("{}/demo/docs:v1", registry.host());
    project.run(["copy", &source, &to]).ok();
    let ours = registry.manifest("demo/docs", &inputs).expect("inputs");
    let image = registry.manifest("demo/docs", "v1").expect("an image");
    let other = String::from_utf8(ours.bytes.to_vec()).expect("text").replace(&image.digest, &ours.digest);
    let other = registry.put_manifest("demo/docs", Some(&inputs), &ours.media_type, other);
    for command in ["copy", "promote"] {
        let ran = project.run([command, "--json", &source, &to]).ok().says("inputs of the same key for another image");
        assert_eq!(ran.json()["beside"]["inputs"], "of-another");
        assert_eq!(registry.manifest("demo/docs", &inputs).expect("inputs").digest, other);
    }
    // At the source it is about another image: not this one's.
    let further = format!("oci:{}:v1", project.path().join("further").display());
    assert_eq!(beside(&project, &to, &further), (0, 0, "none".to_owned()));
}

#[test]
fn an_image_is_not_named_before_what_lies_beside_it_is_known() {
    let project = Project::two_services();
    let (source, _) = docs(&project);
    let (from, to) = (FakeRegistry::start(), FakeRegistry::start());
    let there = format!("{}/demo/docs:v1", from.host());
    project.run(["copy", &source, &there]).ok();
    project.run(["sign", "--key", &format!("{KEYS}/p256.pem"), &there]).ok();
    let promoted = format!("{}/demo/docs:v1", to.host());
    for (path, code) in [("/referrers/", 3), ("/manifests/m-", 3)] {
        from.fault(Rule::new(Fault::status(403)).path(path));
        for command in ["copy", "promote"] {
            project.run([command, &there, &promoted]).exits(code);
            assert_eq!(to.tags("demo/docs").iter().find(|(tag, _)| tag == "v1"), None, "{path}");
        }
        from.clear_faults();
    }
    project.run(["promote", &there, &promoted]).ok();
}

/// What it costs to look for what lies beside an image: the list of what refers to it, and the inputs. Of an image that
/// nobody shipped its configuration is read a second time, for the key.
#[test]
fn looking_for_what_lies_beside_an_image_takes_few_requests() {
    let project = Project::two_services();
    let (source, _) = docs(&project);
    let (from, to) = (FakeRegistry::start(), FakeRegistry::start());
    let there = format!("{}/demo/docs:v1", from.host());
    project.run(["copy", &source, &there]).ok();
    let promoted = format!("{}/demo/docs:v1", to.host());
    // The first time both sides are asked for the inputs, afterwards the destination alone.
    for at_source in [1, 0] {
        from.clear_log();
        to.clear_log();
        project.run(["copy", &there, &promoted]).ok();
        from.log().assert_count("GET", "/referrers/", 1);
        from.log().assert_count("GET", "/manifests/m-", at_source);
        to.log().assert_count("*", "/referrers/", 0);
        to.log().assert_count("GET", "/manifests/sha256-", 0);
    }
    from.log().assert_len(2);
    to.log().assert_len(2);
    // A name in the same repository.
    from.clear_log();
    project.run(["copy", &there, &format!("{}/demo/docs:v2", from.host())]).ok();
    from.log().assert_len(2);
    // Somebody else's image.
    let config = from.put_blob("demo/foreign", "{}");
    let descriptor =
        format!(r#"{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}}"#);
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let image = format!(r#"{{"schemaVersion":2,"mediaType":"{media_type}","config":{descriptor},"layers":[]}}"#);
    from.put_manifest("demo/foreign", Some("v1"), media_type, image);
    from.clear_log();
    let foreign = format!("{}/demo/foreign:v1", from.host());
    project.run(["copy", &foreign, &format!("{}/demo/foreign:v1", to.host())]).ok();
    from.log().assert_count("GET", &format!("/blobs/{config}"), 2);
    from.log().assert_len(4);
}

/// `why` reads at the destination what was shipped from the branch.
#[test]
fn a_promoted_image_explains_what_changed_since() {
    let project = Project::two_services();
    let source = FakeRegistry::start();
    let destination = FakeRegistry::start();
    project.run(["ship", "--registry", source.host(), "docs"]).ok();
    let name = |registry: &FakeRegistry| format!("{}/demo/docs:last-main", registry.host());
    project.run(["promote", &name(&source), &name(&destination)]).ok();
    project.repo.write("docs/index.md", "changed\n");
    let told = project.run(["why", "--registry", destination.host(), "docs"]).ok().stdout;
    assert!(told.contains("content  docs/index.md"), "{told}");
}
