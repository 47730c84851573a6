//! `shipper base outdated` and `shipper base update`.

use std::io::Write as _;

use serde_json::json;
use shipper_engine::{BaseState, ExitCode, LockedBase, Project};

use crate::cli::{BaseAction, BaseArgs, Global};
use crate::commands::{block_on, options};
use crate::failure::Failure;
use crate::terminal::{Terminal, base_line};

pub(crate) fn run(global: &Global, args: &BaseArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let project = Project::open(&options(global))?;
    let (found, check) = match &args.action {
        BaseAction::Outdated { check } => (block_on(shipper_engine::base_outdated(&project))??, *check),
        BaseAction::Update { references } => (block_on(shipper_engine::base_update(&project, references))??, false),
    };
    let changed: Vec<&LockedBase> = found.iter().filter(|base| base.state != BaseState::Current).collect();
    let mut out = terminal.stdout();
    if global.json {
        writeln!(out, "{}", json!({"format": shipper_engine::FORMAT, "bases": found}))?;
    } else {
        for base in &changed {
            writeln!(out, "{}", base_line(base))?;
        }
        terminal.status("Bases", &summary(&args.action, found.len(), &changed));
    }
    let due = check && !changed.is_empty();
    Ok(if due { ExitCode::No } else { ExitCode::Done })
}

/// `2 of 5 locked base images moved`.
fn summary(action: &BaseAction, all: usize, changed: &[&LockedBase]) -> String {
    let moved = changed.iter().filter(|base| matches!(base.state, BaseState::Moved { .. })).count();
    let gone = changed.len() - moved;
    let what = match action {
        BaseAction::Outdated { .. } => "moved",
        BaseAction::Update { .. } => "updated",
    };
    let gone = if gone == 0 { String::new() } else { format!(", {gone} gone") };
    format!("{moved} of {all} locked {} {what}{gone}", if all == 1 { "base image" } else { "base images" })
}
