//! `deploy` of an environment that is not there: which way it takes, what is written down about it, and who keeps whom away.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;
use shipper_testkit::{ApiFault, FakeAws, FakeRegistry, Profile};

use crate::support::{Project, Ran, TWO_SERVICES, text};

/// An environment that a stack's outputs tell of, and a command that writes them.
const ENVIRONMENT: &str = r#"
[env.prod]
ready = { stack = "ShopStack", output = "Uri", outputs-file = "cdk-outputs.json" }
bootstrap = ["sh", "-c", "echo ran >> seen/bootstrap.runs; echo $SHIPPER_GIT_SHA > seen/commit; SCRIPT"]

[[env.prod.deploy]]
name = "main"
run = ["sh", "-c", "echo $SHIPPER_DIGEST_DOCS >> seen/main.runs; TARGET"]
inputs = ["infra/**"]

[[env.prod.after]]
name = "policies"
run = ["sh", "-c", "echo ran >> seen/policies.runs"]
"#;

/// The command of a stack that comes to be.
const MADE: &str = "cp seen/outputs cdk-outputs.json";
const STACK: &str = "{ stack = \"ShopStack\", output = \"Uri\", outputs-file = \"cdk-outputs.json\" }";

struct World {
    aws: FakeAws,
    registry: FakeRegistry,
    project: Project,
}

impl World {
    /// An environment with a registry that is there before it.
    fn new(script: &str) -> Self {
        Self::with(None, script, "true")
    }

