//! Base images: what a reference means, through `shipper.lock`.

use std::collections::BTreeMap;

use shipper_hash::Tree;
use shipper_oci::{Manifest, ManifestKind, Reference, Repository, Selector, Store, Tag};
use shipper_plan::Service;

use crate::amazon::Logins;
use crate::lock::{LOCK_FILE, Lock};
use crate::project::client_options;
use crate::{Error, Project};

/// Resolves base images of one run. Each reference is asked for once.
pub(crate) struct Bases<'a> {
    project: &'a Project,
    lock: Lock,
    /// What the file does not have yet: reference, platform and digest.
    added: Vec<(String, String, String)>,
    /// New salts by service.
    refreshed: BTreeMap<String, String>,
    missing: Missing,
    /// Platform digests by reference, as the registries told in this run.
    seen: BTreeMap<(String, String), String>,
}

/// What becomes of a reference that the lock does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// Its registry is asked, and the answer added.
    Ask,
    /// It is an error.
    Refuse,
    /// It stands for itself: nothing is asked.
    Ignore,
}

/// In the place of a digest that nobody asked for.
const NOT_LOCKED: &str = "not locked";

impl<'a> Bases<'a> {
    /// The lock among the files of `tree`, which are the project's own or those of a commit. No registry and no layout is
    /// asked for what it does not have.
    ///
    /// # Errors
    /// [`Error::Lock`].
    pub(crate) fn offline(project: &'a Project, tree: &Tree) -> Result<Self, Error> {
        let path = project.root.join(LOCK_FILE);
        let failed = |problem: String| Error::Lock { path: path.clone(), problem };
        let lock = match crate::read::of_tree(tree, LOCK_FILE) {
            Ok(bytes) => {
                Lock::parse(path.clone(), &String::from_utf8(bytes).map_err(|error| failed(error.to_string()))?)?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Lock::empty(),
            Err(error) => return Err(failed(error.to_string())),
        };
        Ok(Self::with(project, lock, Missing::Ignore))
    }

    /// Reads the project's lock; with `locked` a missing entry is an error.
    ///
    /// # Errors
    /// [`Error::Lock`].
    pub(crate) fn new(project: &'a Project, locked: bool) -> Result<Self, Error> {
        let missing = if locked { Missing::Refuse } else { Missing::Ask };
        Ok(Self::with(project, Lock::read(&project.root)?, missing))
    }

    fn with(project: &'a Project, lock: Lock, missing: Missing) -> Self {
        Self { project, lock, added: Vec::new(), refreshed: BTreeMap::new(), missing, seen: BTreeMap::new() }
    }

    /// Writes what was added.
    ///
    /// # Errors
    /// [`Error::Lock`].
    pub(crate) fn save(&self) -> Result<(), Error> {
        if self.added.is_empty() && self.refreshed.is_empty() {
            return Ok(());
        }
        Lock::update(&self.project.root, |lock| {
            for (reference, platform, digest) in &self.added {
                lock.set(reference, platform, digest);
            }
            for (service, salt) in &self.refreshed {
                lock.set_salt(service, salt);
            }
        })
    }

    /// Digest of `platform`'s image manifest of a registry reference: from the lock, else from the registry.
    ///
    /// # Errors
    /// [`Error::NotLocked`], [`Error::BaseAbsent`], [`Error::Store`].
    pub(crate) async fn locked(&mut self, service: &Service, reference: &str, platform: &str) -> Result<String, Error> {
        if let Some(digest) = self.lock.digest(reference, platform) {
            return Ok(digest.to_owned());
        }
        match self.missing {
            Missing::Ask => {}
            Missing::Refuse => {
                return Err(Error::NotLocked { reference: reference.to_owned(), platform: platform.to_owned() });
            }
            Missing::Ignore => return Ok(NOT_LOCKED.to_owned()),
        }
        let id = (reference.to_owned(), platform.to_owned());
        if let Some(digest) = self.seen.get(&id) {
            return Ok(digest.clone());
        }
        let (repository, selector) = self.registry(service, reference)?;
        let digest =
            platform_manifest(service, reference, &repository, &selector, platform).await?.digest().to_string();
        self.lock.set(reference, platform, &digest);
        self.added.push((reference.to_owned(), platform.to_owned(), digest.clone()));
        self.seen.insert(id, digest.clone());
        Ok(digest)
    }

    /// Digest of `platform`'s image manifest of a layout's tag, as it is now.
    ///
    /// # Errors
    /// [`Error::BaseAbsent`], [`Error::Store`].
    pub(crate) async fn layout(
        &self,
        service: &Service,
        directory: &str,
        tag: &str,
        platform: &str,
    ) -> Result<String, Error> {
        if self.missing == Missing::Ignore {
            return Ok(NOT_LOCKED.to_owned());
        }
        let reference = format!("oci:{directory}:{tag}");
        let repository = Repository::layout(self.project.root.join(directory));
        let tag = Tag::try_from(tag).map_err(|source| invalid(service, &reference, source.into()))?;
        let manifest = platform_manifest(service, &reference, &repository, &Selector::Tag(tag), platform).await?;
        Ok(manifest.digest().to_string())
    }

    /// The repository and selector of a registry reference, docker's short names expanded.
    ///
    /// # Errors
    /// [`Error::BaseName`].
    pub(crate) fn registry(&self, service: &Service, reference: &str) -> Result<(Repository, Selector), Error> {
        located(&self.project.environment, &self.project.logins, reference)
            .map_err(|source| invalid(service, reference, source))
    }

    /// What the lock adds to a service's salt: the value of the last `ship --refresh`.
    pub(crate) fn refreshed(&self, service: &str) -> Option<&str> {
        self.lock.salt(service)
    }

    /// Gives services another identity from now on.
    pub(crate) fn refresh(&mut self, services: &[String]) {
        for service in services {
            let salt = format!("{:016x}", fastrand::u64(..));
            self.lock.set_salt(service, &salt);
            self.refreshed.insert(service.clone(), salt);
        }
    }

    /// The lock as it is now.
    pub(crate) fn lock(&self) -> &Lock {
        &self.lock
    }
}

/// The repository and selector that a registry reference means; docker's short names expanded.
pub(crate) fn located(
    environment: &BTreeMap<String, String>,
    logins: &Logins,
    reference: &str,
) -> shipper_oci::Result<(Repository, Selector)> {
    let parsed = Reference::parse_docker(reference)?;
    let store = Store::registry(&parsed.registry, None, client_options(environment, logins)?)?;
    let selector = parsed.selector().unwrap_or_else(Selector::latest);
    Ok((store.repository(&parsed.repository), selector))
}

fn invalid(service: &Service, reference: &str, source: shipper_oci::Error) -> Error {
    Error::BaseName { service: service.name.clone(), reference: reference.to_owned(), source: Box::new(source) }
}

/// What a reference means for one platform.
pub(crate) enum Resolved {
    /// This image manifest.
    Image(Manifest),
    /// Nothing: there is no such image.
    Gone,
    /// Images for these platforms only.
    Others(Vec<String>),
}

/// The image manifest of `platform` behind a reference that may be an index.
///
/// # Errors
/// Where it could not be told.
pub(crate) async fn resolve(
    repository: &Repository,
    selector: &Selector,
    platform: &str,
) -> shipper_oci::Result<Resolved> {
    let Some(manifest) = repository.manifest(selector).await? else { return Ok(Resolved::Gone) };
    let ManifestKind::Index(index) = manifest.kind() else { return Ok(Resolved::Image(manifest)) };
    let wanted: shipper_oci::Platform = platform.parse()?;
    let Some(child) = index.image_for(&wanted) else {
        return Ok(Resolved::Others(index.platforms().map(ToString::to_string).collect()));
    };
    let child = repository.manifest(&Selector::Digest(child.digest.clone())).await?;
    Ok(child.map_or(Resolved::Gone, Resolved::Image))
}

/// As [`resolve`], for a digest of which an image of `platform` is known to be there.
///
/// # Errors
/// [`shipper_oci::Error::NotFound`] where it is there no longer; others where that could not be told.
pub(crate) async fn image_of(repository: &Repository, digest: &str, platform: &str) -> shipper_oci::Result<Manifest> {
    let selector = Selector::Digest(digest.parse()?);
    match resolve(repository, &selector, platform).await? {
        Resolved::Image(manifest) => Ok(manifest),
        Resolved::Gone | Resolved::Others(_) => {
            let what = format!("{} for {platform}", repository.reference(&selector));
            Err(shipper_oci::Error::NotFound { what })
        }
    }
}

/// As [`resolve`], for an image that a service can not do without.
///
/// # Errors
/// [`Error::BaseAbsent`] where there is none, [`Error::Store`] where it could not be told.
pub(crate) async fn platform_manifest(
    service: &Service,
    reference: &str,
    repository: &Repository,
    selector: &Selector,
    platform: &str,
) -> Result<Manifest, Error> {
    let store = |source| Error::Store { action: format!("read the base image `{reference}`"), source };
    let problem = match resolve(repository, selector, platform).await.map_err(store)? {
        Resolved::Image(manifest) => return Ok(manifest),
        Resolved::Gone => "there is no such image".to_owned(),
        Resolved::Others(known) => format!("it has no image for {platform}, only for {}", known.join(", ")),
    };
    Err(Error::BaseAbsent { service: service.name.clone(), reference: reference.to_owned(), problem })
}
