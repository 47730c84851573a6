//! The shape of the workspace, read from cargo itself: which crate may depend on which, how many crates a user
//! compiles, and what must never be linked. The rules are those of ARCHITECTURE.md, as tables.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Each member of the workspace, and the members that it may use in normal and build dependencies.
const EDGES: &[(&str, &[&str])] = &[
    ("shipper-dockerfile", &[]),
    ("shipper-report", &[]),
    ("shipper-attest", &[]),
    ("shipper-ci", &[]),
    ("shipper-aws", &[]),
    ("shipper-ecr", &["shipper-aws"]),
    ("shipper-cfn", &["shipper-aws"]),
    ("shipper-targets", &["shipper-aws"]),
    ("shipper-tag", &[]),
    ("shipper-oci", &["shipper-tag"]),
    ("shipper-hash", &["shipper-dockerfile"]),
    ("shipper-plan", &["shipper-hash", "shipper-report", "shipper-tag"]),
    ("shipper-build", &["shipper-hash", "shipper-oci"]),
    ("shipper-deploy", &["shipper-build", "shipper-oci", "shipper-report"]),
    (
        "shipper-engine",
        &[
            "shipper-attest",
            "shipper-aws",
            "shipper-build",
            "shipper-cfn",
            "shipper-ci",
            "shipper-deploy",
            "shipper-dockerfile",
            "shipper-ecr",
            "shipper-hash",
            "shipper-oci",
            "shipper-plan",
            "shipper-report",
            "shipper-tag",
            "shipper-targets",
        ],
    ),
    ("cargo-shipper", &["shipper-engine"]),
    ("shipper-testkit", &[]),
    ("xtask", &["shipper-testkit"]),
];

/// What each member may use in tests beyond all that lies below it.
const TEST_ONLY: &str = "shipper-testkit";

/// Features given to cargo, most crates that may be compiled on Linux (the crate itself included).
const BUDGETS: &[(&str, &[&str], usize)] = &[
    ("shipper-dockerfile", &[], 20),
    ("shipper-tag", &[], 20),
    ("shipper-hash", &["--no-default-features"], 40),
    ("shipper-hash", &[], 130),
    ("shipper-ecr", &["--no-default-features"], 25),
    ("shipper-attest", &[], 50),
    ("shipper-ci", &[], 1),
];

/// Crates that must not be reached from a member, whatever its features, and why.
const FORBIDDEN: &[(&str, &[&str], &str)] = &[
    ("cargo-shipper", SECOND_STACKS, "one TLS stack and one crypto provider (ring), and no C git"),
    ("shipper-engine", TERMINAL, "the terminal belongs to the binary"),
    ("shipper-plan", EFFECTS, "planning is pure"),
    ("shipper-report", EFFECTS, "reports are pure"),
    ("shipper-dockerfile", EFFECTS, "reading a Dockerfile is pure"),
    ("shipper-tag", EFFECTS, "a policy is evaluated on facts alone"),
    ("shipper-attest", EFFECTS, "statements are made of bytes, signing included"),
    ("shipper-hash", NETWORK, "hashing opens no socket"),
];

const SECOND_STACKS: &[&str] =
    &["openssl", "openssl-sys", "native-tls", "aws-lc-sys", "git2", "libgit2-sys", "hyper-tls"];
const TERMINAL: &[&str] = &["clap", "indicatif", "anyhow", "anstream", "tracing-subscriber"];
const NETWORK: &[&str] = &["tokio", "reqwest", "hyper", "rustls"];
const EFFECTS: &[&str] = &["tokio", "reqwest", "hyper", "rustls", "gix"];

const LINUX: &str = "x86_64-unknown-linux-gnu";

fn cargo(arguments: &[&str]) -> Vec<u8> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo).current_dir(root).args(arguments).output().expect("cargo starts");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Names with versions of all crates that are compiled for `package`, itself included.
fn compiled(package: &str, features: &[&str]) -> BTreeSet<(String, String)> {
    let mut arguments = vec!["tree", "--locked", "--package", package, "--edges", "normal,build", "--target", LINUX];
    arguments.extend(["--prefix", "none", "--format", "{p}"]);
    arguments.extend(features);
    let listed = String::from_utf8(cargo(&arguments)).expect("cargo tree prints text");
    let one = |line: &str| {
        let mut words = line.split(' ');
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    };
    listed.lines().filter_map(one).collect()
}

type Edges = BTreeMap<String, BTreeSet<String>>;

