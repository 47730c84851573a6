//! What is in use, and what says so: retention leaves it alone, and does nothing where it can not be told.

use shipper_testkit::{Fault, Rule};

use super::*;

const PLAN: [&str; 3] = ["ecr", "gc", "plan"];
const APPLY: [&str; 3] = ["ecr", "lifecycle", "apply"];

/// Digests that `gc plan` would delete.
fn planned(world: &World, arguments: &[&str]) -> Vec<String> {
    let document = world.run(&[&PLAN[..], arguments].concat()).ok().json();
    document["delete"].as_array().expect("a list").iter().map(|image| crate::support::text(&image["digest"])).collect()
}

#[test]
fn a_text_that_names_no_image_is_an_error() {
    let (world, images, _) = filled();
    let bad =
        ["", "sha256:abc", "shop/api@sha256:short", "Shop/api:pr-1", "shop/api:pr 1", "arn:aws:ecs:eu-west-1:1:task/a"];
    world.run(&[&PLAN[..], &ON_API[..], &["--out", "plan.json"]].concat()).ok();
    let commands = [
        [&PLAN[..], &ON_API[..]].concat(),
        [&APPLY[..], &ON_API[..]].concat(),
        vec!["ecr", "gc", "apply", "plan.json"],
    ];
    for (at, command) in commands.iter().enumerate() {
        for text in bad.iter().skip(at * 2).step_by(if at == 0 { 1 } else { 6 }) {
            let ran = world.run(&[&command[..], &["--in-use", text]].concat()).exits(2);
            ran.says(&format!("cannot use `{text}` of `--in-use` as an image in use"));
        }
        // A list is about many repositories; a flag that is about another one is a slip.
        world
            .run(&[&command[..], &["--in-use", "shop/apii:pr-1"]].concat())
            .exits(2)
            .says("not in the repository `shop/api`");
        world.project.repo.write("used.json", "[\"shop/web:v1\", \"pr-1,pr-2\"]");
        world
            .run(&[&command[..], &["--in-use-file", "used.json"]].concat())
            .exits(2)
            .says("`pr-1,pr-2` of")
            .says("used.json");
    }
    assert_eq!(world.aws.lifecycle_policy("shop/api"), None);
    assert_eq!(world.registry.manifests("shop/api").len(), 13);
    // A digest alone is one of this repository, and what is gone is told.
    let kept = planned(&world, &[&ON_API[..], &["--in-use", &images[0]]].concat());
    assert!(kept.len() == 6 && !kept.contains(&images[0]), "{kept:?}");
    let gone = [&PLAN[..], &ON_API[..], &["--in-use", "shop/api:gone"]].concat();
    world.run(&gone).ok().says("shop/api:gone is said to be in use, and the repository has no such image");
}

#[test]
fn what_a_command_prints_is_in_use() {
    let (world, images, _) = filled();
    let script = "test -z \"$AWS_SECRET_ACCESS_KEY$OTHER\" || exit 8; cat running; echo why >&2; exit $(cat code)";
    let config = |command: &str| {
        world
            .project
            .repo
            .write("shipper.toml", format!("[project]\nin-use = {{ command = {command}, pass-env = [\"RUN_*\"] }}\n"));
    };
    config(&serde_json::to_string(&["sh", "-c", script]).expect("JSON"));
    let said = |running: &str, code: &str| {
        world.project.repo.write("running", running);
        world.project.repo.write("code", code);
        world.run(&[&PLAN[..], &ON_API[..]].concat())
    };
    let host = HOST.trim_matches('"');
    for running in [
        format!("{host}/shop/api:pr-1\n\n  {host}/shop/api@{} \n{host}/other:pr-2\n", images[0]),
        format!("[\"shop/api:pr-1\",\n \"shop/api@{}\"]", images[0]),
    ] {
        let document = said(&running, "0").ok().json();
        assert_eq!(document["delete"].as_array().map(Vec::len), Some(5), "{document}");
    }
    assert_eq!(said("", "0").ok().json()["delete"].as_array().map(Vec::len), Some(7));
    // Whatever it printed before it failed, it did not say all.
    said("shop/api:pr-1\n", "1").exits(3).says("cannot ask what is in use").says("failed (exit code 1)").says("why");
    said("{\"a\": 1}", "0").exits(2).says("`{\"a\": 1}` of what");
    said("[1]", "0").exits(3).says("prints no JSON list of texts");
    config("[\"no-such-program-here\"]");
    said("", "0").exits(3).says("is not found on PATH");
    config("[]");
    said("", "0").exits(2).says("names no program");
    world.run(&[&APPLY[..], &ON_API[..]].concat()).exits(2);
    assert_eq!(world.aws.lifecycle_policy("shop/api"), None);
}

