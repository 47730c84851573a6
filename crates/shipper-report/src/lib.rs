#![doc = include_str!("../README.md")]

mod event;
mod exit;
mod matrix;
mod notes;
mod reason;
mod render;
mod run;
mod stats;
mod units;
mod variable;

pub use event::{
    BlobCounts, DeployResult, Event, FORMAT, FailedStep, LeftOut, MeasuredLayer, MeasuredStep, Name, NameOutcome,
    Outcome, Phase, PhaseTime, PlannedImage, PlannedPlatform, PlannedService, PlannedStep, Record, ShippedImage,
};
pub use exit::ExitCode;
pub use matrix::{GITHUB_JOBS, Matrix, MatrixJob};
pub use notes::{ImageChange, NotesFault, ReleaseNotes, ReleasedImage, ReleasedPlatform, with_notes};
pub use reason::{Action, FileChange, Reason, ValueChange};
pub use render::{Summary, chrome_trace, html, json, markdown, svg};
pub use run::{End, Failed, Run, ServiceRun, Totals};
pub use stats::{Gates, ServiceStats, Stats};
pub use units::{bytes, counted, duration, milliseconds};
pub use variable::variable;
