//! File descriptors, opened relative to one another.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::{FileType, Name, Special, Stat, Time, link_in_path};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// For directories that are opened for what is in them: where that can be said, the system does less.
#[cfg(target_os = "linux")]
const PLACE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const PLACE: OFlags = DIRECTORY;
const FILE: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Bytes of names that are asked for at once.
#[cfg(target_os = "linux")]
const LISTING_BUFFER: usize = 32 << 10;

/// The directory that a tree consists of.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
    descriptor: OwnedFd,
}

/// An open directory below a root.
#[derive(Debug)]
pub(crate) struct Directory(OwnedFd);

impl Root {
    /// Opens `path`; here alone links are followed.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let path = path.canonicalize()?;
        let descriptor = rustix::fs::open(&path, DIRECTORY, Mode::empty())?;
        Ok(Self { path, descriptor })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the directory `path` below the root; the empty path is the root.
    pub(crate) fn directory(&self, path: &[u8]) -> io::Result<Directory> {
        let path = if path.is_empty() { b".".as_slice() } else { path };
        Ok(Directory(open_beneath(self.descriptor.as_fd(), path).map_err(plain)?))
    }

    /// Whether the file system gives a directory new times whenever a name in it comes, goes or changes its kind: on
    /// those that are known to. Not where layers or servers stand in between.
    #[cfg(target_os = "linux")]
    pub(crate) fn times_directories(&self) -> bool {
        // `statfs(2)`: bcachefs, btrfs, ext2 to ext4, F2FS, tmpfs, XFS, ZFS.
        const KNOWN: [u64; 7] = [0xca45_1a4e, 0x9123_683e, 0xef53, 0xf2f5_2010, 0x0102_1994, 0x5846_5342, 0x2fc1_2fc1];
        let kind = rustix::fs::fstatfs(&self.descriptor).ok().and_then(|found| u64::try_from(found.f_type).ok());
        kind.is_some_and(|kind| KNOWN.contains(&kind))
    }

    /// Whether the file system gives a directory new times whenever a name in it comes or goes: not known here.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn times_directories(&self) -> bool {
        false
    }
}

#[cfg(target_os = "linux")]
fn open_beneath(root: impl AsFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    use rustix::fs::ResolveFlags;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(root.as_fd(), path, PLACE, Mode::empty(), resolve) {
        // Old kernels, system call filters, a rename in progress, a path longer than the kernel takes at once.
        Err(Errno::NOSYS | Errno::PERM | Errno::INVAL | Errno::AGAIN | Errno::NAMETOOLONG) => open_stepwise(root, path),
        result => result,
    }
}

#[cfg(not(target_os = "linux"))]
fn open_beneath(root: impl AsFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    open_stepwise(root, path)
}

/// One part after the other, none of them a link.
fn open_stepwise(root: impl AsFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let mut parts = path.split(|&byte| byte == b'/');
    let first = parts.next().unwrap_or(b".");
    let mut descriptor = rustix::fs::openat(root, first, PLACE, Mode::empty())?;
    for part in parts {
        descriptor = rustix::fs::openat(&descriptor, part, PLACE, Mode::empty())?;
    }
    Ok(descriptor)
}

impl Directory {
    /// All names but `.` and `..`, in the order of the system.
    pub(crate) fn list(&self) -> io::Result<Vec<Name>> {
        let opened = rustix::fs::openat(&self.0, ".", DIRECTORY, Mode::empty())?;
        let mut names = Vec::new();
        let mut push = |name: &[u8], raw: rustix::fs::FileType| -> io::Result<()> {
            if name == b"." || name == b".." {
                return Ok(());
            }
            let file_type = match raw {
                rustix::fs::FileType::Unknown => match self.stat(name) {
                    Ok(stat) => stat.file_type,
                    Err(error) if super::is_absent(&error) => return Ok(()),
                    Err(error) => return Err(error),
                },
                known => file_type(known),
            };
            names.push((name.into(), file_type));
            Ok(())
        };
        // Without an allocation for each name.
        #[cfg(target_os = "linux")]
        {
            let mut buffer = Vec::with_capacity(LISTING_BUFFER);
            let mut entries = rustix::fs::RawDir::new(&opened, buffer.spare_capacity_mut());
            while let Some(entry) = entries.next() {
                let entry = entry?;
                push(entry.file_name().to_bytes(), entry.file_type())?;
            }
        }
        #[cfg(not(target_os = "linux"))]
        for entry in rustix::fs::Dir::read_from(&opened)? {
            let entry = entry?;
            push(entry.file_name().to_bytes(), entry.file_type())?;
        }
        Ok(names)
    }

