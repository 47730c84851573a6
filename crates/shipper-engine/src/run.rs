//! A run from its first to its last event, with its record in `.shipper/runs`.
//!
//! Invariants: the last event is told whatever happened; a record that cannot be written keeps no run from being made.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use shipper_report::{Event, ExitCode, FORMAT, Outcome, ShippedImage};

use crate::record::Recorder;
use crate::{Error, Events, Project, Tee, git};

/// What ends a run early when it is ready. It is of one type, whoever brings it: what is generic over it would be compiled once
/// more for each program that embeds the engine.
pub(crate) type Stop<'a> = Pin<&'a mut (dyn Future<Output = ()> + Send + 'a)>;

/// The same, owned.
pub(crate) type OwnedStop<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A run that has not begun. Behind a pointer its code is compiled here, and not again where it is polled.
pub(crate) type Running<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// What the last event of a run says.
pub(crate) struct Ending {
    pub(crate) code: ExitCode,
    pub(crate) images: BTreeMap<String, ShippedImage>,
    pub(crate) saved_ms: u64,
}

/// Runs `work` between the first and the last event of a run, with its record in `.shipper/runs`. An error is told.
pub(crate) async fn recorded<T>(
    project: &Project,
    command: &str,
    events: &Events,
    work: impl AsyncFnOnce(Events) -> (Result<T, Error>, Ending),
) -> Result<T, Error> {
    let run = run_id();
    let (events, unrecorded) = match Recorder::create(&project.directories.local, &run) {
        Ok(recorder) => (events.with_sink(Arc::new(Tee::new(vec![events.sink(), Arc::new(recorder)]))), None),
        Err(error) => (events.clone(), Some(error)),
    };
    let head = git::head(&project.root);
    events.emit(Event::RunStarted {
        format: FORMAT.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        run,
        command: command.to_owned(),
        project: Some(project.settings.name.value.clone()),
        commit: head.commit,
        branch: head.branch,
    });
    if let Some(error) = unrecorded {
        events.warn(None, format!("the run is not recorded: {error}"));
    }
    let (result, ending) = work(events.clone()).await;
    if let Err(error) = &result {
        tell(&events, None, error);
    }
    events.emit(Event::RunFinished {
        outcome: if ending.code == ExitCode::Done { Outcome::Ok } else { Outcome::Failed },
        exit_code: ending.code.code(),
        images: ending.images,
        duration_ms: events.elapsed_ms(),
        saved_ms: ending.saved_ms,
    });
    result
}

/// Emits an error as event.
pub(crate) fn tell(events: &Events, service: Option<&str>, error: &Error) {
    events.emit(Event::Error {
        service: service.map(str::to_owned),
        chain: error.chain(),
        hint: error.hint(),
        log_tail: error.log_tail().to_vec(),
        log: error.log().map(|path| path.display().to_string()),
        step: error.failed_step(),
    });
}

/// A name that sorts by time and is not used twice: UTC to the millisecond, and the process id.
fn run_id() -> String {
    let stamp: String = crate::events::now().chars().filter(char::is_ascii_digit).collect();
    format!("{stamp}-{}", std::process::id())
}
