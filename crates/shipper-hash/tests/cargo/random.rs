//! Workspaces at random: what the closure has is what cargo's own resolution of the project reaches.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::support::{Project, cargo};

/// A package as it is drawn: place, inherits, uses.
type Drawn = (u8, bool, Vec<(prop::sample::Index, Use)>);

/// How one package uses another.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Use {
    Normal,
    Build,
    Target,
    Optional,
    Inherited,
    Renamed,
    Dev,
    DevInherited,
}

#[derive(Debug, Clone)]
struct Package {
    /// Where it lies: 0 beside the others, 1 below the package before it, 2 in the root, 3 excluded. The first is never
    /// excluded: cargo refuses a workspace without members.
    place: u8,
    inherits: bool,
    /// Packages before it that it uses, and how.
    uses: BTreeMap<usize, Use>,
}

fn packages() -> impl Strategy<Value = Vec<Package>> {
    let kinds = prop::sample::select(vec![
        Use::Normal,
        Use::Build,
        Use::Target,
        Use::Optional,
        Use::Inherited,
        Use::Renamed,
        Use::Dev,
        Use::DevInherited,
    ]);
    let uses = prop::collection::vec((any::<prop::sample::Index>(), kinds), 0..4);
    let package = (0..8_u8, any::<bool>(), uses);
    prop::collection::vec(package, 2..7).prop_map(|packages| {
        let package = |(at, (place, inherits, uses)): (usize, Drawn)| Package {
            place: if place > 3 || (at, place) == (0, 3) { 0 } else { place },
            inherits,
            uses: uses.into_iter().filter(|_| at > 0).map(|(index, kind)| (index.index(at), kind)).collect(),
        };
        packages.into_iter().enumerate().map(package).collect()
    })
}

/// Directories of the packages; only one may be the root's.
fn directories(packages: &[Package]) -> Vec<String> {
    let mut directories: Vec<String> = Vec::new();
    for (at, package) in packages.iter().enumerate() {
        let directory = match package.place {
            1 if at > 0 && !directories[at - 1].is_empty() => format!("{}/inner{at}", directories[at - 1]),
            2 if !directories.contains(&String::new()) => String::new(),
            3 => format!("apart/p{at}"),
            _ => format!("crates/p{at}"),
        };
        directories.push(directory);
    }
    directories
}

fn project(packages: &[Package]) -> Project {
    let project = Project::new(&[]);
    let directories = directories(packages);
    let is_apart = |at: usize| directories[at].starts_with("apart/");
    let up = |at: usize| "../".repeat(directories[at].split('/').filter(|part| !part.is_empty()).count());
    let mut root = String::from("[workspace]\nresolver = '2'\nexclude = ['apart']\nmembers = [");
    for directory in directories.iter().filter(|directory| !directory.is_empty() && !directory.starts_with("apart/")) {
        root.push_str(&format!("'{directory}', "));
    }
    root.push_str("]\n[workspace.package]\nedition = '2021'\nversion = '0.3.0'\n[workspace.dependencies]\n");
    for (at, directory) in directories.iter().enumerate() {
        let directory = if directory.is_empty() { "." } else { directory };
        root.push_str(&format!("p{at} = {{ path = '{directory}' }}\n"));
    }
    let mut root_package = String::new();
    for (at, package) in packages.iter().enumerate() {
        let mut manifest = format!("[package]\nname = 'p{at}'\n");
        let may_inherit = !is_apart(at);
        manifest.push_str(match package.inherits && may_inherit {
            true => "edition.workspace = true\nversion.workspace = true\n",
            false => "edition = '2021'\n",
        });
        let mut tables: BTreeMap<&str, String> = BTreeMap::new();
        for (used, kind) in &package.uses {
            let path = format!("{}{}", up(at), directories[*used]);
            let path = if path.is_empty() { "." } else { path.trim_end_matches('/') };
            let by_path = format!("p{used} = {{ path = '{path}' }}\n");
            let inherited = if may_inherit { format!("p{used}.workspace = true\n") } else { by_path.clone() };
            let (table, line) = match kind {
                Use::Normal => ("dependencies", by_path),
                Use::Build => ("build-dependencies", by_path),
                Use::Target => ("target.'cfg(windows)'.dependencies", by_path),
                Use::Optional => ("dependencies", format!("p{used} = {{ path = '{path}', optional = true }}\n")),
                Use::Inherited => ("dependencies", inherited),
                Use::Renamed => ("dependencies", format!("other{used} = {{ path = '{path}', package = 'p{used}' }}\n")),
                Use::Dev => ("dev-dependencies", by_path),
                Use::DevInherited => ("target.'cfg(unix)'.dev-dependencies", inherited),
            };
            tables.entry(table).or_default().push_str(&line);
        }
        for (table, lines) in tables {
            manifest.push_str(&format!("[{table}]\n{lines}"));
        }
        if directories[at].is_empty() {
            root_package = manifest;
        } else {
            project.write(&format!("{}/Cargo.toml", directories[at]), &manifest);
        }
        let source = if directories[at].is_empty() {
            "src/lib.rs".to_owned()
        } else {
            format!("{}/src/lib.rs", directories[at])
        };
        project.write(&source, "");
    }
    project.write("Cargo.toml", &format!("{root_package}\n{root}"));
    project
}

