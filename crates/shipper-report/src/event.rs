//! The events of a run and the record that carries one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Action, Reason};

/// The version of the event format: the minor part grows when fields are added, the major part when they change.
pub const FORMAT: &str = "1.0";

/// One event of a run with its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// When, as RFC 3339 in UTC.
    pub time: String,
    /// Milliseconds since the run began, from a monotonic clock.
    pub elapsed_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What a service is going through; in the order in which a run passes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The user's check commands.
    Check,
    /// Writing the staged directory.
    Stage,
    /// Compiling or running a Dockerfile builder.
    Build,
    /// Uploading blobs and manifests.
    Push,
}

impl Phase {
    /// The phase as a verb: `checking`, `staging`, `building`, `pushing`.
    #[must_use]
    pub fn verb(self) -> &'static str {
        match self {
            Self::Check => "checking",
            Self::Stage => "staging",
            Self::Build => "building",
            Self::Push => "pushing",
        }
    }
}

/// A stretch of time that a service spent in one phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PhaseTime {
    /// The phase.
    pub phase: Phase,
    /// When it began, in milliseconds since the run began.
    pub start_ms: u64,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// What became of a service's blobs (layers, configurations, documents) on their way into its repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BlobCounts {
    /// Blobs that were there.
    pub reused: u64,
    /// Their bytes.
    pub reused_bytes: u64,
    /// Blobs that the registry took from another of its repositories.
    pub mounted: u64,
    /// Their bytes.
    pub mounted_bytes: u64,
    /// Blobs whose bytes were sent.
    pub uploaded: u64,
    /// Their bytes.
    pub uploaded_bytes: u64,
}

impl BlobCounts {
    /// Adds the counts of other blobs; what would not fit stays at the greatest number.
    pub fn add(&mut self, other: &Self) {
        self.reused = self.reused.saturating_add(other.reused);
        self.reused_bytes = self.reused_bytes.saturating_add(other.reused_bytes);
        self.mounted = self.mounted.saturating_add(other.mounted);
        self.mounted_bytes = self.mounted_bytes.saturating_add(other.mounted_bytes);
        self.uploaded = self.uploaded.saturating_add(other.uploaded);
        self.uploaded_bytes = self.uploaded_bytes.saturating_add(other.uploaded_bytes);
    }

    /// Bytes in all.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.reused_bytes.saturating_add(self.mounted_bytes).saturating_add(self.uploaded_bytes)
    }
}

/// How an action or a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// As wished.
    Ok,
    /// With an error.
    Failed,
    /// Not begun, because something that it needs failed or the run was interrupted.
    Skipped,
}

/// One platform of a planned service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlannedPlatform {
    /// `os/architecture[/variant]`.
    pub platform: String,
    /// The platform's build key, 64 hex digits.
    pub key: String,
    /// What is done for this platform.
    pub action: Action,
}

/// One service of a plan, as `plan --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlannedService {
    /// The service's name.
    pub service: String,
    /// What is done.
    pub action: Action,
    /// The image's build key, 64 hex digits.
    pub key: String,
    /// The identity tag, `h-` and the first 32 digits of the key.
    pub tag: String,
    /// The context hash, `ctx1-` and 64 hex digits; the platforms' hashes joined by `+` where they differ.
    pub context: String,
    /// Platforms, sorted.
    pub platforms: Vec<PlannedPlatform>,
    /// `repository@digest` where the image exists.
    pub image: Option<String>,
    /// Why, most telling first.
    pub reasons: Vec<Reason>,
    /// Names that the image gets besides its identity, in the order in which they are written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Services that this one is built on, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// Median of the last recorded builds in milliseconds; 0 for what is not built, absent where nothing was recorded.
    pub estimate_ms: Option<u64>,
    /// The same median where the image is there: what not building saves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved_ms: Option<u64>,
}

/// What became of a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
#[non_exhaustive]
pub enum NameOutcome {
    /// It was written and read back.
    Written,
    /// It was on the image already.
    Unchanged,
    /// It stays with, or went to, an image of a newer version.
    Kept {
        /// That version.
        newer: String,
    },
    /// Another run moved it meanwhile.
    Overtaken {
        /// Digest of what it names now.
        digest: String,
    },
}

/// A name of an image besides its identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Name {
    /// The tag.
    pub tag: String,
    /// `anchor` (never moves) or `alias` (moves).
    pub role: String,
    /// The family of the policy that it belongs to.
    pub family: String,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: NameOutcome,
}

