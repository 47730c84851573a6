//! What is written down about a deployment. One document says everything that a rollback needs: images by digest, and the
//! targets as they were.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Holder, RecordId};

/// Version of the document: the minor part grows when fields are added, the major part when they change.
pub const FORMAT: &str = "1.1";

/// How many digests a record keeps of each service: what runs, and what ran before.
pub const MOST_OBSERVED: usize = 4;

/// How far a deployment has come. Each state is an artifact of its own; none is ever changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is about to change the environment.
    Intent,
    /// Every target took its digests.
    Applied,
    /// The targets run them. The end of a deployment that succeeded.
    Observed,
    /// It failed or was interrupted.
    Failed,
    /// It stepped back for another one, before it changed anything.
    Withdrawn,
}

impl State {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Intent, Self::Applied, Self::Observed, Self::Failed, Self::Withdrawn];

    /// The word in tags and documents.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Applied => "applied",
            Self::Observed => "observed",
            Self::Failed => "failed",
            Self::Withdrawn => "withdrawn",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// Whether nothing follows.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Observed | Self::Failed | Self::Withdrawn)
    }
}

/// What a deployment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// To bring images out.
    Deploy,
    /// To bring back what ran before.
    Rollback,
    /// To set the environment up, before anything is brought out.
    Bootstrap,
    /// To remove the environment.
    Undeploy,
}

impl Kind {
    /// The word in documents.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Rollback => "rollback",
            Self::Bootstrap => "bootstrap",
            Self::Undeploy => "undeploy",
        }
    }

    /// Whether images are brought out by it.
    #[must_use]
    pub fn deploys(self) -> bool {
        matches!(self, Self::Deploy | Self::Rollback)
    }
}

/// The way that a deployment took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Path {
    /// The environment was there.
    Fast,
    /// The environment was proven not to be there, and its `bootstrap` ran first.
    Bootstrap,
    /// The targets ran without images, to build by themselves.
    Inline,
}

impl Path {
    /// The word in documents.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Bootstrap => "bootstrap",
            Self::Inline => "inline",
        }
    }
}

/// An image of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Image {
    /// Name of the repository in the registry that the record lies in.
    pub repository: String,
    /// `host/repository@sha256:..`.
    pub reference: String,
    /// Digest of the manifest or index.
    pub digest: String,
    /// A tag that it was found under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Its whole build key, where it carries one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Whether a step hands images over or follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It deploys images.
    Target,
    /// It follows the targets.
    After,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepOutcome {
    /// It is due.
    Pending,
    /// It succeeded.
    Ok,
    /// It failed.
    Failed,
    /// It is as it should be and was not run.
    Unchanged,
    /// It was due and was not run, because another one failed or the run was interrupted.
    Skipped,
}

/// What a step did when it last succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Success {
    /// Hash of its command, its declared variables and its input files.
    pub fingerprint: String,
    /// Digests by service that it was given.
    pub images: BTreeMap<String, String>,
}

/// A service that gets its image by its own interface, with all that is needed to find it without a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A service of Amazon ECS.
    #[serde(rename_all = "kebab-case")]
    Ecs {
        /// Name or ARN of the cluster.
        cluster: String,
        /// Name of the service.
        service: String,
        /// Name of the container that gets the image.
        container: String,
        /// Where and as whom AWS is called.
        #[serde(flatten)]
        session: AwsSession,
    },
    /// A function of AWS Lambda.
    #[serde(rename_all = "kebab-case")]
    Lambda {
        /// Name or ARN of the function.
        function: String,
        /// Name of the alias that callers use.
        alias: String,
        /// Where and as whom AWS is called.
        #[serde(flatten)]
        session: AwsSession,
    },
}

/// Region and profile of AWS; what is absent is found as AWS tools do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AwsSession {
    /// The region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

/// A target or a step after the targets, as it was configured, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Step {
    /// Its name, unique in the record.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// The command as it is written, placeholders and all; empty where there is a `target`.
    pub run: Vec<String>,
    /// What gets its image by its own interface, in the place of a command. Its image is that of the one service in `services`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Its own variables as they are written.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Which of the caller's variables it sees: names, and beginnings of names with a `*`. Never values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pass_env: Vec<String>,
    /// The command whose exit code says whether the target runs what it should.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub check: Vec<String>,
    /// Services whose images it deploys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// Patterns of the files that it depends on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// How long it may take, in milliseconds.
    pub timeout_ms: u64,
    /// Hash of its command, its declared variables and its input files.
    pub fingerprint: String,
    /// What became of it.
    pub outcome: StepOutcome,
    /// How long it took, in milliseconds; 0 where it did not run.
    #[serde(default)]
    pub duration_ms: u64,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What it did when it last succeeded, in this deployment or an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<Success>,
}

/// One state of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// [`FORMAT`].
    pub format: String,
    /// Name of the deployment.
    pub id: RecordId,
    /// How far it had come when this was written.
    pub state: State,
    /// The deployment before it.
    pub previous: Option<RecordId>,
    /// What it is for.
    pub kind: Kind,
    /// The way that it took.
    pub path: Path,
    /// When it began, RFC 3339 in UTC. Told to people; the order follows `previous`.
    pub began: String,
    /// When this state was written.
    pub written: String,
    /// Who or what began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The commit that was checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The branch that was checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// For a rollback, the deployment whose images it brought back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restores: Option<RecordId>,
    /// Nobody works on it any more, although it is not done: its targets were changed and not waited for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub released: bool,
    /// Whose process it is, and until when it may be alive.
    pub holder: Holder,
    /// Images by service: all of the environment.
    pub images: BTreeMap<String, Image>,
    /// Targets, then the steps after them, in their order.
    pub steps: Vec<Step>,
    /// Digests by service that ran, the newest first, at most [`MOST_OBSERVED`], no duplicates.
    #[serde(default)]
    pub observed: BTreeMap<String, Vec<String>>,
    /// `cannot ...` and its causes, where it failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failure: Vec<String>,
}

impl Record {
    /// The bytes of the document.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("because a record has texts as keys and nothing that is not JSON")
    }

    /// Reads a document. `name` is what it was found under.
    ///
    /// # Errors
    /// [`Error::NewerFormat`], [`Error::Document`].
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Self, Error> {
        let problem = |problem: String| Error::Document { name: name.to_owned(), problem };
        let value: Value = serde_json::from_slice(bytes).map_err(|error| problem(error.to_string()))?;
        let format = value["format"].as_str().unwrap_or_default();
        let major = |format: &str| format.split('.').next().map(str::to_owned);
        if major(format) != major(FORMAT) {
            return Err(Error::NewerFormat { name: name.to_owned(), format: format.to_owned() });
        }
        serde_json::from_value(value).map_err(|error| problem(error.to_string()))
    }

    /// Takes the images as what runs now.
    pub fn observe(&mut self) {
        for (service, image) in &self.images {
            let digests = self.observed.entry(service.clone()).or_default();
            digests.retain(|digest| *digest != image.digest);
            digests.insert(0, image.digest.clone());
            digests.truncate(MOST_OBSERVED);
        }
    }

    /// Images by service as digests.
    #[must_use]
    pub fn digests(&self) -> BTreeMap<String, String> {
        self.images.iter().map(|(service, image)| (service.clone(), image.digest.clone())).collect()
    }
}
