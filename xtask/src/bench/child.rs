//! One child process with what it used: for figures that the system keeps per process, not per command.
//!
//! Peak memory is reported for the largest of all children that a process waited for. So that it is that of one command,
//! xtask starts itself anew as [`TASK`], which runs the command as its only child and prints what it used.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::process::output;

/// The task that [`used`] starts. Its arguments are a program and its arguments.
pub(crate) const TASK: &str = "run-and-report";

/// What a command used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
    /// Most memory that was resident at one moment, in bytes.
    pub(super) memory: u64,
}

/// Runs the command, which must succeed.
pub(super) fn used(command: &Command) -> anyhow::Result<Used> {
    let own = std::env::current_exe().context("cannot find xtask itself")?;
    let mut reporter = Command::new(own);
    reporter.arg(TASK).arg(command.get_program()).args(command.get_args());
    if let Some(directory) = command.get_current_dir() {
        reporter.current_dir(directory);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => reporter.env(name, value),
            None => reporter.env_remove(name),
        };
    }
    let printed = String::from_utf8(output(reporter.stdin(Stdio::null()))?).context("cannot read the report")?;
    let numbers: Vec<u64> = printed.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [wall, cpu, memory] = numbers.as_slice() else { bail!("cannot read the report `{}`", printed.trim_end()) };
    Ok(Used { wall: Duration::from_micros(*wall), cpu: Duration::from_micros(*cpu), memory: *memory })
}

/// Runs a program and prints microseconds, microseconds of CPU time and bytes of memory.
pub(crate) fn report(words: &[&str]) -> anyhow::Result<()> {
    let [program, arguments @ ..] = words else { bail!("no program is named") };
    let started = Instant::now();
    let mut command = Command::new(program);
    let child = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = child.output().with_context(|| format!("cannot start {program}"))?;
    let wall = started.elapsed();
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} failed with {}\n{}", output.status, said.trim_end());
    let (cpu, memory) = children()?;
    let line = format!("{} {} {memory}\n", wall.as_micros(), cpu.as_micros());
    std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes()).context("cannot print the report")
}

/// CPU time and peak memory of the children of this process.
#[cfg(unix)]
fn children() -> anyhow::Result<(Duration, u64)> {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("cannot read what children used")?;
    let kibibytes = u64::try_from(usage.max_rss()).unwrap_or(0);
    Ok((super::measure::children_cpu()?, kibibytes * 1024))
}

/// Without a source, the columns stay zero.
#[cfg(not(unix))]
fn children() -> anyhow::Result<(Duration, u64)> {
    Ok((Duration::ZERO, 0))
}
