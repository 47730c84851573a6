//! `iam`: the least that a role must be allowed, against what AWS was really asked.
//!
//! The oracle is the log of the fake services: each call of a command's runs must be allowed by the policy that is printed
//! for it, and each action that is printed must have been needed by one of them.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shipper_testkit::{Auth, FakeAws, FakeRegistry, Host, Judge, Profile, Request, need};

use crate::sign::key;
use crate::support::{Project, Ran, TWO_SERVICES, text};

const HOST: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
const PASSWORD: &str = "canary-password";

/// ECR and CloudFormation with everything that the project needs, and the project.
struct World {
    registry: FakeRegistry,
    aws: FakeAws,
    project: Project,
}

/// An action and the ARN of what it is about; `*` where it is about the account.
type Asked = (String, String);

impl World {
    fn new() -> Self {
        let registry = FakeRegistry::builder().profile(Profile::Ecr).auth(Auth::basic("AWS", PASSWORD)).start();
        let aws = FakeAws::over(&registry);
        let project = Project::two_services();
        let world = Self { registry, aws, project };
        world.aws.set_stack("ShopStack", &["CREATE_COMPLETE"], &[("Uri", &world.aws.repository_uri("demo/docs"))]);
        let target = "run = ['true']\ninputs = ['infra/**']\n";
        let config = TWO_SERVICES.replace("name = \"demo\"", &format!("name = \"demo\"\nregistry = \"{HOST}\""));
        let environments = format!(
            "[env.staging]\n[[env.staging.deploy]]\n{target}\
             [env.prod]\nready = {{ stack = 'ShopStack', output = 'Uri' }}\nremove = ['true']\n[[env.prod.deploy]]\n{target}"
        );
        world.project.repo.write("shipper.toml", config + &environments);
        world
    }

    fn with_repositories() -> Self {
        let world = Self::new();
        world.create();
        world
    }

    fn create(&self) {
        for name in ["demo/docs", "demo/site", "shipper-records"] {
            self.registry.create_repository(name);
        }
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.project.command(arguments);
        command.envs(self.aws.environment());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).output().expect("the binary starts"))
    }

    /// What was asked since the last look.
    fn asked(&self) -> BTreeSet<Asked> {
        let mut asked: BTreeSet<Asked> =
            self.aws.calls().iter().flat_map(|call| of_call(&call.action, &call.parameters, &call.path)).collect();
        asked.extend(
            self.registry.log().requests.iter().filter(|request| request.host == Host::Registry).flat_map(of_request),
        );
        self.aws.clear_calls();
        self.registry.clear_log();
        asked
    }
}

fn arn(repository: &str) -> String {
    format!("arn:aws:ecr:eu-west-1:123456789012:repository/{repository}")
}

/// What a call needs. STS API reference: `GetCallerIdentity` and `AssumeRoleWithWebIdentity` need no permission.
fn of_call(action: &str, parameters: &Value, path: &str) -> Vec<Asked> {
    if action.starts_with("sts:") {
        return Vec::new();
    }
    let on = |resource: String| vec![(action.to_owned(), resource)];
    if action.starts_with("ecs:") {
        return of_ecs(action, parameters);
    }
    if let Some(rest) = path.strip_prefix("/2015-03-31/functions/") {
        let name = rest.split(['/', '?']).next().unwrap_or_default();
        let version = rest.split_once("Qualifier=").map_or_else(String::new, |(_, version)| format!(":{version}"));
        let function = format!("arn:aws:lambda:eu-west-1:123456789012:function:{name}{version}");
        return on(if name.is_empty() { "*".to_owned() } else { function });
    }
    if action.contains("CreationTemplate") {
        return on("*".to_owned());
    }
    if let Some(name) = parameters["repositoryName"].as_str() {
        return on(arn(name));
    }
    if let Some(names) = parameters["repositoryNames"].as_array() {
        return names.iter().map(|name| (action.to_owned(), arn(&text(name)))).collect();
    }
    if let Some(resource) = parameters["resourceArn"].as_str() {
        return on(resource.to_owned());
    }
    match parameters["StackName"].as_str() {
        Some(stack) => on(format!("arn:aws:cloudformation:eu-west-1:123456789012:stack/{stack}/0f-1")),
        None => on("*".to_owned()),
    }
}

