//! What images are made of: platforms, bases, the lock, compression, users.

use std::path::Path;

use serde_json::Value;
use shipper_testkit::{DockerRegistry, Skopeo, Umoci, need, require_tool};

use crate::support::{Project, Ran, program, text};

/// The manifest of a service's identity in the embedded layout, as skopeo reads it.
fn manifest(project: &Project, skopeo: &Skopeo, service: usize) -> Value {
    let planned = &project.plan()["services"][service];
    let layout = project.layout(&format!("demo/{}", text(&planned["service"])));
    let raw = skopeo.raw(&format!("oci:{}:{}", layout.display(), text(&planned["tag"])));
    serde_json::from_slice(&raw).expect("JSON")
}

const TWO_PLATFORMS: &str = "[project]\nname = 'demo'\n[service.tool]\nexpose = [80]\n\
    binary = { 'linux/amd64' = 'dist/amd64/tool', 'linux/arm64' = 'dist/arm64/tool' }\n";

fn two_platforms() -> Project {
    let project = Project::new(TWO_PLATFORMS);
    project.repo.write(".gitignore", "dist\n");
    project.repo.write_executable("dist/amd64/tool", program(62));
    project.repo.write_executable("dist/arm64/tool", program(183));
    project
}

#[test]
fn two_prebuilt_platforms_become_an_index_and_one_of_them_is_built_alone() {
    let skopeo = need!(Skopeo::find());
    let project = two_platforms();
    project.ship().says("1 built");
    project.ship().says("nothing is due");
    let index = manifest(&project, &skopeo, 0);
    let platforms: Vec<String> = index["manifests"]
        .as_array()
        .expect("an index")
        .iter()
        .map(|child| format!("{}/{}", text(&child["platform"]["os"]), text(&child["platform"]["architecture"])))
        .collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    assert_eq!(index["annotations"]["dev.shipper.key"], project.plan()["services"][0]["key"]);

    let mut changed = program(183);
    changed.push(1);
    project.repo.write("dist/arm64/tool", changed);
    let plan = project.plan();
    let actions: Vec<String> = plan["services"][0]["platforms"]
        .as_array()
        .expect("platforms")
        .iter()
        .map(|one| text(&one["action"]))
        .collect();
    assert_eq!(actions, ["reuse", "build"]);
    project.ship().says("1 built");
    let again = manifest(&project, &skopeo, 0);
    assert_eq!(again["manifests"][0]["digest"], index["manifests"][0]["digest"]);
    assert_ne!(again["manifests"][1]["digest"], index["manifests"][1]["digest"]);
}

#[test]
fn a_program_for_another_machine_is_refused() {
    let project = two_platforms();
    project.repo.write_executable("dist/arm64/tool", program(62));
    project.run(["ship"]).exits(4).says("cannot build `tool`").says("dist/arm64/tool");
    project.repo.write_executable("dist/arm64/tool", "#!/bin/sh\n");
    project.run(["ship"]).exits(4).says("ELF");
    project.repo.remove("dist/arm64/tool");
    project.run(["ship"]).exits(2).says("cannot find `dist/arm64/tool` of `tool`: it does not exist");
}

#[test]
fn layers_are_put_on_a_base_of_a_layout_and_the_key_follows_it() {
    let skopeo = need!(Skopeo::find());
    let umoci = need!(Umoci::find());
    let project = Project::new(
        "[project]\nname = 'demo'\n[service.app]\nfiles = { '/app' = 'app' }\nbase = 'oci:bases/small:1'\n",
    );
    project.repo.write("app/file", "x");
    project.repo.write(".gitignore", "bases\n");
    let content = project.repo.write("base-content", "from the base\n");
    let layout = project.path().join("bases/small");
    std::fs::create_dir_all(layout.parent().expect("has one")).expect("creates");
    umoci.image(&layout, "1", &[(content.as_path(), "/etc/base")]);
    project.ship().says("1 built");
    project.ship().says("nothing is due");
    let built = manifest(&project, &skopeo, 0);
    assert_eq!(built["layers"].as_array().map(Vec::len), Some(2));
    let to = tempfile::tempdir().expect("a directory");
    let tag = text(&project.plan()["services"][0]["tag"]);
    let rootfs = umoci.unpack(&project.layout("demo/app"), &tag, &to.path().join("bundle"));
    assert_eq!(std::fs::read_to_string(rootfs.join("etc/base")).expect("reads"), "from the base\n");
    assert_eq!(std::fs::read_to_string(rootfs.join("app/file")).expect("reads"), "x");

    let other = project.repo.write("base-content", "another base\n");
    std::fs::remove_dir_all(&layout).expect("removes");
    umoci.image(&layout, "1", &[(other.as_path(), "/etc/base")]);
    assert_eq!(project.due()["app"], "base-moved");
}

