//! `shipper push` and `shipper copy`.

use std::io::Write as _;

use serde_json::json;
use shipper_engine::{ExitCode, units};

use crate::cli::{CopyArgs, Global};
use crate::commands::{block_on, options};
use crate::failure::Failure;
use crate::terminal::Terminal;

pub(crate) fn run(global: &Global, args: &CopyArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let options = options(global);
    let copied = block_on(shipper_engine::copy(&options, &args.source, &args.destination))??;
    if global.json {
        let document = json!({
            "format": shipper_engine::FORMAT,
            "reference": copied.reference,
            "digest": copied.digest,
            "bytes-copied": copied.bytes,
            "blobs-copied": copied.blobs,
            "blobs-present": copied.present,
        });
        writeln!(terminal.stdout(), "{document}")?;
    } else {
        terminal.status(
            "Copied",
            &format!(
                "{} ({} of {} blobs, {})",
                copied.reference,
                copied.blobs,
                copied.blobs + copied.present,
                units::bytes(copied.bytes)
            ),
        );
        writeln!(terminal.stdout(), "{}", copied.digest)?;
    }
    Ok(ExitCode::Done)
}