/// What a call to ECS needs (service authorization reference of Amazon ECS: its resource types; `RegisterTaskDefinition` passes
/// the roles on, and tags need `TagResource`).
fn of_ecs(action: &str, parameters: &Value) -> Vec<Asked> {
    let on = |resource: String| (action.to_owned(), resource);
    let (cluster, listed) = (&parameters["cluster"], |name: &str| parameters[name].as_array().cloned());
    let service =
        |name: &Value| on(format!("arn:aws:ecs:eu-west-1:123456789012:service/{}/{}", last(cluster), last(name)));
    match action {
        "ecs:DescribeServices" => listed("services").expect("services").iter().map(service).collect(),
        "ecs:UpdateService" | "ecs:ListServiceDeployments" => vec![service(&parameters["service"])],
        "ecs:DescribeServiceDeployments" | "ecs:DescribeServiceRevisions" => {
            let arns = listed("serviceDeploymentArns").or_else(|| listed("serviceRevisionArns")).expect("ARNs");
            arns.iter().map(|arn| on(text(arn))).collect()
        }
        "ecs:RegisterTaskDefinition" => {
            let roles = ["taskRoleArn", "executionRoleArn"].into_iter().filter_map(|name| parameters[name].as_str());
            let mut asked: Vec<Asked> = roles.map(|role| ("iam:PassRole".to_owned(), role.to_owned())).collect();
            asked.extend(listed("tags").is_some().then(|| ("ecs:TagResource".to_owned(), "*".to_owned())));
            asked.push(on("*".to_owned()));
            asked
        }
        _ => vec![on("*".to_owned())],
    }
}

/// The name at the end of an ARN, or a name.
fn last(text_of: &Value) -> String {
    text(text_of).rsplit('/').next().expect("a name").to_owned()
}

/// What ECR asks of a request by the distribution protocol (ECR user guide, "IAM permissions for pushing an image"; service
/// authorization reference). What it refuses before it knows who asks needs nothing.
fn of_request(request: &Request) -> Vec<Asked> {
    let Some(path) = request.path.strip_prefix("/v2/").filter(|path| !path.is_empty()) else { return Vec::new() };
    if request.status == Some(401) {
        return Vec::new();
    }
    let kinds = ["/manifests/", "/blobs/", "/tags/", "/referrers/"];
    let (at, kind) = kinds.iter().filter_map(|kind| Some((path.rfind(kind)?, *kind))).max().expect("a known path");
    let (name, rest) = (&path[..at], &path[at..]);
    let actions: &[&str] = match (request.method.as_str(), kind) {
        ("GET" | "HEAD", "/manifests/") => &["BatchGetImage"],
        ("PUT", "/manifests/") => &["PutImage"],
        ("DELETE", "/manifests/") => &["BatchDeleteImage"],
        ("HEAD", "/blobs/") => &["BatchCheckLayerAvailability"],
        ("GET", "/blobs/") => &["GetDownloadUrlForLayer"],
        ("POST", "/blobs/") => &["InitiateLayerUpload"],
        ("PATCH", "/blobs/") => &["UploadLayerPart"],
        ("PUT", "/blobs/") => &["UploadLayerPart", "CompleteLayerUpload"],
        ("GET", "/tags/") => &["ListImages"],
        ("GET", "/referrers/") => &["ListImageReferrers"],
        _ => panic!("{} {rest}", request.method),
    };
    let mut asked: Vec<Asked> = actions.iter().map(|action| (format!("ecr:{action}"), arn(name))).collect();
    // A layer is taken from where the user may read it.
    if let Some(from) = request.query.split('&').find_map(|pair| pair.strip_prefix("from=")) {
        asked.push(("ecr:GetDownloadUrlForLayer".to_owned(), arn(&from.replace("%2F", "/"))));
    }
    asked
}

/// Whether a pattern with `*` is this text.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => {
            text.strip_prefix(start).is_some_and(|tail| (0..=tail.len()).any(|at| fits(rest, &tail[at..])))
        }
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().map_or_else(|| vec![text(value)], |many| many.iter().map(text).collect())
}

/// Whether a policy allows this.
fn allows(policy: &Value, (action, resource): &Asked) -> bool {
    policy["Statement"].as_array().expect("statements").iter().any(|statement| {
        assert_eq!(statement["Effect"], "Allow");
        texts(&statement["Action"]).iter().any(|pattern| fits(pattern, action))
            && texts(&statement["Resource"]).iter().any(|pattern| fits(pattern, resource))
    })
}

