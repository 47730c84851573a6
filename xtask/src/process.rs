//! Starts programs: the only place of xtask that does.
//!
//! Invariants: a command that is run for its effect is printed first; programs started here see no variable that
//! `cargo run` set for xtask itself, so that cargo finds its own earlier work fresh.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

/// One line for people, on stderr.
pub(crate) fn say(text: &str) {
    // With stderr closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A command in the workspace root.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO_BIN_NAME" {
            command.env_remove(&name);
        }
    }
    command.current_dir(crate::root()).stdin(Stdio::null());
    command
}

/// The cargo that runs this task.
pub(crate) fn cargo() -> Command {
    command(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
}

/// The command as a person would type it.
fn shown(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once(name).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// Prints and runs the command; `false` if it failed.
pub(crate) fn succeeds(command: &mut Command) -> anyhow::Result<bool> {
    say(&format!("> {}", shown(command)));
    let status = command.status().with_context(|| format!("cannot start `{}`", shown(command)))?;
    Ok(status.success())
}

/// Prints and runs the command.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    if !succeeds(command)? {
        bail!("`{}` failed", shown(command));
    }
    Ok(())
}

/// Runs the command up to three times with a pause in between: for downloads.
pub(crate) fn retried(mut command: impl FnMut() -> Command) -> anyhow::Result<()> {
    for pause in [5, 20] {
        if succeeds(&mut command())? {
            return Ok(());
        }
        say(&format!("trying again in {pause} s"));
        std::thread::sleep(Duration::from_secs(pause));
    }
    run(&mut command())
}

/// Runs the command silently and gives what it printed on stdout; its stderr goes into the error.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !output.status.success() {
        let printed = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed with {}\n{}", shown(command), output.status, printed.trim_end());
    }
    Ok(output.stdout)
}

/// Where a program is, by `PATH` and the directories of system administration.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(format!("{program}{}", std::env::consts::EXE_SUFFIX)))
        .find(|candidate| candidate.is_file())
}
