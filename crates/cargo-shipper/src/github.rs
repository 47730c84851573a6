//! What GitHub Actions shows of a command: annotations, outputs of the step, and the job's summary.
//!
//! Invariants: nothing from outside becomes a workflow command or an output of another name: texts are escaped, and values
//! are fenced by a word that they can not know; what can not be written fails no run.
//!
//! Source: GitHub documentation, "Workflow commands for GitHub Actions".

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};
use shipper_engine::{Action, Event, EventSink, Record, ShippedImage, Tee, render};

use crate::terminal::Terminal;

/// Most bytes of one output.
const MAX_OUTPUT: usize = 1 << 20;

/// The files that a runner gives to a step.
#[derive(Debug, Clone)]
pub(crate) struct GitHub {
    output: Option<PathBuf>,
    summary: Option<PathBuf>,
}

impl GitHub {
    /// The runner that this process was started by.
    pub(crate) fn of_process() -> Option<Self> {
        let path = |name| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        is_runner().then(|| Self { output: path("GITHUB_OUTPUT"), summary: path("GITHUB_STEP_SUMMARY") })
    }

    /// Whether outputs of this step can be seen by others.
    pub(crate) fn takes_outputs(&self) -> bool {
        self.output.is_some()
    }

    /// Sets outputs of the step.
    ///
    /// # Errors
    /// Where the file can not be written, and for a value that is too long for GitHub: nothing is written then.
    pub(crate) fn set(&self, outputs: &[(&str, String)]) -> io::Result<()> {
        if let Some((name, _)) = outputs.iter().find(|(_, value)| value.len() > MAX_OUTPUT) {
            return Err(io::Error::other(format!(
                "the output `{name}` is longer than 1 MiB, which GitHub does not take"
            )));
        }
        let text: String = outputs.iter().map(|(name, value)| assignment(name, value, fastrand::u128(..))).collect();
        self.output.as_deref().map_or(Ok(()), |path| append(path, &text))
    }

    /// Adds to the job's summary.
    fn summarise(&self, markdown: &str) -> io::Result<()> {
        self.summary.as_deref().map_or(Ok(()), |path| append(path, markdown))
    }
}

/// Whether a runner of GitHub Actions reads what this process prints.
pub(crate) fn is_runner() -> bool {
    std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true")
}

/// A line that the runner shows at the top of the run. `level` is `error`, `warning` or `notice`.
pub(crate) fn annotation(level: &str, text: &str) -> String {
    let data = text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    format!("::{level} title=shipper::{data}\n")
}

/// Adds to a file of the runner. The error names the file.
pub(crate) fn append(path: &Path, text: &str) -> io::Result<()> {
    let opened = File::options().create(true).append(true).open(path);
    opened
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// A name and a value of any number of lines, between two lines of a word that is in neither.
fn assignment(name: &str, value: &str, random: u128) -> String {
    format!("{name}<<shipper-{random:032x}\n{value}\nshipper-{random:032x}\n")
}

/// Collects the events of a run and tells GitHub what became of it.
pub(crate) struct GitHubView {
    host: GitHub,
    terminal: Terminal,
    /// The record of the run so far, a line an event.
    lines: Mutex<String>,
}

impl GitHubView {
    pub(crate) fn new(host: GitHub, terminal: &Terminal) -> Self {
        Self { host, terminal: terminal.clone(), lines: Mutex::default() }
    }
}

/// A sink that also tells GitHub what became of the run, where there is one to tell.
pub(crate) fn with_github(sink: Arc<dyn EventSink>, terminal: &Terminal) -> Arc<dyn EventSink> {
    match GitHub::of_process() {
        Some(host) => Arc::new(Tee::new(vec![sink, Arc::new(GitHubView::new(host, terminal))])),
        None => sink,
    }
}

impl EventSink for GitHubView {
    fn emit(&self, record: &Record) {
        if matches!(record.event, Event::ActionProgress { .. } | Event::StepOutput { .. }) {
            return;
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(line) = serde_json::to_string(record) {
            let _ = writeln!(lines, "{line}");
        }
        let Event::RunFinished { images, .. } = &record.event else { return };
        let summary = self.host.summarise(&render::markdown(&render::Run::parse(&lines)));
        let outputs = self.host.set(&outputs(images.iter()));
        for error in [summary, outputs].into_iter().filter_map(Result::err) {
            self.terminal.warning(&format!("GitHub is not told what became of the run: {error}"));
        }
    }
}

/// `images` as JSON object of references by digest, `built` as JSON list of services.
fn outputs<'a>(images: impl Iterator<Item = (&'a String, &'a ShippedImage)>) -> [(&'static str, String); 2] {
    let (mut all, mut built) = (Map::new(), Vec::new());
    for (service, image) in images {
        all.insert(service.clone(), Value::from(image.reference.as_str()));
        if image.action == Action::Build {
            built.push(Value::from(service.as_str()));
        }
    }
    [("images", Value::Object(all).to_string()), ("built", Value::Array(built).to_string())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_its_annotation() {
        assert_eq!(annotation("error", "a"), "::error title=shipper::a\n");
        assert_eq!(
            annotation("warning", "50 %\r\n::set-env name=x::y"),
            "::warning title=shipper::50 %25%0D%0A::set-env name=x::y\n"
        );
    }

    #[test]
    fn no_value_sets_another_output() {
        let hostile = "a\nEOF\nother=b\nshipper-0";
        let text = assignment("images", hostile, 7);
        let (first, rest) = text.split_once('\n').expect("lines");
        let fence = first.strip_prefix("images<<").expect("a fence");
        assert_eq!(rest.split(&format!("\n{fence}\n")).collect::<Vec<_>>(), [hostile, ""]);
    }
}
