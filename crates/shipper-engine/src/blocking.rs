//! The same for programs that have no async runtime, such as an `xtask`.
//!
//! Invariant: Ctrl-C ends what runs as it does in the command: commands are ended, and records say so.

use crate::{DeployOptions, Deployed, Error, Events, Project, RollbackOptions, ShipOptions, Shipped};

/// As [`ship_until`](crate::ship_until), until Ctrl-C.
///
/// # Errors
/// As [`ship_until`](crate::ship_until); [`Error::Runtime`].
pub fn ship(project: &Project, options: &ShipOptions, events: &Events) -> Result<Shipped, Error> {
    block_on(async { crate::ship_until(project, options, events, interrupted()).await })
}

/// As [`deploy_until`](crate::deploy_until), until Ctrl-C.
///
/// # Errors
/// As [`deploy_until`](crate::deploy_until); [`Error::Runtime`].
pub fn deploy(project: &Project, options: &DeployOptions, events: &Events) -> Result<Deployed, Error> {
    block_on(async { crate::deploy_until(project, options, events, interrupted()).await })
}

/// As [`rollback_until`](crate::rollback_until), until Ctrl-C.
///
/// # Errors
/// As [`rollback_until`](crate::rollback_until); [`Error::Runtime`].
pub fn rollback(project: &Project, options: &RollbackOptions, events: &Events) -> Result<Deployed, Error> {
    block_on(async { crate::rollback_until(project, options, events, interrupted()).await })
}

/// Waits for Ctrl-C; for ever where it can not be caught, for then it ends the process.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn block_on<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|source| Error::Runtime { source })?.block_on(future)
}
