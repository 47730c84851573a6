//! The one place of this crate that starts processes.
//!
//! Invariants: the environment is exactly what was given; standard input is empty; the child leads a process group of
//! its own, and the whole group is killed when the future is dropped (cancellation), so that no compiler or linker
//! outlives its build; a line of output takes at most [`LINE_LIMIT`] bytes of memory.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::environment::Environment;
use crate::error::{BuildError, TAIL_LINES};

/// The longest line that is kept whole, in bytes; the rest of a longer one is dropped. Cargo's messages about one
/// artifact and diagnostics of generated code are long, but not this long.
const LINE_LIMIT: usize = 4 << 20;

/// How long output is still read after the process itself has ended. A daemon that inherited the pipe (a compiler cache,
/// for one) would otherwise hold the build for ever.
const DRAIN: Duration = Duration::from_secs(2);

/// Which stream a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// A process that has not been started yet.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    program: PathBuf,
    args: Vec<OsString>,
    env: Environment,
    cwd: PathBuf,
}

impl Process {
    /// `program` must be a path; `cwd` decides which configuration files a tool finds above itself.
    pub(crate) fn new(program: impl Into<PathBuf>, cwd: impl Into<PathBuf>, env: Environment) -> Process {
        Process { program: program.into(), args: Vec::new(), env, cwd: cwd.into() }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Process {
        self.args.push(arg.as_ref().to_os_string());
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Process {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_os_string()));
        self
    }

    /// Variables in addition to those it has.
    pub(crate) fn env(mut self, variables: &Environment) -> Process {
        self.env.extend(variables.clone());
        self
    }

    /// The command line for a log: readable, not for a shell.
    pub(crate) fn describe(&self) -> String {
        let mut line = self.program.display().to_string();
        for arg in &self.args {
            line.push(' ');
            line.push_str(&arg.to_string_lossy());
        }
        line
    }

    /// Runs to the end and hands every line, without its line ending, to `on_line`.
    pub(crate) async fn run(&self, on_line: &mut (dyn FnMut(Stream, &str) + Send)) -> Result<ExitStatus, BuildError> {
        let mut group = Group::spawn(self)?;
        let mut stdout = Lines::new(group.child.stdout.take());
        let mut stderr = Lines::new(group.child.stderr.take());
        let failed = |source| BuildError::Io { action: "read the output of", path: self.program.clone(), source };
        let mut status = None;
        let deadline = tokio::time::sleep(Duration::MAX);
        tokio::pin!(deadline);
        while !(stdout.ended && stderr.ended && status.is_some()) {
            tokio::select! {
                biased;
                line = stdout.next(), if !stdout.ended => if let Some(line) = line.map_err(failed)? { on_line(Stream::Stdout, &line); },
                line = stderr.next(), if !stderr.ended => if let Some(line) = line.map_err(failed)? { on_line(Stream::Stderr, &line); },
                ended = group.child.wait(), if status.is_none() => {
                    status = Some(ended.map_err(failed)?);
                    group.release();
                    deadline.as_mut().reset(tokio::time::Instant::now() + DRAIN);
                }
                () = &mut deadline, if status.is_some() => break,
            }
        }
        status.ok_or_else(|| failed(std::io::Error::other("the process did not end")))
    }

    /// Runs to the end and keeps the last lines of standard error and the lines of standard output that fit into `limit`
    /// bytes; what does not fit is dropped, so that a document that is too long does not parse.
    pub(crate) async fn capture(&self, limit: usize) -> Result<Captured, BuildError> {
        let mut stdout = String::new();
        let mut tail = TailBuffer::default();
        let status = self
            .run(&mut |stream, line| match stream {
                Stream::Stdout if stdout.len() + line.len() < limit => {
                    stdout.push_str(line);
                    stdout.push('\n');
                }
                Stream::Stdout => {}
                Stream::Stderr => tail.push(line),
            })
            .await?;
        Ok(Captured { status, stdout, tail: tail.into_lines() })
    }
}

/// What [`Process::capture`] kept.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) tail: Vec<String>,
}

/// A child and the process group it leads.
struct Group {
    child: Child,
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

impl Group {
    fn spawn(process: &Process) -> Result<Group, BuildError> {
        let mut command = Command::new(&process.program);
        command.args(&process.args).current_dir(&process.cwd).env_clear().envs(process.env.iter());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let child = command.spawn().map_err(BuildError::io("start", &process.program))?;
        #[cfg(unix)]
        let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        Ok(Group {
            child,
            #[cfg(unix)]
            leader,
        })
    }

