//! `deploy` with commands as targets: digests handed over, nothing done twice, records and pins.

use std::collections::BTreeMap;

use serde_json::Value;
use shipper_testkit::{DockerRegistry, FakeRegistry, need};

use crate::support::{Project, Ran, text};

/// Two services, a target that writes down what it was given, one with a file of its own, and a step for policies.
const DEPLOYED: &str = r#"
[env.prod]
pass-env = ["SHOP_*"]

[[env.prod.deploy]]
name = "main"
run = ["sh", "-c", "env | sort > seen/main; echo ran >> seen/main.runs; test ! -e seen/fail"]
env = { DOCS_IMAGE = "{image:docs}", PLAIN = "a 'b' $c" }
inputs = ["infra/**"]

[[env.prod.after]]
name = "policies"
run = ["sh", "-c", "echo ran >> seen/policies.runs"]
inputs = ["policies/**"]
"#;

/// What is deployed, in a repository that ignores what the targets write.
fn project(registry: Option<&str>) -> Project {
    let mut project = Project::two_services();
    let registry = registry.map_or_else(String::new, |registry| format!("registry = \"{registry}\"\n"));
    let config = crate::support::TWO_SERVICES.replace("name = \"demo\"\n", &format!("name = \"demo\"\n{registry}"));
    project.repo.write("shipper.toml", config + DEPLOYED);
    project.repo.write("infra/main.tf", "one\n");
    project.repo.write("policies/a.cedar", "permit\n");
    project.repo.write(".gitignore", "seen\n");
    project.repo.commit("environments");
    std::fs::create_dir(project.path().join("seen")).expect("creates");
    project
}

/// How often a step has run.
fn runs(project: &Project, step: &str) -> usize {
    let log = std::fs::read_to_string(project.path().join("seen").join(format!("{step}.runs")));
    log.map_or(0, |log| log.lines().count())
}

/// Variables that the target saw.
fn seen(project: &Project) -> BTreeMap<String, String> {
    let log = std::fs::read_to_string(project.path().join("seen/main")).expect("it ran");
    log.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn deploy(project: &Project, arguments: &[&str]) -> Ran {
    let mut all = vec!["deploy", "prod"];
    all.extend(arguments);
    project.run(all)
}

/// The events of one kind.
fn events<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == kind).collect()
}

/// The story of an environment: first deployment, no-op, infrastructure only, policies only, another image.
fn story(registry: Option<&str>) {
    let project = project(registry);
    let ran = deploy(&project, &["--json"]).ok();
    let told = ran.events();
    let digests: Vec<String> = ["docs", "site"]
        .iter()
        .map(|service| {
            let image = text(&events(&told, "deploy-finished")[0]["images"][service]);
            image.split_once('@').expect("by digest").1.to_owned()
        })
        .collect();
    let vars = seen(&project);
    assert!(vars["SHIPPER_IMAGE_DOCS"].ends_with(&format!("demo/docs@{}", digests[0])), "{vars:?}");
    assert_eq!((&vars["SHIPPER_DIGEST_SITE"], &vars["DOCS_IMAGE"]), (&digests[1], &vars["SHIPPER_IMAGE_DOCS"]));
    assert!(vars["SHIPPER_TAG_SITE"].starts_with("h-"), "{vars:?}");
    assert_eq!((vars["SHIPPER_ENV"].as_str(), vars["PLAIN"].as_str()), ("prod", "a 'b' $c"));
    assert_eq!((runs(&project, "main"), runs(&project, "policies")), (1, 1));

    deploy(&project, &[]).ok().says("prod runs these images");
    assert_eq!((runs(&project, "main"), runs(&project, "policies")), (1, 1), "the second time nothing is run");

    project.repo.write("policies/a.cedar", "forbid\n");
    deploy(&project, &[]).ok();
    assert_eq!((runs(&project, "main"), runs(&project, "policies")), (1, 2), "a policy is no image");

    project.repo.write("infra/main.tf", "two\n");
    deploy(&project, &[]).ok().says("its command, variables or files changed");
    assert_eq!((runs(&project, "main"), runs(&project, "policies")), (2, 2), "an edit of infrastructure is deployed");

    project.repo.write("docs/index.md", "changed\n");
    let planned = deploy(&project, &["--dry-run"]).ok();
    assert!(
        planned.stdout.contains("~ docs") && planned.stdout.contains("another image of docs"),
        "{}",
        planned.stdout
    );
    assert!(planned.stdout.contains("-> to be built"), "{}", planned.stdout);
    assert_eq!(runs(&project, "main"), 2, "a dry run runs nothing");
    deploy(&project, &["--no-build"]).exits(1).says("docs");
    project.run(["ship"]).ok().says("1 built");
    let planned = deploy(&project, &["--dry-run"]).ok();
    assert!(planned.stdout.contains("-> sha256:"), "{}", planned.stdout);
    deploy(&project, &["--no-build"]).ok();
    assert_ne!(seen(&project)["SHIPPER_DIGEST_DOCS"], digests[0]);
    assert_eq!(seen(&project)["SHIPPER_DIGEST_SITE"], digests[1]);
}

