//! Stores and repositories: one interface over a registry and over OCI layouts on disk.
//!
//! Invariant: `Ok(None)` and `Ok(false)` mean that absence is proven. Everything that leaves a doubt (network, credentials,
//! a damaged layout) is an error, so that "could not tell" is never read as "is not there".

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::atomic::AtomicFile;
use crate::client::Client;
use crate::layout::{Layout, Written};
use crate::registry::{Registry, Seen};
use crate::upload::{Origin, Presence};
use crate::{
    ClientOptions, Descriptor, Digest, Error, Manifest, RegistryHost, RepositoryName, Result, Selector, Stats, Tag,
    verify, without_user,
};

/// Where images are kept: a registry, or a directory of OCI layouts. Cheap to clone; nothing is opened or connected before
/// a repository is used.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use shipper_oci::{BlobSource, Descriptor, ImageManifest, Manifest, Store, media_type};
/// let dir = tempfile::tempdir()?;
/// let repository = Store::layout(dir.path()).repository(&"shop/api".parse()?);
/// let config = Descriptor::of(media_type::EMPTY, b"{}");
/// repository.push_blob(&config, BlobSource::Bytes("{}".into())).await?;
/// let manifest = Manifest::image(&ImageManifest::new(config, vec![]))?;
/// repository.put_manifest(&manifest, Some(&"v1".parse()?)).await?;
/// assert_eq!(repository.tags().await?, ["v1".parse()?]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Store(Backend);

#[derive(Debug, Clone)]
enum Backend {
    Layout(Arc<Path>),
    Registry { client: Arc<Client>, prefix: Option<RepositoryName> },
}

impl Store {
    /// A directory with one OCI layout per repository, `DIR/<repository>`. It need not exist yet.
    pub fn layout(dir: impl AsRef<Path>) -> Store {
        Store(Backend::Layout(dir.as_ref().into()))
    }

    /// A registry; with `prefix`, only the repositories below it, which are then named without it.
    ///
    /// # Errors
    /// [`Error::Options`] when the options cannot be used. No connection is made.
    pub fn registry(host: &RegistryHost, prefix: Option<RepositoryName>, options: ClientOptions) -> Result<Store> {
        let client = Arc::new(Client::new(host.clone(), options)?);
        Ok(Store(Backend::Registry { client, prefix }))
    }

    /// A store as a user writes it: `oci:DIR`, or `host[:port][/prefix]` for a registry.
    ///
    /// # Errors
    /// [`Error::InvalidReference`] for anything else; as [`Store::registry`].
    pub fn parse(text: &str, options: ClientOptions) -> Result<Store> {
        if let Some(dir) = text.strip_prefix("oci:") {
            return if dir.is_empty() {
                Err(Error::invalid("store", text, "the directory is missing"))
            } else {
                Ok(Store::layout(dir))
            };
        }
        if text.contains("://") {
            return Err(Error::invalid("store", text, "it has a URL scheme; leave everything up to `://` away"));
        }
        if without_user(text) != text {
            return Err(Error::invalid("store", text, "it holds a user name; log in to the registry instead"));
        }
        let (host, prefix) = match text.split_once('/') {
            Some((host, prefix)) => (host, Some(prefix)),
            None => (text, None),
        };
        if !host.contains(['.', ':']) && host != "localhost" {
            return Err(Error::invalid(
                "store",
                text,
                "it is neither `oci:DIR` nor a registry host (no dot, no port, not `localhost`)",
            ));
        }
        Store::registry(&host.parse()?, prefix.map(str::parse).transpose()?, options)
    }

