//! `deploy` to services of ECS: which task definition they get, what is followed to its end, and what each end means.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use shipper_testkit::{ApiFault, FakeAws, FakeRegistry, Moto};

use crate::support::{Project, Ran, TWO_SERVICES, text};

/// A service of ECS that runs `docs`, and a command that follows it.
const ENVIRONMENT: &str = r#"
[env.prod]
timeout = "60s"

[[env.prod.deploy]]
name = "docs"
ecs = { cluster = "shop", service = "docs", container = "web", image = "docs" }

[[env.prod.after]]
name = "smoke"
run = ["sh", "-c", "echo ran >> seen/smoke"]
"#;

/// What stands in ECS before: with a field that no shipper knows, and a second container.
fn definition() -> Value {
    json!({
        "family": "shop-docs", "cpu": "256", "requiresCompatibilities": ["FARGATE"], "aFieldOfTheFuture": {"a": [1.5]},
        "containerDefinitions": [
            {"name": "web", "image": "example.com/placeholder:1", "environment": [{"name": "A", "value": "'$x'"}]},
            {"name": "log", "image": "example.com/log:1"},
        ],
    })
}

struct World {
    aws: FakeAws,
    registry: FakeRegistry,
    project: Project,
}

impl World {
    fn new() -> Self {
        let registry = FakeRegistry::start();
        for name in ["demo/docs", "demo/site", "shipper-records"] {
            registry.create_repository(name);
        }
        let aws = FakeAws::over(&registry);
        aws.set_service("shop", "docs", &definition());
        let mut project = Project::two_services();
        project.repo.write(".gitignore", "seen\n");
        let world = Self { aws, registry, project: Project::two_services() };
        project.repo.write("shipper.toml", world.config(ENVIRONMENT));
        project.repo.commit("an environment");
        std::fs::create_dir(project.path().join("seen")).expect("creates");
        Self { project, ..world }
    }

    fn config(&self, environment: &str) -> String {
        let registry = format!("name = \"demo\"\nregistry = \"{}\"\n", self.registry.host());
        TWO_SERVICES.replace("name = \"demo\"\n", &registry) + environment
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.project.command(arguments);
        command.envs(self.aws.environment());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).output().expect("starts"))
    }

    /// The image of the container that is deployed, as ECS has it.
    fn image(&self) -> String {
        let definition = self.aws.task_definition("shop", "docs").expect("there is a service");
        text(&definition["containerDefinitions"][0]["image"])
    }

    /// The calls to ECS since the last look.
    fn calls(&self) -> Vec<String> {
        let calls = self.aws.actions().into_iter().filter_map(|action| action.strip_prefix("ecs:").map(str::to_owned));
        let calls = calls.collect();
        self.aws.clear_calls();
        calls
    }

    fn smokes(&self) -> usize {
        std::fs::read_to_string(self.project.path().join("seen/smoke")).map_or(0, |log| log.lines().count())
    }

    /// The state of the last record.
    fn state(&self) -> String {
        let history = self.run(&["history", "prod", "--json"]).ok().json();
        text(&history["deployments"][0]["state"])
    }
}

