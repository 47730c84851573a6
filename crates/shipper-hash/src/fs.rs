//! Reading a tree without ever following a symbolic link below its root.
//!
//! Every access goes through a [`Root`] and a [`Directory`] that was opened from it. On Unix these are file
//! descriptors opened so that no part of the path may be a link, also when a link is swapped in meanwhile; elsewhere
//! they are paths that are checked before use. Files are opened without blocking, so a FIFO cannot hang the reader.

#[cfg(not(unix))]
#[path = "fs/portable.rs"]
mod platform;
#[cfg(unix)]
#[path = "fs/unix.rs"]
mod platform;

use std::io;

pub(crate) use platform::{Directory, Root, probe_time, stat_of, stat_of_file};

/// What a name in a directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileType {
    File,
    Directory,
    Symlink,
    Special(Special),
}

/// Something without content of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(unix), expect(dead_code, reason = "the standard library does not tell them apart here"))]
pub(crate) enum Special {
    Fifo,
    Socket,
    CharacterDevice,
    BlockDevice,
    Unknown,
}

impl Special {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Fifo => "FIFO",
            Self::Socket => "socket",
            Self::CharacterDevice => "character device",
            Self::BlockDevice => "block device",
            Self::Unknown => "file of unknown type",
        }
    }
}

/// A name in a directory and what it stands for.
pub(crate) type Name = (FileName, FileType);

/// Bytes of a name that needs no allocation.
const SHORT: usize = 22;

/// A name in a directory; most are short.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum FileName {
    Short(u8, [u8; SHORT]),
    Long(Box<[u8]>),
}

impl From<&[u8]> for FileName {
    fn from(name: &[u8]) -> Self {
        match u8::try_from(name.len()) {
            Ok(length) if name.len() <= SHORT => {
                let mut bytes = [0; SHORT];
                bytes[..name.len()].copy_from_slice(name);
                Self::Short(length, bytes)
            }
            _ => Self::Long(name.into()),
        }
    }
}

impl std::ops::Deref for FileName {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Short(length, bytes) => &bytes[..usize::from(*length)],
            Self::Long(bytes) => bytes,
        }
    }
}

impl std::fmt::Debug for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.escape_ascii())
    }
}

/// Seconds and nanoseconds since the Unix epoch.
pub(crate) type Time = (i64, u32);

/// What `lstat` says about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) file_type: FileType,
    /// Permission bits.
    pub(crate) mode: u32,
    pub(crate) size: u64,
    pub(crate) modified: Time,
    /// Time of the last change of content or attributes, which no program can set.
    pub(crate) changed: Time,
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

impl Stat {
    /// A file that is not on disk.
    pub(crate) fn of_blob(size: u64) -> Self {
        let never = (0, 0);
        Self { file_type: FileType::File, mode: 0o644, size, modified: never, changed: never, device: 0, inode: 0 }
    }

    /// The owner's execute bit.
    pub(crate) fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }
}

/// Whether an error means that nothing is there.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The error for a symbolic link where a directory was expected.
fn link_in_path() -> io::Error {
    io::Error::new(io::ErrorKind::NotADirectory, "a part of the path is a symbolic link")
}
