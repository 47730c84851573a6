//! What is staged for a Cargo package, judged by the real cargo: it resolves offline, it builds, it does what the project
//! does.

use crate::support::Project;

/// One of everything that cargo offers, without anything from outside.
fn workspace() -> Project {
    let project = Project::new(&[
        (
            "Cargo.toml",
            r#"
            [workspace]
            resolver = "3"
            members = ["crates/*", "tools/*/*"]
            exclude = ["crates/scratch"]
            default-members = ["crates/api", "crates/other"]
            metadata = { team = "shop" }

            [workspace.package]
            version = "1.2.3"
            edition = "2024"
            description = "a shop"
            homepage = "https://example.com"

            [workspace.dependencies]
            shared = { path = "crates/shared", features = ["base"] }
            unrelated = { path = "crates/unrelated" }
            generator = { path = "tools/deep/generator" }

            [workspace.lints.rust]
            unsafe_code = "forbid"

            [profile.dev]
            opt-level = 1

            [profile.dev.package.shared]
            opt-level = 2
            "#,
        ),
        (
            "crates/api/Cargo.toml",
            r#"
            [package]
            name = "api"
            version.workspace = true
            edition.workspace = true
            description.workspace = true

            [features]
            default = ["fast"]
            fast = ["dep:quick"]
            testing = ["harness/verbose", "shared/extra"]

            [dependencies]
            shared.workspace = true
            quick = { path = "../quick", optional = true }
            macros = { path = "../macros" }
            other_name = { package = "renamed", path = "../renamed" }

            [target.'cfg(unix)'.dependencies]
            posix = { path = "../posix" }

            [target.'cfg(windows)'.dependencies]
            win = { path = "../win" }

            [build-dependencies]
            generator.workspace = true

            [dev-dependencies]
            harness = { path = "../harness" }

            [lints]
            workspace = true

            [[bench]]
            name = "speed"
            harness = false
            "#,
        ),
        (
            "crates/api/src/main.rs",
            r#"
            #[macros::shout]
            fn hello() {}
            include!(concat!(env!("OUT_DIR"), "/generated.rs"));
            fn main() {
                println!(
                    "{} {} {} {} {} {}",
                    HELLO, shared::WORD, quick::WORD, other_name::WORD, generated(), env!("CARGO_PKG_VERSION"),
                );
                #[cfg(unix)]
                posix::check();
            }
            "#,
        ),
        (
            "crates/api/build.rs",
            r#"fn main() {
                let out = std::env::var("OUT_DIR").unwrap();
                std::fs::write(format!("{out}/generated.rs"), generator::source()).unwrap();
            }"#,
        ),
        ("crates/api/benches/speed.rs", "fn main() {}"),
        ("crates/api/tests/it.rs", "#[test] fn works() { harness::run() }"),
        (
            "crates/shared/Cargo.toml",
            r#"
            package = { name = "shared", version.workspace = true, edition.workspace = true }
            features = { base = [], extra = [] }
            # A cycle: fine for cargo, because only tests close it.
            dev-dependencies = { harness = { path = "../harness" } }
            "#,
        ),
        ("crates/shared/src/lib.rs", "#[cfg(feature = \"base\")] pub const WORD: &str = \"shared\";"),
        ("crates/quick/Cargo.toml", "package = { name = 'quick', edition = '2021' }"),
        ("crates/quick/src/lib.rs", "pub const WORD: &str = \"quick\";"),
        ("crates/macros/Cargo.toml", "package = { name = 'macros', edition = '2021' }\nlib = { proc-macro = true }"),
        (
            "crates/macros/src/lib.rs",
            r#"use proc_macro::TokenStream;
            #[proc_macro_attribute]
            pub fn shout(_: TokenStream, _: TokenStream) -> TokenStream {
                "const HELLO: &str = \"HELLO\";".parse().unwrap()
            }"#,
        ),
        ("crates/renamed/Cargo.toml", "package = { name = 'renamed', edition = '2021' }"),
        ("crates/renamed/src/lib.rs", "pub const WORD: &str = \"renamed\";"),
        ("crates/posix/Cargo.toml", "package = { name = 'posix', edition = '2021' }"),
        ("crates/posix/src/lib.rs", "pub fn check() {}"),
        ("crates/win/Cargo.toml", "package = { name = 'win', edition = '2021' }"),
        ("crates/win/src/lib.rs", "compile_error!(\"not for this system\");"),
        (
            "crates/harness/Cargo.toml",
            "package = { name = 'harness', edition = '2021' }\nfeatures = { verbose = [] }\ndependencies = { shared = { path = '../shared' } }",
        ),
        ("crates/harness/src/lib.rs", "pub fn run() {}"),
        (
            "crates/other/Cargo.toml",
            "package = { name = 'other', edition = '2021' }\ndependencies = { unrelated = { workspace = true } }",
        ),
        ("crates/other/src/main.rs", "fn main() { println!(\"{}\", unrelated::WORD) }"),
        ("crates/unrelated/Cargo.toml", "package = { name = 'unrelated', edition = '2021' }"),
        ("crates/unrelated/src/lib.rs", "pub const WORD: &str = \"unrelated\";"),
        ("crates/scratch/Cargo.toml", "package = { name = 'scratch', edition = '2021' }\nworkspace = {}"),
        ("crates/scratch/src/main.rs", "fn main() {}"),
        ("tools/deep/generator/Cargo.toml", "package = { name = 'generator', edition = '2021' }"),
        (
            "tools/deep/generator/src/lib.rs",
            "pub fn source() -> &'static str { \"fn generated() -> &'static str { \\\"generated\\\" }\" }",
        ),
    ]);
    project.lock("");
    project
}