    /// Whether the network is needed.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        match &self.0 {
            Backend::Layout(_) => false,
            Backend::Registry { .. } => true,
        }
    }

    /// The host of a registry, `None` for a layout.
    #[must_use]
    pub fn host(&self) -> Option<&RegistryHost> {
        match &self.0 {
            Backend::Layout(_) => None,
            Backend::Registry { client, .. } => Some(client.host()),
        }
    }

    /// What this store and its clones have done on the network so far; all zero for a layout.
    #[must_use]
    pub fn stats(&self) -> Stats {
        match &self.0 {
            Backend::Layout(_) => Stats::default(),
            Backend::Registry { client, .. } => client.stats(),
        }
    }

    /// A repository of this store. Nothing is read; a name that this store cannot hold is an error at first use.
    #[must_use]
    pub fn repository(&self, name: &RepositoryName) -> Repository {
        let target = match &self.0 {
            Backend::Layout(dir) => Layout::new(dir, name).map_or(Target::Refused, Target::Layout),
            Backend::Registry { client, prefix } => {
                let full = prefix.as_ref().map_or_else(|| Ok(name.clone()), |prefix| prefix.join(name));
                full.map_or(Target::Refused, |name| Target::Registry(Registry { client: Arc::clone(client), name }))
            }
        };
        Repository { store: self.clone(), name: name.clone(), target }
    }

    /// The store as a user writes it: `oci:DIR` or `host[:port][/prefix]`.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.0 {
            Backend::Layout(dir) => format!("oci:{}", dir.display()),
            Backend::Registry { client, prefix } => match prefix {
                Some(prefix) => format!("{}/{prefix}", client.host()),
                None => client.host().to_string(),
            },
        }
    }
}

/// The content of a blob to be pushed.
#[derive(Debug, Clone)]
pub enum BlobSource {
    /// A file; it is opened anew for every try.
    File(PathBuf),
    /// Bytes in memory.
    Bytes(Bytes),
}

/// How a blob came to be in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// Its bytes were sent.
    Uploaded,
    /// It was there.
    Existed,
    /// The registry took it from another of its repositories.
    Mounted,
}

/// One repository of a [`Store`]. Cheap to clone; all methods may run at the same time.
#[derive(Debug, Clone)]
pub struct Repository {
    store: Store,
    name: RepositoryName,
    pub(crate) target: Target,
}

#[derive(Debug, Clone)]
pub(crate) enum Target {
    Layout(Layout),
    Registry(Registry),
    /// The store cannot hold a repository of this name.
    Refused,
}

impl Repository {
    /// The OCI layout in `dir` itself, as skopeo's `oci:DIR` means it: a store of one repository, which is named `layout`.
    /// Nothing is read or created.
    pub fn layout(dir: impl AsRef<Path>) -> Repository {
        let name = "layout".parse().expect("because it is a repository name");
        Repository { store: Store::layout(&dir), name, target: Target::Layout(Layout::at(dir.as_ref())) }
    }

    /// The name inside the store.
    #[must_use]
    pub fn name(&self) -> &RepositoryName {
        &self.name
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What this repository's store has done on the network so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.store.stats()
    }

    /// A printable reference: `host/repository:tag`, `oci:DIR/repository@sha256:..`.
    #[must_use]
    pub fn reference(&self, selector: &Selector) -> String {
        let separator = match selector {
            Selector::Tag(_) => ':',
            Selector::Digest(_) => '@',
        };
        format!("{self}{separator}{selector}")
    }

    /// The manifest under a tag or digest, verified; `None` when it is proven absent.
    ///
    /// # Errors
    /// Everything that leaves absence unproven; content that does not match its digest or has more than one meaning.
    pub async fn manifest(&self, selector: &Selector) -> Result<Option<Manifest>> {
        match &self.target {
            Target::Layout(layout) => {
                let (layout, selector) = (layout.clone(), selector.clone());
                blocking(move || layout.manifest(&selector)).await
            }
            Target::Registry(registry) => registry.manifest(selector).await,
            Target::Refused => Err(self.refused()),
        }
    }

