//! Pipelines of GitLab CI: their text, what the schema says of them, and what hostile names do to them.

mod pipelines;

use std::process::Command;

use proptest::prelude::*;
use saphyr_parser::{Event, Parser};
use shipper_ci::{Deployment, Jobs, Pipeline, Trigger, gitlab, gitlab_jobs};
use shipper_testkit::{need, require_python_program};

use pipelines::{hostile, pipelines, values};

/// What three plans become: with and without bases, and with nothing due.
fn plans() -> Vec<(&'static str, Jobs)> {
    let job = |name: &str, services: &str| (name.to_owned(), services.to_owned());
    let due = Jobs { jobs: vec![job("web", "web")], ..Jobs::default() };
    let bases = Jobs {
        bases: vec!["base".to_owned(), "runtime".to_owned()],
        jobs: vec![job("api +1", "api worker"), job("web", "web")],
        ..Jobs::default()
    };
    let apart = Jobs {
        is_untrusted: true,
        places: vec![("SHIPPER_REGISTRY".to_owned(), "oci:.shipper/images".to_owned())],
        ..due.clone()
    };
    vec![("due", due), ("bases", bases), ("apart", apart), ("nothing", Jobs::default())]
}

#[test]
fn pipelines_are_what_they_were() {
    let shown = ["plain", "sources", "everything", "hostile"];
    for (name, pipeline) in pipelines().into_iter().filter(|(name, _)| shown.contains(name)) {
        insta::assert_snapshot!(format!("gitlab_{name}"), gitlab(&pipeline));
    }
    let all = pipelines();
    let (_, everything) = all.iter().find(|(name, _)| *name == "everything").expect("a pipeline");
    for (name, jobs) in plans() {
        insta::assert_snapshot!(format!("gitlab_jobs_{name}"), gitlab_jobs(everything, &jobs));
    }
}

#[test]
fn pipelines_are_of_the_schema_of_gitlab() {
    let program = need!(require_python_program("check-jsonschema"));
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(program);
    command.args(["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]);
    let mut write = |name: String, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("writes");
        command.arg(path);
    };
    for (name, pipeline) in pipelines() {
        write(format!("{name}.yml"), gitlab(&pipeline));
        for (plan, jobs) in plans() {
            write(format!("{name}-{plan}.yml"), gitlab_jobs(&pipeline, &jobs));
        }
    }
    let judged = command.output().expect("starts");
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stdout));
}

/// Every scalar that is no value of a variable, a name, or a condition; and how many there are in all.
fn scripts(document: &str) -> (usize, Vec<String>) {
    let events = Parser::new_from_str(document).map(|event| event.expect("is YAML").0);
    let texts: Vec<String> = events
        .filter_map(|event| match event {
            Event::Scalar(text, ..) => Some(text.into_owned()),
            _ => None,
        })
        .collect();
    let many = texts.len();
    (many, texts.into_iter().filter(|text| text.contains('\n') || text.contains("shipper ")).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn c4_no_name_adds_to_a_pipeline(name in "[-a-z0-9/.]{0,6}(\\$[A-Z_]{1,9}|\\$\\{[a-z]{1,4}\\}|'|\"|: |#|\\$\\(id\\)|`id`|[ -~]){1,8}") {
        let everything = |name: &str| {
            let mut pipeline: Pipeline = hostile(name);
            let name = || name.to_owned();
            // A secret's name is checked where it is read.
            pipeline.login = shipper_ci::Login::Secrets { username: "USER".to_owned(), password: "PASSWORD".to_owned() };
            (pipeline.directory, pipeline.image) = (name(), Some(name()));
            pipeline.tags = vec![name()];
            pipeline.deployments.push(Deployment::new(&name(), Trigger::Release));
            gitlab(&pipeline)
        };
        let (plain, named) = (everything("main"), everything(&name));
        prop_assert_eq!(scripts(&plain), scripts(&named));
        // Where variables are expanded, the text is what it becomes.
        for key in ["AWS_REGION", "SHIPPER_DIRECTORY", "image", "ENVIRONMENT"] {
            let found = values(&named, key);
            prop_assert!(!found.is_empty());
            prop_assert!(found.iter().all(|value| value == &name.replace('$', "$$") || key == "ENVIRONMENT" && value == "prod"), "{:?}", found);
        }
        // A condition has no quote and no blank of the name.
        for condition in values(&named, "if") {
            let own = condition.split(" =~ /^").skip(1).map(|rest| rest.split("$/").next().unwrap_or_default());
            for part in own {
                prop_assert!(!part.contains(['\'', '"', ' ', '/', '$']), "{}", condition);
            }
        }
    }
}
