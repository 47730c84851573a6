//! Which images are deployed, and where they have to be: in the registry of the environment, under the same digest.

use std::collections::{BTreeMap, BTreeSet};

use shipper_deploy::{Image, Ledger, State};
use shipper_oci::{Digest, Repository, Selector, Store, Tag};
use shipper_plan::{Environment, Origin, Setting};
use shipper_tag::Facts;

use super::{DeployOptions, ImageSource, Places};
use crate::facts::facts_for_names;
use crate::gather::selection;
use crate::images::stored;
use crate::run::Stop;
use crate::ship::{self, ShipOptions};
use crate::trust::Trust;
use crate::{Error, Events, Options, Project, probe, registries};

/// Images by service with where each of them is.
#[derive(Debug, Default)]
pub(crate) struct Located {
    images: BTreeMap<String, Source>,
    /// Services whose image would have to be built first; of a dry run only.
    pub(crate) unbuilt: BTreeSet<String>,
    pub(crate) saved_ms: u64,
}

#[derive(Debug, Clone)]
struct Source {
    repository: Repository,
    /// The name that the image has in the environment's registry.
    name: shipper_oci::RepositoryName,
    digest: Digest,
    tag: Option<String>,
    key: Option<String>,
}

/// The registry of an environment: its own, else that of the run.
///
/// # Errors
/// As [`registries::open_for`].
pub(crate) async fn store_of(project: &Project, environment: &Environment, run: &Facts) -> Result<Store, Error> {
    match &environment.registry {
        Some(registry) if project.settings.registry.origin != Origin::Flag => {
            let setting = Setting { value: registry.clone(), origin: Origin::File };
            Ok(registries::open_named(project, &setting).await?.store)
        }
        _ => Ok(registries::open_for(project, run, None).await?.store),
    }
}

/// Finds or builds the images that are to be brought out, or finds out which would be built; `None` where the run was asked
/// to stop.
///
/// # Errors
/// [`Error::Ship`], [`Error::NotBuilt`], [`Error::NoImage`], [`Error::Unsigned`]; [`Error::Store`] where it could not be told.
pub(super) async fn locate(
    project: &Project,
    options: &DeployOptions,
    events: &Events,
    stop: Stop<'_>,
) -> Result<Option<Located>, Error> {
    let wanted = ShipOptions {
        services: options.services.clone(),
        locked: options.locked,
        facts: options.facts.clone(),
        ..ShipOptions::default()
    };
    let found = match &options.source {
        ImageSource::Ship if options.dry_run => {
            let found = ship::existing(project, &wanted, events).await?;
            let located = built(found.images, &found.repositories, found.saved_ms).await?;
            return Ok(Some(Located { unbuilt: found.missing, ..located }));
        }
        ImageSource::Ship => {
            let (shipped, repositories, saved_ms) = ship::shipped(project, &wanted, events, stop).await?;
            if shipped.interrupted {
                return Ok(None);
            }
            let code = shipped.exit_code();
            if !shipped.failures.is_empty() {
                let failed = shipped.failures.len();
                return Err(Error::Ship { failed, code });
            }
            return built(shipped.images, &repositories, saved_ms).await.map(Some);
        }
        ImageSource::Existing => {
            let found = ship::existing(project, &wanted, events).await?;
            if !found.missing.is_empty() {
                return Err(Error::NotBuilt { services: found.missing.into_iter().collect() });
            }
            return built(found.images, &found.repositories, found.saved_ms).await.map(Some);
        }
        ImageSource::Tag(tag) => tagged(project, options, tag).await?,
        ImageSource::Images(images) => named(project, images).await?,
        ImageSource::Environment(name) => of_environment(project, options, name).await?,
    };
    // Those of services are what `ship` may reuse or has built; these only have a name.
    let (run, _) = facts_for_names(project, &options.facts)?;
    let trust = Trust::of(project)?.where_written(&run);
    for source in found.images.values() {
        trust.require(&source.repository, &source.digest).await?;
    }
    Ok(Some(found))
}

async fn built(
    images: BTreeMap<String, shipper_report::ShippedImage>,
    repositories: &Places,
    saved_ms: u64,
) -> Result<Located, Error> {
    let mut located = Located { saved_ms, ..Located::default() };
    for (service, image) in images {
        let repository = repositories[&service].clone();
        let failed = |source| Error::Store { action: format!("use {}", image.reference), source };
        let digest: Digest = image.digest.parse().map_err(failed)?;
        let identity = image.reference.split_once('@').and_then(|(name, _)| name.rsplit_once(':'));
        let tag = identity.map(|(_, tag)| tag.to_owned());
        let name = repository.name().clone();
        located.images.insert(service, Source { repository, name, digest, tag, key: None });
    }
    Ok(located)
}

/// The images of the selected services under a tag.
async fn tagged(project: &Project, options: &DeployOptions, text: &str) -> Result<Located, Error> {
    let opened = registries::open(project, None).await?;
    let problem =
        |error: &shipper_oci::InvalidTag| Error::Facts { what: format!("`--tag {text}`"), problem: error.to_string() };
    let tag = Tag::try_from(text).map_err(|error| problem(&error))?;
    let mut located = Located::default();
    for service in selection(project, &options.services)? {
        let repository = ship::repository_of(project, &opened, &project.services[&service])?;
        let name = repository.name().clone();
        let source = source(repository, name, &Selector::Tag(tag.clone())).await?;
        located.images.insert(service, source);
    }
    Ok(located)
}

