//! The command line as types. Nothing is done here.

#[cfg(feature = "aws")]
pub(crate) mod aws;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use shipper_engine::Against;

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
4 build or check failed; 5 push failed or identity conflict; 6 deploy failed; 7 rolled back;
130 interrupted.";

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
    /// Use this configuration instead of shipper.toml; its paths are relative to DIR of `-C`
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Trust the certificate authorities in this PEM file too, for registries
    #[arg(long, value_name = "FILE", env = "SHIPPER_CA_FILE", global = true, hide_env_values = true)]
    pub(crate) ca_file: Option<PathBuf>,
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

/// Arguments of a command that this build does not have.
#[cfg(not(feature = "aws"))]
#[derive(Debug, Clone, Args)]
pub(crate) struct Ignored {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<std::ffi::OsString>,
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
    /// Ship what is due, hand the digests to what deploys, and write down what runs
    Deploy(DeployArgs),
    /// Bring back what ran before, from the records alone
    Rollback(RollbackArgs),
    /// Remove an environment by its own command, with its pins; images and records stay
    Undeploy(OnEnvironment),
    /// List the deployments of an environment, the newest first
    History(HistoryArgs),
    /// Show what runs in each environment
    Status(StatusArgs),
    /// Tell which environments run an image: 0 found, 1 in none
    Where(WhereArgs),
    /// Name the files and values that make services due, and what pulls them in
    Why(WhyArgs),
    /// Replay the last commits: what each would have built, and what path filters would have
    Audit(AuditArgs),
    /// Tell what is installed, reachable and allowed: 0 nothing is wrong, 1 something is, 3 could not tell
    Doctor(DoctorArgs),
    /// Advice about Dockerfiles and their contexts, with what it is worth
    Lint(LintArgs),
    /// Print the hash of a directory's or service's context
    Hash(HashArgs),
    /// Show an image or index
    Inspect(InspectArgs),
    /// By what images differ in size
    Size(SizeArgs),
    /// Push an image to a registry or layout, with everything it refers to
    Push(CopyArgs),
    /// Copy an image between registries and layouts, with everything it refers to
    Copy(CopyArgs),
    /// Copy an image to a name that does not move, and compare both sides
    Promote(PromoteArgs),
    /// Sign an image with a private key: a Sigstore bundle that refers to it
    Sign(SignArgs),
    /// Read images again, whole, and derive their keys from what is beside them: 0 as it should be, 1 wrong
    Verify(VerifyArgs),
    /// Compare the base images of shipper.lock with their registries, or take newer ones
    Base(BaseArgs),
    /// Tell whether an image can be pushed: 0 yes, 1 no, 3 could not tell
    #[cfg(feature = "aws")]
    EcrReady(aws::EcrReadyArgs),
    /// Repositories and retention in Amazon ECR
    #[cfg(feature = "aws")]
    Ecr(aws::EcrArgs),
    /// Print the least that a role of AWS must be allowed for commands, and who may take it
    #[cfg(feature = "aws")]
    Iam(aws::IamArgs),
    /// Left out of this build
    #[cfg(not(feature = "aws"))]
    #[command(hide = true, disable_help_flag = true)]
    EcrReady(Ignored),
    /// Left out of this build
    #[cfg(not(feature = "aws"))]
    #[command(hide = true, disable_help_flag = true)]
    Ecr(Ignored),
    /// Left out of this build
    #[cfg(not(feature = "aws"))]
    #[command(hide = true, disable_help_flag = true)]
    Iam(Ignored),
    /// Write the pipeline of a CI system from services and environments
    Ci(CiArgs),
    /// Write what a release says of its images, between marks that keep the rest as it is
    ReleaseNotes(ReleaseNotesArgs),
    /// Write what a recorded run did as a report
    Report(ReportArgs),
    /// Figures over the recorded runs: hit rate, build times, sizes; 1 where a bound is exceeded
    Stats(StatsArgs),
    /// Print the facts of this run that names are made of
    Facts(FactsArgs),
    /// Print the names that an image gets on this run
    Tags(TagsArgs),
    /// Tell which directories of builds are beyond the bounds, and remove them with `--apply`
    Prune(PruneArgs),
    /// Print every setting with its origin
    Config(ConfigArgs),
    /// Print shell completions
    Completions(CompletionsArgs),
    /// Print the manual page, or write those of all commands into a directory
    Man(ManArgs),
}

/// Where everything is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    /// Where images and records are: `oci:DIR` or a registry's host with an optional path
    #[arg(long, value_name = "REGISTRY")]
    pub(crate) registry: Option<String>,
}

