//! Builds an image from a Dockerfile with BuildKit, through `docker buildx`.
//!
//! Invariants:
//! - the context is the staged directory and no ignore file is applied to it: a `<Dockerfile>.dockerignore` with nothing
//!   but a comment lies beside the Dockerfile, and BuildKit prefers it to a `.dockerignore` in the context (buildkit,
//!   frontend/dockerui/config.go);
//! - every base that is locked is replaced by its digest, and every service that the image is built on by its image in a
//!   layout: both as named contexts, which BuildKit looks up before it asks a registry;
//! - the result is taken as an OCI layout, never from the daemon's image store, and is judged by its bytes: the metadata
//!   file only says where to look;
//! - success is the exit code: a cache that could not be read is an error of a step in a build that succeeds.
//!
//! **Times.** BuildKit's cache takes no notice of times, and `rewrite-timestamp` changes them in the result only, so that
//! every image is built with `SOURCE_DATE_EPOCH=0` unless the service sets that argument itself. Attestations are left
//! out: they name the run, and would give one key two digests.

mod engine;
mod progress;

use std::path::Path;

use serde::Deserialize;
use shipper_oci::{Digest, Repository, Selector, Tag};

use crate::cache::Cache;
use crate::environment::Environment;
use crate::error::{BuildError, Exit};
use crate::log::BuildLog;
use crate::process::{LogFile, Process, Stream};
use crate::request::{BuiltLayout, DockerfileRequest, LAYOUT, OUT, finish};
use crate::steps::StepReport;
use crate::work::Work;
use progress::Progress;

/// Files of the work directory.
const DOCKERFILE: &str = "Dockerfile";
const IGNORE_FILE: &str = "Dockerfile.dockerignore";
const METADATA: &str = "metadata.json";
/// The longest metadata file that is read, in bytes.
const METADATA_LIMIT: u64 = 4 << 20;

/// A `docker buildx` that can build images and hand them out as OCI layouts.
#[derive(Debug, Clone)]
pub struct Buildx {
    docker: std::path::PathBuf,
    environment: Environment,
}

impl Buildx {
    /// Finds the client and asks whether its current builder answers and hands out OCI layouts.
    ///
    /// # Errors
    /// [`BuildError::EngineMissing`] without the client or its plug-in, [`BuildError::EngineUnreachable`] if no daemon
    /// answers, [`BuildError::Unsupported`] for an engine with the old image store.
    pub async fn detect(environment: &Environment) -> Result<Buildx, BuildError> {
        engine::detect(environment).await
    }

    /// Builds, and leaves the image in an OCI layout below the request's `work`.
    ///
    /// # Errors
    /// As [`crate::Builder::build`].
    pub async fn build(&self, request: &DockerfileRequest, log: &dyn BuildLog) -> Result<BuiltLayout, BuildError> {
        let work = Work::open(&request.work).await?;
        self.prepare(request, &work)?;
        work.remove(OUT)?;
        work.remove(METADATA)?;
        let mut command = self.command(request, &work).await?.args(["--metadata-file", METADATA]);
        command = command.arg("--output").arg(format!("type=oci,tar=false,rewrite-timestamp=true,dest={OUT}"));
        if request.inline_cache {
            command = command.args(["--cache-to", "type=inline"]);
        }
        let steps = run(&command.arg(&request.stage), &work, "build", request, log).await?;
        let digest = built(&work.path(METADATA))?;
        finish("buildx", &work.path(OUT), &digest, request, steps).await
    }

    /// Writes the layers of a build into a cache.
    ///
    /// # Errors
    /// As [`crate::Builder::export_cache`].
    pub async fn export_cache(
        &self,
        request: &DockerfileRequest,
        cache: &Cache,
        log: &dyn BuildLog,
    ) -> Result<(), BuildError> {
        let work = Work::open(&request.work).await?;
        self.prepare(request, &work)?;
        cache.prepare()?;
        let mut process = self.command(request, &work).await?;
        process = process.env(&cache.variables(&request.environment));
        process = process.args(["--output", "type=cacheonly", "--cache-to"]).arg(cache.export());
        run(&process.arg(&request.stage), &work, "export", request, log).await?;
        cache.finish()
    }

    /// Writes what the client reads besides the context.
    fn prepare(&self, request: &DockerfileRequest, work: &Work) -> Result<(), BuildError> {
        let text = std::fs::read(&request.dockerfile).map_err(BuildError::io("read", &request.dockerfile))?;
        // A copy under a fixed name, so that nothing else beside the Dockerfile is taken for its ignore file.
        work.write(DOCKERFILE, &text)?;
        work.write(IGNORE_FILE, b"# The context is already exactly what the build may read.\n")
    }

