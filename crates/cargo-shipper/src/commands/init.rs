//! `shipper init`.

use std::io::Write as _;

use serde_json::json;
use shipper_engine::ExitCode;

use crate::cli::{Global, InitArgs};
use crate::commands::options;
use crate::failure::Failure;
use crate::terminal::Terminal;

pub(crate) fn run(global: &Global, args: &InitArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let written = shipper_engine::init(&options(global), args.force)?;
    if global.json {
        let paths: Vec<String> = written.files.iter().map(|path| path.display().to_string()).collect();
        writeln!(
            terminal.stdout(),
            "{}",
            json!({"format": shipper_engine::FORMAT, "written": paths, "services": written.services})
        )?;
        return Ok(ExitCode::Done);
    }
    for path in &written.files {
        terminal.status("Wrote", &path.display().to_string());
    }
    match written.services.as_slice() {
        [] => terminal.hint("no Cargo binary and no Dockerfile was found; write a `[service.NAME]` table by hand"),
        services => terminal.status("Found", &services.join(", ")),
    }
    Ok(ExitCode::Done)
}
