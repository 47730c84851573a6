//! What a builder is asked for and what is told about its work: one platform at a time, steps, layers, failures.

use std::process::Command;

use serde_json::Value;
use shipper_testkit::{DockerEngine, DockerRegistry, ImageStore, Skopeo, Suite, need, require_tool};

use crate::support::{Project, Ran, text};

/// A shell for `RUN` steps, from nothing.
pub(crate) const SHELL: &str = "FROM scratch\nCOPY busybox /bin/sh\nSHELL [\"/bin/sh\", \"-c\"]\n";

/// A project with one Dockerfile service whose context has busybox.
pub(crate) fn with_shell(config: &str, dockerfile: &str) -> Result<Project, shipper_testkit::Skip> {
    let busybox = require_tool("busybox")?;
    let project = Project::new(config);
    std::fs::copy(busybox, project.path().join("busybox")).expect("copies");
    project.repo.write("Dockerfile", format!("{SHELL}{dockerfile}"));
    Ok(project)
}

/// Runs `arguments` with a builder.
pub(crate) fn with(project: &Project, builder: &str, engine: Option<&DockerEngine>, arguments: &[&str]) -> Ran {
    let mut command: Command = project.command(arguments);
    if let Some(engine) = engine {
        command.envs(engine.variables());
    }
    Ran::of(&command.env("SHIPPER_BUILDER", builder).output().expect("starts"))
}

/// The events of one kind.
pub(crate) fn of_kind(ran: &Ran, kind: &str) -> Vec<Value> {
    ran.events().into_iter().filter(|event| event["event"] == kind).collect()
}

/// The platforms that a builder was started for.
fn built(ran: &Ran) -> Vec<String> {
    of_kind(ran, "build-measured").iter().map(|event| text(&event["platform"])).collect()
}

/// A platform more: only that one is built, and the index has the other one's image as it was.
fn a_platform_is_added(builder: &str, engine: Option<&DockerEngine>) {
    let registry = need!(DockerRegistry::start());
    let skopeo = need!(Skopeo::find());
    let service = |platforms: &str| {
        format!(
            "[project]\nname = 'demo'\nregistry = '{}'\n[service.app]\ndockerfile = 'Dockerfile'\nplatforms = [{platforms}]\n",
            registry.host()
        )
    };
    let project = Project::new(&service("'linux/amd64'"));
    project.repo.write("Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH.txt /\n");
    project.repo.write("amd64.txt", "a");
    project.repo.write("arm64.txt", "b");
    let manifest = || -> Value {
        let tag = text(&project.plan()["services"][0]["tag"]);
        let raw = skopeo.raw(&format!("docker://{}/demo/app:{tag}", registry.host()));
        serde_json::from_slice(&raw).expect("JSON")
    };
    let ship = || with(&project, builder, engine, &["ship", "--json"]).ok();
    let ran = ship();
    assert_eq!(built(&ran), ["linux/amd64"]);
    let only = text(&ran.events().pop().expect("events")["images"]["app"]["digest"]);
    let first = manifest();
    assert!(first["layers"].is_array(), "one platform is an image: {first}");

    project.repo.write("shipper.toml", service("'linux/amd64', 'linux/arm64'"));
    assert_eq!(built(&ship()), ["linux/arm64"], "{builder}: amd64 is there");
    let index = manifest();
    let children = index["manifests"].as_array().expect("an index").clone();
    let platforms: Vec<&str> =
        children.iter().map(|child| child["platform"]["architecture"].as_str().expect("text")).collect();
    assert_eq!(platforms, ["amd64", "arm64"]);
    assert_eq!(text(&children[0]["digest"]), only);
    assert!(built(&ship()).is_empty(), "both are there");

    if engine.is_some() {
        return;
    }
    // A file of one platform: the other one's image stays in the index.
    project.repo.write("arm64.txt", "c");
    assert_eq!(built(&ship()), ["linux/arm64"]);
    let changed = manifest();
    assert_eq!(changed["manifests"][0]["digest"], children[0]["digest"]);
    assert_ne!(changed["manifests"][1]["digest"], children[1]["digest"]);
}

#[test]
fn buildah_builds_only_the_platform_that_is_missing() {
    need!(require_tool("buildah"));
    a_platform_is_added("buildah", None);
}