    /// The client with everything that decides about the result, without the context and where the result goes.
    async fn command(&self, request: &DockerfileRequest, work: &Work) -> Result<Process, BuildError> {
        let secrets = request.secret_flags()?;
        let mut environment = self.environment.clone();
        environment.extend(secrets.variables);
        let mut command = Process::new(&self.docker, work.root(), environment);
        command = command.args(["buildx", "build", "--progress", "rawjson", "--provenance=false", "--sbom=false"]);
        command = command.arg("--platform").arg(request.platform.to_string());
        command = command.args(["--file", DOCKERFILE]);
        for cache in &request.cache_from {
            command = command.env(&cache.variables(&request.environment)).arg("--cache-from").arg(cache.import());
        }
        if let Some(target) = &request.target {
            command = command.arg("--target").arg(target);
        }
        if let Some(network) = request.network {
            command = command.arg("--network").arg(network.as_str());
        }
        for (flag, value) in secrets.flags {
            command = command.arg(flag).arg(value);
        }
        if !request.args.contains_key("SOURCE_DATE_EPOCH") {
            command = command.args(["--build-arg", "SOURCE_DATE_EPOCH=0"]);
        }
        for (name, value) in &request.args {
            command = command.arg("--build-arg").arg(format!("{name}={value}"));
        }
        for (name, value) in &request.labels {
            command = command.arg("--label").arg(format!("{name}={value}"));
        }
        for (name, digest) in &request.bases {
            let base = shipper_oci::Reference::parse_docker(name)?.with_digest(digest.parse()?);
            command = command.arg("--build-context").arg(format!("{name}=docker-image://{base}"));
        }
        for (name, value) in &request.named {
            command = command.arg("--build-context").arg(format!("{name}={}", named(value).await?));
        }
        Ok(command)
    }
}

/// A named context as buildx writes it: a directory, or the image of a layout by its digest.
async fn named(value: &str) -> Result<String, BuildError> {
    let Some(layout) = value.strip_prefix(LAYOUT) else { return Ok(value.to_owned()) };
    let unsupported = || BuildError::Unsupported { what: format!("the named context `{value}`") };
    let (directory, tag) = layout.rsplit_once(':').ok_or_else(unsupported)?;
    let tag: Tag = tag.parse()?;
    let manifest = Repository::layout(directory).manifest(&Selector::Tag(tag)).await?.ok_or_else(unsupported)?;
    Ok(format!("oci-layout://{directory}@{}", manifest.digest()))
}

/// Runs the build and measures its steps; what it prints goes to the file `buildx.log` (of an export `cache.log`) in `work`
/// and, read, to `log`.
async fn run(
    process: &Process,
    work: &Work,
    step: &'static str,
    request: &DockerfileRequest,
    log: &dyn BuildLog,
) -> Result<Vec<StepReport>, BuildError> {
    let mut file = LogFile::create(&work.path(if step == "build" { "buildx.log" } else { "cache.log" }))?;
    file.line(&format!("$ {}", process.describe()));
    let mut progress = Progress::default();
    let status = process
        .run(&mut |stream, line| match stream {
            Stream::Stdout => file.line(line),
            Stream::Stderr => progress.line(line, &mut |line| file.line(line), log),
        })
        .await?;
    if status.success() {
        return Ok(progress.into_steps());
    }
    let failure = progress.into_failure();
    if let Some(reference) = failure.missing_image {
        return Err(BuildError::BaseMissing { reference, platform: request.platform.to_string() });
    }
    let exit = failure.exit_code.map_or_else(|| Exit::from(status), Exit::Code);
    Err(BuildError::EngineFailed {
        engine: "docker buildx".to_owned(),
        step,
        exit,
        at: failure.at.map(Box::new),
        tail: failure.tail,
        log: file.flushed(),
    })
}

/// The digest of the manifest that the build wrote.
fn built(metadata: &Path) -> Result<Digest, BuildError> {
    #[derive(Deserialize)]
    struct Metadata {
        #[serde(rename = "containerimage.digest")]
        digest: String,
    }
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(
            &mut std::io::Read::take(std::fs::File::open(metadata)?, METADATA_LIMIT),
            &mut bytes,
        )?;
        Ok(bytes)
    };
    let bytes = read().map_err(BuildError::io("read", metadata))?;
    let metadata: Metadata = serde_json::from_slice(&bytes)
        .map_err(|error| BuildError::Unsupported { what: format!("the metadata file of this buildx ({error})") })?;
    Ok(metadata.digest.parse()?)
}