#[test]
fn a_member_of_a_virtual_workspace_builds_without_the_others() {
    let project = workspace();
    let stage = project.stage("api");
    assert_eq!(stage.run(), "HELLO shared quick renamed generated 1.2.3");
    assert_eq!(
        stage.packages(),
        ["api", "generator", "macros", "posix", "quick", "renamed", "shared", "win"],
        "optional dependencies and those of other systems are part of it, what only tests use is not"
    );
    assert_eq!(
        stage.read("Cargo.toml"),
        r#"[profile.dev]
opt-level = 1

[profile.dev.package.shared]
opt-level = 2

[workspace]
default-members = ["crates/api"]
members = ["crates/api", "crates/macros", "crates/posix", "crates/quick", "crates/renamed", "crates/shared", "crates/win", "tools/deep/generator"]
resolver = "3"

[workspace.dependencies.generator]
path = "tools/deep/generator"

[workspace.dependencies.shared]
features = ["base"]
path = "crates/shared"

[workspace.lints.rust]
unsafe_code = "forbid"

[workspace.package]
description = "a shop"
edition = "2024"
version = "1.2.3"
"#
    );
    assert!(!stage.has("crates/other") && !stage.has("crates/harness") && !stage.has("crates/scratch"));
}

#[test]
fn every_member_of_the_workspace_is_accepted_alone() {
    let project = workspace();
    for package in ["shared", "quick", "macros", "harness", "other", "unrelated", "scratch", "generator"] {
        project.stage(package).packages();
    }
    assert_eq!(project.stage("other").run(), "unrelated");
    // Excluded from the workspace, so a workspace of its own, without a lock.
    let scratch = project.stage("scratch");
    assert!(!scratch.closure.has_lock);
    assert_eq!(scratch.closure.workspace_root.as_ref().unwrap().as_str(), Some("crates/scratch"));
}

#[test]
fn a_root_package_builds_alone_and_its_members_build_without_it() {
    let project = Project::new(&[
        (
            "Cargo.toml",
            r#"
            [package]
            name = "app"
            version = "2.0.0"
            edition = "2024"
            default-run = "app"

            [workspace]
            members = ["tool"]

            [workspace.package]
            license = "MIT"

            [dependencies]
            # Not listed: a path dependency below the root is a member.
            core = { path = "lib/core" }

            [profile.release]
            lto = true
            "#,
        ),
        ("src/main.rs", "fn main() { println!(\"app {}\", core_lib()); } fn core_lib() -> u8 { ::core::NUMBER }"),
        ("src/bin/second.rs", "fn main() {}"),
        ("lib/core/Cargo.toml", "package = { name = 'core', edition = '2021', license.workspace = true }"),
        ("lib/core/src/lib.rs", "pub const NUMBER: u8 = 7;"),
        (
            "tool/Cargo.toml",
            "package = { name = 'tool', edition = '2021' }\ndependencies = { core = { path = '../lib/core' } }",
        ),
        ("tool/src/main.rs", "fn main() { println!(\"tool {}\", core::NUMBER) }"),
        ("docs/page.md", "text"),
    ]);
    project.lock("");
    let app = project.stage("app");
    assert_eq!(app.closure.bins, ["app", "second"]);
    assert_eq!(app.closure.default_run.as_deref(), Some("app"));
    assert_eq!(app.run(), "app 7");
    assert!(app.has("docs/page.md") && !app.has("tool"), "the root's directory without nested packages");

    let tool = project.stage("tool");
    assert_eq!(tool.run(), "tool 7");
    assert!(!tool.has("src/main.rs"));
    // The edition of the root package decided the resolver; without the package it must be said.
    assert!(tool.read("Cargo.toml").contains("resolver = \"3\""), "{}", tool.read("Cargo.toml"));
}

