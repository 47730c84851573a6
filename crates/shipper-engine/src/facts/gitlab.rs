//! GitLab CI. Source: GitLab's reference of predefined variables.
//!
//! The head of a merge request is told in merged-results pipelines only; elsewhere it is the commit itself. The number
//! in names is the project's (`IID`), not the installation's.

use shipper_tag::{PullRequest, Trigger};

use super::{Told, Variables, set_branch};

pub(super) fn facts(variables: &Variables<'_>) -> Told {
    let mut told = Told::new("gitlab", Trigger::Push);
    told.facts.default_branch = variables.text("CI_DEFAULT_BRANCH");
    let commit = variables.id("CI_COMMIT_SHA");
    if let Some(number) = variables.number("CI_MERGE_REQUEST_IID") {
        let train = variables.get("CI_MERGE_REQUEST_EVENT_TYPE") == Some("merge_train");
        told.facts.trigger = if train { Trigger::MergeQueue } else { Trigger::PullRequest };
        told.facts.pull_request = Some(PullRequest {
            number,
            head: variables.text("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME"),
            base: variables.text("CI_MERGE_REQUEST_TARGET_BRANCH_NAME"),
            fork: variables.get("CI_MERGE_REQUEST_SOURCE_PROJECT_ID") != variables.get("CI_MERGE_REQUEST_PROJECT_ID"),
        });
        let head = variables.id("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA").or_else(|| commit.clone());
        told.commits(head, commit);
        return told;
    }
    match variables.get("CI_PIPELINE_SOURCE") {
        // Which one it is about may be missing; what the run may write must not depend on that.
        Some("merge_request_event" | "external_pull_request_event") => {
            told.facts.trigger = Trigger::PullRequest;
            told.warnings.push("the merge request is not told: no name is made of it".to_owned());
            return told;
        }
        Some("schedule") => told.facts.trigger = Trigger::Schedule,
        Some("web" | "api" | "trigger" | "pipeline" | "chat") => told.facts.trigger = Trigger::Manual,
        _ => {}
    }
    told.commits(commit, None);
    if let Some(tag) = variables.text("CI_COMMIT_TAG") {
        told.facts.trigger = Trigger::Tag;
        told.facts.tag = Some(tag);
    } else if let Some(branch) = variables.get("CI_COMMIT_BRANCH") {
        set_branch(&mut told.facts, branch);
    }
    told
}
