//! AWS CodeBuild. Source: CodeBuild's reference of environment variables in build environments.
//!
//! Only a build that a webhook started tells what it is about; any other is a manual run. It does not tell the default
//! branch (`default-branch` in `[tags]` does).

use shipper_tag::{PullRequest, Trigger};

use super::{Told, Variables, set_branch};

pub(super) fn facts(variables: &Variables<'_>) -> Told {
    let mut told = Told::new("codebuild", Trigger::Manual);
    told.commits(variables.id("CODEBUILD_RESOLVED_SOURCE_VERSION"), None);
    let branch = |name: &str| {
        let name = variables.get(name)?;
        Some(name.strip_prefix("refs/heads/").unwrap_or(name).to_owned())
    };
    match variables.get("CODEBUILD_WEBHOOK_TRIGGER").and_then(|trigger| trigger.split_once('/')) {
        Some(("pr", number)) => {
            if let Ok(number) = number.parse() {
                told.facts.trigger = Trigger::PullRequest;
                let head = branch("CODEBUILD_WEBHOOK_HEAD_REF");
                let base = branch("CODEBUILD_WEBHOOK_BASE_REF");
                told.facts.pull_request = Some(PullRequest { number, head, base, fork: false });
            }
        }
        Some(("branch", name)) => {
            told.facts.trigger = Trigger::Push;
            set_branch(&mut told.facts, name);
        }
        Some(("tag", name)) => {
            told.facts.trigger = Trigger::Tag;
            told.facts.tag = Some(name.to_owned());
        }
        _ => {}
    }
    told
}