    /// `lstat` of the directory itself.
    pub(crate) fn own_stat(&self) -> io::Result<Stat> {
        Ok(stat(&rustix::fs::fstat(&self.0)?))
    }

    /// `lstat` of one name.
    pub(crate) fn stat(&self, name: &[u8]) -> io::Result<Stat> {
        Ok(stat(&rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// The target text of a link.
    pub(crate) fn read_link(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(&self.0, name, Vec::new())?.into_bytes())
    }

    /// Opens a file for reading; the caller looks at what it opened before it reads.
    pub(crate) fn open(&self, name: &[u8]) -> io::Result<File> {
        rustix::fs::openat(&self.0, name, FILE, Mode::empty()).map(File::from).map_err(plain)
    }
}

/// The device of a directory and the time that its file system gives to a file written now.
///
/// The file has no name, so nothing in the directory changes; `None` where the file system has no such files.
#[cfg(target_os = "linux")]
pub(crate) fn probe_time(root: &Root) -> Option<(u64, Time)> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&root.descriptor, ".", flags, Mode::RUSR | Mode::WUSR).ok()?;
    rustix::io::write(&file, b".").ok()?;
    let stat = stat(&rustix::fs::fstat(&file).ok()?);
    Some((stat.device, stat.modified))
}

/// The device of a directory and the time that its file system gives to a file written now.
#[cfg(not(target_os = "linux"))]
pub(crate) fn probe_time(_: &Root) -> Option<(u64, Time)> {
    None
}

/// What an open file looks like.
pub(crate) fn stat_of_file(file: &File) -> io::Result<Stat> {
    Ok(stat(&rustix::fs::fstat(file)?))
}

/// The same from the standard library's view of a file.
pub(crate) fn stat_of(metadata: &std::fs::Metadata) -> Stat {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    let raw = metadata.file_type();
    let kinds = [
        (raw.is_file(), FileType::File),
        (raw.is_dir(), FileType::Directory),
        (raw.is_symlink(), FileType::Symlink),
        (raw.is_fifo(), FileType::Special(Special::Fifo)),
        (raw.is_socket(), FileType::Special(Special::Socket)),
        (raw.is_char_device(), FileType::Special(Special::CharacterDevice)),
        (raw.is_block_device(), FileType::Special(Special::BlockDevice)),
    ];
    let kind = kinds.into_iter().find(|(is, _)| *is).map(|(_, kind)| kind);
    let nanoseconds = |value: i64| u32::try_from(value).unwrap_or_default();
    Stat {
        file_type: kind.unwrap_or(FileType::Special(Special::Unknown)),
        mode: metadata.mode() & 0o7777,
        size: metadata.size(),
        modified: (metadata.mtime(), nanoseconds(metadata.mtime_nsec())),
        changed: (metadata.ctime(), nanoseconds(metadata.ctime_nsec())),
        device: metadata.dev(),
        inode: metadata.ino(),
    }
}

fn plain(errno: Errno) -> io::Error {
    match errno {
        Errno::LOOP | Errno::XDEV => link_in_path(),
        other => other.into(),
    }
}

fn file_type(raw: rustix::fs::FileType) -> FileType {
    use rustix::fs::FileType as Raw;
    match raw {
        Raw::RegularFile => FileType::File,
        Raw::Directory => FileType::Directory,
        Raw::Symlink => FileType::Symlink,
        Raw::Fifo => FileType::Special(Special::Fifo),
        Raw::Socket => FileType::Special(Special::Socket),
        Raw::CharacterDevice => FileType::Special(Special::CharacterDevice),
        Raw::BlockDevice => FileType::Special(Special::BlockDevice),
        _ => FileType::Special(Special::Unknown),
    }
}

#[cfg_attr(target_os = "linux", expect(clippy::unnecessary_cast, reason = "widths and signs differ between platforms"))]
fn stat(raw: &rustix::fs::Stat) -> Stat {
    let mode = raw.st_mode as u32;
    Stat {
        file_type: file_type(rustix::fs::FileType::from_raw_mode(raw.st_mode)),
        mode: mode & 0o7777,
        size: raw.st_size as u64,
        modified: (raw.st_mtime as i64, raw.st_mtime_nsec as u32),
        changed: (raw.st_ctime as i64, raw.st_ctime_nsec as u32),
        device: raw.st_dev as u64,
        inode: raw.st_ino as u64,
    }
}
