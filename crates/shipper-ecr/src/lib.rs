#![doc = include_str!("../README.md")]

#[cfg(feature = "client")]
mod client;
mod error;
mod lifecycle;
mod retention;

#[cfg(feature = "client")]
pub use client::{
    DescribedImages, Drift, Ecr, ImagePresence, LifecycleState, ListedImage, RegistryLogin, RepositoryChange,
    RepositoryFacts, RepositoryGoal, RepositoryState, Scan, TemplateState,
};
pub use error::{Error, Syntax};
pub use lifecycle::{
    Action, Children, Count, Fate, ImageFacts, LifecyclePolicy, Lint, MAX_CHARACTERS, MAX_RULES, PolicyChange, Problem,
    Rule, Simulation, StorageClass, TagGlob, TagSelection, Verdict, Violation, Why, lints, simulate,
};
pub use retention::{FamilyRole, Keep, RetentionError, RetentionFamily, TagLocks, lifecycle, tag_locks};
