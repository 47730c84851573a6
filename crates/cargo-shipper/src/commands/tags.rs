//! `shipper facts` and `shipper tags`.

use std::io::Write as _;
use std::sync::Arc;

use serde_json::json;
use shipper_engine::tags::{Compatibility, Facts, TagPlan};
use shipper_engine::{Events, ExitCode, FactsOverrides, Project};

use crate::cli::{FactsArgs, Global, Run, TagsArgs};
use crate::commands::{block_on, options};
use crate::failure::Failure;
use crate::terminal::{Terminal, WarningsOnly};

/// What flags say about the run.
pub(crate) fn overrides(run: &Run) -> FactsOverrides {
    FactsOverrides { git_ref: run.git_ref.clone(), pull_request: run.pr, trigger: run.trigger.map(Into::into) }
}

pub(crate) fn facts(global: &Global, args: &FactsArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let project = Project::open(&options(global))?;
    let facts = gathered(&project, &args.run, args.service.as_deref(), terminal)?;
    let mut out = terminal.stdout();
    if global.json {
        writeln!(out, "{}", json!(facts))?;
    } else {
        writeln!(out, "{:#}", json!(facts))?;
    }
    Ok(ExitCode::Done)
}

pub(crate) fn tags(global: &Global, args: &TagsArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let project = Project::open(&options(global))?;
    let facts = match &args.facts {
        Some(path) => shipper_engine::read_facts(&global.directory.join(path))?,
        None => gathered(&project, &args.run, args.service.as_deref(), terminal)?,
    };
    let mut out = terminal.stdout();
    if let Some(path) = &args.metadata_action {
        let compatibility = if args.bug_compatible { Compatibility::Exact } else { Compatibility::Safe };
        let found = shipper_engine::metadata_tags(&global.directory.join(path), &facts, compatibility)?;
        if global.json {
            let skipped: Vec<_> =
                found.not_applied.iter().map(|(line, reason)| json!({"rule": line, "reason": reason})).collect();
            writeln!(out, "{}", json!({"format": shipper_engine::FORMAT, "tags": found.tags, "not-applied": skipped}))?;
            return Ok(ExitCode::Done);
        }
        for name in &found.tags {
            writeln!(out, "{name}")?;
        }
        for (line, reason) in found.not_applied.iter().filter(|_| args.explain) {
            writeln!(out, "- {line}  {reason}")?;
        }
        return Ok(ExitCode::Done);
    }
    let plan = shipper_engine::tags(&project, &facts)?;
    if global.json {
        let document = json!({"format": shipper_engine::FORMAT, "tags": plan.tags, "not-applied": plan.not_applied});
        writeln!(out, "{document}")?;
    } else if args.explain {
        out.write_all(explained(&plan).as_bytes())?;
    } else {
        for planned in &plan.tags {
            writeln!(out, "{}", planned.tag)?;
        }
    }
    Ok(ExitCode::Done)
}

fn gathered(project: &Project, run: &Run, service: Option<&str>, terminal: &Terminal) -> Result<Facts, Failure> {
    let events = Events::new(Arc::new(WarningsOnly(terminal.clone())));
    Ok(block_on(shipper_engine::facts(project, &overrides(run), service, &events))??)
}

/// A line for each rule: the names first, then the rules that give none.
fn explained(plan: &TagPlan) -> String {
    let names = plan.tags.iter().map(|one| (one.tag.as_str(), one.family.as_str(), one.why.to_string()));
    let others = plan.not_applied.iter().map(|one| (one.rule.as_str(), one.family.as_str(), one.reason.to_string()));
    let width = names.clone().chain(others.clone()).map(|(name, ..)| name.len()).max().unwrap_or_default();
    let line =
        |mark: char, (name, family, why): (&str, &str, String)| format!("{mark} {name:width$}  {family:<8}  {why}\n");
    names.map(|one| line('+', one)).chain(others.map(|one| line('-', one))).collect()
}