    /// To be called once the child has ended: its number may now belong to someone else.
    fn release(&mut self) {
        #[cfg(unix)]
        {
            self.leader = None;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The leader has not been waited for, so its number is still ours.
        #[cfg(unix)]
        if let Some(leader) = self.leader {
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

/// Lines of a pipe, decoded leniently; safe to drop between lines.
struct Lines<R> {
    reader: Option<BufReader<R>>,
    line: Vec<u8>,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(pipe: Option<R>) -> Lines<R> {
        Lines {
            ended: pipe.is_none(),
            reader: pipe.map(|pipe| BufReader::with_capacity(1 << 16, pipe)),
            line: Vec::new(),
        }
    }

    /// The next line; `None` at the end. Cancel safe: what was read stays in `self.line`.
    async fn next(&mut self) -> std::io::Result<Option<String>> {
        let Some(reader) = self.reader.as_mut() else { return Ok(None) };
        loop {
            let chunk = reader.fill_buf().await?;
            if chunk.is_empty() {
                self.ended = true;
                return Ok((!self.line.is_empty()).then(|| take_line(&mut self.line)));
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            let room = LINE_LIMIT.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            let used = end.map_or(chunk.len(), |end| end + 1);
            reader.consume(used);
            if end.is_some() {
                return Ok(Some(take_line(&mut self.line)));
            }
        }
    }
}

fn take_line(bytes: &mut Vec<u8>) -> String {
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    let line = String::from_utf8_lossy(bytes).into_owned();
    bytes.clear();
    line
}

/// The last [`TAIL_LINES`] lines.
#[derive(Debug, Default)]
pub(crate) struct TailBuffer(VecDeque<String>);

impl TailBuffer {
    /// A single line of a tail is cut at this length in bytes: a tail is for people.
    const WIDTH: usize = 4096;

    pub(crate) fn push(&mut self, line: &str) {
        if self.0.len() == TAIL_LINES {
            self.0.pop_front();
        }
        let end = (0..=line.len().min(Self::WIDTH)).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
        self.0.push_back(line[..end].to_owned());
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.0.into()
    }
}

/// A log file that takes every line of a build; a full disk stops the log, not the build.
pub(crate) struct LogFile {
    path: PathBuf,
    file: Option<std::io::BufWriter<std::fs::File>>,
}

impl LogFile {
    pub(crate) fn create(path: &Path) -> Result<LogFile, BuildError> {
        let file = std::fs::File::create(path).map_err(BuildError::io("create", path))?;
        Ok(LogFile { path: path.to_path_buf(), file: Some(std::io::BufWriter::new(file)) })
    }

    pub(crate) fn line(&mut self, line: &str) {
        let failed = self.file.as_mut().is_some_and(|file| writeln!(file, "{line}").is_err());
        if failed {
            tracing::warn!(path = %self.path.display(), "the build log cannot be written");
            self.file = None;
        }
    }

    /// The path, with everything written so far on disk.
    pub(crate) fn flushed(&mut self) -> Option<PathBuf> {
        let file = self.file.as_mut()?;
        file.flush().ok()?;
        Some(self.path.clone())
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::error::Exit;

    fn shell(script: &str) -> Process {
        let environment = [("PATH", "/usr/bin:/bin")].into_iter().collect();
        Process::new("/bin/sh", "/", environment).args(["-c", script])
    }

    #[tokio::test]
    async fn lines_of_both_streams_arrive_in_their_order() {
        let mut lines = Vec::new();
        let status = shell("echo a; printf 'b\\r\\n'; echo x >&2; printf 'c\\377'")
            .run(&mut |stream, line| lines.push((stream, line.to_owned())))
            .await
            .unwrap();
        assert!(status.success());
        let of = |wanted| -> Vec<&str> {
            lines.iter().filter(|(stream, _)| *stream == wanted).map(|(_, line)| line.as_str()).collect()
        };
        assert_eq!(of(Stream::Stdout), ["a", "b", "c\u{fffd}"]);
        assert_eq!(of(Stream::Stderr), ["x"]);
    }

    #[tokio::test]
    async fn the_environment_is_what_was_given() {
        let captured = shell("env; pwd").capture(1 << 20).await.unwrap();
        let mut lines: Vec<&str> = captured.stdout.lines().filter(|line| !line.starts_with('_')).collect();
        lines.sort_unstable();
        // The shell adds PWD itself.
        lines.retain(|line| !line.starts_with("PWD=") && !line.starts_with("OLDPWD") && !line.starts_with("SHLVL"));
        assert_eq!(lines, ["/", "PATH=/usr/bin:/bin"]);
    }

    #[tokio::test]
    async fn exits_are_told_apart() {
        let exit = async |script| Exit::from(shell(script).capture(10).await.unwrap().status);
        assert_eq!(exit("exit 7").await, Exit::Code(7));
        assert_eq!(exit("kill -TERM $$").await, Exit::Signal(15));
        let error = Process::new("/nonexistent/tool", "/", Environment::new()).capture(1).await.unwrap_err();
        assert!(matches!(error, BuildError::Io { action: "start", .. }));
    }

    #[tokio::test]
    async fn output_is_bounded() {
        let captured = shell("yes | head -c 10000; seq 1 100 >&2").capture(100).await.unwrap();
        assert!(captured.stdout.len() <= 100);
        assert_eq!(captured.tail.len(), TAIL_LINES);
        assert_eq!(captured.tail.last().map(String::as_str), Some("100"));
        let mut longest = 0;
        shell("head -c 10000000 /dev/zero").run(&mut |_, line| longest = longest.max(line.len())).await.unwrap();
        assert_eq!(longest, LINE_LIMIT);
        let mut tail = TailBuffer::default();
        tail.push(&"ü".repeat(4000));
        assert_eq!(tail.into_lines()[0].len(), TailBuffer::WIDTH);
    }

    /// A process in the background that keeps the pipes open must not keep the build.
    #[tokio::test]
    async fn a_daemon_does_not_hold_the_build() {
        let begin = std::time::Instant::now();
        let captured = shell("sleep 20 & echo done").capture(100).await.unwrap();
        assert_eq!(captured.stdout, "done\n");
        assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    }
}
