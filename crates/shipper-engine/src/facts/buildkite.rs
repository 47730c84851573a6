//! Buildkite. Source: Buildkite's reference of environment variables.
//!
//! The commit may be the word `HEAD`; the checkout then tells it.

use shipper_tag::{PullRequest, Trigger};

use super::{Told, Variables, set_branch};

pub(super) fn facts(variables: &Variables<'_>) -> Told {
    let mut told = Told::new("buildkite", Trigger::Push);
    told.facts.default_branch = variables.text("BUILDKITE_PIPELINE_DEFAULT_BRANCH");
    told.commits(variables.id("BUILDKITE_COMMIT"), None);
    if let Some(number) = variables.number("BUILDKITE_PULL_REQUEST") {
        told.facts.trigger = Trigger::PullRequest;
        let repository = variables.get("BUILDKITE_PULL_REQUEST_REPO");
        told.facts.pull_request = Some(PullRequest {
            number,
            head: variables.text("BUILDKITE_BRANCH"),
            base: variables.text("BUILDKITE_PULL_REQUEST_BASE_BRANCH"),
            fork: repository
                .is_some_and(|from| variables.get("BUILDKITE_REPO").is_some_and(|to| path(from) != path(to))),
        });
        return told;
    }
    if let Some(tag) = variables.text("BUILDKITE_TAG") {
        told.facts.trigger = Trigger::Tag;
        told.facts.tag = Some(tag);
        return told;
    }
    match variables.get("BUILDKITE_SOURCE") {
        Some("schedule") => told.facts.trigger = Trigger::Schedule,
        Some("ui" | "api" | "trigger_job") => told.facts.trigger = Trigger::Manual,
        _ => {}
    }
    if let Some(branch) = variables.get("BUILDKITE_BRANCH") {
        set_branch(&mut told.facts, branch);
    }
    told
}

/// `owner/name` of a repository's address, written in whichever of the two ways.
fn path(address: &str) -> String {
    let address = address.trim_end_matches('/').trim_end_matches(".git");
    let mut parts = address.rsplit(['/', ':']);
    let name = parts.next().unwrap_or_default();
    format!("{}/{name}", parts.next().unwrap_or_default()).to_lowercase()
}
