//! The terminal: data on stdout, everything for people on stderr, readable without colour.

mod deploy_lines;
mod plan_table;
mod ship_view;
mod steps;
mod table;

use std::io::{IsTerminal as _, Write};
use std::sync::{Arc, Mutex, PoisonError};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use shipper_engine::{Event, EventSink, Record};

use crate::cli::{Color, Global};
use crate::failure::Failure;
use crate::github::{annotation, is_runner};

pub(crate) use plan_table::{base_line, plan_table};
pub(crate) use ship_view::ShipView;
pub(crate) use table::aligned;

/// Width of the verb column, as Cargo's.
const VERB_WIDTH: usize = 12;

pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const NOTE: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const HINT: Style = AnsiColor::Cyan.on_default().bold();
pub(crate) const DIM: Style = Style::new().dimmed();

/// How to write to the terminal. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Terminal {
    color: ColorChoice,
    quiet: bool,
    verbose: bool,
    /// Whether lines may be redrawn.
    live: bool,
    /// Whether warnings and errors are told to GitHub Actions too.
    annotates: bool,
}

impl Terminal {
    pub(crate) fn new(global: &Global) -> Self {
        let color = match global.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let live = std::io::stderr().is_terminal() && !dumb && !global.no_progress && !global.quiet && !global.json;
        let annotates = is_runner();
        Self { color, quiet: global.quiet, verbose: global.verbose > 0, live, annotates }
    }

    /// Where data goes. A reader that has gone away is no failure, and changes nothing of what the process returns.
    pub(crate) fn stdout(&self) -> impl Write + use<> {
        Patient(AutoStream::new(std::io::stdout(), self.color))
    }

    /// Writes lines for people. A reader that has gone away is none to tell about it.
    pub(crate) fn people(&self, text: &str) {
        let mut stream = AutoStream::new(std::io::stderr(), self.color);
        let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
    }

    /// A lasting line: a verb, right-aligned, and what it is about. Silent with `--quiet`.
    pub(crate) fn status(&self, verb: &str, text: &str) {
        if !self.quiet {
            self.people(&status_line(verb, text, GOOD));
        }
    }

    pub(crate) fn warning(&self, text: &str) {
        if !self.quiet {
            self.people(&format!("{NOTE}warning{NOTE:#}: {}\n", escape_controls(text)));
            self.annotate("warning", text);
        }
    }

    fn annotate(&self, level: &str, text: &str) {
        if self.annotates {
            self.people(&annotation(level, &escape_controls(text)));
        }
    }

    pub(crate) fn hint(&self, text: &str) {
        self.people(&format!("{HINT}hint{HINT:#}: {}\n", escape_controls(text)));
    }

    /// A failure: the error, its causes, then the hint.
    pub(crate) fn failure(&self, failure: &Failure) {
        let Some((first, causes)) = failure.chain.split_first() else { return };
        self.error(first, causes, failure.hint.as_deref());
    }

    pub(crate) fn error(&self, first: &str, causes: &[String], hint: Option<&str>) {
        let mut text = format!("{BAD}error{BAD:#}: {}\n", escape_controls(first));
        for cause in causes {
            text.push_str(&format!("  caused by: {}\n", escape_controls(cause)));
        }
        self.people(&text);
        let whole = std::iter::once(first).chain(causes.iter().map(String::as_str)).chain(hint);
        self.annotate("error", &whole.collect::<Vec<_>>().join("\n"));
        if let Some(hint) = hint {
            self.people("\n");
            self.hint(hint);
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    pub(crate) fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// With `-vv`, what the libraries log goes to stderr.
    pub(crate) fn start_log(&self, verbose: u8) {
        if verbose >= 2 {
            let chosen = std::env::var("SHIPPER_LOG").ok().filter(|filter| !filter.is_empty());
            let filter = match (chosen, verbose) {
                (Some(chosen), _) => chosen,
                (None, 2) => "shipper_engine=debug,shipper_oci=debug,shipper_build=debug".to_owned(),
                (None, _) => "trace".to_owned(),
            };
            let filter = tracing_subscriber::EnvFilter::new(format!("{filter},{WITHOUT_SECRETS}"));
            let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
        }
    }
}

/// A writer that forgets what nobody reads any more.
struct Patient<W>(W);

impl<W: Write> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            result => result,
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }
}

/// Crates that log whole answers at lower levels, passwords for registries among them. Stated last, so that it holds
/// whatever filter is asked for.
const WITHOUT_SECRETS: &str = "aws_config=info,aws_credential_types=info,aws_runtime=info,aws_sigv4=info,\
                               aws_smithy_http_client=info,aws_smithy_runtime=info,aws_smithy_runtime_api=info";

/// `    Verb text` with the verb in a style.
pub(crate) fn status_line(verb: &str, text: &str, style: Style) -> String {
    format!("{style}{verb:>VERB_WIDTH$}{style:#} {}\n", escape_controls(text))
}

/// Text from outside without control characters, so that a file name can not steer a terminal or a CI log. Line ends
/// and tabs stay.
pub(crate) fn escape_controls(text: &str) -> String {
    let harmful = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(harmful) {
        return text.to_owned();
    }
    let escape = |c: char| if harmful(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

/// Prints every record as a line of JSON on stdout, and errors for people too.
struct JsonLines {
    terminal: Terminal,
    /// The first line that could not be written.
    failure: Mutex<Option<std::io::Error>>,
}

impl JsonLines {
    fn new(terminal: &Terminal) -> Self {
        Self { terminal: terminal.clone(), failure: Mutex::default() }
    }

    /// Whether everything was written.
    ///
    /// # Errors
    /// What kept the first line from being written.
    fn finish(&self) -> std::io::Result<()> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

/// Where the events of a run go: to `view`, or with `json` to stdout. What is returned tells whether they got there.
pub(crate) fn sink(
    json: bool,
    terminal: &Terminal,
    view: &Arc<ShipView>,
) -> (Arc<dyn EventSink>, impl Fn() -> std::io::Result<()> + use<>) {
    let lines = json.then(|| Arc::new(JsonLines::new(terminal)));
    let sink: Arc<dyn EventSink> = match &lines {
        Some(lines) => Arc::<JsonLines>::clone(lines),
        None => Arc::<ShipView>::clone(view),
    };
    (sink, move || lines.as_ref().map_or(Ok(()), |lines| lines.finish()))
}

impl EventSink for JsonLines {
    fn emit(&self, record: &Record) {
        if let Ok(mut line) = serde_json::to_vec(record) {
            line.push(b'\n');
            let mut out = self.terminal.stdout();
            if let Err(error) = out.write_all(&line).and_then(|()| out.flush()) {
                self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
        if let Event::Error { chain, hint, .. } = &record.event
            && let Some((first, causes)) = chain.split_first()
        {
            self.terminal.error(first, causes, hint.as_deref());
        }
    }
}

/// Prints warnings and nothing else: for commands whose result is their output.
pub(crate) struct WarningsOnly(pub(crate) Terminal);

impl EventSink for WarningsOnly {
    fn emit(&self, record: &Record) {
        if let Event::Warning { service, message } = &record.event {
            self.0.warning(&about(service.as_deref(), message));
        }
    }
}

/// A message with the service that it is about.
pub(crate) fn about(service: Option<&str>, message: &str) -> String {
    service.map_or_else(|| message.to_owned(), |service| format!("{service}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::escape_controls;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(escape_controls("a\tb\nc"), "a\tb\nc");
        assert_eq!(escape_controls("\u{1b}[31mred\r"), "\\u{1b}[31mred\\r");
    }
}
