//! Authentication at one registry: from a challenge and a credential to an `Authorization` header.
//!
//! Sources: "Token Authentication Specification" and "OAuth2 token authentication" of the Docker distribution project,
//! RFC 7617 for Basic.
//!
//! Invariants:
//! - a credential is sent to the registry itself or to a realm that [`crate::realm::check`] accepts, and nowhere else;
//! - a token server that fails is an error; it is never a reason to go on without a token;
//! - one token per set of scopes is fetched at a time, whoever else waits for it;
//! - a token's stated life only makes it be renewed early: an answer 401 renews it whatever it stated.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;
use url::Url;

use crate::challenge::{self, Challenge};
use crate::error::shown;
use crate::http::{Body, Call, Http, place};
use crate::{Access, Credential, Credentials, Error, RegistryHost, RepositoryName, Result, Secret, realm};

/// Longest answer of a token server, in bytes.
const MAX_TOKEN_ANSWER: u64 = 64 * 1024;
/// Longest token, in bytes.
const MAX_TOKEN: usize = 16 * 1024;
/// Life of a token that states none, by the token specification.
const DEFAULT_LIFE: Duration = Duration::from_secs(60);

/// What a request is allowed to do, by repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Scopes(BTreeMap<String, BTreeSet<String>>);

impl Scopes {
    /// `pull`, `push`, `delete` in one repository.
    pub(crate) fn repository(name: &RepositoryName, actions: &[&str]) -> Scopes {
        Scopes::default().and(name, actions)
    }

    /// Also these in another.
    pub(crate) fn and(mut self, name: &RepositoryName, actions: &[&str]) -> Scopes {
        self.0.entry(name.to_string()).or_default().extend(actions.iter().map(|action| (*action).to_owned()));
        self
    }

    fn covers(&self, other: &Scopes) -> bool {
        other.0.iter().all(|(name, actions)| self.0.get(name).is_some_and(|own| own.is_superset(actions)))
    }

    /// Adds what the registry says it wants, which may name the repository differently (virtual repositories).
    fn with_challenge(mut self, scope: &str) -> Scopes {
        const MOST: usize = 4;
        let plain = |text: &str| {
            (1..=300).contains(&text.len())
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/' | b'*'))
        };
        for scope in scope.split_ascii_whitespace().take(MOST) {
            let Some((name, actions)) = scope.strip_prefix("repository:").and_then(|rest| rest.rsplit_once(':')) else {
                continue;
            };
            if plain(name) && actions.split(',').all(plain) {
                self.0.entry(name.to_owned()).or_default().extend(actions.split(',').map(str::to_owned));
            }
        }
        self
    }

    fn parameters(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(name, actions)| {
            let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
            format!("repository:{name}:{}", actions.join(","))
        })
    }
}

/// How the registry wants requests to be authenticated, once it has said so.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mode {
    Unknown,
    Basic,
    Bearer { realm: Url, service: Option<String> },
}

struct Token {
    header: HeaderValue,
    obtained: Instant,
    renew_at: Instant,
}

/// A header that the registry refused: `None` when it was sent none.
#[derive(Clone, Copy)]
pub(crate) struct Refused<'a> {
    pub(crate) used: Option<&'a HeaderValue>,
    /// When the request was sent; a token fetched since then by another request is worth a try.
    pub(crate) sent: Instant,
}

type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// The credentials and tokens for one registry.
pub(crate) struct Authenticator {
    registry: RegistryHost,
    source: Credentials,
    mode: Mutex<Mode>,
    credentials: tokio::sync::Mutex<BTreeMap<RepositoryName, Option<Credential>>>,
    tokens: Mutex<HashMap<(RepositoryName, Scopes), Slot>>,
}

impl Authenticator {
    pub(crate) fn new(registry: RegistryHost, source: Credentials) -> Authenticator {
        Authenticator {
            registry,
            source,
            mode: Mutex::new(Mode::Unknown),
            credentials: tokio::sync::Mutex::default(),
            tokens: Mutex::default(),
        }
    }

