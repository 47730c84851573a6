//! What AWS has to say about where images go: the repository of a stack, passwords of ECR without a docker login.
//!
//! Invariants: the credentials that the user keeps for Docker and podman come first; a password of ECR is given to the
//! registry that it is for.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use shipper_aws::{EcrRegistry, EcrRepository, Session, SessionOptions};
use shipper_ecr::{Ecr, RegistryLogin};
use shipper_oci::{
    Credential, CredentialFuture, CredentialProvider, CredentialSources, Credentials, RegistryHost, RepositoryName,
    Secret,
};
use shipper_plan::StackConfig;

use crate::ready::{ReadyOptions, Verdict, ready};
use crate::registries::credential_files;
use crate::{Error, Project};

/// A repository that a stack names.
pub(crate) struct OfStack {
    /// Host of the registry.
    pub(crate) registry: String,
    pub(crate) name: String,
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

/// Credentials for every registry: files and helpers first, then AWS.
pub(crate) fn credentials(environment: &BTreeMap<String, String>) -> Credentials {
    Credentials::new(EcrCredentials::new(environment))
}

/// Where the environment sends the calls to ECR elsewhere, the registry is elsewhere too: at the endpoint of its tokens.
pub(crate) async fn moved(
    text: &str,
    environment: &BTreeMap<String, String>,
) -> Result<Option<(String, Credentials)>, Error> {
    let (host, prefix) = text.split_once('/').map_or((text, None), |(host, prefix)| (host, Some(prefix)));
    let Ok(registry) = host.parse::<EcrRegistry>() else { return Ok(None) };
    let is_set = |name: &str| environment.get(name).is_some_and(|value| !value.is_empty());
    if !is_set("AWS_ENDPOINT_URL") && !is_set("AWS_ENDPOINT_URL_ECR") {
        return Ok(None);
    }
    let failed = |source| Error::Aws { action: format!("log in to {host}"), source };
    let login = login(&registry).await.map_err(failed)?;
    let Some(endpoint) = login.endpoint.split_once("://").map(|(_, host)| host.trim_end_matches('/').to_owned()) else {
        return Ok(None);
    };
    let credentials = EcrCredentials::new(environment);
    lock(&credentials.aliases).insert(endpoint.clone(), registry);
    let target = prefix.map_or_else(|| endpoint.clone(), |prefix| format!("{endpoint}/{prefix}"));
    Ok(Some((target, Credentials::new(credentials))))
}

async fn login(registry: &EcrRegistry) -> Result<RegistryLogin, shipper_aws::Error> {
    let mut options = SessionOptions::default();
    options.region = Some(registry.region.clone());
    let session = Session::open(&options).await;
    Ecr::new(&session, Some(registry.account.clone())).login().await
}

/// The user's credentials for Docker and podman, and for registries of ECR those of AWS.
struct EcrCredentials {
    files: CredentialSources,
    /// Hosts that stand in for a registry of ECR.
    aliases: Mutex<HashMap<String, EcrRegistry>>,
    /// Passwords by host, with the time to fetch them anew. Held while one is fetched, so that it is fetched once.
    logins: tokio::sync::Mutex<HashMap<String, (RegistryLogin, Instant)>>,
}

/// The part of a password's life after which another is fetched.
const RENEW: f64 = 0.8;

impl EcrCredentials {
    fn new(environment: &BTreeMap<String, String>) -> Self {
        Self { files: credential_files(environment), aliases: Mutex::default(), logins: tokio::sync::Mutex::default() }
    }

    async fn find(
        &self,
        host: &RegistryHost,
        repository: &RepositoryName,
        renew: bool,
    ) -> shipper_oci::Result<Option<Credential>> {
        let ecr = lock(&self.aliases).get(host.as_str()).cloned().or_else(|| host.as_str().parse().ok());
        let Some(ecr) = ecr else { return self.files.credential(host, repository, renew).await };
        // A login that was refused has expired: they last for twelve hours.
        if !renew && let Some(kept) = self.files.credential(host, repository, false).await? {
            return Ok(Some(kept));
        }
        let mut logins = self.logins.lock().await;
        if !renew
            && let Some((login, until)) = logins.get(host.as_str())
            && Instant::now() < *until
        {
            return Ok(Some(credential(login)));
        }
        let fetched = login(&ecr).await.map_err(|error| {
            let hint = error.hint().map_or_else(String::new, |hint| format!("; {hint}"));
            shipper_oci::Error::Credentials { registry: host.clone(), reason: format!("cannot {error}{hint}") }
        })?;
        let until = Instant::now() + fetched.life.mul_f64(RENEW).min(Duration::from_secs(12 * 3600));
        let found = credential(&fetched);
        logins.insert(host.as_str().to_owned(), (fetched, until));
        Ok(Some(found))
    }
}

fn credential(login: &RegistryLogin) -> Credential {
    Credential::Basic {
        username: login.username().to_owned(),
        password: Secret::new(login.expose_password().to_owned()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CredentialProvider for EcrCredentials {
    fn credential<'a>(
        &'a self,
        registry: &'a RegistryHost,
        repository: &'a RepositoryName,
        renew: bool,
    ) -> CredentialFuture<'a> {
        Box::pin(self.find(registry, repository, renew))
    }
}