/// A registry with a base image, and a project that uses it.
fn on_a_registry_base(registry: &DockerRegistry, umoci: &Umoci, skopeo: &Skopeo) -> Project {
    let project = Project::new(&format!(
        "[project]\nname = 'demo'\n[service.app]\nfiles = {{ '/app' = 'app' }}\nbase = '{}/base:1'\n",
        registry.host()
    ));
    project.repo.write("app/file", "x");
    push_base(project.path(), "one", registry, umoci, skopeo);
    project
}

fn push_base(near: &Path, content: &str, registry: &DockerRegistry, umoci: &Umoci, skopeo: &Skopeo) {
    let dir = tempfile::tempdir_in(near).expect("a directory");
    let file = dir.path().join("content");
    std::fs::write(&file, content).expect("writes");
    let layout = dir.path().join("layout");
    umoci.image(&layout, "1", &[(file.as_path(), "/etc/base")]);
    skopeo.copy(&format!("oci:{}:1", layout.display()), &format!("docker://{}/base:1", registry.host()));
}

#[test]
fn a_base_of_a_registry_is_locked_and_moves_only_with_the_lock() {
    let skopeo = need!(Skopeo::find());
    let umoci = need!(Umoci::find());
    let registry = need!(DockerRegistry::start());
    let project = on_a_registry_base(&registry, &umoci, &skopeo);
    project.run(["ship", "--locked"]).exits(2).says("no digest for linux/").says("hint: run `shipper ship` without");
    project.run(["plan"]).ok();
    assert!(!project.path().join("shipper.lock").exists(), "a plan writes no lock");
    project.ship().says("1 built");
    let lock = std::fs::read_to_string(project.path().join("shipper.lock")).expect("a lock");
    assert!(lock.contains("sha256:"), "{lock}");
    project.run(["ship", "--locked"]).ok().says("nothing is due");

    push_base(project.path(), "two", &registry, &umoci, &skopeo);
    project.ship().says("nothing is due");
    project.repo.remove("shipper.lock");
    assert_eq!(project.due()["app"], "base-moved");
    let typo = lock.replace("sha256:", "sha526:");
    for damaged in ["nonsense = 1\n", &typo] {
        project.repo.write("shipper.lock", damaged);
        project.run(["plan"]).exits(2).says("shipper.lock");
    }
}

#[test]
fn a_base_that_moved_is_said_and_taken_on_request() {
    let skopeo = need!(Skopeo::find());
    let umoci = need!(Umoci::find());
    let registry = need!(DockerRegistry::start());
    let project = on_a_registry_base(&registry, &umoci, &skopeo);
    project.ship();
    project.run(["base", "outdated", "--check"]).ok().says("0 of 1 locked base image moved");

    push_base(project.path(), "two", &registry, &umoci, &skopeo);
    let plan = project.plan();
    assert_eq!(plan["services"][0]["action"], "reuse");
    assert_eq!(plan["outdated-bases"][0]["state"], "moved");
    let text = project.run(["plan"]).ok().stdout;
    assert!(text.contains("moved from sha256:") && text.contains("`shipper base update`"), "{text}");
    project.run(["base", "outdated", "--check"]).exits(1);
    project.run(["base", "update", "nginx:1"]).exits(2).says("no such entry").says("hint: the lock has");
    project.run(["base", "update"]).ok().says("1 of 1 locked base image updated");
    project.run(["base", "update"]).ok().says("0 of 1 locked base image updated");
    assert_eq!(project.due()["app"], "base-moved");
    project.ship().says("1 built");

    let before = std::fs::read_to_string(project.path().join("shipper.lock")).expect("a lock");
    drop(registry);
    project.run(["base", "outdated"]).exits(3).says("cannot read the base image");
    project.run(["base", "update"]).exits(3);
    assert_eq!(std::fs::read_to_string(project.path().join("shipper.lock")).expect("a lock"), before);
    project.run(["plan"]).ok();
}

#[test]
fn which_of_its_needs_a_service_is_put_on_is_part_of_its_key() {
    let config = |base: &str| {
        format!(
            "[project]\nname = 'demo'\n[service.one]\nfiles = {{ '/one' = 'one' }}\n[service.two]\nfiles = {{ '/two' = 'two' }}\n\
             [service.top]\nfiles = {{ '/top' = 'top' }}\nneeds = {{ a = 'one', b = 'two' }}\n{base}"
        )
    };
    let project = Project::new(&config("base = 'a'\n"));
    for path in ["one/f", "two/f", "top/f"] {
        project.repo.write(path, path);
    }
    project.ship();
    for base in ["base = 'b'\n", ""] {
        project.repo.write("shipper.toml", config(base));
        assert_eq!(project.due()["top"], "recipe-changed", "{base}");
        project.ship();
    }
}

