//! Base images: what a reference means, through `shipper.lock`.

use std::collections::BTreeMap;

use shipper_oci::{Manifest, ManifestKind, Reference, Repository, Selector, Store};
use shipper_plan::Service;

use crate::lock::Lock;
use crate::names::tag;
use crate::project::client_options;
use crate::{Error, Project};

/// Resolves base images of one run. Each reference is asked for once.
pub(crate) struct Bases<'a> {
    project: &'a Project,
    lock: Lock,
    /// Whether an entry was added that the file does not have.
    added: bool,
    /// Whether entries may be added.
    locked: bool,
    /// Platform digests by reference, as the registries told in this run.
    seen: BTreeMap<(String, String), String>,
}

impl<'a> Bases<'a> {
    /// Reads the project's lock; with `locked` a missing entry is an error.
    ///
    /// # Errors
    /// [`Error::Lock`].
    pub(crate) fn new(project: &'a Project, locked: bool) -> Result<Self, Error> {
        Ok(Self { lock: Lock::read(&project.root)?, project, added: false, locked, seen: BTreeMap::new() })
    }

    /// Writes what was added.
    ///
    /// # Errors
    /// [`Error::Lock`].
    pub(crate) fn save(&self) -> Result<(), Error> {
        if self.added { self.lock.write(&self.project.root).map(drop) } else { Ok(()) }
    }

    /// Digest of `platform`'s image manifest of a registry reference: from the lock, else from the registry.
    ///
    /// # Errors
    /// [`Error::NotLocked`], [`Error::Base`], [`Error::Store`].
    pub(crate) async fn locked(&mut self, service: &Service, reference: &str, platform: &str) -> Result<String, Error> {
        if let Some(digest) = self.lock.digest(reference, platform) {
            return Ok(digest.to_owned());
        }
        if self.locked {
            return Err(Error::NotLocked { reference: reference.to_owned(), platform: platform.to_owned() });
        }
        let id = (reference.to_owned(), platform.to_owned());
        if let Some(digest) = self.seen.get(&id) {
            return Ok(digest.clone());
        }
        let (repository, selector) = self.registry(service, reference)?;
        let digest =
            platform_manifest(service, reference, &repository, &selector, platform).await?.digest().to_string();
        self.lock.set(reference, platform, &digest);
        self.added = true;
        self.seen.insert(id, digest.clone());
        Ok(digest)
    }

    /// Digest of `platform`'s image manifest of a layout's tag, as it is now.
    ///
    /// # Errors
    /// [`Error::Base`], [`Error::Store`].
    pub(crate) async fn layout(
        &self,
        service: &Service,
        directory: &str,
        tag: &str,
        platform: &str,
    ) -> Result<String, Error> {
        let reference = format!("oci:{directory}:{tag}");
        let repository = Repository::layout(self.project.root.join(directory));
        let tag = tag.parse().map_err(|source| invalid(service, &reference, source))?;
        let manifest = platform_manifest(service, &reference, &repository, &Selector::Tag(tag), platform).await?;
        Ok(manifest.digest().to_string())
    }

    /// The repository and selector of a registry reference, docker's short names expanded.
    ///
    /// # Errors
    /// [`Error::Base`].
    pub(crate) fn registry(&self, service: &Service, reference: &str) -> Result<(Repository, Selector), Error> {
        let parsed = Reference::parse_docker(reference).map_err(|source| invalid(service, reference, source))?;
        let options = client_options(&self.project.environment);
        let store =
            Store::registry(&parsed.registry, None, options).map_err(|source| invalid(service, reference, source))?;
        let latest = || Selector::Tag(tag("latest"));
        Ok((store.repository(&parsed.repository), parsed.selector().unwrap_or_else(latest)))
    }
}

fn invalid(service: &Service, reference: &str, source: shipper_oci::Error) -> Error {
    Error::BaseName { service: service.name.clone(), reference: reference.to_owned(), source: Box::new(source) }
}

/// The image manifest of `platform` behind a reference that may be an index.
///
/// # Errors
/// [`Error::Base`] where there is none, [`Error::Store`] where it could not be told.
pub(crate) async fn platform_manifest(
    service: &Service,
    reference: &str,
    repository: &Repository,
    selector: &Selector,
    platform: &str,
) -> Result<Manifest, Error> {
    let base =
        |problem: String| Error::Base { service: service.name.clone(), reference: reference.to_owned(), problem };
    let store = |source| Error::Store { action: format!("read the base image `{reference}`"), source };
    let missing = || base("there is no such image".to_owned());
    let manifest = repository.manifest(selector).await.map_err(store)?.ok_or_else(missing)?;
    let children = match manifest.kind() {
        ManifestKind::Image(_) => return Ok(manifest),
        ManifestKind::Index(index) => &index.manifests,
    };
    let wanted: shipper_oci::Platform =
        platform.parse().map_err(|error: shipper_oci::Error| base(error.to_string()))?;
    let child = children.iter().find(|child| child.platform.as_ref().is_some_and(|have| wanted.matches(have)));
    let Some(child) = child else {
        let known: Vec<String> =
            children.iter().filter_map(|child| child.platform.as_ref().map(ToString::to_string)).collect();
        return Err(base(format!("it has no image for {platform}, only for {}", known.join(", "))));
    };
    repository.manifest(&Selector::Digest(child.digest.clone())).await.map_err(store)?.ok_or_else(missing)
}
