//! Against a real account, on request: see docs/ecr.md. Nothing is written there.

use crate::support::{Project, Ran, aws_variables};

fn run(arguments: &[&str]) -> Ran {
    let project = Project::new("");
    let mut command = project.command(arguments);
    // The settings of AWS lie in the environment and in the home that the project is isolated from.
    command.envs(aws_variables());
    if let Some(home) = std::env::var_os("HOME") {
        command.env("HOME", home);
    }
    Ran::of(&command.output().expect("the binary starts"))
}

fn repository() -> String {
    std::env::var("SHIPPER_LIVE_REPOSITORY").expect("SHIPPER_LIVE_REPOSITORY names a repository")
}

#[test]
#[ignore = "needs an AWS account"]
fn live_a_repository_is_there_and_another_is_not() {
    run(&["ecr-ready", "--repository", &repository()]).ok();
    run(&["ecr-ready", "--repository", "shipper-live/there-is-no-such-repository"]).exits(1);
    run(&["ecr-ready", "--stack", "shipper-live-there-is-no-such-stack"]).exits(1);
}

#[test]
#[ignore = "needs an AWS account"]
fn live_the_preview_of_ecr_agrees_with_the_simulation() {
    let arguments = ["ecr", "lifecycle", "apply", "--repository", &repository(), "--dry-run", "--verify-remote"];
    let code = run(&arguments).code;
    assert!(matches!(code, Some(0 | 1)), "{code:?}");
}