#[test]
fn a_refreshed_service_has_another_identity_and_keeps_it() {
    let project = Project::two_services();
    project.ship();
    let first = project.plan()["services"][0]["tag"].clone();
    project.run(["ship", "--refresh", "docs"]).ok().says("1 built, 1 reused");
    let second = project.plan()["services"][0]["tag"].clone();
    assert_ne!(first, second);
    project.run(["ship"]).ok().says("nothing is due");
    project.run(["ship", "--refresh", "dosc"]).exits(2).says("hint: did you mean `docs`?");
    project.run(["ship", "--refresh", "docs", "--locked"]).exits(2);
    assert_eq!(project.plan()["services"][0]["tag"], second);
}

#[test]
fn a_base_without_the_platform_or_without_an_image_is_an_error() {
    let registry = need!(DockerRegistry::start());
    let config = |base: &str| format!("[service.app]\nfiles = {{ '/app' = 'app' }}\nbase = '{base}'\n");
    let project = Project::new(&config(&format!("{}/nothing:1", registry.host())));
    project.repo.write("app/file", "x");
    project.run(["ship"]).exits(4).says("nothing:1");
    project.repo.write("shipper.toml", config("127.0.0.1:1/base:1"));
    project.run(["ship"]).exits(3).says("127.0.0.1:1");
    project.repo.write("shipper.toml", config("not a reference"));
    project.run(["ship"]).exits(2).says("not a reference");
}

#[test]
fn layers_are_compressed_with_zstd_on_request() {
    let skopeo = need!(Skopeo::find());
    let project = Project::new(
        "[project]\nname = 'demo'\n[service.app]\nfiles = { '/app' = 'app' }\ncompression = 'zstd'\nuser = '7:8'\nworkdir = '/app'\n\
         env = { A = 'b' }\nentrypoint = ['/app/run']\ncmd = ['x']\nlabels = { 'com.example' = 'y' }\n",
    );
    project.repo.write_executable("app/run", "#!/bin/sh\n");
    project.ship();
    let built = manifest(&project, &skopeo, 0);
    let types: Vec<String> =
        built["layers"].as_array().expect("layers").iter().map(|layer| text(&layer["mediaType"])).collect();
    assert!(types.iter().all(|media_type| media_type.ends_with("+zstd")), "{types:?}");
    let tag = text(&project.plan()["services"][0]["tag"]);
    let config = skopeo.config(&format!("oci:{}:{tag}", project.layout("demo/app").display()));
    let config = &config["config"];
    assert_eq!((text(&config["User"]), text(&config["WorkingDir"])), ("7:8".to_owned(), "/app".to_owned()));
    assert_eq!((text(&config["Entrypoint"][0]), text(&config["Cmd"][0])), ("/app/run".to_owned(), "x".to_owned()));
    assert_eq!(text(&config["Labels"]["com.example"]), "y");
    assert!(config["Env"].as_array().expect("a list").iter().any(|variable| variable == "A=b"), "{config}");
}

#[test]
fn a_dynamic_program_brings_its_libraries_and_runs() {
    let umoci = need!(Umoci::find());
    let project =
        Project::new("[project]\nname = 'demo'\n[service.tool]\ncargo = { package = 'tool', link = 'dynamic' }\n");
    project.repo.write("Cargo.toml", "[package]\nname = 'tool'\nversion = '0.1.0'\nedition = '2024'\n");
    project.repo.write("Cargo.lock", "version = 4\n\n[[package]]\nname = \"tool\"\nversion = \"0.1.0\"\n");
    project.repo.write("src/main.rs", "fn main() { println!(\"hello\"); }\n");
    project.ship();
    let to = tempfile::tempdir().expect("a directory");
    let tag = text(&project.plan()["services"][0]["tag"]);
    let rootfs = umoci.unpack(&project.layout("demo/tool"), &tag, &to.path().join("bundle"));
    // Only what is in the image is there.
    let mut chroot = std::process::Command::new(need!(require_tool("chroot")));
    let ran = Ran::of(&chroot.arg(&rootfs).arg("/usr/local/bin/tool").env_clear().output().expect("chroot starts"));
    assert_eq!(ran.ok().stdout, "hello\n");
}
