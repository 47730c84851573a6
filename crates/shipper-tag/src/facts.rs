//! Facts about a run: all that a policy is evaluated on, as a document that can be kept and evaluated again.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use semver::Version;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Error;

/// What a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// A branch was pushed.
    Push,
    /// A pull or merge request.
    PullRequest,
    /// A merge queue tries a pull request on the newest state of its base.
    MergeQueue,
    /// A git tag was pushed, or a release published.
    Tag,
    /// By the clock.
    Schedule,
    /// Somebody asked for it.
    Manual,
    /// On somebody's machine.
    Local,
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Push => "a push",
            Self::PullRequest => "a pull request",
            Self::MergeQueue => "a merge queue run",
            Self::Tag => "a tag",
            Self::Schedule => "a scheduled run",
            Self::Manual => "a manual run",
            Self::Local => "a local run",
        })
    }
}

/// A pull or merge request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PullRequest {
    /// Its number in the project.
    pub number: u64,
    /// The branch that it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// The branch that it goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Whether it comes from another repository.
    #[serde(default)]
    pub fork: bool,
}

/// The id of a git object: 40 or 64 hex digits in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(String);

impl ObjectId {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ObjectId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err(Error::Facts { problem: format!("{:?} is no git object id", text.chars().take(80).collect::<String>()) })
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A time in UTC to the second, `2026-11-27T03:45:00Z`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UtcTime(String);

impl UtcTime {
    /// The time as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The day as eight digits.
    #[must_use]
    pub fn day(&self) -> String {
        self.0[..10].replace('-', "")
    }
}

impl FromStr for UtcTime {
    type Err = Error;

    /// Reads RFC 3339 with `Z`; a fraction of a second is cut off.
    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || Error::Facts { problem: format!("{text:?} is no time such as 2026-11-27T03:45:00Z") };
        let seconds = text.strip_suffix('Z').ok_or_else(invalid)?;
        let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
        let shape = "dddd-dd-ddTdd:dd:dd";
        let fits = seconds.len() == shape.len()
            && seconds.bytes().zip(shape.bytes()).all(|(byte, want)| match want {
                b'd' => byte.is_ascii_digit(),
                _ => byte == want,
            });
        if !fits || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid());
        }
        let number = |at: usize| seconds[at..at + 2].parse::<u8>().unwrap_or(u8::MAX);
        let ranges = [(5, 1, 12), (8, 1, 31), (11, 0, 23), (14, 0, 59), (17, 0, 60)];
        if ranges.iter().any(|(at, least, most)| !(*least..=*most).contains(&number(*at))) {
            return Err(invalid());
        }
        Ok(Self(format!("{seconds}Z")))
    }
}

/// serde through text, for newtypes whose constructors validate.
macro_rules! text_serde {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

text_serde!(ObjectId);
text_serde!(UtcTime);

/// Everything that names are made of. What is not known is absent, and rules that need it give no name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Facts {
    /// `1.0`.
    pub format: String,
    /// Who told: `github`, `gitlab`, `circleci`, `buildkite`, `codebuild` or `local`.
    pub source: String,
    /// What the run is.
    pub trigger: Trigger,
    /// The commit that names are made of: the head of a pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<ObjectId>,
    /// The commit that is built: for a pull request it may be a merge commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built: Option<ObjectId>,
    /// The tree of that commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<ObjectId>,
    /// How many digits of the commit tell it from every other object, where the object store is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unambiguous_digits: Option<u8>,
    /// The branch that was pushed or is checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The git tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<String>,
    /// The pull or merge request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<PullRequest>,
    /// Whether files are not as in the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dirty: Option<bool>,
    /// Every version there is; absent where that is not known, which is not the same as none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<BTreeSet<Version>>,
    /// The time of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<UtcTime>,
    /// The time of the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_time: Option<UtcTime>,
    /// The service that is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Its build key: 64 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<ObjectId>,
}

impl Facts {
    /// Facts that say nothing but what a run is and who tells.
    #[must_use]
    pub fn new(source: impl Into<String>, trigger: Trigger) -> Self {
        Self {
            format: "1.0".to_owned(),
            source: source.into(),
            trigger,
            commit: None,
            built: None,
            tree: None,
            unambiguous_digits: None,
            branch: None,
            tag: None,
            default_branch: None,
            pull_request: None,
            dirty: None,
            versions: None,
            now: None,
            commit_time: None,
            service: None,
            content: None,
        }
    }

    /// The run in a few words: `a push to main`.
    #[must_use]
    pub fn describe(&self) -> String {
        let number = self.pull_request.as_ref().map(|pr| pr.number);
        match (self.trigger, &self.branch, &self.tag, number) {
            (Trigger::PullRequest, _, _, Some(number)) => format!("pull request {number}"),
            (Trigger::Push, Some(branch), ..) => format!("a push to `{branch}`"),
            (Trigger::Manual, Some(branch), ..) => format!("a manual run on `{branch}`"),
            (Trigger::Tag, _, Some(tag), _) => format!("the tag `{tag}`"),
            (trigger, ..) => trigger.to_string(),
        }
    }
}
