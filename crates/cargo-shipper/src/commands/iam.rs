//! `shipper iam`.

use std::io::Write as _;

use serde_json::{Value, json};
use shipper_engine::iam::{GithubTrust, MAX_MANAGED_POLICY, cloudformation, terraform};
use shipper_engine::{ExitCode, IamOptions, Project};

use crate::cli::Global;
use crate::cli::aws::{IamArgs, IamFormat};
use crate::commands::options;
use crate::failure::Failure;
use crate::terminal::Terminal;

pub(crate) fn run(global: &Global, args: &IamArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let trust = match (&args.github, &args.git_ref, &args.environment) {
        (Some(repository), Some(git_ref), _) => Some(GithubTrust::of_ref(repository, git_ref)),
        (Some(repository), None, Some(environment)) => Some(GithubTrust::of_environment(repository, environment)),
        _ => None,
    };
    let trust = trust.transpose().map_err(shipper_engine::Error::Trust)?;
    let mut project = options(global);
    project.overrides.registry.clone_from(&args.registry);
    let project = Project::open(&project)?;
    let wanted = IamOptions {
        commands: args.commands.clone(),
        account: args.account.clone(),
        region: args.region.clone(),
        repositories: args.repository.clone(),
        stacks: args.stack.clone(),
        trust,
    };
    let found = shipper_engine::iam::iam(&project, &wanted)?;
    let length = found.policy.characters();
    if length > MAX_MANAGED_POLICY {
        terminal.warning(&format!("the policy has {length} characters, and a managed one takes {MAX_MANAGED_POLICY}"));
        terminal.hint("name repositories by a pattern: `--repository 'shop/*'`");
    }
    let trust = found.trust.as_ref();
    let document = match args.format {
        IamFormat::Json => match trust {
            Some(trust) => json!({"trust": trust, "policy": found.policy}),
            None => json!(found.policy),
        },
        IamFormat::Cloudformation => cloudformation(&found.policy, trust),
        IamFormat::Terraform => terraform(&found.policy, trust),
    };
    print(&document, terminal)
}

fn print(document: &Value, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let mut out = terminal.stdout();
    let text = serde_json::to_string_pretty(document).map_err(std::io::Error::from)?;
    writeln!(out, "{text}")?;
    Ok(ExitCode::Done)
}
