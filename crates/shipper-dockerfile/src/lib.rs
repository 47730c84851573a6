#![doc = include_str!("../README.md")]

mod analysis;
mod context;
mod error;
mod evaluate;
mod expand;
mod frontend;
mod gopath;
mod ignore;
mod instruction;
mod json;
mod mount;
mod scope;
mod stages;
mod syntax;
#[cfg(test)]
mod testing;

pub use analysis::{
    Analysis, BaseImage, BasePlatform, BaseUse, BuildOptions, RemoteSource, StageBase, StageInfo, analyze,
};
pub use context::{ContextPath, Inputs, Reader, WidenKind, WidenReason};
pub use error::{Error, IgnoreError};
pub use frontend::Frontend;
pub use ignore::{DirMatch, IgnoreFile, ignore_file_candidates};
pub use instruction::{Instruction, instructions};
