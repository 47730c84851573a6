//! Pipelines of CI systems: a project as the model that `shipper-ci` writes, and where its file lies.

use std::path::{Path, PathBuf};

use shipper_ci::{Aws, Deployment, Install, Login, Pipeline, PullRequests, Trigger};
use shipper_plan::{Ci, CiShipperConfig, CiTriggerConfig, Recipe};

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

/// The workflow of GitHub Actions for a project. `version` is what is installed where the project names no other.
///
/// # Errors
/// [`Error::Plan`] for what makes no sense in `[ci]`, and for a registry that jobs can not share; [`Error::Read`].
pub fn ci_github(project: &Project, version: &str) -> Result<CiFile, Error> {
    let (repository, directory) = placed(&project.root);
    let pipeline = pipeline(project, project.config.ci()?, version, directory);
    // One repository may have several projects.
    let file = if pipeline.directory.is_empty() {
        "shipper.yml".to_owned()
    } else {
        format!("shipper-{}.yml", project.settings.name.value)
    };
    let name = format!(".github/workflows/{file}");
    let path = repository.join(&name);
    let present = match crate::read::small_text(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(source) => return Err(Error::Read { path, source }),
    };
    Ok(CiFile { path, name, text: shipper_ci::github(&pipeline), present })
}

/// The repository that a project lies in, and where in it; the project itself where there is none.
pub(crate) fn placed(root: &Path) -> (PathBuf, String) {
    let repository = root.ancestors().find(|directory| directory.join(".git").exists()).unwrap_or(root);
    let within = root.strip_prefix(repository).unwrap_or(Path::new(""));
    let parts: Vec<_> = within.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    (repository.to_owned(), parts.join("/"))
}

fn pipeline(project: &Project, ci: Ci, version: &str, directory: String) -> Pipeline {
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
        None if pipeline.registry == "ghcr.io" => Login::GithubToken,
        None => Login::Anonymous,
    };
    if ci.role.is_some() || ci.region.is_some() || is_aws {
        let region = ci.region.or_else(|| region_of(&pipeline.registry));
        pipeline.aws = Some(Aws { role: ci.role, region });
    }
    pipeline.pull_requests = if ci.has_untrusted { PullRequests::Push } else { PullRequests::KeptApart };
    pipeline.directory = directory;
    pipeline.branch = ci.branch;
    pipeline.tags = ci.tags;
    pipeline.schedule = ci.schedule;
    pipeline.runner = ci.runner.unwrap_or(pipeline.runner);
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
