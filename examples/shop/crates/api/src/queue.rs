//! The directory in which orders wait for the worker.

use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use shop_catalog::PricedOrder;

/// One file per order. A file appears complete or not at all: it is written under a name that the worker ignores
/// and renamed.
#[derive(Debug)]
pub(crate) struct Queue {
    directory: PathBuf,
}

impl Queue {
    /// Uses `directory`, which is created where it is missing.
    pub(crate) fn open(directory: impl Into<PathBuf>) -> io::Result<Self> {
        let directory = directory.into();
        fs::create_dir_all(&directory).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot create ORDERS_DIR `{}`: {error}", directory.display()))
        })?;
        Ok(Self { directory })
    }

    /// Hands an order to the worker.
    pub(crate) fn push(&self, id: &str, order: &PricedOrder) -> io::Result<()> {
        let partial = self.directory.join(format!("{id}.partial"));
        fs::write(&partial, format!("{}\n", order.to_json(id)))?;
        fs::rename(&partial, self.directory.join(format!("{id}.json")))
    }
}

/// A new order id. Sorted by name, ids are in order of time; within one millisecond the counter tells orders of one
/// process apart, and a random number the processes (every container believes to be process 1).
pub(crate) fn new_id() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    static PROCESS: LazyLock<u32> = LazyLock::new(|| {
        // The standard library's random numbers are the keys of its hash maps.
        (RandomState::new().build_hasher().finish() >> 32) as u32
    });
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{millis:013}-{:08x}-{count}", *PROCESS)
}
