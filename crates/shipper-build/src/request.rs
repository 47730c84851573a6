//! What any builder of Dockerfiles is given and what it leaves: a request, and an image in an OCI layout.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use shipper_oci::{Digest, Manifest, Platform, Repository, Selector, Tag};

use crate::cache::Cache;
use crate::environment::Environment;
use crate::error::BuildError;
use crate::steps::{LayerReport, StepReport, layers};

/// A Dockerfile and everything that its build may read.
///
/// All paths are absolute.
#[derive(Debug, Clone)]
pub struct DockerfileRequest {
    /// The staged context: exactly the files of the context, nothing else.
    pub stage: PathBuf,
    /// The Dockerfile; it need not lie in the stage.
    pub dockerfile: PathBuf,
    /// A private directory that lasts between builds: log, result, buildah's layer cache. One build at a time uses it.
    pub work: PathBuf,
    /// The stage of the Dockerfile to build; the last one if absent.
    pub target: Option<String>,
    /// Build arguments by name.
    pub args: BTreeMap<String, String>,
    /// The platform of the image, and of every base.
    pub platform: Platform,
    /// Labels that are added to the image's configuration, after those of the Dockerfile.
    pub labels: BTreeMap<String, String>,
    /// All annotations of the image's manifest.
    pub annotations: BTreeMap<String, String>,
    /// Named contexts, by the name that `FROM` or `--from=` uses: `oci:DIR:TAG`, an image in an OCI layout, or the path
    /// of a staged directory (`--from=` only).
    pub named: BTreeMap<String, String>,
    /// Locked digests of base images, by reference as the Dockerfile has it after expansion of its arguments.
    pub bases: BTreeMap<String, String>,
    /// The network of `RUN` steps; the builder's default if absent.
    pub network: Option<Network>,
    /// What `RUN --mount=type=secret` may read, by id.
    pub secrets: BTreeMap<String, SecretSource>,
    /// What `RUN --mount=type=ssh` may use: `ID` for the caller's agent, or `ID=SOCKET-OR-KEY`.
    pub ssh: Vec<String>,
    /// Layer caches that the build may read; each costs time even where it has nothing. A builder that cannot read one
    /// refuses the build.
    pub cache_from: Vec<Cache>,
    /// Whether the image's configuration tells which layers its steps made, so that the image itself serves as a cache.
    pub inline_cache: bool,
    /// Where `PATH`, proxies and the place of registry credentials are taken from.
    pub environment: Environment,
}

/// A finished image in an OCI layout.
#[derive(Debug, Clone)]
pub struct BuiltLayout {
    /// The layout's directory, below the request's `work`; the next build there replaces it.
    pub layout: PathBuf,
    /// The image's tag in the layout.
    pub tag: String,
    /// The image's manifest.
    pub manifest: Manifest,
    /// The steps that ran or came from the cache, in the order in which they began.
    pub steps: Vec<StepReport>,
    /// The image's layers, base first.
    pub layers: Vec<LayerReport>,
}

/// Where a secret is. Its value passes to the builder by the environment or by a path, never by an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In this variable of the request's environment.
    Environment(String),
    /// In this file.
    File(PathBuf),
}