    /// The digest that a tag names, whether a layout still has what it names or not.
    ///
    /// # Errors
    /// As [`Repository::manifest`].
    pub async fn tagged_digest(&self, tag: &Tag) -> Result<Option<Digest>> {
        match &self.target {
            Target::Layout(layout) => {
                let (layout, tag) = (layout.clone(), tag.clone());
                blocking(move || layout.tagged_digest(&tag)).await
            }
            Target::Registry(_) | Target::Refused => {
                Ok(self.manifest(&Selector::Tag(tag.clone())).await?.map(|manifest| manifest.digest().clone()))
            }
        }
    }

    /// The image that is meant where none is named: `latest`; of a layout without it, the only image.
    ///
    /// # Errors
    /// [`Error::Ambiguous`] and [`Error::NotFound`] of a layout with several images, or none.
    pub async fn unnamed_image(&self) -> Result<Selector> {
        match &self.target {
            Target::Layout(layout) => {
                let layout = layout.clone();
                blocking(move || layout.unnamed_image()).await
            }
            Target::Registry(_) | Target::Refused => Ok(Selector::latest()),
        }
    }

    /// As [`Repository::manifest`], for callers that are about to write it: a manifest that a layout names but has lost, or
    /// that is damaged there, counts as absent. What a registry sends is judged as always.
    ///
    /// # Errors
    /// As [`Repository::manifest`].
    pub async fn sound_manifest(&self, selector: &Selector) -> Result<Option<Manifest>> {
        match &self.target {
            Target::Layout(layout) => {
                let (layout, selector) = (layout.clone(), selector.clone());
                blocking(move || layout.sound_manifest(&selector)).await
            }
            Target::Registry(_) | Target::Refused => self.manifest(selector).await,
        }
    }

    /// Whether a manifest with this digest is there.
    ///
    /// # Errors
    /// As [`Repository::manifest`].
    pub async fn has_manifest(&self, digest: &Digest) -> Result<bool> {
        match &self.target {
            Target::Layout(_) => Ok(self.manifest(&Selector::Digest(digest.clone())).await?.is_some()),
            Target::Registry(registry) => registry.has_manifest(digest).await,
            Target::Refused => Err(self.refused()),
        }
    }

    /// Whether something seems to be there under this name, for one question without a body. `false` is no proof that it is
    /// not: where a decision depends on that, ask with [`Repository::manifest`].
    ///
    /// # Errors
    /// As [`Repository::manifest`].
    pub async fn seems_to_have(&self, selector: &Selector) -> Result<bool> {
        match &self.target {
            Target::Registry(registry) => registry.seems_to_have_manifest(selector).await,
            Target::Layout(_) | Target::Refused => Ok(self.manifest(selector).await?.is_some()),
        }
    }

    /// Whether a blob is there.
    ///
    /// # Errors
    /// As [`Repository::manifest`].
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool> {
        match &self.target {
            Target::Layout(layout) => {
                let (layout, digest) = (layout.clone(), digest.clone());
                blocking(move || Ok(layout.blob_size(&digest)?.is_some())).await
            }
            Target::Registry(registry) => registry.has_blob(digest).await,
            Target::Refused => Err(self.refused()),
        }
    }

