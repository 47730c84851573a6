//! Services with a Dockerfile, built by buildah.

use shipper_testkit::{DockerEngine, ImageStore, Skopeo, Suite, Umoci, need, require_tool};

use crate::support::{Project, text};

const COPY_ALL: &str = "[service.app]\ndockerfile = 'Dockerfile'\ncontext = '.'\n";

fn copies_everything() -> Project {
    let mut project = Project::new(COPY_ALL);
    project.repo.write("Dockerfile", "FROM scratch\nCOPY . .\n");
    project.repo.write("app.txt", "one\n");
    project.repo.commit("start");
    project
}

#[test]
fn copying_everything_does_not_make_the_second_run_due() {
    need!(require_tool("buildah"));
    let project = copies_everything();
    project.ship().says("1 built");
    project.ship().says("nothing is due");
    assert!(project.path().join(".shipper/images").exists());
    project.repo.write("app.txt", "two\n");
    assert_eq!(project.due()["app"], "inputs-changed app.txt");
}

#[test]
fn the_builder_is_given_exactly_what_was_hashed() {
    need!(require_tool("buildah"));
    let umoci = need!(Umoci::find());
    let project = copies_everything();
    project.repo.write(".dockerignore", "*.log\n!keep.log\n# a comment\n");
    project.repo.write("noise.log", "x");
    project.repo.write("keep.log", "x");
    project.repo.write(".gitignore", "ignored\n");
    project.repo.write("ignored", "x");
    project.ship();
    let tag = text(&project.plan()["services"][0]["tag"]);
    let to = tempfile::tempdir().expect("a directory");
    let name = text(&project.run(["config", "--json"]).ok().json()["settings"][0]["value"]);
    let rootfs = umoci.unpack(&project.layout(&format!("{name}/app")), &tag, &to.path().join("bundle"));
    let files: Vec<String> = crate::support::tree(&rootfs).into_keys().collect();
    assert_eq!(files, [".dockerignore", ".gitignore", "Dockerfile", "app.txt", "keep.log"]);
}

#[test]
fn only_what_the_target_reads_makes_it_due() {
    let project =
        Project::new("[service.app]\ndockerfile = 'Dockerfile'\ntarget = 'run'\nargs = { A = '1', UNUSED = '1' }\n");
    project.repo.write(
        "Dockerfile",
        "FROM scratch AS run\nARG A\nCOPY src /src\nRUN --mount=type=bind,source=conf,target=/conf true\n\nFROM scratch AS other\nCOPY other /\n",
    );
    for path in ["src/a", "conf", "other", "README.md"] {
        project.repo.write(path, path);
    }
    let key = |project: &Project| text(&project.plan()["services"][0]["key"]);
    let first = key(&project);
    type Change = fn(&Project);
    let check = |what: &str, changes: bool, change: Change| {
        let before = key(&project);
        change(&project);
        assert_eq!(key(&project) != before, changes, "{what}");
    };
    check("a file of another stage", false, |p| drop(p.repo.write("other", "x")));
    check("a file that nothing copies", false, |p| drop(p.repo.write("README.md", "x")));
    check("a copied file", true, |p| drop(p.repo.write("src/a", "x")));
    check("a mounted file", true, |p| drop(p.repo.write("conf", "x")));
    check("an argument that is not declared", false, |p| {
        p.repo.write(
            "shipper.toml",
            "[service.app]\ndockerfile = 'Dockerfile'\ntarget = 'run'\nargs = { A = '1', UNUSED = '2' }\n",
        );
    });
    check("an argument that is declared", true, |p| {
        p.repo.write("shipper.toml", "[service.app]\ndockerfile = 'Dockerfile'\ntarget = 'run'\nargs = { A = '2' }\n");
    });
    assert_ne!(key(&project), first);
}

