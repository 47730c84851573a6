//! One repository as an OCI image layout on disk (`oci-layout`, `index.json`, `blobs/<algorithm>/<hex>`).
//!
//! Source: OCI image specification 1.1, "image-layout.md". A tag is an entry of `index.json` with the annotation
//! `org.opencontainers.image.ref.name`, which is what skopeo, umoci and podman read as `oci:DIR:TAG`.
//!
//! Invariants:
//! - a blob file comes into being only by renaming a verified, synced temporary file: present means complete, and a
//!   process killed at any moment leaves at most a temporary file in `.tmp/`;
//! - `index.json` is changed only under the lock file `.lock`, and atomically; readers need no lock;
//! - no tag is written for a manifest one of whose blobs or children is missing;
//! - what is read is verified against its digest.
//!
//! All functions block.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::atomic::{self, AtomicFile};
use crate::index_json::Index;
use crate::lock::FileLock;
use crate::{
    Descriptor, Digest, Error, ImageIndex, MAX_INDEX_DEPTH, MAX_MANIFEST_BYTES, Manifest, ManifestKind, RepositoryName,
    Result, Selector, Tag, media_type, referrers, verify,
};

const LAYOUT_FILE: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Longest `index.json` that is read: this file grows with the history of a repository.
const MAX_INDEX_JSON: u64 = 64 * 1024 * 1024;

/// How long to wait for another process to change `index.json`.
const LOCK_LIMIT: Duration = Duration::from_secs(60);

/// Temporary files that nobody wrote to for so long belong to a killed process.
const STALE: Duration = Duration::from_secs(3600);

/// Names that a layout uses for itself, so that no repository component may bear them.
const RESERVED: [&str; 3] = ["blobs", "index.json", "oci-layout"];

#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: Arc<Path>,
    swept: Arc<AtomicBool>,
}

/// Whether something was there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    New,
    Existed,
}

impl Layout {
    /// The layout of `name` below `store`. Reads and creates nothing.
    pub(crate) fn new(store: &Path, name: &RepositoryName) -> Result<Layout> {
        if name.components().any(|component| RESERVED.contains(&component)) {
            return Err(Error::invalid(
                "repository name",
                name.as_str(),
                "`blobs`, `index.json` and `oci-layout` are used by the layout itself",
            ));
        }
        Ok(Layout::at(&name.components().fold(store.to_owned(), |path, component| path.join(component))))
    }

    /// The layout in a directory. Reads and creates nothing.
    pub(crate) fn at(root: &Path) -> Layout {
        Layout { root: root.into(), swept: Arc::default() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where a blob is or would be. The only place that makes a path of a digest.
    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().as_str()).join(digest.hex())
    }

