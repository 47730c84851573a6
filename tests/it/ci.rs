//! `shipper ci`: what is written, compared and refused, and what the scripts of a workflow do on a runner.

mod gitlab;
mod runner;

use serde_json::json;
use shipper_testkit::{DockerRegistry, need, require_docker_client};

use crate::release::github::Api;
use crate::support::Project;
use runner::{Run, Runner};

/// Three services, one of which another is built on, and environments.
fn project(registry: &str, further: &str) -> Project {
    let mut project = Project::new(&format!(
        r#"
[project]
name = "shop"
registry = "{registry}"

[service.base]
files = {{ "/srv/base" = "base" }}
[service.api]
files = {{ "/srv/api" = "api" }}
base = "base"
needs = {{ base = "base" }}
[service.web]
files = {{ "/srv/web" = "web" }}

[[env.staging.deploy]]
run = ["sh", "-c", 'echo "$SHIPPER_IMAGE_API" > "$HOME/deployed"']
{further}
"#
    ));
    for directory in ["base", "api", "web"] {
        project.repo.write(format!("{directory}/index.html"), directory);
    }
    project.repo.commit("start");
    project
}

#[test]
fn a_workflow_is_written_and_compared() {
    let project = project("ghcr.io/acme", "[ci]\nbranch = \"trunk\"\n");
    let text = project.run(["ci", "github"]).ok().stdout;
    assert!(text.contains("\n    branches:\n      - trunk\n") && text.contains("\n  deploy-staging:\n"), "{text}");
    let path = project.path().join(".github/workflows/shipper.yml");
    assert!(!path.exists());
    let missing = project.run(["ci", "github", "--check"]).exits(1);
    assert!(
        missing.stdout.starts_with("--- /dev/null\n+++ b/.github/workflows/shipper.yml\n@@ "),
        "{}",
        missing.stdout
    );
    project.run(["ci", "github", "--write"]).ok().says("Wrote .github/workflows/shipper.yml");
    assert_eq!(std::fs::read_to_string(&path).expect("a file"), text);
    project.run(["ci", "github", "--write"]).ok().says("Unchanged .github/workflows/shipper.yml");
    assert_eq!(project.run(["ci", "github", "--check"]).ok().stdout, "");
    std::fs::write(&path, text.replace("fail-fast: false", "fail-fast: true")).expect("writes");
    let changed = project.run(["ci", "github", "--check"]).exits(1);
    assert!(changed.stdout.contains("\n-      fail-fast: true\n+      fail-fast: false\n"), "{}", changed.stdout);
    changed.says("hint: `shipper ci github --write` brings it up to date");
    let document = project.run(["ci", "github", "--check", "--json"]).exits(1).json();
    assert_eq!((&document["current"], &document["text"]), (&json!(false), &json!(text)));
    assert_eq!(document["file"], ".github/workflows/shipper.yml");
}

#[test]
fn a_project_in_a_directory_has_a_workflow_of_its_own() {
    let project = Project::two_services();
    project.repo.write(
        "apps/shop/shipper.toml",
        "[project]\nname = 'shop'\nregistry = 'ghcr.io/acme'\n[service.a]\nfiles = { '/a' = 'a' }\n",
    );
    project.run(["-C", "apps/shop", "ci", "github", "--write"]).ok().says("Wrote .github/workflows/shipper-shop.yml");
    let text = std::fs::read_to_string(project.path().join(".github/workflows/shipper-shop.yml")).expect("a file");
    assert!(text.contains("    working-directory: apps/shop\n"), "{text}");
}

#[test]
fn mistakes_are_usage_with_a_hint() {
    let local = Project::two_services();
    local
        .run(["ci", "github"])
        .exits(2)
        .says("the jobs of a pipeline share no directory")
        .says("hint: name a registry");
    local.run(["ci", "jenkins"]).exits(2).says("[possible values: github, gitlab]");
    local.run(["ci"]).exits(2);
    let check = |further: &str, expected: &str| {
        project("ghcr.io/acme", further).run(["ci", "github"]).exits(2).says(expected);
    };
    check("[ci.deploy.stagign]\non = \"branch\"", "did you mean `staging`?");
    check("[ci.deploy.staging]\non = \"always\"", "unknown variant `always`");
    check("[ci]\nshipper = { path = \"/usr/src\" }", "`/usr/src` is no directory of the project");
    check("[ci]\nrunners = \"x\"", "did you mean `runner`?");
}

const LOGIN: &str = "[ci]\nlogin = { username = \"REGISTRY_USER\", password = \"REGISTRY_PASSWORD\" }\n[ci.deploy.staging]\non = \"branch\"\n";

#[test]
fn every_script_of_a_workflow_does_its_part_on_a_runner() {
    let docker = need!(require_docker_client());
    let registry = need!(DockerRegistry::start_with_password());
    let project = project(registry.host(), LOGIN);
    let runner = Runner::new(&project, &docker);
    let mut run = Run::push(&runner);
    let jobs = run.all();
    assert_eq!(jobs, ["plan", "bases", "build web", "build api", "finish", "deploy-staging"]);
    let deployed = std::fs::read_to_string(runner.home().join("deployed")).expect("was deployed");
    assert!(deployed.starts_with(&format!("{}/shop/api@sha256:", registry.host())), "{deployed}");
    // The same commit again: nothing is due, and the deployment is what it was.
    let jobs = Run::push(&runner).all();
    assert_eq!(jobs, ["plan", "finish", "deploy-staging"]);
    // A release of it: names for what is there, and notes.
    let api = Api::start("What is new", false, &[]);
    assert_eq!(Run::release(&runner, &api).all(), ["plan", "finish", "notes"]);
    assert!(api.body().starts_with("What is new\n\n<!-- shipper:images:begin v=1 -->\n"), "{}", api.body());
    assert!(api.body().contains("| api | `v1.1.0` `"), "{}", api.body());
    runner.every_script_was_run();
}

#[test]
fn c4_a_pull_request_of_a_fork_builds_and_is_given_nothing() {
    let docker = need!(require_docker_client());
    let registry = need!(DockerRegistry::start_with_password());
    let runner_of = |further: &str| {
        let project = project(registry.host(), further);
        let runner = Runner::new(&project, &docker);
        let jobs = Run::fork(&runner, "a$(touch pwned)`id`;'\"").all();
        assert_eq!(jobs, ["plan", "build web", "build api", "finish"]);
        assert!(!runner.home().join(".docker/config.json").exists());
    };
    runner_of(LOGIN);
    // Nobody asked the registry for anything.
    assert_eq!(registry.log().requests.len(), 0);
}

#[test]
fn a_run_of_which_a_job_failed_ends_as_failed() {
    let docker = need!(require_docker_client());
    let project = project("registry.example.com", "");
    let runner = Runner::new(&project, &docker);
    for (results, ends_well) in [
        ("success skipped success", true),
        ("success success failure", false),
        ("success cancelled skipped", false),
        ("failure skipped skipped", false),
    ] {
        assert_eq!(runner.verdict(results), ends_well, "{results}");
    }
}
