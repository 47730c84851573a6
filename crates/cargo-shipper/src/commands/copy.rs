//! `shipper push` and `shipper copy`.

use std::io::Write as _;

use serde_json::{Value, json};
use shipper_engine::{Beside, BesideInputs, ExitCode, Extent, units};

use crate::cli::{CopyArgs, Global};
use crate::commands::{block_on, options};
use crate::failure::Failure;
use crate::terminal::Terminal;

pub(crate) fn run(global: &Global, args: &CopyArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let options = options(global);
    let copied = block_on(shipper_engine::copy(&options, &args.source, &args.destination))??;
    if let Some(beside) = &copied.beside {
        warn(beside, terminal);
    }
    let left_out = match &copied.extent {
        Extent::Platform { others, .. } => {
            terminal.warning(&format!("the container engine got {}", copied.extent));
            others.as_slice()
        }
        _ => &[],
    };
    if global.json {
        let document = json!({
            "format": shipper_engine::FORMAT,
            "reference": copied.reference,
            "digest": copied.digest,
            "bytes-copied": copied.bytes,
            "blobs-copied": copied.blobs,
            "blobs-present": copied.present,
            "beside": copied.beside.as_ref().map(beside),
            "platforms-left-out": left_out,
        });
        writeln!(terminal.stdout(), "{document}")?;
    } else {
        terminal.status(
            "Copied",
            &format!(
                "{} ({} of {} blobs, {}){}",
                copied.reference,
                copied.blobs,
                copied.blobs + copied.present,
                units::bytes(copied.bytes),
                copied.beside.as_ref().map_or_else(String::new, with),
            ),
        );
        writeln!(terminal.stdout(), "{}", copied.digest)?;
    }
    Ok(ExitCode::Done)
}

/// What was brought with an image, in JSON.
pub(super) fn beside(beside: &Beside) -> Value {
    json!({
        "referrers": beside.referrers,
        "referrers-written": beside.written,
        "inputs": beside.inputs.name(),
        "bytes-copied": beside.bytes,
    })
}

/// What was brought with an image, in words.
pub(super) fn with(beside: &Beside) -> String {
    let mut parts = Vec::new();
    if beside.referrers > 0 {
        parts.push(units::counted(beside.referrers, "referrer"));
    }
    if matches!(beside.inputs, BesideInputs::Copied | BesideInputs::Present) {
        parts.push("its inputs".to_owned());
    }
    if parts.is_empty() { String::new() } else { format!(", with {}", parts.join(" and ")) }
}

/// Warns of what had to stay behind.
pub(super) fn warn(beside: &Beside, terminal: &Terminal) {
    if beside.inputs == BesideInputs::OfAnother {
        terminal
            .warning("the destination has inputs of the same key for another image: those of this image stay behind");
    }
}
