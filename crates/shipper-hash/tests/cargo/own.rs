//! The workspace that this crate belongs to: real manifests, hundreds of locked packages, judged by the real cargo.

use std::collections::BTreeSet;
use std::path::Path;

use shipper_hash::{Tree, TreeOptions};

use crate::support::cargo;

/// Names and versions in a lock.
fn locked(directory: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(directory.join("Cargo.lock")).unwrap();
    let blocks = text.split("[[package]]").skip(1);
    blocks.map(|block| block.lines().filter(|line| !line.contains("dependencies")).take(3).collect()).collect()
}

#[test]
fn each_member_of_this_workspace_is_accepted_alone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = cargo(&root, &["metadata", "--no-deps", "--format-version=1", "--offline"], None);
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    // The name `xtask` is that of an example, too: nobody can tell which is meant.
    let is_member = |package: &&serde_json::Value| package["name"] != "xtask";
    let members: Vec<_> = metadata["packages"].as_array().unwrap().iter().filter(is_member).collect();
    assert!(members.len() >= 10, "{} members", members.len());
    let tree = Tree::open(&root, &TreeOptions::default()).unwrap();
    let mut smaller = 0;
    for package in members.into_iter().map(|package| package["name"].as_str().unwrap()) {
        let mut context = tree.context(None).unwrap();
        let closure = context.add_cargo(package).unwrap_or_else(|error| panic!("{package}: cannot {error}"));
        let directory = tempfile::tempdir().unwrap();
        context.finish().unwrap().stage(directory.path()).unwrap();
        // What only other members needed goes (see docs/SHORTCOMINGS.md), nothing comes, and then the lock is accepted.
        let before = locked(directory.path());
        let normalised = cargo(directory.path(), &["update", "--workspace", "--offline"], None);
        assert!(normalised.status.success(), "{package}: {}", String::from_utf8_lossy(&normalised.stderr));
        let after = locked(directory.path());
        assert!(after.is_subset(&before), "{package}: {:?}", after.difference(&before));
        let accepted = cargo(directory.path(), &["update", "--workspace", "--offline", "--locked"], None);
        assert!(accepted.status.success(), "{package}: {}", String::from_utf8_lossy(&accepted.stderr));
        assert_eq!(closure.locked.len(), before.len(), "{package}");
        smaller += usize::from(before.len() * 2 < locked(&root).len());
    }
    assert!(smaller >= 5, "only {smaller} closures have less than half of the lock");
}
