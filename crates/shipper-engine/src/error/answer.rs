//! What a program makes of an error: its exit code, what the user can do, and where more is to be read.

use std::path::{Path, PathBuf};

use shipper_report::{ExitCode, FailedStep};

use super::Error;

impl Error {
    /// What the process returns for this error.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Deploy(error) => error.exit_code(),
            Self::Untrusted { .. }
            | Self::UntrustedSource { .. }
            | Self::Unsigned { .. }
            | Self::StillNotReady { .. }
            | Self::Step { .. }
            | Self::NoPlatform { .. }
            | Self::Gate { .. }
            | Self::Contended { .. } => ExitCode::DeployFailed,
            Self::NoBootstrap { .. }
            | Self::NothingRuns { .. }
            | Self::NotBuilt { .. }
            | Self::NotReleased { .. }
            | Self::NothingBefore { .. } => ExitCode::No,
            Self::Release { source, .. } => source.exit_code(),
            Self::Ship { code, .. } => *code,
            Self::CheckUnknown { .. } | Self::GateUnknown { .. } => ExitCode::Unknown,
            #[cfg(feature = "aws")]
            Self::Target { source, .. } if source.is_rolled_back() => ExitCode::RolledBack,
            #[cfg(feature = "aws")]
            Self::Target { source, .. } if source.is_unknown() => ExitCode::Unknown,
            #[cfg(feature = "aws")]
            Self::Target { .. } => ExitCode::DeployFailed,
            Self::Interrupted { .. } => ExitCode::Interrupted,
            Self::Build { source, .. } if source.is_unknown() => ExitCode::Unknown,
            Self::Build { .. } | Self::Check { .. } | Self::Need { .. } | Self::Stage { .. } => ExitCode::BuildFailed,
            Self::BaseAbsent { .. } => ExitCode::BuildFailed,
            Self::Push { source, .. } | Self::Copy { source, .. } if source.is_refused_write() => ExitCode::PushFailed,
            Self::Push { source, .. } | Self::Load { source, .. } if source.is_unknown() => ExitCode::Unknown,
            Self::Push { .. } | Self::Load { .. } | Self::Identity { .. } | Self::Anchor { .. } => ExitCode::PushFailed,
            Self::Copy { source, .. } if is_usage(source) => ExitCode::Usage,
            Self::Copy { source, .. } if source.is_unknown() => ExitCode::Unknown,
            Self::Copy { source, .. } if source.is_not_found() => ExitCode::No,
            Self::Copy { .. } | Self::Promoted { .. } | Self::Unequal { .. } => ExitCode::PushFailed,
            Self::NoImage { .. }
            | Self::NotReady { .. }
            | Self::InUse { .. }
            | Self::PlanOutdated { .. }
            | Self::Disagreement { .. }
            | Self::NotKept { .. } => ExitCode::No,
            #[cfg(feature = "aws")]
            Self::Drift(_) => ExitCode::No,
            Self::NoInputs { .. }
            | Self::NoVerdict { .. }
            | Self::History { .. }
            | Self::NoAudit { .. }
            | Self::InUseCommand { .. } => ExitCode::Unknown,
            #[cfg(feature = "aws")]
            Self::InUseService { .. } => ExitCode::Unknown,
            #[cfg(feature = "aws")]
            Self::Aws { source, .. } if is_no_repository(source) => ExitCode::No,
            #[cfg(feature = "aws")]
            Self::Aws { .. } | Self::Outputs { source: shipper_cfn::Error::Aws(_), .. } => ExitCode::Unknown,
            Self::Store { source, .. } if is_usage(source) => ExitCode::Usage,
            Self::Store { source, .. } if source.is_refused_write() => ExitCode::PushFailed,
            Self::Store { .. } | Self::Restless { .. } | Self::Write { .. } | Self::Runtime { .. } => ExitCode::Unknown,
            Self::Read { source, .. } if is_denied(source) => ExitCode::Unknown,
            _ => ExitCode::Usage,
        }
    }

    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Plan(error) => error.hint(),
            Self::Deploy(error) => error.hint(),
            Self::Untrusted { environment } => {
                Some(format!("`trust = \"any\"` in `[env.{environment}]` lets such runs deploy to it"))
            }
            Self::NoBootstrap { environment, .. } => {
                Some(format!("set it up, or put the command that does into `bootstrap` of `[env.{environment}]`"))
            }
            Self::UntrustedSource { .. } => Some("build it from the commit that was merged".to_owned()),
            Self::Unsigned { reference, .. } => {
                Some(format!("who stands by it signs it: `shipper sign {reference} --key KEY`"))
            }
            Self::NoInputs { .. } => {
                Some("inputs lie beside images that shipper built, under `m-` and the key; `rev:` compares commits".to_owned())
            }
            Self::NothingRuns { environment } => Some(format!("`shipper history {environment}` lists what was done")),
            Self::NoRemove { environment } => {
                Some(format!("put the command that does into `remove` of `[env.{environment}]`"))
            }
            Self::NotBuilt { .. } => Some("leave `--no-build` out, or run `shipper ship` first".to_owned()),
            Self::Gate { .. } => Some("nothing was changed; what runs already is not asked about".to_owned()),
            Self::GateUnknown { .. } => {
                Some("nothing was changed; `scan` can be a command of a scanner that knows such images".to_owned())
            }
            Self::NoPlatform { known, .. } => {
                Some(format!("it has {}; `platforms` of the service says for which it is built", known.join(", ")))
            }
            Self::NoImageOf { .. } => Some("deploy all services once, or name it in `--image`".to_owned()),
            #[cfg(feature = "aws")]
            Self::InUseService { source, .. } => source.hint(),
            #[cfg(feature = "aws")]
            Self::Target { source, .. } if source.hint().is_some() => source.hint(),
            #[cfg(feature = "aws")]
            Self::Target { record: Some(record), .. } => {
                Some(format!("{record} says what was done; run again to go on, or go back with `shipper rollback`"))
            }
            Self::Step { record: Some(record), .. } => {
                Some(format!("{record} says what was done; run again to go on, or go back with `shipper rollback`"))
            }
            Self::Interrupted { .. } => Some("run again to go on, or go back with `shipper rollback`".to_owned()),
            Self::Contended { .. } => Some("run again".to_owned()),
            Self::NothingBefore { environment, .. } | Self::NoSuchRecord { environment, .. } => {
                Some(format!("`shipper history {environment}` lists what there is"))
            }
            Self::Context { source, .. } | Self::Tree(source) => source.hint(),
            Self::Stage { source, .. } => {
                source.hint().or_else(|| Some("run again; nothing was written to the registry".to_owned()))
            }
            Self::NoDirectory { .. } => {
                Some("`hash` takes a directory or, without `--dockerfile`, the name of a service".to_owned())
            }
            Self::NoDockerfile { .. } => {
                Some("name a directory to hear what a builder that is given it would be sent".to_owned())
            }
            Self::NoInput { hint, .. } => hint.clone(),
            Self::NoRun { run: None, .. } => Some("`shipper ship` records each run".to_owned()),
            Self::NoRun { run: Some(_), .. } | Self::SeveralRuns { .. } => Some(
                "name a run by the beginning of its record's file name, or give the path of a record".to_owned(),
            ),
            Self::NoAudit { is_cut: true, .. } => Some("`git fetch --unshallow` brings the rest".to_owned()),
            Self::Locked { hint, .. } => hint.clone(),
            Self::BaseUnusable { problem, .. } if problem.ends_with("two platforms") => {
                Some("name the image of one of the two by another tag or by its digest".to_owned())
            }
            Self::NoBinary { known, .. } if known.is_empty() => Some("the package has no binary".to_owned()),
            Self::NoBinary { known, .. } => Some(format!("set `bin` to one of {}", known.join(", "))),
            Self::NotLocked { .. } => {
                Some("run `shipper ship` without `--locked` once and commit shipper.lock".to_owned())
            }
            Self::Identity { same_inputs, .. } => Some(format!(
                "{}; the tag stays as it is; `shipper ship --refresh` gives this image an identity of its own",
                if *same_inputs {
                    "both are of the same inputs: the build is not reproducible, or they differ in their statements"
                } else {
                    "what the tag names says nothing of these inputs: something else has written it"
                }
            )),
            Self::Anchor { .. } => Some(
                "the name stays as it is, and the image has its identity; one commit or version gave two images: it was built \
                 of other inputs, a git tag was moved, or two services share a repository"
                    .to_owned(),
            ),
            Self::Store { source, .. } => source.hint(),
            Self::Push { source, .. } | Self::Load { source, .. } | Self::BaseName { source, .. } => source.hint(),
            Self::Copy { source, .. } => source.hint(),
            Self::TrustOverlap { .. } => {
                Some("name another registry or path in `untrusted` of `[project]`, or another `repository`".to_owned())
            }
            Self::Platform { .. } => Some("name one of its platforms with `--platform`, such as linux/arm64".to_owned()),
            Self::LockFile { source, .. }
            | Self::Attest { source, .. }
            | Self::Key { source, .. }
            | Self::Sign { source, .. } => source.hint().map(str::to_owned),
            Self::Promoted { .. } => Some("`--force` moves it".to_owned()),
            Self::Build { source, .. } | Self::Toolchain { source, .. } => source.hint(),
            Self::Document { source, .. } => source.hint(),
            #[cfg(feature = "aws")]
            Self::Outputs { source, .. } => source.hint(),
            #[cfg(feature = "aws")]
            Self::Aws { source, .. } if is_no_repository(source) => {
                Some("`shipper ecr ensure NAME` creates it; its URI, or AWS_REGION and AWS_PROFILE, say where it is looked for".to_owned())
            }
            #[cfg(feature = "aws")]
            Self::Aws { source, .. } => source.hint(),
            #[cfg(not(feature = "aws"))]
            Self::WithoutAws { .. } => Some("build it with its default features, or with the feature `aws`".to_owned()),
            Self::RepositoryName { .. } => {
                Some("write `shop/api`, or `123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/api`".to_owned())
            }
            Self::InUseFile { .. } => {
                Some("it is a JSON list of image references: [\"123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/api:v1\"]".to_owned())
            }
            Self::InUseReference { .. } => {
                Some("write `NAME:TAG` or `NAME@sha256:..`, with or without the registry's host, or a digest alone".to_owned())
            }
            Self::InUse { .. } => Some("put a rule that protects it first, or take it out of use".to_owned()),
            Self::PlanOutdated { .. } | Self::GcFile { .. } => Some("make the plan anew".to_owned()),
            Self::Disagreement { .. } => {
                Some("nothing was written; report it with the output of `aws ecr describe-images`".to_owned())
            }
            Self::NoEcrRegistry { .. } => Some("set `registry` to the host of one".to_owned()),
            #[cfg(feature = "aws")]
            Self::NoScope { .. } => {
                Some("name both: `--account 123456789012 --region eu-west-1`, or `--registry HOST`".to_owned())
            }
            Self::NotReady { .. } => Some("deploy the stack first".to_owned()),
            Self::NoVerdict { hint, .. } => hint.clone(),
            Self::NothingToLookAt => Some("name one with `--repository`, or `--stack` and `--output`".to_owned()),
            Self::Time { .. } => Some("write it as 2026-01-31T12:00:00Z".to_owned()),
            Self::NotReleased { .. } => Some("run `shipper ship` first, for the same tag".to_owned()),
            Self::Release { source, .. } => source.hint(),
            Self::NoRelease => Some("name its tag: `--ref refs/tags/v1.2.3`".to_owned()),
            Self::Notes { .. } => Some("leave one `shipper:images:begin` and one `end` behind it, or neither".to_owned()),
            Self::Exists { .. } => Some("`--force` overwrites it".to_owned()),
            _ => None,
        }
    }

    /// The last lines of the log that belongs to the error, oldest first.
    #[must_use]
    pub fn log_tail(&self) -> &[String] {
        match self {
            Self::Build { source, .. } => source.tail(),
            Self::Check { tail, .. }
            | Self::Step { tail, .. }
            | Self::CheckUnknown { tail, .. }
            | Self::Gate { tail, .. }
            | Self::GateUnknown { tail, .. }
            | Self::InUseCommand { tail, .. } => tail,
            _ => &[],
        }
    }

    /// The step of a Dockerfile that failed.
    #[must_use]
    pub fn failed_step(&self) -> Option<FailedStep> {
        let Self::Build { source, .. } = self else { return None };
        let at = source.failed_step()?;
        Some(FailedStep { instruction: at.instruction.clone(), line: at.line.map(|line| line as u64) })
    }

    /// Name of the deployment record that says what was done.
    #[must_use]
    pub fn record(&self) -> Option<&str> {
        match self {
            Self::Step { record, .. } | Self::StillNotReady { record, .. } => record.as_deref(),
            #[cfg(feature = "aws")]
            Self::Target { record, .. } => record.as_deref(),
            Self::Interrupted { record, .. } => Some(record),
            _ => None,
        }
    }

    /// The same with the record that says so, where one can be named.
    pub(crate) fn with_record(mut self, id: String) -> Self {
        if let Self::Step { record, .. } | Self::StillNotReady { record, .. } = &mut self {
            *record = Some(id);
            return self;
        }
        #[cfg(feature = "aws")]
        if let Self::Target { record, .. } = &mut self {
            *record = Some(id);
        }
        self
    }

    /// Where the whole log lies.
    #[must_use]
    pub fn log(&self) -> Option<PathBuf> {
        match self {
            Self::Build { source, .. } => source.log().map(Path::to_owned),
            _ => None,
        }
    }

    /// `cannot ...` and the chain of causes, one text each.
    #[must_use]
    pub fn chain(&self) -> Vec<String> {
        let mut chain = vec![format!("cannot {self}")];
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            let text = cause.to_string();
            // A transparent variant would tell the same twice.
            if chain.last().is_none_or(|last| !last.ends_with(&text)) {
                chain.push(text);
            }
            source = cause.source();
        }
        chain
    }
}

/// Whether the system refused or failed, so that nothing is known of the file.
fn is_denied(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as Kind;
    !matches!(
        error.kind(),
        Kind::NotFound | Kind::NotADirectory | Kind::IsADirectory | Kind::InvalidInput | Kind::InvalidData
    )
}

/// Whether ECR says that there is no such repository, which is a definite no.
#[cfg(feature = "aws")]
fn is_no_repository(error: &shipper_aws::Error) -> bool {
    error.code() == Some("RepositoryNotFoundException")
}

/// Whether the user wrote something that is no name, or a client option that can not be used.
fn is_usage(error: &shipper_oci::Error) -> bool {
    use shipper_oci::Error as Oci;
    matches!(error, Oci::InvalidReference { .. } | Oci::Options { .. } | Oci::Ambiguous { .. })
}