    /// The size of a blob in bytes, `None` when it is not there.
    pub(crate) fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.blob_path(digest);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
            Ok(_) => Err(Error::Layout { path, reason: "the blob is not a regular file".to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// Opens a blob of the descriptor's size.
    pub(crate) fn open_blob(&self, descriptor: &Descriptor) -> Result<(fs::File, PathBuf)> {
        let path = self.blob_path(&descriptor.digest);
        match self.blob_size(&descriptor.digest)? {
            None => Err(Error::NotFound { what: format!("blob {} in {}", descriptor.digest, self.root.display()) }),
            Some(size) if size != descriptor.size => {
                Err(Error::SizeMismatch { what: path.display().to_string(), expected: descriptor.size, found: size })
            }
            Some(_) => fs::File::open(&path).map(|file| (file, path.clone())).map_err(Error::io("read", &path)),
        }
    }

    /// Reads a small blob and verifies it.
    pub(crate) fn read_blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        if descriptor.size > MAX_MANIFEST_BYTES {
            return Err(Error::TooLarge { what: format!("blob {}", descriptor.digest), limit: MAX_MANIFEST_BYTES });
        }
        let (mut file, path) = self.open_blob(descriptor)?;
        let mut bytes = Vec::new();
        verify::copy(descriptor, &mut file, &mut bytes, Error::io("read", &path), Error::io("read", &path))?;
        Ok(bytes)
    }

    /// Writes a blob unless it is there with the right size. `from` is read to its end and verified.
    pub(crate) fn write_blob(&self, descriptor: &Descriptor, from: &mut impl io::Read, name: &Path) -> Result<Written> {
        let Some(mut file) = self.start_blob(descriptor)? else { return Ok(Written::Existed) };
        let path = self.blob_path(&descriptor.digest);
        verify::copy(descriptor, from, &mut file, Error::io("read", name), Error::io("write", &path))?;
        file.commit().map_err(Error::io("write", &path))?;
        Ok(Written::New)
    }

    /// A temporary file for a blob, `None` when the blob is there, whole. The caller verifies what it writes before it
    /// commits.
    pub(crate) fn start_blob(&self, descriptor: &Descriptor) -> Result<Option<AtomicFile>> {
        // A file that somebody damaged is replaced: who writes has the right bytes at hand.
        if self.holds(descriptor)? {
            return Ok(None);
        }
        self.start_blob_anew(descriptor).map(Some)
    }

    /// Whether a blob is there, whole: it is read to its end.
    pub(crate) fn holds(&self, descriptor: &Descriptor) -> Result<bool> {
        if self.blob_size(&descriptor.digest)? != Some(descriptor.size) {
            return Ok(false);
        }
        let (mut file, path) = self.open_blob(descriptor)?;
        let read = || Error::io("read", &path);
        match verify::copy(descriptor, &mut file, &mut io::sink(), read(), read()) {
            Ok(()) => Ok(true),
            Err(error) if error.is_corrupt() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A temporary file for a blob, whether it is there or not.
    pub(crate) fn start_blob_anew(&self, descriptor: &Descriptor) -> Result<AtomicFile> {
        self.prepare()?;
        let path = self.blob_path(&descriptor.digest);
        let directory = self.root.join("blobs").join(descriptor.digest.algorithm().as_str());
        atomic::create_directory(&directory).map_err(Error::io("create", &directory))?;
        AtomicFile::create_in(&self.root.join(".tmp"), &path).map_err(Error::io("write", &path))
    }

    /// Gives this layout a blob of another one of the same store: a hard link, else a verified copy. `false` when the other
    /// one does not hold it.
    pub(crate) fn link_blob(&self, descriptor: &Descriptor, from: &Layout) -> Result<bool> {
        if self.holds(descriptor)? {
            return Ok(true);
        }
        if from.blob_size(&descriptor.digest)? != Some(descriptor.size) {
            return Ok(false);
        }
        drop(self.start_blob_anew(descriptor)?);
        let (source, path) = (from.blob_path(&descriptor.digest), self.blob_path(&descriptor.digest));
        match fs::hard_link(&source, &path) {
            Ok(()) => {
                let directory = path.parent().unwrap_or(&self.root);
                atomic::sync_directory(directory).map_err(Error::io("write", directory))?;
                Ok(true)
            }
            // Also where one is there already: somebody else was faster, or it is damaged.
            Err(_) => {
                let (mut file, source) = from.open_blob(descriptor)?;
                self.write_blob(descriptor, &mut file, &source)?;
                Ok(true)
            }
        }
    }

    /// The manifest under a tag or digest; `None` when the layout exists without it, or does not exist at all.
    pub(crate) fn manifest(&self, selector: &Selector) -> Result<Option<Manifest>> {
        match selector {
            Selector::Tag(tag) => {
                let mut last: Option<Digest> = None;
                loop {
                    let Some(entry) = self.index()?.find(tag)? else { return Ok(None) };
                    if let Some(manifest) = self.load(&entry.digest, Some(&entry.media_type))? {
                        return Ok(Some(manifest));
                    }
                    // Deleted between the two reads, or damaged: the index says which.
                    if last.as_ref() == Some(&entry.digest) {
                        let reason = format!("`index.json` names it as `{tag}`, but it is missing");
                        return Err(Error::Layout { path: self.blob_path(&entry.digest), reason });
                    }
                    last = Some(entry.digest);
                }
            }
            Selector::Digest(digest) => self.load(digest, None),
        }
    }

    /// As [`Layout::manifest`], but what is missing or damaged counts as absent.
    pub(crate) fn sound_manifest(&self, selector: &Selector) -> Result<Option<Manifest>> {
        let digest = match selector {
            Selector::Tag(tag) => match self.index()?.find(tag)? {
                Some(entry) => entry.digest,
                None => return Ok(None),
            },
            Selector::Digest(digest) => digest.clone(),
        };
        match self.load(&digest, None) {
            Err(error) if error.is_corrupt() || matches!(error, Error::TooLarge { .. }) => Ok(None),
            found => found,
        }
    }

    fn load(&self, digest: &Digest, media_type: Option<&str>) -> Result<Option<Manifest>> {
        let Some(size) = self.blob_size(digest)? else { return Ok(None) };
        let path = self.blob_path(digest);
        if size > MAX_MANIFEST_BYTES {
            return Err(Error::TooLarge { what: path.display().to_string(), limit: MAX_MANIFEST_BYTES });
        }
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        Manifest::parse_expecting(digest, media_type, bytes).map(Some)
    }

    /// The digest that a tag names.
    pub(crate) fn tagged_digest(&self, tag: &Tag) -> Result<Option<Digest>> {
        Ok(self.index()?.find(tag)?.map(|entry| entry.digest))
    }

    /// The image that is meant where none is named: `latest`, else the only one. Artifacts and lists of referrers are no
    /// images, and what an index of this layout names belongs to that.
    pub(crate) fn unnamed_image(&self) -> Result<Selector> {
        let (index, latest) = (self.index()?, Selector::latest());
        if let Selector::Tag(tag) = &latest
            && index.find(tag)?.is_some()
        {
            return Ok(latest);
        }
        let mut images: BTreeMap<Digest, Option<String>> = BTreeMap::new();
        let mut children: BTreeSet<Digest> = BTreeSet::new();
        for (entry, tag) in index.entries()? {
            let is_list = tag.as_deref().is_some_and(referrers::is_fallback_tag);
            if entry.artifact_type.is_some() || is_list || !media_type::is_manifest(&entry.media_type) {
                continue;
            }
            if !images.contains_key(&entry.digest)
                && let Some(manifest) = self.sound_manifest(&Selector::Digest(entry.digest.clone()))?
            {
                let parts = manifest.as_index().map(|index| index.manifests.as_slice()).unwrap_or_default();
                children.extend(parts.iter().map(|child| child.digest.clone()));
            }
            // Of several names the shortest is the one that people know.
            let name = images.entry(entry.digest).or_default();
            *name = name.take().into_iter().chain(tag).min_by_key(String::len);
        }
        images.retain(|digest, _| !children.contains(digest));
        let what = self.root.display().to_string();
        match images.len() {
            0 => Err(Error::NotFound { what: format!("an image in {what}") }),
            1 => Ok(Selector::Digest(images.into_keys().next().expect("because there is one"))),
            _ => {
                let names = images.into_iter().map(|(digest, tag)| tag.unwrap_or_else(|| digest.to_string()));
                Err(Error::Ambiguous { what, names: names.collect() })
            }
        }
    }

    /// All tags, sorted.
    pub(crate) fn tags(&self) -> Result<Vec<Tag>> {
        let tags: BTreeSet<Tag> =
            self.index()?.entries()?.into_iter().filter_map(|(_, tag)| tag?.parse().ok()).collect();
        Ok(tags.into_iter().collect())
    }

    /// Stores a manifest whose blobs and children are all there, and points `tag` to it. With `keep` an existing tag that
    /// names something else is a conflict, whether that is there or not; compare and change are one step.
    pub(crate) fn put_manifest(&self, manifest: &Manifest, tag: Option<&Tag>, keep: bool) -> Result<Written> {
        self.prepare()?;
        let _held = self.lock()?;
        self.put_held(manifest, tag, keep)
    }

    /// Stores a manifest and adds it to the index that lists the referrers of its subject, in one step. Entries whose
    /// manifests are gone are left out.
    pub(crate) fn put_referrer(&self, list: &Tag, manifest: &Manifest) -> Result<()> {
        self.prepare()?;
        let _held = self.lock()?;
        self.put_held(manifest, None, false)?;
        let known = self.manifest(&Selector::Tag(list.clone()))?;
        let Some(merged) = referrers::merged(known.as_ref(), &referrers::entry(manifest))? else { return Ok(()) };
        let mut kept = Vec::new();
        for entry in merged.as_index().map(|index| index.manifests.clone()).unwrap_or_default() {
            if self.blob_size(&entry.digest)? == Some(entry.size) {
                kept.push(entry);
            }
        }
        self.put_held(&Manifest::index(&ImageIndex::new(kept))?, Some(list), false).map(drop)
    }

    /// Manifests without a tag that name a subject, as entries of a list, each behind its subject: oras keeps referrers in a
    /// layout so. One that is not there any more is left out, and so is a damaged one that is not listed as an artifact.
    pub(crate) fn untagged_referrers(&self) -> Result<Vec<(Digest, Descriptor)>> {
        let mut found = Vec::new();
        for (entry, tag) in self.index()?.entries()? {
            if tag.is_some() || !media_type::is_manifest(&entry.media_type) {
                continue;
            }
            let manifest = match self.load(&entry.digest, Some(&entry.media_type)) {
                Ok(Some(manifest)) => manifest,
                Ok(None) => continue,
                Err(error) if entry.artifact_type.is_none() && error.is_corrupt() => continue,
                Err(error) => return Err(error),
            };
            if let Some(subject) = manifest.subject() {
                found.push((subject.digest.clone(), referrers::entry(&manifest)));
            }
        }
        Ok(found)
    }

    /// [`Layout::put_manifest`] under a lock that the caller holds.
    fn put_held(&self, manifest: &Manifest, tag: Option<&Tag>, keep: bool) -> Result<Written> {
        let what = match tag {
            Some(tag) => format!("{}:{tag}", self.root.display()),
            None => format!("{}@{}", self.root.display(), manifest.digest()),
        };
        let mut index = self.index()?;
        let existing = tag.map(|tag| index.find(tag)).transpose()?.flatten();
        if keep && let Some(existing) = existing.as_ref().filter(|existing| existing.digest != *manifest.digest()) {
            return Err(Error::Conflict {
                reference: what,
                existing: existing.digest.clone(),
                wanted: manifest.digest().clone(),
            });
        }
        self.check_complete(manifest, &what, MAX_INDEX_DEPTH)?;
        let mut written = self.write_blob(&manifest.descriptor(), &mut manifest.bytes(), Path::new("manifest"))?;
        if let Some(tag) = tag
            && existing.is_none_or(|existing| existing.digest != *manifest.digest())
        {
            index.set(tag, manifest);
            self.write_index(&index)?;
            written = Written::New;
        }
        Ok(written)
    }

    /// Removes a tag; `false` when it was not there. Blobs stay.
    pub(crate) fn delete_tag(&self, tag: &Tag) -> Result<bool> {
        if self.index()?.find(tag)?.is_none() {
            return Ok(false);
        }
        self.prepare()?;
        let _held = self.lock()?;
        let mut index = self.index()?;
        let removed = index.remove(|_, name| name == Some(tag.as_str()))?;
        if removed {
            self.write_index(&index)?;
        }
        Ok(removed)
    }

    /// Removes a manifest and all its tags; `false` when it was not there. Its blobs stay.
    ///
    /// # Errors
    /// When a tagged index still names it: that tag would become incomplete.
    pub(crate) fn delete_manifest(&self, digest: &Digest) -> Result<bool> {
        if self.blob_size(digest)?.is_none() {
            return Ok(false);
        }
        self.prepare()?;
        let _held = self.lock()?;
        let mut index = self.index()?;
        for (entry, tag) in index.entries()? {
            if entry.digest != *digest && self.reaches(&entry.digest, digest, MAX_INDEX_DEPTH)? {
                return Err(Error::Layout {
                    path: self.blob_path(digest),
                    reason: format!(
                        "it belongs to the index `{}`; delete that first",
                        tag.unwrap_or_else(|| entry.digest.to_string())
                    ),
                });
            }
        }
        if index.remove(|entry, _| entry.digest == *digest)? {
            self.write_index(&index)?;
        }
        let path = self.blob_path(digest);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("remove", &path)(error)),
        }
    }

    /// Whether the index `from` names `wanted` as a child.
    fn reaches(&self, from: &Digest, wanted: &Digest, depth: usize) -> Result<bool> {
        // A damaged or foreign entry reaches nothing.
        let Ok(Some(manifest)) = self.load(from, None) else { return Ok(false) };
        let Some(index) = manifest.as_index() else { return Ok(false) };
        for child in &index.manifests {
            if child.digest == *wanted || (depth > 1 && self.reaches(&child.digest, wanted, depth - 1)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether everything that a manifest names is there with its size.
    fn check_complete(&self, manifest: &Manifest, what: &str, depth: usize) -> Result<()> {
        let missing = |digest: &Digest| Error::Incomplete { what: what.to_owned(), missing: digest.to_string() };
        match manifest.kind() {
            ManifestKind::Image(image) => {
                for blob in image.blobs() {
                    if self.blob_size(&blob.digest)? != Some(blob.size) {
                        return Err(missing(&blob.digest));
                    }
                }
            }
            ManifestKind::Index(index) => {
                for child in &index.manifests {
                    if self.blob_size(&child.digest)? != Some(child.size) {
                        return Err(missing(&child.digest));
                    }
                    if !media_type::is_manifest(&child.media_type) {
                        continue;
                    }
                    if depth == 0 {
                        return Err(Error::InvalidManifest {
                            digest: manifest.digest().clone(),
                            reason: format!("indexes are nested more than {MAX_INDEX_DEPTH} deep"),
                        });
                    }
                    let child =
                        self.load(&child.digest, Some(&child.media_type))?.ok_or_else(|| missing(&child.digest))?;
                    self.check_complete(&child, what, depth - 1)?;
                }
            }
        }
        Ok(())
    }

    fn lock(&self) -> Result<FileLock> {
        let path = self.root.join(".lock");
        FileLock::acquire(&path, LOCK_LIMIT).map_err(Error::io("lock", &path))
    }

    /// Creates the directories and the `oci-layout` file; once per process, removes what killed writers left.
    fn prepare(&self) -> Result<()> {
        let temporary = self.root.join(".tmp");
        atomic::create_directory(&temporary).map_err(Error::io("create", &temporary))?;
        let blobs = self.root.join("blobs").join("sha256");
        atomic::create_directory(&blobs).map_err(Error::io("create", &blobs))?;
        let marker = self.root.join("oci-layout");
        if !marker.exists() {
            atomic::write(&marker, LAYOUT_FILE).map_err(Error::io("write", &marker))?;
        }
        if !self.swept.swap(true, Ordering::Relaxed) {
            // Leftovers cost space only; failing to remove them is no reason to fail.
            let _ = atomic::sweep(&temporary, STALE);
            let _ = atomic::sweep(&self.root, STALE);
        }
        Ok(())
    }

    fn index(&self) -> Result<Index> {
        let path = self.root.join("index.json");
        // Opening a pipe waits for a writer.
        if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(Error::Layout { path, reason: "it is not a regular file".to_owned() });
        }
        let file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Index::new(path)),
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(file, MAX_INDEX_JSON + 1), &mut bytes)
            .map_err(Error::io("read", &path))?;
        if bytes.len() as u64 > MAX_INDEX_JSON {
            return Err(Error::TooLarge { what: path.display().to_string(), limit: MAX_INDEX_JSON });
        }
        Index::parse(path, &bytes)
    }

    fn write_index(&self, index: &Index) -> Result<()> {
        let bytes = index.to_bytes();
        let mut file =
            AtomicFile::create_in(&self.root.join(".tmp"), index.path()).map_err(Error::io("write", index.path()))?;
        file.write_all(&bytes).and_then(|()| file.commit()).map_err(Error::io("write", index.path()))
    }
}
