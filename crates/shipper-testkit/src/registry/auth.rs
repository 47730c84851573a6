//! Who may do what: anonymous access, HTTP Basic, or Bearer tokens from an own token server.
//!
//! Invariants: each token is a text of its own that contains neither user nor password; a token opens only the scopes
//! it was issued for, and only for as many requests as the test allows.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::reply::Reply;
use super::route::Route;

/// What a client must show.
#[derive(Clone, Debug, Default)]
pub struct Auth(Mode);

#[derive(Clone, Debug, Default)]
enum Mode {
    #[default]
    Anonymous,
    Basic(Account),
    Bearer(Account),
}

#[derive(Clone, Debug)]
struct Account {
    user: String,
    password: String,
    anonymous_pull: bool,
    read_only: bool,
    uses: u64,
    /// Whether the next password is good for ever.
    once: bool,
    expires_in: Option<u64>,
    realm: Option<String>,
    field: &'static str,
}

impl Account {
    fn new(user: &str, password: &str) -> Self {
        Self {
            user: user.to_owned(),
            password: password.to_owned(),
            anonymous_pull: false,
            read_only: false,
            uses: u64::MAX,
            once: false,
            expires_in: Some(300),
            realm: None,
            field: "token",
        }
    }
}

impl Auth {
    /// Everybody may do everything.
    #[must_use]
    pub fn anonymous() -> Self {
        Self(Mode::Anonymous)
    }

    /// HTTP Basic with each request. For [`Profile::Ecr`](super::Profile::Ecr) the user is `AWS`.
    #[must_use]
    pub fn basic(user: &str, password: &str) -> Self {
        Self(Mode::Basic(Account::new(user, password)))
    }

    /// Bearer tokens from the token server, which takes these credentials by HTTP Basic (`GET`) or as a password or
    /// refresh-token grant (`POST`; the refresh token is the password).
    #[must_use]
    pub fn bearer(user: &str, password: &str) -> Self {
        Self(Mode::Bearer(Account::new(user, password)))
    }

    fn with(mut self, change: impl FnOnce(&mut Account)) -> Self {
        match &mut self.0 {
            Mode::Anonymous => panic!("anonymous access has no account to configure"),
            Mode::Basic(account) | Mode::Bearer(account) => change(account),
        }
        self
    }

    /// The token server gives pull tokens to clients without credentials. Bearer only.
    ///
    /// # Panics
    /// For anonymous access, as do the other settings.
    #[must_use]
    pub fn anonymous_pull(self) -> Self {
        self.with(|account| account.anonymous_pull = true)
    }

    /// The account may pull, but neither push nor delete.
    #[must_use]
    pub fn read_only(self) -> Self {
        self.with(|account| account.read_only = true)
    }

    /// A token (for Basic: the password, until [`set_password`](super::FakeRegistry::set_password)) is good for
    /// `count` requests and refused from then on.
    #[must_use]
    pub fn expires_after(self, count: u64) -> Self {
        self.with(|account| account.uses = count)
    }

    /// Basic only: as [`expires_after`](Self::expires_after), and the password that comes after it stays. However requests
    /// are interleaved, none meets a second password that has expired.
    #[must_use]
    pub fn expires_once_after(self, count: u64) -> Self {
        self.with(|account| (account.uses, account.once) = (count, true))
    }

    /// What the token answer says in `expires_in`, in seconds; `None` leaves it out.
    #[must_use]
    pub fn expires_in(self, seconds: Option<u64>) -> Self {
        self.with(|account| account.expires_in = seconds)
    }

    /// The challenge names this realm instead of the token server of the fixture.
    #[must_use]
    pub fn realm(self, url: &str) -> Self {
        self.with(|account| account.realm = Some(url.to_owned()))
    }

    /// The token answer uses the OAuth name `access_token` instead of `token`.
    #[must_use]
    pub fn access_token_field(self) -> Self {
        self.with(|account| account.field = "access_token")
    }
}

/// The right to do `action` (`pull`, `push`, `delete`) in a repository.
type Scope = (String, String);

