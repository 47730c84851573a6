//! `shipper completions`.

use std::io::Write as _;

use clap::CommandFactory as _;
use shipper_engine::ExitCode;

use crate::cli::{Cli, CompletionsArgs};
use crate::failure::Failure;
use crate::terminal::Terminal;

pub(crate) fn run(args: &CompletionsArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "shipper", &mut script);
    terminal.stdout().write_all(&script)?;
    Ok(ExitCode::Done)
}