fn actions(policy: &Value) -> BTreeSet<String> {
    policy["Statement"]
        .as_array()
        .expect("statements")
        .iter()
        .flat_map(|statement| texts(&statement["Action"]))
        .collect()
}

/// Stands in the place of a run for an edit of a file.
const EDIT: &[&str] = &["edit"];
/// Stands in the place of a run for the creation of the repositories.
const CREATE: &[&str] = &["create"];

/// What is wrong with the policy that is printed for a command: calls of its runs that it does not allow, and actions that none
/// of them needed.
fn check(world: &World, command: &str, runs: &[(&[&str], i32)]) -> Vec<String> {
    let policy = world.run(&["iam", command]).ok().json();
    assert_eq!(world.asked(), BTreeSet::new(), "a policy is printed without asking");
    let (mut wrong, mut needed) = (Vec::new(), BTreeSet::new());
    for (arguments, code) in runs {
        if *arguments == EDIT {
            world.project.repo.write("docs/index.md", format!("edited for {command}\n"));
            continue;
        }
        if *arguments == CREATE {
            world.create();
            continue;
        }
        let ran = world.run(arguments);
        assert_eq!(ran.code, Some(*code), "{arguments:?}\n{}{}", ran.stdout, ran.stderr);
        for one in world.asked() {
            if !allows(&policy, &one) {
                wrong.push(format!("{command}: {one:?} is not allowed"));
            }
            needed.insert(one.0);
        }
    }
    wrong.extend(actions(&policy).difference(&needed).map(|action| format!("{command}: {action} is not needed")));
    wrong
}

#[test]
fn c7_commands_that_look_are_allowed_to_look() {
    let mut wrong = Vec::new();
    let world = World::with_repositories();
    world.run(&["ship"]).ok();
    world.run(&["deploy", "staging"]).ok();
    world.project.repo.write("docs/index.md", "other\n");
    world.asked();
    wrong.extend(check(&world, "plan", &[(&["plan"], 0)]));
    wrong.extend(check(&world, "why", &[(&["why"], 0), (&["why", "--against", "staging"], 0)]));
    wrong.extend(check(&world, "history", &[(&["history", "staging"], 0)]));
    let image = format!("{HOST}/demo/site:last-main");
    let digest = world.registry.manifest("demo/site", "last-main").expect("an image").digest;
    wrong.extend(check(&world, "where", &[(&["where", &digest], 0)]));
    wrong.extend(check(&world, "inspect", &[(&["inspect", &image], 0)]));
    wrong.extend(check(&world, "size-diff", &[(&["size", "diff", &image, &image], 0)]));
    wrong.extend(check(
        &world,
        "verify",
        &[(&["verify", "site"], 0), (&["verify", "--key", &key("p256.pub.pem"), &image], 1)],
    ));
    let bare = World::new();
    wrong.extend(check(&bare, "doctor", &[(&["doctor"], 1), (CREATE, 0), (&["doctor"], 0)]));
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn c7_commands_that_push_are_allowed_to_push() {
    let mut wrong = Vec::new();
    let world = World::with_repositories();
    wrong.extend(check(
        &world,
        "ship",
        &[(&["ship"], 0), (EDIT, 0), (&["ship"], 0), (&["ship", "--ref", "refs/tags/v1.2.3"], 0)],
    ));
    wrong.extend(check(&world, "release-notes", &[(&["release-notes", "--ref", "refs/tags/v1.2.3"], 0)]));
    wrong.extend(check(&world, "deploy", &[(&["deploy", "staging"], 0), (EDIT, 0), (&["deploy", "prod"], 0)]));
    world.run(&["deploy", "staging"]).ok();
    world.asked();
    wrong.extend(check(&world, "rollback", &[(&["rollback", "staging"], 0)]));
    let (from, to) = (format!("{HOST}/demo/docs:last-main"), format!("{HOST}/demo/site:copied"));
    wrong.extend(check(&world, "sign", &[(&["sign", &from, "--key", &key("p256.pem")], 0)]));
    let (out, back) = (format!("{HOST}/demo/docs:copied"), &["copy", "oci:out:v1", &to][..]);
    let around = [(&["copy", &from, &out][..], 0), (&["copy", &from, "oci:out:v1"], 0), (EDIT, 0), (back, 0)];
    wrong.extend(check(&world, "copy", &around));
    wrong.extend(check(
        &world,
        "promote",
        &[(&["promote", &from, &format!("{HOST}/demo/site:v1")], 0), (&["promote", "staging", "--to-env", "prod"], 0)],
    ));
    wrong.extend(check(&world, "undeploy", &[(&["undeploy", "prod"], 0)]));
    assert_eq!(wrong, Vec::<String>::new());
}

const POLICY: &str = r#"{"rules":[{"rulePriority":10,"selection":{"tagStatus":"tagged","tagPatternList":["pr-*"],"countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}}]}"#;

/// Two images of pull requests, one older than the other, and an index of a third image without a name.
fn fill(world: &World) {
    const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    let tags = [Some("pr-1"), Some("pr-2"), None];
    let parts = [1, 2, 3].map(|at: u8| {
        let config = world.registry.put_blob("demo/docs", format!("{{\"n\":{at}}}"));
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":7}},"layers":[]}}"#
        );
        let digest = world.registry.put_manifest("demo/docs", tags[usize::from(at) - 1], IMAGE, manifest);
        world.aws.set_pushed_at("demo/docs", &digest, 1_700_000_000 + i64::from(at) * 86_400);
        format!(r#"{{"mediaType":"{IMAGE}","digest":"{digest}","size":1}}"#)
    });
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, parts[2]);
    world.registry.put_manifest("demo/docs", Some("v1"), INDEX, index);
}