/// Which services, and where their images go.
#[derive(Debug, Clone, Args)]
pub(crate) struct Services {
    /// Services, with those they are built on; all where none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    #[command(flatten)]
    pub(crate) place: Place,
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
    /// Print the plan as jobs of a CI system, and set them as outputs of the step
    #[arg(long, value_name = "CI", conflicts_with = "json")]
    pub(crate) format: Option<PlanFormat>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanFormat {
    /// Outputs `due`, `bases`, `matrix` and `retag` for GitHub Actions
    Github,
    /// The child pipeline for GitLab CI
    Gitlab,
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

/// Which environment, and what is done about its other deployments.
#[derive(Debug, Clone, Args)]
pub(crate) struct OnEnvironment {
    /// The environment: a table `[env.ENV]` of shipper.toml
    #[arg(value_name = "ENV")]
    pub(crate) environment: String,
    /// Show what would be done and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) lock: Lock,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DeployArgs {
    #[command(flatten)]
    pub(crate) on: OnEnvironment,
    /// Services to bring out, with those they are built on; all where none is named
    #[arg(value_name = "SERVICE", conflicts_with = "image")]
    pub(crate) services: Vec<String>,
    /// The way: by proof, as if the environment were there, with its bootstrap, or without images
    #[arg(long, value_name = "PATH", default_value = "auto")]
    pub(crate) path: DeployPath,
    /// Deploy what is there; build nothing
    #[arg(long)]
    pub(crate) no_build: bool,
    /// Deploy the images with this tag
    #[arg(long, value_name = "TAG", conflicts_with_all = ["no_build", "image"])]
    pub(crate) tag: Option<String>,
    /// Deploy this image of a service, those of others stay: `SERVICE=REF`; repeatable
    #[arg(long, value_name = "SERVICE=REF", value_parser = image_of, conflicts_with = "no_build")]
    pub(crate) image: Vec<(String, String)>,
    /// Run every target, whatever the last record says
    #[arg(long)]
    pub(crate) force: bool,
    /// Refuse base images that shipper.lock does not name
    #[arg(long)]
    pub(crate) locked: bool,
    /// How many services are built at the same time
    #[arg(long, short = 'j', value_name = "N")]
    pub(crate) concurrency: Option<u16>,
    #[command(flatten)]
    pub(crate) wait: Wait,
    #[command(flatten)]
    pub(crate) run: Run,
}

/// Whether services that change by themselves are waited for.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Wait {
    /// Wait until services of AWS run their images: the default
    #[arg(long, overrides_with = "no_wait")]
    pub(crate) wait: bool,
    /// Change services of AWS and do not wait; the next deployment or `status` finds out what became of it
    #[arg(long, overrides_with = "wait")]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RollbackArgs {
    #[command(flatten)]
    pub(crate) on: OnEnvironment,
    /// The deployment whose images are brought back: its name or its last digits
    #[arg(long, value_name = "RECORD")]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct HistoryArgs {
    /// The environment
    #[arg(value_name = "ENV")]
    pub(crate) environment: String,
    /// How many
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct WhereArgs {
    /// A reference, a tag, a digest or a key, or at least seven digits of the last two
    #[arg(value_name = "IMAGE|TAG|DIGEST|KEY")]
    pub(crate) image: String,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// What is done about another deployment of the environment.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Lock {
    /// Wait for another deployment of the environment to be done
    #[arg(long)]
    pub(crate) wait_lock: bool,
    /// Take another deployment of the environment for gone
    #[arg(long, conflicts_with = "wait_lock")]
    pub(crate) take_over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeployPath {
    Auto,
    Fast,
    Bootstrap,
    Inline,
}

impl From<DeployPath> for shipper_engine::DeployPath {
    fn from(path: DeployPath) -> Self {
        match path {
            DeployPath::Auto => Self::Auto,
            DeployPath::Fast => Self::Fast,
            DeployPath::Bootstrap => Self::Bootstrap,
            DeployPath::Inline => Self::Inline,
        }
    }
}

/// `api=registry.example/shop/api@sha256:..`.
fn image_of(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(service, image)| !service.is_empty() && !image.is_empty());
    let (service, image) =
        parts.ok_or_else(|| "write SERVICE=REF, such as api=localhost:5000/shop/api:v1".to_owned())?;
    Ok((service.to_owned(), image.to_owned()))
}

#[derive(Debug, Clone, Args)]
pub(crate) struct InitArgs {
    /// Overwrite an existing shipper.toml
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct WhyArgs {
    /// Services, with those they are built on; all where none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Compare with what ran last in an environment, a tag of each service, one image, or (asking no registry) a commit
    #[arg(long, value_name = "ENV|TAG|IMAGE|rev:REV", value_parser = against)]
    pub(crate) against: Option<Against>,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// `prod`, `v1.2.0`, `ghcr.io/acme/api:v1.2.0`, `rev:main`.
fn against(text: &str) -> Result<Against, String> {
    match Against::parse(text) {
        Against::Revision(revision) if revision.is_empty() => {
            Err("write `rev:` and a branch, tag or commit, such as rev:main".to_owned())
        }
        against => Ok(against),
    }
}

/// `NAME=VALUE`.
fn build_arg(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    pair.map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or_else(|| "write NAME=VALUE".to_owned())
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AuditArgs {
    /// Services, with those they are built on; all where none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// How many commits, by their first parents
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) commits: u32,
    /// The newest of them
    #[arg(long, value_name = "REV", default_value = "HEAD")]
    pub(crate) at: String,
    /// Name each commit that builds something, and why
    #[arg(long)]
    pub(crate) list: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct LintArgs {
    /// Services, with those they are built on; all where none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Append to `.dockerignore` what keeps builders from being sent more than the context has
    #[arg(long)]
    pub(crate) write: bool,
    /// Exit with 1 when something is found
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PruneArgs {
    /// Directories that were not used for so many days
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub(crate) days: u32,
    /// The longest unused ones, until no more than this is left, in MiB
    #[arg(long, value_name = "N")]
    pub(crate) max_mib: Option<u64>,
    /// Remove them
    #[arg(long)]
    pub(crate) apply: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct HashArgs {
    /// A directory, or a service of the configuration
    #[arg(value_name = "PATH|SERVICE", default_value = ".", hide_default_value = true)]
    pub(crate) target: String,
    /// Hash the directory or service as this commit has it, from git's objects alone
    #[arg(long, value_name = "REV", conflicts_with_all = ["paranoid", "leaks"])]
    pub(crate) commit: Option<String>,
    /// Narrow the directory to what a build of this Dockerfile reads
    #[arg(long, value_name = "FILE")]
    pub(crate) dockerfile: Option<PathBuf>,
    /// The stage that is built
    #[arg(long = "target", value_name = "STAGE", requires = "dockerfile")]
    pub(crate) stage: Option<String>,
    /// A build argument; repeatable
    #[arg(long = "build-arg", value_name = "NAME=VALUE", requires = "dockerfile", value_parser = build_arg)]
    pub(crate) build_args: Vec<(String, String)>,
    /// Print each entry: digest, kind, size, path, and the line of a Dockerfile that reads it
    #[arg(long)]
    pub(crate) list: bool,
    /// Also print what a builder that is given the directory would be sent and the hash does not cover, and the lines for
    /// .dockerignore that cure it
    #[arg(long)]
    pub(crate) leaks: bool,
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
pub(crate) struct SizeArgs {
    #[command(subcommand)]
    pub(crate) action: SizeAction,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum SizeAction {
    /// Compare two images: layers with the instructions that made them, and the files whose sizes differ most
    Diff(SizeDiffArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SizeDiffArgs {
    /// `oci:DIR[:TAG]`, `docker-archive:FILE`, `oci-archive:FILE` or a registry reference
    #[arg(value_name = "BEFORE")]
    pub(crate) before: String,
    /// The same, of the other image
    #[arg(value_name = "AFTER")]
    pub(crate) after: String,
    /// Which image of an index; that of this machine where it is not given
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<shipper_engine::Platform>,
    /// How many files are named
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) files: usize,
    /// Exit with 1 where the layers grew by more
    #[arg(long, value_name = "PERCENT")]
    pub(crate) max_growth: Option<u32>,
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
pub(crate) struct PromoteArgs {
    /// `oci:DIR[:TAG]`, `docker-archive:FILE`, `oci-archive:FILE` or a registry reference; with `--to-env` an environment
    #[arg(value_name = "SRC")]
    pub(crate) source: String,
    /// `oci:DIR[:TAG]` or a registry reference with a tag
    #[arg(value_name = "DST", required_unless_present = "to_env")]
    #[arg(conflicts_with_all = ["to_env", "dry_run", "wait_lock", "take_over", "wait", "no_wait"])]
    pub(crate) destination: Option<String>,
    /// Move the tag when it names another image
    #[arg(long, conflicts_with = "to_env")]
    pub(crate) force: bool,
    /// Deploy to this environment what runs in the environment SRC
    #[arg(long, value_name = "ENV")]
    pub(crate) to_env: Option<String>,
    /// With `--to-env`: show what would be done and do nothing
    #[arg(long, requires = "to_env")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
    #[command(flatten)]
    pub(crate) lock: Lock,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SignArgs {
    /// `oci:DIR[:TAG]` or a registry reference
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Private key in PEM (PKCS #8; Ed25519 or ECDSA P-256): a file, or `env:NAME`
    #[arg(long, value_name = "KEY")]
    pub(crate) key: String,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct VerifyArgs {
    /// Also ask for a signature of this public key in PEM: a file, or `env:NAME`
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Services, as the checkout is now, or images: `oci:DIR:TAG`, an archive, a registry reference; all services where
    /// nothing is named
    #[arg(value_name = "SERVICE|REF")]
    pub(crate) targets: Vec<String>,
    #[command(flatten)]
    pub(crate) place: Place,
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

/// What is known better about the run than the CI system tells.
#[derive(Debug, Clone, Args)]
pub(crate) struct Run {
    /// Name images as for this branch or tag: `refs/heads/NAME` or `refs/tags/NAME`
    #[arg(long = "ref", value_name = "REF")]
    pub(crate) git_ref: Option<String>,
    /// Name images as for the pull request with this number
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
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
pub(crate) struct CiArgs {
    /// The CI system
    #[arg(value_name = "SYSTEM")]
    pub(crate) system: CiSystem,
    /// Write it to its place in the repository
    #[arg(long)]
    pub(crate) write: bool,
    /// Compare it with what is there: exit with 1 and the difference
    #[arg(long, conflicts_with = "write")]
    pub(crate) check: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CiSystem {
    /// GitHub Actions: `.github/workflows/shipper.yml`
    Github,
    /// GitLab CI: `.gitlab/shipper.yml`, which `.gitlab-ci.yml` includes
    Gitlab,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ReleaseNotesArgs {
    /// Services, with those they are built on; all where none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Compare with the images that have this tag
    #[arg(long, value_name = "TAG")]
    pub(crate) since: Option<String>,
    /// Put them into this file, in the place of those that it has
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
    /// Put them into the release of the run's tag at GitHub, with the token in GITHUB_TOKEN; in a workflow the repository is known
    #[arg(long, value_name = "OWNER/NAME", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    #[arg(conflicts_with = "to", value_parser = repository_of)]
    pub(crate) github: Option<String>,
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) run: Run,
}

/// `acme/shop`, or nothing.
fn repository_of(text: &str) -> Result<String, String> {
    let is_whole = |part: &str| !part.is_empty() && !part.contains('/') && part != "." && part != "..";
    let is_repository = text.split_once('/').is_some_and(|(owner, name)| is_whole(owner) && is_whole(name));
    if text.is_empty() || is_repository { Ok(text.to_owned()) } else { Err("write OWNER/NAME".to_owned()) }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ReportArgs {
    /// The beginning of a run's name, or the path of a record; the last run where nothing is named
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// What to write
    #[arg(long, value_name = "FORMAT", default_value = "html")]
    pub(crate) format: ReportFormat,
    /// Where to write it, `-` for stdout; without it HTML goes to .shipper/report.html and the rest to stdout
    #[arg(long, short = 'o', value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct StatsArgs {
    /// Only the last N runs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) last: Option<u32>,
    /// Exit with 1 where 95 of 100 builds of a service may take longer
    #[arg(long, value_name = "SECONDS")]
    pub(crate) max_build_p95: Option<u32>,
    /// Exit with 1 where less of a service's images were there already
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) min_hit_rate: Option<u8>,
    /// Exit with 1 where a service's last image is larger by more than this than the one before it
    #[arg(long, value_name = "PERCENT")]
    pub(crate) max_size_growth: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// One self-contained file
    Html,
    /// The timeline alone
    Svg,
    /// For job summaries and comments
    Md,
    /// Everything as one document
    Json,
    /// For Perfetto
    ChromeTrace,
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

#[derive(Debug, Clone, Args)]
pub(crate) struct ManArgs {
    /// Directory for `shipper.1`, `shipper-ship.1` and so on, such as `/usr/local/share/man/man1`
    #[arg(value_name = "DIRECTORY")]
    pub(crate) pages: Option<PathBuf>,
    /// Print all commands as one page of Markdown
    #[arg(long, conflicts_with = "pages")]
    pub(crate) markdown: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent_and_tells_every_exit_code() {
        Cli::command().debug_assert();
        for (code, _) in shipper_engine::ExitCode::TABLE {
            let code = code.code();
            assert!(EXIT_CODES.contains(&format!("{code} ")), "{code}");
        }
    }
}
