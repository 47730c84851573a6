//! `shipper lint`.

use std::io::Write as _;

use serde_json::json;
use shipper_engine::{ExitCode, Finding, Project};

use crate::cli::{Global, LintArgs};
use crate::commands::options;
use crate::failure::Failure;
use crate::terminal::{Terminal, escape_controls};

pub(crate) fn run(global: &Global, args: &LintArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let project = Project::open(&options(global))?;
    if args.write {
        for path in shipper_engine::write_ignore_rules(&project, &args.services)? {
            terminal.status("Wrote", &path);
        }
    }
    let findings = shipper_engine::lint(&project, &args.services)?;
    let mut out = std::io::BufWriter::new(terminal.stdout());
    if global.json {
        writeln!(out, "{}", json!({"format": shipper_engine::FORMAT, "findings": findings}))?;
    } else {
        for finding in &findings {
            writeln!(out, "{}", escape_controls(&text(finding)))?;
        }
    }
    out.flush()?;
    Ok(if args.check && !findings.is_empty() { ExitCode::No } else { ExitCode::Done })
}

/// A line for what is found and one for what can be done.
fn text(finding: &Finding) -> String {
    let line = finding.line.map(|line| format!(" line {line}")).unwrap_or_default();
    format!("{}{line}: {} ({})\n    {}", finding.service, finding.message, finding.code, finding.hint)
}