#[test]
fn c7_commands_about_ecr_are_allowed_what_they_do() {
    let mut wrong = Vec::new();
    let world = World::new();
    let all: &[&str] = &["ecr", "ensure", "--lock-tags", "--scan-on-push", "--tag", "team=shop", "--lambda-pull"];
    wrong.extend(check(
        &world,
        "ecr-ensure",
        &[(all, 0), (&["ecr", "ensure"], 0), (&["ecr", "ensure", "--template", "demo"], 0)],
    ));
    // What is in use is read from the records, and what an index refers to from the index.
    world.run(&["deploy", "staging"]).ok();
    fill(&world);
    world.asked();
    world.project.repo.write("policy.json", POLICY);
    let docs = format!("{HOST}/demo/docs");
    let on_docs = ["--repository", &docs, "--policy", "policy.json"];
    wrong.extend(check(
        &world,
        "ecr-lifecycle-apply",
        &[(&[&["ecr", "lifecycle", "apply", "--verify-remote"], &on_docs[..]].concat(), 0)],
    ));
    wrong.extend(check(
        &world,
        "ecr-lifecycle-diff",
        &[(&["ecr", "lifecycle", "diff", "policy.json", "--repository", &docs], 0)],
    ));
    wrong.extend(check(&world, "ecr-images", &[(&["ecr", "images", "--repository", &docs], 0)]));
    wrong.extend(check(
        &world,
        "ecr-gc-plan",
        &[(&[&["ecr", "gc", "plan", "--out", "plan.json"], &on_docs[..]].concat(), 0)],
    ));
    world.aws.add_export("ShopUri", &world.aws.repository_uri("demo/docs"));
    world.aws.set_stack("ShopStack", &["CREATE_COMPLETE"], &[("Uri", &world.aws.repository_uri("demo/docs"))]);
    wrong.extend(check(
        &world,
        "ecr-ready",
        &[
            (&["ecr-ready", "--stack", "ShopStack"], 0),
            (&["ecr-ready", "--output", "ShopUri"], 0),
            (&["ecr-ready", "--repository", &docs, "--tag", "none"], 1),
        ],
    ));
    let planned = world.run(&[&["ecr", "gc", "plan"], &on_docs[..]].concat()).ok();
    assert!(planned.stdout.contains("\"pr-1\""), "{}{}", planned.stdout, planned.stderr);
    world.project.repo.write("plan.json", &planned.stdout);
    world.asked();
    wrong.extend(check(&world, "ecr-gc-apply", &[(&["ecr", "gc", "apply", "plan.json"], 0)]));
    assert_eq!(wrong, Vec::<String>::new());
}