#[test]
fn nested_workspaces_and_packages_that_stand_alone_keep_their_borders() {
    let project = Project::new(&[
        (
            "Cargo.toml",
            r#"
            [workspace]
            members = ["a", "a/inner"]
            exclude = ["a/alone", "sub"]
            [workspace.package]
            version = "1.0.0"
            "#,
        ),
        (
            "a/Cargo.toml",
            r#"
            package = { name = "a", edition = "2021", version.workspace = true }
            [dependencies]
            alone = { path = "../alone" }
            inner = { path = "inner" }
            leaf = { path = "../sub/leaf" }
            "#,
        ),
        ("a/src/main.rs", "fn main() { println!(\"{}{}{}\", alone::A, inner::I, leaf::L) }"),
        ("a/inner/Cargo.toml", "package = { name = 'inner', edition = '2021', workspace = '../..' }"),
        ("a/inner/src/lib.rs", "pub const I: char = 'i';"),
        ("a/unused/Cargo.toml", "package = { name = 'unused' }"),
        ("a/unused/src/lib.rs", "nonsense"),
        ("alone/Cargo.toml", "package = { name = 'alone', edition = '2021' }"),
        ("alone/src/lib.rs", "pub const A: char = 'a';"),
        (
            "sub/Cargo.toml",
            "[workspace]\nmembers = ['leaf', 'twig']\n[workspace.package]\nedition = '2021'\nlicense = 'MIT'\n[profile.dev]\npanic = 'abort'",
        ),
        (
            "sub/leaf/Cargo.toml",
            "package = { name = 'leaf', edition.workspace = true }\ndependencies = { twig = { path = '../twig' } }",
        ),
        ("sub/leaf/src/lib.rs", "pub use twig::L;"),
        ("sub/twig/Cargo.toml", "package = { name = 'twig', edition.workspace = true }"),
        ("sub/twig/src/lib.rs", "pub const L: char = 'l';"),
    ]);
    project.lock("");
    let stage = project.stage("a");
    assert_eq!(stage.run(), "ail");
    assert!(!stage.has("a/unused"));
    assert_eq!(
        stage.read("sub/Cargo.toml"),
        "[workspace]\nmembers = [\"leaf\", \"twig\"]\n\n[workspace.package]\nedition = \"2021\"\n",
        "of another workspace only what is inherited counts"
    );
    // From the inner workspace, the outer one is not seen.
    assert_eq!(project.stage("leaf").packages(), ["leaf", "twig"]);
    assert_eq!(
        project.paths("leaf"),
        ["sub/Cargo.toml", "sub/leaf/Cargo.toml", "sub/leaf/src/lib.rs", "sub/twig/Cargo.toml", "sub/twig/src/lib.rs"]
    );
}

#[test]
fn an_excluded_package_below_a_member_stays_excluded() {
    let project = Project::new(&[
        // Cargo lets a literal member win over `exclude`, so only a pattern can have a stranger below it.
        ("Cargo.toml", "[workspace]\nresolver = '2'\nmembers = ['cr*']\nexclude = ['crates/own']"),
        (
            "crates/Cargo.toml",
            "package = { name = 'outer', edition = '2021' }\ndependencies = { own = { path = 'own' } }",
        ),
        ("crates/src/main.rs", "fn main() { println!(\"{}\", own::WORD) }"),
        ("crates/own/Cargo.toml", "package = { name = 'own', edition = '2021' }\nworkspace = {}"),
        ("crates/own/src/lib.rs", "pub const WORD: &str = \"own\";"),
    ]);
    project.lock("");
    assert_eq!(project.stage("outer").run(), "own");
}

/// A package in a directory source, which needs no network.
fn vendored(project: &Project, dir: &str, name: &str, version: &str, dependencies: &str) {
    let manifest =
        format!("[package]\nname = '{name}'\nversion = '{version}'\nedition = '2021'\n[dependencies]\n{dependencies}");
    project.write(&format!("vendor/{dir}/Cargo.toml"), &manifest);
    project.write(&format!("vendor/{dir}/.cargo-checksum.json"), "{\"files\":{}}");
    let source = format!("pub const VERSION: &str = \"{name} {version}\";");
    project.write(&format!("vendor/{dir}/src/lib.rs"), &source);
}

