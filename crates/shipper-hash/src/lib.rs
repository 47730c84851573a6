#![doc = include_str!("../README.md")]

mod archive;
mod buffer;
mod cache;
#[cfg(feature = "cargo")]
mod cargo;
#[cfg(feature = "git")]
mod commit;
#[cfg(not(feature = "git"))]
#[path = "commit_absent.rs"]
mod commit;
mod content;
mod context;
mod diff;
mod digest;
mod error;
mod fold;
mod found;
mod fs;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "git")]
mod git;
mod gitignore;
mod glob;
mod ignores;
mod key;
mod leaks;
mod listing;
mod manifest;
mod narrow;
mod path;
mod pattern;
mod repository;
mod select;
mod stage;
mod tree;
mod walk;

#[cfg(feature = "cargo")]
pub use cargo::{CargoClosure, CargoError, CargoPackage, LockedPackage, MissingFile, Toolchain, cargo_packages};
pub use context::{Context, ContextBuilder, Warning};
pub use diff::{Change, ChangeKind};
pub use digest::{ContextHash, FileDigest};
pub use error::Error;
pub use key::{BuildKey, Field, KeyFields, Value};
pub use leaks::{Leak, LeakCause, LeakKind, LeakRoot, Leaks};
pub use manifest::{Entry, Kind, Manifest};
pub use narrow::Narrow;
pub use path::RelPath;
pub use select::{Added, FileSet, Selection};
pub use stage::StageReport;
pub use tree::{Tree, TreeOptions, TreeStats, Untracked};
