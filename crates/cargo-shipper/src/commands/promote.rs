//! `shipper promote`.

use std::io::Write as _;

use serde_json::json;
use shipper_engine::{ExitCode, units};

use crate::cli::{Global, PromoteArgs};
use crate::commands::copy::{beside, warn, with};
use crate::commands::{block_on, deploy, options};
use crate::failure::Failure;
use crate::terminal::Terminal;

pub(crate) fn run(global: &Global, args: &PromoteArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    if let Some(environment) = &args.to_env {
        return deploy::promote(global, args, environment, terminal);
    }
    let destination = args.destination.as_deref().unwrap_or_default();
    let promoted = block_on(shipper_engine::promote(&options(global), &args.source, destination, args.force))??;
    warn(&promoted.beside, terminal);
    if global.json {
        let document = json!({
            "format": shipper_engine::FORMAT,
            "reference": promoted.reference,
            "digest": promoted.digest,
            "moved-from": promoted.moved_from,
            "bytes-copied": promoted.bytes,
            "blobs-copied": promoted.blobs,
            "blobs-compared": promoted.compared,
            "beside": beside(&promoted.beside),
        });
        writeln!(terminal.stdout(), "{document}")?;
        return Ok(ExitCode::Done);
    }
    let moved = promoted.moved_from.as_ref().map_or_else(String::new, |from| format!(", was {from}"));
    terminal.status(
        "Promoted",
        &format!(
            "{} ({} of {} blobs, {}; both sides agree{moved}){}",
            promoted.reference,
            promoted.blobs,
            promoted.compared,
            units::bytes(promoted.bytes),
            with(&promoted.beside),
        ),
    );
    writeln!(terminal.stdout(), "{}", promoted.digest)?;
    Ok(ExitCode::Done)
}