fn with_vendored_crates() -> Project {
    let project = Project::new(&[
        ("Cargo.toml", "[workspace]\nresolver = '2'\nmembers = ['api', 'other']"),
        (
            ".cargo/config.toml",
            "[source.crates-io]\nreplace-with = 'vendored'\n[source.vendored]\ndirectory = 'vendor'",
        ),
        (
            "api/Cargo.toml",
            r#"
            package = { name = "api", edition = "2021" }
            [dependencies]
            log = "1"
            [dev-dependencies]
            old_log = { package = "log", version = "0.4" }
            check = "1"
            "#,
        ),
        ("api/src/main.rs", "fn main() { println!(\"{}\", log::VERSION) }"),
        (
            "other/Cargo.toml",
            "package = { name = 'other', edition = '2021' }\ndependencies = { log = '0.4', wide = '1' }",
        ),
        ("other/src/main.rs", "fn main() {}"),
    ]);
    vendored(&project, "log", "log", "1.0.1", "leaf = '1'");
    vendored(&project, "log-0.4.2", "log", "0.4.2", "leaf = '0.9'");
    vendored(&project, "leaf", "leaf", "1.1.0", "");
    vendored(&project, "leaf-0.9.0", "leaf", "0.9.0", "");
    vendored(&project, "wide", "wide", "1.0.0", "");
    vendored(&project, "check", "check", "1.0.0", "log = '0.4'");
    project.lock("");
    project
}

#[test]
fn the_lock_is_pruned_along_its_edges() {
    let project = with_vendored_crates();
    let stage = project.stage("api");
    assert_eq!(stage.run(), "log 1.0.1");
    assert_eq!(stage.packages(), ["api", "leaf", "log"]);
    let source = "registry+https://github.com/rust-lang/crates.io-index";
    let locked: Vec<_> = stage
        .closure
        .locked
        .iter()
        .map(|locked| (locked.name.as_str(), locked.version.as_str(), locked.source.as_deref()))
        .collect();
    assert_eq!(locked, [("api", "0.0.0", None), ("leaf", "1.1.0", Some(source)), ("log", "1.0.1", Some(source))]);
    assert!(!stage.has("vendor/wide") && !stage.has("vendor/check"), "packages that are not locked stay behind");
    // One version of each is left, so the short names are what cargo itself would write.
    let lock = stage.read("Cargo.lock");
    assert!(lock.contains("dependencies = [\n \"log\",\n]\n") && lock.contains(" \"leaf\",\n"), "{lock}");
}

#[test]
fn a_lock_that_is_wholly_used_stays_as_cargo_wrote_it() {
    let project = with_vendored_crates();
    project.write("api/Cargo.toml", "package = { name = 'api', edition = '2021' }\n[dependencies]\nlog = '1'\nold = { package = 'log', version = '0.4' }\nother = { path = '../other' }");
    project.lock("");
    let (context, closure) = project.closure("api");
    let staged = tempfile::tempdir().unwrap();
    context.stage(staged.path()).unwrap();
    let lock = std::fs::read_to_string(staged.path().join("Cargo.lock")).unwrap();
    assert_eq!(lock, project.read("Cargo.lock"));
    assert!(lock.contains("\"log 0.4.2\""), "{lock}");
    assert_eq!(closure.locked.len(), 7);
}