/// Deployment records alone, without any pin, keep what runs and what a rollback can go back to.
#[test]
fn what_deployment_records_name_is_in_use() {
    let world = World::with_registry(HOST);
    for name in ["demo/docs", "demo/site", "shipper-records"] {
        world.registry.create_repository(name);
    }
    let config = std::fs::read_to_string(world.project.path().join("shipper.toml")).expect("reads");
    world.project.repo.write("shipper.toml", config + "\n[[env.prod.deploy]]\nrun = [\"true\"]\n");
    let identity = |content: &str, command: &[&str]| {
        world.project.repo.write("docs/index.md", content);
        let before = world.registry.tags("demo/docs");
        world.run(command).ok();
        let mut tags = world.registry.tags("demo/docs").into_iter();
        let new = tags.find(|(tag, _)| tag.starts_with("h-") && before.iter().all(|(known, _)| known != tag));
        let digest = new.expect("another image").1;
        // Each a day after the one before.
        let days = i64::from(content.parse::<u8>().expect("a number"));
        world.aws.set_pushed_at("demo/docs", &digest, JUNE + days * 86_400);
        digest
    };
    let never = identity("0", &["ship"]);
    let before = identity("1", &["deploy", "prod"]);
    let running = identity("2", &["deploy", "prod"]);
    let newest = identity("3", &["ship"]);
    for (pin, _) in world.registry.tags("demo/docs").iter().filter(|(tag, _)| tag.starts_with("env-")) {
        world.registry.delete_tag("demo/docs", pin);
    }
    let one = RETENTION.replace("pr-*", "h-*").replace(":3}", ":1}");
    world.project.repo.write("policy.json", one);
    let on_docs = ["--repository", "demo/docs", "--policy", "policy.json", "--now", "2099-01-01T00:00:00Z"];
    let doomed = planned(&world, &on_docs);
    // With it goes what is stated about it.
    assert!(doomed.contains(&never) && doomed.len() == 2, "{doomed:?}");
    assert!([&before, &running, &newest].iter().all(|kept| !doomed.contains(kept)), "{doomed:?}");
    let refused = world.run(&[&APPLY[..], &on_docs].concat()).exits(1);
    refused.says("is in use (docs of d-prod-");
    // Without an answer about the records nothing is planned.
    world.registry.fault(Rule::new(Fault::status(403)).path("/v2/shipper-records/tags/list"));
    world.run(&[&PLAN[..], &on_docs].concat()).exits(3).says("list the records");
}

/// A signature of an image in use is in use; one of an image that goes, goes with it.
#[test]
fn what_is_stated_about_an_image_in_use_is_in_use() {
    let (world, images, _) = filled();
    let signature = |subject: &str| {
        let config = world.registry.put_blob("shop/api", format!("{{\"of\":\"{subject}\"}}"));
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","artifactType":"application/x","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{config}","size":10}},"layers":[],"subject":{{"mediaType":"{IMAGE}","digest":"{subject}","size":1}}}}"#
        );
        put(&world, "shop/api", IMAGE, &manifest, &[&format!("sig-{}", &subject[7..15])], 60)
    };
    let (used, other) = (signature(&images[9]), signature(&images[8]));
    let policy = RETENTION.replace("pr-*", "sig-*").replace(
        "imageCountMoreThan\",\"countNumber\":3",
        "sinceImagePushed\",\"countUnit\":\"days\",\"countNumber\":30",
    );
    world.project.repo.write("policy.json", policy);
    let in_use = [&ON_API[..], &["--in-use", "shop/api:pr-9"]].concat();
    let refused = world.run(&[&APPLY[..], &in_use].concat()).exits(1);
    refused.says(&used).says("is in use (shop/api:pr-9)");
    let doomed = planned(&world, &in_use);
    assert!(!doomed.contains(&used), "{doomed:?} {other}");
}

