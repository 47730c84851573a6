//! Images in tar files: what `docker save` writes (`manifest.json`) and OCI layouts as one file.
//!
//! Invariants: nothing of the archive becomes a path of this machine: blobs go to a private layout under their digests,
//! verified on the way, and other entries are only looked up by name; documents are read up to [`MAX_MANIFEST_BYTES`];
//! a link is followed once and only inside the archive.
//!
//! Sources: OCI image specification 1.1, "image-layout.md"; moby `image/spec/v1.2.md` for `manifest.json`. The archive is
//! made an OCI image: its configuration stays byte for byte, its layers are compressed with gzip unless they are already.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tempfile::TempDir;

use crate::index_json::Index;
use crate::layer::{Compression, compress};
use crate::layout::Layout;
use crate::store::blocking;
use crate::{
    Descriptor, Digest, Error, ImageManifest, MAX_MANIFEST_BYTES, Manifest, Repository, Result, Selector, media_type,
};

/// Most entries of an archive.
const MAX_ENTRIES: usize = 100_000;

/// The images of an archive, in a private layout that lives as long as this value.
///
/// ```no_run
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use shipper_oci::{Archive, Store, copy};
/// let archive = Archive::docker("image.tar".as_ref()).await?;
/// let to = Store::layout("images").repository(&"shop/api".parse()?);
/// copy(archive.repository(), &archive.find(None)?, &to, &["v1".parse()?]).await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    repository: Repository,
    /// Every image with its names in the archive.
    images: Vec<(Vec<String>, Digest)>,
    _directory: TempDir,
}

impl Archive {
    /// Reads what `docker save` writes.
    ///
    /// # Errors
    /// [`Error::Archive`] for anything else, and where a layer is not the one that its configuration names.
    pub async fn docker(path: &Path) -> Result<Archive> {
        Archive::open(path, from_docker).await
    }

    /// Reads an OCI layout in a tar file.
    ///
    /// # Errors
    /// [`Error::Archive`] for anything else; mismatches of its blobs.
    pub async fn oci(path: &Path) -> Result<Archive> {
        Archive::open(path, from_oci).await
    }

    async fn open(path: &Path, read: fn(&mut Entries, &Layout) -> Result<Images>) -> Result<Archive> {
        let path = path.to_owned();
        blocking(move || {
            let directory = tempfile::tempdir().map_err(Error::io("create a directory in", &std::env::temp_dir()))?;
            let layout = Layout::at(directory.path());
            let images = read(&mut Entries::list(&path)?, &layout)?;
            if images.is_empty() {
                return Err(Error::Archive { path, reason: "it holds no image".to_owned() });
            }
            let repository = Repository::layout(directory.path());
            Ok(Archive { path, repository, images, _directory: directory })
        })
        .await
    }

    /// Where the images are.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The image of that name, which may be a tag alone; without a name the only image.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none of that name; [`Error::Ambiguous`] when one must be named.
    pub fn find(&self, name: Option<&str>) -> Result<Selector> {
        let found = match (name, self.images.as_slice()) {
            (None, [(_, only)]) => Some(only),
            (None, _) => {
                let name = |(names, digest): &(Vec<String>, Digest)| match names.first() {
                    Some(name) => name.clone(),
                    None => digest.to_string(),
                };
                let names = self.images.iter().map(name).collect();
                return Err(Error::Ambiguous { what: self.path.display().to_string(), names });
            }
            (Some(name), images) => {
                let matches = |own: &String| own == name || own.rsplit_once(':').is_some_and(|(_, tag)| tag == name);
                images.iter().find(|(names, _)| names.iter().any(matches)).map(|(_, digest)| digest)
            }
        };
        match found {
            Some(digest) => Ok(Selector::Digest(digest.clone())),
            None => Err(Error::NotFound { what: format!("{} in {}", name.unwrap_or_default(), self.path.display()) }),
        }
    }
}

type Images = Vec<(Vec<String>, Digest)>;

/// Where the entries of an archive are in its file.
struct Entries {
    path: PathBuf,
    file: File,
    places: BTreeMap<String, Place>,
}

enum Place {
    Bytes { offset: u64, size: u64 },
    Link(String),
}