/// Kills a command when its call to an action of AWS arrives, before that has an effect.
#[track_caller]
pub(crate) fn kill_at(command: &mut Command, aws: &FakeAws, action: &str) {
    aws.clear_calls();
    aws.fault(ApiFault::hang(action));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    while !aws.actions().iter().any(|called| called == action) {
        assert_eq!(child.try_wait().expect("can be asked"), None, "it ended before {action}");
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().expect("it runs");
    assert_eq!(child.wait().expect("it ends").code(), None, "killed");
    aws.clear_faults();
}

const LOOK: [&str; 2] = ["DescribeServices", "DescribeTaskDefinition"];

/// The story of a service: the first deployment, nothing to do, a change behind shipper's back, another image, and back.
#[test]
fn a_service_gets_its_task_definition_with_another_image() {
    let world = World::new();
    let planned = world.run(&["deploy", "prod", "--dry-run"]).ok();
    assert!(planned.stdout.contains("example.com/placeholder:1 -> to be built"), "{}", planned.stdout);
    assert_eq!(world.calls(), LOOK, "a dry run only looks");

    let ran = world.run(&["deploy", "prod", "--json"]).ok();
    let told = ran.events();
    let finished = told.iter().find(|event| event["event"] == "deploy-finished").expect("it ends");
    let first = text(&finished["images"]["docs"]);
    assert_eq!(world.image(), first);
    let mut found = world.aws.task_definition("shop", "docs").expect("a definition");
    assert_eq!(found["revision"], 2);
    found["containerDefinitions"][0]["image"] = "example.com/placeholder:1".into();
    for (field, value) in definition().as_object().expect("an object") {
        assert_eq!(found[field], *value, "{field}");
    }
    let calls = world.calls();
    let changes = ["RegisterTaskDefinition", "UpdateService", "ListServiceDeployments", "DescribeServiceRevisions"];
    let expected = [&LOOK[..], &LOOK, &changes, &["DescribeServiceDeployments"; 2]].concat();
    assert_eq!(calls, expected);
    assert_eq!(world.smokes(), 1);

    world.registry.clear_log();
    world.run(&["deploy", "prod"]).ok().says("prod runs these images");
    assert_eq!(world.calls(), LOOK, "the service is asked");
    world.registry.log().assert_no_writes();

    world.aws.set_service("shop", "docs", &definition());
    let status = world.run(&["status", "--json"]).ok().json();
    let target = &status["environments"][0]["targets"][0];
    assert_eq!((&target["runs"], &target["image"]), (&json!(false), &json!("example.com/placeholder:1")), "{target}");
    world.run(&["deploy", "prod"]).ok().says("it runs something else");
    assert_eq!(world.image(), first);
    world.run(&["status"]).ok();

    world.project.repo.write("docs/index.md", "changed\n");
    world.run(&["deploy", "prod"]).ok().says("another image of docs");
    assert_ne!(world.image(), first);
    let status = world.run(&["status"]).ok();
    assert!(status.stdout.contains("docs: runs it"), "{}", status.stdout);
    world.run(&["rollback", "prod"]).ok();
    assert_eq!(world.image(), first, "a rollback goes through the same target");
}

/// ECS took the deployment back: the service is stable and nothing is well.
#[test]
fn a_circuit_breaker_is_exit_7() {
    let world = World::new();
    world.run(&["deploy", "prod"]).ok();
    let before = world.image();
    world.project.repo.write("docs/index.md", "bad\n");
    world.aws.script_deployments(&["IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_SUCCESSFUL"]);
    let ran = world.run(&["deploy", "prod"]).exits(7).says("it was rolled back").says("circuit breaker threshold");
    ran.says("rollback in progress");
    assert_eq!((world.image(), world.smokes()), (before, 1), "what follows does not run");
    assert_eq!(world.state(), "failed");
    world.aws.script_deployments(&["SUCCESSFUL"]);
    world.run(&["deploy", "prod"]).ok().says("it did not succeed last time");
    assert_eq!((world.state().as_str(), world.smokes()), ("observed", 2));
    for (end, says) in [("ROLLBACK_FAILED", "rollback failed"), ("STOPPED", "is stopped")] {
        world.project.repo.write("docs/index.md", end);
        world.aws.script_deployments(&["IN_PROGRESS", end]);
        world.run(&["deploy", "prod"]).exits(6).says(says);
    }
}

#[test]
fn stages_of_a_blue_green_deployment_are_shown() {
    let world = World::new();
    let stages = ["PENDING", "IN_PROGRESS/SCALE_UP", "IN_PROGRESS/PRODUCTION_TRAFFIC_SHIFT", "IN_PROGRESS/BAKE_TIME"];
    world.aws.script_deployments(&[&stages[..], &["SUCCESSFUL"]].concat());
    let ran = world.run(&["deploy", "prod", "--json"]).ok();
    let lines: Vec<String> =
        ran.events().iter().filter(|event| event["event"] == "step-output").map(|event| text(&event["line"])).collect();
    let begun = ["pending", "in progress: scale up", "in progress: production traffic shift", "in progress: bake time"];
    assert_eq!(lines[1..], begun.map(|stage| format!("{stage}, 1 of 2 tasks run")), "{lines:?}");
    assert!(lines[0].contains("task-definition/shop-docs:2 has "), "{lines:?}");
}

/// A deployment that was not waited for to its end goes on, and the next one takes it up without another.
#[test]
fn one_that_takes_too_long_is_taken_up_again() {
    let world = World::new();
    let hasty = ENVIRONMENT.replace("60s", "3s");
    world.project.repo.write("shipper.toml", world.config(&hasty));
    world.aws.script_deployments(&["IN_PROGRESS"]);
    let ran = world.run(&["deploy", "prod"]).exits(6).says("within 3 s: in progress").says("stop-service-deployment");
    ran.says("service-deployment/shop/docs/1");
    assert_eq!((world.state().as_str(), world.smokes()), ("failed", 0));
    let image = world.image();
    world.calls();
    let planned = world.run(&["deploy", "prod", "--dry-run"]).ok();
    assert!(planned.stdout.contains("is being brought out"), "{}", planned.stdout);
    world.project.repo.write("shipper.toml", world.config(ENVIRONMENT));
    world.aws.finish_deployments();
    world.run(&["deploy", "prod"]).ok();
    let calls = world.calls();
    assert!(!calls.iter().any(|call| call.starts_with("Register") || call.starts_with("Update")), "{calls:?}");
    assert_eq!((world.image(), world.smokes()), (image, 1));
}

/// G2, G17: whatever was begun, the next deployment brings it to its end, and nothing is said to run that does not.
#[test]
fn one_that_is_killed_at_any_of_its_calls_is_brought_to_its_end() {
    let world = World::new();
    world.run(&["deploy", "prod"]).ok();
    let steps = [
        "RegisterTaskDefinition",
        "UpdateService",
        "ListServiceDeployments",
        "DescribeServiceRevisions",
        "DescribeServiceDeployments",
    ];
    for (at, step) in steps.into_iter().enumerate() {
        let (before, smokes) = (world.image(), world.smokes());
        world.project.repo.write("docs/index.md", format!("killed at {step}\n"));
        kill_at(&mut world.command(&["deploy", "prod"]), &world.aws, &format!("ecs:{step}"));
        // The call that did not arrive before the last is the one that changes the service.
        assert_eq!(world.image() != before, at > 1, "{step}");
        let pinned = world.registry.manifest("demo/docs", "env-prod").expect("a pin").digest;
        assert!(before.ends_with(&pinned), "{step}: what is not known to run is not pinned");
        world.calls();
        world.run(&["deploy", "prod"]).ok();
        let updates = world.calls().iter().filter(|call| *call == "UpdateService").count();
        assert_eq!(updates, usize::from(at <= 1), "{step}");
        let pinned = world.registry.manifest("demo/docs", "env-prod").expect("a pin").digest;
        assert!(world.image() != before && world.image().ends_with(&pinned), "{step}");
        assert_eq!((world.state().as_str(), world.smokes()), ("observed", smokes + 1), "{step}");
        world.run(&["deploy", "prod"]).ok().says("prod runs these images");
    }
}

#[test]
fn what_can_not_be_deployed_is_refused_before_anything_is_written() {
    let world = World::new();
    world.run(&["ship"]).ok();
    world.registry.clear_log();
    let refused = |environment: &str, code: i32, says: &[&str]| {
        world.project.repo.write("shipper.toml", world.config(environment));
        let ran = world.run(&["deploy", "prod"]).exits(code);
        says.iter().fold(ran, |ran, says| ran.says(says));
    };
    refused(&ENVIRONMENT.replace("\"web\"", "\"wbe\""), 6, &["find container `wbe`", "it has web, log"]);
    refused(&ENVIRONMENT.replace("\"shop\"", "\"shap\""), 6, &["find cluster `shap`", "create it first"]);
    let other = ENVIRONMENT.replace("service = \"docs\"", "service = \"api\"");
    refused(&other, 6, &["find service `api` in cluster `shop`"]);
    world.aws.fault(ApiFault::deny("ecs:DescribeTaskDefinition"));
    refused(
        ENVIRONMENT,
        3,
        &["call ecs:DescribeTaskDefinition: access is denied", "allow `ecs:DescribeTaskDefinition`"],
    );
    world.aws.set_controller("shop", "docs", "CODE_DEPLOY");
    refused(ENVIRONMENT, 6, &["carried out by CODE_DEPLOY", "a target `run`"]);
    let mut arm = definition();
    arm["runtimePlatform"] = json!({"cpuArchitecture": "ARM64"});
    world.aws.set_service("shop", "arm", &arm);
    let other = ENVIRONMENT.replace("service = \"docs\"", "service = \"arm\"");
    world.aws.clear_faults();
    refused(&other, 6, &["it has nothing for linux/arm64", "it has linux/amd64"]);
    world.registry.log().assert_no_writes();
    assert!(!world.calls().contains(&"RegisterTaskDefinition".to_owned()));
}

#[test]
fn throttling_and_faults_of_the_service_are_passed_over() {
    let world = World::new();
    world.aws.fault(ApiFault::throttle("ecs:DescribeServices", 2));
    world.aws.fault(ApiFault::fail("ecs:RegisterTaskDefinition", 1, 503, "ServerException"));
    world.aws.fault(ApiFault::fail("ecs:UpdateService", 1, 500, "ServerException"));
    world.run(&["deploy", "prod"]).ok();
    assert!(world.image().contains("@sha256:"), "{}", world.image());
}

/// Each kind of endpoint that leads elsewhere, and credentials that nobody has.
#[test]
fn calls_go_where_the_environment_says_and_are_signed() {
    let world = World::new();
    let mut command = world.command(&["deploy", "prod"]);
    command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9").env("AWS_ENDPOINT_URL_ECS", world.aws.url());
    Ran::of(&command.output().expect("starts")).ok();
    let calls = world.aws.calls();
    assert!(calls.iter().all(|call| call.scope == "eu-west-1/ecs" && call.key == "AKIDTESTKIT"), "{calls:?}");
    let mut command = world.command(&["deploy", "prod"]);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    Ran::of(&command.output().expect("starts")).exits(3).says("no credentials were found");
    let mut command = world.command(&["deploy", "prod"]);
    command.env_remove("AWS_REGION").env_remove("AWS_DEFAULT_REGION");
    Ran::of(&command.output().expect("starts")).exits(3).says("no region is configured");
}

/// Nobody waits: what was changed is `applied`, and whoever looks next says what became of it.
#[test]
fn what_was_not_waited_for_is_observed_by_whoever_looks_next() {
    let world = World::new();
    world.aws.script_deployments(&["IN_PROGRESS"]);
    world.run(&["deploy", "prod", "--no-wait"]).ok().says("`shipper status` says what becomes of it");
    let calls = world.calls();
    assert!(!calls.iter().any(|call| call.contains("Deployments")), "{calls:?}");
    let pin = |tag: &str| world.registry.manifest("demo/docs", tag).map(|manifest| manifest.digest.clone());
    assert_eq!((world.state().as_str(), pin("env-prod")), ("applied", None));
    let status = world.run(&["status"]).ok();
    assert!(status.stdout.contains("is being brought out"), "{}", status.stdout);
    assert_eq!(world.state(), "applied");
    world.aws.finish_deployments();
    let status = world.run(&["status"]).ok();
    assert!(status.stdout.contains(" observed ") && status.stdout.contains("docs: runs it"), "{}", status.stdout);
    assert_eq!(world.state(), "observed");
    assert!(pin("env-prod").is_some_and(|digest| world.image().ends_with(&digest)));
    world.run(&["deploy", "prod"]).ok().says("prod runs these images");

    // ECS takes it back while nobody looks; the next deployment knows, and tries once more.
    let before = world.image();
    world.project.repo.write("docs/index.md", "bad\n");
    world.aws.script_deployments(&["ROLLBACK_SUCCESSFUL"]);
    world.run(&["deploy", "prod", "--no-wait"]).ok();
    world.aws.roll_back_deployments();
    assert_eq!(world.image(), before);
    world.aws.script_deployments(&["SUCCESSFUL"]);
    let again = world.run(&["deploy", "prod"]).ok();
    again.says("cannot deploy to `docs`: it does not run its image").says("it did not succeed last time");
    let history = world.run(&["history", "prod", "--json"]).ok().json();
    let states: Vec<&str> =
        history["deployments"].as_array().expect("a list").iter().filter_map(|one| one["state"].as_str()).collect();
    assert_eq!(states, ["observed", "failed", "observed"]);

    // One that still goes on is taken over, not doubled.
    world.project.repo.write("docs/index.md", "slow\n");
    world.aws.script_deployments(&["IN_PROGRESS", "SUCCESSFUL"]);
    world.run(&["deploy", "prod", "--no-wait"]).ok();
    world.calls();
    world.run(&["deploy", "prod"]).ok();
    assert!(!world.calls().contains(&"UpdateService".to_owned()));
    assert_eq!(world.state(), "observed");
}

#[test]
fn what_is_promoted_need_not_be_waited_for() {
    let world = World::new();
    let staging = "[[env.staging.deploy]]\nrun = ['true']\ninputs = ['infra/**']\n";
    world.project.repo.write("shipper.toml", world.config(&format!("{ENVIRONMENT}{staging}")));
    world.run(&["deploy", "staging"]).ok();
    world.aws.script_deployments(&["IN_PROGRESS"]);
    let promote = ["promote", "staging", "--to-env", "prod", "--no-wait"];
    world.run(&promote).ok().says("`shipper status` says what becomes of it");
    assert_eq!(world.state(), "applied");
    world.aws.finish_deployments();
    world.run(&["status"]).ok();
    assert_eq!(world.state(), "observed");
    world.run(&["promote", "oci:a", "oci:b:v1", "--no-wait"]).exits(2);
}

/// moto's ECS keeps task definitions and services as another implementation of the same interface does; its deployments never end.
/// Called where moto runs already, for it takes long to start.
pub(crate) fn moto_takes_the_task_definition(moto: &Moto) {
    let world = World::new();
    let deploy = |arguments: &[&str]| {
        let mut command = world.command(arguments);
        command.envs(moto.environment());
        Ran::of(&command.output().expect("starts"))
    };
    let image = || moto.ask("ecs", "describe_task_definition", &json!({"taskDefinition": "shop-docs"}));
    deploy(&["deploy", "prod", "--no-wait"]).ok();
    let found = image();
    let container = &found["taskDefinition"]["containerDefinitions"][0];
    assert!(text(&container["image"]).contains("/demo/docs@sha256:"), "{found}");
    assert_eq!(container["environment"], json!([{"name": "A", "value": "'$x'"}]));
    assert_eq!((&found["taskDefinition"]["revision"], &found["taskDefinition"]["cpu"]), (&json!(2), &json!("256")));
    let services = moto.ask("ecs", "describe_services", &json!({"cluster": "shop", "services": ["docs"]}));
    assert_eq!(services["services"][0]["taskDefinition"], found["taskDefinition"]["taskDefinitionArn"]);
    deploy(&["deploy", "prod", "--no-wait"]).ok();
    assert_eq!(image()["taskDefinition"]["revision"], 2, "it has it");
}
