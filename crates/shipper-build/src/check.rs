//! Commands of the user that must succeed before a build, such as tests.
//!
//! Invariants: an argument list is run as it is, never through a shell; the command sees the machine's variables
//! and its network settings, but none that may hold a credential.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::environment::Environment;
use crate::error::{BuildError, Exit};
use crate::log::BuildLog;
use crate::process::{Process, Stream, TailBuffer};

/// Why a check did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckFailure {
    /// What happened, as it fits after the command line: `failed (exit code 1)`.
    pub problem: String,
    /// The last lines that it wrote on either stream, oldest first, at most [`TAIL_LINES`](crate::TAIL_LINES).
    pub tail: Vec<String>,
    /// Its exit code, where it returned one.
    pub code: Option<i32>,
}

/// Runs `argv` in `directory` and hands every line that it writes to `log`.
///
/// A program with a `/` in its name is found relative to `directory`, any other on `PATH`. Dropping the future ends the
/// command and everything that it started.
///
/// # Errors
/// [`CheckFailure`] where the command is not found, does not start, or does not return 0.
pub async fn run_check(
    argv: &[String],
    directory: &Path,
    environment: &Environment,
    log: &dyn BuildLog,
) -> Result<(), CheckFailure> {
    run_command(argv, directory, &environment.for_commands(), None, log).await
}

/// As [`run_check`], with exactly the variables of `visible`; where there is a `limit`, the command is ended after it, with
/// everything that it started.
///
/// # Errors
/// As [`run_check`], and where the command took longer than `limit`.
pub async fn run_command(
    argv: &[String],
    directory: &Path,
    visible: &Environment,
    limit: Option<Duration>,
    log: &dyn BuildLog,
) -> Result<(), CheckFailure> {
    let mut tail = TailBuffer::default();
    let mut on_line = |_, line: &str| {
        tail.push(line);
        log.line(line);
    };
    let ended = to_the_end(argv, directory, visible, limit, &mut on_line).await;
    ended.map_err(|(problem, code)| CheckFailure { problem, tail: tail.into_lines(), code })
}

/// As [`run_command`], for what the command writes to standard output, in lines that end with `\n`. The tail of a failure is
/// of standard error.
///
/// # Errors
/// As [`run_command`], and where it writes more than `most` bytes.
pub async fn read_command(
    argv: &[String],
    directory: &Path,
    visible: &Environment,
    limit: Duration,
    most: usize,
) -> Result<String, CheckFailure> {
    let (mut text, mut tail, mut is_too_much) = (String::new(), TailBuffer::default(), false);
    let mut on_line = |stream, line: &str| match stream {
        Stream::Stdout if !is_too_much && text.len() + line.len() < most => {
            text.push_str(line);
            text.push('\n');
        }
        Stream::Stdout => is_too_much = true,
        Stream::Stderr => tail.push(line),
    };
    match to_the_end(argv, directory, visible, Some(limit), &mut on_line).await {
        Ok(()) if is_too_much => {
            Err(CheckFailure { problem: format!("writes more than {most} bytes"), tail: tail.into_lines(), code: None })
        }
        Ok(()) => Ok(text),
        Err((problem, code)) => Err(CheckFailure { problem, tail: tail.into_lines(), code }),
    }
}

/// Runs a command; what went wrong as it fits after the command line, and its exit code where it returned one.
async fn to_the_end(
    argv: &[String],
    directory: &Path,
    visible: &Environment,
    limit: Option<Duration>,
    on_line: &mut (dyn FnMut(Stream, &str) + Send),
) -> Result<(), (String, Option<i32>)> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err(("is empty".to_owned(), None));
    };
    let found = if program.contains('/') { Some(directory.join(program)) } else { visible.find_program(program) };
    let found: PathBuf = found.ok_or_else(|| ("is not found on PATH".to_owned(), None))?;
    let process = Process::new(found, directory, visible.clone()).args(arguments);
    let run = process.run(on_line);
    let ended = match limit {
        Some(limit) => tokio::time::timeout(limit, run)
            .await
            .map_err(|_| (format!("was not done after {limit:?} and was killed"), None))?,
        None => run.await,
    };
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err((format!("failed ({})", Exit::from(status)), status.code())),
        Err(BuildError::Io { source, .. }) => Err((format!("did not start: {source}"), None)),
        Err(error) => Err((format!("did not start: {error}"), None)),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::log::NoLog;

    async fn run(argv: &[&str]) -> Result<(), CheckFailure> {
        let argv: Vec<String> = argv.iter().map(|&word| word.to_owned()).collect();
        run_check(&argv, Path::new("/"), &Environment::of_process(), &NoLog).await
    }

    #[tokio::test]
    async fn a_command_is_run_as_it_is_and_its_last_lines_are_kept() {
        assert_eq!(run(&["true"]).await, Ok(()));
        let failed = run(&["sh", "-c", "echo one; echo two >&2; exit 3"]).await.expect_err("fails");
        assert!(failed.problem.contains('3'), "{}", failed.problem);
        let mut tail = failed.tail;
        tail.sort();
        assert_eq!(tail, ["one", "two"]);
        // Not a shell: nothing is expanded.
        assert_eq!(run(&["test", "$HOME", "=", "$HOME"]).await, Ok(()));
    }

    #[tokio::test]
    async fn what_a_command_prints_is_read_whole_or_not_at_all() {
        let read = async |script: &str, most: usize| {
            let argv = ["sh", "-c", script].map(str::to_owned);
            read_command(&argv, Path::new("/"), &Environment::of_process(), Duration::from_secs(60), most).await
        };
        assert_eq!(read("echo one; echo not >&2; printf two", 100).await, Ok("one\ntwo\n".to_owned()));
        assert!(read("echo one; echo two", 6).await.expect_err("too much").problem.contains("more than 6 bytes"));
        let failed = read("echo one; echo why >&2; exit 3", 100).await.expect_err("fails");
        assert_eq!((failed.tail, failed.code), (vec!["why".to_owned()], Some(3)));
    }

    #[tokio::test]
    async fn what_does_not_exist_is_a_failure() {
        assert_eq!(run(&["no-such-program-here"]).await.expect_err("fails").problem, "is not found on PATH");
        assert!(run(&["./no-such-program"]).await.expect_err("fails").problem.starts_with("did not start"));
    }
}