/// Steps with lines, times and cache, layers with sizes; then a step that fails.
fn steps_are_told(builder: &str, engine: Option<&DockerEngine>) {
    let config = "[service.app]\ndockerfile = 'Dockerfile'\nnetwork = 'host'\n";
    let dockerfile = "RUN i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; \\\n  echo made > /made\nCOPY a.txt /\n";
    let project = need!(with_shell(config, dockerfile));
    project.repo.write("a.txt", "a");
    let steps = |ran: &Ran| -> Vec<Value> {
        let told = of_kind(ran, "build-measured").pop().expect("one build");
        assert_eq!(told["builder"], builder);
        told["steps"].as_array().expect("steps").clone()
    };
    let find = |steps: &[Value], beginning: &str| -> Value {
        let mut found = steps.iter().filter(|step| text(&step["instruction"]).starts_with(beginning));
        found.next().unwrap_or_else(|| panic!("{builder}: no {beginning} in {steps:?}")).clone()
    };
    let ran = with(&project, builder, engine, &["ship", "--json"]).ok();
    let first = steps(&ran);
    let run = find(&first, "RUN i=0;");
    assert_eq!((&run["line"], &run["cached"]), (&4.into(), &false.into()), "{builder}: {run}");
    assert!(run["duration-ms"].as_u64().expect("a number") > 0, "{builder}: {run}");
    assert_eq!(find(&first, "COPY a.txt")["line"], 6);
    let told = of_kind(&ran, "build-measured").pop().expect("one build");
    let layers = told["layers"].as_array().expect("layers");
    let names: Vec<String> = layers.iter().map(|layer| text(&layer["created-by"])).collect();
    assert!(names.len() == 3 && names[0].contains("COPY") && names[1].contains("echo made"), "{names:?}");
    assert!(layers[0]["size"].as_u64() > layers[2]["size"].as_u64(), "busybox is larger than a letter: {layers:?}");

    project.repo.write("a.txt", "c");
    let again = steps(&with(&project, builder, engine, &["ship", "--json"]).ok());
    assert_eq!(find(&again, "RUN i=0;")["cached"], true, "{builder}: {again:?}");
    assert_eq!(find(&again, "COPY a.txt")["cached"], false, "{builder}: {again:?}");

    project.repo.write("Dockerfile", format!("{SHELL}\nRUN echo before; exit 7\n"));
    if builder == "buildah" {
        with(&project, builder, engine, &["ship"]).exits(4).says("of line 5 (exit code 7)").says("log: ");
    }
    let failed = with(&project, builder, engine, &["ship", "--json"]).exits(4);
    let error = of_kind(&failed, "error").pop().expect("an error");
    assert_eq!(error["step"]["line"], 5, "{builder}: {error}");
    assert!(text(&error["step"]["instruction"]).starts_with("RUN echo before"), "{builder}: {error}");
    let tail: Vec<&str> = error["log-tail"].as_array().expect("lines").iter().filter_map(Value::as_str).collect();
    assert!(tail.contains(&"before"), "{builder}: {tail:?}");
}

#[test]
fn buildah_tells_its_steps() {
    need!(require_tool("buildah"));
    steps_are_told("buildah", None);
}

#[test]
fn buildx_does_what_buildah_does() {
    let engine = need!(DockerEngine::start(Suite::Stable, ImageStore::Containerd));
    steps_are_told("buildx", Some(&engine));
    a_platform_is_added("buildx", Some(&engine));
    directories_have_names("buildx", Some(&engine));
}

#[test]
fn people_see_what_steps_cost() {
    need!(require_tool("buildah"));
    let project = Project::new("[service.app]\ndockerfile = 'Dockerfile'\n");
    project.repo.write("Dockerfile", "FROM scratch\nCOPY a.txt /\n");
    project.repo.write("a.txt", "a");
    let ran = with(&project, "buildah", None, &["ship", "-v"]).ok();
    ran.says("Steps app linux/").says(" cached, in ").says("line 2 COPY a.txt /");
}

/// Directories by name: hashed, staged, and given to the builder as they were hashed.
fn directories_have_names(builder: &str, engine: Option<&DockerEngine>) {
    let umoci = need!(shipper_testkit::Umoci::find());
    let project = Project::new(
        "[project]\nname = 'demo'\n[service.app]\ndockerfile = 'app/Dockerfile'\ncontext = 'app'\n\
         contexts = { assets = 'web/assets', unused = 'web/other' }\n",
    );
    project.repo.write("app/Dockerfile", "FROM scratch\nCOPY main /\nCOPY --from=assets . /assets/\n");
    for path in ["app/main", "web/assets/a.css", "web/assets/b.map", "web/other/x"] {
        project.repo.write(path, path);
    }
    project.repo.write("web/assets/.dockerignore", "*.map\n");
    with(&project, builder, engine, &["ship"]).ok().says("1 built");
    let tag = text(&project.plan()["services"][0]["tag"]);
    let to = tempfile::tempdir().expect("a directory");
    let rootfs = umoci.unpack(&project.layout("demo/app"), &tag, &to.path().join("bundle"));
    let files: Vec<String> = crate::support::tree(&rootfs).into_keys().collect();
    assert_eq!(files, ["assets/.dockerignore", "assets/a.css", "main"], "{builder}");
    for unread in ["web/other/x", "web/assets/b.map"] {
        project.repo.write(unread, "changed");
        assert!(project.due().is_empty(), "{builder}: {unread} is not read");
    }
    project.repo.write("web/assets/a.css", "changed");
    assert_eq!(project.due()["app"], "recipe-changed", "{builder}");
    assert_eq!(project.plan()["services"][0]["reasons"][0]["values"][0]["name"], "contexts.assets");
}

#[test]
fn buildah_is_given_directories_by_name() {
    need!(require_tool("buildah"));
    directories_have_names("buildah", None);
    let project = Project::new("[service.app]\ndockerfile = 'Dockerfile'\ncontexts = { a = 'nothing' }\n");
    project.repo.write("Dockerfile", "FROM scratch\nCOPY --from=a . /\n");
    project.run(["plan"]).exits(2).says("find `nothing`");
    project.repo.write("shipper.toml", "[service.app]\ndockerfile = 'Dockerfile'\ncontexts = { a = '../x' }\n");
    project.run(["plan"]).exits(2).says("service.app.contexts");
}
