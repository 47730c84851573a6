//! `examples/xtask-deploy`: a repository that deploys itself by the library, without the command.

use std::path::Path;

use shipper_engine::{DeployResult, Options};
use shipper_testkit::GitRepo;

use crate::support::Project;

/// The lines that readers of the example copy.
#[path = "../../examples/xtask-deploy/xtask/src/deploy.rs"]
#[expect(
    clippy::print_stderr,
    clippy::result_large_err,
    reason = "it is a program of its own, which prints and is read"
)]
mod deploy;

#[test]
fn ten_lines_deploy_what_the_command_deploys() {
    let mut repo = GitRepo::new();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/xtask-deploy");
    for file in ["shipper.toml", ".gitignore", "web/index.html", "xtask/src/deploy.rs"] {
        repo.write(file, std::fs::read_to_string(example.join(file)).expect("the example is there"));
    }
    repo.commit("start");
    let project = Project::of(repo);
    let options = Options {
        directory: project.path().to_owned(),
        environment: [("PATH", std::env::var("PATH").expect("is set"))]
            .into_iter()
            .chain([("SHIPPER_CACHE_DIR", project.cache().display().to_string())])
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        ..Options::default()
    };
    let deployed = deploy::deploy(&options, "prod").expect("deploys");
    assert_eq!(deployed.result, DeployResult::Deployed);
    let given = std::fs::read_to_string(project.path().join("deployed")).expect("the target ran");
    assert_eq!(given.trim_end(), deployed.images["web"]);
    assert!(given.contains("/site/web@sha256:"), "{given}");
    // The command knows what the library did, and has nothing left to do.
    let history = project.run(["history", "prod", "--json"]).ok().json();
    assert_eq!(history["deployments"][0]["id"].as_str(), deployed.record.as_deref());
    project.run(["deploy", "prod"]).ok().says("prod runs these images");
    let again = deploy::deploy(&options, "prod").expect("deploys");
    assert_eq!(again.result, DeployResult::Unchanged);
}
