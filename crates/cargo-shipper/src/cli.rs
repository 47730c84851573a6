//! The command line as types. Nothing is done here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Build a container image once, skip what has not changed, push it, deploy the same bytes everywhere.
#[derive(Debug, Parser)]
#[command(name = "shipper", version, propagate_version = true, disable_help_subcommand = true)]
#[command(styles = STYLES, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const STYLES: clap::builder::Styles = clap::builder::Styles::styled()
    .header(anstyle::AnsiColor::Green.on_default().bold())
    .usage(anstyle::AnsiColor::Green.on_default().bold())
    .literal(anstyle::AnsiColor::Cyan.on_default().bold())
    .placeholder(anstyle::AnsiColor::Cyan.on_default());

const EXIT_CODES: &str = "\
Exit codes: 0 done or yes; 1 a definite no; 2 usage or configuration; 3 could not tell;
4 build or check failed; 5 push failed or identity conflict; 130 interrupted.";

/// Flags of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Work as if started in this directory
    #[arg(
        short = 'C',
        long = "directory",
        value_name = "DIR",
        default_value = ".",
        global = true,
        hide_default_value = true
    )]
    pub(crate) directory: PathBuf,
    /// Use this configuration instead of shipper.toml
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Print data as JSON on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Name every file and value; twice: log what is done
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true, hide_default_value = true)]
    pub(crate) color: Color,
    /// Print lasting lines only, no live region
    #[arg(long, env = "SHIPPER_NO_PROGRESS", value_parser = clap::builder::FalseyValueParser::new(), global = true, hide_env = true)]
    pub(crate) no_progress: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write shipper.toml from what is found in the repository
    Init(InitArgs),
    /// Show what would be built or reused, and why
    Plan(PlanArgs),
    /// Plan, build what is due, push
    Ship(ShipArgs),
    /// Print the hash of a directory's or service's context
    Hash(HashArgs),
    /// Show an image or index
    Inspect(InspectArgs),
    /// Push an image to a registry or layout, with everything it refers to
    Push(CopyArgs),
    /// Copy an image between registries and layouts, with everything it refers to
    Copy(CopyArgs),
    /// Compare the base images of shipper.lock with their registries, or take newer ones
    Base(BaseArgs),
    /// Tell whether an image can be pushed: 0 yes, 1 no, 3 could not tell
    EcrReady(EcrReadyArgs),
    /// Repositories and retention in Amazon ECR
    Ecr(EcrArgs),
    /// Print the facts of this run that names are made of
    Facts(FactsArgs),
    /// Print the names that an image gets on this run
    Tags(TagsArgs),
    /// Print every setting with its origin
    Config(ConfigArgs),
    /// Print shell completions
    Completions(CompletionsArgs),
}

