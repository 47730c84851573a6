//! The private directory of one service's builds.

use std::path::{Path, PathBuf};

use crate::error::BuildError;

/// A work directory, locked until this is dropped: one build at a time uses it.
pub(crate) struct Work {
    root: PathBuf,
    _lock: std::fs::File,
}

impl Work {
    /// Creates `root` and waits until no other build uses it.
    pub(crate) async fn open(root: &Path) -> Result<Work, BuildError> {
        std::fs::create_dir_all(root).map_err(BuildError::io("create", root))?;
        let lock = lock(&root.join("lock")).await?;
        Ok(Work { root: root.to_path_buf(), _lock: lock })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), BuildError> {
        let path = self.path(name);
        std::fs::write(&path, bytes).map_err(BuildError::io("write", &path))
    }

    /// The content of a small file without its line ending.
    pub(crate) fn read_line(&self, name: &str) -> Result<String, BuildError> {
        let path = self.path(name);
        let text = std::fs::read_to_string(&path).map_err(BuildError::io("read", &path))?;
        Ok(text.trim().to_owned())
    }

    /// Removes a file or a directory, if there is one.
    pub(crate) fn remove(&self, name: &str) -> Result<(), BuildError> {
        let path = self.path(name);
        let removed = match path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(&path),
            Ok(_) => std::fs::remove_file(&path),
            Err(_) => Ok(()),
        };
        removed.map_err(BuildError::io("remove", &path))
    }
}

async fn lock(path: &Path) -> Result<std::fs::File, BuildError> {
    let failed = || BuildError::io("lock", path);
    let file = std::fs::File::options().create(true).append(true).open(path).map_err(failed())?;
    #[cfg(unix)]
    loop {
        use rustix::fs::{FlockOperation, flock};
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failed()(error.into())),
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Ok(file)
}
