//! What AWS has to say about where images go: the repository of a stack, passwords of ECR without a docker login.
//!
//! Invariants: the credentials that the user keeps for Docker and podman come first; a password of ECR is given to the
//! registry that it is for, with the region of its host and the profile of its environment; a registry is logged in to once,
//! and once more for each password that it refuses.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shipper_aws::{EcrRegistry, EcrRepository, Region, Session, SessionOptions};
use shipper_ecr::{Ecr, RegistryLogin};
use shipper_oci::{
    Credential, CredentialFuture, CredentialProvider, CredentialSources, Credentials, RegistryHost, RepositoryName,
    Secret,
};
use shipper_plan::StackConfig;

use crate::ready::{ReadyOptions, Verdict, ready};
use crate::registries::{OfStack, credential_files};
use crate::{Error, Project};

/// A region as the configuration names it.
pub(crate) fn region(text: &str) -> Result<Region, shipper_plan::Error> {
    let problem = format!("`{text}` is no region");
    text.parse().map_err(|_| shipper_plan::Error::Invalid { key: "region".to_owned(), problem, hint: None })
}

/// A session in a region, with a profile of the user's configuration; without, those of the environment.
pub(crate) async fn session(region: Option<Region>, profile: Option<String>) -> Session {
    let mut options = SessionOptions::default();
    options.region = region;
    options.profile = profile;
    Session::open(&options).await
}

/// The repository that a stack has among its outputs.
///
/// # Errors
/// [`Error::NotReady`] and [`Error::NoVerdict`] where it has none or nobody says so.
pub(crate) async fn repository_of_stack(project: &Project, stack: &StackConfig) -> Result<OfStack, Error> {
    let options = ReadyOptions {
        directory: project.root.clone(),
        stack: Some(stack.stack.clone()),
        output: stack.output.clone(),
        outputs_file: stack.outputs_file.as_ref().map(PathBuf::from),
        ..ReadyOptions::default()
    };
    let found = ready(&options).await?;
    let registry = || project.settings.registry.value.clone();
    let reason = found.reason.unwrap_or_default();
    match (found.verdict, found.repository) {
        (Verdict::Ready, Some(uri)) => {
            let parsed: EcrRepository = uri.parse().map_err(|_| Error::RepositoryName { text: uri })?;
            Ok(OfStack { registry: parsed.registry.host().to_owned(), name: parsed.name })
        }
        (Verdict::NotReady, _) => Err(Error::NotReady { registry: registry(), reason }),
        _ => Err(Error::NoVerdict { registry: registry(), reason, hint: found.hint }),
    }
}

/// Credentials for every registry: files and helpers first, then AWS. Clones share what was fetched.
#[derive(Clone)]
pub(crate) struct Logins(Arc<EcrCredentials>);

impl Logins {
    /// Nothing is read before a registry is asked for something.
    /// `profiles` are those of AWS by the host of the registry that they are for.
    pub(crate) fn new(environment: &BTreeMap<String, String>, profiles: BTreeMap<String, String>) -> Self {
        Self(Arc::new(EcrCredentials {
            files: credential_files(environment),
            profiles,
            aliases: Mutex::default(),
            logins: Mutex::default(),
        }))
    }

    /// As a client for registries takes them.
    pub(crate) fn credentials(&self) -> Credentials {
        Credentials::new(self.clone())
    }

    /// Where the environment or a profile sends the calls to ECR elsewhere, the registry is elsewhere too: at the endpoint of
    /// its tokens.
    pub(crate) async fn moved(&self, text: &str) -> Result<Option<String>, Error> {
        let (host, prefix) = text.split_once('/').map_or((text, None), |(host, prefix)| (host, Some(prefix)));
        let Ok(registry) = host.parse::<EcrRegistry>() else { return Ok(None) };
        let session = self.0.session(&registry).await;
        if !session.is_redirected("ECR") {
            return Ok(None);
        }
        let failed = |source| Error::Aws { action: format!("log in to {host}"), source };
        let slot = self.0.slot(&registry);
        let mut kept = slot.lock().await;
        let login = match kept.take() {
            Some(kept) => kept,
            None => Kept::fetch(&session, &registry).await.map_err(failed)?,
        };
        let endpoint = login.login.endpoint.split_once("://").map(|(_, host)| host.trim_end_matches('/').to_owned());
        *kept = Some(login);
        let Some(endpoint) = endpoint else { return Ok(None) };
        lock(&self.0.aliases).insert(endpoint.clone(), registry);
        Ok(Some(prefix.map_or_else(|| endpoint.clone(), |prefix| format!("{endpoint}/{prefix}"))))
    }
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logins")
    }
}

