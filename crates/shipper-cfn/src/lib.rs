#![doc = include_str!("../README.md")]

mod error;
mod outputs;
mod stacks;
mod state;
mod verdict;

pub use error::Error;
pub use outputs::{Output, OutputsFile, choose};
pub use stacks::{Stack, Stacks};
pub use state::{Class, STATES, StackState};
pub use verdict::{Evidence, Presence, Push, Readiness, Reason, Source, StackFact, verdict};
