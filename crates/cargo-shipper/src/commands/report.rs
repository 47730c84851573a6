//! `shipper report`.

use std::io::Write as _;
use std::path::Path;

use shipper_engine::{ExitCode, render};

use crate::cli::{Global, ReportArgs, ReportFormat};
use crate::commands::options;
use crate::failure::Failure;
use crate::terminal::Terminal;

pub(crate) fn run(global: &Global, args: &ReportArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let options = options(global);
    let recorded = shipper_engine::recorded_run(&options, args.run.as_deref())?;
    if let Some(damage) = recorded.run.damage() {
        terminal.warning(&damage);
    }
    let format = if global.json { ReportFormat::Json } else { args.format };
    let text = match format {
        ReportFormat::Html => render::html(&recorded.run, &recorded.history),
        ReportFormat::Svg => render::svg(&recorded.run),
        ReportFormat::Md => render::markdown(&recorded.run),
        ReportFormat::Json => render::json(&recorded.run, &recorded.history),
        ReportFormat::ChromeTrace => render::chrome_trace(&recorded.run),
    };
    let file = match &args.out {
        Some(out) if out == Path::new("-") => None,
        Some(out) => Some(global.directory.join(out)),
        None if format == ReportFormat::Html => Some(shipper_engine::report_file(&options)?),
        None => None,
    };
    match file {
        Some(file) => {
            shipper_engine::write_file(&file, text.as_bytes())?;
            terminal.status("Wrote", &file.display().to_string());
        }
        None => terminal.stdout().write_all(text.as_bytes())?,
    }
    Ok(ExitCode::Done)
}
