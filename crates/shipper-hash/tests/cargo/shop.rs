//! The example repository: three services whose closures differ.

use std::path::Path;

use crate::support::Project;

/// A copy of `examples/shop` as a checkout has it.
fn shop() -> Project {
    let project = Project::new(&[]);
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shop"), project.root());
    project
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(source, target).unwrap();
        } else if !["target", "orders", ".shipper"].iter().any(|output| entry.file_name() == *output) {
            std::fs::create_dir(&target).unwrap();
            copy(&source, &target);
        }
    }
}

#[test]
fn each_service_builds_from_its_closure() {
    let project = shop();
    for (package, members) in [
        ("shop-api", &["shop-api", "shop-catalog", "shop-http", "shop-shutdown"][..]),
        ("shop-worker", &["shop-catalog", "shop-shutdown", "shop-worker"]),
        ("shop-web", &["shop-http", "shop-shutdown", "shop-web"]),
    ] {
        let stage = project.stage(package);
        assert_eq!(stage.packages(), members);
        assert!(stage.closure.missing.is_empty(), "{:?}", stage.closure.missing);
        assert_eq!(stage.run_with(&["--version"]), format!("{package} 1.0.0"));
    }
}

#[test]
fn an_edit_is_a_new_image_of_the_services_that_contain_it() {
    for (path, changed) in [
        ("crates/catalog/src/product.rs", &["shop-api", "shop-worker"][..]),
        ("crates/http/src/server.rs", &["shop-api", "shop-web"]),
        ("crates/shutdown/src/unix.rs", &["shop-api", "shop-web", "shop-worker"]),
        ("crates/worker/src/main.rs", &["shop-worker"]),
        ("web/public/style.css", &[]),
        ("README.md", &[]),
        ("shipper.toml", &[]),
    ] {
        let project = shop();
        let services = ["shop-api", "shop-web", "shop-worker"];
        let before = services.map(|service| project.hash(service));
        let text = project.read(path);
        project.write(path, &format!("{text}\n"));
        let after = services.map(|service| project.hash(service));
        let differing: Vec<_> = services
            .into_iter()
            .zip(before.iter().zip(&after))
            .filter(|(_, (a, b))| a != b)
            .map(|(name, _)| name)
            .collect();
        assert_eq!(differing, changed, "{path}");
    }
}