/// The images that the user names.
async fn named(project: &Project, images: &BTreeMap<String, String>) -> Result<Located, Error> {
    let options =
        Options { directory: project.root.clone(), environment: project.environment.clone(), ..Options::default() };
    let mut located = Located::default();
    for (service, text) in images {
        selection(project, std::slice::from_ref(service))?;
        let place = stored(&options, text).await?;
        let name = &project.services[service].repository;
        let name =
            name.parse().map_err(|source| Error::Store { action: format!("use repository `{name}`"), source })?;
        located.images.insert(service.clone(), source(place.repository, name, &place.selector).await?);
    }
    Ok(located)
}

/// The images that ran last in another environment, in the registry of that one.
async fn of_environment(project: &Project, options: &DeployOptions, name: &str) -> Result<Located, Error> {
    let from = project.config.environment(name)?;
    let to = project.config.environment(&options.environment)?;
    if from.admits_untrusted && !to.admits_untrusted {
        return Err(Error::UntrustedSource { environment: to.name, from: from.name });
    }
    let (run, _) = facts_for_names(project, &options.facts)?;
    let store = store_of(project, &from, &run).await?;
    let mut located = Located::default();
    for (service, image) in observed(&store, &from.name).await? {
        let failed = |source| Error::Store { action: format!("use {}", image.reference), source };
        let own = project.services.get(&service).map_or(&image.repository, |service| &service.repository);
        let source = Source {
            repository: store.repository(&image.repository.parse().map_err(failed)?),
            name: own.parse().map_err(failed)?,
            digest: image.digest.parse().map_err(failed)?,
            tag: image.tag,
            key: image.key,
        };
        located.images.insert(service, source);
    }
    Ok(located)
}

/// The images that ran last in an environment, by service; never none.
///
/// # Errors
/// [`Error::NothingRuns`]; [`Error::Deploy`] where it could not be told.
pub(crate) async fn observed(store: &Store, environment: &str) -> Result<BTreeMap<String, Image>, Error> {
    let ledger = Ledger::new(store);
    let observed = ledger.list().await?.of(environment).find(|one| one.state == State::Observed);
    let images = match observed {
        Some(observed) => ledger.read(&observed).await?.images,
        None => BTreeMap::new(),
    };
    if images.is_empty() { Err(Error::NothingRuns { environment: environment.to_owned() }) } else { Ok(images) }
}

async fn source(
    repository: Repository,
    name: shipper_oci::RepositoryName,
    selector: &Selector,
) -> Result<Source, Error> {
    let reference = repository.reference(selector);
    let failed = |source| Error::Store { action: format!("look up {reference}"), source };
    let manifest = repository.manifest(selector).await.map_err(failed)?;
    let manifest = manifest.ok_or_else(|| Error::NoImage { reference: reference.clone() })?;
    let key = match manifest.as_image() {
        Some(_) => probe::stored_key(&repository, &manifest).await.map_err(failed)?,
        None => manifest.annotations().get(crate::names::KEY).cloned(),
    };
    let tag = match selector {
        Selector::Tag(tag) => Some(tag.to_string()),
        Selector::Digest(_) => None,
    };
    Ok(Source { repository, name, digest: manifest.digest().clone(), tag, key })
}

/// Copies images that are elsewhere to the environment's registry, and says where each of them is then.
///
/// # Errors
/// [`Error::Copy`].
pub(super) async fn bring(
    store: &Store,
    located: &Located,
    dry_run: bool,
    events: &Events,
) -> Result<BTreeMap<String, Image>, Error> {
    let mut images = BTreeMap::new();
    for (service, source) in &located.images {
        let is_there = source.repository.store().describe() == store.describe();
        let repository = if is_there { source.repository.clone() } else { store.repository(&source.name) };
        let selector = Selector::Digest(source.digest.clone());
        let reference = repository.reference(&selector);
        let looked = |source| Error::Store { action: format!("look for {reference}"), source };
        let is_elsewhere = source.repository.to_string() != repository.to_string() && !dry_run;
        if is_elsewhere && !repository.has_manifest(&source.digest).await.map_err(looked)? {
            let from = source.repository.reference(&selector);
            let failed = |error| crate::images::copy_failed(&from, &reference, error);
            // Named by its identity there too: a manifest without a tag is what retention removes first.
            let tag = source.tag.as_deref().filter(|tag| tag.starts_with("h-"));
            let tag: Vec<Tag> = tag.and_then(|tag| Tag::try_from(tag).ok()).into_iter().collect();
            let copied = crate::beside::copy(&source.repository, &selector, &repository, &tag).await;
            let (copied, _) = copied.map_err(failed)?;
            if copied.uploaded + copied.mounted > 0 {
                events.emit(shipper_report::Event::ImageCopied {
                    service: service.clone(),
                    image: reference.clone(),
                    bytes: copied.bytes,
                });
            }
        }
        let image = Image {
            repository: repository.name().to_string(),
            reference,
            digest: source.digest.to_string(),
            tag: source.tag.clone(),
            key: source.key.clone(),
        };
        images.insert(service.clone(), image);
    }
    Ok(images)
}

/// Repositories of the environment's images by service.
pub(super) fn places(project: &Project, store: &Store, images: &BTreeMap<String, Image>) -> Places {
    let known = project.services.iter().map(|(service, config)| (service.clone(), config.repository.clone()));
    let brought = images.iter().map(|(service, image)| (service.clone(), image.repository.clone()));
    let names: BTreeMap<String, String> = known.chain(brought).collect();
    names.into_iter().filter_map(|(service, name)| Some((service, store.repository(&name.parse().ok()?)))).collect()
}
