//! From configuration and files to contexts, inputs documents and keys.
//!
//! One listing of the tree serves all services. Nothing is written and no process is started, except `rustc -vV`
//! outside the repository where a project names no exact toolchain, and the file that remembers its answer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use shipper_build::{Environment, RustcIdentity, ToolchainFile, rustc_identity};
use shipper_dockerfile::BasePlatform;
use shipper_hash::{BuildKey, CargoClosure, Context, FileSet, Narrow, RelPath, Selection, Tree};
use shipper_plan::{Base, CargoRecipe, InputsDocument, Recipe, Service, hash_argument, in_order, with_needs};
use shipper_report::Event;

use crate::bases::Bases;
use crate::narrowed::{self, Narrowed};
use crate::project::Compilers;
use crate::{Error, Events, Project};

/// One platform of a service, ready to be looked up or built.
#[derive(Debug, Clone)]
pub(crate) struct Platform {
    /// Its inputs.
    pub(crate) inputs: InputsDocument,
    /// Its context.
    pub(crate) context: Arc<Context>,
    /// The closure of a cargo service.
    pub(crate) cargo: Option<Arc<Compiled>>,
    /// The Dockerfile that was analysed, for the builder.
    pub(crate) dockerfile: Option<Arc<Vec<u8>>>,
    /// The closure that a Dockerfile's context is.
    pub(crate) closure: Option<Arc<CargoClosure>>,
    /// The named contexts of a Dockerfile that are directories.
    pub(crate) contexts: BTreeMap<String, Arc<Context>>,
}

/// What a cargo service compiles, decided from manifests.
#[derive(Debug, Clone)]
pub(crate) struct Compiled {
    /// The closure.
    pub(crate) closure: CargoClosure,
    /// The binaries to build, the entrypoint first.
    pub(crate) bins: Vec<String>,
    /// The compiler.
    pub(crate) rustc: RustcIdentity,
}

/// One service with its keys.
#[derive(Debug, Clone)]
pub(crate) struct Gathered {
    /// The service.
    pub(crate) service: Service,
    /// The image's key.
    pub(crate) key: BuildKey,
    /// Platforms, sorted by name.
    pub(crate) platforms: Vec<Platform>,
}

impl Gathered {
    /// The base references of all platforms, as they are written.
    pub(crate) fn bases(&self) -> impl Iterator<Item = &str> {
        self.platforms.iter().flat_map(|platform| platform.inputs.bases.keys().map(String::as_str))
    }
}

/// The services that `selected` names and those they are built on, needs first.
///
/// # Errors
/// [`Error::Plan`] for an unknown service or a cycle.
pub(crate) fn selection(project: &Project, selected: &[String]) -> Result<Vec<String>, Error> {
    let needs: BTreeMap<String, BTreeSet<String>> = project
        .services
        .values()
        .map(|service| (service.name.clone(), service.needs.values().cloned().collect()))
        .collect();
    let order = in_order(&needs)?;
    let wanted = with_needs(&needs, selected)?;
    Ok(order.into_iter().filter(|name| wanted.contains(name)).collect())
}