/// Between plan and execution an index was pushed that refers to an image of the plan.
#[test]
fn a_plan_is_not_carried_out_on_what_belongs_to_another_image_now() {
    let (world, images, _) = filled();
    world.run(&[&PLAN[..], &ON_API[..], &["--out", "plan.json"]].concat()).ok();
    let before = world.registry.manifests("shop/api").len();
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{{"mediaType":"{IMAGE}","digest":"{}","size":1}}]}}"#,
        images[1]
    );
    put(&world, "shop/api", INDEX, &index, &["v2"], 0);
    let refused = world.run(&["ecr", "gc", "apply", "plan.json"]).exits(1);
    refused.says(&format!("{} belongs to an image that stays", images[1])).says("make the plan anew");
    assert_eq!(world.registry.manifests("shop/api").len(), before + 1);
    world.run(&[&PLAN[..], &ON_API[..], &["--out", "plan.json"]].concat()).ok();
    world.run(&["ecr", "gc", "apply", "plan.json"]).ok().says("6 images");
}

/// What ECS and Lambda run, and could run again: tasks and services, the last task definitions, all versions of functions.
#[test]
fn what_services_of_aws_use_is_in_use() {
    let (world, images, _) = filled();
    let name = format!("{}/shop/api", HOST.trim_matches('"'));
    let of = |at: usize| format!("{name}@{}", images[at]);
    let definition = |family: &str, image: &str| {
        serde_json::json!({"family": family, "containerDefinitions": [
            {"name": "log", "image": "public.ecr.aws/x/log:1"}, {"name": "app", "image": image}]})
    };
    // Image 5 is that of the sixth last definition of its family, image 2 that of the last but one.
    for at in [5, 9, 9, 9, 2] {
        world.aws.set_definition(&definition("shop", &of(at)));
    }
    world.aws.set_service("a", "api", &definition("shop", &of(0)));
    world.aws.set_service("b", "web", &definition("web", "nginx:1"));
    let job = world.aws.set_definition(&definition("job", &format!("{name}:pr-9")));
    world.aws.run_task("c", &job, &format!("{name}:pr-9"), &images[1]);
    world.aws.set_function("first", "arm64", &of(3), "live");
    world.aws.set_function("second", "x86_64", &of(4), "live");
    let doomed = |services: &str| {
        world.project.repo.write("shipper.toml", format!("[project]\nin-use = {{ aws = [{services}] }}\n"));
        let planned = planned(&world, &ON_API);
        images.iter().enumerate().filter(|(_, image)| planned.contains(image)).map(|(at, _)| at).collect::<Vec<_>>()
    };
    assert_eq!(doomed("\"ecs\""), [3, 4, 5, 6]);
    assert_eq!(doomed("\"lambda\""), [0, 1, 2, 5, 6]);
    assert_eq!(doomed("\"ecs\", \"lambda\""), [5, 6]);
    let refused = world.run(&[&APPLY[..], &ON_API[..]].concat()).exits(1);
    refused.says(&format!(" is in use ({name}@sha256:"));
    for action in ["ecs:ListTasks", "ecs:DescribeTaskDefinition", "lambda:GetFunction"] {
        world.aws.clear_faults();
        world.aws.fault(ApiFault::deny(action));
        let ran = world.run(&[&PLAN[..], &ON_API[..]].concat()).exits(3);
        ran.says("cannot ask what ").says(&format!("allow `{action}`"));
    }
    assert_eq!(world.aws.lifecycle_policy("shop/api"), None);
}
