//! One module a command: arguments in, engine called, data printed.

pub(crate) mod audit;
pub(crate) mod base;
pub(crate) mod ci;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod copy;
pub(crate) mod deploy;
pub(crate) mod doctor;
#[cfg(feature = "aws")]
pub(crate) mod ecr;
pub(crate) mod hash;
#[cfg(feature = "aws")]
pub(crate) mod iam;
pub(crate) mod init;
pub(crate) mod inspect;
pub(crate) mod lint;
pub(crate) mod man;
pub(crate) mod plan;
pub(crate) mod promote;
pub(crate) mod prune;
#[cfg(feature = "aws")]
pub(crate) mod ready;
pub(crate) mod records;
pub(crate) mod release_notes;
pub(crate) mod report;
pub(crate) mod ship;
pub(crate) mod sign;
pub(crate) mod size;
pub(crate) mod stats;
pub(crate) mod tags;
pub(crate) mod verify;
pub(crate) mod why;

use std::future::Future;
use std::io;
use std::time::Duration;

use serde::Serialize;
use shipper_engine::{Options, Overrides};

use crate::cli::{Global, Place, Services};
use crate::signals;

/// A document for scripts: the members of `data` beside the name of the format.
#[derive(Serialize)]
struct Document<T> {
    format: &'static str,
    #[serde(flatten)]
    data: T,
}

impl<T: Serialize> Document<T> {
    /// The document as one line of JSON.
    fn line(data: T) -> io::Result<String> {
        Ok(serde_json::to_string(&Self { format: shipper_engine::FORMAT, data })?)
    }
}

/// What every command that opens a project says about it.
fn options(global: &Global) -> Options {
    let variables = std::env::vars_os();
    let variables = variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    // The flag is the variable by another name.
    let ca_file = global.ca_file.as_ref().map(|path| global.directory.join(path).to_string_lossy().into_owned());
    Options {
        directory: global.directory.clone(),
        config: global.config.as_ref().map(|config| global.directory.join(config)),
        environment: variables.chain(ca_file.map(|path| (shipper_engine::CA_FILE.to_owned(), path))).collect(),
        ..Options::default()
    }
}

/// As [`options`], for commands that are told where images and records are.
fn options_at(global: &Global, place: &Place, concurrency: Option<u16>) -> Options {
    Options { overrides: Overrides { registry: place.registry.clone(), concurrency }, ..options(global) }
}

/// As [`options`], for commands that take services.
fn service_options(global: &Global, services: &Services, concurrency: Option<u16>) -> Options {
    Options { paranoid: services.paranoid, ..options_at(global, &services.place, concurrency) }
}

/// How long a command that has its answer waits for threads that still block.
const WIND_UP: Duration = Duration::from_secs(2);

/// Runs a future to its end on a runtime of its own. What was given up by then (the other downloads after a failed one)
/// gets [`WIND_UP`] to remove its temporary files; what blocks for longer (hashing, staging) is not waited for.
fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        signals::fail_at_file_limits();
        future.await
    });
    runtime.shutdown_timeout(WIND_UP);
    Ok(result)
}
