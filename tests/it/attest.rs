//! What is stated about images: lists of what they are made of, provenance, and where both are put. The judges are the
//! Python validators of SPDX, CycloneDX and in-toto, and the tools that must still read the image.

use std::path::Path;

use serde_json::Value;
use shipper_testkit::{DockerRegistry, Judge, Skopeo, Umoci, need};

use crate::support::{Project, text};

/// A service of files.
const SITE: &str = "[project]\nname = 'demo'\nATTEST\n[service.site]\nfiles = { '/srv' = 'site' }\n";

fn site(attest: &str) -> Project {
    let project = Project::new(&SITE.replace("ATTEST", attest));
    project.repo.write("site/index.html", "<p>\n");
    project
}

/// A JSON document in a layout, by digest.
fn blob(layout: &Path, digest: &Value) -> Vec<u8> {
    let digest = text(digest).replace(':', "/");
    std::fs::read(layout.join("blobs").join(digest)).expect("a blob of the layout")
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

/// What is stated beside the only image of a layout's identity: image digest, and statements by predicate type.
fn stated(project: &Project, skopeo: &Skopeo, service: &str) -> (String, Vec<(String, Vec<u8>)>) {
    let planned = &project.plan()["services"][0];
    let layout = project.layout(&format!("demo/{service}"));
    let index = json(&skopeo.raw(&format!("oci:{}:{}", layout.display(), text(&planned["tag"]))));
    let children = index["manifests"].as_array().expect("an index");
    assert_eq!(children.len(), 2, "{index}");
    let (image, beside) = (&children[0], &children[1]);
    assert_eq!(beside["platform"], serde_json::json!({"architecture": "unknown", "os": "unknown"}));
    assert_eq!(beside["annotations"]["vnd.docker.reference.type"], "attestation-manifest");
    assert_eq!(beside["annotations"]["vnd.docker.reference.digest"], image["digest"]);
    let manifest = json(&blob(&layout, &beside["digest"]));
    let config = json(&blob(&layout, &manifest["config"]["digest"]));
    let layers = manifest["layers"].as_array().expect("layers");
    let digests: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
    assert_eq!(config["rootfs"]["diff_ids"].as_array().expect("ids").iter().collect::<Vec<_>>(), digests);
    let statements = layers.iter().map(|layer| {
        assert_eq!(layer["mediaType"], "application/vnd.in-toto+json");
        (text(&layer["annotations"]["in-toto.io/predicate-type"]), blob(&layout, &layer["digest"]))
    });
    (text(&image["digest"]), statements.collect())
}

/// The statement as in-toto's own reader sees it, which must be about the image; gives the predicate.
#[track_caller]
fn predicate(judge: &Judge, image: &str, predicate_type: &str, statement: &[u8]) -> Vec<u8> {
    let read = judge.reads("statement", statement);
    assert_eq!(read["predicateType"], predicate_type);
    assert_eq!(read["subjects"], serde_json::json!([image.trim_start_matches("sha256:")]));
    json(statement)["predicate"].to_string().into_bytes()
}

#[test]
fn a_cargo_service_lists_its_crates_with_licences_and_tells_how_it_was_built() {
    let judge = need!(Judge::find());
    let skopeo = need!(Skopeo::find());
    let all = "provenance = true\nsbom = ['spdx', 'cyclonedx', 'cyclonedx-1.5']";
    let project = Project::new(&format!(
        "[project]\nname = 'demo'\n{all}\n[service.tool]\ncargo = {{ package = 'tool', profile = 'dev' }}\n"
    ));
    // The version that this workspace uses is on the machine already.
    let ours = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock")).expect("a lock");
    let entry = ours.split("[[package]]").find(|entry| entry.contains("name = \"itoa\"")).expect("itoa is used");
    let version = entry.split("version = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a version");
    let manifest = |name: &str, more: &str| {
        format!("[package]\nname = '{name}'\nversion = '1.2.3'\nedition = '2024'\nlicense = 'MIT'\n{more}")
    };
    project.repo.write("Cargo.toml", "[workspace]\nmembers = ['tool', 'other']\nresolver = '3'\n");
    project.repo.write("tool/Cargo.toml", manifest("tool", &format!("[dependencies]\nitoa = '={version}'\n")));
    project.repo.write("other/Cargo.toml", manifest("other", ""));
    project.repo.write("other/src/main.rs", "fn main() {}");
    project.repo.write("tool/src/main.rs", "fn main() { print!(\"{}\", itoa::Buffer::new().format(1)); }");
    let lock = format!(
        "version = 4\n\n[[package]]{entry}[[package]]\nname = \"other\"\nversion = \"1.2.3\"\n\n[[package]]\nname = \
         \"tool\"\nversion = \"1.2.3\"\ndependencies = [\n \"itoa\",\n]\n"
    );
    project.repo.write("Cargo.lock", lock);
    let first = project.ship_digests()["tool"].clone();
    let (image, statements) = stated(&project, &skopeo, "tool");
    let types: Vec<&str> = statements.iter().map(|(predicate_type, _)| predicate_type.as_str()).collect();
    let (spdx, cyclonedx) = ("https://spdx.dev/Document", "https://cyclonedx.org/bom");
    assert_eq!(types, [spdx, cyclonedx, cyclonedx, "https://slsa.dev/provenance/v1"]);
    let itoa = format!("pkg:cargo/itoa@{version}");
    for (kind, (predicate_type, statement)) in ["spdx", "cyclonedx-1.6", "cyclonedx-1.5"].iter().zip(&statements) {
        let document = predicate(&judge, &image, predicate_type, statement);
        let packages = judge.reads(kind, &document);
        // The service's closure, not the workspace.
        let mut known: Vec<&String> = packages.as_object().expect("packages").keys().collect();
        known.retain(|purl| purl.starts_with("pkg:cargo/"));
        assert_eq!(known, [&itoa, "pkg:cargo/tool@1.2.3"], "{kind}");
        assert_eq!(packages[&itoa], serde_json::json!({"licence": "MIT OR Apache-2.0", "checksums": 1}), "{kind}");
        assert_eq!(packages["pkg:cargo/tool@1.2.3"]["licence"], "MIT", "{kind}");
    }
    let (predicate_type, statement) = &statements[3];
    let document = predicate(&judge, &image, predicate_type, statement);
    let read = judge.reads("provenance", &document);
    assert_eq!(read["buildType"], "https://github.com/shipper-rs/shipper/blob/main/docs/buildtype-v1.md");
    let document = json(&document);
    let definition = &document["buildDefinition"];
    let plan = project.plan();
    assert_eq!(definition["internalParameters"]["key"], plan["services"][0]["key"]);
    assert_eq!(definition["externalParameters"]["recipe"]["cargo.package"], "tool", "{document}");
    assert_eq!(definition["resolvedDependencies"][0]["name"], "context");

    // Another build of the same inputs states the same, and the image under the identity is verified with it.
    assert_eq!(
        project.run(["ship", "--force", "--json"]).ok().events().pop().expect("events")["images"]["tool"]["digest"],
        first.as_str()
    );
    project.run(["verify"]).ok();
    project.ship().says("nothing is due");
}

#[test]
fn statements_change_neither_the_image_nor_who_can_read_it() {
    let skopeo = need!(Skopeo::find());
    let umoci = need!(Umoci::find());
    let registry = need!(DockerRegistry::start());
    let plain = site("").ship_digests()["site"].clone();
    let attested = site("provenance = true\nsbom = ['spdx']");
    let index = attested.ship_digests()["site"].clone();
    assert_ne!(index, plain);
    let (image, _) = stated(&attested, &skopeo, "site");
    assert_eq!(image, plain, "the image is the same with and without");
    let layout = attested.layout("demo/site");
    let tag = text(&attested.plan()["services"][0]["tag"]);
    // umoci takes no index with two entries, of whichever builder; skopeo picks the image.
    let to = tempfile::tempdir().expect("a directory");
    let picked = to.path().join("picked");
    let (from, into) = (format!("oci:{}:{tag}", layout.display()), format!("oci:{}:1", picked.display()));
    assert!(skopeo.command(&["copy", &from, &into]).status().expect("skopeo starts").success());
    assert_eq!(skopeo.digest(&format!("oci:{}:1", picked.display())), plain);
    let rootfs = umoci.unpack(&picked, "1", &to.path().join("bundle"));
    assert!(rootfs.join("srv/index.html").is_file());
    let there = format!("{}/site:1", registry.host());
    attested.run(["push", &format!("oci:{}:{tag}", layout.display()), &there]).ok();
    assert_eq!(skopeo.digest(&format!("docker://{there}")), index);
    assert_eq!(skopeo.inspect(&format!("docker://{there}"))["Os"], "linux");
    attested.run(["verify"]).ok();
}

#[test]
fn statements_refer_to_an_image_that_stays_alone() {
    let judge = need!(Judge::find());
    let skopeo = need!(Skopeo::find());
    let registry = need!(DockerRegistry::start());
    let plain = site("").ship_digests()["site"].clone();
    let project = site(&format!(
        "registry = '{}'\nattestations = 'referrers'\nprovenance = true\nsbom = ['cyclonedx']",
        registry.host()
    ));
    assert_eq!(project.ship_digests()["site"], plain);
    // This registry has no list of referrers: the specification's fallback is a tag.
    let list = format!("docker://{}/demo/site:{}", registry.host(), plain.replace(':', "-"));
    let list = json(&skopeo.raw(&list));
    let entries = list["manifests"].as_array().expect("an index");
    assert_eq!(entries.len(), 2, "{list}");
    for entry in entries {
        assert_eq!(entry["artifactType"], "application/vnd.in-toto+json");
        let one = format!("docker://{}/demo/site@{}", registry.host(), text(&entry["digest"]));
        let manifest = json(&skopeo.raw(&one));
        assert_eq!(manifest["subject"]["digest"], plain.as_str());
        let (_, digest) = text(&manifest["layers"][0]["digest"])
            .split_once(':')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .expect("a digest");
        let data =
            registry.data().join("docker/registry/v2/blobs/sha256").join(&digest[..2]).join(&digest).join("data");
        let statement = std::fs::read(data).expect("the blob in the registry's storage");
        let predicate_type = text(&entry["annotations"]["in-toto.io/predicate-type"]);
        let _ = predicate(&judge, &plain, &predicate_type, &statement);
    }
    project.ship().says("nothing is due");
}

#[test]
fn each_platform_has_its_own_statements() {
    let skopeo = need!(Skopeo::find());
    let project = Project::new(
        "[project]\nname = 'demo'\nprovenance = true\n[service.site]\nfiles = { '/srv' = 'site' }\nplatforms = \
         ['linux/amd64', 'linux/arm64']\n",
    );
    project.repo.write("site/index.html", "<p>\n");
    project.ship();
    let tag = text(&project.plan()["services"][0]["tag"]);
    let index = json(&skopeo.raw(&format!("oci:{}:{tag}", project.layout("demo/site").display())));
    let children = index["manifests"].as_array().expect("an index");
    let about: Vec<&Value> =
        children[2..].iter().map(|child| &child["annotations"]["vnd.docker.reference.digest"]).collect();
    let mut images: Vec<&Value> = children[..2].iter().map(|child| &child["digest"]).collect();
    let mut sorted = about.clone();
    sorted.sort_by_key(ToString::to_string);
    images.sort_by_key(ToString::to_string);
    assert_eq!(sorted, images);
    project.run(["verify"]).ok();

    // One of the two alone: its identity is there, and another platform joins later.
    let alone = Project::new(
        "[project]\nname = 'demo'\nprovenance = true\n[service.site]\nfiles = { '/srv' = 'site' }\nplatforms = \
         ['linux/amd64']\n",
    );
    alone.repo.write("site/index.html", "<p>\n");
    alone.ship();
    let config = std::fs::read_to_string(alone.path().join("shipper.toml")).expect("written");
    alone.repo.write("shipper.toml", config.replace("['linux/amd64']", "['linux/amd64', 'linux/arm64']"));
    let digest = alone.ship_digests()["site"].clone();
    assert_eq!(digest, project.ship_digests()["site"], "the image of an index is taken, not the index");
}

#[test]
fn a_lock_file_that_can_not_be_read_is_named_before_anything_is_built() {
    let project = site("sbom = ['spdx']");
    project.repo.write("site/Cargo.lock", "version = 99\n");
    project.run(["ship"]).exits(2).says("cannot list what `site` is made of: site/Cargo.lock").says("version 99");
    project.repo.write("shipper.toml", SITE.replace("ATTEST", "sbom = ['syft']"));
    project.run(["ship"]).exits(2).says("syft");
    project.repo.write("shipper.toml", SITE.replace("ATTEST", "attestations = 'both'"));
    project.run(["ship"]).exits(2).says("both");
}
