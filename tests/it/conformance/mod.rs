//! The conformance matrix: what a change does to the key, and to what a real builder makes of the same directory.
//!
//! Invariants: [`rows::ROWS`] is the only table; the key test needs no tool, the builder test a Docker engine, and
//! `docs/conformance.md` is what [`document`] prints (`cargo xtask conformance` writes it).

mod document;
mod rows;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use shipper_testkit::{DockerEngine, ImageStore, Suite, Umoci, need, require_tool, run};

use crate::support::{Project, Ran, text};
use rows::{Builder, Key, ROWS, Row};

/// The key of the service `app`.
fn key(project: &Project) -> String {
    let plan = project.plan();
    let services = plan["services"].as_array().expect("services");
    let app = services.iter().find(|service| service["service"] == "app").expect("a service `app`");
    text(&app["key"])
}

fn prepared(row: &Row) -> Project {
    let mut project = Project::new("");
    (row.before)(&mut project);
    project
}

#[test]
fn the_key_changes_exactly_where_the_table_says() {
    let mut wrong = Vec::new();
    for row in ROWS {
        let mut project = prepared(row);
        let before = key(&project);
        (row.change)(&mut project);
        let changed = key(&project) != before;
        if changed != (row.key == Key::Changes) {
            wrong.push(format!("{}: the key {}", row.name, if changed { "changed" } else { "stayed" }));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Paths of files, links and directories with what an image holds of them: kind, permission bits, content or target.
type Image = BTreeMap<PathBuf, (char, u32, Vec<u8>)>;

/// The root directory that BuildKit makes of the work tree itself, without shipper in between.
fn image(engine: &DockerEngine, project: &Project) -> Image {
    let out = tempfile::tempdir().expect("a directory");
    let config = std::fs::read_to_string(project.path().join("shipper.toml")).expect("a configuration");
    let mut build = engine.docker(&["buildx", "build", "--provenance=false", "--quiet", "--network=host"]);
    build.current_dir(project.path()).arg("--output").arg(format!("type=local,dest={}", out.path().display()));
    for argument in rows::builder_arguments(&config) {
        build.arg(argument);
    }
    run(&mut build);
    let mut image = Image::new();
    collect(out.path(), out.path(), &mut image);
    image
}

fn collect(root: &Path, directory: &Path, image: &mut Image) {
    for entry in std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry")) {
        let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
        let content = if kind.is_dir() {
            collect(root, &path, image);
            ('d', 0, Vec::new())
        } else if kind.is_symlink() {
            ('l', 0, std::fs::read_link(&path).expect("a link").into_os_string().into_encoded_bytes())
        } else {
            let mode = entry.metadata().expect("metadata").permissions().mode() & 0o7777;
            ('f', mode, std::fs::read(&path).expect("a file"))
        };
        image.insert(path.strip_prefix(root).expect("below").to_owned(), content);
    }
}

#[test]
fn a_real_builder_agrees_with_the_table() {
    let engine = need!(DockerEngine::start(Suite::Stable, ImageStore::Containerd));
    let busybox = need!(require_tool("busybox"));
    let mut wrong = Vec::new();
    for row in ROWS {
        let image_changes = match row.builder {
            Builder::Agrees => row.key == Key::Changes,
            Builder::Differs(_) => row.key == Key::Stays,
            Builder::NotAsked(_) => continue,
        };
        let mut project = prepared(row);
        std::fs::copy(&busybox, project.path().join("busybox")).expect("copies");
        let before = image(&engine, &project);
        (row.change)(&mut project);
        if (image(&engine, &project) != before) != image_changes {
            wrong.push(format!("{}: expected a changed image: {image_changes}", row.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_edit_that_buildkit_does_not_notice_reaches_the_image_through_the_stage() {
    let engine = need!(DockerEngine::start(Suite::Stable, ImageStore::Containerd));
    let umoci = need!(Umoci::find());
    let row = ROWS.iter().find(|row| row.name.starts_with("other content, same size")).expect("a row");
    let mut project = prepared(row);
    let shipped = |project: &Project| {
        let mut ship = project.command(["ship"]);
        ship.envs(engine.variables()).env("SHIPPER_BUILDER", "buildx");
        Ran::of(&ship.output().expect("starts")).ok().says("1 built");
        let tag = text(&project.plan()["services"][0]["tag"]);
        let name = text(&project.run(["config", "--json"]).ok().json()["settings"][0]["value"]);
        let to = tempfile::tempdir().expect("a directory");
        let rootfs = umoci.unpack(&project.layout(&format!("{name}/app")), &tag, &to.path().join("bundle"));
        std::fs::read_to_string(rootfs.join("a")).expect("a file")
    };
    assert_eq!(shipped(&project), "a\n");
    (row.change)(&mut project);
    assert_eq!(shipped(&project), "b\n");
}

#[test]
fn the_document_holds_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/conformance.md");
    let wanted = document::render();
    if std::env::var("SHIPPER_WRITE_CONFORMANCE").is_ok_and(|value| value == "1") {
        std::fs::write(path, &wanted).expect("writes");
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(found == wanted, "docs/conformance.md is out of date: run `cargo xtask conformance` and commit the result");
}
