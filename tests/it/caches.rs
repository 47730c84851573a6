//! Layers that one machine built and another one does not build again.

use serde_json::Value;
use shipper_testkit::{DockerEngine, DockerRegistry, ImageStore, Skopeo, Suite, need, require_tool};

use crate::builders::{SHELL, of_kind, with, with_shell};
use crate::support::{Project, Ran, text};

const SERVICE: &str = "[service.app]\ndockerfile = 'Dockerfile'\nnetwork = 'host'\n";

fn configured(registry: &DockerRegistry, cache: &str) -> String {
    format!("[project]\nname = 'demo'\nregistry = '{}'\n{SERVICE}[cache]\n{cache}\n", registry.host())
}

/// Whether the `RUN` steps of the only build came from a cache.
fn runs_cached(ran: &Ran) -> Vec<bool> {
    let told = of_kind(ran, "build-measured").pop().expect("one build");
    let steps = told["steps"].as_array().expect("steps").iter();
    let runs = steps.filter(|step| text(&step["instruction"]).starts_with("RUN"));
    runs.map(|step| step["cached"].as_bool().expect("a boolean")).collect()
}

fn only(ran: &Ran, kind: &str) -> Value {
    of_kind(ran, kind).pop().unwrap_or_else(|| panic!("no {kind} in {}", ran.stdout))
}

/// The engine forgets every layer, as another machine's never had them.
fn another_machine(engine: &DockerEngine, project: &Project) -> Project {
    shipper_testkit::run(&mut engine.docker(&["buildx", "prune", "--all", "--force"]));
    let clone = project.clone_to();
    std::fs::copy(project.path().join("busybox"), clone.path().join("busybox")).expect("copies");
    clone
}

#[test]
fn another_machine_with_the_cache_of_the_registry_runs_no_step_again() {
    let registry = need!(DockerRegistry::start());
    let skopeo = need!(Skopeo::find());
    let engine = need!(DockerEngine::start(Suite::Stable, ImageStore::Containerd));
    let config = configured(&registry, "export = 'always'\nsources = ['registry', 'gha']");
    let mut project = need!(with_shell(&config, "RUN echo one > /one\nRUN echo two > /two\nCOPY a.txt /\n"));
    project.repo.write("a.txt", "a");
    project.repo.commit("start");
    let ship = |project: &Project| with(project, "buildx", Some(&engine), &["ship", "--json"]).ok();

    let first = ship(&project);
    assert_eq!(runs_cached(&first), [false, false]);
    let chosen = only(&first, "cache-chosen");
    assert_eq!(chosen["from"].as_array().expect("a list").len(), 0, "{chosen}");
    let left_out: Vec<String> =
        chosen["left-out"].as_array().expect("a list").iter().map(|left| text(&left["cache"])).collect();
    assert!(left_out.len() == 2 && left_out[0].contains(":cache-linux-") && left_out[1] == "gha", "{left_out:?}");
    let exported = only(&first, "cache-exported");
    assert_eq!((&exported["outcome"], &exported["to"]), (&"ok".into(), &left_out[0].as_str().into()), "{exported}");
    let cache = skopeo.raw(&format!("docker://{}", left_out[0]));
    let cache: Value = serde_json::from_slice(&cache).expect("JSON");
    assert_eq!(cache["mediaType"], "application/vnd.oci.image.manifest.v1+json", "Amazon ECR takes no other form");

    let clone = another_machine(&engine, &project);
    clone.repo.write("a.txt", "b");
    let second = ship(&clone);
    assert_eq!(only(&second, "cache-chosen")["from"], serde_json::json!([left_out[0]]));
    assert_eq!(runs_cached(&second), [true, true], "{}", second.stdout);

    // Nothing is built: nothing is written. The copy alone is work, so the same files are shipped under another salt.
    clone.repo.write("shipper.toml", config.replace("network", "salt = 'x'\nnetwork"));
    let third = ship(&clone);
    assert_eq!(only(&third, "cache-exported")["why"], "nothing was built", "{}", third.stdout);

    // A write that took longer than all that the cache has saved is not repeated.
    let record = std::fs::read_dir(clone.path().join(".shipper/runs")).expect("records");
    let record = record.map(|entry| entry.expect("one").path()).max().expect("a record");
    let line = serde_json::json!({
        "time": "", "elapsed-ms": 0, "event": "cache-exported", "service": "app",
        "platform": chosen["platform"], "outcome": "ok", "duration-ms": 3_600_000,
    });
    let mut lines = std::fs::read_to_string(&record).expect("reads");
    lines.push_str(&format!("{line}\n"));
    std::fs::write(&record, lines).expect("writes");
    clone.repo.write("a.txt", "c");
    let fourth = ship(&clone);
    let why = text(&only(&fourth, "cache-exported")["why"]);
    assert!(why.starts_with("the last export took 1h 00m, and the cache saved "), "{why}");

    // A pull request reads and does not write.
    let stored = || skopeo.raw(&format!("docker://{}", left_out[0]));
    let before = stored();
    clone.repo.write("a.txt", "d");
    let pull =
        with(&clone, "buildx", Some(&engine), &["ship", "--json", "--pr", "7", "--trigger", "pull-request"]).ok();
    assert_eq!(only(&pull, "cache-exported")["why"], "a pull request writes to no cache");
    assert_eq!(stored(), before);
}

