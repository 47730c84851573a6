#![doc = include_str!("../README.md")]

mod error;
mod gopath;
mod ignore;

pub use error::IgnoreError;
pub use ignore::{DirMatch, IgnoreFile, ignore_file_candidates};