/// A service of ECS with roles and tags, a function of Lambda, a gate of ECR, and both services asked what is in use.
fn with_targets() -> World {
    let world = World::with_repositories();
    let definition = json!({
        "family": "shop-docs", "taskRoleArn": "arn:aws:iam::123456789012:role/task",
        "executionRoleArn": "arn:aws:iam::123456789012:role/service/execution",
        "tags": [{"key": "team", "value": "shop"}], "requiresCompatibilities": ["FARGATE"],
        "containerDefinitions": [{"name": "web", "image": "example.com/placeholder:1"}],
    });
    world.aws.set_service("shop", "docs", &definition);
    world.aws.set_function("resize", "x86_64", &format!("example.com/placeholder@sha256:{:064}", 0), "live");
    let targets = |environment: &str, scan: &str, alias: &str| {
        format!(
            "[env.{environment}]\n{scan}\n\
             [[env.{environment}.deploy]]\n\
             ecs = {{ cluster = 'shop', service = 'docs', container = 'web', image = 'docs' }}\n\
             [[env.{environment}.deploy]]\nlambda = {{ function = 'resize', alias = '{alias}', image = 'site' }}\n"
        )
    };
    let config = std::fs::read_to_string(world.project.path().join("shipper.toml")).expect("a configuration");
    let config = config
        .split("[env.")
        .next()
        .expect("a beginning")
        .replace("\nregistry", "\nin-use = { aws = ['ecs', 'lambda'] }\nregistry");
    let ready = "ready = { stack = 'ShopStack', output = 'Uri' }\nscan = 'high'";
    world
        .project
        .repo
        .write("shipper.toml", config + &targets("staging", "", "staged") + &targets("prod", ready, "live"));
    world
}