/// Edges between members: (normal and build, for tests).
fn edges() -> (Edges, Edges) {
    let printed = cargo(&["metadata", "--locked", "--format-version", "1", "--no-deps"]);
    let metadata: Value = serde_json::from_slice(&printed).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let members: BTreeSet<String> = packages.iter().map(|package| text(&package["name"])).collect();
    let (mut normal, mut tests) = (Edges::new(), Edges::new());
    for package in packages {
        let name = text(&package["name"]);
        normal.entry(name.clone()).or_default();
        for dependency in package["dependencies"].as_array().expect("a list of dependencies") {
            let target = text(&dependency["name"]);
            if members.contains(&target) {
                let edges = if dependency["kind"] == "dev" { &mut tests } else { &mut normal };
                edges.entry(name.clone()).or_default().insert(target);
            }
        }
    }
    (normal, tests)
}

#[test]
fn every_member_is_in_the_table_and_uses_only_what_lies_below() {
    let (normal, tests) = edges();
    for (name, used) in &normal {
        let Some((_, allowed)) = EDGES.iter().find(|(member, _)| member == name) else {
            panic!("{name} is not in the table of edges: add it here and to ARCHITECTURE.md");
        };
        for target in used {
            assert!(allowed.contains(&target.as_str()), "{name} must not depend on {target}");
        }
        for target in tests.get(name).into_iter().flatten() {
            // A crate may turn on a feature of its own for its tests.
            let known = target == TEST_ONLY || target == name || lies_below(target, name);
            assert!(known, "{name} must not depend on {target}, not even in tests");
        }
    }
    for (name, _) in EDGES {
        assert!(normal.contains_key(*name), "{name} is in the table of edges but not in the workspace");
    }
}

/// Whether `name` may use `target`, at once or through others.
fn lies_below(target: &str, name: &str) -> bool {
    let row = EDGES.iter().find(|(member, _)| *member == name);
    row.is_some_and(|(_, allowed)| allowed.iter().any(|next| *next == target || lies_below(target, next)))
}

#[test]
fn the_table_has_no_cycle() {
    // Each row may only name rows above it.
    for (at, (name, allowed)) in EDGES.iter().enumerate() {
        for target in *allowed {
            let above = EDGES.iter().take(at).any(|(member, _)| member == target);
            assert!(above, "{name} names {target}, which stands below it");
        }
    }
}

#[test]
fn users_compile_few_crates() {
    for (package, features, most) in BUDGETS {
        let crates = compiled(package, features);
        let names: Vec<&str> = crates.iter().map(|(name, _)| name.as_str()).collect();
        assert!(
            crates.len() <= *most,
            "{package} {features:?} compiles {} crates, at most {most}: {names:?}",
            crates.len()
        );
    }
}

#[test]
fn what_must_not_be_linked_is_not() {
    for (package, names, why) in FORBIDDEN {
        let crates = compiled(package, &["--all-features"]);
        let found: Vec<&(String, String)> = crates.iter().filter(|(name, _)| names.contains(&name.as_str())).collect();
        assert!(found.is_empty(), "{package} links {found:?}: {why}");
    }
}

#[test]
fn planning_and_hashing_do_not_need_each_others_weight() {
    let plan = compiled("shipper-plan", &[]);
    assert!(!plan.iter().any(|(name, _)| name.starts_with("gix")), "shipper-plan uses shipper-hash without git");
}

#[test]
fn there_is_one_version_of_each_security_crate() {
    let crates = compiled("cargo-shipper", &["--all-features"]);
    for name in ["rustls", "rustls-webpki", "ring", "hyper", "reqwest", "blake3", "sha2"] {
        let versions = crates.iter().filter(|(found, _)| found == name).count();
        assert_eq!(versions, 1, "{name} is linked {versions} times");
    }
}

#[test]
fn a_first_build_can_leave_the_sdk_of_aws_out() {
    for package in ["shipper-engine", "cargo-shipper"] {
        let of_aws =
            |name: &String| name.starts_with("aws-sdk-") || name.starts_with("aws-config") || name == "shipper-aws";
        let crates = compiled(package, &["--no-default-features"]);
        let found: Vec<_> = crates.into_iter().map(|(name, _)| name).filter(of_aws).collect();
        assert!(found.is_empty(), "{package}: {found:?}");
        assert!(compiled(package, &[]).into_iter().any(|(name, _)| of_aws(&name)), "{package}");
    }
}
