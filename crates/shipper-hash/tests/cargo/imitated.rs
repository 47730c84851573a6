//! Workspaces that imitate well-known ones in shape and size, judged by the real cargo.
//!
//! Each library adds its own number to what it uses, so that the program that is built in the stage proves that the right
//! sources are there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::random::reached;
use crate::support::Project;

/// A workspace: its files, the directory that cargo runs in, and the programs that are services.
struct Imitated {
    files: BTreeMap<String, String>,
    /// With a slash at its end; empty for the tree's root.
    root: &'static str,
    services: &'static [&'static str],
}

impl Imitated {
    fn new(root: &'static str, services: &'static [&'static str]) -> Self {
        Self { files: BTreeMap::new(), root, services }
    }

    fn write(&mut self, path: &str, text: &str) {
        self.files.insert(format!("{}{path}", self.root), text.to_owned());
    }

    /// A package whose library is worth `worth` and all that it uses in code; `used` are names in code.
    fn library(&mut self, dir: &str, manifest: &str, worth: usize, used: &[String]) {
        self.write(&format!("{dir}/Cargo.toml"), manifest);
        let sum: String = used.iter().fold(String::new(), |mut sum, name| {
            let _ = write!(sum, " + {name}::value()");
            sum
        });
        self.write(&format!("{dir}/src/lib.rs"), &format!("pub fn value() -> u64 {{ {worth}{sum} }}\n"));
    }

    fn program(&mut self, dir: &str, manifest: &str, value: &str) {
        self.write(&format!("{dir}/Cargo.toml"), manifest);
        self.write(&format!("{dir}/src/main.rs"), &format!("fn main() {{ println!(\"{{}}\", {value}) }}\n"));
    }

    fn project(&self) -> Project {
        let files: Vec<(&str, &str)> = self.files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let project = Project::new(&files);
        project.lock(self.root);
        project
    }

    fn members(&self) -> usize {
        self.files.keys().filter(|path| path.ends_with("/Cargo.toml")).count()
    }
}

/// A program in the root of its workspace, with a few crates beside it, by path and version (as ripgrep).
fn search() -> Imitated {
    let mut all = Imitated::new("", &["search", "walker"]);
    let names = ["cli", "printer", "matcher", "regex", "searcher", "globset", "ignore", "pcre", "core", "win"];
    let dependency = |name: &str| format!("search-{name} = {{ version = '0.1', path = '../{name}' }}\n");
    for (at, name) in names.iter().enumerate() {
        let mut manifest = format!("package = {{ name = 'search-{name}', version = '0.1.{at}', edition = '2021' }}\n");
        manifest.push_str("[dependencies]\n");
        let used: Vec<&str> = match *name {
            "printer" => vec!["matcher", "core"],
            "regex" => vec!["matcher"],
            "searcher" => vec!["matcher", "core"],
            "ignore" => vec!["globset"],
            _ => vec![],
        };
        used.iter().for_each(|name| manifest.push_str(&dependency(name)));
        match *name {
            "core" => manifest.push_str(&format!("[target.'cfg(windows)'.dependencies]\n{}", dependency("win"))),
            // Tests use each other in a circle.
            "matcher" => manifest.push_str(&format!("[dev-dependencies]\n{}", dependency("regex"))),
            _ => {}
        }
        let used: Vec<String> = used.iter().map(|name| format!("search_{name}")).collect();
        all.library(&format!("crates/{name}"), &manifest, at, &used);
    }
    all.program(
        "tools/walker",
        "package = { name = 'walker', edition = '2021' }\ndependencies = { search-ignore = { path = '../../crates/ignore' } }",
        "search_ignore::value()",
    );
    all.write(
        "Cargo.toml",
        "package = { name = 'search', version = '14.0.0', edition = '2021', build = 'build.rs', readme = 'README.md' }\n\
         workspace = { members = ['crates/*', 'tools/walker'] }\n\
         features = { pcre2 = ['dep:search-pcre'] }\n\
         [dependencies]\nsearch-printer = { path = 'crates/printer' }\nsearch-regex = { path = 'crates/regex' }\n\
         search-searcher = { path = 'crates/searcher' }\nsearch-pcre = { path = 'crates/pcre', optional = true }\n\
         [dev-dependencies]\nsearch-cli = { path = 'crates/cli' }\n[profile.release]\ndebug = 1\n",
    );
    all.write(
        "build.rs",
        "fn main() { println!(\"cargo:rustc-env=PAGES={}\", include_str!(\"doc/pages.txt\").len()); }\n",
    );
    all.write("doc/pages.txt", "12345\n");
    all.write("README.md", "search\n");
    all.write("tests/all.rs", "#[test] fn works() {}\n");
    all.write(
        "src/main.rs",
        "fn main() { println!(\"{} {}\", search_printer::value() + search_regex::value() + search_searcher::value(), env!(\"PAGES\")) }\n",
    );
    all
}

/// A virtual workspace of 40 members with everything inherited, and a crate for tests in a circle (as rust-analyzer).
fn analyzer() -> Imitated {
    let mut all = Imitated::new("", &["server", "xtask"]);
    let mut root = "[workspace]\nresolver = '3'\nmembers = ['crates/*', 'xtask']\n\
        [workspace.package]\nedition = '2024'\nversion = '0.0.0'\nlicense = 'MIT'\n\
        [workspace.lints.rust]\nunused = 'allow'\n[workspace.dependencies]\n"
        .to_owned();
    for at in 0..36 {
        let _ = writeln!(root, "ide-{at:02} = {{ path = 'crates/ide-{at:02}' }}");
    }
    root.push_str("test-fixture = { path = 'crates/test-fixture' }\nproc-api = { path = 'crates/proc-api', features = ['wide'] }\n");
    all.write("Cargo.toml", &root);
    all.write(".cargo/config.toml", "[alias]\nxtask = 'run --package xtask --'\n");
    let head = |name: &str| {
        format!(
            "[package]\nname = '{name}'\nversion.workspace = true\nedition.workspace = true\nlicense.workspace = true\n\
             [lints]\nworkspace = true\n"
        )
    };
    for at in 0..36_usize {
        let used: BTreeSet<usize> = [at / 2, at * 2 / 3].into_iter().filter(|&other| other < at).collect();
        let mut manifest = head(&format!("ide-{at:02}")) + "[dependencies]\n";
        for other in &used {
            let _ = writeln!(manifest, "ide-{other:02}.workspace = true");
        }
        manifest.push_str("[dev-dependencies]\ntest-fixture.workspace = true\n");
        let used: Vec<String> = used.iter().map(|other| format!("ide_{other:02}")).collect();
        all.library(&format!("crates/ide-{at:02}"), &manifest, at, &used);
    }
    let fixture = head("test-fixture") + "[dependencies]\nide-03.workspace = true\n";
    all.library("crates/test-fixture", &fixture, 0, &[]);
    all.library("crates/proc-api", &(head("proc-api") + "[features]\nwide = []\n"), 7, &[]);
    let server = head("server")
        + "[dependencies]\nide-13.workspace = true\nproc-api = { workspace = true, optional = true }\n\
        [features]\ndefault = ['proc']\nproc = ['dep:proc-api', 'proc-api/wide']\n";
    all.program("crates/server", &server, "ide_13::value() + proc_api::value()");
    all.program("xtask", &head("xtask"), "1");
    all
}

/// A library that the members use by its published version, patched to the one in the tree (as tokio).
fn runtime() -> Imitated {
    let mut all = Imitated::new("", &["echo", "chat"]);
    all.write(
        "Cargo.toml",
        "workspace = { resolver = '2', members = ['runtime', 'runtime-*', 'examples/*'] }\n[patch.crates-io]\n\
         runtime = { path = 'runtime' }\nruntime-macros = { path = 'runtime-macros' }\nruntime-util = { path = 'runtime-util' }\n\
         runtime-stream = { path = 'runtime-stream' }\n",
    );
    // Crates by version come from here; there are none.
    all.write(
        ".cargo/config.toml",
        "[source.crates-io]\nreplace-with = 'vendored'\n[source.vendored]\ndirectory = 'vendor'\n",
    );
    all.write("vendor/README.md", "nothing\n");
    let package = |name: &str, version: &str| {
        format!("package = {{ name = '{name}', version = '{version}', edition = '2021' }}\n")
    };
    all.library(
        "runtime",
        &(package("runtime", "1.40.0")
            + "features = { full = ['macros', 'net'], macros = ['dep:runtime-macros'], net = [] }\n\
               dependencies = { runtime-macros = { version = '2', optional = true } }\n\
               [target.'cfg(all(unix, not(loom)))'.dependencies]\nruntime-signal = { path = '../runtime-signal' }\n\
               [target.'cfg(windows)'.dependencies]\nruntime-iocp = { path = '../runtime-iocp' }\n\
               [dev-dependencies]\nruntime-test = { path = '../runtime-test' }\n"),
        40,
        &[],
    );
    all.library("runtime-signal", &package("runtime-signal", "0.1.0"), 1, &[]);
    all.library("runtime-iocp", &package("runtime-iocp", "0.1.0"), 1, &[]);
    all.write("runtime-macros/Cargo.toml", &(package("runtime-macros", "2.0.0") + "lib = { proc-macro = true }\n"));
    all.write(
        "runtime-macros/src/lib.rs",
        "#[proc_macro]\npub fn four(_: proc_macro::TokenStream) -> proc_macro::TokenStream { \"4\".parse().unwrap() }\n",
    );
    for (name, version, used) in [
        ("runtime-stream", "0.1.0", "runtime"),
        ("runtime-util", "0.7.0", "runtime"),
        ("runtime-test", "0.4.0", "runtime-stream"),
    ] {
        let requirement = if used == "runtime" { "1" } else { "0.1" };
        let manifest = package(name, version) + &format!("dependencies = {{ {used} = '{requirement}' }}\n");
        all.library(name, &manifest, 3, &[used.replace('-', "_")]);
    }
    all.program(
        "examples/echo",
        &(package("echo", "0.0.0") + "dependencies = { runtime = { version = '1', features = ['full'] } }\n"),
        "runtime::value()",
    );
    all.program(
        "examples/chat",
        &(package("chat", "0.0.0")
            + "dependencies = { util = { package = 'runtime-util', version = '0.7' }, runtime-macros = '2' }\n"),
        "util::value() + runtime_macros::four!()",
    );
    all.program("examples/idle", &package("idle", "0.0.0"), "0");
    all
}

/// A hundred members in layers behind one crate with a feature for each (as bevy).
fn engine() -> Imitated {
    let mut all = Imitated::new("", &["game", "editor"]);
    all.write(
        "Cargo.toml",
        "workspace = { resolver = '2', members = ['crates/*', 'games/*'], exclude = ['crates/gone'] }\n",
    );
    for at in 0..96_usize {
        let mut manifest = format!(
            "package = {{ name = 'engine_{at:02}', version = '0.{at}.0', edition = '2021' }}\n[dependencies]\n"
        );
        let used: BTreeSet<usize> = [at / 3, at.saturating_sub(9)].into_iter().filter(|&other| other < at).collect();
        // Renamed, as code inside of the engine does.
        used.iter().for_each(|other| {
            let _ = writeln!(manifest, "part{other} = {{ package = 'engine_{other:02}', path = '../{other:02}' }}");
        });
        let used: Vec<String> = used.iter().map(|other| format!("part{other}")).collect();
        all.library(&format!("crates/{at:02}"), &manifest, at, &used);
    }
    let mut facade =
        "package = { name = 'engine', version = '0.1.0', edition = '2021' }\n[features]\ndefault = ['layer-40']\n"
            .to_owned();
    for at in [40, 61, 95] {
        let _ = writeln!(facade, "layer-{at} = ['dep:engine_{at}']");
    }
    facade.push_str("[dependencies]\n");
    for at in [40, 61, 95] {
        let _ = writeln!(facade, "engine_{at} = {{ path = '../{at}', optional = true }}");
    }
    all.library("crates/engine", &facade, 1, &["engine_40".to_owned()]);
    all.write("crates/engine/examples/demo.rs", "fn main() {}\n");
    let game = |name: &str, dependencies: &str| {
        format!("package = {{ name = '{name}', edition = '2021' }}\n[dependencies]\n{dependencies}")
    };
    all.program("games/game", &game("game", "engine_20 = { path = '../../crates/20' }\n"), "engine_20::value()");
    all.program("games/editor", &game("editor", "engine = { path = '../../crates/engine' }\n"), "engine::value()");
    all.program("games/empty", &game("empty", ""), "0");
    all
}

/// Members at several depths of a workspace below the tree's root, with build scripts, a procedural macro, an asset and a
/// crate outside the workspace, and one that is excluded (as polkadot-sdk).
fn chain() -> Imitated {
    let mut all = Imitated::new("chain/", &["node", "cli"]);
    all.write(
        "Cargo.toml",
        "[workspace]\nresolver = '2'\nmembers = ['node', 'cli', 'client/*/*', 'primitives/*', 'utils/wasm-builder']\nexclude = ['fuzz']\n\
         [workspace.package]\nedition = '2021'\nversion = '4.0.0'\n[profile.dev.package.client-db-02]\nopt-level = 1\n",
    );
    let head = |name: &str| format!("[package]\nname = '{name}'\nedition.workspace = true\nversion.workspace = true\n");
    for at in 0..8_usize {
        let used: Vec<usize> = [at / 2].into_iter().filter(|&other| other < at).collect();
        let mut manifest = head(&format!("primitive-{at:02}")) + "[dependencies]\n";
        for other in &used {
            let _ = writeln!(manifest, "primitive-{other:02} = {{ path = '../{other:02}' }}");
        }
        let used: Vec<String> = used.iter().map(|other| format!("primitive_{other:02}")).collect();
        all.library(&format!("primitives/{at:02}"), &manifest, at, &used);
    }
    for group in ["db", "net", "rpc"] {
        for at in 0..4_usize {
            let mut manifest = head(&format!("client-{group}-{at:02}")) + "[dependencies]\n";
            let _ = writeln!(manifest, "primitive-{:02} = {{ path = '../../../primitives/{:02}' }}", at + 3, at + 3);
            all.library(&format!("client/{group}/{at:02}"), &manifest, at, &[format!("primitive_{:02}", at + 3)]);
        }
    }
    all.library("utils/wasm-builder", &head("wasm-builder"), 11, &[]);
    all.files.insert(
        "shared/codec/Cargo.toml".into(),
        "package = { name = 'codec', version = '3.0.0', edition = '2021' }\n".into(),
    );
    all.files.insert("shared/codec/src/lib.rs".into(), "pub fn value() -> u64 { 1000 }\n".into());
    all.files.insert("shared/other/Cargo.toml".into(), "package = { name = 'other', edition = '2021' }\n".into());
    all.files.insert("shared/other/src/lib.rs".into(), "\n".into());
    all.files.insert("assets/genesis.json".into(), "{}\n".into());
    all.files.insert("assets/unused.json".into(), "{}\n".into());
    all.program(
        "node",
        &(head("node") + "[dependencies]\nclient-db-02 = { path = '../client/db/02' }\nclient-net-01 = { path = '../client/net/01' }\n\
            codec = { path = '../../shared/codec' }\n[build-dependencies]\nwasm-builder = { path = '../utils/wasm-builder' }\n"),
        "client_db_02::value() + client_net_01::value() + codec::value() + include_bytes!(\"../../../assets/genesis.json\").len() as u64 \
         + env!(\"WASM\").len() as u64",
    );
    all.write("node/build.rs", "fn main() { println!(\"cargo:rustc-env=WASM={}\", wasm_builder::value()) }\n");
    all.program(
        "cli",
        &(head("cli") + "[dependencies]\nclient-rpc-00 = { path = '../client/rpc/00' }\n"),
        "client_rpc_00::value()",
    );
    all.write("fuzz/Cargo.toml", "package = { name = 'fuzz', edition = '2021' }\nworkspace = {}\ndependencies = { primitive-00 = { path = '../primitives/00' } }\n");
    all.write("fuzz/src/main.rs", "fn main() {}\n");
    all
}

/// Builds each service in its stage and in the project; then edits files and adds some to packages: a context changes exactly
/// when it has them.
fn check(imitated: &Imitated, members: std::ops::RangeInclusive<usize>) {
    assert!(members.contains(&imitated.members()), "{} members", imitated.members());
    let project = imitated.project();
    let reached = reached(&project, imitated.root);
    for service in imitated.services {
        let stage = project.stage(service);
        let expected: Vec<String> = reached[*service].iter().cloned().collect();
        assert_eq!(stage.packages(), expected, "what cargo resolves in the stage of {service}");
        assert_eq!(stage.closure.members.len(), expected.len(), "{service}: {:?}", stage.closure.members);
        assert_eq!(stage.run(), project.run(imitated.root, service), "what {service} says");
    }
    let hash = |project: &Project| project.hashes(imitated.services);
    let contexts: Vec<BTreeSet<String>> =
        imitated.services.iter().map(|service| project.paths(service).into_iter().collect()).collect();
    let before = hash(&project);
    // Of large workspaces a sample; the step is odd, so that it meets manifests and sources.
    for (path, text) in imitated.files.iter().step_by(1 + imitated.members() / 30 * 2) {
        let is_manifest = path.ends_with(".toml");
        // In a manifest or a configuration, a comment is no edit.
        let edited = if is_manifest { format!("{text}\n# edited\n") } else { format!("{text}\n// edited\n") };
        project.write(path, &edited);
        for (at, after) in hash(&project).iter().enumerate() {
            let inside = contexts[at].contains(path) && !path.ends_with("Cargo.toml");
            assert_eq!(*after != before[at], inside, "{path} edited, {}", imitated.services[at]);
        }
        project.write(path, text);
        if path.ends_with("/Cargo.toml") && text.contains("name = ") {
            let new = path.replace("Cargo.toml", "src/new.rs");
            project.write(&new, "");
            for (at, after) in hash(&project).iter().enumerate() {
                assert_eq!(*after != before[at], contexts[at].contains(path), "{new} added, {}", imitated.services[at]);
            }
            project.remove(&new);
            if text.contains("edition = '2021'") {
                project.write(path, &text.replacen("edition = '2021'", "edition = '2018'", 1));
                for (at, after) in hash(&project).iter().enumerate() {
                    assert_eq!(
                        *after != before[at],
                        contexts[at].contains(path),
                        "{path} changed, {}",
                        imitated.services[at]
                    );
                }
                project.write(path, text);
            }
        }
    }
    assert_eq!(hash(&project), before, "everything is as it was");
}

#[test]
fn a_program_in_the_root_with_crates_beside_it() {
    check(&search(), 10..=12);
}

#[test]
fn a_virtual_workspace_with_everything_inherited() {
    check(&analyzer(), 38..=42);
}

#[test]
fn members_that_use_each_other_by_version_through_a_patch() {
    check(&runtime(), 10..=12);
}

#[test]
fn a_hundred_members_behind_one_crate() {
    check(&engine(), 98..=104);
}

#[test]
fn members_at_several_depths_below_the_root_of_the_tree() {
    check(&chain(), 24..=30);
}
