//! `ecr-ready` and `ecr`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Clone, Args)]
pub(crate) struct EcrReadyArgs {
    /// Name, URI or ARN of the repository
    #[arg(long, value_name = "NAME|URI")]
    pub(crate) repository: Option<String>,
    /// Stack that has the repository among its outputs
    #[arg(long, value_name = "NAME")]
    pub(crate) stack: Option<String>,
    /// Output of the stack that is the repository's URI or ARN; without a stack, the name of an export
    #[arg(long, value_name = "KEY")]
    pub(crate) output: Option<String>,
    /// File that `cdk deploy --outputs-file` wrote
    #[arg(long, value_name = "FILE")]
    pub(crate) outputs_file: Option<PathBuf>,
    /// Profile of AWS, whose credentials alone are used
    #[arg(long, value_name = "NAME", conflicts_with = "offline")]
    pub(crate) profile: Option<String>,
    /// Region of the stack; a repository by its URI is asked for in its own
    #[arg(long, value_name = "REGION", conflicts_with = "offline")]
    pub(crate) region: Option<shipper_engine::Region>,
    /// Also ask for an image with this tag
    #[arg(long, value_name = "TAG", conflicts_with = "offline")]
    pub(crate) tag: Option<String>,
    /// Wait for a stack that is changing, at most so long
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "10m", value_parser = duration)]
    #[arg(conflicts_with = "offline")]
    pub(crate) wait: Option<std::time::Duration>,
    /// How long one call to AWS may take
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) timeout: std::time::Duration,
    /// Let the outputs file decide, ask nothing of AWS
    #[arg(long, requires = "outputs_file", conflicts_with = "repository")]
    pub(crate) offline: bool,
    /// Also append the answer to the file that GITHUB_OUTPUT names
    #[arg(long)]
    pub(crate) github_output: bool,
    /// Run this where the answer is yes, and return its code; ends with `;`
    #[arg(long = "then", value_name = "CMD ARG.. ;", num_args = 1.., value_terminator = ";", allow_hyphen_values = true)]
    pub(crate) then: Vec<std::ffi::OsString>,
    /// Run this where the answer is no, and return its code; ends with `;`
    #[arg(long = "else", value_name = "CMD ARG.. ;", num_args = 1.., value_terminator = ";", allow_hyphen_values = true)]
    pub(crate) otherwise: Vec<std::ffi::OsString>,
}

/// `90`, `90s`, `10m`, `1h`.
fn duration(text: &str) -> Result<std::time::Duration, String> {
    let (number, unit) = match text.as_bytes().last() {
        Some(b's') => (&text[..text.len() - 1], 1),
        Some(b'm') => (&text[..text.len() - 1], 60),
        Some(b'h') => (&text[..text.len() - 1], 3600),
        _ => (text, 1),
    };
    let seconds: u32 = number.parse().map_err(|_| "write a number with `s`, `m` or `h`, such as 90s".to_owned())?;
    Ok(std::time::Duration::from_secs(u64::from(seconds) * unit))
}

#[derive(Debug, Clone, Args)]
pub(crate) struct IamArgs {
    /// Commands with `-` for blanks, such as `ship` or `ecr-gc-plan`
    #[arg(value_name = "COMMAND", required = true, value_parser = iam_command)]
    pub(crate) commands: Vec<shipper_engine::iam::Command>,
    /// What to print: documents, or a template of a role (with `--github`) or a managed policy
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    pub(crate) format: IamFormat,
    /// Also print who may take the role: jobs of this repository at GitHub
    #[arg(long, value_name = "OWNER/NAME", requires = "jobs")]
    pub(crate) github: Option<String>,
    /// Jobs for this ref: `refs/heads/NAME`, or `refs/tags/PATTERN`
    #[arg(long = "ref", value_name = "REF", requires = "github", group = "jobs")]
    pub(crate) git_ref: Option<String>,
    /// Jobs in this environment of the repository at GitHub
    #[arg(long, value_name = "NAME", requires = "github", group = "jobs")]
    pub(crate) environment: Option<String>,
    /// The account; that of the registry where it is not given
    #[arg(long, value_name = "ID")]
    pub(crate) account: Option<shipper_engine::iam::AccountId>,
    /// The region; that of the registry where it is not given
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<shipper_engine::Region>,
    /// The registry of ECR; the configuration's where it is not given
    #[arg(long, value_name = "HOST")]
    pub(crate) registry: Option<String>,
    /// Name of a repository, `*` for any text; those of all services where none is named; repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) repository: Vec<String>,
    /// A stack that is asked besides those of the configuration; repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) stack: Vec<String>,
}

