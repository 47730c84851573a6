//! The whole story of a project on AWS, by the commands alone: from an empty account over failures to another registry and
//! to a clean-up that keeps exactly what runs, what can be gone back to, and what is young.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use shipper_testkit::{FakeAws, FakeRegistry, Profile};

use crate::support::{Project, Ran, TWO_SERVICES, text};

const HOST: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

/// A stack whose set-up makes the repositories, a service of ECS, a command, and a step about policies.
const PROD: &str = r#"
[env.prod]
ready = { stack = "ShopStack", output = "Uri", outputs-file = "cdk-outputs.json" }
bootstrap = ["sh", "-c", "echo ran >> seen/bootstrap; SHIPPER ecr ensure && cp seen/outputs cdk-outputs.json"]
pass-env = ["AWS_*"]
timeout = "60s"

[[env.prod.deploy]]
name = "docs"
ecs = { cluster = "shop", service = "docs", container = "web", image = "docs" }

[[env.prod.deploy]]
name = "edge"
run = ["sh", "-c", "echo $SHIPPER_DIGEST_SITE >> seen/edge"]
services = ["site"]
inputs = ["infra/**"]

[[env.prod.after]]
name = "policies"
run = ["sh", "-c", "cat policies/all >> seen/policies"]
inputs = ["policies/**"]
"#;

/// Everything that is identified and was pushed before is older than the youngest.
const RETENTION: &str = r#"{"rules":[
  {"rulePriority":1,"selection":{"tagStatus":"tagged","tagPatternList":["h-*"],"countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}}
]}"#;

/// 2026-06-01, in seconds since the Unix epoch.
const JUNE: i64 = 1_780_272_000;

struct World {
    ecr: FakeRegistry,
    live: FakeRegistry,
    aws: FakeAws,
    project: Project,
}

impl World {
    fn new() -> Self {
        let (ecr, live) = (FakeRegistry::builder().profile(Profile::Ecr).start(), FakeRegistry::start());
        let aws = FakeAws::over(&ecr);
        let definition = json!({
            "family": "shop-docs", "requiresCompatibilities": ["FARGATE"],
            "containerDefinitions": [{"name": "web", "image": "example.com/placeholder:1"}],
        });
        aws.set_service("shop", "docs", &definition);
        aws.set_time(JUNE);
        let mut project = Project::two_services();
        let services = TWO_SERVICES.replace("name = \"demo\"\n", &format!("name = \"demo\"\nregistry = \"{HOST}\"\n"));
        let prod = PROD.replace("SHIPPER", env!("CARGO_BIN_EXE_shipper"));
        let elsewhere = format!(
            "[env.live]\nregistry = \"{}\"\n[[env.live.deploy]]\n\
             run = [\"sh\", \"-c\", \"echo $SHIPPER_IMAGE_DOCS $SHIPPER_IMAGE_SITE >> seen/live\"]\ninputs = [\"infra/**\"]\n",
            live.host()
        );
        project.repo.write("shipper.toml", services + &prod + &elsewhere);
        project.repo.write(".gitignore", "seen\ncdk-outputs.json\n");
        project.repo.write("infra/main.tf", "one\n");
        project.repo.write("policies/all", "1\n");
        project.repo.commit("an environment");
        let outputs = format!("{{\"ShopStack\":{{\"Uri\":\"{}\"}}}}", aws.repository_uri("demo/docs"));
        project.repo.write("seen/outputs", outputs);
        Self { ecr, live, aws, project }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.project.command(arguments);
        command.envs(self.aws.environment());
        Ran::of(&command.output().expect("starts"))
    }

    fn deploy(&self) -> Ran {
        self.run(&["deploy", "prod"])
    }

    /// The image that ECS runs, by its digest.
    fn running(&self) -> String {
        let definition = self.aws.task_definition("shop", "docs").expect("there is a service");
        let image = text(&definition["containerDefinitions"][0]["image"]);
        image.split_once('@').map_or(image.clone(), |(_, digest)| digest.to_owned())
    }

    /// How often the set-up, the command and the step about policies ran.
    fn runs(&self) -> [usize; 3] {
        ["bootstrap", "edge", "policies"].map(|step| self.lines(step).len())
    }

