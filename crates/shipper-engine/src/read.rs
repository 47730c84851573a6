//! Small files that a person writes, read without trusting what they are.

use std::io::{self, Read as _};
use std::path::Path;

use shipper_hash::{RelPath, Tree};

/// Longest configuration, lock, Dockerfile or ignore file, in bytes.
const LIMIT: u64 = 1 << 20;

/// The bytes of a regular file of at most 1 MiB. Links are followed; a device, a FIFO or a directory is an error before
/// anything is read of it.
///
/// # Errors
/// Whatever the system says, and [`io::ErrorKind::InvalidInput`] for what is no such file.
pub(crate) fn small(path: &Path) -> io::Result<Vec<u8>> {
    let refuse = |problem: &str| io::Error::new(io::ErrorKind::InvalidInput, problem.to_owned());
    if !std::fs::metadata(path)?.is_file() {
        return Err(refuse("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT { Err(refuse("it is larger than 1 MiB")) } else { Ok(bytes) }
}

/// As [`small`], for text.
///
/// # Errors
/// As [`small`], and [`io::ErrorKind::InvalidData`] for what is not UTF-8.
pub(crate) fn small_text(path: &Path) -> io::Result<String> {
    String::from_utf8(small(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// As [`small`], for a path that must lie below `root` after links are followed.
///
/// # Errors
/// As [`small`], and [`io::ErrorKind::InvalidInput`] for a link that leads out.
pub(crate) fn inside(root: &Path, path: &str) -> io::Result<Vec<u8>> {
    let path = root.join(path).canonicalize()?;
    if path.starts_with(root.canonicalize()?) {
        small(&path)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "a link leads out of the project"))
    }
}

/// As [`inside`], of the files that a tree has: those on disk or those of a commit.
///
/// # Errors
/// As [`inside`].
pub(crate) fn of_tree(tree: &Tree, path: &str) -> io::Result<Vec<u8>> {
    if tree.commit().is_none() {
        return inside(tree.root(), path);
    }
    let path = RelPath::try_from(path).map_err(io::Error::other)?;
    tree.read(&path).map_err(|error| match error {
        shipper_hash::Error::NotFound { .. } => io::Error::new(io::ErrorKind::NotFound, error),
        other => io::Error::other(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn what_is_no_small_file_of_the_project_is_refused_at_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), "x").expect("writes");
        std::fs::write(at("large"), vec![0; 2 << 20]).expect("writes");
        for (name, target) in [("own", "file"), ("zero", "/dev/zero"), ("out", "/etc/hostname"), ("gone", "nowhere")] {
            std::os::unix::fs::symlink(target, at(name)).expect("links");
        }
        assert_eq!(inside(dir.path(), "own").expect("a link inside"), b"x");
        let kind = |name: &str| inside(dir.path(), name).expect_err(name).kind();
        assert_eq!(kind("zero"), io::ErrorKind::InvalidInput);
        assert_eq!(kind("out"), io::ErrorKind::InvalidInput);
        assert_eq!(kind("large"), io::ErrorKind::InvalidInput);
        assert_eq!(kind("gone"), io::ErrorKind::NotFound);
        assert_eq!(small(&at("zero")).expect_err("a device").kind(), io::ErrorKind::InvalidInput);
    }
}
