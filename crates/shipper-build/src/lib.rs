#![doc = include_str!("../README.md")]

mod assemble;
mod buildah;
mod builder;
mod buildx;
mod cargo;
mod check;
mod closure;
mod elf;
mod environment;
mod error;
mod files;
mod log;
mod process;
mod request;
mod rustc;
mod steps;
mod system;
mod target;
mod toolchain;
mod work;

pub use assemble::{ASSEMBLY, AssembleRequest, BIN_DIR, ImageOptions, assemble};
pub use buildah::buildah;
pub use builder::{Builder, BuilderChoice};
pub use buildx::Buildx;
pub use cargo::{CargoRecipe, LockRequest, complete_lock};
pub use check::{CheckFailure, run_check};
pub use environment::Environment;
pub use error::{BuildError, Exit, TAIL_LINES, ToolchainProblem};
pub use log::{BuildLog, NoLog, Step};
pub use request::{BuiltLayout, DockerfileRequest, Network, SecretSource};
pub use rustc::{RustcIdentity, rustc_identity};
pub use steps::{FailedStep, LayerReport, StepReport};
pub use system::ca_bundle_digest;
pub use target::LinkMode;
pub use toolchain::ToolchainFile;