#[test]
fn a_dry_run_of_the_first_deployment_changes_nothing() {
    let registry = FakeRegistry::start();
    for name in ["demo/docs", "demo/site", "shipper-records"] {
        registry.create_repository(name);
    }
    let project = project(Some(registry.host()));
    let planned = deploy(&project, &["--dry-run"]).ok();
    for line in ["docs to be built", "site to be built", "+ main never run here", "+ policies never run here"] {
        assert!(planned.stdout.contains(line), "{line}: {}", planned.stdout);
    }
    registry.log().assert_no_writes();
    assert_eq!((runs(&project, "main"), runs(&project, "policies")), (0, 0));
    deploy(&project, &[]).ok().says("2 built");
}

#[test]
fn a_deployment_is_done_once_and_again_when_something_of_it_changed() {
    story(None);
}

#[test]
fn the_same_with_a_registry() {
    let registry = need!(DockerRegistry::start());
    story(Some(registry.host()));
}

#[test]
fn a_second_deployment_writes_nothing() {
    let registry = FakeRegistry::start();
    for name in ["demo/docs", "demo/site", "shipper-records"] {
        registry.create_repository(name);
    }
    let project = project(Some(registry.host()));
    deploy(&project, &[]).ok();
    let pinned = |tag: &str| registry.manifest("demo/docs", tag).map(|manifest| manifest.digest.clone());
    assert_eq!(pinned("env-prod").as_deref(), Some(seen(&project)["SHIPPER_DIGEST_DOCS"].as_str()));
    assert_eq!(pinned("env-prod.next"), None);
    registry.clear_log();
    deploy(&project, &[]).ok();
    registry.log().assert_no_writes();
    let first = pinned("env-prod");
    for content in ["2", "3", "4", "5", "6"] {
        project.repo.write("docs/index.md", content);
        deploy(&project, &[]).ok();
    }
    assert_eq!(pinned("env-prod").as_deref(), Some(seen(&project)["SHIPPER_DIGEST_DOCS"].as_str()));
    let kept: Vec<_> = [".1", ".2", ".3"].iter().map(|place| pinned(&format!("env-prod{place}"))).collect();
    assert!(kept.iter().all(|pin| pin.is_some() && *pin != pinned("env-prod") && *pin != first), "{kept:?}");
}

#[test]
fn a_target_sees_what_it_is_passed_and_no_secret() {
    let project = project(None);
    let mut command = project.command(["deploy", "prod"]);
    command.env("SHOP_TOKEN", "passed").env("AWS_SECRET_ACCESS_KEY", "canary").env("GITHUB_TOKEN", "canary");
    Ran::of(&command.output().expect("starts")).ok();
    let vars = seen(&project);
    assert_eq!(vars["SHOP_TOKEN"], "passed");
    assert!(!vars.values().any(|value| value.contains("canary")), "{vars:?}");
    let records = project.path().join(".shipper/images/shipper-records");
    let stored = walk(&records);
    assert!(!stored.is_empty() && stored.iter().all(|bytes| !contains(bytes, b"passed")), "values are in no record");
}

fn walk(directory: &std::path::Path) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
        if entry.path().is_dir() {
            found.extend(walk(&entry.path()));
        } else {
            found.push(std::fs::read(entry.path()).expect("reads"));
        }
    }
    found
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn a_target_that_fails_is_recorded_and_tried_again() {
    let project = project(None);
    project.repo.write("seen/fail", "");
    let ran = deploy(&project, &[]).exits(6).says("cannot deploy: `main` failed (exit code 1)").says("hint: d-prod-");
    assert!(ran.stdout.is_empty(), "{}", ran.stdout);
    assert_eq!((runs(&project, "main"), runs(&project, "policies")), (1, 0), "what follows does not run");
    std::fs::remove_file(project.path().join("seen/fail")).expect("removes");
    deploy(&project, &[]).ok().says("it did not succeed last time");
    assert_eq!((runs(&project, "main"), runs(&project, "policies")), (2, 1));
    deploy(&project, &[]).ok().says("prod runs these images");
}