    fn mode(&self) -> Mode {
        self.mode.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the registry has said how to authenticate.
    pub(crate) fn is_challenged(&self) -> bool {
        self.mode() != Mode::Unknown
    }

    /// Whether there are credentials for a repository.
    pub(crate) async fn has_credentials(&self, repository: &RepositoryName) -> Result<bool> {
        Ok(self.credential(repository).await?.is_some())
    }

    async fn credential(&self, repository: &RepositoryName) -> Result<Option<Credential>> {
        let mut known = self.credentials.lock().await;
        if let Some(credential) = known.get(repository) {
            return Ok(credential.clone());
        }
        let found = self.source.find(&self.registry, repository, None).await?;
        known.insert(repository.clone(), found.clone());
        Ok(found)
    }

    /// Another credential than `refused`: the one that another request fetched meanwhile, else what the source has now.
    /// `None` where there is no other.
    async fn other_credential(
        &self,
        repository: &RepositoryName,
        refused: Option<&Credential>,
    ) -> Result<Option<Credential>> {
        let mut known = self.credentials.lock().await;
        let mut now = known.get(repository).cloned().flatten();
        if now.as_ref() == refused {
            now = self.source.find(&self.registry, repository, refused).await?;
            known.insert(repository.clone(), now.clone());
        }
        Ok(now.filter(|now| Some(now) != refused))
    }

    /// The header to send with a request before the registry asks for it; `None` when it has never asked.
    pub(crate) async fn header(
        &self,
        http: &Http,
        repository: &RepositoryName,
        scopes: &Scopes,
    ) -> Result<Option<HeaderValue>> {
        match self.mode() {
            Mode::Unknown => Ok(None),
            // Without credentials, the registry says itself what a stranger may do.
            Mode::Basic if !self.has_credentials(repository).await? => Ok(None),
            Mode::Basic => self.basic(repository).await.map(Some),
            Mode::Bearer { realm, service } => {
                self.token(http, repository, scopes, scopes, &realm, service.as_deref(), None).await.map(Some)
            }
        }
    }

    /// Remembers how a 401 answer wants requests to be authenticated.
    pub(crate) fn learn(&self, http: &Http, headers: &HeaderMap) -> Result<()> {
        self.choose(http, headers).map(|_| ())
    }

    /// A header in answer to 401.
    pub(crate) async fn renew(
        &self,
        http: &Http,
        headers: &HeaderMap,
        repository: &RepositoryName,
        scopes: &Scopes,
        refused: Refused<'_>,
    ) -> Result<HeaderValue> {
        let challenge = self.choose(http, headers)?;
        match self.mode() {
            Mode::Bearer { realm, service } => {
                let asked = challenge.as_ref().and_then(|challenge| challenge.parameter("scope"));
                let wanted = asked.map_or_else(|| scopes.clone(), |asked| scopes.clone().with_challenge(asked));
                self.token(http, repository, scopes, &wanted, &realm, service.as_deref(), Some(refused)).await
            }
            Mode::Basic => {
                let Some(used) = refused.used else { return self.basic(repository).await };
                let renewed = self.renew_basic(repository, used).await?;
                renewed.ok_or_else(|| self.refused("the user name or password is not accepted"))
            }
            Mode::Unknown => Err(self.refused("it answered 401 without saying how to authenticate")),
        }
    }

    /// Another header under Basic than `used`, which was refused; `None` where there is none. Amazon ECR answers an expired
    /// password by 403.
    pub(crate) async fn renew_basic(
        &self,
        repository: &RepositoryName,
        used: &HeaderValue,
    ) -> Result<Option<HeaderValue>> {
        if self.mode() != Mode::Basic {
            return Ok(None);
        }
        let refused = self.credential(repository).await?;
        let now = self.basic_of(refused.as_ref())?;
        if now != *used {
            return Ok(Some(now));
        }
        let other = self.other_credential(repository, refused.as_ref()).await?;
        other.map(|other| self.basic_of(Some(&other))).transpose()
    }

    /// Picks the challenge to answer and remembers it: Bearer before Basic.
    fn choose(&self, http: &Http, headers: &HeaderMap) -> Result<Option<Challenge>> {
        let all: Vec<Challenge> = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(challenge::parse)
            .collect();
        let (mode, chosen) = if let Some(bearer) = all.iter().find(|challenge| challenge.scheme == "bearer") {
            let realm = self.realm(http, bearer)?;
            let service = bearer.parameter("service").map(str::to_owned);
            (Mode::Bearer { realm, service }, bearer)
        } else if let Some(basic) = all.iter().find(|challenge| challenge.scheme == "basic") {
            (Mode::Basic, basic)
        } else {
            return Ok(None);
        };
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
        Ok(Some(chosen.clone()))
    }

    fn realm(&self, http: &Http, challenge: &Challenge) -> Result<Url> {
        let refuse =
            |reason: String| Error::UnsafePeer { registry: self.registry.clone(), what: "token realm", reason };
        let text = challenge.parameter("realm").ok_or_else(|| refuse("the challenge names none".to_owned()))?;
        let shown = |text: &str| shown(&http.sent().clean(text));
        let realm: Url = text.parse().map_err(|_| refuse(format!("`{}` is not a URL", shown(text))))?;
        if http.is_trusted(&realm)
            && matches!(realm.scheme(), "https")
            && realm.username().is_empty()
            && realm.password().is_none()
        {
            return Ok(realm);
        }
        realm::check(&self.registry, &realm, http.is_plain())
            .map_err(|rule| refuse(format!("{}: {rule}", shown(&place(&realm)))))?;
        Ok(realm)
    }

    fn refused(&self, detail: &str) -> Error {
        Error::Unauthorized { registry: self.registry.clone(), detail: detail.to_owned() }
    }

    async fn basic(&self, repository: &RepositoryName) -> Result<HeaderValue> {
        self.basic_of(self.credential(repository).await?.as_ref())
    }

    fn basic_of(&self, credential: Option<&Credential>) -> Result<HeaderValue> {
        match credential {
            Some(Credential::Basic { username, password }) => basic_header(username, password),
            // ECR and others take a token as the password of this user.
            Some(Credential::RegistryToken(token)) => bearer_header(token.expose()),
            Some(Credential::IdentityToken(_)) => None,
            None => return Err(self.refused("it wants a user name and a password, and none were found")),
        }
        .ok_or_else(|| self.refused("the credentials found cannot be sent as Basic authentication"))
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one token request")]
    async fn token(
        &self,
        http: &Http,
        repository: &RepositoryName,
        needed: &Scopes,
        wanted: &Scopes,
        realm: &Url,
        service: Option<&str>,
        refused: Option<Refused<'_>>,
    ) -> Result<HeaderValue> {
        if refused.is_none()
            && let Some(header) = self.covering(repository, needed)
        {
            return Ok(header);
        }
        let slot = {
            let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(tokens.entry((repository.clone(), needed.clone())).or_default())
        };
        let mut slot = slot.lock().await;
        if let Some(token) = slot.as_ref().filter(|token| token.is_fresh(refused)) {
            return Ok(token.header.clone());
        }
        *slot = None;
        let credential = self.credential(repository).await?;
        let token = match self.fetch_token(http, credential.as_ref(), wanted, realm, service).await {
            // The password may have changed since it was read.
            Err(error @ Error::Unauthorized { .. }) => {
                let Some(other) = self.other_credential(repository, credential.as_ref()).await? else {
                    return Err(error);
                };
                self.fetch_token(http, Some(&other), wanted, realm, service).await
            }
            result => result,
        }?;
        let header = token.header.clone();
        *slot = Some(token);
        Ok(header)
    }

    /// A token at hand that allows more than is needed.
    fn covering(&self, repository: &RepositoryName, needed: &Scopes) -> Option<HeaderValue> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.iter().filter(|((owner, scopes), _)| owner == repository && scopes.covers(needed)).find_map(
            |(_, slot)| {
                let slot = slot.try_lock().ok()?;
                slot.as_ref().filter(|token| token.is_fresh(None)).map(|token| token.header.clone())
            },
        )
    }

    async fn fetch_token(
        &self,
        http: &Http,
        credential: Option<&Credential>,
        scopes: &Scopes,
        realm: &Url,
        service: Option<&str>,
    ) -> Result<Token> {
        let mut call = Call::new(Method::GET, realm.clone(), "fetch a token");
        let refresh = match credential {
            Some(Credential::RegistryToken(token)) => {
                let header = bearer_header(token.expose())
                    .ok_or_else(|| self.refused("the token found has characters that no header can hold"))?;
                return Ok(Token { header, obtained: Instant::now(), renew_at: Instant::now() + DEFAULT_LIFE });
            }
            Some(Credential::IdentityToken(token)) => Some(token),
            Some(Credential::Basic { username, password }) => {
                let header = basic_header(username, password)
                    .ok_or_else(|| self.refused("the user name holds a colon or a control character"))?;
                call.headers.insert(AUTHORIZATION, header);
                None
            }
            None => None,
        };
        match refresh {
            Some(token) => {
                http.sent().remember(token);
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                form.append_pair("grant_type", "refresh_token")
                    .append_pair("client_id", "shipper")
                    .append_pair("refresh_token", token.expose());
                form.append_pair("service", service.unwrap_or_default());
                form.append_pair("scope", &scopes.parameters().collect::<Vec<_>>().join(" "));
                call.method = Method::POST;
                call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
                call.body = Body::Bytes(Bytes::from(form.finish()));
            }
            None => {
                let mut query = call.url.query_pairs_mut();
                if let Some(service) = service {
                    query.append_pair("service", service);
                }
                for scope in scopes.parameters() {
                    query.append_pair("scope", &scope);
                }
            }
        }
        let mut reply = http.send(call).await?;
        let status = reply.status.as_u16();
        match status {
            200..=299 => {}
            300..=399 => {
                let reason = "it answers with a redirect, which is not followed with credentials".to_owned();
                return Err(Error::UnsafePeer { registry: self.registry.clone(), what: "token realm", reason });
            }
            // No text of the token server: it may repeat what it was sent.
            400 | 401 | 403 if credential.is_some() => {
                return Err(self.refused(&format!(
                    "the token server does not accept the user name or password (status {status})"
                )));
            }
            401 | 403 => {
                return Err(
                    self.refused(&format!("the token server wants credentials, and none were found (status {status})"))
                );
            }
            429 => {
                let retry_after = crate::retry::retry_after(reply.headers());
                return Err(Error::RateLimited {
                    registry: self.registry.clone(),
                    what: "fetch a token".to_owned(),
                    retry_after,
                });
            }
            _ => {
                let detail = "the token server failed".to_owned();
                return Err(Error::Registry {
                    registry: self.registry.clone(),
                    what: "fetch a token".to_owned(),
                    status,
                    detail,
                    access: Access::Read,
                });
            }
        }
        let body = reply.bytes(MAX_TOKEN_ANSWER).await?;
        let answer: TokenAnswer =
            serde_json::from_slice(&body).map_err(|_| reply.protocol("the token answer is not the expected JSON"))?;
        let text = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
        let header = text
            .and_then(|token| bearer_header(token.expose()))
            .ok_or_else(|| reply.protocol("the token answer holds no usable token"))?;
        let life =
            answer.expires_in.filter(|seconds| seconds.is_finite() && *seconds > 0.0).map_or(DEFAULT_LIFE, |seconds| {
                // No token is kept for longer than a day; a tenth of its life is margin.
                Duration::from_secs_f64(seconds.min(86_400.0) * 0.9)
            });
        Ok(Token { header, obtained: Instant::now(), renew_at: Instant::now() + life })
    }
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl Token {
    /// Still to be used; after a refusal, only when it is newer than that.
    fn is_fresh(&self, refused: Option<Refused<'_>>) -> bool {
        Instant::now() < self.renew_at
            && refused.is_none_or(|refused| self.obtained > refused.sent && refused.used != Some(&self.header))
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<Secret>,
    access_token: Option<Secret>,
    #[serde(default, deserialize_with = "number_or_nothing")]
    expires_in: Option<f64>,
}

/// A life that is not a number is as good as none.
fn number_or_nothing<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Ok(serde_json::Value::deserialize(deserializer)?.as_f64())
}

fn basic_header(username: &str, password: &Secret) -> Option<HeaderValue> {
    if username.contains(':') || username.chars().chain(password.expose().chars()).any(char::is_control) {
        return None;
    }
    let pair = format!("{username}:{}", password.expose());
    sensitive(&format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)))
}