#[test]
fn patches_count_as_far_as_they_are_used() {
    let project = with_vendored_crates();
    project.write(
        "Cargo.toml",
        r#"
        [workspace]
        resolver = '2'
        members = ['api', 'other']
        [workspace.package]
        edition = '2021'
        [patch.crates-io]
        leaf = { path = "patched/leaf" }
        wide = { path = "patched/wide" }
        "#,
    );
    project.write("patched/leaf/Cargo.toml", "package = { name = 'leaf', version = '1.5.0', edition.workspace = true }\ndependencies = { deep = { path = '../deep' } }");
    project.write("patched/leaf/src/lib.rs", "pub use deep::*;");
    project.write("patched/deep/Cargo.toml", "package = { name = 'deep', edition = '2021' }");
    project.write("patched/deep/src/lib.rs", "pub const DEEP: &str = \"deep\";");
    project.write("patched/wide/Cargo.toml", "package = { name = 'wide', version = '1.0.1' }");
    project.write("patched/wide/src/lib.rs", "");
    project.write("vendor/log/src/lib.rs", "pub const VERSION: &str = leaf::DEEP;");
    project.remove("Cargo.lock");
    project.lock("");

    let stage = project.stage("api");
    assert_eq!(stage.run(), "deep");
    assert!(stage.has("patched/deep/src/lib.rs") && !stage.has("patched/wide"));
    assert!(!stage.read("Cargo.toml").contains("wide"), "{}", stage.read("Cargo.toml"));
    assert!(stage.read("Cargo.toml").contains("members = [\"api\"]"), "a patch makes no member");

    let before = project.hash("api");
    project.write("patched/wide/src/lib.rs", "// edited");
    assert_eq!(project.hash("api"), before);
    project.write("patched/deep/src/lib.rs", "pub const DEEP: &str = \"deeper\";");
    assert_ne!(project.hash("api"), before);
}

#[test]
fn without_a_lock_everything_that_might_be_needed_is_there() {
    let project = with_vendored_crates();
    project.remove("Cargo.lock");
    let stage = project.stage("api");
    assert!(!stage.closure.has_lock && stage.closure.locked.is_empty());
    assert_eq!(stage.run(), "log 1.0.1");
}

#[test]
fn what_sources_name_outside_their_package_is_joined() {
    let project = Project::new(&[
        ("Cargo.toml", "[workspace]\nresolver = '2'\nmembers = ['app', 'lib']"),
        (
            "app/Cargo.toml",
            "package = { name = 'app', edition = '2021', build = '../build/script.rs', readme = '../README.md' }\nbin = [{ name = 'app', path = '../apps/app/entry.rs' }]\ndependencies = { lib = { path = '../lib' } }",
        ),
        (
            "apps/app/entry.rs",
            "mod part; fn main() { println!(\"{} {} {}\", part::P, lib::TEXT.trim(), env!(\"STAMP\")) }",
        ),
        ("apps/app/part.rs", "pub mod deeper; pub use deeper::P;"),
        ("apps/app/part/deeper.rs", "pub const P: &str = include_str!(\"../../word.txt\");"),
        ("apps/word.txt", "word"),
        ("apps/unused.txt", "unused"),
        ("build/script.rs", "fn main() { println!(\"cargo::rustc-env=STAMP={}\", include!(\"stamp.in\")); }"),
        ("build/stamp.in", "\"stamp\""),
        ("README.md", "read"),
        ("lib/Cargo.toml", "package = { name = 'lib', edition = '2021' }"),
        (
            "lib/src/lib.rs",
            r#"
            #[path = "../../shared/text.rs"]
            mod text;
            pub use text::TEXT;
            pub const ABSENT: &[u8] = b"";
            #[cfg(any())]
            const NEVER: &str = include_str!("../../generated/never.txt");
            "#,
        ),
        (
            "shared/text.rs",
            "mod helper; pub const TEXT: &str = helper::pick(include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/../data/text.txt\")));",
        ),
        ("shared/helper.rs", "pub const fn pick(text: &str) -> &str { text }"),
        ("shared/unused.rs", "nonsense"),
        ("data/text.txt", "text\n"),
    ]);
    project.lock("");
    let stage = project.stage("app");
    assert_eq!(stage.run(), "word text stamp");
    let paths = project.paths("app");
    assert!(paths.contains(&"README.md".to_owned()));
    assert!(!paths.iter().any(|path| path.contains("unused")), "{paths:?}");
    let missing: Vec<_> =
        stage.closure.missing.iter().map(|file| (file.source.to_string(), file.named.as_str())).collect();
    assert_eq!(missing, [("lib/src/lib.rs".to_owned(), "../../generated/never.txt")]);
}

#[test]
fn what_a_build_script_names_outside_its_package_is_joined() {
    let project = Project::new(&[
        ("Cargo.toml", "[workspace]\nresolver = '2'\nmembers = ['services/api']"),
        ("services/api/Cargo.toml", "package = { name = 'api', edition = '2021' }"),
        ("services/api/src/main.rs", "fn main() { println!(\"{}\", env!(\"COUNT\")) }"),
        (
            "services/api/build.rs",
            r#"fn main() {
                let above = std::path::Path::new("../../");
                let count = std::fs::read_dir("../../proto").unwrap().count() + above.join("extra.proto").exists() as usize;
                println!("cargo::rerun-if-changed=../../proto");
                println!("cargo::rustc-env=COUNT={count}");
            }"#,
        ),
        ("proto/a.proto", "a"),
        ("proto/b.proto", "b"),
        ("extra.proto", "not named by a literal"),
    ]);
    project.lock("");
    assert_eq!(project.stage("api").run(), "2");
    let before = project.hash("api");
    project.write("proto/b.proto", "edited");
    assert_ne!(project.hash("api"), before);
}

