//! The images that `why --against NAME` means: what ran last in an environment, one image by its reference, or a tag in the
//! repository of each service.
//!
//! Invariant: an image whose inputs can not be had is an error, never "nothing differs".

use std::collections::BTreeMap;

use shipper_oci::{Repository, Selector, Tag};
use shipper_plan::{Environment, Previous};

use crate::deploy::{observed, store_of};
use crate::facts::{FactsOverrides, facts_for_names};
use crate::gather::Gathered;
use crate::{Error, Options, Project, images, probe, registries, ship};

/// What a name means.
pub(crate) enum Name {
    /// One image.
    Reference(String),
    /// What ran last in this environment.
    Environment(Box<Environment>),
    /// What has this name in the repository of each service.
    Tag(Tag),
}

impl Name {
    /// Reads a name; nothing is asked for.
    ///
    /// # Errors
    /// [`Error::Facts`] for one that could not be any; what keeps the environment from being read.
    pub(crate) fn parse(project: &Project, name: &str) -> Result<Self, Error> {
        if images::is_reference(name) {
            return Ok(Self::Reference(name.to_owned()));
        }
        if project.config.has_environment(name) {
            return Ok(Self::Environment(Box::new(project.config.environment(name)?)));
        }
        let problem = |error| format!("it is no environment, no image, no `rev:` with a commit, and no tag: {error}");
        Tag::try_from(name)
            .map(Self::Tag)
            .map_err(|error| Error::Facts { what: format!("`--against {name}`"), problem: problem(error) })
    }

    /// The inputs of the images that are meant, by service; of those of `services` that it has an image of.
    ///
    /// # Errors
    /// [`Error::NoImage`] where it has none of any; [`Error::NoInputs`] where an image does not say what it was made of, or is
    /// one of no service that was asked for; [`Error::NothingRuns`] of an environment; [`Error::Store`] where it could not be
    /// told.
    pub(crate) async fn images_of(
        &self,
        project: &Project,
        services: &[&Gathered],
    ) -> Result<BTreeMap<String, Previous>, Error> {
        match self {
            Self::Reference(text) => by_reference(project, services, text).await,
            Self::Environment(environment) => in_environment(project, services, environment).await,
            Self::Tag(tag) => by_tag(project, services, tag).await,
        }
    }
}

async fn in_environment(
    project: &Project,
    services: &[&Gathered],
    environment: &Environment,
) -> Result<BTreeMap<String, Previous>, Error> {
    let (run, _) = facts_for_names(project, &FactsOverrides::default())?;
    let store = store_of(project, environment, &run).await?;
    let mut found = BTreeMap::new();
    for (service, image) in observed(&store, &environment.name).await? {
        if !services.iter().any(|one| one.service.name == service) {
            continue;
        }
        let failed = |source| Error::Store { action: format!("use {}", image.reference), source };
        let repository = store.repository(&image.repository.parse().map_err(failed)?);
        let selector = Selector::Digest(image.digest.parse().map_err(failed)?);
        let previous = inputs_of(&repository, &selector).await?;
        found.insert(service, previous.ok_or(Error::NoImage { reference: image.reference })?);
    }
    Ok(found)
}

async fn by_tag(project: &Project, services: &[&Gathered], tag: &Tag) -> Result<BTreeMap<String, Previous>, Error> {
    let opened = registries::open(project, None).await?;
    let mut found = BTreeMap::new();
    for one in services {
        let repository = ship::repository(project, &opened, one)?;
        if let Some(previous) = inputs_of(&repository, &Selector::Tag(tag.clone())).await? {
            found.insert(one.service.name.clone(), previous);
        }
    }
    if found.is_empty() { Err(Error::NoImage { reference: tag.to_string() }) } else { Ok(found) }
}

async fn by_reference(
    project: &Project,
    services: &[&Gathered],
    text: &str,
) -> Result<BTreeMap<String, Previous>, Error> {
    let options =
        Options { directory: project.root.clone(), environment: project.environment.clone(), ..Options::default() };
    let place = images::stored(&options, text).await?;
    let previous = inputs_of(&place.repository, &place.selector).await?;
    let previous = previous.ok_or_else(|| Error::NoImage { reference: text.to_owned() })?;
    let service = previous.platforms.values().next().map(|(inputs, _)| inputs.service.clone());
    let service = service.ok_or_else(|| no_inputs(text, "its inputs name no platform"))?;
    match services.iter().any(|one| one.service.name == service) {
        true => Ok(BTreeMap::from([(service, previous)])),
        false => Err(no_inputs(text, &format!("it is an image of `{service}`"))),
    }
}

/// The inputs of an image; `None` where there is no such image.
async fn inputs_of(repository: &Repository, selector: &Selector) -> Result<Option<Previous>, Error> {
    let reference = repository.reference(selector);
    let failed = |source| Error::Store { action: format!("read the inputs of {reference}"), source };
    let Some(manifest) = repository.manifest(selector).await.map_err(failed)? else { return Ok(None) };
    let previous = probe::inputs_of(repository, &manifest).await.map_err(failed)?;
    previous.map(Some).map_err(|problem| no_inputs(&reference, problem))
}

fn no_inputs(reference: &str, problem: &str) -> Error {
    Error::NoInputs { reference: reference.to_owned(), problem: problem.to_owned() }
}
