#![doc = include_str!("../README.md")]

mod assemble;
mod cargo;
mod closure;
mod elf;
mod environment;
mod error;
mod files;
mod log;
mod process;
mod rustc;
mod system;
mod target;
mod toolchain;

pub use assemble::{AssembleRequest, BIN_DIR, ImageOptions, assemble};
pub use cargo::CargoRecipe;
pub use environment::Environment;
pub use error::{BuildError, Exit, TAIL_LINES, ToolchainProblem};
pub use log::{BuildLog, NoLog, Step};
pub use rustc::{RustcIdentity, rustc_identity};
pub use system::ca_bundle_digest;
pub use target::LinkMode;
pub use toolchain::ToolchainFile;
