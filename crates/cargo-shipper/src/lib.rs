#![doc = include_str!("../README.md")]

mod cli;
mod commands;
mod failure;
mod github;
mod signals;
mod terminal;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command, Global};
use crate::failure::Failure;
use crate::terminal::Terminal;

/// Runs the command with the arguments of the process and returns what the process returns.
#[must_use]
pub fn main() -> ExitCode {
    run(std::env::args_os().collect())
}

/// As [`main`], called by Cargo: `cargo shipper ...` passes `shipper` as first argument.
#[must_use]
pub fn cargo_main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|argument| argument == "shipper") {
        arguments.remove(1);
    }
    run(arguments)
}

fn run(arguments: Vec<OsString>) -> ExitCode {
    let json = arguments.iter().take_while(|argument| *argument != "--").any(|argument| argument == "--json");
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // The reader of the help may have gone; there is nobody left to tell.
            let _ = error.print();
            if !error.use_stderr() {
                return ExitCode::from(shipper_engine::ExitCode::Done.code());
            }
            let failure = Failure::from(error);
            if json {
                failure.write_json(&mut std::io::stdout());
            }
            return ExitCode::from(failure.exit_code.code());
        }
    };
    let terminal = Terminal::new(&cli.global);
    terminal.start_log(cli.global.verbose);
    let result = match &cli.command {
        #[cfg(feature = "aws")]
        // The command that it hands over to may return anything.
        Command::EcrReady(args) => commands::ready::run(&cli.global, args, &terminal),
        command => dispatch(&cli.global, command, &terminal).map(shipper_engine::ExitCode::code),
    };
    let code = result.unwrap_or_else(|failure: Failure| {
        terminal.failure(&failure);
        if cli.global.json {
            failure.write_json(&mut terminal.stdout());
        }
        failure.exit_code.code()
    });
    ExitCode::from(code)
}

#[cfg(not(feature = "aws"))]
fn without_aws(action: &str) -> Failure {
    shipper_engine::Error::WithoutAws { action: action.to_owned() }.into()
}

fn dispatch(global: &Global, command: &Command, terminal: &Terminal) -> Result<shipper_engine::ExitCode, Failure> {
    match command {
        Command::Init(args) => commands::init::run(global, args, terminal),
        Command::Plan(args) => commands::plan::run(global, args, terminal),
        Command::Ship(args) => commands::ship::run(global, args, terminal),
        Command::Deploy(args) => commands::deploy::run(global, args, terminal),
        Command::Rollback(args) => commands::deploy::rollback(global, args, terminal),
        Command::Undeploy(args) => commands::deploy::undeploy(global, args, terminal),
        Command::History(args) => commands::records::history(global, args, terminal),
        Command::Status(args) => commands::records::status(global, args, terminal),
        Command::Where(args) => commands::records::whereabouts(global, args, terminal),
        Command::Why(args) => commands::why::run(global, args, terminal),
        Command::Audit(args) => commands::audit::run(global, args, terminal),
        Command::Doctor(args) => commands::doctor::run(global, args, terminal),
        Command::Lint(args) => commands::lint::run(global, args, terminal),
        Command::Hash(args) => commands::hash::run(global, args, terminal),
        Command::Inspect(args) => commands::inspect::run(global, args, terminal),
        Command::Size(args) => commands::size::run(global, args, terminal),
        Command::Push(args) | Command::Copy(args) => commands::copy::run(global, args, terminal),
        Command::Promote(args) => commands::promote::run(global, args, terminal),
        Command::Sign(args) => commands::sign::run(global, args, terminal),
        Command::Verify(args) => commands::verify::run(global, args, terminal),
        Command::Base(args) => commands::base::run(global, args, terminal),
        #[cfg(feature = "aws")]
        Command::Ecr(args) => commands::ecr::run(global, args, terminal),
        #[cfg(feature = "aws")]
        Command::Iam(args) => commands::iam::run(global, args, terminal),
        Command::Ci(args) => commands::ci::run(global, args, terminal),
        Command::ReleaseNotes(args) => commands::release_notes::run(global, args, terminal),
        Command::Stats(args) => commands::stats::run(global, args, terminal),
        Command::Report(args) => commands::report::run(global, args, terminal),
        Command::Facts(args) => commands::tags::facts(global, args, terminal),
        Command::Tags(args) => commands::tags::tags(global, args, terminal),
        Command::Prune(args) => commands::prune::run(global, args, terminal),
        Command::Config(args) => commands::config::run(global, args, terminal),
        Command::Completions(args) => commands::completions::run(args, terminal),
        Command::Man(args) => commands::man::run(args, terminal),
        #[cfg(feature = "aws")]
        Command::EcrReady(_) => unreachable!("handled by the caller"),
        #[cfg(not(feature = "aws"))]
        Command::EcrReady(_) => Err(without_aws("ask whether an image can be pushed")),
        #[cfg(not(feature = "aws"))]
        Command::Ecr(_) => Err(without_aws("work on repositories of Amazon ECR")),
        #[cfg(not(feature = "aws"))]
        Command::Iam(_) => Err(without_aws("tell what a role of AWS needs")),
    }
}