/// A target that says what it runs: what changed behind shipper's back is deployed again, what it does not say is unknown, and
/// a command that returns 0 without doing anything is no success.
#[test]
fn a_check_decides_whether_a_target_runs_its_image() {
    let project = project(None);
    let config = std::fs::read_to_string(project.path().join("shipper.toml")).expect("reads");
    let check = "check = [\"sh\", \"-c\", \"test -e seen/unknown && exit 9; test \\\"$(cat seen/now)\\\" = $0\", \"{digest:docs}\"]\n";
    let target = |runs: &str| {
        let config = config.replace("; test ! -e seen/fail", runs);
        project.repo.write(
            "shipper.toml",
            config.replace("inputs = [\"infra", &format!("{check}timeout = \"2s\"\ninputs = [\"infra")),
        );
    };
    target("; echo $SHIPPER_DIGEST_DOCS > seen/now");
    deploy(&project, &[]).ok();
    deploy(&project, &[]).ok().says("prod runs these images");
    project.repo.write("seen/now", "another\n");
    deploy(&project, &[]).ok().says("its check says that it runs something else");
    assert_eq!(runs(&project, "main"), 2);
    project.repo.write("seen/unknown", "");
    deploy(&project, &[]).exits(3).says("cannot tell what `main` runs: its check failed (exit code 9)");
    std::fs::remove_file(project.path().join("seen/unknown")).expect("removes");
    assert_eq!(runs(&project, "main"), 2, "unknown is neither yes nor no");
    target("");
    project.repo.write("docs/index.md", "2\n");
    deploy(&project, &[]).exits(6).says("`main` does not run its image");
    let status = project.run(["status", "--json"]).ok().json();
    assert_eq!(status["environments"][0]["last"]["state"], "failed");
}