    fn lines(&self, step: &str) -> Vec<String> {
        let log = std::fs::read_to_string(self.project.path().join("seen").join(step)).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// Kind, way and state of each deployment of an environment, the oldest first.
    fn story(&self, environment: &str) -> Vec<[String; 3]> {
        let told = self.run(&["history", environment, "--json"]).ok().json();
        let all = told["deployments"].as_array().expect("a list").iter().rev();
        all.map(|one| ["kind", "path", "state"].map(|key| text(&one[key]))).collect()
    }
}

#[test]
fn the_story_of_a_project_from_an_empty_account_to_its_clean_up() {
    let world = World::new();
    assert_eq!(world.ecr.repositories(), Vec::<String>::new(), "the account is empty");

    // An empty account: it is set up, then deployed to.
    world.deploy().ok().says("the environment was set up");
    assert_eq!(world.ecr.repositories(), ["demo/docs", "demo/site", "shipper-records"]);
    assert_eq!(world.runs(), [1, 1, 1]);
    let first = world.running();

    // A change is the fast way, and what it does not concern is left alone.
    world.project.repo.write("docs/index.md", "2\n");
    world.deploy().ok();
    let second = world.running();
    assert!(first.starts_with("sha256:") && second != first);
    assert_eq!(world.runs(), [1, 1, 1]);

    // Nothing changed: nothing is written, anywhere.
    world.ecr.clear_log();
    world.deploy().ok().says("prod runs these images");
    world.ecr.log().assert_no_writes();
    assert_eq!(world.runs(), [1, 1, 1]);

    // Policies alone: their step, and no target.
    world.project.repo.write("policies/all", "2\n");
    world.deploy().ok();
    assert_eq!((world.runs(), world.running()), ([1, 1, 2], second.clone()));

    // ECS takes a bad one back: exit 7, what ran runs on, and is what is pinned.
    world.project.repo.write("docs/index.md", "bad\n");
    world.aws.script_deployments(&["IN_PROGRESS", "ROLLBACK_SUCCESSFUL"]);
    world.deploy().exits(7);
    assert_eq!((world.runs(), world.running()), ([1, 1, 2], second.clone()));
    let pinned = |name: &str, pin: &str| world.ecr.manifest(name, pin).map(|manifest| manifest.digest);
    assert_eq!(pinned("demo/docs", "env-prod").as_ref(), Some(&second));
    let bad = newest(&world);

    // Back to what ran before it, then to the first, without a build.
    world.aws.script_deployments(&["SUCCESSFUL"]);
    let shipped = world.ecr.manifests("demo/docs").len();
    world.run(&["rollback", "prod"]).ok();
    assert_eq!(world.running(), second);
    world.run(&["rollback", "prod"]).ok();
    assert_eq!((world.running(), world.ecr.manifests("demo/docs").len()), (first.clone(), shipped));
    assert_eq!(pinned("demo/docs", "env-prod.1").as_ref(), Some(&second));

    // What runs goes to another registry, byte for byte.
    world.run(&["promote", "prod", "--to-env", "live"]).ok();
    let bytes = |registry: &FakeRegistry| registry.manifest("demo/docs", &first).expect("it is there").bytes;
    assert_eq!(bytes(&world.ecr), bytes(&world.live));
    let given = world.lines("live").remove(0);
    assert!(given.starts_with(&format!("{}/demo/docs@{first} ", world.live.host())), "{given}");

    // A month later only the failed image goes, with what is stated about it.
    world.project.repo.write("docs/index.md", "young\n");
    world.run(&["ship"]).ok();
    let young = newest(&world);
    for digest in world.ecr.manifests("demo/docs") {
        let days = if digest == young { 0 } else { 30 };
        world.aws.set_pushed_at("demo/docs", &digest, JUNE - days * 86_400);
    }
    world.project.repo.write("retention.json", RETENTION);
    let before = manifests(&world);
    let on_docs = ["--repository", "demo/docs", "--policy", "retention.json", "--now", "2026-06-01T00:00:00Z"];
    world.run(&[&["ecr", "gc", "plan", "--out", "plan.json"], &on_docs[..]].concat()).ok();
    world.run(&["ecr", "gc", "apply", "plan.json"]).ok();
    let after = manifests(&world);
    let of_bad: BTreeSet<&String> = before
        .iter()
        .filter(|(digest, about)| **digest == bad || about.as_ref() == Some(&bad))
        .map(|(digest, _)| digest)
        .collect();
    let gone: BTreeSet<&String> = before.keys().filter(|digest| !after.contains_key(*digest)).collect();
    assert!(gone.contains(&bad) && gone.is_subset(&of_bad), "{gone:?} of {of_bad:?}");
    assert!([&first, &second, &young].iter().all(|kept| after.contains_key(*kept)), "{after:?}");

    // And everything goes on.
    let told = world.run(&["history", "prod", "--json"]).ok().json();
    let policies = text(&told["deployments"][3]["id"]);
    world.run(&["rollback", "prod", "--to", &policies]).ok();
    assert_eq!(world.running(), second);
    world.run(&["status"]).ok();
    // There was no place for a record of the set-up.
    let expected = [
        ["deploy", "bootstrap", "observed"],
        ["deploy", "fast", "observed"],
        ["deploy", "fast", "observed"],
        ["deploy", "fast", "failed"],
        ["rollback", "fast", "observed"],
        ["rollback", "fast", "observed"],
        ["rollback", "fast", "observed"],
    ];
    assert_eq!(world.story("prod"), expected);
    assert_eq!(world.story("live"), [["deploy", "fast", "observed"]]);
}

/// The manifests of `docs`, and which other each is about.
fn manifests(world: &World) -> BTreeMap<String, Option<String>> {
    let about = |digest: &String| {
        let manifest = world.ecr.manifest("demo/docs", digest).expect("it is listed");
        let manifest: Value = serde_json::from_slice(&manifest.bytes).expect("JSON");
        manifest["subject"]["digest"].as_str().map(str::to_owned)
    };
    world.ecr.manifests("demo/docs").into_iter().map(|digest| (digest.clone(), about(&digest))).collect()
}

/// The digest that `last-main` names: the image of the last build of `docs`.
fn newest(world: &World) -> String {
    world.ecr.manifest("demo/docs", "last-main").expect("it was shipped").digest
}
