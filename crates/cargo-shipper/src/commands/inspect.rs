//! `shipper inspect`.

use std::io::Write as _;

use shipper_engine::{ExitCode, units};

use crate::cli::{Global, InspectArgs};
use crate::commands::{block_on, options};
use crate::failure::Failure;
use crate::terminal::{Terminal, escape_controls};

pub(crate) fn run(global: &Global, args: &InspectArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let inspected = block_on(shipper_engine::inspect(&options(global), &args.reference))??;
    let mut out = terminal.stdout();
    if args.raw {
        out.write_all(&inspected.raw)?;
        return Ok(ExitCode::Done);
    }
    if global.json {
        writeln!(out, "{}", inspected.document)?;
        return Ok(ExitCode::Done);
    }
    writeln!(out, "{}", inspected.reference)?;
    writeln!(out, "  digest     {}", inspected.digest)?;
    writeln!(out, "  type       {}", inspected.media_type)?;
    for (name, value) in &inspected.properties {
        writeln!(out, "  {} {}", escape_controls(&format!("{name:<10}")), escape_controls(value))?;
    }
    for part in &inspected.parts {
        let about = escape_controls(&part.about);
        writeln!(out, "  {:<10} {} {:>10} {about}", part.kind, part.digest, units::bytes(part.size))?;
    }
    Ok(ExitCode::Done)
}
