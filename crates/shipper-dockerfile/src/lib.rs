#![doc = include_str!("../README.md")]

mod analysis;
mod context;
mod error;
mod gopath;
mod ignore;

pub use analysis::{Analysis, BaseImage, BasePlatform, BaseUse, BuildOptions, StageBase, StageInfo, analyze};
pub use context::{ContextPath, Inputs, Reader, WidenKind, WidenReason};
pub use error::{Error, IgnoreError};
pub use ignore::{DirMatch, IgnoreFile, ignore_file_candidates};
