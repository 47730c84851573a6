//! Where user names and passwords come from: Docker's and podman's files, and credential helpers.
//!
//! Sources: the Docker command line's `config.json` (`auths`, `credsStore`, `credHelpers`), containers-auth.json(5) of
//! podman and skopeo (search order, keys with a path), the credential helper protocol of docker-credential-helpers.
//!
//! Invariants: nothing is read before a registry is first asked for something; the environment and the home directory
//! are values of [`CredentialSources`], not read from the process behind the caller's back; a file that cannot be read is
//! an error and never "no credentials".

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::error::shown;
use crate::{Error, RegistryHost, RepositoryName, Result, Secret};

/// What a registry or its token server is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// User name and password.
    Basic {
        /// User name; `AWS` for Amazon ECR.
        username: String,
        /// Password or access token.
        password: Secret,
    },
    /// An OAuth refresh token (`identitytoken`), exchanged at the token server.
    IdentityToken(Secret),
    /// A token that the registry takes as it is (`registrytoken`).
    RegistryToken(Secret),
}

/// The answer of a [`CredentialProvider`].
pub type CredentialFuture<'a> = Pin<Box<dyn Future<Output = Result<Option<Credential>>> + Send + 'a>>;

/// Gives credentials when asked, for example from a cloud's API.
pub trait CredentialProvider: Send + Sync {
    /// The credential for a repository; `None` for anonymous access.
    ///
    /// `refused` is the one that the registry has refused, if that is why this is asked: a provider that keeps its answers
    /// fetches another only where what it keeps is that one. So requests that are refused together lead to one renewal,
    /// whichever repositories of the registry they are for. To answer with `refused` is to say that there is no other.
    fn credential<'a>(
        &'a self,
        registry: &'a RegistryHost,
        repository: &'a RepositoryName,
        refused: Option<&'a Credential>,
    ) -> CredentialFuture<'a>;
}

/// A shared [`CredentialProvider`].
#[derive(Clone)]
pub struct Credentials(Arc<dyn CredentialProvider>);

impl Credentials {
    /// No credentials for anybody.
    #[must_use]
    pub fn anonymous() -> Credentials {
        Credentials::fixed(BTreeMap::new())
    }

    /// Credentials known beforehand, by registry.
    #[must_use]
    pub fn fixed(by_registry: BTreeMap<RegistryHost, Credential>) -> Credentials {
        Credentials::new(Fixed(by_registry))
    }

    /// Files and helpers as [`CredentialSources::from_env`] finds them.
    #[must_use]
    pub fn from_env() -> Credentials {
        Credentials::new(CredentialSources::from_env())
    }

    /// Another source.
    pub fn new(provider: impl CredentialProvider + 'static) -> Credentials {
        Credentials(Arc::new(provider))
    }

    pub(crate) async fn find(
        &self,
        registry: &RegistryHost,
        repository: &RepositoryName,
        refused: Option<&Credential>,
    ) -> Result<Option<Credential>> {
        self.0.credential(registry, repository, refused).await
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

struct Fixed(BTreeMap<RegistryHost, Credential>);

impl CredentialProvider for Fixed {
    fn credential<'a>(
        &'a self,
        registry: &'a RegistryHost,
        _: &'a RepositoryName,
        _: Option<&'a Credential>,
    ) -> CredentialFuture<'a> {
        Box::pin(async move { Ok(self.0.get(registry).cloned()) })
    }
}

/// What helpers said, by helper and server.
type HelperAnswers = BTreeMap<(String, String), Option<Credential>>;

/// The files to search, in order, and the environment in which helpers run.
#[derive(Clone)]
pub struct CredentialSources {
    /// Files in the format of Docker's `config.json`; missing ones are skipped. The first that knows the registry wins.
    pub files: Vec<PathBuf>,
    /// The whole environment of credential helpers; their `PATH` is where they are looked for.
    pub environment: BTreeMap<OsString, OsString>,
    /// How long a helper may take.
    pub helper_timeout: Duration,
    helpers: Arc<tokio::sync::Mutex<HelperAnswers>>,
}