/// What cargo reaches from each package of the workspace in the directory `root`, without dev-dependencies, by name.
pub(crate) fn reached(project: &Project, root: &str) -> BTreeMap<String, BTreeSet<String>> {
    let output =
        cargo(&project.root().join(root), &["metadata", "--offline", "--all-features", "--format-version=1"], None);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |id: &serde_json::Value| {
        let packages = metadata["packages"].as_array().unwrap();
        packages.iter().find(|package| package["id"] == *id).unwrap()["name"].as_str().unwrap().to_owned()
    };
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().unwrap() {
        let needed =
            node["deps"].as_array().unwrap().iter().filter(|dependency| {
                dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"] != "dev")
            });
        edges.insert(name(&node["id"]), needed.map(|dependency| name(&dependency["pkg"])).collect());
    }
    let members = metadata["workspace_members"].as_array().unwrap().iter().map(name);
    let closure = |member: &String| {
        let mut found = BTreeSet::new();
        let mut waiting = vec![member.clone()];
        while let Some(package) = waiting.pop() {
            if found.insert(package.clone()) {
                waiting.extend(edges[&package].iter().cloned());
            }
        }
        found
    };
    members.map(|member| (member.clone(), closure(&member))).collect()
}

/// The excluded packages with optional dependencies. `--all-features` speaks of members alone, so that cargo leaves these
/// dependencies out unless another package asks for them, and the closure, which has all that is declared, may be larger.
fn optional_of_excluded(packages: &[Package]) -> BTreeSet<String> {
    let directories = directories(packages);
    let is_one = |at: &usize| {
        directories[*at].starts_with("apart/") && packages[*at].uses.values().any(|kind| *kind == Use::Optional)
    };
    (0..packages.len()).filter(is_one).map(|at| format!("p{at}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn the_closure_is_what_cargo_reaches_and_cargo_accepts_it(packages in packages()) {
        let optional = optional_of_excluded(&packages);
        let project = project(&packages);
        project.lock("");
        for (package, reached) in reached(&project, "") {
            let (_, closure) = project.closure(&package);
            let locked: BTreeSet<String> = closure.locked.iter().map(|locked| locked.name.clone()).collect();
            let staged: BTreeSet<String> = project.stage(&package).packages().into_iter().collect();
            prop_assert_eq!(closure.members.len(), locked.len(), "{}: {:?}", package, closure.members);
            prop_assert!(reached.is_subset(&locked), "{}: {:?} of {:?}", package, locked, reached);
            prop_assert!(reached.is_subset(&staged), "the stage of {}: {:?} of {:?}", package, staged, reached);
            if optional.is_disjoint(&locked) {
                prop_assert_eq!(&locked, &reached, "the lock of {}", package);
                prop_assert_eq!(&staged, &reached, "the stage of {}", package);
            }
        }
    }
}
