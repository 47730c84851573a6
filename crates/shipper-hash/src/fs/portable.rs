//! Paths, checked before use: no part below the root may be a link.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{FileType, Name, Special, Stat, Time, link_in_path};
use crate::path::{platform_bytes, platform_path};

/// The directory that a tree consists of.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
}

/// A directory below a root.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Root {
    /// Opens `path`; here alone links are followed.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let path = path.canonicalize()?;
        std::fs::read_dir(&path)?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the directory `path` below the root; the empty path is the root.
    pub(crate) fn directory(&self, path: &[u8]) -> io::Result<Directory> {
        let mut whole = self.path.clone();
        for part in path.split(|&byte| byte == b'/').filter(|part| !part.is_empty()) {
            whole.push(platform_path(part).map_err(io::Error::other)?);
            if !std::fs::symlink_metadata(&whole)?.is_dir() {
                return Err(link_in_path());
            }
        }
        Ok(Directory(whole))
    }

    /// Whether the times of a directory tell that no name in it came or went: not known here.
    pub(crate) fn times_directories(&self) -> bool {
        false
    }
}

impl Directory {
    /// All names, in the order of the system; to be asked for once.
    pub(crate) fn list(&self) -> io::Result<Vec<Name>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.0)? {
            let entry = entry?;
            let name = platform_bytes(Path::new(&entry.file_name()))
                .ok_or_else(|| io::Error::other("a file name is not Unicode"))?;
            names.push((name.as_slice().into(), file_type(entry.file_type()?)));
        }
        Ok(names)
    }

    /// `lstat` of the directory itself.
    pub(crate) fn own_stat(&self) -> io::Result<Stat> {
        Ok(stat_of(&std::fs::symlink_metadata(&self.0)?))
    }

    /// `lstat` of one name.
    pub(crate) fn stat(&self, name: &[u8]) -> io::Result<Stat> {
        Ok(stat_of(&std::fs::symlink_metadata(self.path_of(name)?)?))
    }

    /// The target text of a link, with `/` between its parts.
    pub(crate) fn read_link(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        let target = std::fs::read_link(self.path_of(name)?)?;
        platform_bytes(&target).ok_or_else(|| io::Error::other("a link's target is not Unicode"))
    }

    /// Opens a file for reading; the caller looks at what it opened before it reads.
    pub(crate) fn open(&self, name: &[u8]) -> io::Result<File> {
        let path = self.path_of(name)?;
        if !std::fs::symlink_metadata(&path)?.is_file() {
            return Err(link_in_path());
        }
        File::open(path)
    }

    fn path_of(&self, name: &[u8]) -> io::Result<PathBuf> {
        Ok(self.0.join(platform_path(name).map_err(io::Error::other)?))
    }
}

/// Nothing is known about change times here, so no digest is ever remembered.
pub(crate) fn probe_time(_: &Root) -> Option<(u64, Time)> {
    None
}

fn file_type(raw: std::fs::FileType) -> FileType {
    if raw.is_symlink() {
        FileType::Symlink
    } else if raw.is_dir() {
        FileType::Directory
    } else if raw.is_file() {
        FileType::File
    } else {
        FileType::Special(Special::Unknown)
    }
}

/// What an open file looks like.
pub(crate) fn stat_of_file(file: &File) -> io::Result<Stat> {
    Ok(stat_of(&file.metadata()?))
}

/// The same from the standard library's view of a file.
pub(crate) fn stat_of(metadata: &std::fs::Metadata) -> Stat {
    let modified = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok())
        .map_or((0, 0), |time| (i64::try_from(time.as_secs()).unwrap_or_default(), time.subsec_nanos()));
    Stat {
        file_type: file_type(metadata.file_type()),
        mode: 0o644,
        size: metadata.len(),
        modified,
        changed: (0, 0),
        device: 0,
        inode: 0,
    }
}
