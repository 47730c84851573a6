//! Layers: a set of files becomes a compressed tar archive whose bytes depend on nothing but that set and the options.
//!
//! Invariants:
//! - entries are sorted by the bytes of their image path, parents before what lies in them, each written once;
//! - owner, modes and times are those given here, never those of the files read; no user names, no extended attributes;
//! - a file whose length changes while it is read is an error, never a torn layer;
//! - memory use does not depend on file sizes; the file appears under its final name only when it is whole.
//!
//! Sources: OCI image specification 1.1, "layer.md"; POSIX.1-2017 `pax` for the archive format.

mod encode;
mod tar;
/// Compresses a finished archive: the bytes depend on nothing but `from`.
pub(crate) fn compress(
    from: &mut impl std::io::Read,
    to: &std::fs::File,
    compression: Compression,
) -> std::io::Result<encode::Written> {
    let mut encoder = encode::Encoder::new(to, compression)?;
    std::io::copy(from, &mut encoder)?;
    encoder.finish()
}

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{Descriptor, Digest, Error, media_type};

/// Where the content of a file in a layer comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerSource {
    /// A file, read when the layer is written. A symbolic link is followed.
    Path(PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
}

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Compression {
    /// gzip, level 6: every runtime reads it.
    #[default]
    Gzip,
    /// zstd, level 3: smaller and faster; some runtimes refuse it (AWS Lambda, Docker without containerd's store).
    Zstd,
}

impl Compression {
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Compression::Gzip => media_type::LAYER_GZIP,
            Compression::Zstd => media_type::LAYER_ZSTD,
        }
    }
}

/// What a whole layer has in common.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LayerOptions {
    /// How the archive is compressed.
    pub compression: Compression,
    /// Modification time of every entry, in seconds since the Unix epoch.
    pub mtime: u64,
}

impl LayerOptions {
    /// Options with `compression` and `mtime` (seconds since the Unix epoch).
    #[must_use]
    pub fn new(compression: Compression, mtime: u64) -> LayerOptions {
        LayerOptions { compression, mtime }
    }
}

/// A layer that is written, as a file; or one that need not be, because it is where the image goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Media type, digest and size of the compressed file.
    pub descriptor: Descriptor,
    /// Digest of the uncompressed archive, as the image configuration lists it.
    pub diff_id: Digest,
    /// The compressed file; empty for a layer that was not written.
    pub path: PathBuf,
    /// What the layer holds, in the words of the image's history.
    pub created_by: String,
}

impl Layer {
    /// Whether there is a file of it here.
    #[must_use]
    pub fn is_written(&self) -> bool {
        !self.path.as_os_str().is_empty()
    }
}

/// What one entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    File { source: LayerSource, mode: u32 },
    Symlink { target: Vec<u8> },
    Directory { mode: u32 },
}

impl Node {
    fn is_directory(&self) -> bool {
        matches!(self, Node::Directory { .. })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    node: Node,
    /// Owner other than the layer's.
    owner: Option<(u32, u32)>,
}

/// Collects the entries of a layer.
///
/// Image paths are absolute, with `/` between parts and without empty, `.` or `..` parts. Parent directories are added
/// with mode 0755 (with the modes that images commonly have for `/tmp`, `/var/tmp` and `/root`) unless they are added
/// explicitly.
///
/// ```
/// use shipper_oci::{LayerBuilder, LayerOptions, LayerSource};
/// let dir = tempfile::tempdir()?;
/// let mut layer = LayerBuilder::new("config");
/// layer.add_file("/etc/app/app.toml", LayerSource::Bytes(b"port = 80\n".to_vec()), 0o644)?;
/// let layer = layer.write(&LayerOptions::default(), dir.path())?;
/// assert_eq!(layer.diff_id.to_string(), "sha256:9bcf8832996bdce7bc0cf8643f9b47446d5fe831c956202dca912174ba5b3689");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct LayerBuilder {
    created_by: String,
    /// By image path without the leading `/`.
    entries: BTreeMap<Vec<u8>, Entry>,
    owner: (u32, u32),
}

impl LayerBuilder {
    /// An empty layer; `created_by` is its line in the image's history. Everything in it belongs to user and group 0.
    #[must_use]
    pub fn new(created_by: impl Into<String>) -> LayerBuilder {
        LayerBuilder { created_by: created_by.into(), entries: BTreeMap::new(), owner: (0, 0) }
    }

