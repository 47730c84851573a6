//! Images without a daemon: a Cargo package, a prebuilt binary and files of the stage become layers on a base.
//!
//! Layers from the lowest: the base; system files (users, `/tmp`, root certificates); shared libraries; files; binaries.
//! What changes most lies highest. Binaries are `/usr/local/bin/<name>`, a directory that is on the default `PATH` of
//! every runtime, so that `docker exec` finds them by name.
//!
//! Defaults: the entrypoint is the binary; the user is 65532:65532 on an image from scratch and the base's on a base.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use shipper_oci::{
    BaseImage, Compression, Image, ImageBuilder, Layer, LayerBuilder, LayerOptions, LayerSource, Platform,
};

use crate::cargo::{self, CargoRecipe, Place};
use crate::closure::{Libraries, SharedFile};
use crate::elf::Elf;
use crate::environment::Environment;
use crate::error::BuildError;
use crate::files;
use crate::log::{BuildLog, Step};
use crate::system;
use crate::target::{LinkMode, Machine};

/// The version of the way in which inputs become layers. It belongs into the key of every assembled image: when the same
/// inputs give other bytes, this changes.
pub const ASSEMBLY: &str = "1";

/// What the layer of files is called in the history of an image.
pub const FILES_LAYER: &str = "shipper: files";

/// The directory of binaries in an image.
pub const BIN_DIR: &str = "/usr/local/bin";

/// What to build.
#[derive(Debug, Clone)]
pub struct AssembleRequest {
    /// The service, for messages.
    pub service: String,
    /// The platform of the image; `linux` only.
    pub platform: Platform,
    /// The directory with exactly the files of the build context.
    pub stage: PathBuf,
    /// A private directory, best kept between builds: compiled artifacts, layers, logs. One build uses it at a time.
    pub work: PathBuf,
    /// A package to compile.
    pub cargo: Option<CargoRecipe>,
    /// A binary that is already compiled, relative to the stage.
    pub binary: Option<PathBuf>,
    /// Files: absolute path in the image and path in the stage. A directory's content goes below the image path; a file
    /// goes to the image path itself, or below it where that ends in `/`.
    pub files: Vec<(String, String)>,
    /// How the image is to be run.
    pub image: ImageOptions,
    /// Layers that need not be written, because they are where the image goes: each stands for the one that the history
    /// calls the same, which holds the same content.
    pub present: Vec<Layer>,
    /// The image below; `None` builds from scratch.
    pub base: Option<BaseImage>,
    /// The caller's environment, from which child processes get what they need.
    pub environment: Environment,
}

/// How an image is to be run and packed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageOptions {
    /// What a container runs; the binary if not given.
    pub entrypoint: Option<Vec<String>>,
    /// Arguments after the entrypoint.
    pub cmd: Option<Vec<String>>,
    /// Environment variables of the container.
    pub env: BTreeMap<String, String>,
    /// `user[:group]`; if not given, 65532:65532 from scratch and the base's user on a base.
    pub user: Option<String>,
    /// The directory a container starts in.
    pub workdir: Option<String>,
    /// TCP ports that the program listens on.
    pub expose: Vec<u16>,
    /// Labels of the configuration.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// Whether Mozilla's root certificates are in the image; see [`crate::ca_bundle_digest`].
    pub ca_certificates: bool,
    /// How layers are compressed.
    pub compression: Compression,
    /// Time of creation and of all files in the image, in seconds since the Unix epoch.
    pub created: u64,
}