impl CredentialSources {
    /// The files that Docker and podman would read for the user of this process, in this order: `$REGISTRY_AUTH_FILE`,
    /// `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`, `$XDG_RUNTIME_DIR/containers/auth.json`,
    /// `$XDG_CONFIG_HOME/containers/auth.json` or `~/.config/containers/auth.json`.
    #[must_use]
    pub fn from_env() -> CredentialSources {
        CredentialSources::from_environment(std::env::vars_os().collect(), std::env::home_dir().as_deref())
    }

    /// The same for a given environment and home directory.
    #[must_use]
    pub fn from_environment(environment: BTreeMap<OsString, OsString>, home: Option<&Path>) -> CredentialSources {
        let variable = |name: &str| {
            environment.get(std::ffi::OsStr::new(name)).filter(|value| !value.is_empty()).map(PathBuf::from)
        };
        let in_home = |below: &str| home.map(|home| home.join(below));
        let files = [
            variable("REGISTRY_AUTH_FILE"),
            variable("DOCKER_CONFIG").or_else(|| in_home(".docker")).map(|dir| dir.join("config.json")),
            variable("XDG_RUNTIME_DIR").map(|dir| dir.join("containers").join("auth.json")),
            variable("XDG_CONFIG_HOME")
                .or_else(|| in_home(".config"))
                .map(|dir| dir.join("containers").join("auth.json")),
        ];
        CredentialSources {
            files: files.into_iter().flatten().collect(),
            environment,
            helper_timeout: Duration::from_secs(30),
            helpers: Arc::default(),
        }
    }

    async fn find(
        &self,
        registry: &RegistryHost,
        repository: &RepositoryName,
        refused: Option<&Credential>,
    ) -> Result<Option<Credential>> {
        for path in &self.files {
            let failed = |reason: String| Error::Credentials { registry: registry.clone(), reason };
            let file = match tokio::fs::read(path).await {
                Ok(bytes) => {
                    AuthFile::parse(&bytes).map_err(|reason| failed(format!("{}: {reason}", path.display())))?
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                    continue;
                }
                Err(error) => return Err(failed(format!("{}: {error}", path.display()))),
            };
            if let Some(helper) = file.helper_for(registry)
                && let Some(credential) = self.ask_helper(helper, registry, refused).await?
            {
                return Ok(Some(credential));
            }
            if let Some(entry) = file.entry_for(registry, repository)
                && let Some(credential) =
                    entry.credential().map_err(|reason| failed(format!("{}: {reason}", path.display())))?
            {
                return Ok(Some(credential));
            }
        }
        Ok(None)
    }

    /// Asks a helper once per server, and again when what it said was refused.
    async fn ask_helper(
        &self,
        helper: &str,
        registry: &RegistryHost,
        refused: Option<&Credential>,
    ) -> Result<Option<Credential>> {
        let server = if is_docker_hub(registry) { DOCKER_HUB_KEY } else { registry.as_str() };
        let key = (helper.to_owned(), server.to_owned());
        // Held while the helper runs, so that many repositories of one registry start it once.
        let mut known = self.helpers.lock().await;
        if let Some(credential) = known.get(&key)
            && (refused.is_none() || credential.as_ref() != refused)
        {
            return Ok(credential.clone());
        }
        let credential = self.run_helper(helper, server).await.map_err(|reason| Error::Credentials {
            registry: registry.clone(),
            reason: format!("docker-credential-{}: {reason}", shown(helper)),
        })?;
        known.insert(key, credential.clone());
        Ok(credential)
    }

