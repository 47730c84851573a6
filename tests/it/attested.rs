//! What BuildKit states about its images survives every way that we bring it, byte for byte, and is told for what it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use shipper_testkit::{DockerEngine, DockerRegistry, ImageStore, Skopeo, Suite, need, require_tool, run};

use crate::support::{Project, text};

/// Lists nothing, as a generator of SPDX documents does (moby/buildkit `docs/attestations/sbom-protocol.md`).
const SCANNER: &str = r#"#!/bin/sh
set -e
echo '{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document","subject":[],"predicate":{"SPDXID":"SPDXRef-DOCUMENT","spdxVersion":"SPDX-2.3","name":"app"}}' > "$BUILDKIT_SCAN_DESTINATION/app.spdx.json"
"#;

/// All manifests and blobs below a digest, as files hold them.
fn below(read: &dyn Fn(&str) -> Vec<u8>, digest: &str) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![digest.to_owned()];
    while let Some(digest) = open.pop() {
        let bytes = read(&digest);
        let document: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let listed = ["manifests", "layers"].map(|name| document[name].as_array().cloned().unwrap_or_default());
        let parts = listed.into_iter().flatten().chain([document["config"].clone()]);
        open.extend(parts.filter_map(|part| part["digest"].as_str().map(str::to_owned)));
        found.insert(digest, bytes);
    }
    found
}

fn in_registry(registry: &DockerRegistry, digest: &str) -> BTreeMap<String, Vec<u8>> {
    let blobs = registry.data().join("docker/registry/v2/blobs/sha256");
    let read = |digest: &str| {
        let hex = digest.trim_start_matches("sha256:");
        std::fs::read(blobs.join(&hex[..2]).join(hex).join("data")).expect("a blob of the registry")
    };
    below(&read, digest)
}

fn in_layout(layout: &Path, digest: &str) -> BTreeMap<String, Vec<u8>> {
    let read = |digest: &str| {
        std::fs::read(layout.join("blobs").join(digest.replace(':', "/"))).expect("a blob of the layout")
    };
    below(&read, digest)
}

/// Builds for two platforms with everything that BuildKit states; gives the archive and its content.
fn build(engine: &DockerEngine, busybox: &Path, directory: &Path, named: &[&str]) -> (PathBuf, PathBuf) {
    let at = |name: &str| directory.join(name);
    let buildx = |arguments: &[&str], context: &str| {
        run(engine.docker(&["buildx", "build", "--quiet"]).args(arguments).arg(at(context)));
    };
    for name in ["scanner", "app", "built"] {
        std::fs::create_dir(at(name)).expect("creates");
    }
    std::fs::copy(busybox, at("scanner/sh")).expect("copies");
    std::fs::write(at("scanner/scan"), SCANNER).expect("writes");
    let dockerfile = "FROM scratch\nCOPY sh /bin/sh\nCOPY scan /scan\nENTRYPOINT [\"/bin/sh\", \"/scan\"]\n";
    std::fs::write(at("scanner/Dockerfile"), dockerfile).expect("writes");
    buildx(&["--provenance=false", "--load", "--tag=scanner:1"], "scanner");
    let dockerfile = "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /app\n";
    for (file, content) in [("Dockerfile", dockerfile), ("amd64", "a\n"), ("arm64", "b\n")] {
        std::fs::write(at("app").join(file), content).expect("writes");
    }
    let archive = at("built.tar");
    let output = format!("--output=type=oci,dest={}", archive.display());
    let stated = ["--provenance=mode=max", "--sbom=generator=scanner:1", "--platform=linux/amd64,linux/arm64"];
    buildx(&[stated.as_slice(), named, &[&output]].concat(), "app");
    run(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(at("built")));
    (archive, at("built"))
}