/// Hashes the contexts of `order` and derives their keys.
///
/// # Errors
/// What makes a context, a Dockerfile, a toolchain or a base image unusable.
pub(crate) async fn gather(
    project: &Project,
    tree: &Tree,
    order: &[String],
    bases: &mut Bases<'_>,
    events: &Events,
) -> Result<Vec<Gathered>, Error> {
    let mut all: Vec<Gathered> = Vec::with_capacity(order.len());
    for name in order {
        let service = &project.services[name];
        let mut platforms = Vec::with_capacity(service.platforms.len());
        let mut shared: Option<Half> = None;
        let mut told = BTreeSet::new();
        for platform in &service.platforms {
            let half = match shared.take() {
                Some(half) => half,
                None => half(project, tree, service, platform).await?,
            };
            let context = half.context.hash().to_string();
            // Platforms that share a context share what is said about it.
            if told.insert(context.clone()) {
                for warning in half.warnings() {
                    events.warn(Some(name), warning);
                }
                events.emit(Event::ContextHashed {
                    service: name.clone(),
                    context,
                    files: half.context.manifest().len() as u64,
                    bytes: half.context.manifest().bytes(),
                });
            }
            let document = document(service, platform, &half, bases, &all).await?;
            platforms.push(Platform {
                inputs: document,
                context: Arc::clone(&half.context),
                cargo: half.cargo.clone(),
                dockerfile: half.dockerfile.as_ref().map(|narrowed| Arc::clone(&narrowed.bytes)),
                closure: half.dockerfile.as_ref().and_then(|narrowed| narrowed.closure.clone()),
                contexts: half.dockerfile.as_ref().map(|narrowed| narrowed.contexts.clone()).unwrap_or_default(),
            });
            // Only prebuilt programs and Dockerfile arguments make a context depend on its platform.
            if matches!(&service.recipe, Recipe::Assemble { binary, .. } if binary.is_empty()) {
                shared = Some(half);
            }
        }
        let keys: Vec<BuildKey> = platforms.iter().map(|platform| platform.inputs.key()).collect();
        let key = if let [key] = keys.as_slice() { *key } else { BuildKey::combine(&keys) };
        all.push(Gathered { service: service.clone(), key, platforms });
    }
    Ok(all)
}

/// What of a platform's facts comes from files alone.
struct Half {
    context: Arc<Context>,
    cargo: Option<Arc<Compiled>>,
    dockerfile: Option<Narrowed>,
}

impl Half {
    /// What a person should know: oddities of the context, and inputs that no key can hold.
    fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = self.context.warnings().iter().map(ToString::to_string).collect();
        warnings.extend(self.dockerfile.iter().flat_map(Narrowed::warnings));
        warnings
    }
}

async fn half(project: &Project, tree: &Tree, service: &Service, platform: &str) -> Result<Half, Error> {
    match &service.recipe {
        Recipe::Assemble { cargo, binary, files } => {
            let (context, built) = assemble(tree, service, cargo.as_ref(), binary.get(platform), files)?;
            let cargo = match built {
                None => None,
                Some((closure, bins)) => {
                    let rustc = compiler(project, tree, service, &closure).await?;
                    Some(Arc::new(Compiled { closure, bins, rustc }))
                }
            };
            Ok(Half { context: Arc::new(context), cargo, dockerfile: None })
        }
        Recipe::Dockerfile(recipe) => {
            let narrowed = narrowed::of_service(tree, service, recipe, platform)?;
            Ok(Half { context: Arc::clone(&narrowed.context), cargo: None, dockerfile: Some(narrowed) })
        }
    }
}

fn context_error(service: &Service) -> impl Fn(shipper_hash::Error) -> Error + '_ {
    |source| Error::Context { service: service.name.clone(), source }
}

/// A closure and the binaries of it that are built.
pub(crate) type Chosen = (CargoClosure, Vec<String>);

/// The context of an assembled service, and what of it is compiled, from files alone: no compiler and no registry is
/// asked.
///
/// # Errors
/// What makes a context unusable.
pub(crate) fn assemble(
    tree: &Tree,
    service: &Service,
    cargo: Option<&CargoRecipe>,
    binary: Option<&String>,
    files: &BTreeMap<String, String>,
) -> Result<(Context, Option<Chosen>), Error> {
    let failed = context_error(service);
    let mut builder = tree.context(None).map_err(&failed)?;
    let built = match cargo {
        None => None,
        Some(recipe) => {
            let closure = builder.add_cargo_without(&recipe.package, &service.exclude, None).map_err(&failed)?;
            let bins = choose_bins(service, recipe, &closure)?;
            Some((closure, bins))
        }
    };
    for source in files.values() {
        let only = if source == "." { None } else { Some(vec![Narrow::Prefix(rel_path(service, source)?)]) };
        let selection = Selection { only, exclude: service.exclude.clone(), ..Selection::default() };
        builder.add(&selection).map_err(&failed)?;
    }
    if let Some(path) = binary {
        // A program that was built is ignored by git as a rule; it counts because it is named.
        let files = FileSet::Explicit(vec![literal(path)]);
        if builder.add(&Selection { files, ..Selection::default() }).map_err(&failed)?.files == 0 {
            return Err(no_input(tree, service, path));
        }
    }
    if !service.inputs.is_empty() {
        let selection = Selection {
            files: FileSet::Explicit(service.inputs.clone()),
            exclude: service.exclude.clone(),
            ..Selection::default()
        };
        builder.add(&selection).map_err(&failed)?;
    }
    let context = builder.finish().map_err(&failed)?;
    // A link alone would be an image without what it stands for, and edits of that would not count.
    let is_link = |source: &str| tree.commit().is_none() && tree.root().join(source).is_symlink();
    if let Some(useless) = files.values().find(|source| is_link(source) || !has_files(&context, source)) {
        return Err(no_input(tree, service, useless));
    }
    Ok((context, built))
}