#[test]
fn c7_targets_are_allowed_what_changes_them() {
    let mut wrong = Vec::new();
    let world = with_targets();
    world.aws.script_scans(&["IN_PROGRESS", "COMPLETE"], &json!({}));
    let prod = ["deploy", "prod"];
    wrong.extend(check(&world, "deploy", &[(&["deploy", "staging"], 0), (&prod, 0), (EDIT, 0), (&prod, 0)]));
    // What becomes of a deployment that nobody waited for is written down by `status`.
    world.project.repo.write("docs/index.md", "not waited for\n");
    world.aws.script_deployments(&["IN_PROGRESS"]);
    world.run(&["deploy", "prod", "--no-wait"]).ok();
    world.aws.finish_deployments();
    world.aws.script_deployments(&["SUCCESSFUL"]);
    world.asked();
    wrong.extend(check(&world, "status", &[(&["status"], 0)]));
    // These do to targets what `deploy` does, so that what none of their few runs needed is no fault here.
    let mut shared = check(&world, "rollback", &[(&["rollback", "prod"], 0)]);
    shared.extend(check(&world, "promote", &[(&["promote", "staging", "--to-env", "prod"], 0)]));
    wrong.extend(shared.into_iter().filter(|wrong| wrong.ends_with("is not allowed")));
    let docs = format!("{HOST}/demo/docs");
    let digest = world.registry.manifest("demo/docs", "last-main").expect("an image").digest;
    let job = world.aws.set_definition(&json!({"family": "job", "containerDefinitions": []}));
    world.aws.run_task("shop", &job, &format!("{docs}:last-main"), &digest);
    world.project.repo.write("policy.json", POLICY);
    let on_docs = ["--repository", &docs, "--policy", "policy.json"];
    wrong.extend(check(&world, "ecr-gc-plan", &[(&[&["ecr", "gc", "plan"], &on_docs[..]].concat(), 0)]));
    let policy = world.run(&["iam", "deploy"]).ok().json();
    // ARNs mean what names mean.
    let config = std::fs::read_to_string(world.project.path().join("shipper.toml")).expect("reads");
    let config = config
        .replace("'shop', service", "'arn:aws:ecs:eu-west-1:123456789012:cluster/shop', service")
        .replace("'resize'", "'arn:aws:lambda:eu-west-1:123456789012:function:resize'");
    world.project.repo.write("shipper.toml", config);
    assert_eq!(world.run(&["iam", "deploy"]).ok().json(), policy);
    let roles = policy["Statement"].as_array().expect("statements").iter().find(|one| one["Sid"] == "TaskRoles");
    assert_eq!(
        roles.expect("roles")["Condition"],
        json!({"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}})
    );
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn each_command_of_the_table_is_looked_at() {
    let own = include_str!("iam.rs");
    let project = Project::two_services();
    let said = project.run(["iam", "nothing"]).exits(2).stderr;
    let names = said.split_once("these call AWS: ").expect("a list").1.lines().next().expect("a line");
    for name in names.split(", ") {
        let calls = [format!("(&world, {name:?},"), format!("(&bare, {name:?},"), format!("\n        {name:?},\n")];
        assert!(calls.iter().any(|call| own.contains(call)), "{name}");
    }
}

#[test]
fn c7_a_role_is_trusted_to_one_repository_and_one_ref() {
    let world = World::new();
    let trust = ["iam", "ship", "deploy", "--github", "acme/shop", "--ref", "refs/heads/main"];
    let document = world.run(&trust).ok().json();
    let statement = &document["trust"]["Statement"][0];
    assert_eq!(statement["Action"], json!(["sts:AssumeRoleWithWebIdentity"]));
    assert_eq!(
        statement["Condition"],
        json!({"StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": "repo:acme/shop:ref:refs/heads/main",
        }})
    );
    // Several commands are allowed what each of them needs.
    let of = |command: &str| actions(&world.run(&["iam", command]).ok().json());
    assert_eq!(actions(&document["policy"]), of("ship").union(&of("deploy")).cloned().collect());
    for (arguments, says) in [
        (&["iam", "ship", "--github", "acme/shop", "--ref", "refs/heads/*"][..], "whoever may push any branch"),
        (&["iam", "ship", "--github", "acme/shop"], "--environment"),
        (&["iam", "ship", "--github", "acme/*", "--ref", "refs/heads/main"], "it is not OWNER/NAME"),
        (&["iam", "ship", "--github", "acme/shop", "--environment", "*"], "an environment's name"),
        (&["iam", "ship", "--registry", "localhost:5000"], "`--account 123456789012 --region eu-west-1`"),
    ] {
        world.run(arguments).exits(2).says(says);
    }
    let named = [
        "iam",
        "ship",
        "--registry",
        "localhost:5000",
        "--account",
        "210987654321",
        "--region",
        "cn-north-1",
        "--repository",
        "shop/*",
    ];
    let document = world.run(&named).ok().json();
    assert_eq!(
        texts(&document["Statement"][1]["Resource"]),
        ["arn:aws-cn:ecr:cn-north-1:210987654321:repository/shop/*"]
    );
}

/// Gives the documents to moto, which validates them as IAM does; prints what it has of them.
const MOTO: &str = r#"
import json, os, sys
os.environ.update(AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x", AWS_DEFAULT_REGION="eu-west-1")
import boto3
from moto import mock_aws
documents = json.load(sys.stdin)
with mock_aws():
    iam = boto3.client("iam")
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(documents["trust"]))
    iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=json.dumps(documents["policy"]))
    trust = iam.get_role(RoleName="r")["Role"]["AssumeRolePolicyDocument"]
    policy = iam.get_role_policy(RoleName="r", PolicyName="p")["PolicyDocument"]
json.dump({"policy": policy, "trust": trust}, sys.stdout)
"#;

#[test]
fn documents_are_what_another_implementation_of_iam_takes_and_templates_hold_them() {
    let judge = need!(Judge::find());
    let world = World::new();
    let printed = |arguments: &[&str]| world.run(&[&["iam", "deploy", "doctor"], arguments].concat()).ok().json();
    let trusted = ["--github", "acme/shop", "--environment", "prod"];
    let format = |format: &'static str| printed(&[&trusted[..], &["--format", format]].concat());
    let document = printed(&trusted);
    assert_eq!(judge.script(MOTO, &[], document.to_string().as_bytes()), document);
    let (trust, policy) = (&document["trust"], &document["policy"]);
    // A role of CloudFormation, and a managed policy where nobody is trusted.
    let role = &format("cloudformation")["Resources"]["Shipper"];
    assert_eq!(
        role,
        &json!({"Type": "AWS::IAM::Role", "Properties": {
            "AssumeRolePolicyDocument": trust,
            "Policies": [{"PolicyName": "shipper", "PolicyDocument": policy}],
        }})
    );
    let managed = &printed(&["--format", "cloudformation"])["Resources"]["Shipper"];
    assert_eq!(managed, &json!({"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": policy}}));
    // Terraform takes documents as texts.
    let resource = &format("terraform")["resource"];
    let parsed = |text_of: &Value| serde_json::from_str::<Value>(&text(text_of)).expect("JSON");
    assert_eq!(&parsed(&resource["aws_iam_role"]["shipper"]["assume_role_policy"]), trust);
    assert_eq!(&parsed(&resource["aws_iam_role_policy"]["shipper"]["policy"]), policy);
    assert_eq!(
        &parsed(&printed(&["--format", "terraform"])["resource"]["aws_iam_policy"]["shipper"]["policy"]),
        policy
    );
}
