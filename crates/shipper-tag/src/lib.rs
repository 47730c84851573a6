#![doc = include_str!("../README.md")]

mod condition;
mod config;
mod error;
mod evaluate;
mod facts;
mod language;
#[cfg(feature = "metadata-action")]
mod metadata;
mod policy;
mod reason;
mod slug;
mod tag;
mod template;

pub use condition::Condition;
pub use config::{FamilyConfig, Keep, KeepConfig, PolicyConfig, Preset};
pub use error::Error;
pub use evaluate::{NotApplied, PlannedTag, Precondition, Scope, TagPlan, evaluate};
pub use facts::{Facts, ObjectId, PullRequest, Trigger, UtcTime};
pub use language::Glob;
#[cfg(feature = "metadata-action")]
pub use metadata::{Compatibility, MetadataAction, MetadataTags};
pub use policy::{CACHES, Family, IDENTITY, PINS, Policy, Role};
pub use reason::{NotNamed, Why};
pub use semver::Version;
pub use slug::{SlugMode, slug};
pub use tag::{InvalidTag, MAX_TAG, Tag};
pub use template::{Placeholder, Template};

pub(crate) use error::nearest;
