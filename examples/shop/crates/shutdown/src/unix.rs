//! `SIGTERM` and `SIGINT` through a socket pair.

use std::io::{self, Read};
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

/// The writing end of the pair; -1 until [`Signal::install`] has run. Never closed, so the handler cannot write to
/// a descriptor that has been given to somebody else.
static WAKE: AtomicI32 = AtomicI32::new(-1);

#[expect(unsafe_code, reason = "the C library is the only way to handle a signal without a dependency")]
mod sys {
    unsafe extern "C" {
        safe fn signal(signum: i32, handler: extern "C" fn(i32)) -> usize;
        // `write` is on POSIX's list of functions that a signal handler may call.
        fn write(fd: i32, buffer: *const u8, count: usize) -> isize;
    }

    /// What `signal` returns when it fails: `SIG_ERR`.
    const FAILED: usize = usize::MAX;

    extern "C" fn on_signal(_signum: i32) {
        let fd = super::WAKE.load(super::Ordering::Relaxed);
        // SAFETY: the buffer is one readable byte, and `fd` is open or -1, for which `write` fails harmlessly.
        unsafe { write(fd, b"x".as_ptr(), 1) };
    }

    pub(super) fn handle(signum: i32) -> bool {
        signal(signum, on_signal) != FAILED
    }
}

/// The request to stop, once it has come.
#[derive(Debug)]
pub struct Signal {
    wake: UnixStream,
    stopped: bool,
}

impl Signal {
    /// Handles `SIGTERM` and `SIGINT` from now on.
    ///
    /// Call it once, early in `main`: a second call takes the signals away from the first.
    ///
    /// # Errors
    /// When the socket pair cannot be made or the system refuses the handlers.
    pub fn install() -> io::Result<Self> {
        let (wake, writer) = UnixStream::pair()?;
        // A full socket must never block the handler; the first byte is all that is needed.
        writer.set_nonblocking(true)?;
        WAKE.store(writer.into_raw_fd(), Ordering::Relaxed);
        for signum in [SIGTERM, SIGINT] {
            if !sys::handle(signum) {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Self { wake, stopped: false })
    }

    /// Blocks until the process is asked to stop; returns at once if that has happened already.
    ///
    /// # Errors
    /// When the socket pair cannot be read.
    pub fn wait(&mut self) -> io::Result<()> {
        self.receive(None).map(|_| ())
    }

    /// Waits at most `limit`; `true` means that the process was asked to stop, now or earlier.
    ///
    /// # Errors
    /// When the socket pair cannot be read.
    pub fn wait_timeout(&mut self, limit: Duration) -> io::Result<bool> {
        // Zero would mean "no limit" to the socket.
        self.receive(Some(limit.max(Duration::from_millis(1))))
    }

    fn receive(&mut self, limit: Option<Duration>) -> io::Result<bool> {
        if self.stopped {
            return Ok(true);
        }
        self.wake.set_read_timeout(limit)?;
        loop {
            match self.wake.read(&mut [0]) {
                Ok(_) => {
                    self.stopped = true;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test for the whole life: the handlers are global to the process.
    #[test]
    fn a_signal_ends_the_wait_and_stays_known() {
        let mut signal = Signal::install().unwrap();
        assert!(!signal.wait_timeout(Duration::from_millis(5)).unwrap());

        let kill = format!("kill -TERM {}", std::process::id());
        let status = std::process::Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(status.success());

        signal.wait().unwrap();
        assert!(signal.wait_timeout(Duration::ZERO).unwrap());
    }
}
