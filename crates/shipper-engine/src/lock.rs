//! `shipper.lock`: which digest a base reference means, per platform. Committed, changed only by an explicit act.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shipper_oci::Digest;

use crate::Error;

/// Name of the file.
pub(crate) const LOCK_FILE: &str = "shipper.lock";

/// The file's content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lock {
    /// Version of the format.
    #[serde(default = "version")]
    version: u32,
    /// Base images by reference as written in the configuration or Dockerfile.
    #[serde(default)]
    base: BTreeMap<String, LockedBase>,
    /// What `ship --refresh` gave to services: a text of its own in the key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    salt: BTreeMap<String, String>,
}

/// One base image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LockedBase {
    /// Digest of the platform's image manifest by `os/architecture[/variant]`.
    platforms: BTreeMap<String, String>,
}

fn version() -> u32 {
    1
}

impl Lock {
    /// A lock without entries.
    pub(crate) fn empty() -> Self {
        Self { version: version(), ..Self::default() }
    }

    /// Reads the lock of the project at `root`; an empty one where there is no file.
    ///
    /// # Errors
    /// [`Error::Lock`] where the file can not be read or is not a lock of this version.
    pub(crate) fn read(root: &Path) -> Result<Self, Error> {
        let path = root.join(LOCK_FILE);
        let text = match crate::read::small_text(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::empty());
            }
            Err(error) => return Err(Error::Lock { path, problem: error.to_string() }),
        };
        Self::parse(path, &text)
    }

    /// The lock in `text`, which is that of the file `path`.
    ///
    /// # Errors
    /// [`Error::Lock`] where it is not a lock of this version.
    pub(crate) fn parse(path: PathBuf, text: &str) -> Result<Self, Error> {
        let lock: Self =
            toml::from_str(text).map_err(|error| Error::Lock { path: path.clone(), problem: error.to_string() })?;
        if lock.version != 1 {
            return Err(Error::Lock { path, problem: format!("version {} is not known", lock.version) });
        }
        if let Some((reference, platform, digest)) =
            lock.entries().find(|(.., digest)| digest.parse::<Digest>().is_err())
        {
            let problem = format!("`{digest}` of `{reference}` for {platform} is no digest");
            return Err(Error::Lock { path, problem });
        }
        Ok(lock)
    }

    /// The locked digest of `reference` for `platform`.
    #[must_use]
    pub(crate) fn digest(&self, reference: &str, platform: &str) -> Option<&str> {
        self.base.get(reference)?.platforms.get(platform).map(String::as_str)
    }

    /// Sets the digest of `reference` for `platform`.
    pub(crate) fn set(&mut self, reference: &str, platform: &str, digest: &str) {
        self.base.entry(reference.to_owned()).or_default().platforms.insert(platform.to_owned(), digest.to_owned());
    }

    /// Every locked digest as `(reference, platform, digest)`, sorted.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.base.iter().flat_map(|(reference, locked)| {
            locked.platforms.iter().map(|(platform, digest)| (reference.as_str(), platform.as_str(), digest.as_str()))
        })
    }

    /// The salt of a service, if it was ever refreshed.
    #[must_use]
    pub(crate) fn salt(&self, service: &str) -> Option<&str> {
        self.salt.get(service).map(String::as_str)
    }

    /// Sets the salt of a service.
    pub(crate) fn set_salt(&mut self, service: &str, salt: &str) {
        self.salt.insert(service.to_owned(), salt.to_owned());
    }

    /// Reads the lock again, changes it and writes it, while no other run does the same: what another run added stays.
    ///
    /// # Errors
    /// [`Error::Lock`] where it can not be read or written.
    pub(crate) fn update(root: &Path, change: impl FnOnce(&mut Self)) -> Result<(), Error> {
        let problem = |error: std::io::Error| Error::Lock { path: root.join(LOCK_FILE), problem: error.to_string() };
        let private = root.join(".shipper");
        crate::record::write_gitignore(&private).map_err(problem)?;
        let held = File::options().create(true).append(true).open(private.join("lock")).map_err(problem)?;
        // Held for a read and a write of a small file.
        held.lock().map_err(problem)?;
        let before = Self::read(root)?;
        let mut after = before.clone();
        change(&mut after);
        if after == before { Ok(()) } else { after.write(root).map(drop) }
    }

    /// Writes the lock atomically.
    ///
    /// # Errors
    /// [`Error::Lock`] where it can not be written.
    fn write(&self, root: &Path) -> Result<PathBuf, Error> {
        let path = root.join(LOCK_FILE);
        let problem = |problem: String| Error::Lock { path: path.clone(), problem };
        let body = toml::to_string(self).map_err(|error| problem(error.to_string()))?;
        let text = format!("# Written by shipper; commit it. `shipper base update` takes newer images.\n{body}");
        shipper_oci::atomic::write(&path, text.as_bytes()).map_err(|error| problem(error.to_string()))?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_reads_back_and_the_same_lock_is_the_same_text() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut lock = Lock::read(dir.path()).expect("an empty lock");
        let [one, two] = ["1", "2"].map(|digit| format!("sha256:{}", digit.repeat(64)));
        lock.set("nginx:1.29", "linux/arm64", &two);
        lock.set("nginx:1.29", "linux/amd64", &one);
        lock.set_salt("api", "0f");
        lock.write(dir.path()).expect("writes");
        let text = std::fs::read_to_string(dir.path().join(LOCK_FILE)).expect("reads");
        let read = Lock::read(dir.path()).expect("reads");
        assert_eq!(read, lock);
        assert_eq!(read.digest("nginx:1.29", "linux/arm64"), Some(two.as_str()));
        assert_eq!(read.digest("nginx:1.29", "linux/s390x"), None);
        assert_eq!(read.salt("api"), Some("0f"));
        let all = [("nginx:1.29", "linux/amd64", &*one), ("nginx:1.29", "linux/arm64", &*two)];
        assert_eq!(read.entries().collect::<Vec<_>>(), all);
        read.write(dir.path()).expect("writes");
        assert_eq!(std::fs::read_to_string(dir.path().join(LOCK_FILE)).expect("reads"), text);
    }

    #[test]
    fn what_another_run_added_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let digest = format!("sha256:{}", "1".repeat(64));
        std::thread::scope(|scope| {
            for run in 0..8 {
                let (root, digest) = (dir.path(), &digest);
                scope.spawn(move || {
                    Lock::update(root, |lock| lock.set(&format!("base:{run}"), "linux/amd64", digest)).expect("writes");
                });
            }
        });
        assert_eq!(Lock::read(dir.path()).expect("reads").entries().count(), 8);
    }

    #[test]
    fn a_lock_that_can_not_be_understood_is_an_error_and_never_empty() {
        let dir = tempfile::tempdir().expect("a directory");
        let typo = "[base.'a'.platforms]\n'linux/amd64' = 'sha256:12'";
        for text in ["version = 2", "basis = 1", "[base", typo] {
            std::fs::write(dir.path().join(LOCK_FILE), text).expect("writes");
            assert!(matches!(Lock::read(dir.path()), Err(Error::Lock { .. })), "{text}");
        }
    }
}
