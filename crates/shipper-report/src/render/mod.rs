//! A run as text: HTML, SVG, Markdown, JSON, a trace. Pure: the same run and history give the same bytes.

mod chart;
mod escape;
mod html;
mod json;
mod markdown;
mod parts;
mod svg;
mod trace;

use serde::Serialize;

use crate::{Outcome, Run, Totals};

pub use html::html;
pub use json::json;
pub use markdown::markdown;
pub(crate) use markdown::{code, text};
pub(crate) use parts::short;
pub use svg::svg;
pub use trace::chrome_trace;

/// A run in one line: what the trend is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// Identifier of the run.
    pub run: String,
    /// When it began, RFC 3339 in UTC.
    pub time: Option<String>,
    /// How it ended; absent where the record has no end.
    pub outcome: Option<Outcome>,
    /// Its totals.
    pub totals: Totals,
}

impl Run {
    /// The run in one line. `run` is its name where the record's beginning is lost.
    #[must_use]
    pub fn summary(&self, run: &str) -> Summary {
        Summary {
            run: self.run.clone().unwrap_or_else(|| run.to_owned()),
            time: self.time.clone(),
            outcome: self.end.as_ref().map(|end| end.outcome),
            totals: self.totals(),
        }
    }
}

/// `main@abc1234def56`, as far as it is known.
fn head(run: &Run) -> String {
    let commit = run.commit.as_ref().map(|commit| commit.chars().take(12).collect::<String>());
    match (&run.branch, commit) {
        (Some(branch), Some(commit)) => format!("{branch}@{commit}"),
        (Some(one), None) => one.clone(),
        (None, Some(one)) => one,
        (None, None) => String::new(),
    }
}

/// The outcome in a word: `ok`, `failed`, `interrupted`, `unknown`.
fn outcome(run: &Run) -> &'static str {
    match &run.end {
        None => "unknown",
        Some(end) if end.exit_code == crate::ExitCode::Interrupted.code() => "interrupted",
        Some(end) if end.outcome == Outcome::Ok => "ok",
        Some(_) => "failed",
    }
}