#[cfg(unix)]
#[test]
fn links_out_of_a_package_bring_what_they_lead_to() {
    let project = Project::new(&[
        ("Cargo.toml", "[workspace]\nresolver = '2'\nmembers = ['app']"),
        ("app/Cargo.toml", "package = { name = 'app', edition = '2021' }"),
        ("app/src/main.rs", "mod shared; fn main() { println!(\"{}{}\", shared::S, include_str!(\"../NOTICE\")) }"),
        ("app/src/shared", "-> ../../shared"),
        ("app/LICENSE", "-> ../LICENSE"),
        ("app/NOTICE", "-> ../NOTICE"),
        ("app/up", "-> .."),
        ("app/away", "-> ../../../somewhere"),
        ("shared/mod.rs", "mod two; pub use two::S;"),
        ("shared/two.rs", "pub const S: &str = include_str!(\"../three.txt\");"),
        // Relative to where the source is, not to the link that leads there.
        ("three.txt", "3"),
        ("LICENSE", "law"),
        ("NOTICE", "!"),
    ]);
    project.lock("");
    let stage = project.stage("app");
    assert_eq!(stage.run(), "3!");
    assert!(!stage.has("LICENSE"), "nothing reads it");
}

#[test]
fn configuration_and_toolchain_come_from_the_root_and_above() {
    let project = Project::new(&[
        ("service/ws/Cargo.toml", "[workspace]\nresolver = '2'\nmembers = ['app']"),
        ("service/ws/app/Cargo.toml", "package = { name = 'app', edition = '2021' }"),
        (
            "service/ws/app/src/main.rs",
            "fn main() { println!(\"{} {}\", env!(\"WORD\"), include_str!(env!(\"FILE\"))) }",
        ),
        ("service/.cargo/config.toml", "include = ['more.toml']\n[env]\nWORD = 'configured'"),
        ("service/.cargo/more.toml", "[env]\nFILE = { value = 'data/file.txt', relative = true }"),
        ("service/data/file.txt", "file"),
        ("service/data/other.txt", "other"),
        (
            "service/ws/.cargo/config.toml",
            "[build]\nincremental = false\n[target.nothing]\nlinker = 'tools/ld.sh'\nrunner = 'x'",
        ),
        ("service/ws/tools/ld.sh", "#!/bin/sh"),
        ("other/.cargo/config.toml", "[env]\nWORD = 'other'"),
        ("rust-toolchain.toml", "[toolchain]\nchannel = '1.70.0'"),
    ]);
    let (_, closure) = project.closure("app");
    let toolchain = closure.toolchain.unwrap();
    assert_eq!((toolchain.channel.as_str(), toolchain.exact), ("1.70.0", true));
    assert_eq!(
        project.paths("app"),
        [
            "rust-toolchain.toml",
            "service/.cargo/config.toml",
            "service/.cargo/more.toml",
            "service/data/file.txt",
            "service/ws/.cargo/config.toml",
            "service/ws/Cargo.toml",
            "service/ws/app/Cargo.toml",
            "service/ws/app/src/main.rs",
            "service/ws/tools/ld.sh",
        ]
    );
    // The nearest file decides; of two in one directory, the one without an extension.
    project.write("service/ws/rust-toolchain.toml", "[toolchain]\nchannel = 'stable'");
    project.write("service/ws/rust-toolchain", "nightly-2026-01-01");
    let toolchain = project.closure("app").1.toolchain.unwrap();
    assert_eq!(
        (toolchain.channel.as_str(), toolchain.file.as_str()),
        ("nightly-2026-01-01", Some("service/ws/rust-toolchain"))
    );
    assert!(!project.paths("app").contains(&"rust-toolchain.toml".to_owned()));
    for name in ["rust-toolchain.toml", "service/ws/rust-toolchain", "service/ws/rust-toolchain.toml"] {
        project.remove(name);
    }
    assert_eq!(project.closure("app").1.toolchain, None);
    assert_eq!(project.stage("app").run(), "configured file");
}
