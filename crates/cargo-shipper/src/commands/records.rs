//! `shipper history`, `status` and `where`: what the deployment records say.

use std::io::Write as _;

use serde_json::{Value, json};
use shipper_engine::records::Record;
use shipper_engine::{ExitCode, Project};

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
            .map(|(last, observed)| {
                json!({ "environment": last.id.environment(), "last": last, "running": observed.as_ref().unwrap_or(last) })
            })
            .collect();
        writeln!(out, "{}", json!({ "format": shipper_engine::FORMAT, "environments": environments }))?;
        return Ok(ExitCode::Done);
    }
    for (last, observed) in &all {
        writeln!(out, "{}: {}", last.id.environment(), line(last))?;
        if let Some(observed) = observed {
            writeln!(out, "  ran before: {}", line(observed))?;
        }
        for (service, image) in &observed.as_ref().unwrap_or(last).images {
            writeln!(out, "  {} {}", escape_controls(service), escape_controls(&image.reference))?;
        }
    }
    Ok(ExitCode::Done)
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