impl Entries {
    fn list(path: &Path) -> Result<Entries> {
        let read = |error| Error::io("read", path)(error);
        let bad = |reason: String| Error::Archive { path: path.to_owned(), reason };
        // Opening a pipe waits for a writer, and what comes out of one can not be read twice.
        if !std::fs::metadata(path).map_err(read)?.is_file() {
            return Err(bad("it is not a regular file".to_owned()));
        }
        let mut file = File::open(path).map_err(read)?;
        let length = file.metadata().map_err(read)?.len();
        let mut start = [0; 4];
        let count = file.read(&mut start).map_err(read)?;
        if start[..count].starts_with(&[0x1f, 0x8b]) || start == [0x28, 0xb5, 0x2f, 0xfd] {
            return Err(bad("it is compressed as a whole; decompress it first".to_owned()));
        }
        file.seek(SeekFrom::Start(0)).map_err(read)?;
        let mut places = BTreeMap::new();
        let mut archive = ::tar::Archive::new(&file);
        for entry in archive.entries_with_seek().map_err(|error| bad(shown(&error)))? {
            // The library quotes what it took for a number.
            let entry = entry.map_err(|_| {
                bad(match places.is_empty() {
                    true => "it is no tar archive".to_owned(),
                    false => "it is cut short or damaged".to_owned(),
                })
            })?;
            let name = plain(&entry.path_bytes());
            let place = match entry.header().entry_type() {
                kind if kind.is_file() => {
                    let (offset, size) = (entry.raw_file_position(), entry.size());
                    if offset.checked_add(size).is_none_or(|end| end > length) {
                        return Err(bad(format!("it is cut short inside `{}`", crate::error::shown(&name))));
                    }
                    Place::Bytes { offset, size }
                }
                kind if kind.is_symlink() || kind.is_hard_link() => {
                    let target = entry.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
                    // A symbolic link starts in its own directory, a hard link at the root of the archive.
                    let from =
                        if kind.is_symlink() { name.rsplit_once('/').map_or("", |(parent, _)| parent) } else { "" };
                    Place::Link(plain(&[from.as_bytes(), b"/", &target].concat()))
                }
                _ => continue,
            };
            if places.len() == MAX_ENTRIES {
                return Err(Error::TooLarge {
                    what: format!("number of entries of {}", path.display()),
                    limit: MAX_ENTRIES as u64,
                });
            }
            // As unpacking would have it: the last one counts.
            places.insert(name, place);
        }
        Ok(Entries { path: path.to_owned(), file, places })
    }

    fn bad(&self, reason: impl Into<String>) -> Error {
        Error::Archive { path: self.path.clone(), reason: reason.into() }
    }

    /// An entry's bytes, still to be read, and their number.
    fn open(&mut self, name: &str) -> Result<(io::Take<&mut File>, u64)> {
        let find = |name: &str| self.places.get(name);
        let place = match find(&plain(name.as_bytes())) {
            Some(Place::Link(target)) => find(target),
            place => place,
        };
        let Some(Place::Bytes { offset, size }) = place else {
            return Err(self.bad(format!("it has no `{}`", crate::error::shown(name))));
        };
        let (offset, size) = (*offset, *size);
        self.file.seek(SeekFrom::Start(offset)).map_err(Error::io("read", &self.path))?;
        Ok(((&mut self.file).take(size), size))
    }

    fn document(&mut self, name: &str) -> Result<Vec<u8>> {
        let path = self.path.clone();
        let (mut entry, size) = self.open(name)?;
        if size > MAX_MANIFEST_BYTES {
            return Err(Error::TooLarge { what: format!("`{name}` of {}", path.display()), limit: MAX_MANIFEST_BYTES });
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(Error::io("read", &path))?;
        Ok(bytes)
    }
}

fn shown(error: &io::Error) -> String {
    crate::error::shown(&error.to_string())
}

/// A path without `.`, `..` and empty components, so that every spelling of one place in the archive is one name.
fn plain(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn from_oci(entries: &mut Entries, layout: &Layout) -> Result<Images> {
    entries.document("oci-layout")?;
    let index = Index::parse(entries.path.join("index.json"), &entries.document("index.json")?)?;
    let names: Vec<String> = entries.places.keys().cloned().collect();
    for name in names {
        let Some((algorithm, hex)) = name.strip_prefix("blobs/").and_then(|rest| rest.split_once('/')) else {
            continue;
        };
        let Ok(digest) = format!("{algorithm}:{hex}").parse::<Digest>() else { continue };
        let path = entries.path.clone();
        let (mut entry, size) = entries.open(&name)?;
        layout.write_blob(&Descriptor::new("application/octet-stream", digest, size), &mut entry, &path)?;
    }
    let mut images = Vec::new();
    for (descriptor, tag) in index.entries()? {
        if !media_type::is_manifest(&descriptor.media_type) {
            continue;
        }
        let selector = Selector::Digest(descriptor.digest.clone());
        let manifest = layout
            .manifest(&selector)?
            .ok_or_else(|| entries.bad(format!("`index.json` names {}, which is missing", descriptor.digest)))?;
        layout.put_manifest(&manifest, None, false)?;
        images.push((tag.into_iter().collect(), descriptor.digest));
    }
    Ok(images)
}

/// An element of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default, deserialize_with = "crate::descriptor::null_as_default")]
    repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "crate::descriptor::null_as_default")]
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default, deserialize_with = "crate::descriptor::null_as_default")]
    diff_ids: Vec<Digest>,
}