/// The compiler that the closure's toolchain file names, else the user's default one.
async fn compiler(
    project: &Project,
    tree: &Tree,
    service: &Service,
    closure: &CargoClosure,
) -> Result<RustcIdentity, Error> {
    let failed = |source| Error::Toolchain { service: service.name.clone(), source: Box::new(source) };
    let file = match &closure.toolchain {
        Some(toolchain) => {
            let bytes = tree.read(&toolchain.file).map_err(context_error(service))?;
            Some(ToolchainFile::parse(&toolchain.file.to_string(), &bytes).map_err(failed)?)
        }
        None => None,
    };
    if project.compilers == Compilers::AsWritten {
        return Ok(RustcIdentity::as_written(file.as_ref()));
    }
    let cache = project.directories.cache.join("rustc.v1");
    rustc_identity(file.as_ref(), &environment(&project.environment), Some(&cache)).await.map_err(failed)
}

/// The process environment as builders take it.
pub(crate) fn environment(variables: &BTreeMap<String, String>) -> Environment {
    let mut environment = Environment::new();
    for (name, value) in variables {
        environment.set(name, value);
    }
    environment
}

/// The binaries that are built: those asked for, else the only one, else `default-run`, else the package's name.
fn choose_bins(service: &Service, recipe: &CargoRecipe, closure: &CargoClosure) -> Result<Vec<String>, Error> {
    let missing = |bin: &str| Error::NoBinary {
        service: service.name.clone(),
        package: recipe.package.clone(),
        bin: bin.to_owned(),
        known: closure.bins.clone(),
    };
    if let Some(unknown) = recipe.bins.iter().find(|bin| !closure.bins.contains(bin)) {
        return Err(missing(unknown));
    }
    if !recipe.bins.is_empty() {
        return Ok(recipe.bins.clone());
    }
    match closure.bins.as_slice() {
        [only] => Ok(vec![only.clone()]),
        _ => closure
            .default_run
            .iter()
            .chain(closure.bins.iter().filter(|bin| **bin == recipe.package))
            .next()
            .map(|bin| vec![bin.clone()])
            .ok_or_else(|| missing("")),
    }
}

fn rel_path(service: &Service, path: &str) -> Result<RelPath, Error> {
    RelPath::try_from(path).map_err(context_error(service))
}

