//! GitHub Actions. Sources: GitHub's reference of variables and of events that trigger workflows.
//!
//! `GITHUB_SHA` of a pull request is a merge commit that nobody has seen before, and of `pull_request_target` the base
//! branch's: names are made of the head that the event tells. A run that calls itself one of a pull request is one, whatever
//! is missing: what it may write depends on that.

use serde_json::Value;
use shipper_tag::{ObjectId, PullRequest, Trigger};

use super::{Told, Variables, set_ref};

pub(super) fn facts(variables: &Variables<'_>, event: &Value) -> Told {
    let name = variables.get("GITHUB_EVENT_NAME").unwrap_or_default();
    let mut told = Told::new("github", Trigger::Manual);
    told.facts.default_branch = text(&event["repository"]["default_branch"]);
    let sha = variables.id("GITHUB_SHA");
    let request = &event["pull_request"];
    if let (true, Some(number)) =
        (name.starts_with("pull_request"), request["number"].as_u64().or(event["number"].as_u64()))
    {
        let of = |side: &str| text(&request[side]["repo"]["full_name"]);
        told.facts.trigger = Trigger::PullRequest;
        told.facts.pull_request = Some(PullRequest {
            number,
            head: text(&request["head"]["ref"]).or_else(|| variables.text("GITHUB_HEAD_REF")),
            base: text(&request["base"]["ref"]).or_else(|| variables.text("GITHUB_BASE_REF")),
            // A deleted head repository is null.
            fork: request["head"]["repo"]["fork"].as_bool().unwrap_or(false) || of("head") != of("base"),
        });
        let head = id(&request["head"]["sha"]);
        if head.is_none() {
            told.warnings.push("the event does not tell the head of the pull request".to_owned());
        }
        // What a checkout without options gets for `pull_request_target` is the base: it may not be called by the head.
        let merge = sha.filter(|_| name != "pull_request_target");
        told.commits(head, merge);
        return told;
    }
    if name.starts_with("pull_request") {
        told.facts.trigger = Trigger::PullRequest;
        told.warnings.push("the event does not tell which pull request it is about: no name is made of it".to_owned());
        return told;
    }
    told.facts.trigger = match name {
        "schedule" => Trigger::Schedule,
        "push" | "create" | "merge_group" => Trigger::Push,
        "release" => Trigger::Tag,
        _ => Trigger::Manual,
    };
    told.commits(sha, None);
    let git_ref = variables.text("GITHUB_REF").or_else(|| text(&event["merge_group"]["head_ref"]));
    if let Some(tag) = text(&event["release"]["tag_name"]).filter(|_| name == "release") {
        told.facts.tag = Some(tag);
    } else if !git_ref.as_deref().is_some_and(|name| set_ref(&mut told.facts, name)) {
        told.warnings.push(format!("the event `{name}` is about neither a branch nor a tag"));
    }
    told
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn id(value: &Value) -> Option<ObjectId> {
    value.as_str()?.parse().ok()
}
