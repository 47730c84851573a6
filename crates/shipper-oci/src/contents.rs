//! What a layer holds: paths, sizes and digests of its files, and what it takes away from the layers below.
//!
//! Source: OCI image specification, "Image Layer Filesystem Changeset" (whiteouts, hard links).
//!
//! Invariants: the blob is verified before anything of it is read; nothing of it is written under a name that it chooses; a
//! layer of more entries than [`MAX_ENTRIES`], or that is longer than it may be, is an error.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::store::blocking;
use crate::{Algorithm, Descriptor, Digest, DigestHasher, Error, Repository, Result, media_type};

/// Most entries of a layer that are read.
const MAX_ENTRIES: usize = 2_000_000;
/// The most that is read of a layer, in bytes uncompressed.
const MAX_BYTES: u64 = 256 << 30;

/// What may be missing at the end of an archive: the rest of a block, and two blocks of zeros.
const PADDING: u64 = 3 * 512;

/// A file, symbolic link or hard link of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerFile {
    /// Bytes of its content; 0 for links.
    pub size: u64,
    /// Digest of its content; of a link that of what it points to.
    pub digest: Digest,
}

/// What a layer does to the layers below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerFiles {
    /// Its files by path, without a `/` at the beginning; bytes that are no UTF-8 are replaced.
    pub files: BTreeMap<String, LayerFile>,
    /// Its directories.
    pub directories: Vec<String>,
    /// Paths that it takes away, with everything below them.
    pub removed: Vec<String>,
    /// Directories whose content in the layers below it takes away.
    pub opaque: Vec<String>,
}

impl LayerFiles {
    /// Puts the layer on top of the files of those below it.
    pub fn apply(&self, below: &mut BTreeMap<String, LayerFile>) {
        for directory in &self.opaque {
            remove_below(below, directory);
        }
        for path in &self.removed {
            below.remove(path);
            remove_below(below, path);
        }
        // A directory in the place of a file takes it away, and a file in the place of a directory what is in that.
        for path in &self.directories {
            below.remove(path);
        }
        for (path, file) in &self.files {
            remove_below(below, path);
            below.insert(path.clone(), file.clone());
        }
    }
}

fn remove_below(files: &mut BTreeMap<String, LayerFile>, directory: &str) {
    if directory.is_empty() {
        files.clear();
        return;
    }
    let prefix = format!("{directory}/");
    let inside: Vec<String> = files
        .range(prefix.clone()..)
        .map(|(path, _)| path)
        .take_while(|path| path.starts_with(&prefix))
        .cloned()
        .collect();
    for path in inside {
        files.remove(&path);
    }
}

impl Repository {
    /// What a layer holds. It is brought into a temporary file first.
    ///
    /// # Errors
    /// As [`Repository::pull_blob`]; [`Error::Unsupported`] for a compression that is not known; [`Error::InvalidManifest`] for
    /// what is no archive.
    pub async fn layer_files(&self, layer: &Descriptor) -> Result<LayerFiles> {
        let directory = tempfile::tempdir().map_err(Error::io("create a directory in", &std::env::temp_dir()))?;
        let path = directory.path().join(layer.digest.hex());
        self.pull_blob(layer, &path).await?;
        let layer = layer.clone();
        let found = blocking(move || listed(&path, &layer)).await;
        drop(directory);
        found
    }
}

fn listed(path: &Path, layer: &Descriptor) -> Result<LayerFiles> {
    let file = BufReader::new(File::open(path).map_err(Error::io("read", path))?);
    let bad = |error: io::Error| Error::InvalidManifest {
        digest: layer.digest.clone(),
        reason: format!("it is no layer: {}", crate::error::shown(&error.to_string())),
    };
    match layer.media_type.as_str() {
        media_type::LAYER => read(file).map_err(bad),
        media_type::LAYER_GZIP | media_type::DOCKER_LAYER_GZIP => {
            read(flate2::bufread::MultiGzDecoder::new(file)).map_err(bad)
        }
        media_type::LAYER_ZSTD => read(zstd::stream::read::Decoder::with_buffer(file).map_err(bad)?).map_err(bad),
        other => Err(Error::Unsupported {
            what: format!("reading a layer of type `{}`", crate::error::shown(other)),
            by: "shipper".to_owned(),
        }),
    }
}

fn read(archive: impl Read) -> io::Result<LayerFiles> {
    let mut layer = LayerFiles::default();
    // Some writers (umoci) leave out what has to follow the last file; what was read has its digest, so that nothing is lost.
    let mut archive = ::tar::Archive::new(archive.take(MAX_BYTES).chain(io::repeat(0).take(PADDING)));
    for (count, entry) in archive.entries()?.enumerate() {
        if count == MAX_ENTRIES {
            return Err(io::Error::other("it has too many entries"));
        }
        let mut entry = entry?;
        let path = plain(&entry.path_bytes());
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
        if name == ".wh..wh..opq" {
            layer.opaque.push(parent.to_owned());
            continue;
        }
        if let Some(name) = name.strip_prefix(".wh.") {
            layer.removed.push(if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") });
            continue;
        }
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            layer.files.remove(&path);
            layer.directories.push(path);
        } else if kind.is_hard_link() || kind.is_symlink() {
            let target = entry.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
            layer.files.insert(path, LayerFile { size: 0, digest: Digest::of(&target) });
        } else {
            let mut content = Hashed(DigestHasher::new(Algorithm::Sha256), 0);
            io::copy(&mut entry, &mut content)?;
            layer.files.insert(path, LayerFile { size: content.1, digest: content.0.finish() });
        }
    }
    Ok(layer)
}

/// A writer that counts and hashes.
struct Hashed(DigestHasher, u64);

impl io::Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1 += bytes.len() as u64;
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A path without what does not change it.
fn plain(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    text.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> BTreeMap<String, LayerFile> {
        let file = || LayerFile { size: 1, digest: Digest::of(b"x") };
        paths.iter().map(|path| ((*path).to_owned(), file())).collect()
    }

    #[test]
    fn a_layer_takes_away_what_it_says() {
        let mut below = files(&["a", "b/c", "b/d/e", "bc", "dir/x", "file"]);
        let layer = LayerFiles {
            files: files(&["dir", "file/below", "opaque/new"]),
            directories: vec!["file".to_owned()],
            removed: vec!["b".to_owned(), "nowhere".to_owned()],
            opaque: vec!["opaque".to_owned()],
        };
        layer.apply(&mut below);
        assert_eq!(below.keys().collect::<Vec<_>>(), ["a", "bc", "dir", "file/below", "opaque/new"]);
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        assert!(read(&b"not a tar"[..]).is_err());
        assert_eq!(read(&[0; 1024][..]).unwrap(), LayerFiles::default());
        assert_eq!(plain(b"./a//b/"), "a/b");
    }
}
