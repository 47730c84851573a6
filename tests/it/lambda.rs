//! `deploy` to functions of Lambda: the image of the function's platform, a version of it, and the alias.

use std::process::Command;

use shipper_testkit::{ApiFault, FakeAws, FakeRegistry, Moto};

use crate::ecs::kill_at;
use crate::support::{Project, Ran, TWO_SERVICES, text};

const ENVIRONMENT: &str = r#"
[env.prod]
timeout = "60s"

[[env.prod.deploy]]
name = "resize"
lambda = { function = "resize", alias = "live", image = "docs" }
"#;

struct World {
    aws: FakeAws,
    registry: FakeRegistry,
    project: Project,
}

impl World {
    /// A service for two platforms, whose image is an index.
    fn new() -> Self {
        let registry = FakeRegistry::start();
        for name in ["demo/docs", "demo/site", "shipper-records"] {
            registry.create_repository(name);
        }
        let aws = FakeAws::over(&registry);
        aws.set_function("resize", "arm64", "example.com/placeholder@sha256:00", "live");
        aws.script_updates(&["InProgress", "Successful"]);
        let world = Self { aws, registry, project: Project::two_services() };
        world.configure("[\"linux/amd64\", \"linux/arm64\"]", ENVIRONMENT);
        world
    }

    fn configure(&self, platforms: &str, environment: &str) {
        let registry = format!("name = \"demo\"\nregistry = \"{}\"\n", self.registry.host());
        let services = TWO_SERVICES.replace("name = \"demo\"\n", &registry);
        let services = services.replace("[service.docs]\n", &format!("[service.docs]\nplatforms = {platforms}\n"));
        self.project.repo.write("shipper.toml", services + environment);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.project.command(arguments);
        command.envs(self.aws.environment());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).output().expect("starts"))
    }

    fn image(&self) -> String {
        self.aws.image_of_alias("resize", "live").expect("there is an alias")
    }

    /// The calls to Lambda since the last look.
    fn calls(&self) -> Vec<String> {
        let calls = self.aws.actions();
        self.aws.clear_calls();
        calls.into_iter().filter_map(|action| action.strip_prefix("lambda:").map(str::to_owned)).collect()
    }

    /// The digest of what the image of `docs` has for a platform.
    fn part(&self, architecture: &str) -> String {
        let name = self.run(&["status", "--json"]).ok().json();
        let digest = text(&name["environments"][0]["running"]["images"]["docs"]["digest"]);
        let manifest = self.registry.manifest("demo/docs", &digest).expect("it is there");
        let index: serde_json::Value = serde_json::from_slice(&manifest.bytes).expect("JSON");
        let parts = index["manifests"].as_array().expect("an index");
        let part = parts.iter().find(|part| part["platform"]["architecture"] == architecture).expect("a part");
        text(&part["digest"])
    }
}

const LOOK: [&str; 3] = ["GetFunction", "GetAlias", "GetFunction"];

#[test]
fn an_alias_gets_a_version_with_the_image_of_its_platform() {
    let world = World::new();
    let planned = world.run(&["deploy", "prod", "--dry-run"]).ok();
    assert!(
        planned.stdout.contains("version 1 example.com/placeholder@sha256:00 -> to be built"),
        "{}",
        planned.stdout
    );
    assert_eq!(world.calls(), LOOK, "a dry run only looks");
    world.run(&["deploy", "prod"]).ok().says("version 2 has it").says("`live`: version 1 -> 2");
    let changes = ["UpdateFunctionCode", "GetFunctionConfiguration", "GetFunctionConfiguration", "PublishVersion"];
    let expected = [&LOOK[..], &LOOK, &changes, &["GetFunctionConfiguration", "UpdateAlias"]].concat();
    assert_eq!(world.calls(), expected);
    let first = world.image();
    assert!(first.ends_with(&world.part("arm64")), "{first}: a part, for Lambda takes no index");

    world.calls();
    world.registry.clear_log();
    world.run(&["deploy", "prod"]).ok().says("prod runs these images");
    assert_eq!(world.calls(), LOOK);
    world.registry.log().assert_no_writes();
    world.aws.split_alias("resize", "live", "1");
    world.run(&["deploy", "prod"]).ok().says("it runs something else").says("version 2 and others");

    world.project.repo.write("docs/index.md", "changed\n");
    world.run(&["deploy", "prod", "--no-wait"]).ok().says("`live`: version 2 -> 3");
    let status = world.run(&["status"]).ok();
    assert!(status.stdout.contains("resize: runs it") && world.image() != first, "{}", status.stdout);
    world.run(&["rollback", "prod"]).ok();
    assert_eq!(world.image(), first);
}