/// What a builder's command line says about secrets and agents.
pub(crate) struct SecretFlags {
    /// `--secret` and `--ssh` with their values.
    pub(crate) flags: Vec<(&'static str, String)>,
    /// The variables that must be visible for them.
    pub(crate) variables: Environment,
}

impl DockerfileRequest {
    /// The flags for the request's secrets and agents.
    ///
    /// # Errors
    /// [`BuildError::SecretMissing`] where a variable is not set or a file is not there: a builder would say so in
    /// the middle of the build, or give the step nothing.
    pub(crate) fn secret_flags(&self) -> Result<SecretFlags, BuildError> {
        let mut flags = Vec::new();
        let mut variables = Environment::new();
        for (id, source) in &self.secrets {
            let missing = |place: String| BuildError::SecretMissing { id: id.clone(), place };
            let source = match source {
                SecretSource::Environment(name) => {
                    let value = self.environment.get(name).ok_or_else(|| missing(format!("the variable {name}")))?;
                    variables.set(name, value);
                    format!("id={id},type=env,src={name}")
                }
                SecretSource::File(path) if path.is_file() => {
                    csv(&[&format!("id={id}"), &format!("src={}", path.display())])
                }
                SecretSource::File(path) => return Err(missing(path.display().to_string())),
            };
            flags.push(("--secret", source));
        }
        if !self.ssh.is_empty() {
            variables.extend(self.environment.pick(|name| name == "SSH_AUTH_SOCK"));
        }
        flags.extend(self.ssh.iter().map(|one| ("--ssh", one.clone())));
        Ok(SecretFlags { flags, variables })
    }
}

/// Fields of a flag's value, quoted where they need it: both builders read it as a line of CSV.
pub(crate) fn csv(fields: &[&str]) -> String {
    let quote = |field: &&str| {
        if field.contains([',', '"', '\n']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            (*field).to_owned()
        }
    };
    fields.iter().map(quote).collect::<Vec<_>>().join(",")
}

/// The network that `RUN` steps have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The host's.
    Host,
    /// None.
    None,
}

impl Network {
    /// The value of `--network`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Network::Host => "host",
            Network::None => "none",
        }
    }
}

/// What a named context that is an image in a layout begins with.
pub(crate) const LAYOUT: &str = "oci:";
/// The directory of the result below `work`.
pub(crate) const OUT: &str = "out";
/// The tag of the result.
pub(crate) const TAG: &str = "built";

/// Checks the image that `engine` left in the layout `out` as `pushed`, and gives it the request's annotations and
/// [`TAG`].
///
/// # Errors
/// [`BuildError::WrongMachine`] if it is for another platform; [`BuildError::Unsupported`] if it is no image.
pub(crate) async fn finish(
    engine: &str,
    out: &Path,
    pushed: &Digest,
    request: &DockerfileRequest,
    steps: Vec<StepReport>,
) -> Result<BuiltLayout, BuildError> {
    let tag: Tag = TAG.parse()?;
    let repository = Repository::layout(out);
    let found = repository.manifest(&Selector::Digest(pushed.clone())).await?;
    let Some((mut image, built)) = found.and_then(|built| Some((built.as_image()?.clone(), built))) else {
        return Err(BuildError::Unsupported {
            what: format!("the result of {engine}, which has no image manifest {pushed},"),
        });
    };
    let config = repository.blob(&image.config).await?;
    let platform = platform_of(engine, &config)?;
    if !request.platform.matches(&platform) {
        return Err(BuildError::WrongMachine {
            path: request.dockerfile.clone(),
            found: platform.to_string(),
            wanted: request.platform.to_string(),
        });
    }
    image.annotations.clone_from(&request.annotations);
    let manifest = Manifest::image(&image)?;
    repository.put_manifest(&manifest, Some(&tag)).await?;
    if manifest.digest() != built.digest() {
        repository.delete_manifest(built.digest()).await?;
    }
    let sizes: Vec<u64> = image.layers.iter().map(|layer| layer.size).collect();
    let layers = layers(&config, &sizes);
    Ok(BuiltLayout { layout: out.to_path_buf(), tag: TAG.to_owned(), manifest, steps, layers })
}

fn platform_of(engine: &str, config: &[u8]) -> Result<Platform, BuildError> {
    serde_json::from_slice(config)
        .map_err(|error| BuildError::Unsupported { what: format!("the image configuration of {engine} ({error})") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_comma_is_one_field() {
        assert_eq!(csv(&["id=a", "src=/x"]), "id=a,src=/x");
        assert_eq!(csv(&["id=a", "src=/x,y/\"z\""]), "id=a,\"src=/x,y/\"\"z\"\"\"");
    }
}
