//! Environments that come and go: of pull requests by one table, and `undeploy`.

use shipper_testkit::{DockerRegistry, FakeRegistry, need};

use crate::support::{Project, TWO_SERVICES, text};

const DEPLOYED: &str = r#"
[env.prod]
deploy = [{ run = ["true"] }]

[env."pr-{pr}"]
remove = ["sh", "-c", "echo $SHIPPER_ENV $SHIPPER_DIGEST_DOCS $0 >> seen/removed; test ! -e seen/fail", "{env}"]
deploy = [{ name = "main", run = ["sh", "-c", "echo $0 $SHIPPER_DIGEST_DOCS >> seen/deployed", "{env}"] }]
"#;

fn project(registry: &str) -> Project {
    let project = Project::two_services();
    let services = TWO_SERVICES.replace("name = \"demo\"\n", &format!("name = \"demo\"\nregistry = \"{registry}\"\n"));
    project.repo.write("shipper.toml", services + DEPLOYED);
    project.repo.write(".gitignore", "seen\n");
    project.repo.write("seen/deployed", "");
    project.repo.write("seen/removed", "");
    project
}

/// What was written down, one line for each time.
fn lines(project: &Project, file: &str) -> Vec<String> {
    let log = std::fs::read_to_string(project.path().join("seen").join(file)).expect("reads");
    log.lines().map(str::to_owned).collect()
}

/// The kinds and states of an environment's deployments, the oldest first.
fn story(project: &Project, environment: &str) -> Vec<[String; 2]> {
    let told = project.run(["history", environment, "--json"]).ok().json();
    let records = told["deployments"].as_array().expect("a list").iter().rev();
    records.map(|record| ["kind", "state"].map(|key| text(&record[key]))).collect()
}

#[test]
fn an_environment_of_a_pull_request_comes_and_goes() {
    let registry = FakeRegistry::start();
    let project = project(registry.host());
    let pins = |environment: &str| {
        let pin = format!("env-{environment}");
        let all = ["demo/docs", "demo/site"].map(|name| registry.tags(name));
        all.concat().iter().filter(|(tag, _)| *tag == pin || tag.starts_with(&format!("{pin}."))).count()
    };
    project.run(["deploy", "pr-12"]).ok();
    project.run(["deploy", "pr-7"]).ok();
    let deployed = lines(&project, "deployed");
    let digest = deployed[0].strip_prefix("pr-12 ").expect("the environment's name").to_owned();
    assert_eq!((deployed[1].as_str(), pins("pr-12"), pins("pr-7")), (format!("pr-7 {digest}").as_str(), 2, 2));
    for name in ["pr-{pr}", "pr-012", "pr-0", "pr-", "pr-x", "pr-1x", "xpr-1"] {
        project.run(["deploy", name]).exits(2);
        project.run(["undeploy", name]).exits(2);
    }

    let planned = project.run(["undeploy", "pr-12", "--dry-run"]).ok();
    assert!(planned.stdout.contains("+ remove d-pr-12-"), "{}", planned.stdout);
    assert_eq!((lines(&project, "removed").len(), pins("pr-12")), (0, 2));
    let record = project.run(["undeploy", "pr-12"]).ok().says("Removed").stdout.trim().to_owned();
    assert_eq!(lines(&project, "removed"), [format!("pr-12 {digest} pr-12")]);
    assert_eq!((pins("pr-12"), pins("pr-7")), (0, 2));
    assert!(registry.manifest("demo/docs", &digest).is_some(), "images are left to retention");
    assert_eq!(story(&project, "pr-12"), [["deploy", "observed"], ["undeploy", "observed"]]);
    let found = project.run(["where", &digest, "--json"]).ok().json();
    let found: Vec<String> =
        found["found"].as_array().expect("a list").iter().map(|one| text(&one["environment"])).collect();
    assert_eq!(found, ["pr-7"]);
    let status = project.run(["status", "--json"]).ok().json();
    let last: Vec<_> =
        status["environments"].as_array().expect("a list").iter().map(|one| text(&one["last"]["kind"])).collect();
    assert_eq!(last, ["undeploy", "deploy"]);
    project.run(["rollback", "pr-12", "--to", &record]).exits(2).says("names no deployment");

    // Again, and of one that never was: nothing is run or written.
    registry.clear_log();
    project.run(["undeploy", "pr-12"]).ok().says("pr-12 is not deployed");
    project.run(["undeploy", "pr-99"]).ok().says("pr-99 is not deployed");
    registry.log().assert_no_writes();
    assert_eq!(lines(&project, "removed").len(), 1);

    // It can come back, and a removal that fails leaves what it has not removed.
    project.run(["deploy", "pr-12"]).ok().says("never run here");
    project.repo.write("seen/fail", "");
    project.run(["undeploy", "pr-12"]).exits(6).says("`remove` failed (exit code 1)").says("hint: d-pr-12-");
    assert_eq!((pins("pr-12"), story(&project, "pr-12").pop()), (2, Some(["undeploy".into(), "failed".into()])));
    std::fs::remove_file(project.path().join("seen/fail")).expect("removes");
    project.run(["undeploy", "pr-12"]).ok();
    assert_eq!(pins("pr-12"), 0);
    project.run(["undeploy", "prod"]).exits(2).says("put the command that does into `remove` of `[env.prod]`");
}

/// A registry that deletes no tags keeps the pins, which is said.
#[test]
fn an_environment_is_removed_from_a_real_registry() {
    let registry = need!(DockerRegistry::start());
    let project = project(registry.host());
    project.run(["deploy", "pr-3"]).ok();
    project.run(["undeploy", "pr-3"]).ok();
    assert_eq!(lines(&project, "removed").len(), 1);
    project.run(["undeploy", "pr-3"]).ok().says("pr-3 is not deployed");
    project.run(["deploy", "pr-3"]).ok();
    assert_eq!(lines(&project, "deployed").len(), 2);
}

/// The same where everything lies in layouts.
#[test]
fn an_environment_is_removed_from_layouts() {
    let project = project("oci:.shipper/images");
    project.run(["deploy", "pr-3"]).ok();
    let pin = format!("oci:{}:env-pr-3", project.layout("demo/docs").display());
    project.run(["inspect", &pin]).ok();
    project.run(["undeploy", "pr-3"]).ok();
    project.run(["inspect", &pin]).exits(1);
}