#[test]
fn an_update_that_fails_leaves_the_alias_where_it_is() {
    let world = World::new();
    let before = world.image();
    world.aws.script_updates(&["InProgress", "Failed/ImageAccessDenied"]);
    world.run(&["deploy", "prod"]).exits(6).says("its deployment is failed: ImageAccessDenied");
    assert_eq!(world.image(), before);
    // The code that is not published has the image, and Lambda could not use it: it is given again.
    world.aws.script_updates(&["Successful"]);
    world.aws.fault(ApiFault::fail("lambda:UpdateFunctionCode", 2, 409, "ResourceConflictException"));
    world.aws.fault(ApiFault::throttle("lambda:PublishVersion", 1));
    world.run(&["deploy", "prod"]).ok();
    assert!(world.image().ends_with(&world.part("arm64")));
}

/// G2, G17: whatever was begun, the next deployment brings it to its end, and nothing is said to run that does not.
#[test]
fn one_that_is_killed_at_any_of_its_calls_is_brought_to_its_end() {
    let world = World::new();
    world.run(&["deploy", "prod"]).ok();
    for step in ["UpdateFunctionCode", "GetFunctionConfiguration", "PublishVersion", "UpdateAlias"] {
        let before = world.image();
        world.project.repo.write("docs/index.md", format!("killed at {step}\n"));
        kill_at(&mut world.command(&["deploy", "prod"]), &world.aws, &format!("lambda:{step}"));
        assert_eq!(world.image(), before, "{step}: the alias moves last");
        world.calls();
        world.run(&["deploy", "prod"]).ok();
        let updates = world.calls().iter().filter(|call| *call == "UpdateFunctionCode").count();
        assert_eq!(updates, usize::from(step == "UpdateFunctionCode"), "{step}: what was begun goes on");
        assert_ne!(world.image(), before, "{step}");
        assert!(world.image().ends_with(&world.part("arm64")), "{step}");
        world.run(&["deploy", "prod"]).ok().says("prod runs these images");
    }
}

#[test]
fn what_can_not_be_deployed_is_refused_before_anything_is_written() {
    let world = World::new();
    world.configure("[\"linux/amd64\"]", ENVIRONMENT);
    world.run(&["ship"]).ok();
    world.registry.clear_log();
    world.run(&["deploy", "prod"]).exits(6).says("it has nothing for linux/arm64").says("it has linux/amd64");
    world.configure("[\"linux/amd64\"]", &ENVIRONMENT.replace("\"resize\", alias", "\"risize\", alias"));
    world.run(&["deploy", "prod"]).exits(6).says("find function `risize`");
    world.aws.fault(ApiFault::deny("lambda:GetAlias"));
    world.configure("[\"linux/amd64\"]", ENVIRONMENT);
    world.run(&["deploy", "prod"]).exits(3).says("allow `lambda:GetAlias`");
    world.registry.log().assert_no_writes();
    assert!(!world.calls().contains(&"UpdateFunctionCode".to_owned()));
}

#[test]
fn an_alias_that_is_not_there_is_made() {
    let world = World::new();
    world.configure("[\"linux/arm64\"]", &ENVIRONMENT.replace("live", "next"));
    world.run(&["deploy", "prod"]).ok().says("no alias `next` -> ").says("`next`: version 2");
    assert!(world.aws.image_of_alias("resize", "next").is_some_and(|image| image.contains("/demo/docs@sha256:")));
    world.run(&["deploy", "prod"]).ok().says("prod runs these images");
}

/// moto's Lambda, where moto runs already.
pub(crate) fn moto_moves_the_alias(moto: &Moto) {
    let world = World::new();
    let mut command = world.command(&["deploy", "prod"]);
    command.envs(moto.environment());
    Ran::of(&command.output().expect("starts")).ok();
    let alias = serde_json::json!({"FunctionName": "resize", "Name": "live"});
    let version = text(&moto.ask("lambda", "get_alias", &alias)["FunctionVersion"]);
    let asked = serde_json::json!({"FunctionName": "resize", "Qualifier": version});
    let found = moto.ask("lambda", "get_function", &asked);
    assert!(text(&found["Code"]["ImageUri"]).contains("/demo/docs@sha256:"), "{found}");
}
