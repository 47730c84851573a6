//! Waits for the signal that asks a process to stop.
//!
//! A container's first process has no default action for `SIGTERM`: without a handler the signal is ignored and
//! `docker stop` waits ten seconds before it kills. The standard library has no way to install one, so this crate
//! contains the shop's only `unsafe` lines. The handler does one thing that is safe inside a handler: it writes a
//! byte to a socket pair. Everything else happens on the reading side, in ordinary code.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! let mut signal = shop_shutdown::Signal::install()?;
//! while !signal.wait_timeout(Duration::from_secs(1))? {
//!     // one round of work
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! On systems other than Unix nothing is installed and the waits only time out; Ctrl-C ends the process there.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub use unix::Signal;

#[cfg(not(unix))]
mod elsewhere;
#[cfg(not(unix))]
pub use elsewhere::Signal;
