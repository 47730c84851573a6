//! `prune`: the directories that services are staged and built in, bounded by age and by bytes, the longest unused first.
//!
//! Invariants: nothing is removed without being asked to; what another run uses (its lock) or used within the last hour
//! stays, and so does a directory in which something is mounted; lock files stay, so that a run that waits for one gets the one
//! that the others use; no image, no record and nothing of another program is touched.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::{Error, Project};

/// What was used within this time stays, whatever the bounds are.
const IN_USE: Duration = Duration::from_secs(3600);
/// The file that stays in a directory.
const LOCK: &str = "lock";

/// The bounds.
#[derive(Debug, Clone, Copy)]
pub struct PruneOptions {
    /// What was not used for longer goes.
    pub unused_for: Duration,
    /// More than this many bytes in all are not kept; no bound if absent.
    pub most_bytes: Option<u64>,
    /// Remove; otherwise only tell.
    pub apply: bool,
}

/// A directory that goes, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pruned {
    /// The service.
    pub service: String,
    /// The directory.
    pub path: PathBuf,
    /// Bytes of its files.
    pub bytes: u64,
    /// Whole hours since it was last used.
    pub unused_hours: u64,
    /// `unknown-service`, `unused` or `too-many-bytes`.
    pub why: &'static str,
    /// Why it is kept all the same, where it could not be removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}

/// What [`prune`] found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PruneReport {
    /// Directories that are beyond the bounds, the longest unused first.
    pub directories: Vec<Pruned>,
    /// Bytes of all directories before.
    pub bytes: u64,
    /// Whether they were removed.
    pub applied: bool,
}

impl PruneReport {
    /// Bytes that were freed, or would be.
    #[must_use]
    pub fn freed(&self) -> u64 {
        self.directories.iter().filter(|directory| directory.kept.is_none()).map(|directory| directory.bytes).sum()
    }
}

struct Place {
    service: String,
    path: PathBuf,
    bytes: u64,
    unused: Duration,
}

/// Finds what is beyond the bounds at the time `now`, and removes it where that is asked for.
///
/// # Errors
/// [`Error::Read`] where the directories cannot be listed. What cannot be removed is told in the report.
pub fn prune(project: &Project, options: &PruneOptions, now: SystemTime) -> Result<PruneReport, Error> {
    let mut places = Vec::new();
    for service in children(&project.directories.cache.join("services"))? {
        let name = service.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        for path in children(&service)? {
            let used = last_used(&path);
            let unused = used.and_then(|used| now.duration_since(used).ok()).unwrap_or_default();
            places.push(Place { service: name.clone(), bytes: size(&path), path, unused });
        }
    }
    places.sort_by(|a, b| b.unused.cmp(&a.unused).then_with(|| a.path.cmp(&b.path)));
    let bytes = places.iter().map(|place| place.bytes).sum();
    let mut left: u64 = bytes;
    let mut directories = Vec::new();
    for place in places.into_iter().filter(|place| place.bytes > 0 && place.unused >= IN_USE) {
        let why = if !project.services.contains_key(&place.service) {
            "unknown-service"
        } else if place.unused > options.unused_for {
            "unused"
        } else if options.most_bytes.is_some_and(|most| left > most) {
            "too-many-bytes"
        } else {
            continue;
        };
        let kept = if options.apply { empty(&place.path).err() } else { None };
        if kept.is_none() {
            left -= place.bytes;
        }
        let unused_hours = place.unused.as_secs() / 3600;
        directories.push(Pruned {
            service: place.service,
            path: place.path,
            bytes: place.bytes,
            unused_hours,
            why,
            kept,
        });
    }
    Ok(PruneReport { directories, bytes, applied: options.apply })
}

/// The directories in a directory, sorted; none where it is not there.
fn children(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Read { path: directory.to_owned(), source };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// The newest time of what lies in the directory and in its directories: every build writes its log and its stage anew.
fn last_used(directory: &Path) -> Option<SystemTime> {
    let below = |directory: &Path| -> Vec<PathBuf> {
        fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let own = below(directory);
    let inner = own.iter().filter(|path| path.is_dir() && !path.is_symlink()).flat_map(|path| below(path));
    let all = own.iter().cloned().chain(inner).chain([directory.to_owned()]);
    all.filter_map(|path| path.symlink_metadata().ok()?.modified().ok()).max()
}

/// Bytes of the files below a directory; links are not followed, and what cannot be read counts nothing.
fn size(directory: &Path) -> u64 {
    let mut bytes = 0;
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => open.push(entry.path()),
                Ok(metadata) => bytes += metadata.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}

/// Removes everything in a directory but its lock, which is held meanwhile.
fn empty(directory: &Path) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    let lock = File::options().create(true).append(true).open(directory.join(LOCK)).map_err(told)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err("another run uses it".to_owned()),
        Err(TryLockError::Error(error)) => return Err(told(error)),
    }
    shipper_build::refuse_mounts(directory).map_err(|error| error.to_string())?;
    for entry in fs::read_dir(directory).map_err(told)? {
        let entry = entry.map_err(told)?;
        if entry.file_name() == LOCK {
            continue;
        }
        let is_directory = entry.file_type().map_err(told)?.is_dir();
        let removed = if is_directory { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
        removed.map_err(told)?;
    }
    Ok(())
}
