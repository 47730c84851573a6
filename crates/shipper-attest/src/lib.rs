#![doc = include_str!("../README.md")]

mod cargo;
mod component;
mod cyclonedx;
mod error;
mod licence;
mod lock;
mod purl;
mod spdx_document;
mod statement;
mod subject;

pub use cargo::cargo_lock;
pub use component::{Bill, Checksum, ChecksumAlgorithm, Component};
pub use cyclonedx::{CycloneDxVersion, cyclonedx_json};
pub use error::{Error, Result};
pub use lock::LockFormat;
pub use purl::{Ecosystem, purl};
pub use spdx_document::spdx_json;
pub use statement::{
    BUILD_TYPE, Dependency, Provenance, STATEMENT_MEDIA_TYPE, STATEMENT_TYPE, Statement, predicate, statement,
};
pub use subject::Subject;

/// Version of what is written: another one gives other bytes for the same image.
const FORMAT: &str = "1";
/// The tool as SPDX names its creators.
const TOOL_SPDX: &str = "Tool: shipper-1";
/// Where names of documents begin.
const HOME: &str = "https://github.com/shipper-rs/shipper";
