//! Atomic writes: a file is either the old one or the whole new one, whatever kills the process.
//!
//! Order of effects: write a temporary file in the target's directory (or another of the same file system), fsync it,
//! rename it over the target, fsync the directory. A plain in-place write leaves a torn file after most kills; this
//! order leaves none. The functions block; call them from a blocking task.
//!
//! A killed writer leaves its temporary file behind, named `.<name>.<process>-<random>.tmp`; [`sweep`] removes old ones.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Writes `bytes` to `path` atomically and durably. The directory must exist.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// let path = dir.path().join("state.json");
/// shipper_oci::atomic::write(&path, b"{}")?;
/// assert_eq!(std::fs::read(&path)?, b"{}");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// Any file error; the target is then unchanged and no temporary file stays.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes)?;
    file.commit()
}

/// A file being written; nothing is visible under the target's name before [`AtomicFile::commit`]. Dropping it without
/// committing removes it.
#[derive(Debug)]
pub struct AtomicFile {
    file: Option<File>,
    temporary: PathBuf,
    target: PathBuf,
}

impl AtomicFile {
    /// A temporary file beside `target`.
    ///
    /// # Errors
    /// Any file error; [`io::ErrorKind::InvalidInput`] when `target` has no file name.
    pub fn create(target: &Path) -> io::Result<AtomicFile> {
        AtomicFile::create_in(directory_of(target), target)
    }

    /// A temporary file in `directory`, which must lie on the target's file system.
    ///
    /// # Errors
    /// As [`AtomicFile::create`].
    pub fn create_in(directory: &Path, target: &Path) -> io::Result<AtomicFile> {
        let name = target
            .file_name()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name"))?;
        // File names are limited to 255 bytes nearly everywhere; a readable beginning is enough.
        let name: String = name.to_string_lossy().chars().take(48).collect();
        loop {
            let temporary = directory.join(format!(".{name}.{}-{:016x}.tmp", std::process::id(), unique()));
            match OpenOptions::new().write(true).create_new(true).open(&temporary) {
                Ok(file) => return Ok(AtomicFile { file: Some(file), temporary, target: target.to_owned() }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Where the bytes are until they are committed.
    #[must_use]
    pub fn temporary_path(&self) -> &Path {
        &self.temporary
    }

    /// Makes the bytes durable and visible under the target's name, replacing what is there.
    ///
    /// # Errors
    /// Any file error; the target is then unchanged, except that after a failed directory sync it is the new file whose
    /// durability is not known.
    pub fn commit(mut self) -> io::Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        // On failure `Drop` does not see the file any more, so the temporary is removed here.
        let renamed = file.sync_all().and_then(|()| {
            drop(file);
            rename(&self.temporary, &self.target)
        });
        if let Err(error) = renamed {
            let _ = fs::remove_file(&self.temporary);
            return Err(error);
        }
        sync_directory(directory_of(&self.target))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => Ok(0),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Windows refuses to replace a file that another process holds open for a moment (indexers, virus scanners).
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let tries = if cfg!(windows) { 10 } else { 1 };
    for attempt in 1.. {
        match fs::rename(from, to) {
            Err(error) if attempt < tries && error.kind() == io::ErrorKind::PermissionDenied => {
                std::thread::sleep(Duration::from_millis(10 * attempt));
            }
            done => return done,
        }
    }
    Ok(())
}

/// Makes the names in `directory` durable. Does nothing where directories cannot be opened (Windows).
///
/// # Errors
/// Any file error, except that the file system does not know the operation.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    match File::open(directory)?.sync_all() {
        // Some network and FUSE file systems answer EINVAL or ENOTSUP for directories.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        done => done,
    }
}

/// Creates `directory` with its parents and makes the new names durable.
///
/// # Errors
/// Any file error.
pub fn create_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_directory(parent)?;
    }
    match fs::create_dir(directory) {
        Ok(()) => sync_directory(directory_of(directory)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes temporary files of this module in `directory` that nobody wrote to for `age`, and says how many. A writer
/// that is still alive after such a pause fails to commit; it never leaves a torn file.
///
/// # Errors
/// When the directory cannot be listed; a file that cannot be removed is left.
pub fn sweep(directory: &Path, age: Duration) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if !(name.starts_with('.') && name.ends_with(".tmp")) {
            continue;
        }
        let written = entry.metadata().and_then(|metadata| metadata.modified());
        let old =
            written.is_ok_and(|written| SystemTime::now().duration_since(written).is_ok_and(|since| since >= age));
        if old && fs::remove_file(entry.path()).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A number that no other writer uses: the process's random hash keys and a counter.
fn unique() -> u64 {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u64(COUNTER.fetch_add(1, Ordering::Relaxed));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_write_replaces_the_whole_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write(&path, b"long old content").unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["f"]);
    }

    #[test]
    fn nothing_is_visible_before_commit_and_dropping_cleans_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        assert!(!path.exists() && file.temporary_path().exists());
        drop(file);
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn a_failed_commit_leaves_no_temporary_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inner"), b"x").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"x").unwrap();
        file.commit().unwrap_err();
        assert_eq!(names(dir.path()), ["d"]);
    }

    #[test]
    fn only_old_temporary_files_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let left = AtomicFile::create(&dir.path().join("f")).unwrap();
        fs::write(dir.path().join(".hidden"), b"").unwrap();
        fs::write(dir.path().join("x.tmp"), b"").unwrap();
        assert_eq!(sweep(dir.path(), Duration::from_secs(3600)).unwrap(), 0);
        assert_eq!(sweep(dir.path(), Duration::ZERO).unwrap(), 1);
        assert_eq!(names(dir.path()), [".hidden", "x.tmp"]);
        // Its writer cannot commit any more and says so.
        left.commit().unwrap_err();
    }

    #[test]
    fn directories_are_created_with_their_parents() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        create_directory(&deep).unwrap();
        create_directory(&deep).unwrap();
        assert!(deep.is_dir());
        fs::write(dir.path().join("file"), b"").unwrap();
        create_directory(&dir.path().join("file")).unwrap_err();
    }
}