/// The pattern that names exactly this path.
fn literal(path: &str) -> String {
    let special = |c: char| matches!(c, '*' | '?' | '[' | ']' | '\\' | '!');
    path.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

/// Whether a context has the file `source`, or files below the directory of that name.
fn has_files(context: &Context, source: &str) -> bool {
    let below = |path: &[u8]| {
        path.strip_prefix(source.as_bytes()).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    };
    context.manifest().paths().any(|path| source == "." || below(path))
}

/// Why a named path gave no files: from a look at the disk, where files are from there.
pub(crate) fn no_input(tree: &Tree, service: &Service, path: &str) -> Error {
    let root = tree.root();
    if tree.commit().is_some() {
        let problem = "the commit has no files there";
        return Error::NoInput { service: service.name.clone(), path: path.to_owned(), problem, hint: None };
    }
    let link = Path::new(path).ancestors().skip(1).find(|above| root.join(above).is_symlink());
    let (problem, hint) = if root.join(path).is_symlink() {
        (
            "it is a symbolic link",
            "links are not followed; name what it stands for, or the directory that it is in to have the link itself"
                .to_owned(),
        )
    } else if let Some(link) = link {
        ("it lies behind a link", format!("links are not followed; name what `{}` stands for", link.display()))
    } else if std::fs::symlink_metadata(root.join(path)).is_ok() {
        (
            "it has no files that git tracks",
            format!("git ignores it or it is empty; `inputs = [\"{path}/**\"]` makes ignored files count"),
        )
    } else {
        ("it does not exist", format!("paths are relative to {}, the project's directory (`-C`)", root.display()))
    };
    Error::NoInput { service: service.name.clone(), path: path.to_owned(), problem, hint: Some(hint) }
}

/// Everything that the platform's key is made of.
async fn document(
    service: &Service,
    platform: &str,
    half: &Half,
    bases: &mut Bases<'_>,
    needed: &[Gathered],
) -> Result<InputsDocument, Error> {
    let mut document = InputsDocument {
        format: InputsDocument::FORMAT.to_owned(),
        service: service.name.clone(),
        platform: platform.to_owned(),
        context: half.context.hash().to_string(),
        recipe: recipe_values(service, platform, half),
        target: None,
        args: BTreeMap::new(),
        bases: BTreeMap::new(),
        dependencies: BTreeMap::new(),
        image_options: image_values(service),
        salt: salt(service, bases.refreshed(&service.name)),
    };
    for (name, need) in &service.needs {
        let key = needed.iter().find(|other| other.service.name == *need).and_then(|other| {
            let own = other.platforms.iter().find(|candidate| candidate.inputs.platform == platform);
            own.map(|own| own.inputs.key())
        });
        let Some(key) = key else {
            return Err(Error::BaseUnusable {
                service: service.name.clone(),
                reference: name.clone(),
                problem: format!("`{need}` is not built for {platform}"),
            });
        };
        document.dependencies.insert(name.clone(), key.to_string());
    }
    match &service.base {
        Base::Registry(reference) => {
            let digest = bases.locked(service, reference, platform).await?;
            document.bases.insert(reference.clone(), digest);
        }
        Base::Layout { directory, tag } => {
            let digest = bases.layout(service, directory, tag, platform).await?;
            document.bases.insert(format!("oci:{directory}:{tag}"), digest);
        }
        // `needs` has the keys of all of them; which one the layers are put on is one more fact.
        Base::Service(need) => drop(document.recipe.insert("base".to_owned(), need.clone())),
        Base::Scratch => {}
    }
    if let (Recipe::Dockerfile(recipe), Some(Narrowed { analysis, .. })) = (&service.recipe, &half.dockerfile) {
        document.target.clone_from(&recipe.target);
        for (name, value) in analysis.relevant_args(&recipe.args) {
            document.args.insert(name.to_owned(), hash_argument(name, value));
        }
        let host = shipper_oci::Platform::host().to_string();
        for base in analysis.bases.iter().filter(|base| !service.needs.contains_key(&base.reference)) {
            let wanted = match &base.platform {
                BasePlatform::Target => platform,
                BasePlatform::Named(named) => named,
                BasePlatform::Builder => &host,
                BasePlatform::Unknown => {
                    return Err(Error::BaseUnusable {
                        service: service.name.clone(),
                        reference: base.reference.clone(),
                        problem: format!("line {}: its platform is not known before the build", base.line),
                    });
                }
            };
            let digest = bases.locked(service, &base.reference, wanted).await?;
            // Builders are told what a reference means, not what it means for each platform.
            if document.bases.insert(base.reference.clone(), digest.clone()).is_some_and(|other| other != digest) {
                return Err(Error::BaseUnusable {
                    service: service.name.clone(),
                    reference: base.reference.clone(),
                    problem: format!("line {}: it is used for two platforms", base.line),
                });
            }
        }
    }
    Ok(document)
}

/// The salt of the configuration and that of the lock as one text.
fn salt(service: &Service, refreshed: Option<&str>) -> Option<String> {
    let parts: Vec<&str> = service.salt.as_deref().into_iter().chain(refreshed).collect();
    (!parts.is_empty()).then(|| parts.join("+"))
}

fn recipe_values(service: &Service, platform: &str, half: &Half) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    let mut set = |name: &str, value: String| drop(values.insert(name.to_owned(), value));
    match &service.recipe {
        Recipe::Assemble { cargo, binary, files } => {
            // Another layout of layers gives other bytes for the same inputs, so it is a value of its own.
            set("assembly", shipper_build::ASSEMBLY.to_owned());
            if let (Some(recipe), Some(compiled)) = (cargo, &half.cargo) {
                set("cargo.package", recipe.package.clone());
                set("cargo.bins", compiled.bins.join(","));
                set("cargo.profile", recipe.profile.clone());
                set("cargo.features", recipe.features.join(","));
                set("cargo.default-features", (!recipe.no_default_features).to_string());
                set("cargo.link", shipper_plan::word(&recipe.link));
                set("cargo.rustc", compiled.rustc.to_string());
                set("cargo.rustflags", json(&recipe.rustflags));
                for (name, value) in &recipe.env {
                    set(&format!("cargo.env.{name}"), value.clone());
                }
            }
            if let Some(path) = binary.get(platform) {
                set("binary", path.clone());
            }
            for (target, source) in files {
                set(&format!("files.{target}"), source.clone());
            }
        }
        Recipe::Dockerfile(recipe) => {
            if let Some(Narrowed { bytes, .. }) = &half.dockerfile {
                set("dockerfile", shipper_hash::FileDigest::of(bytes).to_string());
            }
            // The builder is given a lock that cargo completed, so the same files mean another context.
            if let Some(package) = &recipe.closure {
                set("context.cargo", package.clone());
            }
            for (name, context) in half.dockerfile.iter().flat_map(|narrowed| &narrowed.contexts) {
                set(&format!("contexts.{name}"), context.hash().to_string());
            }
            // Values of secrets count nowhere: a rotated credential is no reason to build.
            let ids: Vec<&str> = recipe.secrets.keys().map(String::as_str).collect();
            if !ids.is_empty() {
                set("secrets", ids.join(","));
            }
            let agents: Vec<&str> = recipe.ssh.iter().filter_map(|one| one.split('=').next()).collect();
            if !agents.is_empty() {
                set("ssh", agents.join(","));
            }
            if let Some(network) = recipe.network {
                set("network", shipper_plan::word(&network));
            }
        }
    }
    values
}