/// What a deployment that failed would have brought out stays away from one that is about another service.
#[test]
fn the_images_of_other_services_are_those_that_ran() {
    let project = project(None);
    deploy(&project, &[]).ok();
    let ran = seen(&project)["SHIPPER_DIGEST_DOCS"].clone();
    project.repo.write("docs/index.md", "bad\n");
    project.repo.write("seen/fail", "");
    deploy(&project, &[]).exits(6);
    assert_ne!(seen(&project)["SHIPPER_DIGEST_DOCS"], ran);
    std::fs::remove_file(project.path().join("seen/fail")).expect("removes");
    deploy(&project, &["site"]).ok();
    assert_eq!(seen(&project)["SHIPPER_DIGEST_DOCS"], ran, "nobody asked for the other image");
    deploy(&project, &[]).ok();
    assert_ne!(seen(&project)["SHIPPER_DIGEST_DOCS"], ran);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_done() {
    let project = project(None);
    project.run(["deploy", "prd"]).exits(2).says("did you mean `prod`?");
    project.run(["deploy", "prod", "dosc"]).exits(2).says("did you mean `docs`?");
    project.run(["deploy", "prod", "--no-build"]).exits(1).says("docs, site not built");
    project.run(["deploy", "prod", "--tag", "v9"]).exits(1);
    project.run(["deploy", "prod", "--image", "docs"]).exits(2);
    project.run(["deploy", "prod", "--pr", "7"]).exits(6).says("is not trusted");
    assert_eq!(runs(&project, "main"), 0);
    assert!(!project.path().join(".shipper/images/shipper-records").exists());
}

#[test]
fn an_environment_has_a_registry_of_its_own_and_gets_the_same_bytes() {
    let (own, live) = (need!(DockerRegistry::start()), need!(DockerRegistry::start()));
    let project = project(Some(own.host()));
    let config = std::fs::read_to_string(project.path().join("shipper.toml")).expect("reads");
    project
        .repo
        .write("shipper.toml", config.replace("[env.prod]", &format!("[env.prod]\nregistry = \"{}\"", live.host())));
    deploy(&project, &[]).ok().says("Copied");
    let image = seen(&project)["SHIPPER_IMAGE_DOCS"].clone();
    assert!(image.starts_with(live.host()), "{image}");
    let digest = image.split_once('@').expect("a digest").1;
    let there = project.run(["inspect", "--json", &image]).ok().json();
    assert_eq!(there["digest"], digest);
    let built = project.run(["inspect", "--json", &image.replace(live.host(), own.host())]).ok().json();
    assert_eq!(built["digest"], digest);
    live.clear_log();
    deploy(&project, &[]).ok().says("prod runs these images");
    let writes =
        live.log().requests.iter().filter(|request| !matches!(request.method.as_str(), "GET" | "HEAD")).count();
    assert_eq!(writes, 0);
}

#[test]
fn an_image_by_name_is_deployed_exactly_and_the_others_stay() {
    let project = project(None);
    deploy(&project, &[]).ok();
    let before = seen(&project);
    let old = format!("docs=oci:{}:{}", project.layout("demo/docs").display(), before["SHIPPER_TAG_DOCS"]);
    project.repo.write("docs/index.md", "2\n");
    project.repo.write("site/index.html", "2\n");
    deploy(&project, &[]).ok();
    let after = seen(&project);
    assert_ne!(after["SHIPPER_DIGEST_DOCS"], before["SHIPPER_DIGEST_DOCS"]);
    deploy(&project, &["--image", &old]).ok();
    let now = seen(&project);
    assert_eq!(now["SHIPPER_DIGEST_DOCS"], before["SHIPPER_DIGEST_DOCS"]);
    assert_eq!(now["SHIPPER_DIGEST_SITE"], after["SHIPPER_DIGEST_SITE"]);
}

#[test]
fn inline_gives_no_image_and_says_so() {
    let project = project(None);
    deploy(&project, &["--path", "inline"]).ok();
    let vars = seen(&project);
    assert!(!vars.contains_key("DOCS_IMAGE") && !vars.keys().any(|name| name.starts_with("SHIPPER_IMAGE")), "{vars:?}");
    deploy(&project, &[]).ok();
    assert!(seen(&project).contains_key("DOCS_IMAGE"), "what was built there is not known");
}

/// The digest that an environment's service was given last.
fn given(project: &Project) -> String {
    seen(project)["SHIPPER_DIGEST_DOCS"].clone()
}

/// G5: git, builders and the checkout are gone; the registry and the target's own command are what is left.
fn back(registry: &str, project: &Project) {
    deploy(project, &[]).ok();
    let first = given(project);
    project.repo.write("docs/index.md", "2\n");
    deploy(project, &[]).ok();
    let second = given(project);
    assert_ne!(first, second);

    let elsewhere = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(elsewhere.path().join("seen")).expect("creates");
    let bin = elsewhere.path().join("bin");
    std::fs::create_dir(&bin).expect("creates");
    for program in ["sh", "env", "sort"] {
        std::os::unix::fs::symlink(format!("/usr/bin/{program}"), bin.join(program)).expect("links");
    }
    let directory = elsewhere.path().to_str().expect("plain");
    let rollback = |arguments: &[&str]| {
        let mut command = project.command(["-C", directory, "rollback", "prod", "--registry", registry]);
        Ran::of(&command.args(arguments).env("PATH", &bin).output().expect("starts"))
    };
    let planned = rollback(&["--dry-run"]).ok();
    assert!(planned.stdout.contains("~ docs"), "{}", planned.stdout);
    let name = rollback(&[]).ok().says("Restored").stdout.trim().to_owned();
    let log = std::fs::read_to_string(elsewhere.path().join("seen/main")).expect("the target ran there");
    assert!(log.contains(&format!("SHIPPER_DIGEST_DOCS={first}")), "{log}");
    // There is nothing before the first.
    rollback(&[]).exits(1).says("`shipper history prod` lists what there is");

    let told = project.run(["history", "prod", "--json", "--registry", registry]).ok().json();
    let told = told["deployments"].as_array().expect("a list").clone();
    let kinds: Vec<String> = told.iter().map(|one| text(&one["kind"])).collect();
    assert_eq!(kinds, ["rollback", "deploy", "deploy"]);
    assert_eq!(told[0]["id"], name.as_str());
    for (newer, older) in told.iter().zip(&told[1..]) {
        assert_eq!(newer["previous"], older["id"], "the order is that of `previous`");
    }
    assert_eq!(told[0]["restores"], told[2]["id"]);
    assert!(told.iter().all(|one| text(&one["images"]["docs"]["reference"]).contains("@sha256:")), "G6");

    let found = project.run(["where", &first, "--json", "--registry", registry]).ok().json();
    assert_eq!(
        (&found["found"][0]["environment"], &found["found"][0]["record"]),
        (&"prod".into(), &name.as_str().into())
    );
    project.run(["where", &second, "--registry", registry]).exits(1);
    // By a name that the registry has, and no record.
    let image = text(&found["found"][0]["image"]);
    let name_and_tag = image.split_once('@').map(|(name, _)| format!("{name}:env-prod")).expect("by its digest");
    for named in ["env-prod", &name_and_tag] {
        let again = project.run(["where", named, "--json", "--registry", registry]).ok().json();
        assert!(again["found"].as_array().expect("a list").contains(&found["found"][0]), "{named}: {again}");
    }
    project.run(["where", "no-such-name", "--registry", registry]).exits(1);
    project.run(["history", "no-such-name", "--registry", registry]).exits(2).says("prod");
    let status = project.run(["status", "--json", "--registry", registry]).ok().json();
    assert_eq!(status["environments"][0]["running"]["images"]["docs"]["digest"], first.as_str());

    rollback(&["--to", &text(&told[1]["id"])]).ok();
    rollback(&["--to", &text(&told[1]["id"])]).ok().says("prod runs these images");
    rollback(&["--to", "nothing"]).exits(2).says("names no deployment");
}

#[test]
fn a_rollback_needs_the_registry_and_the_target_alone() {
    let registry = need!(DockerRegistry::start());
    back(registry.host(), &project(Some(registry.host())));
}

#[test]
fn a_rollback_needs_the_layout_and_the_target_alone() {
    let store = tempfile::tempdir().expect("a directory");
    let registry = format!("oci:{}", store.path().display());
    back(&registry, &project(Some(&registry)));
}

#[test]
fn a_rollback_to_an_image_that_is_not_whole_changes_nothing() {
    let registry = FakeRegistry::start();
    for name in ["demo/docs", "demo/site", "shipper-records"] {
        registry.create_repository(name);
    }
    let project = project(Some(registry.host()));
    deploy(&project, &[]).ok();
    let before = registry.blobs("demo/docs");
    project.repo.write("docs/index.md", "2\n");
    deploy(&project, &[]).ok();
    for blob in &before {
        registry.delete_blob("demo/docs", blob);
    }
    let runs_before = runs(&project, "main");
    registry.clear_log();
    project.run(["rollback", "prod"]).exits(6).says("is gone").says("nothing was changed");
    registry.log().assert_no_writes();
    assert_eq!(runs(&project, "main"), runs_before);
}

/// E7: killed by its own target, at the edge between intent and applied.
#[test]
fn e7_a_deployment_that_was_killed_is_brought_to_its_end_by_the_next() {
    let project = project(None);
    deploy(&project, &[]).ok();
    project.repo.write("docs/index.md", "2\n");
    let config = std::fs::read_to_string(project.path().join("shipper.toml")).expect("reads");
    project
        .repo
        .write("shipper.toml", config.replace("; test ! -e seen/fail", "; test ! -e seen/fail || kill -9 $PPID"));
    project.repo.write("seen/fail", "");
    let killed = deploy(&project, &[]);
    assert_eq!(killed.code, None, "{}", killed.stderr);
    let status = project.run(["status", "--json"]).ok().json();
    assert_eq!(status["environments"][0]["last"]["state"], "intent");
    std::fs::remove_file(project.path().join("seen/fail")).expect("removes");
    deploy(&project, &[]).ok();
    deploy(&project, &[]).ok().says("prod runs these images");
    let told = project.run(["history", "prod", "--json"]).ok().json();
    let states: Vec<String> =
        told["deployments"].as_array().expect("a list").iter().map(|one| text(&one["state"])).collect();
    assert_eq!(states, ["observed", "failed", "observed"], "the record says that it was interrupted");
}

#[test]
fn a_second_deployment_sees_the_first_and_stops_or_waits() {
    let project = project(None);
    let config = std::fs::read_to_string(project.path().join("shipper.toml")).expect("reads");
    let slow = "; touch seen/began; while test ! -e seen/go; do sleep 0.05; done";
    project.repo.write("shipper.toml", config.replace("; test ! -e seen/fail", slow));
    let mut first = project.command(["deploy", "prod"]).spawn().expect("starts");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while !project.path().join("seen/began").exists() {
        assert!(std::time::Instant::now() < deadline, "the target does not begin");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    deploy(&project, &[]).exits(6).says("is not done").says("`--wait-lock` waits for it");
    project.run(["rollback", "prod"]).exits(6).says("is not done");
    let second = std::thread::scope(|scope| {
        let waits = scope.spawn(|| project.command(["deploy", "prod", "--wait-lock"]).output().expect("starts"));
        project.repo.write("seen/go", "");
        waits.join().expect("ends")
    });
    Ran::of(&second).ok().says("prod runs these images");
    assert!(first.wait().expect("ends").success());
    assert_eq!(runs(&project, "main"), 1);
}
