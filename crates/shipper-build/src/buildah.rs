//! Builds an image from a Dockerfile with `buildah`, without a daemon.
//!
//! Invariants:
//! - only the staged context and the images that the request names are read: every base is pulled by its locked digest
//!   into a private storage and tagged there with the name that the Dockerfile uses, and the build itself runs with
//!   `--pull=never`, so that a base which is not locked stops the build instead of being fetched;
//! - no ignore file is applied: the stage already is what the context holds;
//! - the platform of the result is checked: buildah 1.28 takes layers of another platform from its cache and labels
//!   nothing, which is also why every platform has a storage of its own;
//! - what runs is over when the future is dropped (see [`engine`]).
//!
//! **Times.** A Dockerfile that runs nothing is built with `--timestamp 0`: its manifest digest is then a function of
//! the content. One with `RUN` is not, because buildah sets the time of the *files* of every finished step to zero, not
//! only in the result: a later `RUN make` or `RUN cargo build` would take changed sources for older than what an earlier
//! step compiled, and the image would silently hold an old program. The two modes keep separate storages, because buildah's
//! cache takes no notice of times.
//!
//! **Annotations** of the result are exactly the request's. buildah copies those of the base image (a key that is not
//! ours) and records the last intermediate layer as `org.opencontainers.image.base.digest`.

mod dockerfile;
mod engine;

use std::path::{Path, PathBuf};
use std::time::Instant;

use shipper_oci::{Reference, Tag};

use crate::error::BuildError;
use crate::log::BuildLog;
use crate::request::{BuiltLayout, DockerfileRequest, LAYOUT, OUT, TAG, finish};
use crate::steps::{FailedStep, StepReport, Stopwatch};
use crate::work::Work;
use dockerfile::Times;
pub(crate) use engine::missing;
pub use engine::refuse_mounts;
use engine::{Command, Engine, prepare};

/// Builds the image of a Dockerfile with `buildah` and leaves it in an OCI layout.
///
/// A second build in the same `work` directory waits for the first. Progress goes to `log`, everything that buildah
/// writes also to the file `buildah.log` in `work`. Layers of base images are compressed anew, so that their digests in
/// the result differ from those in the registry they came from.
///
/// # Errors
/// [`BuildError::EngineMissing`] without buildah; [`BuildError::Unsupported`] if the installed version lacks an option;
/// [`BuildError::EngineFailed`] with the last lines and the log file if buildah fails (`step` is `prepare`, `pull`, `build`
/// or `push`; a failing `RUN` gives its own exit code); [`BuildError::BaseMissing`]; [`BuildError::WrongMachine`] if the
/// result is for another platform; [`BuildError::Image`] if a reference or digest is malformed.
pub async fn buildah(request: &DockerfileRequest, log: &dyn BuildLog) -> Result<BuiltLayout, BuildError> {
    if !request.cache_from.is_empty() || request.inline_cache {
        return Err(BuildError::Unsupported { what: "a layer cache of buildah".to_owned() });
    }
    let images = Images::of(request)?;
    let text = std::fs::read(&request.dockerfile).map_err(BuildError::io("read", &request.dockerfile))?;
    let work = Work::open(&request.work).await?;
    prepare(&work)?;
    // A copy under a fixed name: buildah runs the C preprocessor on files that are called `.in`.
    work.write("Dockerfile", &text)?;
    let mut engine = Engine::new(&work, &request.environment, request.secret_flags()?.variables).await?;

    let mut times = dockerfile::times(&text);
    let (id, steps) = loop {
        engine.open_storage(&request.platform, times, log).await?;
        images.provide(&mut engine, &work, request, log).await?;
        let steps = build(&mut engine, &work, request, times, log).await?;
        // `ONBUILD RUN` of a base: nothing in the Dockerfile announces it.
        if times == Times::Zero && steps.iter().any(|step| step.instruction.starts_with("RUN")) {
            times = Times::Real;
            continue;
        }
        break (work.read_line("image-id")?, steps);
    };

    let out = work.path(OUT);
    work.remove(OUT)?;
    let push = engine.command("push").args(["--format", "oci", "--quiet", "--digestfile", "digest", &id]);
    engine.run(push.arg(format!("oci:{OUT}:{TAG}")), "push", log, &mut |_| {}).await?;
    let pushed = work.read_line("digest")?.parse()?;
    finish("buildah", &out, &pushed, request, steps).await
}

