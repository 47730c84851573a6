#![doc = include_str!("../README.md")]

mod bundle;
mod cargo;
mod component;
mod cyclonedx;
mod error;
mod key;
mod licence;
mod lock;
mod npm;
mod pnpm;
mod purl;
mod python;
mod spdx_document;
mod statement;
mod subject;
mod yaml;

pub use bundle::{BUNDLE_MEDIA_TYPE, sign, sign_statement, verify};
pub use cargo::cargo_lock;
pub use component::{Bill, Checksum, ChecksumAlgorithm, Component};
pub use cyclonedx::{CycloneDxVersion, cyclonedx_json};
pub use error::{Error, Result};
pub use key::{SigningKey, VerifyingKey};
pub use lock::LockFormat;
pub use npm::npm_lock;
pub use pnpm::pnpm_lock;
pub use purl::{Ecosystem, purl};
pub use python::{poetry_lock, requirements, uv_lock};
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
