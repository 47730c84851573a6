//! The machine: the cache directory, what builds, the container engine.

use std::path::Path;

use shipper_build::Builder;
use shipper_plan::{BuilderConfig, Recipe};

use super::{Check, CheckVerdict};
use crate::gather::environment;
use crate::work::builder_choice;
use crate::{Project, images};

pub(super) async fn checks(project: &Project) -> Vec<Check> {
    let mut checks = vec![cache(&project.directories.cache)];
    checks.extend(builder(project).await);
    checks.push(engine(project).await);
    checks
}

fn cache(directory: &Path) -> Check {
    writable("cache", "cache-directory", directory, "name another directory in SHIPPER_CACHE_DIR")
}

/// Whether a directory can be written, or created.
pub(super) fn writable(subject: impl Into<String>, code: &'static str, directory: &Path, cure: &str) -> Check {
    let shown = directory.display();
    let (verdict, message) = match directory.ancestors().find(|path| path.exists()) {
        None => (CheckVerdict::Unknown, format!("nothing of {shown} exists")),
        Some(there) if !there.is_dir() => (CheckVerdict::Broken, format!("{} is no directory", there.display())),
        Some(there) => match is_writable(there) {
            Ok(()) => (CheckVerdict::Fine, format!("{shown} can be written")),
            Err(problem) => (CheckVerdict::Broken, format!("{} can not be written: {problem}", there.display())),
        },
    };
    let cure = (verdict != CheckVerdict::Fine).then(|| cure.to_owned());
    Check::new(subject, code, verdict, message).cured_by(cure)
}

/// Whether this user may create something in a directory; nothing is created.
#[cfg(unix)]
fn is_writable(directory: &Path) -> Result<(), String> {
    use rustix::fs::{Access, access};
    access(directory, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| std::io::Error::from(error).to_string())
}

#[cfg(not(unix))]
fn is_writable(directory: &Path) -> Result<(), String> {
    let metadata = directory.metadata().map_err(|error| error.to_string())?;
    if metadata.permissions().readonly() { Err("it is read-only".to_owned()) } else { Ok(()) }
}

/// What builds Dockerfiles, where one is needed.
async fn builder(project: &Project) -> Option<Check> {
    let dockerfiles = project.services.values().filter(|service| matches!(service.recipe, Recipe::Dockerfile(_)));
    let needed = dockerfiles.count();
    if needed == 0 {
        return None;
    }
    let check = |verdict, message: String| Check::new("builder", "builder", verdict, message);
    Some(match Builder::detect(builder_choice(project), &environment(&project.environment)).await {
        Ok(builder) => {
            let name = builder.name();
            let found = check(CheckVerdict::Fine, format!("{name} builds Dockerfiles"));
            let wants_caches = !project.settings.caches.value.is_empty();
            if builder.has_caches() || !wants_caches {
                found
            } else {
                let cure = "install Docker with buildx, or remove `cache` from shipper.toml";
                let message = format!("{name} builds Dockerfiles, but reads and writes no layer caches");
                check(CheckVerdict::Note, message).cured_by(cure.to_owned())
            }
        }
        Err(error) => {
            let cause = std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
            let setting = match project.settings.builder.value {
                BuilderConfig::Auto => String::new(),
                _ => format!(" (`builder` is set by {})", project.settings.builder.origin),
            };
            check(CheckVerdict::Broken, format!("{error}{cause}{setting}")).cured_by(error.hint())
        }
    })
}

/// The container engine, which only `ship --load` and `copy .. docker-daemon:` need.
async fn engine(project: &Project) -> Check {
    let check = |verdict, message: String| Check::new("engine", "container-engine", verdict, message);
    let engine = match images::engine(&project.environment) {
        Ok(engine) => engine,
        Err(error) => return check(CheckVerdict::Broken, error.chain()).cured_by(error.hint()),
    };
    match engine.version().await {
        Ok(version) => check(CheckVerdict::Fine, format!("{} answers: {version}", engine.host())),
        Err(error) => {
            let cure = "start one, or set DOCKER_HOST; only `ship --load` and `docker-daemon:` need it";
            check(CheckVerdict::Note, error.chain()).cured_by(cure.to_owned())
        }
    }
}
