//! CircleCI. Source: CircleCI's reference of built-in environment variables.
//!
//! It tells neither the default branch (`default-branch` in `[tags]` does) nor the base of a pull request, and a pull
//! request only while one is open.

use shipper_tag::{PullRequest, Trigger};

use super::{Told, Variables, set_branch};

pub(super) fn facts(variables: &Variables<'_>) -> Told {
    let mut told = Told::new("circleci", Trigger::Push);
    told.commits(variables.id("CIRCLE_SHA1"), None);
    if let Some(tag) = variables.text("CIRCLE_TAG") {
        told.facts.trigger = Trigger::Tag;
        told.facts.tag = Some(tag);
        return told;
    }
    // Set for forks alone; otherwise the number ends the request's address.
    let from_fork = variables.number("CIRCLE_PR_NUMBER");
    let address = variables.get("CIRCLE_PULL_REQUEST").and_then(|address| address.rsplit('/').next());
    if let Some(number) = from_fork.or_else(|| address?.parse().ok()) {
        told.facts.trigger = Trigger::PullRequest;
        // A fork's branch is shown as `pull/12`, which is not its name.
        let head = variables.text("CIRCLE_BRANCH").filter(|branch| !branch.starts_with("pull/"));
        let fork = from_fork.is_some() || variables.get("CIRCLE_PR_USERNAME").is_some();
        told.facts.pull_request = Some(PullRequest { number, head, base: None, fork });
    } else if let Some(branch) = variables.get("CIRCLE_BRANCH") {
        set_branch(&mut told.facts, branch);
    }
    told
}
