//! `shipper release-notes`.

use std::io::Write as _;
use std::sync::Arc;

use serde_json::json;
use shipper_engine::{Events, ExitCode, Project, ShipOptions};

use crate::cli::{Global, ReleaseNotesArgs};
use crate::commands::tags::overrides;
use crate::commands::{block_on, options_at};
use crate::failure::Failure;
use crate::terminal::{Terminal, WarningsOnly};

pub(crate) fn run(global: &Global, args: &ReleaseNotesArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let project = Project::open(&options_at(global, &args.place, None))?;
    let options = ShipOptions {
        services: args.services.clone(),
        no_push: true,
        facts: overrides(&args.run),
        ..ShipOptions::default()
    };
    let events = Events::new(Arc::new(WarningsOnly(terminal.clone())));
    let notes = block_on(async {
        let planned = shipper_engine::plan(&project, &options, &events).await?;
        shipper_engine::release_notes(&planned, args.since.as_deref()).await
    })??;
    let block = notes.block();
    let (place, changed) = match (&args.to, &args.github) {
        (Some(path), _) => {
            let changed = shipper_engine::write_notes(&global.directory.join(path), &block)?;
            (Some(path.display().to_string()), Some(changed))
        }
        (None, Some(repository)) => {
            let tag = tag_of(&project, args)?;
            let repository = match repository.as_str() {
                "" => project.environment.get("GITHUB_REPOSITORY").cloned().unwrap_or_default(),
                named => named.to_owned(),
            };
            let published = block_on(shipper_engine::publish_notes(&project, &repository, &tag, &block))??;
            (Some(format!("the release {tag} of {repository}: {}", published.url)), Some(published.changed))
        }
        (None, None) => (None, None),
    };
    let mut out = terminal.stdout();
    if global.json {
        let document = json!({
            "format": shipper_engine::FORMAT, "since": notes.since, "images": notes.images, "block": block, "changed": changed,
        });
        writeln!(out, "{document}")?;
        return Ok(ExitCode::Done);
    }
    match (place, changed) {
        (Some(place), Some(changed)) => terminal.status(if changed { "Wrote" } else { "Unchanged" }, &place),
        _ => out.write_all(block.as_bytes())?,
    }
    Ok(ExitCode::Done)
}

/// The tag that the run is about.
fn tag_of(project: &Project, args: &ReleaseNotesArgs) -> Result<String, Failure> {
    let (facts, _) = shipper_engine::gather_facts(project, &overrides(&args.run))?;
    facts.tag.ok_or_else(|| shipper_engine::Error::NoRelease.into())
}
