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
    /// Repositories whose images are asked about for vulnerabilities.
    Scans,
    /// Stacks of CloudFormation.
    Stacks,
    /// Services of Amazon ECS that get images, with their deployments and revisions.
    Services,
    /// Task definitions, where there are such services: AWS knows no smaller resource.
    TaskDefinitions,
    /// Roles that the tasks of such services take.
    TaskRoles,
    /// Functions of AWS Lambda that get images.
    Functions,
    /// All of Amazon ECS in the account, where it says what is in use.
    EcsInUse,
    /// All of AWS Lambda in the account, where it says what is in use.
    LambdaInUse,
}

/// Permission for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    /// What it is about.
    pub on: On,
    /// `ecr:PutImage`: service and operation.
    pub action: &'static str,
}

const fn on(on: On, action: &'static str) -> Permission {
    Permission { on, action }
}

const fn account(action: &'static str) -> Permission {
    on(On::Account, action)
}

const fn repository(action: &'static str) -> Permission {
    on(On::Repositories, action)
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
/// What says which images are in use: the records of deployments, and services of AWS.
const IN_USE: &[Permission] = &[
    account("ecr:GetAuthorizationToken"),
    repository("ecr:ListImages"),
    repository("ecr:BatchGetImage"),
    repository("ecr:GetDownloadUrlForLayer"),
    on(On::EcsInUse, "ecs:ListClusters"),
    on(On::EcsInUse, "ecs:ListServices"),
    on(On::EcsInUse, "ecs:DescribeServices"),
    on(On::EcsInUse, "ecs:ListTasks"),
    on(On::EcsInUse, "ecs:DescribeTasks"),
    on(On::EcsInUse, "ecs:ListTaskDefinitionFamilies"),
    on(On::EcsInUse, "ecs:ListTaskDefinitions"),
    on(On::EcsInUse, "ecs:DescribeTaskDefinition"),
    on(On::LambdaInUse, "lambda:ListFunctions"),
    on(On::LambdaInUse, "lambda:GetFunction"),
];
/// What a target runs.
const LOOK: &[Permission] = &[
    on(On::Services, "ecs:DescribeServices"),
    on(On::TaskDefinitions, "ecs:DescribeTaskDefinition"),
    on(On::Functions, "lambda:GetFunction"),
    on(On::Functions, "lambda:GetAlias"),
];
/// Another image for it (Amazon ECS developer guide, "IAM roles for Amazon ECS": a task definition passes its roles on).
const BRING: &[Permission] = &[
    on(On::TaskDefinitions, "ecs:RegisterTaskDefinition"),
    on(On::TaskDefinitions, "ecs:TagResource"),
    on(On::TaskRoles, "iam:PassRole"),
    on(On::Services, "ecs:UpdateService"),
    on(On::Services, "ecs:ListServiceDeployments"),
    on(On::Services, "ecs:DescribeServiceDeployments"),
    on(On::Services, "ecs:DescribeServiceRevisions"),
    on(On::Functions, "lambda:UpdateFunctionCode"),
    on(On::Functions, "lambda:GetFunctionConfiguration"),
    on(On::Functions, "lambda:PublishVersion"),
    on(On::Functions, "lambda:CreateAlias"),
    on(On::Functions, "lambda:UpdateAlias"),
];
/// What ECR found in an image.
const SCAN: &[Permission] = &[on(On::Scans, "ecr:DescribeImageScanFindings"), on(On::Scans, "ecr:StartImageScan")];
const DESCRIBE: &[Permission] = &[repository("ecr:DescribeRepositories")];
const IMAGES: &[Permission] = &[repository("ecr:DescribeImages"), repository("ecr:BatchGetImage")];
/// Whether an environment is there.
const READY: &[Permission] = &[repository("ecr:DescribeRepositories"), on(On::Stacks, "cloudformation:DescribeStacks")];
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
    ("why", &[LOGIN, MANIFESTS, BLOBS, TAGS]),
    ("ship", &[LOGIN, MANIFESTS, BLOBS, PUSH, TAGS]),
    ("deploy", &[LOGIN, MANIFESTS, BLOBS, PUSH, TAGS, PINS, READY, SCAN, LOOK, BRING]),
    ("rollback", &[LOGIN, MANIFESTS, BLOBS, PUSH, TAGS, PINS, LOOK, BRING]),
    ("undeploy", &[LOGIN, MANIFESTS, BLOBS, PUSH, TAGS, PINS]),
    ("history", &[LOGIN, MANIFESTS, BLOBS, TAGS]),
    ("status", &[LOGIN, MANIFESTS, BLOBS, TAGS, PUSH, PINS, LOOK]),
    ("where", &[LOGIN, MANIFESTS, BLOBS, TAGS]),
    ("inspect", &[LOGIN, MANIFESTS, BLOBS]),
    ("size-diff", &[LOGIN, MANIFESTS, BLOBS]),
    ("copy", &[LOGIN, MANIFESTS, BLOBS, PUSH, REFERRERS]),
    ("promote", &[LOGIN, MANIFESTS, BLOBS, PUSH, TAGS, PINS, REFERRERS, READY, SCAN, LOOK, BRING]),
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
