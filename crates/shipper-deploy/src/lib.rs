#![doc = include_str!("../README.md")]

mod error;
mod handover;
mod hook;
mod id;
mod lease;
mod ledger;
mod pins;
mod proof;
mod record;

pub use error::Error;
pub use handover::{Given, Handover, placeholders};
pub use hook::Hook;
pub use id::RecordId;
pub use lease::Holder;
pub use ledger::{Deployment, Ledger, Listing, REPOSITORY};
pub use pins::{KEPT, Pins};
pub use proof::prove;
pub use record::{
    AwsSession, FORMAT, Image, Kind, MOST_OBSERVED, Path, Record, Role, State, Step, StepOutcome, Success, Target,
};
