//! `shipper prune`.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use serde_json::json;
use shipper_engine::{ExitCode, Project, PruneOptions, units};

use crate::cli::{Global, PruneArgs};
use crate::commands::options;
use crate::failure::Failure;
use crate::terminal::{Terminal, escape_controls};

pub(crate) fn run(global: &Global, args: &PruneArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let project = Project::open(&options(global))?;
    let bounds = PruneOptions {
        unused_for: Duration::from_secs(u64::from(args.days) * 86_400),
        most_bytes: args.max_mib.map(|most| most.saturating_mul(1 << 20)),
        apply: args.apply,
    };
    let report = shipper_engine::prune(&project, &bounds, SystemTime::now())?;
    let mut out = std::io::BufWriter::new(terminal.stdout());
    if global.json {
        writeln!(
            out,
            "{}",
            json!({"format": shipper_engine::FORMAT, "pruned": report, "freed-bytes": report.freed()})
        )?;
    } else {
        for one in &report.directories {
            let kept = one.kept.as_ref().map(|why| format!(", kept: {why}")).unwrap_or_default();
            let text = format!(
                "{:>10}  {}  ({}, not used for {} hours{kept})",
                units::bytes(one.bytes),
                one.path.display(),
                one.why,
                one.unused_hours
            );
            writeln!(out, "{}", escape_controls(&text))?;
        }
    }
    out.flush()?;
    let (freed, all) = (units::bytes(report.freed()), units::bytes(report.bytes));
    if report.applied {
        terminal.status("Freed", &format!("{freed} of {all}"));
    } else {
        terminal.status("Would free", &format!("{freed} of {all}; `--apply` does it"));
    }
    Ok(ExitCode::Done)
}