/// The user's credentials for Docker and podman, and for registries of ECR those of AWS.
struct EcrCredentials {
    files: CredentialSources,
    /// Profiles by the registry's host.
    profiles: BTreeMap<String, String>,
    /// Hosts that stand in for a registry of ECR.
    aliases: Mutex<HashMap<String, EcrRegistry>>,
    /// What was fetched, by the registry's host.
    logins: Mutex<HashMap<String, Slot>>,
}

/// The password of one registry; `None` until AWS is asked. Held while one is fetched, so that it is fetched once.
type Slot = Arc<tokio::sync::Mutex<Option<Kept>>>;

struct Kept {
    login: RegistryLogin,
    /// When another is fetched, whether or not this one is refused.
    until: Instant,
}

/// The part of a password's life after which another is fetched.
const RENEW: f64 = 0.8;

impl Kept {
    async fn fetch(session: &Session, registry: &EcrRegistry) -> Result<Self, shipper_aws::Error> {
        let login = Ecr::new(session, Some(registry.account.clone())).login().await?;
        let until = Instant::now() + login.life.mul_f64(RENEW).min(Duration::from_secs(12 * 3600));
        Ok(Self { login, until })
    }
}

impl EcrCredentials {
    /// A session of the registry's own: no other has its region and its profile.
    async fn session(&self, registry: &EcrRegistry) -> Session {
        session(Some(registry.region.clone()), self.profiles.get(registry.host()).cloned()).await
    }

    fn slot(&self, registry: &EcrRegistry) -> Slot {
        Arc::clone(lock(&self.logins).entry(registry.host().to_owned()).or_default())
    }

    async fn find(
        &self,
        host: &RegistryHost,
        repository: &RepositoryName,
        refused: Option<&Credential>,
    ) -> shipper_oci::Result<Option<Credential>> {
        let ecr = lock(&self.aliases).get(host.as_str()).cloned().or_else(|| host.as_str().parse().ok());
        let Some(ecr) = ecr else { return self.files.credential(host, repository, refused).await };
        if refused.is_none()
            && let Some(found) = self.files.credential(host, repository, None).await?
        {
            return Ok(Some(found));
        }
        let slot = self.slot(&ecr);
        let mut kept = slot.lock().await;
        if let Some(kept) = kept.as_ref() {
            let known = credential(&kept.login);
            if Instant::now() < kept.until && refused != Some(&known) {
                return Ok(Some(known));
            }
        } else if refused.is_some()
            // A helper may have another. What a file holds has expired, for passwords last for twelve hours.
            && let Some(found) = self.files.credential(host, repository, refused).await?
            && refused != Some(&found)
        {
            return Ok(Some(found));
        }
        let session = self.session(&ecr).await;
        let fetched = Kept::fetch(&session, &ecr).await.map_err(|error| {
            let hint = error.hint().map_or_else(String::new, |hint| format!("; {hint}"));
            shipper_oci::Error::Credentials { registry: host.clone(), reason: format!("cannot {error}{hint}") }
        })?;
        let found = credential(&fetched.login);
        *kept = Some(fetched);
        Ok(Some(found))
    }
}

/// The user name and password of a login.
pub(crate) fn credential(login: &RegistryLogin) -> Credential {
    Credential::Basic {
        username: login.username().to_owned(),
        password: Secret::new(login.expose_password().to_owned()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CredentialProvider for Logins {
    fn credential<'a>(
        &'a self,
        registry: &'a RegistryHost,
        repository: &'a RepositoryName,
        refused: Option<&'a Credential>,
    ) -> CredentialFuture<'a> {
        Box::pin(self.0.find(registry, repository, refused))
    }
}