    /// A small blob (a configuration), verified.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above 4 MiB, [`Error::NotFound`] when it is proven absent, mismatches, and as
    /// [`Repository::manifest`].
    pub async fn blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        match &self.target {
            Target::Layout(layout) => {
                let (layout, descriptor) = (layout.clone(), descriptor.clone());
                blocking(move || layout.read_blob(&descriptor)).await
            }
            Target::Registry(registry) => registry.blob(descriptor).await,
            Target::Refused => Err(self.refused()),
        }
    }

    /// Reads a blob of any size to its end, verified, and keeps nothing of it.
    ///
    /// # Errors
    /// As [`Repository::blob`] without the size limit.
    pub async fn check_blob(&self, descriptor: &Descriptor) -> Result<()> {
        match &self.target {
            Target::Layout(layout) => {
                let (layout, descriptor) = (layout.clone(), descriptor.clone());
                blocking(move || {
                    let (mut from, path) = layout.open_blob(&descriptor)?;
                    let read = || Error::io("read", &path);
                    verify::copy(&descriptor, &mut from, &mut std::io::sink(), read(), read())
                })
                .await
            }
            Target::Registry(registry) => registry.check_blob(descriptor).await,
            Target::Refused => Err(self.refused()),
        }
    }

    /// Writes a blob of any size to the file `to`, verified and atomically: the file is complete or untouched.
    ///
    /// # Errors
    /// As [`Repository::blob`] without the size limit; file errors.
    pub async fn pull_blob(&self, descriptor: &Descriptor, to: &Path) -> Result<()> {
        match &self.target {
            Target::Layout(layout) => {
                let (layout, descriptor, to) = (layout.clone(), descriptor.clone(), to.to_owned());
                blocking(move || {
                    let (mut from, path) = layout.open_blob(&descriptor)?;
                    let mut file = AtomicFile::create(&to).map_err(Error::io("write", &to))?;
                    verify::copy(&descriptor, &mut from, &mut file, Error::io("read", &path), Error::io("write", &to))?;
                    file.commit().map_err(Error::io("write", &to))
                })
                .await
            }
            Target::Registry(registry) => {
                let start = || AtomicFile::create(to).map_err(Error::io("write", to));
                registry.pull_blob(descriptor, to, start).await
            }
            Target::Refused => Err(self.refused()),
        }
    }

    /// Brings a blob into the repository unless it is there.
    ///
    /// # Errors
    /// When the source is not what the descriptor says, and as [`Repository::manifest`].
    pub async fn push_blob(&self, descriptor: &Descriptor, source: BlobSource) -> Result<Pushed> {
        match &self.target {
            Target::Layout(layout) => {
                let (layout, descriptor) = (layout.clone(), descriptor.clone());
                let written = blocking(move || match source {
                    BlobSource::Bytes(bytes) => layout.write_blob(&descriptor, &mut &bytes[..], Path::new("blob")),
                    BlobSource::File(path) => {
                        let mut file = std::fs::File::open(&path).map_err(Error::io("read", &path))?;
                        layout.write_blob(&descriptor, &mut file, &path)
                    }
                })
                .await?;
                Ok(match written {
                    Written::New => Pushed::Uploaded,
                    Written::Existed => Pushed::Existed,
                })
            }
            Target::Registry(registry) => {
                registry.push_blob(descriptor, &Origin::Local(&source), None, Presence::Unknown).await
            }
            Target::Refused => Err(self.refused()),
        }
    }

    /// Asks the store to take a blob from another of its repositories; `false` when it would not, which is no error.
    ///
    /// # Errors
    /// As [`Repository::manifest`].
    pub async fn mount_blob(&self, descriptor: &Descriptor, from: &RepositoryName) -> Result<bool> {
        match (&self.target, self.store.repository(from).target) {
            (Target::Layout(layout), Target::Layout(from)) => {
                let (layout, descriptor) = (layout.clone(), descriptor.clone());
                blocking(move || layout.link_blob(&descriptor, &from)).await
            }
            (Target::Registry(registry), Target::Registry(from)) => registry.mount_blob(descriptor, &from.name).await,
            // Both belong to one store, so they are of one kind.
            (Target::Layout(_), Target::Registry(_)) | (Target::Registry(_), Target::Layout(_)) => Ok(false),
            (Target::Refused, _) | (_, Target::Refused) => Err(self.refused()),
        }
    }

    /// Stores a manifest; with `tag`, points the tag to it and reads the tag back. The tag may exist: it moves. Blobs and
    /// children must be there before.
    ///
    /// # Errors
    /// [`Error::Incomplete`] when something that the manifest names is missing; [`Error::Conflict`] when the tag may not
    /// move, or names something else when read back; as [`Repository::manifest`].
    pub async fn put_manifest(&self, manifest: &Manifest, tag: Option<&Tag>) -> Result<()> {
        match &self.target {
            Target::Layout(layout) => {
                let (layout, manifest, tag) = (layout.clone(), manifest.clone(), tag.cloned());
                blocking(move || layout.put_manifest(&manifest, tag.as_ref(), false)).await?;
                Ok(())
            }
            Target::Registry(registry) => registry.put_manifest(manifest, tag, Seen::WhenReadBack).await,
            Target::Refused => Err(self.refused()),
        }
    }

    /// Stores a manifest under a tag that must never move. In a layout, comparing and writing are one step; a registry
    /// knows no such step, so there a race is detected by reading back, not prevented. A tag that names this manifest
    /// already is success.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the tag names something else, before or after writing; as [`Repository::put_manifest`].
    pub async fn put_immutable(&self, manifest: &Manifest, tag: &Tag) -> Result<()> {
        match &self.target {
            Target::Layout(layout) => {
                let (layout, manifest, tag) = (layout.clone(), manifest.clone(), tag.clone());
                blocking(move || layout.put_manifest(&manifest, Some(&tag), true)).await?;
                Ok(())
            }
            Target::Registry(registry) => registry.put_immutable(manifest, tag).await,
            Target::Refused => Err(self.refused()),
        }
    }

    /// All tags; sorted for a layout, in the registry's order otherwise. A repository that does not exist has none.
    ///
    /// # Errors
    /// As [`Repository::manifest`].
    pub async fn tags(&self) -> Result<Vec<Tag>> {
        match &self.target {
            Target::Layout(layout) => {
                let layout = layout.clone();
                blocking(move || layout.tags()).await
            }
            Target::Registry(registry) => registry.tags().await,
            Target::Refused => Err(self.refused()),
        }
    }

    /// Removes a tag and leaves its manifest; `false` when it is proven absent.
    ///
    /// # Errors
    /// [`Error::Unsupported`] by registries that delete by digest only; as [`Repository::manifest`].
    pub async fn delete_tag(&self, tag: &Tag) -> Result<bool> {
        match &self.target {
            Target::Layout(layout) => {
                let (layout, tag) = (layout.clone(), tag.clone());
                blocking(move || layout.delete_tag(&tag)).await
            }
            Target::Registry(registry) => registry.delete(&Selector::Tag(tag.clone())).await,
            Target::Refused => Err(self.refused()),
        }
    }

    /// Removes a manifest with all its tags; `false` when it is proven absent. Blobs are left to the store's own
    /// collection of garbage.
    ///
    /// # Errors
    /// [`Error::Layout`] when an index of the layout still names it; as [`Repository::manifest`].
    pub async fn delete_manifest(&self, digest: &Digest) -> Result<bool> {
        match &self.target {
            Target::Layout(layout) => {
                let (layout, digest) = (layout.clone(), digest.clone());
                blocking(move || layout.delete_manifest(&digest)).await
            }
            Target::Registry(registry) => registry.delete(&Selector::Digest(digest.clone())).await,
            Target::Refused => Err(self.refused()),
        }
    }

    pub(crate) fn refused(&self) -> Error {
        Error::invalid("repository name", self.name.as_str(), "this store cannot hold a repository of that name")
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            // What skopeo and umoci take.
            Target::Layout(layout) => write!(f, "oci:{}", layout.root().display()),
            Target::Registry(registry) => write!(f, "{}/{}", registry.client.host(), registry.name),
            Target::Refused => write!(f, "{}/{}", self.store.describe(), self.name),
        }
    }
}

/// Runs file work on a thread that may block.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Error::Io {
                action: "finish work on",
                path: PathBuf::from("a file"),
                source: std::io::Error::other(error),
            }),
        },
    }
}