/// Builds an image. Layers are files in the request's work directory; they stay there until the next build for the same
/// platform.
///
/// Dropping the future kills everything that was started.
///
/// # Errors
/// Every variant of [`BuildError`] but the ones about Dockerfile builders.
pub async fn assemble(request: &AssembleRequest, log: &dyn BuildLog) -> Result<Image, BuildError> {
    let machine = Machine::of(&request.platform)?;
    fs::create_dir_all(&request.work).map_err(BuildError::io("create", &request.work))?;
    let stage = canonical(&request.stage)?;
    let work = canonical(&request.work)?;
    if let Some(base) = request.base.as_ref().filter(|base| !base.platform().matches(&request.platform)) {
        // Known before anything is compiled.
        let (wanted, found) = (request.platform.to_string(), base.platform().to_string());
        return Err(shipper_oci::Error::BasePlatform { wanted, found }.into());
    }
    let (binaries, start) = binaries(request, machine, &stage, &work, log).await?;
    let plan = Plan {
        stage,
        layers: work.join("layers").join(request.platform.to_string().replace('/', "-")),
        from_scratch: request.base.is_none(),
        certificates: request.image.ca_certificates,
        files: request.files.clone(),
        libraries: libraries(request, machine, &binaries)?,
        binaries,
        options: LayerOptions::new(request.image.compression, request.image.created),
        present: request.present.clone(),
    };
    let layers = tokio::task::spawn_blocking(move || plan.write());
    let layers = layers.await.map_err(|error| BuildError::Io {
        action: "write the layers of",
        path: request.service.clone().into(),
        source: std::io::Error::other(error),
    })??;
    for layer in &layers {
        log.step(&Step::Layer { created_by: layer.created_by.clone(), size: layer.descriptor.size });
    }
    Ok(image(request, layers, start).build()?)
}

/// The binaries and the one that starts.
async fn binaries(
    request: &AssembleRequest,
    machine: &'static Machine,
    stage: &Path,
    work: &Path,
    log: &dyn BuildLog,
) -> Result<(Vec<(String, PathBuf)>, Option<String>), BuildError> {
    let mut binaries = Vec::new();
    let mut start = None;
    if let Some(recipe) = &request.cargo {
        let place = Place { stage, work, environment: &request.environment, machine, created: request.image.created };
        let compiled = cargo::compile(recipe, &place, log).await?;
        // Named binaries: the first starts. Otherwise the only one, or the one that `cargo run` would start.
        start = match &compiled.binaries[..] {
            [(name, _)] => Some(name.clone()),
            _ if !recipe.bins.is_empty() => recipe.bins.first().cloned(),
            _ => compiled.default_run,
        };
        binaries.extend(compiled.binaries);
    }
    if let Some(binary) = &request.binary {
        let shown = binary.display().to_string();
        let path = stage.join(binary).canonicalize().map_err(|_| BuildError::FileMissing { path: shown.clone() })?;
        let problem = "it leads out of the build context";
        let name = path.file_name().and_then(|name| name.to_str()).filter(|_| path.starts_with(stage));
        let name = name.ok_or(BuildError::FileRefused { path: shown, problem })?.to_owned();
        start = start.or_else(|| Some(name.clone()));
        binaries.push((name, path));
    }
    if start.is_none() && !binaries.is_empty() && request.image.entrypoint.is_none() {
        return Err(BuildError::EntrypointUnclear { known: binaries.into_iter().map(|(name, _)| name).collect() });
    }
    Ok((binaries, start))
}

/// Checks every binary, and finds the shared libraries of those that need them.
fn libraries(
    request: &AssembleRequest,
    machine: &'static Machine,
    binaries: &[(String, PathBuf)],
) -> Result<Vec<SharedFile>, BuildError> {
    let wants_closure = request.cargo.as_ref().is_some_and(|recipe| recipe.link == LinkMode::Dynamic);
    let mut closure = Vec::new();
    for (_, path) in binaries {
        let elf = Elf::read_for(path, machine)?;
        let Some(interpreter) = elf.interpreter else {
            if elf.needed.is_empty() {
                continue;
            }
            let problem = "it is a shared library".to_owned();
            return Err(BuildError::NotElf { path: path.clone(), problem });
        };
        if request.base.is_some() {
            // The base provides the loader and the libraries.
            continue;
        }
        if !wants_closure {
            let prebuilt = request.cargo.is_none();
            return Err(BuildError::DynamicOnScratch { path: path.clone(), interpreter, prebuilt });
        }
        closure.extend(Libraries::new(Path::new("/"), machine).closure(path, BIN_DIR)?);
    }
    closure.sort();
    closure.dedup_by(|one, other| one.image_path == other.image_path);
    Ok(closure)
}

