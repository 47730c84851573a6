//! The notes in a release of GitHub: read, changed, and read again.
//!
//! Invariants: the text of a release is written whole, for there is no other way, and only when what was read a moment before
//! has its block changed; success means that the text was read back. Who writes meanwhile is noticed and not overwritten twice.
//!
//! Source: GitHub documentation, "REST API endpoints for releases" and "Rate limits for the REST API".

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use shipper_oci::{Api, ApiAnswer, Secret};
use shipper_report::{ExitCode, with_notes};

use crate::project::client_options;
use crate::{Error, Project};

/// How often the text is written before somebody else's writing is an error.
const ROUNDS: usize = 3;
/// How often a request is repeated that came too early, and the longest wait before.
const PATIENCE: usize = 3;
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The longest text of a release, in characters.
const MAX_TEXT: usize = 125_000;
/// Where GitHub's API is.
const GITHUB: &str = "https://api.github.com";

/// A release whose notes are as they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedNotes {
    /// Where people read it.
    pub url: String,
    /// Whether it was changed.
    pub changed: bool,
}

/// Why a release does not have its notes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// There is no token.
    #[error("no token is given")]
    NoToken,
    /// There is no such release.
    #[error("there is no such release")]
    Absent,
    /// The token may not do this.
    #[error("the token may not do this{}", accepted.as_deref().map(|scope| format!("; accepted is {scope}")).unwrap_or_default())]
    Denied {
        /// What GitHub says that it accepts.
        accepted: Option<String>,
    },
    /// Too many requests, for longer than is waited.
    #[error("GitHub takes no more requests for now")]
    Limited,
    /// Somebody else writes its text again and again.
    #[error("its text was another one when it was read back, {ROUNDS} times")]
    Changing,
    /// The text would be longer than GitHub takes.
    #[error("its text would have {characters} characters, and may have {MAX_TEXT}")]
    TooLong {
        /// How many.
        characters: usize,
    },
    /// An answer that makes no sense.
    #[error("GitHub answered {status}")]
    Answer {
        /// Status of HTTP.
        status: u16,
    },
    /// No answer.
    #[error(transparent)]
    Http(#[from] shipper_oci::Error),
}

impl ReleaseError {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::NoToken | Self::TooLong { .. } | Self::Http(shipper_oci::Error::Options { .. }) => ExitCode::Usage,
            Self::Absent => ExitCode::No,
            Self::Changing => ExitCode::PushFailed,
            Self::Denied { .. } | Self::Limited | Self::Answer { .. } | Self::Http(_) => ExitCode::Unknown,
        }
    }

    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoToken => "set GITHUB_TOKEN to one with `contents: write`".to_owned(),
            Self::Denied { .. } => "give the job or the token `contents: write`".to_owned(),
            Self::Absent => "make the release first, as a draft or published; a tag is none".to_owned(),
            Self::Limited => "try again later".to_owned(),
            Self::Changing => "let one job write the release".to_owned(),
            _ => return None,
        })
    }
}

#[derive(Deserialize)]
struct Release {
    id: u64,
    tag_name: String,
    body: Option<String>,
    #[serde(default)]
    html_url: String,
}

/// Puts a block into the release of a tag, published or a draft, in a repository `OWNER/NAME`.
///
/// # Errors
/// [`Error::Release`]; [`Error::Notes`] where the marks of its text are not one pair.
pub async fn publish_notes(
    project: &Project,
    repository: &str,
    tag: &str,
    block: &str,
) -> Result<PublishedNotes, Error> {
    let release = format!("{repository} {tag}");
    let failed = |source| Error::Release { release: release.clone(), source };
    let variable = |name: &str| project.environment.get(name).filter(|value| !value.is_empty());
    let token = variable("GITHUB_TOKEN").or_else(|| variable("GH_TOKEN"));
    let token = Secret::new(token.ok_or_else(|| failed(ReleaseError::NoToken))?.clone());
    let address = variable("GITHUB_API_URL").map_or(GITHUB, String::as_str);
    let options = client_options(&project.environment, &project.logins);
    let api = options.and_then(|options| Api::new(address, &token, options));
    let releases = Releases { api: api.map_err(|source| failed(source.into()))?, repository };
    for round in 0..ROUNDS {
        let found = releases.find(tag).await.map_err(failed)?;
        let body = found.body.unwrap_or_default();
        let wanted = with_notes(&body, block).map_err(|source| Error::Notes { place: release.clone(), source })?;
        if is_same(&wanted, &body) {
            return Ok(PublishedNotes { url: found.html_url, changed: round > 0 });
        }
        let characters = wanted.chars().count();
        if characters > MAX_TEXT {
            return Err(failed(ReleaseError::TooLong { characters }));
        }
        releases.write(found.id, &wanted).await.map_err(failed)?;
        let read_back = releases.read(found.id).await.map_err(failed)?;
        if is_same(&wanted, read_back.body.as_deref().unwrap_or_default()) {
            return Ok(PublishedNotes { url: read_back.html_url, changed: true });
        }
    }
    Err(failed(ReleaseError::Changing))
}

