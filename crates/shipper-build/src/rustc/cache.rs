//! The cached answers of compilers, in one small JSON file outside every repository.
//!
//! Invariant: an answer is used only when every file that decides it looks exactly as it did before the compiler was
//! asked. Anything odd (another format, a torn file, a clock set back) means that there is no answer.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::RustcVersion;

const FORMAT: u32 = 1;
/// A machine has few toolchains; older answers go.
const MAX_ENTRIES: usize = 32;

#[derive(Debug, Serialize, Deserialize)]
struct File {
    format: u32,
    entries: Vec<Entry>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    channel: Option<String>,
    version: RustcVersion,
    stamps: Stamps,
    compiler: Stamp,
}

/// What decides which compiler a name means: the `rustc` on `PATH` and rustup's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamps {
    rustc: Stamp,
    settings: Option<Stamp>,
}

/// How a file looks, or that there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    path: PathBuf,
    /// Size in bytes, modification in nanoseconds since the Unix epoch, inode (0 where there are none).
    state: Option<(u64, u64, u64)>,
}

impl Stamp {
    fn take(path: &Path) -> Stamp {
        let resolved = path.canonicalize();
        let metadata = resolved.as_ref().ok().and_then(|path| path.metadata().ok());
        let state = metadata.and_then(|metadata| {
            let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
            Some((metadata.len(), u64::try_from(modified).ok()?, inode(&metadata)))
        });
        Stamp { path: resolved.unwrap_or_else(|_| path.to_path_buf()), state }
    }
}

impl Stamps {
    pub(super) fn take(rustc: &Path, settings: Option<&Path>) -> Stamps {
        Stamps { rustc: Stamp::take(rustc), settings: settings.map(Stamp::take) }
    }
}

impl Entry {
    /// `stamps` were taken before the compiler was asked; `compiler` is the program behind the proxy.
    pub(super) fn new(channel: Option<&str>, version: RustcVersion, stamps: Stamps, compiler: &Path) -> Entry {
        Entry { channel: channel.map(str::to_owned), version, stamps, compiler: Stamp::take(compiler) }
    }

    /// A file that is not there decides nothing, so an answer that rests on one is never used again.
    fn is_usable(&self) -> bool {
        self.stamps.rustc.state.is_some() && self.compiler.state.is_some()
    }
}

/// The answer for a channel, if nothing changed since it was given.
pub(super) fn lookup(
    cache: &Path,
    channel: Option<&str>,
    rustc: &Path,
    settings: Option<&Path>,
) -> Option<RustcVersion> {
    let entry = read(cache).into_iter().find(|entry| entry.channel.as_deref() == channel)?;
    let unchanged = entry.is_usable()
        && entry.stamps == Stamps::take(rustc, settings)
        && entry.compiler == Stamp::take(&entry.compiler.path);
    unchanged.then_some(entry.version)
}

/// Adds an answer, replacing the one for the same channel.
pub(super) fn store(cache: &Path, entry: Entry) -> std::io::Result<()> {
    let mut entries = read(cache);
    entries.retain(|old| old.channel != entry.channel);
    entries.insert(0, entry);
    entries.truncate(MAX_ENTRIES);
    if let Some(dir) = cache.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let bytes = serde_json::to_vec(&File { format: FORMAT, entries })?;
    shipper_oci::atomic::write(cache, &bytes)
}

fn read(cache: &Path) -> Vec<Entry> {
    let file: Option<File> = std::fs::read(cache).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    file.filter(|file| file.format == FORMAT).map(|file| file.entries).unwrap_or_default()
}

#[cfg(unix)]
fn inode(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &std::fs::Metadata) -> u64 {
    0
}