fn image_values(service: &Service) -> BTreeMap<String, String> {
    let image = &service.image;
    let mut values = BTreeMap::new();
    let mut set = |name: String, value: Option<String>| {
        if let Some(value) = value {
            values.insert(name, value);
        }
    };
    set("image.user".to_owned(), image.user.clone());
    set("image.workdir".to_owned(), image.workdir.clone());
    let bundle = image.ca_certificates.then(|| shipper_build::ca_bundle_digest().to_string());
    set("image.ca-certificates".to_owned(), bundle);
    set("image.entrypoint".to_owned(), image.entrypoint.as_deref().map(json));
    set("image.cmd".to_owned(), image.cmd.as_deref().map(json));
    set("image.compression".to_owned(), image.compression.map(|kind| shipper_plan::word(&kind)));
    if !image.expose.is_empty() {
        let ports: Vec<String> = image.expose.iter().map(u16::to_string).collect();
        set("image.expose".to_owned(), Some(ports.join(",")));
    }
    for (name, value) in &image.env {
        set(format!("image.env.{name}"), Some(value.clone()));
    }
    for (name, value) in &image.labels {
        set(format!("image.labels.{name}"), Some(value.clone()));
    }
    values
}

/// A list as text in which no two lists are the same.
fn json(list: &[String]) -> String {
    serde_json::Value::from(list).to_string()
}
