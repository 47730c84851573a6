#![doc = include_str!("../README.md")]

mod event;
mod exit;
mod reason;
mod units;

pub use event::{
    Event, FORMAT, FailedStep, LeftOut, MeasuredLayer, MeasuredStep, Name, NameOutcome, Outcome, Phase, PlannedImage,
    PlannedPlatform, PlannedService, PlannedStep, Record, ShippedImage,
};
pub use exit::ExitCode;
pub use reason::{Action, FileChange, Reason, ValueChange};
pub use units::{bytes, duration};
