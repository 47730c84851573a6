//! Tasks of the workspace: `cargo xtask test`, `own-image`, `gen`, `conformance`, `threat-coverage`, `bench`,
//! `soak`.
//!
//! Invariants: no task needs anything but a Rust toolchain to start; what a task installs or writes is said first;
//! the exit code is that of the work, 2 for a wrong call.

mod bench;
mod conformance;
mod engines;
mod generate;
mod install;
mod own_image;
mod process;
mod soak;
mod test;
mod threats;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask TASK

  test [--no-skip] [FILTER..]   installs or finds what the tests need, runs all tests (or those whose names contain
                                a FILTER, then without doc tests), lists what was skipped;
                                --no-skip (or SHIPPER_NO_SKIP=1) makes a skip a failure
  own-image                     builds the image of this repository's own shipper.toml, unpacks it, runs it
  gen [--check]                 writes the generated files; --check fails where one is out of date
  conformance [--check]         what each change does to the key, against a real builder where there is one; writes
                                docs/conformance.md, --check compares
  threat-coverage               every threat of docs/threat-model.md has tests, and they exist
  bench [hash|ship|registry|ecr|deploy] [--rounds N]
                                release build against git, b3sum, skopeo and crane, side by side; prints medians, ratios
                                and goals
  soak                          model and parser tests with 20 to 100 times the cases; takes hours";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test", rest @ ..] => test::Options::parse(rest).map(|options| test::run(&options)),
        ["own-image"] => Some(own_image::check()),
        ["gen"] => Some(generate::run(generate::Mode::Write)),
        ["gen", "--check"] => Some(generate::run(generate::Mode::Check)),
        ["conformance"] => Some(conformance::run(generate::Mode::Write)),
        ["conformance", "--check"] => Some(conformance::run(generate::Mode::Check)),
        ["soak"] => Some(soak::soak()),
        ["threat-coverage"] => Some(threats::check()),
        [bench::child::TASK, rest @ ..] => Some(bench::child::report(rest)),
        ["bench", rest @ ..] => bench::Options::parse(rest).map(|options| bench::run(&options)),
        ["help" | "--help" | "-h"] => {
            process::say(USAGE);
            return ExitCode::SUCCESS;
        }
        _ => None,
    };
    match outcome {
        None => {
            process::say(USAGE);
            ExitCode::from(2)
        }
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => {
            process::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The root of the workspace.
fn root() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.parent().map(PathBuf::from).unwrap_or(own)
}
