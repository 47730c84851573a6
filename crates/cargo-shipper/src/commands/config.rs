//! `shipper config` and `shipper config schema`.

use std::io::Write as _;

use serde_json::json;
use shipper_engine::{ExitCode, Project};

use crate::cli::{ConfigAction, ConfigArgs, Global};
use crate::commands::options;
use crate::failure::Failure;
use crate::terminal::Terminal;

pub(crate) fn run(global: &Global, args: &ConfigArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let mut out = terminal.stdout();
    if let Some(ConfigAction::Schema) = args.action {
        writeln!(out, "{:#}", shipper_engine::config_schema())?;
        return Ok(ExitCode::Done);
    }
    let project = Project::open(&options(global))?;
    let rows = project.rows();
    if global.json {
        let settings: Vec<_> =
            rows.iter().map(|(key, value, origin)| json!({"key": key, "value": value, "origin": origin})).collect();
        writeln!(out, "{}", json!({"format": shipper_engine::FORMAT, "settings": settings}))?;
        return Ok(ExitCode::Done);
    }
    let width = rows.iter().map(|(key, ..)| key.len()).max().unwrap_or_default();
    for (key, value, origin) in rows {
        writeln!(out, "{key:width$} = {value}  # {origin}")?;
    }
    Ok(ExitCode::Done)
}