/// Builds into the storage; gives the steps. The image's id is in the file `image-id`.
async fn build(
    engine: &mut Engine,
    work: &Work,
    request: &DockerfileRequest,
    times: Times,
    log: &dyn BuildLog,
) -> Result<Vec<StepReport>, BuildError> {
    work.write("ignore", b"# The context is already exactly what the build may read.\n")?;
    work.remove("image-id")?;
    let mut command = engine.command("build").args(["--isolation", "chroot", "--layers", "--force-rm", "--pull=never"]);
    // The label with buildah's version would make the same image differ between machines.
    command =
        command.args(["--identity-label=false", "--format", "oci", "--ignorefile", "ignore", "--file", "Dockerfile"]);
    command = command.args(["--iidfile", "image-id", "--platform"]).arg(request.platform.to_string());
    if times == Times::Zero {
        command = command.args(["--timestamp", "0"]);
    }
    if let Some(target) = &request.target {
        command = command.arg("--target").arg(target);
    }
    if let Some(network) = request.network {
        command = command.arg("--network").arg(network.as_str());
    }
    for (flag, value) in request.secret_flags()?.flags {
        command = command.arg(flag).arg(value);
    }
    for (name, value) in &request.args {
        command = command.arg("--build-arg").arg(format!("{name}={value}"));
    }
    for (name, value) in &request.labels {
        command = command.arg("--label").arg(format!("{name}={value}"));
    }
    for (name, value) in request.named.iter().filter(|(_, value)| !value.starts_with(LAYOUT)) {
        command = command.arg("--build-context").arg(format!("{name}={value}"));
    }
    let mut watch = Stopwatch::default();
    let mut on_line = |line: &str| {
        if let Some((step, stage)) = dockerfile::step(line) {
            watch.step(&step, stage, Instant::now());
            log.step(&step);
        }
    };
    let mut ended = engine.run(command.arg(&request.stage), "build", log, &mut on_line).await;
    if let Err(BuildError::EngineFailed { tail, at, .. }) = &mut ended {
        if let Some(image) = tail.last().and_then(|line| dockerfile::missing_image(line)) {
            let (reference, platform) = (image.to_owned(), request.platform.to_string());
            return Err(BuildError::BaseMissing { reference, platform });
        }
        // The step that began last; buildah does not tell its line.
        *at = watch.last().map(|step| Box::new(FailedStep { instruction: step.instruction.clone(), line: None }));
    }
    ended.map(|()| watch.finish(Instant::now()))
}

/// The images that the build may use, checked before anything runs.
struct Images {
    /// What to pull by digest, and the name to give it.
    bases: Vec<(Reference, Option<Reference>)>,
    /// Directory and tag of a layout, and the name to give the image.
    layouts: Vec<(PathBuf, Tag, String)>,
}

impl Images {
    fn of(request: &DockerfileRequest) -> Result<Images, BuildError> {
        let mut images = Images { bases: Vec::new(), layouts: Vec::new() };
        for (written, digest) in &request.bases {
            let reference = Reference::parse_docker(written)?;
            let locked = reference.with_digest(digest.parse()?);
            // Pulled by digest it already bears the name `repository@digest`.
            let name = reference.tag.clone().map(|tag| reference.with_tag(tag));
            images.bases.push((locked, name));
        }
        for (name, value) in &request.named {
            let Some(layout) = value.strip_prefix(LAYOUT) else { continue };
            let Some((directory, tag)) = layout.rsplit_once(':') else {
                return Err(BuildError::Unsupported { what: format!("the named context `{value}` without a tag") });
            };
            // Must be a name that an image can bear.
            Reference::parse_docker(name)?;
            images.layouts.push((PathBuf::from(directory), tag.parse()?, name.clone()));
        }
        Ok(images)
    }

    /// Brings the images into the storage, under the names that the Dockerfile uses. Named contexts come last, because
    /// they win over bases of the same name.
    async fn provide(
        &self,
        engine: &mut Engine,
        work: &Work,
        request: &DockerfileRequest,
        log: &dyn BuildLog,
    ) -> Result<(), BuildError> {
        let platform = request.platform.to_string();
        let pull = |engine: &Engine| engine.command("pull").args(["--quiet", "--platform", &platform]);
        for (locked, name) in &self.bases {
            let mut command = pull(engine).args(["--policy", "missing"]);
            if locked.registry.is_loopback() {
                command = command.arg("--tls-verify=false");
            }
            let id = pulled(engine, command.arg(locked.to_string()), log).await?;
            if let Some(name) = name {
                tag(engine, &id, &name.to_string(), log).await?;
            }
        }
        work.remove("named")?;
        for (index, (directory, layout_tag, name)) in self.layouts.iter().enumerate() {
            // buildah names the image after the path and writes that name into the history of what is built on it, and
            // a path may hold a colon.
            let link = format!("named/{index}");
            link_directory(directory, &work.path(&link))?;
            let command = pull(engine).args(["--policy", "always"]).arg(format!("{LAYOUT}{link}:{layout_tag}"));
            let id = pulled(engine, command, log).await?;
            tag(engine, &id, name, log).await?;
            // The image's first name is what the history shows. Of several names `rmi` removes one, not the image.
            let first = engine.command("rmi").arg(format!("localhost/{link}"));
            engine.run(first, "prepare", log, &mut |_| {}).await?;
        }
        Ok(())
    }
}

/// Runs a pull; the id of the image.
async fn pulled(engine: &mut Engine, command: Command, log: &dyn BuildLog) -> Result<String, BuildError> {
    let mut id = String::new();
    engine.run(command, "pull", log, &mut |line| line.clone_into(&mut id)).await?;
    Ok(id)
}

async fn tag(engine: &mut Engine, id: &str, name: &str, log: &dyn BuildLog) -> Result<(), BuildError> {
    let command = engine.command("tag").arg(id).arg(name);
    engine.run(command, "prepare", log, &mut |_| {}).await
}

#[cfg(unix)]
fn link_directory(target: &Path, link: &Path) -> Result<(), BuildError> {
    if let Some(parent) = link.parent() {
        std::fs::create_dir_all(parent).map_err(BuildError::io("create", parent))?;
    }
    std::os::unix::fs::symlink(target, link).map_err(BuildError::io("create", link))
}

#[cfg(not(unix))]
fn link_directory(_: &Path, _: &Path) -> Result<(), BuildError> {
    Err(BuildError::Unsupported { what: "buildah on this system".to_owned() })
}
