#![doc = include_str!("../README.md")]

mod diff;
mod digest;
mod error;
mod key;
mod manifest;
mod path;

pub use diff::{Change, ChangeKind};
pub use digest::{ContextHash, FileDigest};
pub use error::Error;
pub use key::{BuildKey, Field, KeyFields, Value};
pub use manifest::{Entry, Kind, Manifest};
pub use path::RelPath;
