//! One due service: check, stage, build each missing platform, publish.
//!
//! Its directory is locked for the time, so that two runs on one machine do not build in the same stage.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use shipper_build::{
    AssembleRequest, BuildError, BuildLog, Builder, BuilderChoice, CargoRecipe, DockerfileRequest, ImageOptions,
    LinkMode, LockRequest, Network, SecretSource, Step, assemble, complete_lock, run_check,
};
use shipper_hash::CargoClosure;
use shipper_oci::{BaseImage, Compression, Digest, Manifest, Repository, Selector};
use shipper_plan::{Base, BuilderConfig, CompressionConfig, Existing, LinkConfig, NetworkConfig, Recipe, SecretConfig};
use shipper_report::{Action, BlobCounts, Event, Name, Phase, PlannedService, counted};
use shipper_tag::TagPlan;
use tokio::sync::OnceCell;

use crate::attest::Attester;
use crate::bases::{image_of, located};
use crate::caches::Export;
use crate::gather::{Gathered, Platform, environment};
use crate::measured;
use crate::names::{KEY, SERVICE, tag};
use crate::naming::Naming;
use crate::phases::Phases;
use crate::present::{Last, layers};
use crate::probe::existing;
use crate::publish::{PlatformImage, Publication, name_existing, publish, remember};
use crate::sign::Signer;
use crate::trust::Trust;
use crate::{Error, Events, Project, caches};

/// Pause between two attempts to take a directory that another run has.
const PAUSE: Duration = Duration::from_millis(50);

/// Everything that one service's work needs.
pub(crate) struct Job {
    pub(crate) project: Arc<Project>,
    pub(crate) gathered: Gathered,
    pub(crate) planned: PlannedService,
    pub(crate) repository: Repository,
    /// Where its image was found, if not there.
    pub(crate) elsewhere: Option<Repository>,
    /// Where the images are that it is built on, by the name that it uses for them: repository and digest.
    pub(crate) needs: BTreeMap<String, (Repository, String)>,
    pub(crate) branch: Option<String>,
    /// The branch that the remote calls its default, where the checkout knows it.
    pub(crate) default_branch: Option<String>,
    /// Where trusted runs put the service's images, for a run that is not.
    pub(crate) trusted: Option<Repository>,
    /// The names that its image gets.
    pub(crate) naming: Naming,
    /// Whose images it takes from its repository.
    pub(crate) trust: Trust,
    /// Who signs its images, if anybody does.
    pub(crate) signer: Option<Signer>,
    pub(crate) force: bool,
    pub(crate) push: bool,
    pub(crate) events: Events,
    /// What it has gone through; the caller asks when it ended, however it did.
    pub(crate) phases: Arc<Phases>,
    /// The builder of Dockerfiles, looked for once a run and only where one is needed.
    pub(crate) builder: Arc<OnceCell<Builder>>,
}

/// What became of it.
pub(crate) struct Done {
    /// Where the image is: the service's repository, or a private layout if nothing is pushed.
    pub(crate) repository: Repository,
    /// `repository@digest`.
    pub(crate) reference: String,
    pub(crate) digest: String,
    pub(crate) size: u64,
    pub(crate) uploaded: u64,
    pub(crate) blobs: BlobCounts,
    pub(crate) names: Vec<Name>,
}

