//! Which program builds Dockerfiles on this machine, and one way to call it.
//!
//! Invariant: choosing starts no build and costs little where nothing answers: a daemon's socket is tried before its
//! client is started.

use crate::buildah::buildah;
use crate::buildx::Buildx;
use crate::cache::Cache;
use crate::environment::Environment;
use crate::error::BuildError;
use crate::log::BuildLog;
use crate::request::{BuiltLayout, DockerfileRequest};

/// Which builder is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BuilderChoice {
    /// The first that works: buildx, then buildah.
    #[default]
    Auto,
    /// `docker buildx`.
    Buildx,
    /// `buildah`.
    Buildah,
}

/// A builder of Dockerfiles that is there.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Builder {
    /// BuildKit through `docker buildx`: a Docker engine with the containerd image store, or any other driver.
    Buildx(Buildx),
    /// buildah, without a daemon.
    Buildah,
}

impl Builder {
    /// Finds the builder that `choice` means, with the programs and daemons that `environment` leads to.
    ///
    /// # Errors
    /// [`BuildError::EngineMissing`], [`BuildError::EngineUnreachable`] or [`BuildError::Unsupported`] of the chosen
    /// one; with [`BuilderChoice::Auto`] those of buildx, if its client is installed and buildah is not.
    pub async fn detect(choice: BuilderChoice, environment: &Environment) -> Result<Builder, BuildError> {
        let has_buildah = || environment.find_program("buildah").is_some();
        match choice {
            BuilderChoice::Buildx => Buildx::detect(environment).await.map(Builder::Buildx),
            BuilderChoice::Buildah if has_buildah() => Ok(Builder::Buildah),
            BuilderChoice::Buildah => Err(crate::buildah::missing()),
            BuilderChoice::Auto => match Buildx::detect(environment).await {
                Ok(buildx) => Ok(Builder::Buildx(buildx)),
                Err(_) if has_buildah() => Ok(Builder::Buildah),
                Err(BuildError::EngineMissing { .. }) => Err(BuildError::EngineMissing {
                    what: "a builder of Dockerfiles (`docker buildx` or `buildah`)".to_owned(),
                    install: INSTALL.to_owned(),
                }),
                Err(error) => Err(error),
            },
        }
    }

    /// `buildx` or `buildah`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Builder::Buildx(_) => "buildx",
            Builder::Buildah => "buildah",
        }
    }

    /// Whether it reads and writes layer caches.
    #[must_use]
    pub fn has_caches(&self) -> bool {
        matches!(self, Builder::Buildx(_))
    }

    /// Writes the layers of a build that has succeeded into a cache. What the builder still has is not built again.
    ///
    /// # Errors
    /// [`BuildError::Unsupported`] where the builder has no caches, [`BuildError::EngineFailed`] where it cannot write this
    /// one; the image is not concerned.
    pub async fn export_cache(
        &self,
        request: &DockerfileRequest,
        cache: &Cache,
        log: &dyn BuildLog,
    ) -> Result<(), BuildError> {
        match self {
            Builder::Buildx(buildx) => buildx.export_cache(request, cache, log).await,
            Builder::Buildah => Err(BuildError::Unsupported { what: "a layer cache of buildah".to_owned() }),
        }
    }

    /// Builds the image of a Dockerfile and leaves it in an OCI layout below the request's `work`.
    ///
    /// # Errors
    /// [`BuildError::EngineFailed`] with the last lines and the log file where the builder fails;
    /// [`BuildError::BaseMissing`]; [`BuildError::WrongMachine`] if the result is for another platform.
    pub async fn build(&self, request: &DockerfileRequest, log: &dyn BuildLog) -> Result<BuiltLayout, BuildError> {
        match self {
            Builder::Buildx(buildx) => buildx.build(request, log).await,
            Builder::Buildah => buildah(request, log).await,
        }
    }
}

const INSTALL: &str = "install Docker with buildx, or buildah (Debian and Ubuntu: `apt-get install buildah`); services with \
                       `cargo` or `files` need no builder";