fn from_docker(entries: &mut Entries, layout: &Layout) -> Result<Images> {
    let document = entries.document("manifest.json")?;
    let saved: Vec<Saved> = serde_json::from_slice(&document)
        .map_err(|_| entries.bad("its `manifest.json` is not what `docker save` writes"))?;
    let mut images = Vec::new();
    // Images share layers: each is compressed once.
    let mut done: BTreeMap<Digest, Descriptor> = BTreeMap::new();
    for image in saved {
        let config = entries.document(&image.config)?;
        let parsed: Config = serde_json::from_slice(&config)
            .map_err(|_| entries.bad(format!("`{}` is no image configuration", crate::error::shown(&image.config))))?;
        if parsed.rootfs.diff_ids.len() != image.layers.len() {
            return Err(entries.bad("an image has not as many layers as its configuration says"));
        }
        let mut layers = Vec::new();
        for (name, diff_id) in image.layers.iter().zip(parsed.rootfs.diff_ids) {
            let layer = match done.get(&diff_id) {
                Some(layer) => layer.clone(),
                None => layer(entries, layout, name, &diff_id)?,
            };
            done.insert(diff_id, layer.clone());
            layers.push(layer);
        }
        let descriptor = Descriptor::of(media_type::IMAGE_CONFIG, &config);
        layout.write_blob(&descriptor, &mut &config[..], Path::new("the configuration"))?;
        let manifest = Manifest::image(&ImageManifest::new(descriptor, layers))?;
        layout.put_manifest(&manifest, None, false)?;
        images.push((image.repo_tags, manifest.digest().clone()));
    }
    Ok(images)
}

/// Brings one layer into the layout, as gzip. Its uncompressed bytes must have the digest `diff_id`.
fn layer(entries: &mut Entries, layout: &Layout, name: &str, diff_id: &Digest) -> Result<Descriptor> {
    let path = entries.path.clone();
    let read = |error| Error::io("read", &path)(error);
    let mut scratch = tempfile::tempfile_in(layout.root()).map_err(Error::io("create a file in", layout.root()))?;
    let (mut entry, _) = entries.open(name)?;
    let mut start = Vec::new();
    (&mut entry).take(2).read_to_end(&mut start).map_err(read)?;
    let mut whole = (&start[..]).chain(entry);
    let (found, compressed) = if start == [0x1f, 0x8b] {
        let mut hasher = diff_id.hasher();
        let mut teed = Teed { from: &mut whole, to: &mut scratch };
        io::copy(&mut flate2::bufread::MultiGzDecoder::new(io::BufReader::new(&mut teed)), &mut hasher)
            .map_err(read)?;
        io::copy(&mut teed, &mut io::sink()).map_err(read)?;
        scratch.flush().map_err(read)?;
        (hasher.finish(), None)
    } else {
        let written = compress(&mut whole, &scratch, Compression::Gzip).map_err(read)?;
        (written.diff_id, Some((written.digest, written.size)))
    };
    if found != *diff_id {
        return Err(Error::DigestMismatch {
            what: format!("layer `{}` of {}", crate::error::shown(name), path.display()),
            expected: diff_id.clone(),
            found,
        });
    }
    scratch.seek(SeekFrom::Start(0)).map_err(read)?;
    let (digest, size) = match compressed {
        Some(known) => known,
        None => {
            let mut hasher = crate::DigestHasher::new(crate::Algorithm::Sha256);
            let size = io::copy(&mut scratch, &mut hasher).map_err(read)?;
            scratch.seek(SeekFrom::Start(0)).map_err(read)?;
            (hasher.finish(), size)
        }
    };
    let descriptor = Descriptor::new(Compression::Gzip.media_type(), digest, size);
    layout.write_blob(&descriptor, &mut scratch, &path)?;
    Ok(descriptor)
}

/// Passes bytes on and keeps a copy.
struct Teed<'a, R> {
    from: &'a mut R,
    to: &'a mut File,
}

impl<R: Read> Read for Teed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.to.write_all(&buffer[..count])?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn every_spelling_of_a_place_is_one_name() {
        for (path, name) in [
            ("a/layer.tar", "a/layer.tar"),
            ("./a//layer.tar", "a/layer.tar"),
            ("/a/../b", "b"),
            ("../../etc/passwd", "etc/passwd"),
            ("a/../../../b", "b"),
            ("", ""),
        ] {
            assert_eq!(plain(path.as_bytes()), name, "{path}");
        }
    }
}