/// Does the work.
///
/// # Errors
/// What the service failed with; nothing of it is named in the registry then.
pub(crate) async fn run(job: &Job) -> Result<Done, Error> {
    let service = &job.gathered.service;
    job.events.emit(Event::ActionStarted { service: service.name.clone(), action: job.planned.action });
    if let (Action::Retag, Some(image)) = (job.planned.action, &job.planned.image) {
        return retag(job, image).await;
    }
    for argv in &service.check {
        job.progress(Phase::Check, argv.join(" "), 0, 0);
        run_check(argv, &job.project.root, &environment(&job.project.environment), &Log { job, phase: Phase::Check })
            .await
            .map_err(|failure| Error::Check {
                service: service.name.clone(),
                argv: argv.clone(),
                problem: failure.problem,
                tail: failure.tail,
            })?;
    }
    // Before the build: a lock file that can not be read must not cost one.
    let attester = Attester::new(&job.project, &job.gathered).await?;
    let mut images = Vec::with_capacity(job.gathered.platforms.len());
    // Held until the images are pushed: layers lie in these directories.
    let mut locks = Vec::new();
    let mut exports = Vec::new();
    for (platform, planned) in job.gathered.platforms.iter().zip(&job.planned.platforms) {
        if planned.action == Action::Reuse
            && let Some(stored) = job.stored(platform).await?
        {
            images.push(PlatformImage::Stored(stored));
            continue;
        }
        let directory = job.directory_for(&platform.inputs.platform)?;
        locks.push(lock(job, &directory).await?);
        let (image, export) = build(job, platform, &directory).await?;
        images.push(image);
        exports.extend(export);
    }
    let repository = if job.push { job.repository.clone() } else { Repository::layout(job.directory_for("unpushed")?) };
    // Names are for the registry.
    let plan = if job.push { job.naming.plan.clone() } else { TagPlan::default() };
    let naming = Naming { plan, ..job.naming.clone() };
    let publication = Publication {
        gathered: &job.gathered,
        images: &images,
        attester: &attester,
        naming: &naming,
        branch: job.branch.as_deref(),
        forced: job.force,
        signer: job.signer.as_ref().filter(|_| job.push),
        trust: &job.trust,
    };
    job.phases.enter(Phase::Push);
    let published = publish(&repository, &publication, &job.events).await?;
    for export in &exports {
        caches::export(job, export).await;
    }
    Ok(Done {
        reference: repository.reference(&Selector::Digest(published.digest.clone())),
        digest: published.digest.to_string(),
        size: published.size,
        uploaded: if job.push { published.blobs.uploaded_bytes } else { 0 },
        blobs: published.blobs,
        names: published.names,
        repository,
    })
}

/// Gives an image that is there the names that it lacks.
async fn retag(job: &Job, image: &str) -> Result<Done, Error> {
    let digest = image.rsplit_once('@').map_or("", |(_, digest)| digest);
    let mut done = Done {
        reference: image.to_owned(),
        digest: digest.to_owned(),
        size: 0,
        uploaded: 0,
        blobs: BlobCounts::default(),
        names: Vec::new(),
        repository: job.elsewhere.as_ref().unwrap_or(&job.repository).clone(),
    };
    if !job.push {
        return Ok(done);
    }
    job.phases.enter(Phase::Push);
    let service = &job.gathered.service.name;
    let failed =
        |source| Error::Push { service: service.clone(), target: job.repository.to_string(), source: Box::new(source) };
    let parsed: Digest = digest.parse().map_err(|source| Error::Store { action: format!("use {image}"), source })?;
    if let Some(from) = &job.elsewhere {
        let selector = Selector::Digest(parsed.clone());
        let copied = shipper_oci::copy(from, &selector, &job.repository, &[]).await.map_err(failed)?;
        done.uploaded = copied.bytes;
        done.blobs.uploaded_bytes = copied.bytes;
        done.reference = job.repository.reference(&selector);
        done.repository = job.repository.clone();
    }
    done.names = name_existing(&job.repository, service, &job.naming, &parsed).await?;
    remember(&job.repository, &parsed, job.branch.as_deref()).await.map_err(failed)?;
    Ok(done)
}

impl Job {
    fn progress(&self, phase: Phase, message: String, done: u64, total: u64) {
        self.phases.enter(phase);
        let service = self.gathered.service.name.clone();
        self.events.emit(Event::ActionProgress { service, phase, message, done, total });
    }

