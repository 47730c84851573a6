//! `shipper man`.

use std::io::Write as _;
use std::path::Path;

use clap::CommandFactory as _;
use clap_mangen::Man;
use shipper_engine::ExitCode;

use crate::cli::{Cli, ManArgs};
use crate::failure::Failure;
use crate::terminal::Terminal;

pub(crate) fn run(args: &ManArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let command = Cli::command();
    match &args.pages {
        None => {
            let mut page = Vec::new();
            Man::new(command).render(&mut page)?;
            terminal.stdout().write_all(&page)?;
        }
        Some(directory) => write(command, directory).map_err(|error| Failure {
            exit_code: ExitCode::Unknown,
            chain: vec![format!("cannot write manual pages into {}: {error}", directory.display())],
            hint: None,
        })?,
    }
    Ok(ExitCode::Done)
}

/// Writes a page for the command and for each of its commands. The directory is made where it is not there.
fn write(command: clap::Command, directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(command, directory)
}