/// Which services, and where their images go.
#[derive(Debug, Clone, Args)]
pub(crate) struct Services {
    /// Services, with those they are built on; all where none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Where images go: `oci:DIR` or a registry's host with an optional path
    #[arg(long, value_name = "REGISTRY")]
    pub(crate) registry: Option<String>,
    /// Plan to build even what exists
    #[arg(long)]
    pub(crate) force: bool,
    /// Refuse base images that shipper.lock does not name
    #[arg(long)]
    pub(crate) locked: bool,
    /// Read every file, whatever the stat cache says
    #[arg(long)]
    pub(crate) paranoid: bool,
    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) services: Services,
    /// Exit with 1 when work is due
    #[arg(long)]
    pub(crate) check: bool,
    /// Also write the plan as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ShipArgs {
    #[command(flatten)]
    pub(crate) services: Services,
    /// Build what is due, but write nothing to the registry
    #[arg(long)]
    pub(crate) no_push: bool,
    /// Load the images into the container engine of this machine too, as `REPOSITORY:latest`
    #[arg(long, conflicts_with = "no_push")]
    pub(crate) load: bool,
    /// Give this service another identity from now on, by a salt in shipper.lock; repeatable
    #[arg(long, value_name = "SERVICE", conflicts_with = "locked")]
    pub(crate) refresh: Vec<String>,
    /// How many services are built at the same time
    #[arg(long, short = 'j', value_name = "N")]
    pub(crate) concurrency: Option<u16>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct InitArgs {
    /// Overwrite an existing shipper.toml
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct HashArgs {
    /// A directory, or a service of the configuration
    #[arg(value_name = "PATH|SERVICE", default_value = ".", hide_default_value = true)]
    pub(crate) target: String,
    /// Print each entry: digest, kind, size, path
    #[arg(long)]
    pub(crate) list: bool,
    /// Read every file, whatever the stat cache says
    #[arg(long)]
    pub(crate) paranoid: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct InspectArgs {
    /// `oci:DIR[:TAG]`, `docker-archive:FILE`, `oci-archive:FILE` or a registry reference
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Print the manifest's bytes as they are
    #[arg(long)]
    pub(crate) raw: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CopyArgs {
    /// `oci:DIR[:TAG]`, `docker-archive:FILE`, `oci-archive:FILE` or a registry reference
    #[arg(value_name = "SRC")]
    pub(crate) source: String,
    /// `oci:DIR[:TAG]`, `docker-daemon:NAME` or a registry reference
    #[arg(value_name = "DST")]
    pub(crate) destination: String,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct BaseArgs {
    #[command(subcommand)]
    pub(crate) action: BaseAction,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum BaseAction {
    /// Show which locked base images have moved
    Outdated {
        /// Exit with 1 when one has
        #[arg(long)]
        check: bool,
    },
    /// Write the digests of now to shipper.lock
    Update {
        /// References as shipper.lock has them; all where none is named
        #[arg(value_name = "REF")]
        references: Vec<String>,
    },
}

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
pub(crate) struct EcrArgs {
    #[command(subcommand)]
    pub(crate) action: EcrAction,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum EcrAction {
    /// Create the repositories of the services where they are missing, and make them as asked for
    Ensure(EnsureArgs),
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

/// What is known better about the run than the CI system tells.
#[derive(Debug, Clone, Args)]
pub(crate) struct Run {
    /// Name images as for this branch or tag: `refs/heads/NAME` or `refs/tags/NAME`
    #[arg(long = "ref", value_name = "REF")]
    pub(crate) git_ref: Option<String>,
    /// Name images as for the pull request with this number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) pr: Option<u64>,
    /// Name images as for such a run
    #[arg(long, value_name = "KIND")]
    pub(crate) trigger: Option<Trigger>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Trigger {
    Push,
    PullRequest,
    MergeQueue,
    Tag,
    Schedule,
    Manual,
    Local,
}

impl From<Trigger> for shipper_engine::tags::Trigger {
    fn from(trigger: Trigger) -> Self {
        match trigger {
            Trigger::Push => Self::Push,
            Trigger::PullRequest => Self::PullRequest,
            Trigger::MergeQueue => Self::MergeQueue,
            Trigger::Tag => Self::Tag,
            Trigger::Schedule => Self::Schedule,
            Trigger::Manual => Self::Manual,
            Trigger::Local => Self::Local,
        }
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct FactsArgs {
    /// With this service's key, and the versions in its repository where names depend on them
    #[arg(value_name = "SERVICE")]
    pub(crate) service: Option<String>,
    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TagsArgs {
    /// The names of this service's image, its identity included
    #[arg(value_name = "SERVICE")]
    pub(crate) service: Option<String>,
    /// Evaluate these facts, as `shipper facts` printed them, and look at nothing else
    #[arg(long, value_name = "FILE", conflicts_with_all = ["service", "git_ref", "pr", "trigger"])]
    pub(crate) facts: Option<PathBuf>,
    /// Evaluate the `tags:` and `flavor:` lines of docker/metadata-action in this file instead of the policy
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata_action: Option<PathBuf>,
    /// Keep that action's mistakes: colliding and invalid names, `latest` on pre-releases and moved back
    #[arg(long, requires = "metadata_action")]
    pub(crate) bug_compatible: bool,
    /// Print why each rule gives a name or none
    #[arg(long)]
    pub(crate) explain: bool,
    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) action: Option<ConfigAction>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum ConfigAction {
    /// Print the JSON schema of shipper.toml
    Schema,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent_and_tells_every_exit_code() {
        Cli::command().debug_assert();
        let told = [0, 1, 2, 3, 4, 5, 130];
        for (code, _) in shipper_engine::ExitCode::TABLE {
            let code = code.code();
            assert_eq!(EXIT_CODES.contains(&format!("{code} ")), told.contains(&code), "{code}");
        }
    }
}
