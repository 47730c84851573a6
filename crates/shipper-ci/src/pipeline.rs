//! What a pipeline is made of, whatever system runs it.

/// A pipeline: plan, base images, services that are due, the end, deployments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// What its jobs are called by where several pipelines share names: `shipper`, or that and the project's name.
    pub name: String,
    /// How shipper gets onto a runner.
    pub install: Install,
    /// The directory of the project in its repository, with `/`; empty where they are the same.
    pub directory: String,
    /// The branch whose images are those of the project.
    pub branch: String,
    /// Patterns of tags whose pushes are releases; empty where a published release is one.
    pub tags: Vec<String>,
    /// When it runs by itself, as cron says it; empty for never.
    pub schedule: Vec<String>,
    /// Label of the machines that it runs on; empty where the system chooses them.
    pub runner: String,
    /// The image that its jobs run in, on systems where they do.
    pub image: Option<String>,
    /// Host of the registry, with a port where there is one.
    pub registry: String,
    /// Who it is to the registry.
    pub login: Login,
    /// What a pull request of the repository itself may do; one of a fork is always kept apart.
    pub pull_requests: PullRequests,
    /// Amazon Web Services, where they are used.
    pub aws: Option<Aws>,
    /// Secrets of the CI system that builds see as variables of the same name; sorted, no duplicates.
    pub secrets: Vec<String>,
    /// Whether a service is built by a builder of Dockerfiles.
    pub dockerfiles: bool,
    /// Whether a service is compiled by Cargo.
    pub cargo: bool,
    /// Whether builders keep layers in GitHub's cache.
    pub gha_cache: bool,
    /// What follows, in this order.
    pub deployments: Vec<Deployment>,
}

/// How shipper gets onto a runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Install {
    /// By `cargo install` of this version.
    Version(String),
    /// By `cargo install` of its sources in this directory of the project.
    Source(String),
}

/// Who a job is to the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// Nobody.
    Anonymous,
    /// The job itself, by GitHub's token: GitHub's own registry.
    GithubToken,
    /// A role of AWS; shipper asks for the password by itself.
    Aws,
    /// Whom two secrets of the CI system name.
    Secrets {
        /// Secret with the user's name.
        username: String,
        /// Secret with the password.
        password: String,
    },
}

/// What pull requests of the repository itself may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullRequests {
    /// Build, without credentials, into a directory of the runner: as those of forks.
    KeptApart,
    /// Push to the registry of runs that are not trusted.
    Push,
}

/// Amazon Web Services.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aws {
    /// The role that jobs have, by their identity at the CI system.
    pub role: Option<String>,
    /// The region, where no registry tells it.
    pub region: Option<String>,
}

/// A deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The environment.
    pub environment: String,
    /// What starts it, besides a person.
    pub on: Trigger,
    /// The role of AWS that its commands have.
    pub role: Option<String>,
    /// Secrets of the CI system that it sees as variables of the same name.
    pub secrets: Vec<String>,
}

/// What starts a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// A push to the branch of the project.
    Branch,
    /// A release.
    Release,
    /// Nothing but a person.
    Manual,
}

impl Pipeline {
    /// A pipeline for images in a registry, with nothing else that could be left out.
    #[must_use]
    pub fn new(install: Install, registry: &str) -> Self {
        Self {
            name: "shipper".to_owned(),
            install,
            directory: String::new(),
            branch: "main".to_owned(),
            tags: Vec::new(),
            schedule: Vec::new(),
            runner: "ubuntu-24.04".to_owned(),
            image: None,
            registry: registry.split('/').next().unwrap_or_default().to_owned(),
            login: Login::Anonymous,
            pull_requests: PullRequests::KeptApart,
            aws: None,
            secrets: Vec::new(),
            dockerfiles: false,
            cargo: false,
            gha_cache: false,
            deployments: Vec::new(),
        }
    }
}

impl Deployment {
    /// A deployment that needs no credentials of its own.
    #[must_use]
    pub fn new(environment: &str, on: Trigger) -> Self {
        Self { environment: environment.to_owned(), on, role: None, secrets: Vec::new() }
    }
}