    fn with(registry: Option<&str>, script: &str, target: &str) -> Self {
        let ecr = FakeRegistry::builder().profile(Profile::Ecr).start();
        for name in ["demo/docs", "demo/site", "shipper-records"] {
            ecr.create_repository(name);
        }
        let aws = FakeAws::over(&ecr);
        let mut project = Project::two_services();
        let registry = registry.map_or_else(String::new, |registry| format!("registry = {registry}\n"));
        let services = TWO_SERVICES.replace("name = \"demo\"\n", &format!("name = \"demo\"\n{registry}"));
        project.repo.write("shipper.toml", services + &ENVIRONMENT.replace("SCRIPT", script).replace("TARGET", target));
        project.repo.write(".gitignore", "seen\ncdk-outputs.json\n");
        project.repo.write("infra/main.tf", "one\n");
        project.repo.commit("an environment");
        let outputs = format!("{{\"ShopStack\":{{\"Uri\":\"{}\"}}}}", aws.repository_uri("demo/docs"));
        project.repo.write("seen/outputs", outputs);
        Self { aws, registry: ecr, project }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.project.command(arguments);
        command.envs(self.aws.environment());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).output().expect("the binary starts"))
    }

    fn deploy(&self, arguments: &[&str]) -> Ran {
        self.run(&[&["deploy", "prod"], arguments].concat())
    }

    /// A deployment that goes on until `seen/go` is there.
    fn begun(&self, arguments: &[&str]) -> Child {
        let child = self.command(&[&["deploy", "prod"], arguments].concat()).spawn().expect("starts");
        self.wait_for("began");
        child
    }

    fn wait_for(&self, file: &str) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while !self.project.path().join("seen").join(file).exists() {
            assert!(Instant::now() < deadline, "{file} does not come to be");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What a step wrote down, one line for each time that it ran.
    fn lines(&self, file: &str) -> Vec<String> {
        let log = std::fs::read_to_string(self.project.path().join("seen").join(file)).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// How often `bootstrap`, the target and the step after it ran.
    fn runs(&self) -> [usize; 3] {
        ["bootstrap.runs", "main.runs", "policies.runs"].map(|file| self.lines(file).len())
    }

    /// The deployments, the oldest first.
    fn records(&self) -> Vec<Value> {
        let told = self.run(&["history", "prod", "--json"]).ok().json();
        told["deployments"].as_array().expect("a list").iter().rev().cloned().collect()
    }

    /// Kind, way and state of each.
    fn story(&self) -> Vec<[String; 3]> {
        self.records().iter().map(|one| ["kind", "path", "state"].map(|key| text(&one[key]))).collect()
    }
}

#[test]
fn an_environment_that_is_not_there_is_set_up_and_then_deployed_to() {
    let world = World::new(MADE);
    let planned = world.deploy(&["--dry-run"]).ok();
    assert!(planned.stdout.contains("+ bootstrap the stack does not exist"), "{}", planned.stdout);
    assert!(planned.stdout.contains("+ main after `bootstrap`"), "{}", planned.stdout);
    assert_eq!((world.runs(), world.records().len()), ([0, 0, 0], 0));

    world.deploy(&[]).ok().says("the environment was set up");
    assert_eq!(world.runs(), [1, 1, 1]);
    assert_eq!(world.lines("commit"), [world.project.repo.git(&["rev-parse", "HEAD"]).trim()]);
    assert_eq!(world.story(), [["bootstrap", "bootstrap", "observed"], ["deploy", "bootstrap", "observed"]]);
    let records = world.records();
    assert_eq!(records[1]["previous"], records[0]["id"]);
    world.deploy(&[]).ok().says("prod runs these images");
    assert_eq!(world.runs(), [1, 1, 1]);

    // There is nothing to go back to: where it was set up nothing was deployed.
    world.run(&["rollback", "prod"]).exits(1);
    world.run(&["rollback", "prod", "--to", &text(&records[0]["id"])]).exits(2).says("names no deployment");
}

#[test]
fn a_bootstrap_that_fails_is_recorded_and_leads_to_no_target() {
    let world = World::new("test ! -e seen/fails || exit 9; test -e seen/nothing || cp seen/outputs cdk-outputs.json");
    world.project.repo.write("seen/fails", "");
    world.deploy(&[]).exits(6).says("`bootstrap` failed (exit code 9)").says("hint: d-prod-");
    std::fs::remove_file(world.project.path().join("seen/fails")).expect("removes");
    world.project.repo.write("seen/nothing", "");
    world.deploy(&[]).exits(6).says("after its bootstrap it is not ready: the stack does not exist");
    std::fs::remove_file(world.project.path().join("seen/nothing")).expect("removes");
    assert_eq!(world.runs(), [2, 0, 0]);
    let failed = ["bootstrap", "bootstrap", "failed"];
    assert_eq!(world.story(), [failed, failed]);
    let failure = world.records().iter().map(|one| one["failure"].to_string()).collect::<Vec<_>>();
    assert!(failure[0].contains("exit code 9") && failure[1].contains("is not ready"), "{failure:?}");
    world.deploy(&[]).ok();
    assert_eq!(world.runs(), [3, 1, 1]);
}

#[test]
fn a_bootstrap_that_is_interrupted_is_ended_and_recorded() {
    let world = World::new("kill -INT $PPID; sleep 600");
    world.deploy(&[]).exits(130);
    assert_eq!(world.story(), [["bootstrap", "bootstrap", "failed"]]);
    assert!(world.records()[0]["failure"].to_string().contains("interrupted"));
}

#[test]
fn what_could_not_be_told_sets_nothing_up() {
    let world = World::new(MADE);
    world.aws.fault(ApiFault::deny("cloudformation:DescribeStacks"));
    world.deploy(&[]).exits(3);
    world.deploy(&["--dry-run"]).exits(3);
    assert_eq!((world.runs(), world.records().len()), ([0, 0, 0], 0));
}

#[test]
fn the_way_can_be_chosen() {
    let world = World::new(MADE);
    world.deploy(&["--path", "fast"]).ok();
    assert_eq!(world.runs(), [0, 1, 1], "it is taken to be there");
    world.deploy(&["--path", "bootstrap"]).ok().says("the environment was set up");
    assert_eq!(world.runs(), [1, 2, 2], "what ran before is not known to run there");
    world.deploy(&["--path", "bootstrap", "--dry-run"]).ok();
    world.deploy(&["--path", "inline"]).ok();
    assert_eq!((world.runs(), world.lines("main.runs")[2].as_str()), ([1, 3, 3], ""));
    let ways = [
        ["deploy", "fast", "observed"],
        ["bootstrap", "bootstrap", "observed"],
        ["deploy", "bootstrap", "observed"],
        ["deploy", "inline", "observed"],
    ];
    assert_eq!(world.story(), ways);

    let config = std::fs::read_to_string(world.project.path().join("shipper.toml")).expect("reads");
    let without: Vec<&str> = config.lines().filter(|line| !line.starts_with("bootstrap =")).collect();
    world.project.repo.write("shipper.toml", without.join("\n"));
    world.deploy(&["--path", "bootstrap"]).exits(1).says("put the command that does into `bootstrap`");
    std::fs::remove_file(world.project.path().join("cdk-outputs.json")).expect("removes");
    world.deploy(&[]).exits(1).says("the stack does not exist").says("put the command that does into `bootstrap`");
}

#[test]
fn while_one_sets_up_others_stop_or_wait() {
    let world = World::new(&format!("touch seen/began; while test ! -e seen/go; do sleep 0.05; done; {MADE}"));
    let mut first = world.begun(&[]);
    world.deploy(&[]).exits(6).says("is not done").says("`--wait-lock` waits for it");
    world.deploy(&["--path", "fast"]).exits(6).says("is not done");
    assert_eq!(world.runs(), [1, 0, 0]);
    let second = std::thread::scope(|scope| {
        let waits = scope.spawn(|| world.deploy(&["--wait-lock"]));
        world.project.repo.write("seen/go", "");
        waits.join().expect("ends")
    });
    second.ok();
    assert!(first.wait().expect("ends").success());
    assert_eq!(world.runs()[0], 1, "who waited found it set up");
    world.deploy(&[]).ok().says("prod runs these images");
}

/// One that was taken for gone and is not goes no further: no step, no pin, no record after that.
#[test]
fn a_deployment_that_was_taken_over_changes_nothing_more() {
    let slow = "test -e seen/began && exit 0; touch seen/began; while test ! -e seen/go; do sleep 0.05; done";
    let world = World::with(None, MADE, slow);
    let mut first = world.begun(&["--path", "fast"]);
    world.project.repo.write("docs/index.md", "2\n");
    world.deploy(&["--path", "fast"]).exits(6).says("or at once with `--take-over`");
    world.deploy(&["--path", "fast", "--take-over"]).ok();
    let layout = world.project.layout("demo/docs");
    let pinned = |pin: &str| {
        let ran = world.run(&["inspect", "--json", &format!("oci:{}:{pin}", layout.display())]);
        (ran.code == Some(0)).then(|| text(&ran.json()["digest"]))
    };
    let given = world.lines("main.runs");
    assert_eq!((given.len(), pinned("env-prod")), (2, Some(given[1].clone())));
    world.project.repo.write("seen/go", "");
    assert_eq!(first.wait().expect("ends").code(), Some(6));
    assert_eq!((pinned("env-prod"), pinned("env-prod.1"), world.runs()), (Some(given[1].clone()), None, [0, 2, 1]));
    assert_eq!(world.story(), [["deploy", "fast", "failed"], ["deploy", "fast", "observed"]]);
    let records = world.records();
    assert!(records[0]["failure"].to_string().contains(&format!("{} took over", text(&records[1]["id"]))));
    world.deploy(&["--path", "fast"]).ok().says("prod runs these images");
}

/// The same of one that sets the environment up.
#[test]
fn a_bootstrap_that_was_taken_over_leads_to_no_target() {
    let slow = "test -e seen/began || { touch seen/began; while test ! -e seen/go; do sleep 0.05; done; }";
    let world = World::new(&format!("{slow}; {MADE}"));
    let mut first = world.begun(&[]);
    world.deploy(&["--take-over"]).ok();
    assert_eq!(world.runs(), [2, 1, 1]);
    world.project.repo.write("seen/go", "");
    assert_eq!(first.wait().expect("ends").code(), Some(6));
    assert_eq!(world.runs(), [2, 1, 1]);
}

/// Where the stack makes the registry too there is no place for a record before, which is said.
#[test]
fn a_registry_that_the_bootstrap_makes_takes_the_records_afterwards() {
    let world =
        World::with(Some(STACK), &format!("test ! -e seen/fails || exit 9; {MADE}; test ! -e seen/late"), "true");
    world.project.repo.write("seen/fails", "");
    let warning = "nothing keeps another deployment away while `bootstrap` runs: the stack does not exist";
    world.deploy(&[]).exits(6).says(warning).says("`bootstrap` failed (exit code 9)");
    std::fs::remove_file(world.project.path().join("seen/fails")).expect("removes");
    assert!(world.registry.tags("shipper-records").is_empty());
    // It fails after it made the registry: that can be written down.
    world.project.repo.write("seen/late", "");
    world.deploy(&[]).exits(6).says("hint: d-prod-");
    assert_eq!(world.story(), [["bootstrap", "bootstrap", "failed"]]);
    std::fs::remove_file(world.project.path().join("seen/late")).expect("removes");
    std::fs::remove_file(world.project.path().join("cdk-outputs.json")).expect("removes");
    world.deploy(&[]).ok().says(warning);
    assert_eq!(world.story()[1], ["deploy", "bootstrap", "observed"]);
    assert_eq!(world.runs(), [3, 1, 1]);
}
