//! `shipper release-notes`: what is said of images of a release, and what a file keeps of its own.

pub(crate) mod github;

use serde_json::{Value, json};
use shipper_testkit::{DockerRegistry, Skopeo, need};

use crate::support::{Project, TWO_SERVICES, text};

/// Two services in a registry.
fn project(registry: &DockerRegistry) -> Project {
    let config =
        TWO_SERVICES.replace("name = \"demo\"", &format!("name = \"demo\"\nregistry = \"{}\"", registry.host()));
    let mut project = Project::new(&config);
    for path in ["docs/index.md", "site/index.html", "shared/logo.svg"] {
        project.repo.write(path, path);
    }
    project.repo.commit("start");
    project
}

const OLD: [&str; 2] = ["--ref", "refs/tags/v1.1.0"];
const NEW: [&str; 2] = ["--ref", "refs/tags/v1.2.0"];

#[test]
fn a_release_says_what_its_images_are_and_became() {
    let registry = need!(DockerRegistry::start());
    let skopeo = need!(Skopeo::find());
    let mut project = project(&registry);
    project
        .run(["release-notes", NEW[0], NEW[1]])
        .exits(1)
        .says("docs, site not shipped")
        .says("hint: run `shipper ship`");
    project.run(["ship", OLD[0], OLD[1]]).ok();
    project.repo.write("site/index.html", "another site, which is longer\n".repeat(500));
    project.repo.commit("change");
    // An image without the names of the release is not released.
    project.run(["release-notes", NEW[0], NEW[1]]).exits(1).says("docs, site not shipped");
    project.run(["ship", NEW[0], NEW[1]]).ok();
    let document = project.run(["release-notes", NEW[0], NEW[1], "--since", "v1.1.0", "--json"]).ok().json();
    let size = |reference: &str| {
        let manifest: Value = serde_json::from_slice(&skopeo.raw(reference)).expect("JSON");
        let layers = manifest["layers"].as_array().expect("layers").iter();
        layers.chain([&manifest["config"]]).map(|blob| blob["size"].as_u64().expect("a size")).sum::<u64>()
    };
    for (place, service) in ["docs", "site"].into_iter().enumerate() {
        let at = |tag: &str| format!("docker://{}/demo/{service}:{tag}", registry.host());
        let (image, digest) = (&document["images"][place], skopeo.digest(&at("v1.2.0")));
        assert_eq!(image["reference"], format!("{}/demo/{service}@{digest}", registry.host()));
        assert_eq!(image["platforms"][0]["digest"], digest);
        assert_eq!(image["platforms"][0]["size"], size(&at("v1.2.0")));
        assert_eq!(image["tags"][0], "v1.2.0");
        let change = match service {
            "docs" => json!({ "change": "unchanged" }),
            _ => json!({ "change": "changed", "before": size(&at("v1.1.0")) }),
        };
        assert_eq!(image["change"], change);
        // The command that readers are told.
        let command = format!("shipper verify {}", text(&image["reference"]));
        assert!(text(&document["block"]).contains(&format!("\n{command}\n")));
        project.run(command.split(' ').skip(1)).ok();
    }
    let new = project.run(["release-notes", NEW[0], NEW[1], "--since", "v0.9.0"]).ok().stdout;
    assert_eq!(new.matches("| new |").count(), 2, "{new}");
    project.run(["release-notes", NEW[0], NEW[1], "--since", "v 1"]).exits(2).says("use the tag `v 1`");
}

#[test]
fn a_file_keeps_everything_but_the_block() {
    let registry = need!(DockerRegistry::start());
    let project = project(&registry);
    project.run(["ship", OLD[0], OLD[1]]).ok();
    let path = project.cache().join("notes.md");
    let file = path.to_str().expect("plain");
    let write = || project.run(["release-notes", OLD[0], OLD[1], "--to", file]);
    let read = || std::fs::read_to_string(&path).expect("a file");
    let block = project.run(["release-notes", OLD[0], OLD[1]]).ok().stdout;
    write().ok().says("Wrote");
    assert_eq!(read(), block);
    let before = format!("# v1.1.0\r\n\r\nwritten by \"hand\" \r\n\r\n{block}\r\nafterwards");
    std::fs::write(&path, before.replace("| docs |", "| outdated |")).expect("writes");
    write().ok().says("Wrote");
    assert_eq!(read(), before);
    write().ok().says("Unchanged");
    // Marks that are no pair: nothing is written.
    let broken = before.replace("<!-- shipper:images:end -->", "");
    std::fs::write(&path, &broken).expect("writes");
    write().exits(2).says("its marks are no pair").says("hint: leave one");
    assert_eq!(read(), broken);
}
