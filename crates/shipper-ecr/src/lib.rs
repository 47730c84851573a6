#![doc = include_str!("../README.md")]

mod error;
mod lifecycle;

pub use error::{Error, Syntax};
pub use lifecycle::{
    Action, Children, Count, Fate, ImageFacts, LifecyclePolicy, Lint, MAX_CHARACTERS, MAX_RULES, PolicyChange, Problem,
    Rule, Simulation, StorageClass, TagGlob, TagSelection, Verdict, Violation, Why, lints, simulate,
};