/// Whether two texts differ in nothing but white space at their ends, which a host may cut.
fn is_same(one: &str, other: &str) -> bool {
    one.trim_end() == other.trim_end()
}

struct Releases<'a> {
    api: Api,
    repository: &'a str,
}

impl Releases<'_> {
    fn path<'p>(&'p self, rest: &[&'p str]) -> Vec<&'p str> {
        let (owner, name) = self.repository.split_once('/').unwrap_or((self.repository, ""));
        ["repos", owner, name, "releases"].into_iter().chain(rest.iter().copied()).collect()
    }

    /// The release of a tag. A draft has no address by its tag.
    async fn find(&self, tag: &str) -> Result<Release, ReleaseError> {
        let answer = self.asked(&self.path(&["tags", tag]), &[]).await?;
        if answer.status != 404 {
            return parsed(&answer);
        }
        let listed = self.asked(&self.path(&[]), &[("per_page", "100")]).await?;
        let all: Vec<Release> = parsed(&listed)?;
        all.into_iter().find(|release| release.tag_name == tag).ok_or(ReleaseError::Absent)
    }

    async fn read(&self, id: u64) -> Result<Release, ReleaseError> {
        parsed(&self.asked(&self.path(&[&id.to_string()]), &[]).await?)
    }

    async fn write(&self, id: u64, body: &str) -> Result<(), ReleaseError> {
        let document = serde_json::json!({ "body": body }).to_string().into_bytes();
        let id = id.to_string();
        let path = self.path(&[&id]);
        let answer = patiently(|| self.api.patch(&path, document.clone(), "write the release")).await?;
        parsed::<Release>(&answer).map(|_| ())
    }

    async fn asked(&self, path: &[&str], query: &[(&str, &str)]) -> Result<ApiAnswer, ReleaseError> {
        patiently(|| self.api.get(path, query, "read the release")).await
    }
}

/// Repeats a request that came too early, after the time that the answer tells.
async fn patiently<F>(request: impl Fn() -> F) -> Result<ApiAnswer, ReleaseError>
where
    F: Future<Output = shipper_oci::Result<ApiAnswer>>,
{
    for _ in 0..PATIENCE {
        let answer = request().await?;
        let Some(wait) = limited(&answer) else { return Ok(answer) };
        if wait > LONGEST_WAIT {
            break;
        }
        tokio::time::sleep(wait).await;
    }
    Err(ReleaseError::Limited)
}

/// How long to wait where there were too many requests.
fn limited(answer: &ApiAnswer) -> Option<Duration> {
    let told = answer.header("retry-after").and_then(|text| text.trim().parse().ok());
    let is_spent = answer.header("x-ratelimit-remaining") == Some("0");
    match answer.status {
        429 => Some(Duration::from_secs(told.unwrap_or(1))),
        403 if told.is_some() => told.map(Duration::from_secs),
        // Until the next hour.
        403 if is_spent => Some(Duration::MAX),
        _ => None,
    }
}

fn parsed<T: DeserializeOwned>(answer: &ApiAnswer) -> Result<T, ReleaseError> {
    match answer.status {
        200 => serde_json::from_slice(&answer.body).map_err(|_| ReleaseError::Answer { status: answer.status }),
        401 | 403 => {
            let accepted = answer.header("x-accepted-github-permissions").map(str::to_owned);
            Err(ReleaseError::Denied { accepted })
        }
        404 => Err(ReleaseError::Absent),
        status => Err(ReleaseError::Answer { status }),
    }
}