    async fn run_helper(&self, helper: &str, server: &str) -> Result<Option<Credential>, String> {
        /// A helper answers with a user name and a token.
        const MAX_OUTPUT: u64 = 64 * 1024;

        if helper.is_empty()
            || !helper.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        {
            return Err("the helper's name has characters other than letters, digits, `-`, `_` and `.`".to_owned());
        }
        let mut child = self.spawn_helper(helper).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => "the program is not installed".to_owned(),
            _ => error.to_string(),
        })?;
        let talk = async {
            if let Some(mut stdin) = child.stdin.take() {
                // A helper that does not read its input closes it; its answer tells more than this error.
                let _ = stdin.write_all(server.as_bytes()).await;
            }
            let mut output = Vec::new();
            if let Some(stdout) = child.stdout.take() {
                stdout.take(MAX_OUTPUT + 1).read_to_end(&mut output).await.map_err(|error| error.to_string())?;
            }
            if output.len() as u64 > MAX_OUTPUT {
                return Err("it prints too much".to_owned());
            }
            let status = child.wait().await.map_err(|error| error.to_string())?;
            Ok((status, output))
        };
        let (status, output) = tokio::time::timeout(self.helper_timeout, talk)
            .await
            .map_err(|_| format!("it did not answer within {}s", self.helper_timeout.as_secs()))??;
        if !status.success() {
            let message = String::from_utf8_lossy(&output);
            // The protocol has no code for this; these are the texts of the common helpers.
            let absent = ["credentials not found", "no credentials", "not found in native keychain"];
            if absent.iter().any(|text| message.to_ascii_lowercase().contains(text)) {
                return Ok(None);
            }
            return Err(format!("it ended with {status}: {}", shown(message.trim())));
        }
        let answer: HelperAnswer =
            serde_json::from_slice(&output).map_err(|_| "its answer is not the expected JSON".to_owned())?;
        Ok(match answer.username.as_str() {
            _ if answer.secret.is_empty() => None,
            "<token>" => Some(Credential::IdentityToken(answer.secret)),
            _ => Some(Credential::Basic { username: answer.username, password: answer.secret }),
        })
    }

    fn spawn_helper(&self, helper: &str) -> io::Result<tokio::process::Child> {
        // On Windows a helper may be a program or a script that stands in for one.
        let endings: &[&str] = if cfg!(windows) { &[".exe", ".cmd"] } else { &[""] };
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for ending in endings {
            let spawned = tokio::process::Command::new(format!("docker-credential-{helper}{ending}"))
                .arg("get")
                .env_clear()
                .envs(&self.environment)
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::null())
                .kill_on_drop(true)
                .spawn();
            match spawned {
                Ok(child) => return Ok(child),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl fmt::Debug for CredentialSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The environment may hold secrets.
        f.debug_struct("CredentialSources").field("files", &self.files).finish_non_exhaustive()
    }
}

impl CredentialProvider for CredentialSources {
    fn credential<'a>(
        &'a self,
        registry: &'a RegistryHost,
        repository: &'a RepositoryName,
        refused: Option<&'a Credential>,
    ) -> CredentialFuture<'a> {
        Box::pin(self.find(registry, repository, refused))
    }
}

/// The key under which Docker keeps the credentials of Docker Hub.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

fn is_docker_hub(registry: &RegistryHost) -> bool {
    matches!(registry.as_str(), "docker.io" | "index.docker.io" | "registry-1.docker.io")
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    #[serde(default)]
    username: String,
    secret: Secret,
}

/// The part of `config.json` that is read; everything else in it is somebody else's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthFile {
    #[serde(default)]
    auths: Option<BTreeMap<String, Entry>>,
    #[serde(default)]
    creds_store: Option<String>,
    #[serde(default)]
    cred_helpers: Option<BTreeMap<String, String>>,
}

impl AuthFile {
    fn parse(bytes: &[u8]) -> Result<AuthFile, String> {
        // The parser's message would quote the file, and so perhaps a password; the place is enough.
        serde_json::from_slice(bytes)
            .map_err(|error| format!("line {}, column {}: not the expected JSON", error.line(), error.column()))
    }

    fn helper_for(&self, registry: &RegistryHost) -> Option<&str> {
        let named =
            self.cred_helpers.iter().flatten().filter_map(|(key, helper)| Some((names(key, registry)?, helper)));
        let own = named.filter(|(found, _)| found.path.is_empty()).max_by_key(|(found, _)| found.exact);
        own.map(|(_, helper)| helper.as_str()).or(self.creds_store.as_deref()).filter(|helper| !helper.is_empty())
    }

