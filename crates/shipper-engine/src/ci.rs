//! Pipelines of CI systems: a project as the model that `shipper-ci` writes, and where its file lies.

use std::path::{Path, PathBuf};

use shipper_ci::{Aws, Deployment, Install, Jobs, Login, Pipeline, PullRequests, Trigger};
use shipper_plan::{Ci, CiShipperConfig, CiTriggerConfig, Recipe};
use shipper_report::Matrix;

use crate::{Error, Project};

/// A file of a pipeline: where it lies, what it should hold and what it holds.
#[derive(Debug, Clone)]
pub struct CiFile {
    /// Where it lies.
    pub path: PathBuf,
    /// The same, relative to the repository, with `/`.
    pub name: String,
    /// What it should hold.
    pub text: String,
    /// What it holds; `None` where it is not there.
    pub present: Option<String>,
}

impl CiFile {
    /// Writes what it should hold, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn write(&self) -> Result<(), Error> {
        let directory = self.path.parent().unwrap_or(Path::new(""));
        std::fs::create_dir_all(directory).map_err(|source| Error::Write { path: directory.to_owned(), source })?;
        crate::write_file(&self.path, self.text.as_bytes())
    }
}

/// A CI system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CiSystem {
    /// GitHub Actions.
    Github,
    /// GitLab CI.
    Gitlab,
}

impl CiSystem {
    /// Where its file lies, in a repository with one project, and with several.
    fn file(self, name: &str) -> String {
        match self {
            Self::Github => format!(".github/workflows/{name}.yml"),
            Self::Gitlab => format!(".gitlab/{name}.yml"),
        }
    }
}

/// The pipeline of a project for a CI system. `version` is what is installed where the project names no other.
///
/// # Errors
/// [`Error::Plan`] for what makes no sense in `[ci]`, and for a registry that jobs can not share; [`Error::Read`].
pub fn ci_file(project: &Project, system: CiSystem, version: &str) -> Result<CiFile, Error> {
    let (repository, directory) = placed(&project.root);
    let pipeline = pipeline(project, project.config.ci()?, system, version, directory);
    let name = system.file(&pipeline.name);
    let path = repository.join(&name);
    let present = match crate::read::small_text(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(source) => return Err(Error::Read { path, source }),
    };
    let text = match system {
        CiSystem::Github => shipper_ci::github(&pipeline),
        CiSystem::Gitlab => shipper_ci::gitlab(&pipeline),
    };
    Ok(CiFile { path, name, text, present })
}

/// What a plan becomes on a system whose pipelines grow while they run: the text that it is given. `is_untrusted` tells whether
/// the run may be decided by anybody who can propose a change.
///
/// # Errors
/// As [`ci_file`].
pub fn ci_jobs(project: &Project, matrix: Matrix, version: &str, is_untrusted: bool) -> Result<String, Error> {
    let (_, directory) = placed(&project.root);
    let pipeline = pipeline(project, project.config.ci()?, CiSystem::Gitlab, version, directory);
    // What the run was told of where its images go, its children are told.
    let told = ["SHIPPER_REGISTRY", "SHIPPER_UNTRUSTED"].into_iter();
    let told = told.filter_map(|name| Some((name, project.environment.get(name).filter(|value| !value.is_empty())?)));
    let jobs = Jobs {
        bases: matrix.bases,
        jobs: matrix.jobs.into_iter().map(|job| (job.name, job.services)).collect(),
        is_untrusted,
        places: told.map(|(name, value)| (name.to_owned(), value.clone())).collect(),
    };
    Ok(shipper_ci::gitlab_jobs(&pipeline, &jobs))
}

/// The repository that a project lies in, and where in it; the project itself where there is none.
pub(crate) fn placed(root: &Path) -> (PathBuf, String) {
    let repository = root.ancestors().find(|directory| directory.join(".git").exists()).unwrap_or(root);
    let within = root.strip_prefix(repository).unwrap_or(Path::new(""));
    let parts: Vec<_> = within.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    (repository.to_owned(), parts.join("/"))
}

fn pipeline(project: &Project, ci: Ci, system: CiSystem, version: &str, directory: String) -> Pipeline {
    let install = match ci.shipper {
        Some(CiShipperConfig::Version(version)) => Install::Version(version),
        Some(CiShipperConfig::Source(source)) => Install::Source(source.path),
        None => Install::Version(version.to_owned()),
    };
    let registry = ci.registry.unwrap_or_default();
    let mut pipeline = Pipeline::new(install, &registry);
    let is_aws = registry.is_empty() || is_ecr(&pipeline.registry);
    pipeline.login = match ci.login {
        Some(login) => Login::Secrets { username: login.username, password: login.password },
        None if is_aws => Login::Aws,
        None if pipeline.registry == "ghcr.io" && system == CiSystem::Github => Login::GithubToken,
        None => Login::Anonymous,
    };
    if ci.role.is_some() || ci.region.is_some() || is_aws {
        let region = ci.region.or_else(|| region_of(&pipeline.registry));
        pipeline.aws = Some(Aws { role: ci.role, region });
    }
    pipeline.pull_requests = if ci.has_untrusted { PullRequests::Push } else { PullRequests::KeptApart };
    // One repository may have several projects.
    if !directory.is_empty() {
        pipeline.name = format!("shipper-{}", project.settings.name.value);
    }
    pipeline.directory = directory;
    pipeline.branch = ci.branch;
    pipeline.tags = ci.tags;
    pipeline.schedule = ci.schedule;
    pipeline.runner = ci.runner.unwrap_or(if system == CiSystem::Github { pipeline.runner } else { String::new() });
    pipeline.image = ci.image;
    pipeline.secrets = ci.secrets;
    pipeline.gha_cache = ci.gha_cache;
    pipeline.dockerfiles = project.services.values().any(|service| matches!(service.recipe, Recipe::Dockerfile(_)));
    pipeline.cargo =
        project.services.values().any(|service| matches!(&service.recipe, Recipe::Assemble { cargo: Some(_), .. }));
    for (environment, deploy) in ci.deploy {
        let on = match deploy.on {
            CiTriggerConfig::Branch => Trigger::Branch,
            CiTriggerConfig::Release => Trigger::Release,
            CiTriggerConfig::Manual => Trigger::Manual,
        };
        pipeline.deployments.push(Deployment { environment, on, role: deploy.role, secrets: deploy.secrets });
    }
    pipeline
}

/// Whether a host is one of Amazon ECR, `ACCOUNT.dkr.ecr.REGION.amazonaws.com`.
fn is_ecr(host: &str) -> bool {
    (host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"))
        && (host.contains(".dkr.ecr.") || host.contains(".dkr.ecr-fips."))
}

/// The region of a registry of Amazon ECR.
fn region_of(host: &str) -> Option<String> {
    is_ecr(host).then(|| host.split('.').nth(3).unwrap_or_default().to_owned())
}