#[derive(Debug)]
struct Token {
    scopes: Vec<Scope>,
    uses_left: u64,
}

/// Accounts and issued tokens of one server.
#[derive(Debug)]
pub(crate) struct Guard {
    auth: Auth,
    tokens: BTreeMap<String, Token>,
    issued: Vec<String>,
    password_uses: u64,
}

/// The request may go on, or gets this answer.
pub(super) type Verdict = Result<(), Box<Reply>>;

/// Where the guard's own servers are, for challenges.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) registry: String,
    pub(super) realm: String,
    pub(super) insufficient: u16,
    pub(super) ecr: bool,
}

impl Guard {
    pub(super) fn new(auth: Auth) -> Self {
        Self { auth, tokens: BTreeMap::new(), issued: Vec::new(), password_uses: 0 }
    }

    /// User name and password for a new login: another password where the present one is used up.
    pub(crate) fn login(&mut self) -> Option<(String, String)> {
        let Mode::Basic(account) = self.auth.0.clone() else { return None };
        if self.password_uses >= account.uses {
            self.set_password(&format!("{}'", account.password));
            if account.once {
                self.auth = self.auth.clone().with(|account| account.uses = u64::MAX);
            }
            return Some((account.user, format!("{}'", account.password)));
        }
        Some((account.user, account.password))
    }

    pub(super) fn issued(&self) -> Vec<String> {
        self.issued.clone()
    }

    pub(super) fn set_password(&mut self, password: &str) {
        self.password_uses = 0;
        self.auth = self.auth.clone().with(|account| password.clone_into(&mut account.password));
    }

    /// Forgets all tokens: the next request with one is refused.
    pub(super) fn revoke_tokens(&mut self) {
        self.tokens.clear();
    }

    /// Checks a request to the registry that needs these scopes.
    pub(super) fn check(&mut self, headers: &HeaderMap, scopes: &[Scope], names: &Names) -> Verdict {
        match self.auth.0.clone() {
            Mode::Anonymous => Ok(()),
            Mode::Basic(account) => self.check_basic(&account, headers, scopes, names),
            Mode::Bearer(account) => self.check_bearer(&account, headers, scopes, names),
        }
    }

    fn check_basic(&mut self, account: &Account, headers: &HeaderMap, scopes: &[Scope], names: &Names) -> Verdict {
        if basic(headers) != Some((account.user.clone(), account.password.clone())) {
            let realm = if names.ecr {
                format!("Basic realm=\"http://{}/\",service=\"ecr.amazonaws.com\"", names.registry)
            } else {
                "Basic realm=\"Registry\"".to_owned()
            };
            let reply = if names.ecr {
                Reply::text(401, "Not Authorized\n")
            } else {
                Reply::error(401, "UNAUTHORIZED", "authentication required")
            };
            return Err(Box::new(reply.header("www-authenticate", &realm)));
        }
        self.password_uses += 1;
        if self.password_uses > account.uses {
            let message = "Your authorization token has expired. Reauthenticate and try again.";
            return Err(Box::new(Reply::error(403, "DENIED", message)));
        }
        if account.read_only && scopes.iter().any(|(_, action)| action != "pull") {
            return Err(Box::new(Reply::error(403, "DENIED", "requested access to the resource is denied")));
        }
        Ok(())
    }

    fn check_bearer(&mut self, account: &Account, headers: &HeaderMap, scopes: &[Scope], names: &Names) -> Verdict {
        let presented = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        let Some(presented) = presented else {
            return Err(Box::new(challenge(account, scopes, names, None)));
        };
        let Some(token) = self.tokens.get_mut(presented).filter(|token| token.uses_left > 0) else {
            return Err(Box::new(challenge(account, scopes, names, Some("invalid_token"))));
        };
        token.uses_left -= 1;
        if scopes.iter().all(|scope| token.scopes.contains(scope)) {
            return Ok(());
        }
        if names.insufficient == 401 {
            return Err(Box::new(challenge(account, scopes, names, Some("insufficient_scope"))));
        }
        Err(Box::new(Reply::error(names.insufficient, "DENIED", "requested access to the resource is denied")))
    }

