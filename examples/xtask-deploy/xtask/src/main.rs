//! `cargo xtask deploy [ENV]`: what this repository is released with, and nothing to install.

mod deploy;

use std::process::ExitCode;

use shipper_engine::Options;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (command, environment) = (arguments.next(), arguments.next().unwrap_or_else(|| "prod".to_owned()));
    if command.as_deref() != Some("deploy") {
        eprintln!("usage: cargo xtask deploy [ENV]");
        return ExitCode::from(2);
    }
    let environment_of_process = std::env::vars().collect();
    let options = Options { directory: ".".into(), environment: environment_of_process, ..Options::default() };
    match deploy::deploy(&options, &environment) {
        Ok(deployed) => ExitCode::from(deployed.exit_code().code()),
        Err(error) => {
            eprintln!("error: {}", error.chain().join("\n  caused by: "));
            ExitCode::from(error.exit_code().code())
        }
    }
}