    /// Makes everything in the layer belong to this user and group, parent directories that are not added explicitly
    /// excepted.
    #[must_use]
    pub fn owner(mut self, uid: u32, gid: u32) -> LayerBuilder {
        self.owner = (uid, gid);
        self
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a file. Only the permission bits of `mode` count.
    ///
    /// # Errors
    /// [`Error::InvalidImagePath`]; [`Error::LayerConflict`] when something else was added at this path, or below it, or
    /// at a parent of it.
    pub fn add_file(
        &mut self,
        image_path: impl AsRef<[u8]>,
        source: LayerSource,
        mode: u32,
    ) -> Result<&mut Self, Error> {
        self.add(image_path.as_ref(), Node::File { source, mode: mode & 0o7777 })
    }

    /// Adds a symbolic link with this text. The text may point anywhere; nothing follows it here.
    ///
    /// # Errors
    /// As [`LayerBuilder::add_file`]; also when the text is empty or contains a NUL byte.
    pub fn add_symlink(&mut self, image_path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Result<&mut Self, Error> {
        let target = target.as_ref();
        if target.is_empty() || target.contains(&0) {
            return Err(invalid(image_path.as_ref(), "a symbolic link needs a text without NUL bytes"));
        }
        self.add(image_path.as_ref(), Node::Symlink { target: target.to_vec() })
    }

    /// Adds a directory. Adding it again sets its mode.
    ///
    /// # Errors
    /// As [`LayerBuilder::add_file`].
    pub fn add_dir(&mut self, image_path: impl AsRef<[u8]>, mode: u32) -> Result<&mut Self, Error> {
        self.add(image_path.as_ref(), Node::Directory { mode: mode & 0o7777 })
    }

    /// Makes one entry belong to this user and group.
    ///
    /// # Errors
    /// [`Error::InvalidImagePath`] when nothing was added at this path.
    pub fn set_owner(&mut self, image_path: impl AsRef<[u8]>, uid: u32, gid: u32) -> Result<&mut Self, Error> {
        let path = image_path.as_ref();
        let entry = self.entries.get_mut(relative(path)?).ok_or_else(|| invalid(path, "nothing was added there"))?;
        entry.owner = Some((uid, gid));
        Ok(self)
    }

    /// Whether this layer can lie on `below` without a path being a directory in one and something else in the other.
    /// A file or a link may replace a file or a link.
    ///
    /// # Errors
    /// [`Error::LayerConflict`] with a path of this layer and what excludes it below.
    pub fn fits_on(&self, below: &LayerBuilder) -> Result<(), Error> {
        let mut conflicts =
            self.entries.iter().filter_map(|(path, entry)| Some((path, below.excludes(path, &entry.node)?)));
        conflicts.next().map_or(Ok(()), |(path, other)| Err(conflict(path, other)))
    }

    fn add(&mut self, image_path: &[u8], node: Node) -> Result<&mut Self, Error> {
        let path = relative(image_path)?;
        if let Some(other) = self.excludes(path, &node) {
            return Err(conflict(path, other));
        }
        let existing = self.entries.get(path);
        if existing.is_some_and(|existing| !node.is_directory() && existing.node != node) {
            return Err(conflict(path, path));
        }
        let owner = existing.and_then(|entry| entry.owner);
        self.entries.insert(path.to_vec(), Entry { node, owner });
        Ok(self)
    }

    /// An entry of this layer that makes a directory of `path` where `node` is none, or the reverse.
    fn excludes<'a>(&'a self, path: &'a [u8], node: &Node) -> Option<&'a [u8]> {
        let parents = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| &path[..end]);
        let is_something_else = |path: &&[u8], directory: bool| {
            self.entries.get(*path).is_some_and(|entry| entry.node.is_directory() != directory)
        };
        let mut at = parents.filter(|parent| is_something_else(parent, true));
        if let Some(other) =
            at.next().or_else(|| Some(path).filter(|path| is_something_else(path, node.is_directory())))
        {
            return Some(other);
        }
        if node.is_directory() {
            return None;
        }
        let below = [path, b"/"].concat();
        let (other, _) = self.entries.range(below.clone()..).next()?;
        other.starts_with(&below).then_some(other)
    }

    /// What the layer holds, in the words of the image's history.
    #[must_use]
    pub fn created_by(&self) -> &str {
        &self.created_by
    }

    /// Writes the layer into `dir`, which must exist, as `sha256-<hex>.tar.gz` (or `.tar.zst`). Blocks.
    ///
    /// The file is not synced to the disk: its name says what it must hold, and whoever pushes it verifies that.
    ///
    /// # Errors
    /// [`Error::Io`] with the path that could not be read or written; [`Error::SourceChanged`] when a file is not as long
    /// as it was when it was opened; [`Error::InvalidImagePath`] when a source is not a regular file.
    pub fn write(self, options: &LayerOptions, dir: &Path) -> Result<Layer, Error> {
        let temporary = tempfile::Builder::new()
            .prefix(".layer-")
            .suffix(".tmp")
            .tempfile_in(dir)
            .map_err(Error::io("create a file in", dir))?;
        let mut encoder = encode::Encoder::new(temporary.as_file(), options.compression)
            .map_err(Error::io("write", temporary.path()))?;
        let mut archive = tar::Archive::new(&mut encoder, temporary.path(), options.mtime);
        for (path, entry) in with_parents(&self.entries) {
            let owner = entry.map_or((0, 0), |entry| entry.owner.unwrap_or(self.owner));
            match entry.map(|entry| &entry.node) {
                None => archive.directory(path, parent_mode(path), owner)?,
                Some(Node::Directory { mode }) => archive.directory(path, *mode, owner)?,
                Some(Node::Symlink { target }) => archive.symlink(path, target, owner)?,
                Some(Node::File { source, mode }) => archive.file(path, source, *mode, owner)?,
            }
        }
        archive.finish()?;
        let written = encoder.finish().map_err(Error::io("write", temporary.path()))?;
        let extension = match options.compression {
            Compression::Gzip => "tar.gz",
            Compression::Zstd => "tar.zst",
        };
        let path = dir.join(format!("sha256-{}.{extension}", written.digest.hex()));
        temporary.persist(&path).map_err(|error| Error::io("write", &path)(error.error))?;
        Ok(Layer {
            descriptor: Descriptor::new(options.compression.media_type(), written.digest, written.size),
            diff_id: written.diff_id,
            path,
            created_by: self.created_by,
        })
    }
}

/// All entries in archive order, with `None` for parents that nobody added. A parent sorts before what lies in it,
/// because it is a prefix of it.
fn with_parents(entries: &BTreeMap<Vec<u8>, Entry>) -> BTreeMap<&[u8], Option<&Entry>> {
    let mut all: BTreeMap<&[u8], Option<&Entry>> = BTreeMap::new();
    for (path, entry) in entries {
        for (end, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            all.entry(&path[..end]).or_insert(None);
        }
        all.insert(path, Some(entry));
    }
    all
}

/// The mode of a parent directory that nobody added. A layer replaces the metadata of directories that exist below it,
/// so the usual exceptions are kept: a `/tmp` that only root may write to breaks most programs.
fn parent_mode(path: &[u8]) -> u32 {
    match path {
        b"tmp" | b"var/tmp" => 0o1777,
        b"root" => 0o700,
        _ => 0o755,
    }
}

/// The path without its leading `/`, if it is one that an image may contain.
fn relative(path: &[u8]) -> Result<&[u8], Error> {
    let Some(rest) = path.strip_prefix(b"/") else { return Err(invalid(path, "it is not absolute")) };
    if rest.is_empty() {
        return Err(invalid(path, "it is the root directory"));
    }
    if path.contains(&0) {
        return Err(invalid(path, "it contains a NUL byte"));
    }
    for part in rest.split(|byte| *byte == b'/') {
        match part {
            b"" => return Err(invalid(path, "it has an empty part")),
            b"." | b".." => return Err(invalid(path, "it has a `.` or `..` part")),
            // image-spec, layer.md, "Whiteouts": such a name deletes a file of the layers below.
            part if part.starts_with(b".wh.") => {
                return Err(invalid(path, "names that begin with `.wh.` delete files in an image"));
            }
            _ => {}
        }
    }
    Ok(rest)
}

fn invalid(path: &[u8], reason: &'static str) -> Error {
    Error::InvalidImagePath { path: crate::error::shown(&String::from_utf8_lossy(path)), reason }
}

fn conflict(path: &[u8], other: &[u8]) -> Error {
    Error::LayerConflict { path: shown(path), other: shown(other) }
}

fn shown(relative: &[u8]) -> String {
    crate::error::shown(&format!("/{}", String::from_utf8_lossy(relative)))
}