fn image(request: &AssembleRequest, layers: Vec<Layer>, start: Option<String>) -> ImageBuilder {
    let options = &request.image;
    let mut image = ImageBuilder::new(request.platform.clone()).created(options.created);
    let from_scratch = request.base.is_none();
    if let Some(base) = &request.base {
        image = image.base(base.clone());
    }
    if options.ca_certificates && from_scratch {
        image = image.env(system::CA_VARIABLE, system::CA_BUNDLE);
    }
    match (&options.entrypoint, start) {
        (Some(argv), _) => image = image.entrypoint(argv.clone()),
        (None, Some(name)) => image = image.entrypoint([format!("{BIN_DIR}/{name}")]),
        (None, None) => {}
    }
    let default_user = from_scratch.then(|| format!("{0}:{0}", system::NONROOT));
    if let Some(user) = options.user.clone().or(default_user) {
        image = image.user(user);
    }
    image = options.cmd.iter().fold(image, |image, argv| image.cmd(argv.clone()));
    image = options.workdir.iter().fold(image, ImageBuilder::workdir);
    image = options.env.iter().fold(image, |image, (name, value)| image.env(name, value));
    image = options.expose.iter().fold(image, |image, port| image.expose(*port));
    image = options.labels.iter().fold(image, |image, (name, value)| image.label(name, value));
    image = options.annotations.iter().fold(image, |image, (name, value)| image.annotation(name, value));
    layers.into_iter().fold(image, ImageBuilder::layer)
}

/// Everything that goes into layers.
struct Plan {
    stage: PathBuf,
    layers: PathBuf,
    from_scratch: bool,
    certificates: bool,
    files: Vec<(String, String)>,
    libraries: Vec<SharedFile>,
    binaries: Vec<(String, PathBuf)>,
    options: LayerOptions,
    present: Vec<Layer>,
}

impl Plan {
    /// Writes the layers, lowest first; empty ones are left out.
    fn write(self) -> Result<Vec<Layer>, BuildError> {
        let mut system = LayerBuilder::new("shipper: system files");
        if self.from_scratch {
            system::add_users(&mut system)?;
        }
        if self.certificates {
            system::add_certificates(&mut system)?;
        }
        let mut libraries = LayerBuilder::new("shipper: shared libraries");
        if !self.libraries.is_empty() {
            system::add_name_service(&mut libraries)?;
        }
        for file in &self.libraries {
            let mode = if file.executable { 0o755 } else { 0o644 };
            libraries.add_file(&file.image_path, LayerSource::Path(file.source.clone()), mode)?;
        }
        let mut files = LayerBuilder::new(FILES_LAYER);
        files::add(&mut files, &self.stage, &self.files)?;
        let names: Vec<&str> = self.binaries.iter().map(|(name, _)| name.as_str()).collect();
        let mut binaries = LayerBuilder::new(binaries_layer(&names));
        for (name, path) in &self.binaries {
            binaries.add_file(format!("{BIN_DIR}/{name}"), LayerSource::Path(path.clone()), 0o755)?;
        }
        let layers = [system, libraries, files, binaries];
        for (index, layer) in layers.iter().enumerate() {
            layers[..index].iter().try_for_each(|below| layer.fits_on(below))?;
        }

        fs::create_dir_all(&self.layers).map_err(BuildError::io("create", &self.layers))?;
        remove_old(&self.layers)?;
        let layers = layers.into_iter().filter(|layer| !layer.is_empty());
        let present = |layer: &LayerBuilder| self.present.iter().find(|one| one.created_by == layer.created_by());
        let written = |layer: LayerBuilder| match present(&layer) {
            Some(present) => Ok(present.clone()),
            None => Ok(layer.write(&self.options, &self.layers)?),
        };
        layers.map(written).collect()
    }
}

/// What the layer of these binaries is called in the history of an image.
#[must_use]
pub fn binaries_layer(names: &[&str]) -> String {
    format!("shipper: {BIN_DIR}/{}", names.join(" "))
}

/// Removes the layers of the last build, which nobody refers to any more.
fn remove_old(layers: &Path) -> Result<(), BuildError> {
    for entry in fs::read_dir(layers).map_err(BuildError::io("read", layers))? {
        let entry = entry.map_err(BuildError::io("read", layers))?;
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|name| name.starts_with("sha256-") || name.starts_with(".layer-"));
        if ours {
            fs::remove_file(entry.path()).map_err(BuildError::io("remove", &entry.path()))?;
        }
    }
    Ok(())
}

pub(crate) fn canonical(path: &Path) -> Result<PathBuf, BuildError> {
    path.canonicalize().map_err(BuildError::io("read", path))
}
