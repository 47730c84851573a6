//! An app of AWS CDK as a target: what it makes of the digests that it is given.
//!
//! The judge is CDK itself (`aws-cdk-lib` from npm), which synthesises a template of CloudFormation; nothing is asked of AWS.

use serde_json::Value;
use shipper_testkit::{FakeRegistry, Node, need};

use crate::support::{Project, TWO_SERVICES, text};

/// A task of ECS with one image, and a function of Lambda with the other.
const APP: &str = r#"
const { App, Stack, aws_ecr: ecr, aws_ecs: ecs, aws_lambda: lambda } = require('aws-cdk-lib');
const app = new App({ outdir: 'cdk.out' });
const stack = new Stack(app, 'ShopStack', { env: { account: '123456789012', region: 'eu-west-1' } });
const task = new ecs.FargateTaskDefinition(stack, 'Task');
task.addContainer('docs', { image: ecs.ContainerImage.fromRegistry(process.env.SHIPPER_IMAGE_DOCS) });
const repository = ecr.Repository.fromRepositoryName(stack, 'Site', 'demo/site');
const code = lambda.DockerImageCode.fromEcr(repository, { tagOrDigest: process.env.SHIPPER_DIGEST_SITE });
new lambda.DockerImageFunction(stack, 'Function', { code });
app.synth();
"#;

#[test]
fn a_template_holds_the_digests_and_is_the_same_the_second_time() {
    let node = need!(Node::find());
    let registry = FakeRegistry::start();
    let mut project = Project::two_services();
    let named = format!("name = \"demo\"\nregistry = \"{}\"\n", registry.host());
    let target = format!(
        "[[env.prod.deploy]]\nrun = [\"node\", \"infra/app.js\"]\nenv = {{ NODE_PATH = {:?} }}\ninputs = [\"infra/**\"]\n",
        node.packages()
    );
    project.repo.write("shipper.toml", TWO_SERVICES.replace("name = \"demo\"\n", &named) + &target);
    project.repo.write("infra/app.js", APP);
    project.repo.write(".gitignore", "cdk.out\n");
    project.repo.commit("an app");
    let template = || {
        let path = project.path().join("cdk.out/ShopStack.template.json");
        std::fs::read_to_string(path).expect("the app was synthesised")
    };
    let running = || project.run(["status", "--json"]).ok().json()["environments"][0]["running"]["images"].clone();

    project.run(["deploy", "prod"]).ok();
    let first = template();
    let (images, parsed) = (running(), serde_json::from_str::<Value>(&first).expect("JSON"));
    let resource = |kind: &str| {
        let all = parsed["Resources"].as_object().expect("resources").values();
        all.into_iter().find(|one| one["Type"] == kind).unwrap_or_else(|| panic!("no {kind} in {first}")).clone()
    };
    let container = &resource("AWS::ECS::TaskDefinition")["Properties"]["ContainerDefinitions"][0];
    assert_eq!(container["Image"], images["docs"]["reference"]);
    let uri = resource("AWS::Lambda::Function")["Properties"]["Code"]["ImageUri"].to_string();
    assert!(uri.contains(&format!("/demo/site@{}", text(&images["site"]["digest"]))), "{uri}");

    // Nothing is due, and where it is asked for all the same, it is the same.
    project.run(["deploy", "prod"]).ok().says("prod runs these images");
    project.run(["deploy", "prod", "--force"]).ok();
    assert_eq!(template(), first);

    // Of another image the template has another digest, and that is all.
    project.repo.write("docs/index.md", "changed\n");
    project.run(["deploy", "prod"]).ok();
    let digest = |images: &Value| text(&images["docs"]["digest"]);
    assert_eq!(template(), first.replace(&digest(&images), &digest(&running())));
    assert_ne!(template(), first);
}
