//! A lock between processes: one file, held exclusively while a layout's index is read, changed and written.
//!
//! Invariants: the lock dies with the process that holds it, kill -9 included (the system drops it with the open file);
//! the lock file itself is never removed, because removing it while another waits would let two hold "the" lock.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// Held until dropped.
#[derive(Debug)]
pub(crate) struct FileLock {
    _file: File,
}

impl FileLock {
    /// Waits for the lock at most `limit`. Blocks the thread. Two holders in one process exclude each other too.
    pub(crate) fn acquire(path: &Path, limit: Duration) -> io::Result<FileLock> {
        let started = Instant::now();
        let mut pause = Duration::from_micros(200);
        loop {
            if let Some(file) = try_lock(path)? {
                return Ok(FileLock { _file: file });
            }
            if started.elapsed() >= limit {
                let seconds = limit.as_secs();
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("another process has held the lock for {seconds}s"),
                ));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }
}

#[cfg(unix)]
fn try_lock(path: &Path) -> io::Result<Option<File>> {
    use rustix::fs::{FlockOperation, flock};

    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(windows)]
fn try_lock(path: &Path) -> io::Result<Option<File>> {
    use std::os::windows::fs::OpenOptionsExt;

    /// ERROR_SHARING_VIOLATION
    const SHARED: i32 = 32;
    // A file opened without any sharing cannot be opened a second time: that is the lock.
    match OpenOptions::new().read(true).write(true).create(true).truncate(false).share_mode(0).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.raw_os_error() == Some(SHARED) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(not(any(unix, windows)))]
fn try_lock(_path: &Path) -> io::Result<Option<File>> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "file locks are not known on this system"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_excludes_others_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = FileLock::acquire(&path, Duration::ZERO).unwrap();
        let error = FileLock::acquire(&path, Duration::from_millis(5)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(held);
        FileLock::acquire(&path, Duration::ZERO).unwrap();
    }

    #[test]
    fn waiters_get_the_lock_one_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let (lock, count) = (dir.path().join("lock"), dir.path().join("count"));
        std::fs::write(&count, "0").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _held = FileLock::acquire(&lock, Duration::from_secs(30)).unwrap();
                        let seen: u32 = std::fs::read_to_string(&count).unwrap().parse().unwrap();
                        std::fs::write(&count, (seen + 1).to_string()).unwrap();
                    }
                });
            }
        });
        assert_eq!(std::fs::read_to_string(&count).unwrap(), "200");
    }
}
