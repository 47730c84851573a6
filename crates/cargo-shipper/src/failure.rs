//! What a command failed with, ready to be shown.

use std::io::{self, Write};

use serde_json::json;
use shipper_engine::{Error, ExitCode};

/// A failure: what the process returns, and what a person reads.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit_code: ExitCode,
    /// `cannot ...`, then the causes. Empty where everything has been told already.
    pub(crate) chain: Vec<String>,
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// A failure whose events have been shown.
    pub(crate) fn told(exit_code: ExitCode) -> Self {
        Self { exit_code, chain: Vec::new(), hint: None }
    }

    /// The last line of `--json`, as commands with events tell of an error: what people are told on stderr.
    pub(crate) fn write_json(&self, out: &mut impl Write) {
        if self.chain.is_empty() {
            return;
        }
        let line = json!({
            "event": "error",
            "format": shipper_engine::FORMAT,
            "exit-code": self.exit_code.code(),
            "chain": self.chain,
            "hint": self.hint,
        });
        // Who does not listen is told by the exit code.
        let _ = writeln!(out, "{line}");
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { exit_code: error.exit_code(), chain: error.chain(), hint: error.hint() }
    }
}

impl From<clap::Error> for Failure {
    /// Arguments that mean nothing: clap's text, whose later paragraphs are tips and the usage.
    fn from(error: clap::Error) -> Self {
        if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            let chain = vec!["cannot read the arguments: a subcommand or an argument is missing".to_owned()];
            return Self { exit_code: ExitCode::Usage, chain, hint: None };
        }
        let text = error.render().to_string();
        let first = text.split("\n\n").next().unwrap_or_default();
        let problem = first.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ");
        let tip = text.lines().find_map(|line| line.trim_start().strip_prefix("tip: ")).map(str::to_owned);
        Self { exit_code: ExitCode::Usage, chain: vec![format!("cannot read the arguments: {problem}")], hint: tip }
    }
}

impl From<io::Error> for Failure {
    /// Writing to stdout or starting the runtime failed.
    fn from(error: io::Error) -> Self {
        Self { exit_code: ExitCode::Unknown, chain: vec![format!("cannot write the output: {error}")], hint: None }
    }
}
