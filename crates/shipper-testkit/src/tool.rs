//! Outside tools: found or skipped, and a skip is always said.
//!
//! Invariants: a skip prints one line on stderr and appends it to the file that `SHIPPER_SKIP_LOG` names; under
//! `SHIPPER_NO_SKIP=1` it panics instead, unless `SHIPPER_SKIP_OPTIONAL` (comma-separated) lists the part.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Why a test cannot run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// What is missing: the name of a tool, or another short name.
    pub part: String,
    /// One line for people.
    pub why: String,
}

impl Skip {
    /// A skip for a missing part.
    #[must_use]
    pub fn new(part: &str, why: &str) -> Self {
        Self { part: part.to_owned(), why: why.to_owned() }
    }

    /// Says and records the skip of the running test; `unit` is the crate or test binary.
    ///
    /// # Panics
    /// If skipping is forbidden (`SHIPPER_NO_SKIP=1`) and the part is not optional.
    pub fn report(&self, unit: &str) {
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        let test = test_name(&variable("NEXTEST_TEST_NAME"), std::thread::current().name());
        let line = format!("SKIP {unit}::{test}: {self}\n");
        let forbidden = variable("SHIPPER_NO_SKIP") == "1";
        let optional = variable("SHIPPER_SKIP_OPTIONAL").split(',').any(|part| part == self.part);
        assert!(!forbidden || optional, "skipping is forbidden: {line}");
        // Past the capture of the test harness: a skip must be seen. If stderr is closed, the file still has it.
        let _ = std::io::stderr().write_all(line.as_bytes());
        let log = variable("SHIPPER_SKIP_LOG");
        if !log.is_empty() {
            append(Path::new(&log), &line);
        }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.part, self.why)
    }
}

/// One write with `O_APPEND`, so that lines of parallel tests do not mix.
fn append(log: &Path, line: &str) {
    let opened = OpenOptions::new().create(true).append(true).open(log);
    let written = opened.and_then(|mut file| file.write_all(line.as_bytes()));
    assert!(written.is_ok(), "cannot append to {} named by SHIPPER_SKIP_LOG: {written:?}", log.display());
}

fn test_name(runner: &str, thread: Option<&str>) -> String {
    match (runner, thread) {
        ("", Some("main") | None) => "unknown test".to_owned(),
        ("", Some(name)) => name.to_owned(),
        (name, _) => name.to_owned(),
    }
}

/// Ends the running test (a function without result) as skipped.
///
/// ```no_run
/// fn compares_with_the_real_thing() {
///     shipper_testkit::skip!("strace", "needs the right to trace processes");
/// }
/// ```
#[macro_export]
macro_rules! skip {
    ($part:expr, $why:expr) => {{
        $crate::Skip::new($part, $why).report(env!("CARGO_CRATE_NAME"));
        return;
    }};
}

/// The value of a `Result<_, Skip>`, or the end of the running test as skipped.
///
/// ```no_run
/// use shipper_testkit::{DockerRegistry, need};
/// fn pushes_to_a_real_registry() {
///     let registry = need!(DockerRegistry::start());
///     assert!(registry.host().starts_with("127.0.0.1:"));
/// }
/// ```
#[macro_export]
macro_rules! need {
    ($found:expr) => {
        match $found {
            ::core::result::Result::Ok(value) => value,
            ::core::result::Result::Err(skip) => {
                $crate::Skip::report(&skip, env!("CARGO_CRATE_NAME"));
                return;
            }
        }
    };
}

/// Where the tool is, by `PATH` and the directories of system administration.
#[must_use]
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
        .find(|candidate| candidate.is_file())
}

/// The tool, or the reason to skip.
///
/// # Errors
/// If it is on neither `PATH` nor in the directories of system administration.
pub fn require_tool(name: &str) -> Result<PathBuf, Skip> {
    tool(name).ok_or_else(|| Skip::new(name, "not installed; `cargo xtask test` installs it on Debian as root"))
}

/// The Python interpreter with the packages of the tests, as `cargo xtask test` prepares it.
///
/// # Errors
/// If `SHIPPER_TEST_PYTHON` does not name a file.
pub fn require_python() -> Result<PathBuf, Skip> {
    std::env::var_os("SHIPPER_TEST_PYTHON")
        .map(PathBuf::from)
        .filter(|python| python.is_file())
        .ok_or_else(|| Skip::new("python", "SHIPPER_TEST_PYTHON is not set; `cargo xtask test` sets it"))
}

/// A program of a package of the tests' Python environment.
///
/// # Errors
/// As [`require_python`], and where the environment has no such program.
pub fn require_python_program(name: &str) -> Result<PathBuf, Skip> {
    let program = require_python()?.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let missing =
        || Skip::new(name, "the environment of SHIPPER_TEST_PYTHON does not have it; `cargo xtask test` does");
    program.is_file().then_some(program).ok_or_else(missing)
}

/// Runs a command to its end and gives its output.
///
/// # Panics
/// If it cannot be started or fails; the message holds the command and what it printed.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_is_missing_is_named_in_the_skip() {
        let skip = require_tool("no-such-tool-anywhere").expect_err("nobody has this");
        assert_eq!(skip.part, "no-such-tool-anywhere");
        assert!(skip.to_string().starts_with("no-such-tool-anywhere: not installed"));
    }

    #[test]
    fn skips_are_appended_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("skips");
        append(&log, "SKIP a::b: c: d\n");
        append(&log, "SKIP a::e: c: d\n");
        let text = std::fs::read_to_string(&log).expect("the log");
        assert_eq!(text.lines().count(), 2);
    }

    #[test]
    fn the_runner_knows_the_name_better_than_the_thread() {
        assert_eq!(test_name("a::b", Some("main")), "a::b");
        assert_eq!(test_name("", Some("a::c")), "a::c");
        assert_eq!(test_name("", None), "unknown test");
    }
}
