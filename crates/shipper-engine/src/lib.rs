#![doc = include_str!("../README.md")]

mod against;
#[cfg(feature = "aws")]
mod amazon;
#[cfg(not(feature = "aws"))]
#[path = "without_aws.rs"]
mod amazon;
mod attach;
mod attest;
mod audit;
mod bases;
mod beside;
pub mod blocking;
mod caches;
mod ci;
mod claim;
mod contexts;
#[cfg(test)]
mod damaged;
mod deploy;
mod discover;
mod doctor;
#[cfg(feature = "aws")]
mod ensure;
mod error;
mod events;
mod facts;
mod gather;
mod git;
mod hashing;
mod history;
#[cfg(feature = "aws")]
mod iam_policy;
mod identity;
mod images;
mod init;
mod inputs;
mod lifecycle;
mod lint;
mod lock;
mod measured;
mod names;
mod naming;
mod narrowed;
mod outdated;
mod phases;
mod present;
mod probe;
mod project;
mod promote;
mod prune;
mod publish;
mod read;
#[cfg(feature = "aws")]
mod ready;
mod record;
mod registries;
mod release;
mod report;
mod repository;
#[cfg(feature = "aws")]
mod retention;
mod run;
mod ship;
mod sign;
mod size;
mod sparse;
mod statements;
mod tagging;
mod trust;
mod uploads;
mod verify;
mod whole;
mod why;
mod work;

pub use audit::{Audit, AuditOptions, AuditedBuild, AuditedCommit, AuditedService, audit};
pub use beside::{Beside, BesideInputs};
pub use ci::{CiFile, CiSystem, ci_file, ci_jobs};
pub use deploy::{
    DeployOptions, DeployPath, Deployed, EnvironmentStatus, Found, ImageSource, RollbackOptions, TargetStatus,
    UndeployOptions, WhileHeld, deploy_until, history, rollback_until, status, undeploy_until, where_is,
};
pub use doctor::{Check, CheckVerdict, Checkup, doctor};
#[cfg(feature = "aws")]
pub use ensure::{EnsureOptions, Ensured, ensure};
pub use error::Error;
pub use events::{EventSink, Events, Silent, Tee};
pub use facts::{FactsOverrides, gather_facts, is_dirty};
pub use git::Head;
pub use hashing::{HashDockerfile, HashLeak, HashLeaks, HashRequest, Hashed, HashedEntry, ReadBy, hash};
#[cfg(feature = "aws")]
pub use iam_policy::{IamOptions, IamPolicies};
pub use images::{Copied, Inspected, Part, copy, inspect};
pub use init::{Initialised, init, write_file};
pub use lifecycle::{
    LifecycleDiff, PolicySource, SimulatedImage, SimulatedImages, derive_lifecycle, diff_lifecycle, render_lifecycle,
    simulate_lifecycle,
};
pub use lint::{Finding, lint, write_ignore_rules};
pub use outdated::{BaseState, LockedBase, base_outdated, base_update};
pub use project::{CA_FILE, CONFIG_FILE, Directories, Options, Project};
pub use promote::{Promoted, promote};
pub use prune::{PruneOptions, PruneReport, Pruned, prune};
#[cfg(feature = "aws")]
pub use ready::{Readiness, ReadyOptions, Verdict, ready};
pub use release::github::{PublishedNotes, ReleaseError, publish_notes};
pub use release::{release_notes, write_notes};
pub use report::{RecordedRun, recorded_run, report_file, stats};
#[cfg(feature = "aws")]
pub use retention::{
    AppliedLifecycle, Collected, GcPlan, ImageEntry, ImageFate, ImageListing, InUse, ListingOptions, RetentionOptions,
    apply_gc, apply_lifecycle, diff_remote_lifecycle, list_images, plan_gc,
};
pub use ship::{Planned, ShipOptions, Shipped, plan, ship, ship_until};
#[cfg(feature = "aws")]
pub use shipper_aws::Region;
#[cfg(feature = "aws")]
pub use shipper_ecr::RepositoryGoal;
pub use shipper_oci::{Extent, Platform};
pub use shipper_plan::{Origin, Overrides};
pub use shipper_report::{
    Action, BlobCounts, DeployResult, Event, ExitCode, FORMAT, FailedStep, FileChange, LeftOut, MeasuredLayer,
    MeasuredStep, Name, NameOutcome, Outcome, Phase, PhaseTime, PlannedImage, PlannedPlatform, PlannedService,
    PlannedStep, Reason, Record, ShippedImage, ValueChange,
};
pub use sign::{Signed, sign};
pub use size::{SizeChange, SizeDiff, SizeOptions, SizedFile, SizedImage, SizedLayer, size_diff};
pub use sparse::checkout_directories;
pub use statements::ImageStatement;
pub use tagging::{facts, metadata_tags, read_facts, tags};
pub use verify::{Verified, VerifyFault, verify};
pub use why::{Against, Why, why};

/// What roles of AWS need.
#[cfg(feature = "aws")]
pub mod iam {
    pub use crate::iam_policy::iam;
    pub use shipper_aws::{
        AccountId, Command, GithubTrust, MAX_MANAGED_POLICY, NoTrust, PolicyDocument, cloudformation, terraform,
    };
}

/// Facts and names, as `shipper-tag` has them.
pub mod tags {
    pub use shipper_tag::{Compatibility, Facts, NotApplied, PlannedTag, TagPlan, Trigger};
}

/// Deployment records, as `shipper-deploy` has them.
pub mod records {
    pub use shipper_deploy::{Image, Kind, Record, RecordId, State, Step, StepOutcome};
}

/// Records of runs as text.
pub mod render {
    pub use shipper_report::{Run, Summary, Totals, chrome_trace, html, json, markdown, svg};
}

/// Plans as jobs of CI systems.
pub mod jobs {
    pub use shipper_report::{GITHUB_JOBS, Matrix, MatrixJob};
}

/// What releases say of their images.
pub mod notes {
    pub use shipper_report::{ImageChange, NotesFault, ReleaseNotes, ReleasedImage, ReleasedPlatform, with_notes};
}

/// Figures over runs.
pub mod figures {
    pub use shipper_report::{Gates, ServiceStats, Stats};
}

/// Numbers with units.
pub mod units {
    pub use shipper_report::{bytes, counted, duration};
}

/// The JSON schema of `shipper.toml`.
#[must_use]
pub fn config_schema() -> serde_json::Value {
    shipper_plan::Config::schema()
}
