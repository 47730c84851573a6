#![doc = include_str!("../README.md")]

mod cache;
mod content;
mod context;
mod diff;
mod digest;
mod error;
mod fs;
#[cfg(feature = "git")]
mod git;
mod gitignore;
mod glob;
mod key;
mod listing;
mod manifest;
mod path;
mod pattern;
mod repository;
mod select;
mod stage;
mod tree;

pub use context::{Context, ContextBuilder, Warning};
pub use diff::{Change, ChangeKind};
pub use digest::{ContextHash, FileDigest};
pub use error::Error;
pub use key::{BuildKey, Field, KeyFields, Value};
pub use manifest::{Entry, Kind, Manifest};
pub use path::RelPath;
pub use select::{Added, FileSet, Narrow, Selection};
pub use stage::StageReport;
pub use tree::{Tree, TreeOptions, TreeStats, Untracked};
