//! What makes no closure, what is said about it, and what can be done.

use shipper_hash::{CargoError, Error};

use crate::support::Project;

/// The message, after "cannot", and the hint.
fn check(files: &[(&str, &str)], package: &str, message: &str, hint: Option<&str>) -> CargoError {
    let error = Project::new(files).error(package);
    assert_eq!(error.to_string(), message);
    assert_eq!(error.hint().as_deref(), hint, "{message}");
    match error {
        Error::Cargo(error) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_package_that_does_not_exist() {
    let files =
        [("a/Cargo.toml", "package = { name = 'shop-api' }"), ("b/Cargo.toml", "package = { name = 'worker' }")];
    check(&files, "shop-apy", "find the Cargo package `shop-apy`", Some("there is a package `shop-api`"));
    check(&files, "api", "find the Cargo package `api`", Some("there is a package `shop-api`"));
    check(&files, "b#shop-api", "find the Cargo package `b#shop-api`", Some("there is a package `shop-api`"));
    check(
        &files,
        "nothing",
        "find the Cargo package `nothing`",
        Some("check `package.name` in the manifests, and that the manifest of `nothing` is not ignored by git"),
    );
    let broken = [("a/Cargo.toml", "[package]\nname = \"wanted\"\nversion = \n")];
    check(
        &broken,
        "wanted",
        "find the Cargo package `wanted`",
        Some("`a/Cargo.toml` mentions it and is not valid TOML"),
    );
    check(
        &[],
        "",
        "find the Cargo package ``",
        Some("check `package.name` in the manifests, and that the manifest of `` is not ignored by git"),
    );
}

#[test]
fn two_packages_of_one_name() {
    let files = [
        ("one/Cargo.toml", "package = { name = 'api' }\nworkspace = {}"),
        ("two/Cargo.toml", "package = { name = 'api' }\nworkspace = {}"),
        ("two/src/main.rs", ""),
    ];
    let error = check(
        &files,
        "api",
        "tell which package `api` is meant: `one/Cargo.toml` and `two/Cargo.toml` have one of that name",
        Some("name the directory as well: `one#api`"),
    );
    assert!(matches!(error, CargoError::AmbiguousPackage { .. }));
    let project = Project::new(&files);
    for name in ["two#api", "./two/#api"] {
        let (context, closure) = project.closure(name);
        assert_eq!((closure.package.as_str(), context.manifest().entries().len()), ("api", 2), "{name}");
    }
}

#[test]
fn a_path_that_leaves_the_tree() {
    let hint = "move the project root up so that it contains both, or depend on a published or git version";
    check(
        &[("a/Cargo.toml", "package = { name = 'a' }\ntarget.'cfg(unix)'.dependencies.b = { path = '../../b' }")],
        "a",
        "follow `target.cfg(unix).dependencies.b.path` of `a/Cargo.toml`: `../../b` lies outside the tree",
        Some(hint),
    );
    check(
        &[
            ("Cargo.toml", "workspace = { members = ['a'], dependencies = { b = { path = '../b' } } }"),
            ("a/Cargo.toml", "package = { name = 'a' }\ndependencies = { b = { workspace = true } }"),
        ],
        "a",
        "follow `workspace.dependencies.b.path` of `Cargo.toml`: `../b` lies outside the tree",
        Some(hint),
    );
    check(
        &[("Cargo.toml", "package = { name = 'a' }\nbuild-dependencies.b = { path = '/opt/b' }")],
        "a",
        "follow `build-dependencies.b.path` of `Cargo.toml`: `/opt/b` lies outside the tree",
        Some("write the path relative to the manifest"),
    );
    // What only tests need, and what nobody uses, may lie anywhere.
    let project = Project::new(&[
        ("Cargo.toml", "workspace = { members = ['a'], dependencies = { b = { path = '../b' } } }"),
        ("a/Cargo.toml", "package = { name = 'a' }\ndev-dependencies = { c = { path = '../../c' } }"),
    ]);
    assert_eq!(project.closure("a").1.members.len(), 1);
}

#[test]
fn a_dependency_that_is_not_there() {
    check(
        &[("a/Cargo.toml", "package = { name = 'a' }\ndependencies = { b = { path = '../b' } }"), ("b/src/lib.rs", "")],
        "a",
        "follow `dependencies.b.path` of `a/Cargo.toml`: there is no `b/Cargo.toml` among the tracked files",
        Some("correct the path, or make sure that git does not ignore `b/Cargo.toml`"),
    );
    check(
        &[("a/Cargo.toml", "package = { name = 'a' }\npatch.crates-io = { b = { path = '../b' } }")],
        "a",
        "follow `patch.crates-io.b.path` of `a/Cargo.toml`: there is no `b/Cargo.toml` among the tracked files",
        Some("correct the path, or make sure that git does not ignore `b/Cargo.toml`"),
    );
}

#[test]
fn a_workspace_that_does_not_hold_together() {
    check(
        &[("Cargo.toml", "workspace = { members = ['b'] }"), ("a/Cargo.toml", "package = { name = 'a' }")],
        "a",
        "use `a/Cargo.toml`: it lies in the workspace of `Cargo.toml` and is not a member of it",
        Some("add `a` to `workspace.members` or `workspace.exclude` of `Cargo.toml`"),
    );
    check(
        &[("Cargo.toml", "workspace = { members = ['[a'] }"), ("a/Cargo.toml", "package = { name = 'a' }")],
        "a",
        "use `Cargo.toml`: `workspace.members` has the malformed pattern `[a`",
        None,
    );
    check(
        &[("Cargo.toml", "workspace = { members = 'a' }"), ("a/Cargo.toml", "package = { name = 'a' }")],
        "a",
        "use `Cargo.toml`: `workspace.members` is not a list",
        None,
    );
    check(
        &[
            ("a/Cargo.toml", "package = { name = 'a', workspace = '../b' }"),
            ("b/Cargo.toml", "package = { name = 'b' }"),
        ],
        "a",
        "use `a/Cargo.toml`: `package.workspace` names no workspace root",
        None,
    );
    check(
        &[("a/Cargo.toml", "package = { name = 'a', version = { workspace = true } }")],
        "a",
        "resolve `package.version` of `a/Cargo.toml`: no workspace of the tree contains this package",
        Some("the workspace's `Cargo.toml` must lie in the tree: move the project root up"),
    );
    check(
        &[("a/Cargo.toml", "package = { name = 'a' }\ndependencies = { b.workspace = true }")],
        "a",
        "resolve `dependencies.b` of `a/Cargo.toml`: no workspace of the tree contains this package",
        Some("the workspace's `Cargo.toml` must lie in the tree: move the project root up"),
    );
    let root = ("Cargo.toml", "workspace = { members = ['a'], package = { edition = '2024' } }");
    for (manifest, message) in [
        (
            "package = { name = 'a', version.workspace = true }",
            "`package.version` of `a/Cargo.toml`: `Cargo.toml` has no `workspace.package.version`",
        ),
        (
            "package = { name = 'a' }\nlints.workspace = true",
            "`lints` of `a/Cargo.toml`: `Cargo.toml` has no `workspace.lints`",
        ),
        (
            "package = { name = 'a' }\ndependencies = { b.workspace = true }",
            "`dependencies.b` of `a/Cargo.toml`: `Cargo.toml` has no `workspace.dependencies.b`",
        ),
    ] {
        check(&[root, ("a/Cargo.toml", manifest)], "a", &format!("resolve {message}"), None);
    }
}

#[test]
fn files_that_cannot_be_read() {
    let a = ("a/Cargo.toml", "package = { name = 'a' }\ndependencies = { b = { path = '../b' } }");
    check(
        &[a, ("b/Cargo.toml", "[package]\nname = 'b'\n[package]\n")],
        "a",
        "read `b/Cargo.toml`: line 3: duplicate key",
        None,
    );
    check(
        &[a, ("b/Cargo.toml", "workspace = {}")],
        "a",
        "use `b/Cargo.toml`: `package.name` is missing or is not a string",
        None,
    );
    let a = ("a/Cargo.toml", "package = { name = 'a' }");
    let lock_hint = Some("run `cargo generate-lockfile`, or a current cargo");
    check(
        &[a, ("a/Cargo.lock", "version = 5")],
        "a",
        "read `a/Cargo.lock`: its format is version 5, the newest known is 4",
        lock_hint,
    );
    check(
        &[a, ("a/Cargo.lock", "[[package]]\nname = 'x'")],
        "a",
        "read `a/Cargo.lock`: the package `x` has no version",
        lock_hint,
    );
    check(&[a, ("a/Cargo.lock", "package = 1")], "a", "read `a/Cargo.lock`: `package` is not a list", lock_hint);
    check(
        &[a, ("rust-toolchain.toml", "[toolchain]\npath = '/opt/rust'")],
        "a",
        "use the toolchain of `rust-toolchain.toml`: `toolchain.path` is a directory of this machine",
        Some("name a `channel` instead"),
    );
    check(
        &[a, ("rust-toolchain.toml", "channel = '1'")],
        "a",
        "use `rust-toolchain.toml`: `toolchain` is not a table",
        None,
    );
    let error = Project::new(&[a, (".cargo/config.toml", "[build]\n<<<<<<< ours\n")]).error("a");
    assert!(error.to_string().starts_with("read `.cargo/config.toml`: line 2: "), "{error}");
    check(
        &[("a/Cargo.toml", "package = { name = 'a' }\ndependencies = { b = { path = 'b', base = 'ours' } }")],
        "a",
        "use `a/Cargo.toml`: `dependencies.b.base` is not supported: path bases are set outside the tree",
        None,
    );
    check(
        &[("a/Cargo.toml", "package = { name = 'a' }\ndependencies = { b = { path = 7 } }")],
        "a",
        "use `a/Cargo.toml`: `dependencies.b.path` is not a string",
        None,
    );
}
