//! Which calls of AWS each command makes: one table, from which policies follow.
//!
//! Sources: the calls that the adapters make, by the names in their errors; ECR user guide, "IAM permissions for pushing an
//! image" and service authorization reference of Amazon ECR for what registries ask of requests by the distribution protocol.
//! `sts:GetCallerIdentity` and `sts:AssumeRoleWithWebIdentity` need no permission (STS API reference) and are left out.

use std::str::FromStr;

/// What a permission is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum On {
    /// The account: AWS knows no smaller resource for it.
    Account,
    /// Repositories of Amazon ECR.
    Repositories,
    /// Stacks of CloudFormation.
    Stacks,
}

/// Permission for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    /// What it is about.
    pub on: On,
    /// `ecr:PutImage`: service and operation.
    pub action: &'static str,
}

const fn account(action: &'static str) -> Permission {
    Permission { on: On::Account, action }
}

const fn repository(action: &'static str) -> Permission {
    Permission { on: On::Repositories, action }
}

/// A password for the registry.
const LOGIN: &[Permission] = &[account("ecr:GetAuthorizationToken")];
/// Manifests: `GET /v2/<name>/manifests/`.
const MANIFESTS: &[Permission] = &[repository("ecr:BatchGetImage")];
/// Blobs: `GET /v2/<name>/blobs/`.
const BLOBS: &[Permission] = &[repository("ecr:GetDownloadUrlForLayer")];
/// Names: `GET /v2/<name>/tags/list`.
const TAGS: &[Permission] = &[repository("ecr:ListImages")];
/// What refers to an image: `GET /v2/<name>/referrers/`.
const REFERRERS: &[Permission] = &[repository("ecr:ListImageReferrers")];
/// Uploads and what is put behind names.
const PUSH: &[Permission] = &[
    repository("ecr:BatchCheckLayerAvailability"),
    repository("ecr:InitiateLayerUpload"),
    repository("ecr:UploadLayerPart"),
    repository("ecr:CompleteLayerUpload"),
    repository("ecr:PutImage"),
];
/// Names that environments give to what runs in them, and take away: `DELETE /v2/<name>/manifests/<tag>`.
const PINS: &[Permission] = &[repository("ecr:BatchDeleteImage")];
/// The records of deployments, which say what is in use.
const IN_USE: &[Permission] = &[
    account("ecr:GetAuthorizationToken"),
    repository("ecr:ListImages"),
    repository("ecr:BatchGetImage"),
    repository("ecr:GetDownloadUrlForLayer"),
];
const DESCRIBE: &[Permission] = &[repository("ecr:DescribeRepositories")];
const IMAGES: &[Permission] = &[repository("ecr:DescribeImages"), repository("ecr:BatchGetImage")];
/// Whether an environment is there.
const READY: &[Permission] =
    &[repository("ecr:DescribeRepositories"), Permission { on: On::Stacks, action: "cloudformation:DescribeStacks" }];
const EXPORTS: &[Permission] = &[account("cloudformation:ListExports")];
const DOCTOR: &[Permission] = &[
    repository("ecr:UploadLayerPart"),
    account("ecr:DescribeRepositoryCreationTemplates"),
    account("ecr:GetAccountSetting"),
];
const ENSURE: &[Permission] = &[
    repository("ecr:CreateRepository"),
    repository("ecr:ListTagsForResource"),
    repository("ecr:TagResource"),
    repository("ecr:PutImageTagMutability"),
    repository("ecr:PutImageScanningConfiguration"),
    repository("ecr:GetRepositoryPolicy"),
    repository("ecr:SetRepositoryPolicy"),
    account("ecr:DescribeRepositoryCreationTemplates"),
    account("ecr:CreateRepositoryCreationTemplate"),
];
const LIFECYCLE: &[Permission] = &[
    repository("ecr:PutLifecyclePolicy"),
    repository("ecr:StartLifecyclePolicyPreview"),
    repository("ecr:GetLifecyclePolicyPreview"),
];
const POLICY: &[Permission] = &[repository("ecr:GetLifecyclePolicy")];

/// Name, as it is called with `-` for blanks, and what it may do, by all its options together.
type Row = (&'static str, &'static [&'static [Permission]]);

const TABLE: &[Row] = &[
    ("plan", &[LOGIN, MANIFESTS, BLOBS]),
    ("why", &[LOGIN, MANIFESTS, BLOBS]),
    ("ship", &[LOGIN, MANIFESTS, BLOBS, PUSH, TAGS]),
    ("deploy", &[LOGIN, MANIFESTS, BLOBS, PUSH, TAGS, PINS, READY]),
    ("rollback", &[LOGIN, MANIFESTS, BLOBS, PUSH, TAGS, PINS]),
    ("undeploy", &[LOGIN, MANIFESTS, BLOBS, PUSH, TAGS, PINS]),
    ("history", &[LOGIN, MANIFESTS, BLOBS, TAGS]),
    ("status", &[LOGIN, MANIFESTS, BLOBS, TAGS]),
    ("where", &[LOGIN, MANIFESTS, BLOBS, TAGS]),
    ("inspect", &[LOGIN, MANIFESTS, BLOBS]),
    ("copy", &[LOGIN, MANIFESTS, BLOBS, PUSH, REFERRERS]),
    ("promote", &[LOGIN, MANIFESTS, BLOBS, PUSH, TAGS, PINS, REFERRERS, READY]),
    ("sign", &[LOGIN, MANIFESTS, PUSH]),
    ("verify", &[LOGIN, MANIFESTS, BLOBS, REFERRERS]),
    ("release-notes", &[LOGIN, MANIFESTS, TAGS]),
    ("doctor", &[LOGIN, MANIFESTS, DESCRIBE, POLICY, DOCTOR]),
    ("ecr-ready", &[READY, &[repository("ecr:DescribeImages")], EXPORTS]),
    ("ecr-ensure", &[DESCRIBE, ENSURE]),
    ("ecr-images", &[IMAGES, IN_USE, POLICY]),
    ("ecr-lifecycle-diff", &[POLICY]),
    ("ecr-lifecycle-apply", &[IMAGES, IN_USE, POLICY, LIFECYCLE]),
    ("ecr-gc-plan", &[IMAGES, IN_USE]),
    ("ecr-gc-apply", &[IMAGES, IN_USE, &[repository("ecr:BatchDeleteImage")]]),
];

/// A command that calls AWS.
///
/// ```
/// use shipper_aws::Command;
/// let ship: Command = "ship".parse()?;
/// assert!(ship.permissions().any(|permission| permission.action == "ecr:PutImage"));
/// assert!("hash".parse::<Command>().is_err(), "it asks nothing of AWS");
/// # Ok::<(), shipper_aws::NoSuchCommand>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Command(&'static Row);

impl Command {
    /// All of them, in the order in which they are documented.
    pub fn all() -> impl Iterator<Item = Command> {
        TABLE.iter().map(Command)
    }

    /// Its name, with `-` for blanks: `ecr-gc-plan`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.0
    }

    /// What it needs, by all its options together.
    pub fn permissions(self) -> impl Iterator<Item = Permission> {
        self.0.1.iter().flat_map(|group| group.iter().copied())
    }
}

/// A name that no command has which calls AWS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tell what `{0}` needs: it is no command that calls AWS")]
pub struct NoSuchCommand(pub String);

impl FromStr for Command {
    type Err = NoSuchCommand;

    fn from_str(text: &str) -> Result<Self, NoSuchCommand> {
        Self::all().find(|command| command.name() == text).ok_or_else(|| NoSuchCommand(text.to_owned()))
    }
}
