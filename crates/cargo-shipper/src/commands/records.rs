//! `shipper history`, `status` and `where`: what the deployment records say.

use std::io::Write as _;

use serde_json::{Value, json};
use shipper_engine::records::Record;
use shipper_engine::{ExitCode, Project, TargetStatus};

use crate::cli::{Global, HistoryArgs, StatusArgs, WhereArgs};
use crate::commands::{block_on, options_at};
use crate::failure::Failure;
use crate::terminal::{Terminal, escape_controls};

/// `shipper history`.
pub(crate) fn history(global: &Global, args: &HistoryArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let project = Project::open(&options_at(global, &args.place, None))?;
    let records = block_on(shipper_engine::history(&project, &args.environment, args.limit))??;
    let mut out = terminal.stdout();
    if global.json {
        let document = json!({
            "format": shipper_engine::FORMAT, "environment": args.environment, "deployments": records,
        });
        writeln!(out, "{document}")?;
    } else {
        for record in &records {
            writeln!(out, "{}", line(record))?;
            for reference in record.images.values().map(|image| &image.reference).filter(|_| global.verbose > 0) {
                writeln!(out, "    {}", escape_controls(reference))?;
            }
        }
    }
    Ok(ExitCode::Done)
}

/// Name, state, kind, time, commit and actor of a deployment.
fn line(record: &Record) -> String {
    let restores = record.restores.as_ref().map_or_else(String::new, |id| format!(" to {id}"));
    let commit = record.commit.as_deref().map_or_else(String::new, |id| format!(" {}", id.get(..10).unwrap_or(id)));
    let actor = record.actor.as_deref().map_or_else(String::new, |actor| format!(" by {actor}"));
    let (id, state, kind, path) = (&record.id, record.state.word(), record.kind.word(), record.path.word());
    escape_controls(&format!("{id} {state:<9} {kind} ({path}) {}{commit}{actor}{restores}", record.began))
}

/// `shipper status`.
pub(crate) fn status(global: &Global, args: &StatusArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let project = Project::open(&options_at(global, &args.place, None))?;
    let all = block_on(shipper_engine::status(&project))??;
    let mut out = terminal.stdout();
    if global.json {
        let environments: Vec<Value> = all
            .iter()
            .map(|known| {
                let mut document = json!({
                    "environment": known.last.id.environment(), "last": known.last, "running": known.running(),
                });
                if !known.targets.is_empty() {
                    document["targets"] = known.targets.iter().map(target).collect();
                }
                document
            })
            .collect();
        writeln!(out, "{}", json!({ "format": shipper_engine::FORMAT, "environments": environments }))?;
        return Ok(ExitCode::Done);
    }
    for known in &all {
        writeln!(out, "{}: {}", known.last.id.environment(), line(&known.last))?;
        if let Some(observed) = &known.observed {
            writeln!(out, "  ran before: {}", line(observed))?;
        }
        for (service, image) in &known.running().images {
            writeln!(out, "  {} {}", escape_controls(service), escape_controls(&image.reference))?;
        }
        for target in &known.targets {
            let text = target.difference.as_deref().unwrap_or("runs it");
            writeln!(out, "  {}: {}", escape_controls(&target.step), escape_controls(text))?;
        }
    }
    Ok(ExitCode::Done)
}

/// What a target says, as JSON: `runs` is `null` where it did not say.
fn target(target: &TargetStatus) -> Value {
    let runs = target.image.is_some().then_some(target.difference.is_none());
    json!({ "step": target.step, "image": target.image, "runs": runs, "difference": target.difference })
}

/// `shipper where`.
pub(crate) fn whereabouts(global: &Global, args: &WhereArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let project = Project::open(&options_at(global, &args.place, None))?;
    let found = block_on(shipper_engine::where_is(&project, &args.image))??;
    let mut out = terminal.stdout();
    if global.json {
        let found: Vec<Value> = found
            .iter()
            .map(|one| {
                json!({
                    "environment": one.environment, "service": one.service, "image": one.image, "record": one.record,
                    "since": one.since,
                })
            })
            .collect();
        writeln!(out, "{}", json!({ "format": shipper_engine::FORMAT, "found": found }))?;
    } else {
        for one in &found {
            let text =
                format!("{} {} {} since {} ({})", one.environment, one.service, one.image, one.since, one.record);
            writeln!(out, "{}", escape_controls(&text))?;
        }
    }
    Ok(if found.is_empty() { ExitCode::No } else { ExitCode::Done })
}
