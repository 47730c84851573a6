//! `shipper man`.

use std::fmt::Write as _;
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
        None if args.markdown => terminal.stdout().write_all(markdown(command).as_bytes())?,
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

/// All commands as one page: usage, and arguments and options with what they mean.
fn markdown(mut command: clap::Command) -> String {
    command.build();
    let mut page = String::from("# Commands\n\nWritten by `shipper man --markdown`.\n");
    let globals: Vec<&clap::Arg> = command.get_arguments().filter(|arg| arg.is_global_set()).collect();
    let _ = write!(page, "\n## Options of every command\n\n{}", table(&globals));
    if let Some(codes) = command.get_after_help() {
        let _ = write!(page, "\n{codes}\n");
    }
    for sub in shown(&command) {
        section(&mut page, sub, &format!("shipper {}", sub.get_name()));
    }
    page
}

fn shown(command: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set())
}

fn section(page: &mut String, command: &clap::Command, name: &str) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").split_whitespace().collect::<Vec<_>>().join(" ");
    let _ = write!(page, "\n## `{name}`\n\n{about}.\n\n`{usage}`\n");
    let own: Vec<&clap::Arg> =
        command.get_arguments().filter(|arg| !arg.is_global_set() && !arg.is_hide_set() && !is_help(arg)).collect();
    if !own.is_empty() {
        let _ = write!(page, "\n{}", table(&own));
    }
    for sub in shown(command) {
        section(page, sub, &format!("{name} {}", sub.get_name()));
    }
}

fn is_help(arg: &clap::Arg) -> bool {
    matches!(arg.get_id().as_str(), "help" | "version")
}

/// Arguments and options, a row each.
fn table(arguments: &[&clap::Arg]) -> String {
    let mut text = String::from("| | |\n|---|---|\n");
    for arg in arguments.iter().filter(|arg| !is_help(arg)) {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let values: Vec<String> = arg
            .get_possible_values()
            .iter()
            .filter(|value| !value.is_hide_set() && arg.get_action().takes_values())
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        let values = if values.is_empty() { String::new() } else { format!(": {}", values.join(", ")) };
        let _ = writeln!(text, "| `{}` | {}{values} |", cell(&written(arg)), cell(&help));
    }
    text
}

/// An argument as it is written.
fn written(arg: &clap::Arg) -> String {
    let names: Vec<String> = arg.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    let value = if arg.get_action().takes_values() { names.join(" ") } else { String::new() };
    let mut flags: Vec<String> = arg.get_short().map(|short| format!("-{short}")).into_iter().collect();
    flags.extend(arg.get_long().map(|long| format!("--{long}")));
    if flags.is_empty() {
        return value;
    }
    format!("{} {value}", flags.join(", ")).trim_end().to_owned()
}

/// A text in a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