    /// The token server: `query` holds the parameters of a `GET`, or of the form of a `POST`.
    pub(super) fn token(&mut self, headers: &HeaderMap, query: &[(String, String)], method: &str) -> Reply {
        let Mode::Bearer(account) = self.auth.0.clone() else {
            return Reply::no_such_page();
        };
        let value = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let credentials = match (method, value("grant_type").as_deref()) {
            ("POST", Some("password")) => value("username").zip(value("password")),
            ("POST", Some("refresh_token")) => value("refresh_token").map(|token| (account.user.clone(), token)),
            ("GET", _) => basic(headers),
            _ => return Reply::error(405, "UNSUPPORTED", "the token server takes GET and grants by POST"),
        };
        let known = match credentials {
            Some(pair) if pair == (account.user.clone(), account.password.clone()) => true,
            None if account.anonymous_pull && method == "GET" => false,
            _ => return Reply::error(401, "UNAUTHORIZED", "incorrect username or password"),
        };
        let scopes = query.iter().filter(|(key, _)| key == "scope").flat_map(|(_, value)| requested(value));
        let granted = scopes.filter(|(_, action)| action == "pull" || (known && !account.read_only)).collect();
        self.issue(&account, granted)
    }

    fn issue(&mut self, account: &Account, scopes: Vec<Scope>) -> Reply {
        let text = format!("token-{}-{:032x}", self.issued.len(), fastrand::u128(..));
        self.issued.push(text.clone());
        let token = Token { scopes, uses_left: account.uses };
        self.tokens.insert(text.clone(), token);
        let mut answer = json!({ account.field: text });
        if let Some(seconds) = account.expires_in {
            answer["expires_in"] = json!(seconds);
        }
        Reply::json(200, &answer)
    }
}

/// `repository:a/b:pull,push repository:c:pull` as pairs.
fn requested(scope: &str) -> Vec<Scope> {
    let one = |text: &str| -> Option<Vec<Scope>> {
        let (_, rest) = text.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        let actions = if actions == "*" { "pull,push,delete,*" } else { actions };
        Some(actions.split(',').map(|action| (name.to_owned(), action.to_owned())).collect())
    };
    scope.split(' ').filter_map(one).flatten().collect()
}

fn challenge(account: &Account, scopes: &[Scope], names: &Names, error: Option<&str>) -> Reply {
    let realm = account.realm.as_ref().unwrap_or(&names.realm);
    let mut text = format!("Bearer realm=\"{realm}\",service=\"{}\"", names.registry);
    if let Some((name, _)) = scopes.first() {
        let actions: Vec<&str> =
            scopes.iter().filter(|(other, _)| other == name).map(|(_, action)| action.as_str()).collect();
        let kind = if name == "catalog" { "registry" } else { "repository" };
        text.push_str(&format!(",scope=\"{kind}:{name}:{}\"", actions.join(",")));
    }
    if let Some(error) = error {
        text.push_str(&format!(",error=\"{error}\""));
    }
    Reply::error(401, "UNAUTHORIZED", "authentication required").header("www-authenticate", &text)
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let decoded = STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// The scopes that a request needs; `mounted_from` is the repository that a blob mount reads.
pub(super) fn needed(route: &Route, method: &str, mounted_from: Option<&str>) -> Vec<Scope> {
    if *route == Route::Catalog {
        return vec![("catalog".to_owned(), "*".to_owned())];
    }
    let Some(name) = route.repository() else {
        return Vec::new();
    };
    let actions: &[&str] = match (route, method) {
        (_, "GET" | "HEAD") if !matches!(route, Route::Upload(..)) => &["pull"],
        (Route::Manifest(..) | Route::Blob(..), "DELETE") => &["delete"],
        _ => &["pull", "push"],
    };
    let mut scopes: Vec<Scope> = actions.iter().map(|action| (name.to_owned(), (*action).to_owned())).collect();
    if let Some(from) = mounted_from {
        scopes.push((from.to_owned(), "pull".to_owned()));
    }
    scopes
}