/// An image at the end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ShippedImage {
    /// `repository:tag@digest`, as a person or a deployer would write it.
    pub reference: String,
    /// Digest of the image manifest or index.
    pub digest: String,
    /// What was done for it.
    pub action: Action,
    /// Its other names, in the order in which they were written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<Name>,
}

/// A layer cache that a build does without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LeftOut {
    /// The cache.
    pub cache: String,
    /// Why.
    pub why: String,
}

/// One step of a Dockerfile in one build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MeasuredStep {
    /// The instruction as the builder printed it.
    pub instruction: String,
    /// The stage by name or number, where the builder told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Its line in the Dockerfile, from 1, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Whether it came from the builder's cache.
    pub cached: bool,
    /// How long it took.
    pub duration_ms: u64,
}

/// What one instruction put into an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MeasuredLayer {
    /// The instruction as the image's history has it; empty where the history says nothing.
    pub created_by: String,
    /// Compressed size in bytes.
    pub size: u64,
}

/// The step of a Dockerfile that a build failed at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FailedStep {
    /// The instruction as the builder printed it.
    pub instruction: String,
    /// Its line in the Dockerfile, from 1, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
}

/// An image of a planned deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlannedImage {
    /// `repository@digest`; of a dry run, absent where the image is still to be built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Digest that the last deployment brought out, where it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
}

/// A target of a planned deployment, or a step after the targets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlannedStep {
    /// Its name.
    pub step: String,
    /// Whether it is run.
    pub due: bool,
    /// Why, in words.
    pub why: String,
    /// What changes in a service that was asked, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
}

impl PlannedStep {
    /// A step, and why it is due or not. Nothing is said about what changes.
    #[must_use]
    pub fn new(step: impl Into<String>, due: bool, why: impl Into<String>) -> Self {
        Self { step: step.into(), due, why: why.into(), changes: Vec::new() }
    }
}

/// What a deployment or a rollback ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeployResult {
    /// The targets run the images.
    Deployed,
    /// The targets took the images, and nobody waited until they run them.
    Begun,
    /// The targets run the images that ran before.
    RolledBack,
    /// They did already.
    Unchanged,
    /// The environment was removed.
    Removed,
    /// It is not there, so that nothing had to be removed.
    Absent,
    /// Nothing was done, as wished.
    Planned,
    /// It was asked to stop before anything was changed.
    Interrupted,
    /// It failed; an error says how.
    Failed,
}

