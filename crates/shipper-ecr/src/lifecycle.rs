//! Lifecycle policies: model, text, what ECR refuses, traps, differences, evaluation.

mod check;
mod diff;
mod glob;
mod images;
mod lint;
mod model;
mod simulate;
#[cfg(test)]
mod tests;
mod text;

pub use check::{Problem, Violation};
pub use diff::PolicyChange;
pub use glob::TagGlob;
#[cfg(feature = "client")]
pub(crate) use images::is_index;
pub use images::{Children, ImageFacts};
pub use lint::{Lint, lints};
pub use model::{Action, Count, LifecyclePolicy, MAX_CHARACTERS, MAX_RULES, Rule, StorageClass, TagSelection};
pub use simulate::{Fate, Simulation, Verdict, Why, simulate};
