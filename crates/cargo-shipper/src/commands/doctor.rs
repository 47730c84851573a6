//! `shipper doctor`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::SystemTime;

use shipper_engine::{Check, CheckVerdict, ExitCode, Project};

use crate::cli::{DoctorArgs, Global};
use crate::commands::{Document, block_on, options_at};
use crate::failure::Failure;
use crate::terminal::{Terminal, escape_controls};

pub(crate) fn run(global: &Global, args: &DoctorArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let project = Project::open(&options_at(global, &args.place, None))?;
    let checkup = block_on(shipper_engine::doctor(&project, SystemTime::now()))?;
    let mut out = std::io::BufWriter::new(terminal.stdout());
    if global.json {
        writeln!(out, "{}", Document::line(&checkup)?)?;
    } else {
        write!(out, "{}", table(&checkup.checks))?;
    }
    out.flush()?;
    Ok(checkup.exit_code())
}

/// A line for each answer, and one for each cure.
fn table(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.subject.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for check in checks {
        let (word, subject) = (word(check.verdict), escape_controls(&check.subject));
        let _ = writeln!(text, "{word:<8} {subject:<width$}  {}", escape_controls(&check.message));
        if let Some(cure) = &check.cure {
            let _ = writeln!(text, "{:<8} {:width$}  cure: {}", "", "", escape_controls(cure));
        }
    }
    text
}

fn word(verdict: CheckVerdict) -> &'static str {
    match verdict {
        CheckVerdict::Fine => "fine",
        CheckVerdict::Note => "note",
        CheckVerdict::Unknown => "unknown",
        CheckVerdict::Broken => "broken",
    }
}
