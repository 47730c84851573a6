//! `shipper plan`.

use std::io::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};
use shipper_engine::jobs::{GITHUB_JOBS, Matrix};
use shipper_engine::{Events, ExitCode, Planned, Project, ShipOptions};

use crate::cli::{Global, PlanArgs, PlanFormat};
use crate::commands::tags::overrides;
use crate::commands::{block_on, service_options};
use crate::failure::Failure;
use crate::github::GitHub;
use crate::terminal::{Terminal, WarningsOnly, base_line, plan_table};

pub(crate) fn run(global: &Global, args: &PlanArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let project = Project::open(&service_options(global, &args.services, None))?;
    let options = ShipOptions {
        services: args.services.services.clone(),
        force: args.services.force,
        locked: args.services.locked,
        no_push: true,
        facts: overrides(&args.services.run),
        load: false,
        refresh: Vec::new(),
    };
    let events = Events::new(Arc::new(WarningsOnly(terminal.clone())));
    let planned = block_on(shipper_engine::plan(&project, &options, &events))??;
    // People are shown no document, and it costs a look at every tracked file.
    let document = (global.json || args.out.is_some()).then(|| document(&project, &planned));
    if let (Some(path), Some(document)) = (&args.out, &document) {
        shipper_engine::write_file(&global.directory.join(path), format!("{document:#}\n").as_bytes())?;
    }
    let mut out = terminal.stdout();
    if args.format == Some(PlanFormat::Github) {
        let outputs = jobs(&project, &planned);
        match GitHub::of_process().filter(GitHub::takes_outputs) {
            Some(host) => host.set(&outputs)?,
            None => {
                for (name, value) in &outputs {
                    writeln!(out, "{name}={value}")?;
                }
            }
        }
    } else if args.format == Some(PlanFormat::Gitlab) {
        let (facts, _) = shipper_engine::gather_facts(&project, &options.facts)?;
        let matrix = Matrix::of(&planned.services, GITHUB_JOBS);
        let is_untrusted = facts.trigger == shipper_engine::tags::Trigger::PullRequest;
        let version = env!("CARGO_PKG_VERSION");
        out.write_all(shipper_engine::ci_jobs(&project, matrix, version, is_untrusted)?.as_bytes())?;
    } else if let Some(document) = document.filter(|_| global.json) {
        writeln!(out, "{document}")?;
    } else if !global.quiet {
        out.write_all(plan_table(&planned.services, &planned.head, planned.saved_ms(), global.verbose > 0).as_bytes())?;
        for base in &planned.outdated {
            writeln!(out, "note: {}; `shipper base update` takes what is there now", base_line(base))?;
        }
    }
    Ok(if args.check && !planned.is_empty() { ExitCode::No } else { ExitCode::Done })
}

/// The plan as outputs: whether anything is due; the services that others are built on, by spaces; a matrix of the others; and
/// the services that only get names, by spaces.
fn jobs(project: &Project, planned: &Planned) -> [(&'static str, String); 4] {
    let Matrix { due, bases, mut jobs, retag } = Matrix::of(&planned.services, GITHUB_JOBS);
    for job in &mut jobs {
        let services: Vec<&str> = job.services.split(' ').collect();
        job.sparse = shipper_engine::checkout_directories(project, &services).join("\n");
    }
    [
        ("due", due.to_string()),
        ("bases", bases.join(" ")),
        ("matrix", json!({ "include": jobs }).to_string()),
        ("retag", retag.join(" ")),
    ]
}

/// The document of `plan --json`. What nothing else needs, whether files differ from the commit, is looked up for it.
fn document(project: &Project, planned: &Planned) -> Value {
    json!({
        "format": shipper_engine::FORMAT,
        "commit": planned.head.commit,
        "dirty": shipper_engine::is_dirty(project),
        "branch": planned.head.branch,
        "services": planned.services,
        "outdated-bases": planned.outdated,
    })
}
