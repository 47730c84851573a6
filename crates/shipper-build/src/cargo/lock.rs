//! The lock file of a staged closure, completed for a builder that compiles somewhere else.
//!
//! A lock is pruned without knowing the features of crates, so it may keep edges that nothing needs any more, and
//! `cargo build --locked` refuses it. Cargo itself takes them out. No package may come in: what is completed is a part of
//! the repository's own lock.

use std::path::PathBuf;

use super::{Build, CargoRecipe, Place};
use crate::assemble::canonical;
use crate::environment::Environment;
use crate::error::BuildError;
use crate::log::BuildLog;
use crate::rustc::rustc_identity;
use crate::target::{LinkMode, Machine};

/// A staged closure whose lock is to be completed.
#[derive(Debug, Clone)]
pub struct LockRequest {
    /// The stage; only the lock file in it is written.
    pub stage: PathBuf,
    /// A private directory for cargo's own state; created if it is not there.
    pub work: PathBuf,
    /// The package that the closure is of.
    pub package: String,
    /// The workspace root inside the stage, absolute or relative to the stage.
    pub workspace_root: PathBuf,
    /// Name and version of all packages that may be used.
    pub locked: Vec<(String, String)>,
    /// The user's environment, of which cargo sees what it needs.
    pub environment: Environment,
}

/// Makes the staged `Cargo.lock` one that `cargo build --locked` accepts, with the user's default toolchain.
///
/// Cargo resolves offline and downloads only what it has to know and does not have. Nothing is compiled and nothing of the
/// stage is run.
///
/// # Errors
/// [`BuildError::EngineMissing`] and [`BuildError::ToolchainMissing`] without a toolchain on this machine,
/// [`BuildError::CargoFailed`], [`BuildError::NotInLock`] if cargo brings in another package, [`BuildError::OutsideStage`].
pub async fn complete_lock(request: &LockRequest, log: &dyn BuildLog) -> Result<(), BuildError> {
    std::fs::create_dir_all(&request.work).map_err(BuildError::io("create", &request.work))?;
    let (stage, work) = (canonical(&request.stage)?, canonical(&request.work)?);
    let recipe = CargoRecipe {
        package: request.package.clone(),
        bins: Vec::new(),
        profile: "release".to_owned(),
        features: Vec::new(),
        no_default_features: false,
        link: LinkMode::Dynamic,
        rustflags: Vec::new(),
        env: std::collections::BTreeMap::new(),
        workspace_root: request.workspace_root.clone(),
        rustc: rustc_identity(None, &request.environment, None).await?,
        locked: request.locked.clone(),
    };
    let machine = Machine::of(&shipper_oci::Platform::host())?;
    let place = Place { stage: &stage, work: &work, environment: &request.environment, machine, created: 0 };
    let mut build = Build::open(&recipe, &place, log, "cargo-lock.log").await?;
    let metadata = build.resolve().await?;
    build.check_lock()?;
    metadata.refuse_outside(&stage)
}