/// From the builder to a registry, to another, to a layout, back, and promoted.
fn what_buildkit_states_survives(suite: Suite, named: &[&str]) {
    let engine = need!(DockerEngine::start_apart(suite, ImageStore::Containerd));
    let busybox = need!(require_tool("busybox"));
    let skopeo = need!(Skopeo::find());
    let (one, other) = (need!(DockerRegistry::start()), need!(DockerRegistry::start()));
    let directory = tempfile::tempdir().expect("a directory");
    let (archive, built) = build(&engine, &busybox, directory.path(), named);
    drop(engine);
    let names: Value = serde_json::from_slice(&std::fs::read(built.join("index.json")).expect("reads")).expect("JSON");
    let digest = text(&names["manifests"][0]["digest"]);
    let bytes = in_layout(&built, &digest);
    // An index; for each platform an image of one layer and a manifest of two statements, both with a configuration. A list
    // that names no image is one for both.
    let blobs = if named.is_empty() { 9 } else { 10 };
    assert_eq!(bytes.len(), 1 + 4 + blobs, "{:?}", bytes.keys());

    let project = Project::two_services();
    let built = format!("oci-archive:{}", archive.display());
    let first = format!("{}/demo/app:1", one.host());
    let second = format!("{}/demo/app:1", other.host());
    let layout = project.path().join("layout");
    let third = format!("oci:{}:1", layout.display());
    let fourth = format!("{}/back/app:1", one.host());
    let fifth = format!("{}/released/app:v1", other.host());
    for [command, from, to] in [
        ["push", &built, &first],
        ["copy", &first, &second],
        ["copy", &second, &third],
        ["push", &third, &fourth],
        ["promote", &fourth, &fifth],
    ] {
        let told = project.run([command, "--json", from, to]).ok().json();
        assert_eq!(text(&told["digest"]), digest, "{command} {from} {to}");
    }
    for registry in [&one, &other] {
        assert_eq!(in_registry(registry, &digest), bytes);
    }
    assert_eq!(in_layout(&layout, &digest), bytes);
    for name in [&first, &second, &fourth, &fifth] {
        assert_eq!(skopeo.digest(&format!("docker://{name}")), digest);
    }

    let index: Value = serde_json::from_slice(&bytes[&digest]).expect("an index");
    let entries = index["manifests"].as_array().expect("entries");
    let images: Vec<String> = entries[..2].iter().map(|image| text(&image["digest"])).collect();
    for place in [&built, &first, &third, &fifth] {
        let verified = project.run(["verify", "--json", place]).ok().json();
        let told = &verified["images"][0];
        assert_eq!((&told["manifests"], &told["blobs"]), (&json!(5), &json!(blobs)), "{told}");
        let stated = told["statements"].as_array().expect("statements");
        assert_eq!(stated.len(), 4, "{told}");
        // Which version of SLSA is BuildKit's choice.
        for (image, predicate) in images
            .iter()
            .flat_map(|image| [(image, "https://slsa.dev/provenance/"), (image, "https://spdx.dev/Document")])
        {
            let is_it = |one: &&Value| {
                text(&one["image"]) == *image
                    && text(&one["predicate-type"]).starts_with(predicate)
                    && one["names-image"] == !named.is_empty()
            };
            assert_eq!(stated.iter().filter(is_it).count(), 1, "{image} {predicate} {told}");
        }
    }
    let shown = project.run(["verify", &fifth]).ok().stdout;
    assert!(shown.contains(&format!("https://spdx.dev/Document of {}", images[0])), "{shown}");
    let shown = project.run(["inspect", &fifth]).ok().stdout;
    let lines: Vec<&str> = shown.lines().filter(|line| line.trim_start().starts_with("statements ")).collect();
    assert_eq!(lines.len(), 2, "{shown}");
    for (line, image) in lines.iter().zip(&images) {
        assert!(line.contains("spdx.dev") && line.contains("slsa.dev") && line.ends_with(image), "{shown}");
    }
    let beside = text(&entries[2]["digest"]);
    let shown = project.run(["inspect", &format!("{}/released/app@{beside}", other.host())]).ok().stdout;
    assert_eq!(shown.lines().filter(|line| line.trim_start().starts_with("statement ")).count(), 2, "{shown}");
}

#[test]
fn what_buildkit_of_the_stable_suite_states_survives() {
    what_buildkit_states_survives(Suite::Stable, &[]);
}

#[test]
fn what_buildkit_of_the_rolling_suite_states_survives() {
    what_buildkit_states_survives(Suite::Rolling, &["--tag=example.com/demo/app:1"]);
}

/// Replaces the index that the only tag of a layout names.
fn replace_index(layout: &Path, tag: &str, edit: impl FnOnce(&mut Value)) -> String {
    let read = |path: &Path| -> Value { serde_json::from_slice(&std::fs::read(path).expect("reads")).expect("JSON") };
    let mut names = read(&layout.join("index.json"));
    let entries = names["manifests"].as_array_mut().expect("names");
    let named = |entry: &&mut Value| entry["annotations"]["org.opencontainers.image.ref.name"] == tag;
    let entry = entries.iter_mut().find(named).expect("the tag");
    let blob = |digest: &str| layout.join("blobs").join(digest.replace(':', "/"));
    let mut index = read(&blob(&text(&entry["digest"])));
    edit(&mut index);
    let bytes = index.to_string().into_bytes();
    let digest = shipper_oci::Descriptor::of(shipper_oci::media_type::IMAGE_INDEX, &bytes).digest.to_string();
    std::fs::write(blob(&digest), &bytes).expect("writes");
    (entry["digest"], entry["size"]) = (json!(digest), json!(bytes.len()));
    std::fs::write(layout.join("index.json"), names.to_string()).expect("writes");
    digest
}

#[test]
fn statements_about_another_image_are_wrong() {
    let project = Project::new(
        "[project]\nname = 'demo'\nprovenance = true\n[service.site]\nfiles = { '/srv' = 'site' }\nplatforms = \
         ['linux/amd64', 'linux/arm64']\n",
    );
    project.repo.write("site/index.html", "<p>\n");
    project.ship();
    let tag = text(&project.plan()["services"][0]["tag"]);
    let place = format!("oci:{}:{tag}", project.layout("demo/site").display());
    let check = |edit: &dyn Fn(&mut Value), problem: &str| {
        let layout = project.path().join("changed");
        let _ = std::fs::remove_dir_all(&layout);
        project.run(["copy", &place, &format!("oci:{}:x", layout.display())]).ok();
        let digest = replace_index(&layout, "x", edit);
        // By its digest, so that it is no identity that lacks its inputs.
        let wrong = project.run(["verify", &format!("oci:{}@{digest}", layout.display())]).exits(1).stdout;
        assert!(wrong.contains(problem), "{wrong}");
    };
    let about = "vnd.docker.reference.digest";
    let exchanged = |index: &mut Value| {
        let first = index["manifests"][2]["annotations"][about].take();
        let second = std::mem::replace(&mut index["manifests"][3]["annotations"][about], first);
        index["manifests"][2]["annotations"][about] = second;
    };
    check(&exchanged, "it is about sha256:");
    let elsewhere = |index: &mut Value| {
        index["manifests"][2]["annotations"][about] = json!(format!("sha256:{}", "0".repeat(64)));
    };
    check(&elsewhere, "which is no image of the index");
    let nothing = |index: &mut Value| {
        index["manifests"][3]["annotations"].as_object_mut().expect("annotations").remove(about);
    };
    check(&nothing, "they are about ``, which is no image of the index");
}