#[test]
fn a_service_is_built_on_another_and_follows_it() {
    need!(require_tool("buildah"));
    let skopeo = need!(Skopeo::find());
    let project = Project::new(
        "[project]\nname = 'demo'\n[service.base]\nfiles = { '/base' = 'base' }\n\
         [service.app]\ndockerfile = 'app/Dockerfile'\ncontext = 'app'\nneeds = { base = 'base' }\n\
         [service.more]\nfiles = { '/more' = 'more' }\nbase = 'base'\nneeds = { base = 'base' }\n",
    );
    project.repo.write("base/file", "base");
    project.repo.write("app/Dockerfile", "FROM base\nCOPY file /app\n");
    project.repo.write("app/file", "app");
    project.repo.write("more/file", "more");
    project.ship().says("3 built");
    project.ship().says("nothing is due");
    let plan = project.plan();
    let layers = |service: usize| {
        let planned = &plan["services"][service];
        let layout = project.layout(&format!("demo/{}", text(&planned["service"])));
        let manifest = skopeo.raw(&format!("oci:{}:{}", layout.display(), text(&planned["tag"])));
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
        manifest["layers"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(text(&plan["services"][0]["service"]), "base");
    assert_eq!((layers(1), layers(2)), (layers(0) + 1, layers(0) + 1));
    project.repo.write("base/file", "other");
    let due = project.due();
    assert_eq!(due["base"], "inputs-changed base/file");
    assert_eq!(due["app"], "dependency-rebuilt");
    assert_eq!(due["more"], "dependency-rebuilt");
}

#[test]
fn a_failing_step_is_a_build_failure_with_its_output() {
    need!(require_tool("buildah"));
    let project = Project::new(COPY_ALL);
    project.repo.write("Dockerfile", "FROM scratch\nCOPY missing /\n");
    project.run(["ship"]).exits(4).says("missing");
}

#[test]
fn a_dockerfile_that_does_not_parse_is_a_usage_error_with_its_line() {
    let project = Project::new(COPY_ALL);
    project.repo.write("Dockerfile", "FROM scratch\nNONSENSE x\n");
    project.run(["plan"]).exits(2).says("Dockerfile").says("2");
    project.repo.write("Dockerfile", "FROM scratch\n");
    project.repo.write(".dockerignore", "ok\n!\n");
    project.run(["plan"]).exits(2).says(".dockerignore").says("2");
}

#[test]
fn a_dockerfile_that_is_no_file_of_the_project_is_refused_at_once() {
    let check = |target: &str, says: &str| {
        let project = Project::new(COPY_ALL);
        project.repo.symlink(target, "Dockerfile");
        project.run(["plan"]).exits(2).says("cannot read").says(says);
    };
    check("/dev/zero", "a link leads out of the project");
    check("/etc/hostname", "a link leads out of the project");
    let project = Project::new(COPY_ALL);
    project.repo.write("real.Dockerfile", "FROM scratch\nCOPY a /\n");
    project.repo.write("a", "a");
    project.repo.symlink("real.Dockerfile", "Dockerfile");
    project.run(["plan"]).ok();
    project.repo.write("shipper.toml", format!("{COPY_ALL}user = '1:1'\n"));
    project.run(["plan"]).exits(2).says("the Dockerfile decides this").says("hint: use `USER`");
}

#[test]
fn one_reference_for_two_platforms_is_refused_and_not_guessed() {
    let registry = need!(shipper_testkit::DockerRegistry::start());
    let other = if cfg!(target_arch = "aarch64") { "amd64" } else { "arm64" };
    let name = format!("{}/base:1", registry.host());
    let project = Project::new(&format!("[service.app]\ndockerfile = 'Dockerfile'\nplatforms = ['linux/{other}']\n"));
    project
        .repo
        .write("Dockerfile", format!("FROM --platform=$BUILDPLATFORM {name} AS b\nFROM {name}\nCOPY --from=b /a /\n"));
    // An index with an image for each of the two platforms.
    let images: String = ["amd64", "arm64"].map(|machine| format!("\"linux/{machine}\" = \"{machine}\"")).join(", ");
    let base = Project::new(&format!(
        "[project]\nname = 'base'\n[service.base]\nbinary = {{ {images} }}\nfiles = {{ '/a' = 'a' }}\n"
    ));
    base.repo.write("a", "a");
    for (machine, code) in [("amd64", 62), ("arm64", 183)] {
        base.repo.write(machine, crate::support::program(code));
    }
    base.ship();
    let layout = base.layout("base/base");
    let tag = text(&base.plan()["services"][0]["tag"]);
    base.run(["copy", &format!("oci:{}:{tag}", layout.display()), &name]).ok();
    project.run(["plan"]).exits(2).says("it is used for two platforms").says("hint: name the image of one of the two");
    project.repo.write("Dockerfile", format!("FROM {name}\n"));
    project.run(["plan"]).ok();
}

#[test]
fn what_no_key_can_hold_is_said() {
    let check = |dockerfile: &str, says: &str| {
        let project = Project::new(COPY_ALL);
        project.repo.write("Dockerfile", dockerfile);
        project.run(["plan"]).ok().says(says);
    };
    check("FROM scratch\nADD https://example.com/a.tar /a\n", "line 2: https://example.com/a.tar is fetched without");
    check("# syntax=acme/front:1\nFROM scratch\n", "line 1: the frontend acme/front:1 decides what is read");
    let sum = "0".repeat(64);
    let pinned = format!("FROM scratch\nADD --checksum=sha256:{sum} https://example.com/a.tar /a\n");
    let project = Project::new(COPY_ALL);
    project.repo.write("Dockerfile", pinned);
    let ran = project.run(["plan"]).ok();
    assert!(!ran.stderr.contains("is fetched"), "{}", ran.stderr);
}

#[test]
fn buildx_builds_what_buildah_builds() {
    let engine = need!(DockerEngine::start(Suite::Stable, ImageStore::Containerd));
    let umoci = need!(Umoci::find());
    let project = copies_everything();
    project.repo.write(
        "shipper.toml",
        "[project]\nname = 'demo'\n[service.app]\ndockerfile = 'Dockerfile'\ncontext = '.'\nneeds = { mine = 'base' }\n\
         [service.base]\ndockerfile = 'base.Dockerfile'\ncontext = '.'\n",
    );
    project.repo.write("Dockerfile", "FROM mine\nCOPY . /app\n");
    project.repo.write("base.Dockerfile", "FROM scratch\nCOPY app.txt /base.txt\n");
    let ship = |builder: &str| {
        let mut command = project.command(["ship"]);
        command.envs(engine.variables()).env("SHIPPER_BUILDER", builder);
        crate::support::Ran::of(&command.output().expect("starts"))
    };
    ship("buildx").ok().says("2 built");
    let plan = project.plan();
    // Needs come first.
    assert_eq!((&plan["services"][0]["service"], &plan["services"][1]["service"]), (&"base".into(), &"app".into()));
    let tag = text(&plan["services"][1]["tag"]);
    let to = tempfile::tempdir().expect("a directory");
    let rootfs = umoci.unpack(&project.layout("demo/app"), &tag, &to.path().join("bundle"));
    let files: Vec<String> = crate::support::tree(&rootfs).into_keys().collect();
    assert_eq!(files, ["app/Dockerfile", "app/app.txt", "app/base.Dockerfile", "base.txt"]);
    // The builder is in no key: what one built the other does not build again.
    ship("buildah").ok().says("nothing is due");
    ship("kaniko").exits(2).says("`kaniko` is none of auto, buildx, buildah");
}

#[test]
fn a_secret_reaches_its_step_and_nothing_else() {
    need!(require_tool("buildah"));
    let engine = need!(DockerEngine::start(Suite::Stable, ImageStore::Containerd));
    let umoci = need!(Umoci::find());
    let busybox = need!(require_tool("busybox"));
    const VALUE: &str = "canary-4711-value";
    for builder in ["buildx", "buildah"] {
        let project = Project::new(
            "[service.app]\ndockerfile = 'Dockerfile'\nnetwork = 'host'\n\
             secrets = { token = { env = 'MY_TOKEN' }, key = { file = 'key.pem' } }\n",
        );
        std::fs::copy(&busybox, project.path().join("busybox")).expect("copies");
        project.repo.write(
            "Dockerfile",
            "FROM scratch\nCOPY busybox /bin/sh\nSHELL [\"/bin/sh\", \"-c\"]\n\
             RUN --mount=type=secret,id=token --mount=type=secret,id=key \
             read t < /run/secrets/token; read k < /run/secrets/key; echo ${#t} ${#k} > /lengths; echo seen\n",
        );
        project.repo.write(".gitignore", "key.pem\n");
        project.repo.write("key.pem", format!("{VALUE}-key\n"));
        let ship = |variable: Option<&str>| {
            let mut command = project.command(["ship", "--json"]);
            command.envs(engine.variables()).env("SHIPPER_BUILDER", builder);
            if let Some(value) = variable {
                command.env("MY_TOKEN", value);
            }
            crate::support::Ran::of(&command.output().expect("starts"))
        };
        let missing = ship(None).exits(4);
        assert!(missing.stdout.contains("the secret `token` is not there"), "{builder}: {}", missing.stdout);
        let ran = ship(Some(VALUE)).ok();
        let tag = text(&project.plan()["services"][0]["tag"]);
        let images = project.path().join(".shipper/images");
        let layout =
            std::fs::read_dir(&images).expect("a project").next().expect("one").expect("reads").path().join("app");
        let to = tempfile::tempdir().expect("a directory");
        let rootfs = umoci.unpack(&layout, &tag, &to.path().join("bundle"));
        let lengths = std::fs::read_to_string(rootfs.join("lengths")).expect("the step ran");
        assert_eq!(lengths, format!("{} {}\n", VALUE.len(), VALUE.len() + 4), "{builder}");
        // Unpacked image, layout, run record, stage, logs, caches: the value is in none, in whatever form.
        for place in [to.path(), &images, &project.path().join(".shipper/runs"), project.cache()] {
            for (path, bytes) in crate::support::tree(place) {
                let found = shipper_testkit::secret::forms_in(&bytes, VALUE);
                assert!(found.is_empty(), "{builder}: {path}: {found:?}");
            }
        }
        assert!(shipper_testkit::secret::forms_in(ran.stdout.as_bytes(), VALUE).is_empty());
        // Another value is no reason to build.
        let ran = ship(Some("another")).ok();
        assert!(ran.stdout.contains("\"action\":\"reuse\""), "{}", ran.stdout);
    }
}

/// A workspace with a service, what it needs, and members that it does not need; every package by path, so that nothing is
/// downloaded.
fn workspace() -> Project {
    let project = Project::new("[service.api]\ndockerfile = 'api/Dockerfile'\ncontext = { cargo = 'api' }\n");
    project
        .repo
        .write("Cargo.toml", "[workspace]\nresolver = '3'\nmembers = ['api', 'shared', 'web', 'harness', 'gadgets']\n");
    let member = |name: &str, more: &str| {
        let manifest = format!("[package]\nname = '{name}'\nversion = '1.0.0'\nedition = '2024'\n{more}");
        project.repo.write(format!("{name}/Cargo.toml"), manifest);
        project.repo.write(format!("{name}/src/lib.rs"), format!("pub const NAME: &str = \"{name}\";\n"));
    };
    // `web` turns on a feature of `shared` that brings `gadgets` into the lock, and nothing else does.
    member(
        "shared",
        "[features]\nextra = ['dep:gadgets']\n[dependencies]\ngadgets = { path = '../gadgets', optional = true }\n",
    );
    member("gadgets", "");
    member("harness", "");
    member("web", "[dependencies]\nshared = { path = '../shared', features = ['extra'] }\n");
    member(
        "api",
        "[dependencies]\nshared = { path = '../shared' }\n[dev-dependencies]\nharness = { path = '../harness' }\n",
    );
    project.repo.write("api/src/main.rs", "fn main() { println!(\"{}\", shared::NAME) }\n");
    project.repo.write("api/Dockerfile", "FROM scratch\nCOPY . /src\n");
    project.repo.write(".dockerignore", "**/*.md\n");
    project.repo.write("api/README.md", "not for the builder\n");
    project.cargo(project.path(), &["generate-lockfile", "--offline"]);
    project
}

#[test]
fn a_context_of_one_package_is_its_closure_and_cargo_accepts_it() {
    need!(require_tool("buildah"));
    let umoci = need!(Umoci::find());
    let mut project = workspace();
    project.repo.commit("start");
    project.ship().says("1 built");
    let tag = text(&project.plan()["services"][0]["tag"]);
    let name = text(&project.run(["config", "--json"]).ok().json()["settings"][0]["value"]);
    let to = tempfile::tempdir().expect("a directory");
    let rootfs = umoci.unpack(&project.layout(&format!("{name}/api")), &tag, &to.path().join("bundle"));
    let given = rootfs.join("src");
    let files: Vec<String> = crate::support::tree(&given).into_keys().collect();
    let expected = [
        "Cargo.lock",
        "Cargo.toml",
        "api/Cargo.toml",
        "api/Dockerfile",
        "api/src/lib.rs",
        "api/src/main.rs",
        "gadgets/Cargo.toml",
        "gadgets/src/lib.rs",
        "shared/Cargo.toml",
        "shared/src/lib.rs",
    ];
    assert_eq!(files, expected);
    // What the Dockerfile would run.
    project.cargo(&given, &["build", "--locked", "--offline", "--package", "api"]);

    let unchanged = |what: &str, project: &Project| assert!(project.due().is_empty(), "{what}: {:?}", project.due());
    project.repo.write("web/src/lib.rs", "pub fn other() {}\n");
    project.repo.write("harness/src/lib.rs", "pub fn other() {}\n");
    unchanged("other members", &project);
    project.repo.write("api/README.md", "ignored\n");
    unchanged("what .dockerignore excludes", &project);
    project.repo.write("web/Cargo.toml", "[package]\nname = 'web'\nversion = '2.0.0'\nedition = '2024'\n");
    project.cargo(project.path(), &["generate-lockfile", "--offline"]);
    unchanged("the lock of another member", &project);
    project.repo.write("shared/src/lib.rs", "pub const NAME: &str = \"other\";\n");
    assert_eq!(project.due()["api"], "inputs-changed shared/src/lib.rs");
}

#[test]
fn a_context_of_a_package_that_is_not_there_is_a_usage_error() {
    let project = workspace();
    project.repo.write("shipper.toml", "[service.api]\ndockerfile = 'api/Dockerfile'\ncontext = { cargo = 'apj' }\n");
    project.run(["plan"]).exits(2).says("apj");
    project.repo.write("shipper.toml", "[service.api]\ndockerfile = 'api/Dockerfile'\ncontext = { crago = 'api' }\n");
    project.run(["plan"]).exits(2).says("did you mean `cargo`?");
}

#[test]
fn a_dockerfile_that_reads_what_the_closure_does_not_have_is_warned_of() {
    let project = workspace();
    project.repo.write("migrations/1.sql", "create table t;");
    project
        .repo
        .write("api/Dockerfile", "FROM scratch\nCOPY api shared /src/\nCOPY migrations /migrations\nCOPY w*b /web\n");
    let warned = project.run(["plan"]).ok();
    let warned = warned.says("line 3: `COPY migrations` finds nothing: the closure of `api` does not have it");
    let warned = warned.says("`inputs = [\"migrations\"]` adds it").says("line 4: `COPY w*b` finds nothing");
    assert!(!warned.stderr.contains("line 2"), "{}", warned.stderr);
    let more = "[service.server]\ndockerfile = 'api/Dockerfile'\ncontext = { cargo = 'api' }\ninputs = ['migrations', 'web/**']\n";
    project.repo.write("shipper.toml", more);
    let quiet = project.run(["plan"]).ok();
    assert!(!quiet.stderr.contains("finds nothing"), "{}", quiet.stderr);
    let hashed = project.run(["hash", "server", "--list"]).ok().stdout;
    assert!(hashed.contains("migrations/1.sql\tapi/Dockerfile:3: COPY migrations\n"), "{hashed}");
}