fn bearer_header(token: &str) -> Option<HeaderValue> {
    let plain = (1..=MAX_TOKEN).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    if plain { sensitive(&format!("Bearer {token}")) } else { None }
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> RepositoryName {
        text.parse().unwrap()
    }

    #[test]
    fn scopes_print_sorted_and_cover_their_parts() {
        let scopes = Scopes::repository(&name("b/c"), &["push", "pull"]).and(&name("a"), &["pull"]);
        assert_eq!(scopes.parameters().collect::<Vec<_>>(), ["repository:a:pull", "repository:b/c:pull,push"]);
        assert!(scopes.covers(&Scopes::repository(&name("b/c"), &["pull"])));
        assert!(!scopes.covers(&Scopes::repository(&name("a"), &["push"])));
    }

    #[test]
    fn a_challenge_adds_only_well_formed_repository_scopes() {
        let own = Scopes::repository(&name("a"), &["pull"]);
        let wanted = own.clone().with_challenge(
            "repository:virtual/a:pull,push registry:catalog:* repository:x&y:pull repository:a:delete",
        );
        assert_eq!(
            wanted.parameters().collect::<Vec<_>>(),
            ["repository:a:delete,pull", "repository:virtual/a:pull,push"]
        );
        assert_eq!(own.clone().with_challenge("repository repository: repository:: a:b"), own);
    }

    #[test]
    fn headers_hold_no_control_characters_and_are_marked_sensitive() {
        assert_eq!(basic_header("AWS", &"p".into()).unwrap(), "Basic QVdTOnA=");
        assert!(basic_header("a:b", &"p".into()).is_none());
        assert!(basic_header("a", &"p\r\nX: y".into()).is_none());
        assert_eq!(bearer_header("abc").unwrap(), "Bearer abc");
        assert!(bearer_header("abc").unwrap().is_sensitive());
        for bad in ["", "a b", "a\nb", "é", &"a".repeat(MAX_TOKEN + 1)] {
            assert!(bearer_header(bad).is_none());
        }
    }
}