    /// A private directory of the service, created.
    fn directory_for(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.project.directories.service(&self.gathered.service.name, name);
        fs::create_dir_all(&path).map_err(|source| Error::Write { path: path.clone(), source })?;
        Ok(path)
    }

    /// The image of a platform under its own identity, by the skip rule once more: the tag may have moved since the plan.
    async fn stored(&self, platform: &Platform) -> Result<Option<Manifest>, Error> {
        let own = std::slice::from_ref(&platform.inputs.platform);
        let existing = existing(&self.repository, &self.trust, &platform.inputs.key(), own).await?;
        let Existing::Verified { reference } = existing else { return Ok(None) };
        let failed = |source| Error::Store { action: format!("read {reference}"), source };
        let digest = reference.rsplit_once('@').map_or(reference.as_str(), |(_, digest)| digest);
        // Behind the identity there may be an index: the image with what is stated about it.
        match image_of(&self.repository, digest, &platform.inputs.platform).await {
            Ok(manifest) => Ok(Some(manifest)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// The builder that the settings mean.
    pub(crate) async fn builder(&self) -> Result<&Builder, BuildError> {
        let choice = builder_choice(&self.project);
        let environment = environment(&self.project.environment);
        self.builder.get_or_try_init(async || Builder::detect(choice, &environment).await).await
    }

    fn failed(&self) -> impl Fn(shipper_build::BuildError) -> Error + '_ {
        |source| Error::Build { service: self.gathered.service.name.clone(), source: Box::new(source) }
    }

    /// Labels and annotations that every image of shipper carries. Nothing that differs between two builds of one key.
    fn labels(&self, platform: &Platform) -> BTreeMap<String, String> {
        let service = &self.gathered.service;
        let mut labels = BTreeMap::from([
            (KEY.to_owned(), platform.inputs.key().to_string()),
            (SERVICE.to_owned(), service.name.clone()),
            ("org.opencontainers.image.title".to_owned(), service.name.clone()),
        ]);
        if let Some((name, digest)) = platform.inputs.bases.first_key_value() {
            labels.insert("org.opencontainers.image.base.name".to_owned(), name.clone());
            labels.insert("org.opencontainers.image.base.digest".to_owned(), digest.clone());
        }
        labels
    }
}

/// The builder that the settings mean.
pub(crate) fn builder_choice(project: &Project) -> BuilderChoice {
    match project.settings.builder.value {
        BuilderConfig::Auto => BuilderChoice::Auto,
        BuilderConfig::Buildx => BuilderChoice::Buildx,
        BuilderConfig::Buildah => BuilderChoice::Buildah,
    }
}

/// Takes a directory for this process; waits for a process that has it, and says so.
async fn lock(job: &Job, directory: &Path) -> Result<File, Error> {
    let path = directory.join("lock");
    let failed = |source| Error::Write { path: path.clone(), source };
    let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
    let mut told = false;
    loop {
        // Asked for again and again: a wait in the system could not be interrupted.
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        if !std::mem::replace(&mut told, true) {
            job.progress(Phase::Stage, "waiting for another run".to_owned(), 0, 0);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Stages the platform's context and builds its image; of a Dockerfile also what may become a layer cache.
async fn build(job: &Job, platform: &Platform, directory: &Path) -> Result<(PlatformImage, Option<Export>), Error> {
    let service = &job.gathered.service;
    let stage = directory.join("stage");
    let manifest = platform.context.manifest();
    job.progress(Phase::Stage, counted(manifest.len(), "file"), 0, 0);
    let context = Arc::clone(&platform.context);
    let target = stage.clone();
    let staged = tokio::task::spawn_blocking(move || context.stage(&target)).await.expect("staging does not panic");
    staged.map_err(|source| Error::Stage { service: service.name.clone(), source })?;
    job.progress(Phase::Build, String::new(), 0, 0);
    match &service.recipe {
        Recipe::Assemble { cargo, binary, files } => {
            let recipe = cargo.as_ref().zip(platform.cargo.as_ref()).map(|(recipe, compiled)| CargoRecipe {
                package: recipe.package.clone(),
                bins: compiled.bins.clone(),
                profile: recipe.profile.clone(),
                features: recipe.features.clone(),
                no_default_features: recipe.no_default_features,
                link: match recipe.link {
                    LinkConfig::Static => LinkMode::Static,
                    LinkConfig::Musl => LinkMode::Musl,
                    LinkConfig::Dynamic => LinkMode::Dynamic,
                },
                rustflags: recipe.rustflags.clone(),
                env: recipe.env.clone(),
                workspace_root: workspace_root(&compiled.closure),
                rustc: compiled.rustc.clone(),
                locked: locked(&compiled.closure),
            });
            let base = base_image(job, platform).await?;
            let last = Last {
                repository: &job.repository,
                trust: &job.trust,
                branches: [job.branch.as_deref(), job.default_branch.as_deref()],
            };
            let present =
                if job.force || !job.push { Vec::new() } else { layers(&last, &service.recipe, platform).await };
            let request = AssembleRequest {
                service: service.name.clone(),
                platform: parsed(job, platform)?,
                stage,
                work: directory.join("work"),
                cargo: recipe,
                binary: binary.get(&platform.inputs.platform).map(PathBuf::from),
                files: files.iter().map(|(target, source)| (target.clone(), source.clone())).collect(),
                image: image_options(job, platform),
                present,
                base: base.as_ref().map(|(_, base)| base.clone()),
                environment: environment(&job.project.environment),
            };
            let image = assemble(&request, &Log { job, phase: Phase::Build }).await;
            if let (Err(BuildError::CompileFailed { .. }), Some(compiled)) = (&image, &platform.cargo) {
                for missing in &compiled.closure.missing {
                    let text = format!("{} names {}, which is not among the files", missing.source, missing.named);
                    job.events.warn(Some(&service.name), text);
                }
            }
            let image = image.map_err(job.failed())?;
            let base = base.map(|(repository, _)| repository);
            Ok((PlatformImage::Built { image: Box::new(image), base }, None))
        }
        Recipe::Dockerfile(recipe) => {
            let file = directory.join("Dockerfile");
            let bytes = platform.dockerfile.as_deref().map(Vec::as_slice).unwrap_or_default();
            fs::write(&file, bytes).map_err(|source| Error::Write { path: file.clone(), source })?;
            if let Some(closure) = platform.closure.as_deref().filter(|closure| closure.has_lock) {
                complete(job, closure, &stage, &directory.join("work")).await.map_err(job.failed())?;
            }
            let builder = job.builder().await.map_err(job.failed())?;
            let mut named = named_images(job, platform, &directory.join("needs")).await?;
            named.extend(named_directories(job, platform, &directory.join("contexts")).await?);
            let name = &platform.inputs.platform;
            let caches = caches::choose(job, name, builder).await?;
            let request = DockerfileRequest {
                stage,
                dockerfile: file,
                work: directory.join("work"),
                target: recipe.target.clone(),
                args: recipe.args.clone(),
                platform: parsed(job, platform)?,
                labels: job.gathered.service.image.labels.clone().into_iter().chain(job.labels(platform)).collect(),
                annotations: job.labels(platform),
                named,
                bases: platform.inputs.bases.clone(),
                network: recipe.network.map(|network| match network {
                    NetworkConfig::Host => Network::Host,
                    NetworkConfig::None => Network::None,
                }),
                secrets: recipe.secrets.iter().map(|(id, source)| (id.clone(), secret(&job.project, source))).collect(),
                ssh: recipe.ssh.clone(),
                cache_from: caches.from.clone(),
                inline_cache: caches.inline,
                environment: environment(&job.project.environment),
            };
            let instructions = measured::instructions(bytes);
            let began = job.events.elapsed_ms();
            let built = builder.build(&request, &Log { job, phase: Phase::Build }).await;
            let located = |error: BuildError| error.located(|text| measured::line(&instructions, text));
            let built = built.map_err(|error| job.failed()(located(error)))?;
            let took = job.events.elapsed_ms().saturating_sub(began);
            job.events.emit(measured::event(&service.name, name, builder.name(), &instructions, &built, took));
            let image = PlatformImage::Copied { manifest: built.manifest, from: Repository::layout(&built.layout) };
            let export = Export { platform: name.clone(), chosen: caches, request, steps: built.steps };
            Ok((image, Some(export)))
        }
    }
}

/// Makes the staged lock one that `cargo build --locked` accepts.
async fn complete(job: &Job, closure: &CargoClosure, stage: &Path, work: &Path) -> Result<(), BuildError> {
    let request = LockRequest {
        stage: stage.to_owned(),
        work: work.to_owned(),
        package: closure.package.clone(),
        workspace_root: workspace_root(closure),
        locked: locked(closure),
        environment: environment(&job.project.environment),
    };
    complete_lock(&request, &Log { job, phase: Phase::Stage }).await
}

/// The directory of the workspace inside of a stage.
fn workspace_root(closure: &CargoClosure) -> PathBuf {
    closure.workspace_root.as_ref().map(ToString::to_string).unwrap_or_default().into()
}

/// Names and versions of the packages that may be used.
fn locked(closure: &CargoClosure) -> Vec<(String, String)> {
    closure.locked.iter().map(|one| (one.name.clone(), one.version.clone())).collect()
}

/// Where a secret is, with relative paths below the project and `~/` below the home directory.
fn secret(project: &Project, source: &SecretConfig) -> SecretSource {
    match source {
        SecretConfig::Env(name) => SecretSource::Environment(name.clone()),
        SecretConfig::File(path) => {
            SecretSource::File(match path.strip_prefix("~/").zip(environment(&project.environment).home()) {
                Some((below, home)) => home.join(below),
                None => project.root.join(path),
            })
        }
    }
}

fn parsed(job: &Job, platform: &Platform) -> Result<shipper_oci::Platform, Error> {
    let text = &platform.inputs.platform;
    let service = &job.gathered.service.name;
    text.parse().map_err(|source| Error::Store { action: format!("build `{service}` for `{text}`"), source })
}

fn image_options(job: &Job, platform: &Platform) -> ImageOptions {
    let options = &job.gathered.service.image;
    let own = job.labels(platform);
    let mut labels = options.labels.clone();
    labels.extend(own.clone());
    ImageOptions {
        entrypoint: options.entrypoint.clone(),
        cmd: options.cmd.clone(),
        env: options.env.clone(),
        user: options.user.clone(),
        workdir: options.workdir.clone(),
        expose: options.expose.clone(),
        labels,
        annotations: own,
        ca_certificates: options.ca_certificates,
        compression: match options.compression {
            Some(CompressionConfig::Zstd) => Compression::Zstd,
            Some(CompressionConfig::Gzip) | None => Compression::Gzip,
        },
        // The time would make two builds of one key differ.
        created: 0,
    }
}

/// The base image of an assembled service, and where its layers are.
async fn base_image(job: &Job, platform: &Platform) -> Result<Option<(Repository, BaseImage)>, Error> {
    let service = &job.gathered.service;
    let locked = |reference: &str| platform.inputs.bases.get(reference).cloned().unwrap_or_default();
    let (reference, repository, digest) = match &service.base {
        Base::Scratch => return Ok(None),
        Base::Registry(reference) => {
            let (repository, _) = located(&job.project.environment, &job.project.logins, reference)
                .map_err(|source| Error::Store { action: format!("read the base image `{reference}`"), source })?;
            (reference.clone(), repository, locked(reference))
        }
        Base::Layout { directory, tag } => {
            let reference = format!("oci:{directory}:{tag}");
            let digest = locked(&reference);
            (reference, Repository::layout(job.project.root.join(directory)), digest)
        }
        Base::Service(need) => {
            let found =
                service.needs.iter().find(|(_, other)| *other == need).and_then(|(name, _)| job.needs.get(name));
            let (repository, digest) = found.expect("a service is built after those it is built on").clone();
            (need.clone(), repository, digest)
        }
    };
    let store = |source| Error::Store { action: format!("read the base image `{reference}`"), source };
    let manifest = image_of(&repository, &digest, &platform.inputs.platform).await.map_err(store)?;
    let config = match manifest.as_image() {
        Some(image) => repository.blob(&image.config).await.map_err(store)?,
        None => Vec::new(),
    };
    let base = BaseImage::new(&manifest, &config).map_err(store)?;
    Ok(Some((repository, base)))
}

/// The images that a Dockerfile uses by the names in `needs`, as layouts below `place` that a builder on this machine can
/// read. `place` belongs to the locked directory of the platform.
async fn named_images(job: &Job, platform: &Platform, place: &Path) -> Result<BTreeMap<String, String>, Error> {
    let mut named = BTreeMap::new();
    for (position, (name, (repository, digest))) in job.needs.iter().enumerate() {
        let store =
            |source| Error::Store { action: format!("fetch `{name}` for `{}`", job.gathered.service.name), source };
        let manifest = image_of(repository, digest, &platform.inputs.platform).await.map_err(store)?;
        // Its name may hold what a path can not.
        let layout = place.join(position.to_string());
        let selector = Selector::Digest(manifest.digest().clone());
        let present = Repository::layout(&layout).manifest(&Selector::Tag(tag("image"))).await.ok().flatten();
        if present.is_none_or(|present| present.digest() != manifest.digest()) {
            // An earlier image would stay beside this one for ever.
            let _ = fs::remove_dir_all(&layout);
            let tags = [tag("image")];
            shipper_oci::copy(repository, &selector, &Repository::layout(&layout), &tags).await.map_err(store)?;
        }
        named.insert(name.clone(), format!("oci:{}:image", layout.display()));
    }
    Ok(named)
}

/// The directories that a Dockerfile uses by name, staged below `place`.
async fn named_directories(job: &Job, platform: &Platform, place: &Path) -> Result<BTreeMap<String, String>, Error> {
    let mut named = BTreeMap::new();
    for (position, (name, context)) in platform.contexts.iter().enumerate() {
        let stage = place.join(position.to_string());
        let (context, target) = (Arc::clone(context), stage.clone());
        let staged = tokio::task::spawn_blocking(move || context.stage(&target)).await.expect("staging does not panic");
        staged.map_err(|source| Error::Stage { service: job.gathered.service.name.clone(), source })?;
        named.insert(name.clone(), stage.display().to_string());
    }
    Ok(named)
}

/// Turns a builder's lines and steps into events.
pub(crate) struct Log<'a> {
    pub(crate) job: &'a Job,
    pub(crate) phase: Phase,
}

impl BuildLog for Log<'_> {
    fn line(&self, line: &str) {
        if self.phase == Phase::Check {
            self.job.progress(self.phase, line.to_owned(), 0, 0);
        }
    }

    fn warning(&self, text: &str) {
        self.job.events.warn(Some(&self.job.gathered.service.name), text);
    }

    fn step(&self, step: &Step) {
        let count = |number: usize| number as u64;
        let (message, done, total) = match step {
            Step::Fetching => ("fetching dependencies".to_owned(), 0, 0),
            Step::Crate { name, version, fresh: false, done, total } => {
                (format!("compiled {name} {version} ({done}/{total})"), count(*done), count(*total))
            }
            Step::Layer { created_by, size } => (format!("layer {created_by}, {}", shipper_report::bytes(*size)), 0, 0),
            Step::Instruction { name, number, total } => {
                (format!("step {number}/{total} {name}"), count(*number), count(*total))
            }
            _ => return,
        };
        self.job.progress(self.phase, message, done, total);
    }
}