/// `ecr-gc-plan`.
fn iam_command(text: &str) -> Result<shipper_engine::iam::Command, String> {
    text.parse().map_err(|_| {
        let names: Vec<&str> = shipper_engine::iam::Command::all().map(shipper_engine::iam::Command::name).collect();
        format!("these call AWS: {}", names.join(", "))
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum IamFormat {
    /// The policy; with `--github` an object of `trust` and `policy`
    Json,
    /// A template of CloudFormation
    Cloudformation,
    /// A file for Terraform, such as `shipper.tf.json`
    Terraform,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct EcrArgs {
    #[command(subcommand)]
    pub(crate) action: EcrAction,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum EcrAction {
    /// Create the repositories of the services where they are missing, and make them as asked for
    Ensure(EnsureArgs),
    /// List the images of a repository, the newest first: what is in use, and what its policy does to each
    Images(ImagesArgs),
    /// Lifecycle policies: which images are deleted, and when
    Lifecycle(LifecycleArgs),
    /// Delete images in two phases: a plan, then its execution
    Gc(GcArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct EnsureArgs {
    /// Names of repositories; those of all services where none is named
    #[arg(value_name = "REPOSITORY")]
    pub(crate) repositories: Vec<String>,
    /// Make tags immutable that match this pattern; up to five
    #[arg(long, value_name = "PATTERN")]
    pub(crate) lock: Vec<String>,
    /// Make the tags immutable that the tag policy of shipper.toml says are, as far as ECR can be told
    #[arg(long, conflicts_with = "lock")]
    pub(crate) lock_tags: bool,
    /// Scan images when they are pushed
    #[arg(long)]
    pub(crate) scan_on_push: bool,
    /// Key that layers are encrypted with; fixed at creation
    #[arg(long, value_name = "ARN")]
    pub(crate) kms_key: Option<String>,
    /// Tag of the repository
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) tags: Vec<(String, String)>,
    /// Let AWS Lambda pull
    #[arg(long)]
    pub(crate) lambda_pull: bool,
    /// Let a push create repositories whose names begin with this; `ROOT` is every name
    #[arg(long, value_name = "PREFIX")]
    pub(crate) template: Option<String>,
    /// Change nothing; exit with 1 when something would be changed
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The registry of ECR; the configuration's where it is not given
    #[arg(long, value_name = "HOST")]
    pub(crate) registry: Option<String>,
}

/// `KEY=VALUE`.
fn key_value(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    pair.map(|(key, value)| (key.to_owned(), value.to_owned())).ok_or_else(|| "write KEY=VALUE".to_owned())
}

/// What must not be deleted.
#[derive(Debug, Clone, Args)]
pub(crate) struct InUseArgs {
    /// An image that is in use: `NAME:TAG` or `NAME@DIGEST`, with or without the registry's host
    #[arg(long, value_name = "IMAGE")]
    pub(crate) in_use: Vec<String>,
    /// A file with a JSON list of images that are in use
    #[arg(long, value_name = "FILE")]
    pub(crate) in_use_file: Option<PathBuf>,
    /// Images with tags that match this are in use; `env-*` always
    #[arg(long, value_name = "PATTERN")]
    pub(crate) in_use_tag: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ImagesArgs {
    /// Name or URI of the repository
    #[arg(long, value_name = "NAME|URI")]
    pub(crate) repository: String,
    /// Look at this image alone; repeatable; exit with 1 where one is missing. Neither use nor policy is looked at
    #[arg(long = "image", value_name = "TAG|DIGEST", conflicts_with_all = ["in_use", "in_use_file", "in_use_tag", "now"])]
    pub(crate) images: Vec<String>,
    /// Images with a tag that matches this; repeatable
    #[arg(long = "tag", value_name = "PATTERN")]
    pub(crate) tags: Vec<String>,
    /// At most so many, the newest
    #[arg(long, value_name = "N")]
    pub(crate) newest: Option<usize>,
    #[command(flatten)]
    pub(crate) in_use: InUseArgs,
    /// The time at which the policy is evaluated, such as 2026-01-31T12:00:00Z; now where it is not given
    #[arg(long, value_name = "TIME")]
    pub(crate) now: Option<String>,
}

/// A repository, a policy and what must not be deleted.
#[derive(Debug, Clone, Args)]
pub(crate) struct RetentionArgs {
    /// Name or URI of the repository
    #[arg(long, value_name = "NAME|URI")]
    pub(crate) repository: String,
    /// A policy document; what the tag policy of shipper.toml asks for where it is not given
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) in_use: InUseArgs,
    /// The time of the evaluation, such as 2026-01-31T12:00:00Z; now where it is not given
    #[arg(long, value_name = "TIME")]
    pub(crate) now: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct GcArgs {
    #[command(subcommand)]
    pub(crate) action: GcAction,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum GcAction {
    /// Write what would be deleted: what a policy certainly deletes, less what is in use, held or younger than a day
    Plan(GcPlanArgs),
    /// Check a plan against what is there and in use now, then delete
    Apply(GcApplyArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct GcPlanArgs {
    #[command(flatten)]
    pub(crate) retention: RetentionArgs,
    /// Where to write the plan; stdout where it is not given
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct GcApplyArgs {
    /// What `gc plan` wrote
    #[arg(value_name = "PLAN")]
    pub(crate) plan: PathBuf,
    #[command(flatten)]
    pub(crate) in_use: InUseArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    pub(crate) retention: RetentionArgs,
    /// Also compare with the preview of ECR itself, and stop where it says something else
    #[arg(long)]
    pub(crate) verify_remote: bool,
    /// Write nothing; exit with 1 when the policy would be written
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct LifecycleArgs {
    #[command(subcommand)]
    pub(crate) action: LifecycleAction,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum LifecycleAction {
    /// Check a policy and print its canonical text
    Render(RenderArgs),
    /// Tell what a policy would do to the images of a repository
    Simulate(SimulateArgs),
    /// Compare what two policies do, or a repository's and one in a file; exit with 1 when they differ
    Diff(DiffArgs),
    /// Put a policy, unless it could delete what is in use
    Apply(ApplyArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RenderArgs {
    /// A policy document; what the tag policy of shipper.toml asks for where it is not given
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SimulateArgs {
    /// A policy document; what the tag policy of shipper.toml asks for where it is not given
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// What `aws ecr describe-images` prints
    #[arg(long, value_name = "FILE")]
    pub(crate) images: PathBuf,
    /// The time of the evaluation, such as 2026-01-31T12:00:00Z; now where it is not given
    #[arg(long, value_name = "TIME")]
    pub(crate) now: Option<String>,
    /// Say of each image why
    #[arg(long)]
    pub(crate) explain: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DiffArgs {
    /// A policy document; the older of two, or the one to compare a repository's with (the tag policy's where none is given)
    #[arg(value_name = "POLICY", required_unless_present = "repository")]
    pub(crate) policy: Option<PathBuf>,
    /// Another policy document
    #[arg(value_name = "AFTER", required_unless_present = "repository", conflicts_with = "repository")]
    pub(crate) after: Option<PathBuf>,
    /// Name or URI of a repository whose policy is the older
    #[arg(long, value_name = "NAME|URI")]
    pub(crate) repository: Option<String>,
}