#[test]
fn directories_and_images_serve_as_caches_and_a_write_that_fails_fails_nothing() {
    let registry = need!(DockerRegistry::start());
    let engine = need!(DockerEngine::start(Suite::Stable, ImageStore::Containerd));
    let place = tempfile::tempdir().expect("a directory");
    let local = place.path().join("layers");
    let config = configured(&registry, &format!("export = 'always'\nsources = [{{ local = '{}' }}]", local.display()));
    let mut project = need!(with_shell(&config, "RUN echo one > /one\nCOPY a.txt /\n"));
    project.repo.write("a.txt", "a");
    project.repo.commit("start");
    let ship = |project: &Project| with(project, "buildx", Some(&engine), &["ship", "--json"]).ok();
    let first = ship(&project);
    assert_eq!(only(&first, "cache-exported")["outcome"], "ok", "{}", first.stdout);
    let clone = another_machine(&engine, &project);
    clone.repo.write("a.txt", "b");
    assert_eq!(runs_cached(&ship(&clone)), [true]);

    // The image itself: what its last steps need is read from it.
    let inline = configured(&registry, "export = 'never'\nsources = ['inline']");
    project.repo.write("shipper.toml", &inline);
    project.repo.write("Dockerfile", format!("{SHELL}RUN echo three > /three\nCOPY a.txt /\n"));
    assert_eq!(runs_cached(&ship(&project)), [false]);
    let clone = another_machine(&engine, &project);
    clone.repo.write("shipper.toml", &inline);
    clone.repo.write("Dockerfile", format!("{SHELL}RUN echo three > /three\nCOPY a.txt /\n"));
    clone.repo.write("a.txt", "inline");
    let ran = ship(&clone);
    assert_eq!(runs_cached(&ran), [true], "{}", ran.stdout);

    let clone = another_machine(&engine, &project);
    clone
        .repo
        .write("shipper.toml", configured(&registry, "export = 'always'\nsources = [{ registry = '127.0.0.1:9/x' }]"));
    clone.repo.write("a.txt", "c");
    let ran = ship(&clone);
    assert_eq!(only(&ran, "cache-exported")["outcome"], "failed", "{}", ran.stdout);
    assert_eq!(only(&ran, "run-finished")["exit-code"], 0);
}

#[test]
fn a_builder_without_caches_says_so() {
    need!(require_tool("buildah"));
    let project = Project::new(&format!("{SERVICE}[cache]\nsources = ['registry']\n"));
    project.repo.write("Dockerfile", "FROM scratch\nCOPY a.txt /\n");
    project.repo.write("a.txt", "a");
    let ran = with(&project, "buildah", None, &["ship"]).ok();
    ran.says("Cache app linux/").says("nothing to read; not registry (buildah has no such cache, buildx has)");
    project.repo.write("shipper.toml", format!("{SERVICE}[cache]\nsources = ['s3']\n"));
    project.run(["plan"]).exits(2).says("unknown variant `s3`");
    project.repo.write("shipper.toml", format!("{SERVICE}[cache]\nsources = [{{ registry = 'r.io/{{branch}}' }}]\n"));
    project.run(["plan"]).exits(2).says("cannot be the beginning of a cache's name");
}