/// Everything that a run tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// The first event of a run.
    RunStarted {
        /// [`FORMAT`].
        format: String,
        /// Version of shipper.
        version: String,
        /// Identifier of the run.
        run: String,
        /// The command, `ship`.
        command: String,
        /// The project's name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        project: Option<String>,
        /// The checked-out commit, where there is one.
        commit: Option<String>,
        /// The branch, where one is checked out.
        branch: Option<String>,
    },
    /// A service's context was hashed.
    ContextHashed {
        /// The service.
        service: String,
        /// The context hash.
        context: String,
        /// Number of entries.
        files: u64,
        /// Sum of their sizes.
        bytes: u64,
    },
    /// The plan stands.
    PlanReady {
        /// The services, each behind those that it is built on.
        services: Vec<PlannedService>,
    },
    /// Work on a service began.
    ActionStarted {
        /// The service.
        service: String,
        /// What is done.
        action: Action,
    },
    /// Work on a service goes on.
    ActionProgress {
        /// The service.
        service: String,
        /// What it is going through.
        phase: Phase,
        /// A short line: the crate being compiled, the blob being uploaded.
        message: String,
        /// Steps or bytes done.
        done: u64,
        /// Steps or bytes in all; 0 where it is not known.
        total: u64,
    },
    /// Work on a service ended.
    ActionFinished {
        /// The service.
        service: String,
        /// What was done.
        action: Action,
        /// How it ended.
        outcome: Outcome,
        /// Digest of the image, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<String>,
        /// Sum of the compressed layers in bytes.
        size: u64,
        /// Bytes that had to be written to the registry or layout.
        uploaded: u64,
        /// Names besides the identity, in the order in which they were written.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        names: Vec<Name>,
        /// What became of its blobs, where it was published.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        blobs: Option<BlobCounts>,
        /// What it went through, in the order of time; several stretches of a phase where it has several platforms.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        phases: Vec<PhaseTime>,
        /// How long it took.
        duration_ms: u64,
    },
    /// A Dockerfile was built for one platform.
    BuildMeasured {
        /// The service.
        service: String,
        /// `os/architecture[/variant]`.
        platform: String,
        /// The builder, `buildx` or `buildah`.
        builder: String,
        /// The steps, in the order in which they began.
        steps: Vec<MeasuredStep>,
        /// The image's layers, base first.
        layers: Vec<MeasuredLayer>,
        /// How long the builder took.
        duration_ms: u64,
    },
    /// Which layer caches a build reads.
    CacheChosen {
        /// The service.
        service: String,
        /// `os/architecture[/variant]`.
        platform: String,
        /// References, directories or scopes that are read.
        from: Vec<String>,
        /// What the configuration names and the build does without.
        left_out: Vec<LeftOut>,
    },
    /// What became of writing layers back.
    CacheExported {
        /// The service.
        service: String,
        /// `os/architecture[/variant]`.
        platform: String,
        /// Where to; absent where there is no place for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        /// How it ended. A failure fails no build.
        outcome: Outcome,
        /// Why it was not done, or how it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        /// How long it took.
        duration_ms: u64,
    },
    /// An image was copied to the registry that it is deployed from.
    ImageCopied {
        /// The service.
        service: String,
        /// `repository@digest` there.
        image: String,
        /// Bytes written.
        bytes: u64,
    },
    /// It is known what a deployment changes.
    DeployPlanned {
        /// The environment.
        environment: String,
        /// Images of the environment by service.
        images: BTreeMap<String, PlannedImage>,
        /// Targets, then the steps after them, in their order.
        steps: Vec<PlannedStep>,
    },
    /// A deployment wrote down that it is about to change the environment.
    DeployStarted {
        /// The environment.
        environment: String,
        /// Name of the record.
        record: String,
        /// Name of the record before it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<String>,
    },
    /// A step of a deployment began.
    StepStarted {
        /// The step.
        step: String,
    },
    /// A step of a deployment wrote a line.
    StepOutput {
        /// The step.
        step: String,
        /// The line.
        line: String,
    },
    /// A step of a deployment ended.
    StepFinished {
        /// The step.
        step: String,
        /// How it ended.
        outcome: Outcome,
        /// How long it took.
        duration_ms: u64,
    },
    /// A deployment ended, and its record says how.
    DeployFinished {
        /// The environment.
        environment: String,
        /// How it ended.
        result: DeployResult,
        /// Name of the record; absent where nothing was begun.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        record: Option<String>,
        /// `repository@digest` by service.
        images: BTreeMap<String, String>,
    },
    /// Something that a person should know and that stops nothing.
    Warning {
        /// The service it is about, where it is about one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<String>,
        /// One line.
        message: String,
    },
    /// Something failed.
    Error {
        /// The service it is about, where it is about one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<String>,
        /// `cannot ...`, then the chain of causes.
        chain: Vec<String>,
        /// What the user can do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// The last lines of the log, where there is one.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        log_tail: Vec<String>,
        /// Where the whole log lies.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<String>,
        /// The step of a Dockerfile that failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<FailedStep>,
    },
    /// The last event of a run.
    RunFinished {
        /// How the run ended.
        outcome: Outcome,
        /// What the process returns.
        exit_code: u8,
        /// Images by service; services that failed are absent.
        images: BTreeMap<String, ShippedImage>,
        /// How long the run took.
        duration_ms: u64,
        /// Sum of the recorded build times of what was reused.
        saved_ms: u64,
    },
    /// An event that this version does not know.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(event: Event) -> Record {
        Record { time: "2026-11-20T09:00:00Z".to_owned(), elapsed_ms: 7, event }
    }

    #[test]
    fn events_read_back_as_written() {
        let events = [
            Event::RunStarted {
                format: FORMAT.to_owned(),
                version: "0.1.0".to_owned(),
                run: "r".to_owned(),
                command: "ship".to_owned(),
                project: None,
                commit: None,
                branch: Some("main".to_owned()),
            },
            Event::ActionProgress {
                service: "api".to_owned(),
                phase: Phase::Build,
                message: "compiled catalog".to_owned(),
                done: 1,
                total: 2,
            },
            Event::RunFinished {
                outcome: Outcome::Ok,
                exit_code: 0,
                images: BTreeMap::new(),
                duration_ms: 1,
                saved_ms: 0,
            },
        ];
        for event in events {
            let record = record(event);
            let line = serde_json::to_string(&record).expect("serialises");
            assert_eq!(serde_json::from_str::<Record>(&line).expect("reads back"), record, "{line}");
        }
    }

    #[test]
    fn an_event_of_a_newer_format_is_read_as_unknown() {
        let line = r#"{"time":"2026-11-20T09:00:00Z","elapsed-ms":7,"event":"layer-mounted","digest":"sha256:00"}"#;
        let read: Record = serde_json::from_str(line).expect("reads");
        assert_eq!(read.event, Event::Unknown);
    }
}