    /// The entry with the longest path that leads to the repository; of a wildcard only where none names the host.
    fn entry_for(&self, registry: &RegistryHost, repository: &RepositoryName) -> Option<&Entry> {
        let leads = |path: &str| {
            path.is_empty()
                || repository.as_str().strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.auths
            .iter()
            .flatten()
            .filter_map(|(key, entry)| Some((names(key, registry).filter(|found| leads(found.path))?, entry)))
            .filter(|(_, entry)| !entry.is_empty())
            .max_by_key(|(found, _)| (found.exact, found.path.len()))
            .map(|(_, entry)| entry)
    }
}

/// How a key names a registry.
struct Named<'a> {
    /// Not by a wildcard.
    exact: bool,
    /// What stands after the host.
    path: &'a str,
}

/// Whether a key names the registry. Keys are hosts, hosts with a path, or URLs whose path is a version of the API
/// (`https://index.docker.io/v1/`); labels of a host may be wildcards, as Kubernetes has it (`*.dkr.ecr.eu-west-1.amazonaws.com`).
fn names<'a>(key: &'a str, registry: &RegistryHost) -> Option<Named<'a>> {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let (host, path) = key.split_once('/').unwrap_or((key, ""));
    let path = path.trim_end_matches('/');
    let path = if matches!(path, "v1" | "v2") { "" } else { path };
    if host.contains('*') {
        return covers(&host.to_ascii_lowercase(), registry).then_some(Named { exact: false, path });
    }
    let host = host.to_ascii_lowercase().parse::<RegistryHost>().ok()?;
    (host == *registry || (is_docker_hub(&host) && is_docker_hub(registry))).then_some(Named { exact: true, path })
}

/// Whether a host with wildcards is meant for a registry: label by label, with the same port. The last two labels must be
/// written out, because a password is nobody's who happens to have a name below a top-level domain.
///
/// Source: Kubernetes, "Images", section "Interpretation of config.json".
fn covers(pattern: &str, registry: &RegistryHost) -> bool {
    let (name, port) = match pattern.rsplit_once(':') {
        Some((name, port)) => match port.parse::<u16>() {
            Ok(port) => (name, Some(port)),
            Err(_) => return false,
        },
        None => (pattern, None),
    };
    let (wanted, labels): (Vec<&str>, Vec<&str>) = (name.split('.').collect(), registry.name().split('.').collect());
    let written_out = wanted.iter().rev().take(2).all(|label| !label.contains('*'));
    port == registry.port()
        && wanted.len() == labels.len()
        && wanted.len() > 2
        && written_out
        && wanted.iter().zip(labels).all(|(wanted, label)| matches(wanted, label))
}

/// Whether a label is of a pattern in which `*` stands for any characters.
fn matches(pattern: &str, label: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = label.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: Option<Secret>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<Secret>,
    #[serde(default)]
    identitytoken: Option<Secret>,
    #[serde(default)]
    registrytoken: Option<Secret>,
}

impl Entry {
    /// Docker leaves an empty entry for a registry whose credentials are in a store.
    fn is_empty(&self) -> bool {
        let filled = |secret: &Option<Secret>| secret.as_ref().is_some_and(|secret| !secret.is_empty());
        !(filled(&self.auth) || filled(&self.password) || filled(&self.identitytoken) || filled(&self.registrytoken))
    }

    fn credential(&self) -> Result<Option<Credential>, String> {
        let filled = |secret: &Option<Secret>| secret.clone().filter(|secret| !secret.is_empty());
        if let Some(token) = filled(&self.registrytoken) {
            return Ok(Some(Credential::RegistryToken(token)));
        }
        if let Some(token) = filled(&self.identitytoken) {
            return Ok(Some(Credential::IdentityToken(token)));
        }
        if let Some(auth) = filled(&self.auth) {
            let wrong = || "an `auth` field is not `user:password` in base64".to_owned();
            let bytes = base64::engine::general_purpose::STANDARD.decode(auth.expose().trim()).map_err(|_| wrong())?;
            let text = String::from_utf8(bytes).map_err(|_| wrong())?;
            let (username, password) = text.split_once(':').ok_or_else(wrong)?;
            // Docker pads with NUL.
            let password = Secret::new(password.trim_end_matches('\0'));
            return Ok(Some(Credential::Basic { username: username.to_owned(), password }));
        }
        Ok(filled(&self.password)
            .map(|password| Credential::Basic { username: self.username.clone().unwrap_or_default(), password }))
    }
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
