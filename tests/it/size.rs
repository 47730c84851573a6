//! `size diff`, judged by umoci: it makes the images, whiteouts included, and unpacks them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use shipper_testkit::{DockerRegistry, Skopeo, Umoci, need};

use crate::support::{Project, text, tree};

/// Files below `root` that are plain ones, with their bytes.
fn unpacked(umoci: &Umoci, layout: &Path, tag: &str) -> BTreeMap<String, Vec<u8>> {
    let to = tempfile::tempdir().expect("a directory");
    tree(&umoci.unpack(layout, tag, &to.path().join("bundle")))
}

/// Two images: a base, and what a container made of it.
fn images(umoci: &Umoci, project: &Project) -> std::path::PathBuf {
    let layout = project.path().join("layout");
    let source = project.path().join("source");
    for (path, content) in
        [("a", "a\n".to_owned()), ("dir/b", "b".repeat(5000)), ("dir/c", "c\n".to_owned()), ("gone/x", "x".repeat(300))]
    {
        project.repo.write(format!("source/{path}"), content);
    }
    umoci.image(&layout, "1", &[(&source, "/srv")]);
    let bundle = project.path().join("bundle");
    let rootfs = umoci.unpack(&layout, "1", &bundle);
    std::fs::write(rootfs.join("srv/a"), "another\n").expect("writes");
    std::fs::write(rootfs.join("srv/new"), "n".repeat(70_000)).expect("writes");
    std::fs::remove_file(rootfs.join("srv/dir/b")).expect("removes");
    std::fs::remove_dir_all(rootfs.join("srv/gone")).expect("removes");
    // A file in the place of a directory.
    std::fs::write(rootfs.join("srv/gone"), "file\n").expect("writes");
    let image = format!("{}:2", layout.display());
    let made = "--history.created_by=RUN work";
    umoci.run(&["repack", made, "--image", &image, &bundle.display().to_string()]);
    layout
}

#[test]
fn files_differ_as_they_do_where_the_images_are_unpacked() {
    let umoci = need!(Umoci::find());
    let project = Project::new("");
    let layout = images(&umoci, &project);
    let (before, after) = (unpacked(&umoci, &layout, "1"), unpacked(&umoci, &layout, "2"));
    let found = project.run(["size", "diff", "--json", "oci:layout:1", "oci:layout:2"]).ok().json();
    let mut expected: Vec<(String, &str, Option<u64>, Option<u64>)> = Vec::new();
    let size = |content: Option<&Vec<u8>>| content.map(|content| content.len() as u64);
    for path in before.keys().chain(after.keys().filter(|path| !before.contains_key(*path))) {
        let (old, new) = (before.get(path), after.get(path));
        let change = match (old, new) {
            (Some(old), Some(new)) if old == new => continue,
            (Some(_), Some(_)) => "changed",
            (None, _) => "added",
            (_, None) => "removed",
        };
        expected.push((path.clone(), change, size(old), size(new)));
    }
    expected.sort();
    let files = found["files"].as_array().expect("files");
    let read = |file: &Value| {
        let change = text(&file["change"]);
        let change = ["added", "removed", "changed"].into_iter().find(|word| *word == change).expect("a word");
        (text(&file["path"]), change, file["before"].as_u64(), file["after"].as_u64())
    };
    let mut shown: Vec<_> = files.iter().map(read).collect();
    // The largest difference first.
    assert_eq!((shown[0].0.as_str(), shown[1].0.as_str()), ("srv/new", "srv/dir/b"));
    shown.sort();
    assert_eq!(shown, expected);
    let bytes = |files: &BTreeMap<String, Vec<u8>>| files.values().map(|content| content.len() as u64).sum::<u64>();
    assert_eq!(found["before"]["unpacked"], bytes(&before));
    assert_eq!(found["after"]["unpacked"], bytes(&after));
    assert_eq!((&found["before"]["files"], &found["after"]["files"]), (&before.len().into(), &after.len().into()));
    let layers = found["layers"].as_array().expect("layers");
    let last = layers.last().expect("a layer");
    assert_eq!((&last["change"], &last["instruction"]), (&"added".into(), &"RUN work".into()), "{last}");
    assert!(layers[..layers.len() - 1].iter().all(|layer| layer["change"] == "same"), "{layers:?}");
}

#[test]
fn an_image_in_a_registry_compares_with_its_copy_and_growth_has_a_bound() {
    let (umoci, skopeo, registry) = (need!(Umoci::find()), need!(Skopeo::find()), need!(DockerRegistry::start()));
    let project = Project::new("");
    let layout = images(&umoci, &project);
    let remote = format!("{}/shop/api:1", registry.host());
    project.run(["copy", "oci:layout:1", &remote]).ok();
    let same = project.run(["size", "diff", "--json", "--max-growth", "0", "oci:layout:1", &remote]).ok().json();
    assert_eq!((&same["files"], &same["added"]), (&serde_json::json!([]), &0.into()));
    // What skopeo says of the sizes.
    let raw: Value = serde_json::from_slice(&skopeo.raw(&format!("oci:{}:2", layout.display()))).expect("JSON");
    let sizes: u64 = raw["layers"].as_array().expect("layers").iter().filter_map(|layer| layer["size"].as_u64()).sum();
    let grown = project.run(["size", "diff", "--json", "--max-growth", "10", &remote, "oci:layout:2"]).exits(1);
    assert_eq!(grown.json()["after"]["compressed"], sizes);
    grown.says("and may by 10 %");
    let shown = project.run(["size", "diff", "--files", "1", &remote, "oci:layout:2"]).ok().stdout;
    assert!(shown.ends_with("  srv/new\n") && shown.contains("RUN work\n"), "{shown}");
    project.run(["size", "diff", &remote, "oci:layout:none"]).exits(1);
}
