//! The same interface where there are no Unix signals.

use std::io;
use std::time::Duration;

/// Never becomes true: the system ends the process by itself.
#[derive(Debug)]
pub struct Signal(());

impl Signal {
    /// Installs nothing.
    ///
    /// # Errors
    /// None here; the signature is that of the Unix version.
    pub fn install() -> io::Result<Self> {
        Ok(Self(()))
    }

    /// Blocks for ever.
    ///
    /// # Errors
    /// None here; the signature is that of the Unix version.
    pub fn wait(&mut self) -> io::Result<()> {
        loop {
            std::thread::park();
        }
    }

    /// Sleeps for `limit` and returns `false`.
    ///
    /// # Errors
    /// None here; the signature is that of the Unix version.
    pub fn wait_timeout(&mut self, limit: Duration) -> io::Result<bool> {
        std::thread::sleep(limit);
        Ok(false)
    }
}
