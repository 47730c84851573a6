//! `shipper sign`.

use std::io::Write as _;

use serde_json::json;
use shipper_engine::ExitCode;

use crate::cli::{Global, SignArgs};
use crate::commands::{block_on, options};
use crate::failure::Failure;
use crate::terminal::Terminal;

pub(crate) fn run(global: &Global, args: &SignArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let signed = block_on(shipper_engine::sign(&options(global), &args.reference, &args.key))??;
    if global.json {
        let document = json!({
            "format": shipper_engine::FORMAT,
            "reference": signed.reference,
            "digest": signed.digest,
            "signature": signed.signature,
            "key-hint": signed.key_hint,
        });
        writeln!(terminal.stdout(), "{document}")?;
    } else {
        terminal.status("Signed", &format!("{} with the key {}", signed.reference, signed.key_hint));
        writeln!(terminal.stdout(), "{}", signed.signature)?;
    }
    Ok(ExitCode::Done)
}
