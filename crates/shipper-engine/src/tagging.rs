//! The commands `facts` and `tags`: the facts of a run, and the names that the policy gives on them.

use std::path::Path;

use shipper_tag::{Compatibility, Facts, MetadataAction, MetadataTags, TagPlan, evaluate};

use crate::bases::Bases;
use crate::facts::{FactsOverrides, gather_facts};
use crate::gather::{gather, selection};
use crate::naming::Naming;
use crate::registries;
use crate::ship::repository;
use crate::{Error, Events, Project};

/// Largest facts document that is read, in bytes.
const MAX_FACTS: u64 = 16 << 20;

/// The facts of this run; with `service` also its key, and the versions that its repository has images of, where names
/// depend on them. Without `service` nothing is hashed and no registry is asked.
///
/// # Errors
/// As [`gather_facts`]; with `service`, whatever keeps its key or the versions from being known.
pub async fn facts(
    project: &Project,
    overrides: &FactsOverrides,
    service: Option<&str>,
    events: &Events,
) -> Result<Facts, Error> {
    let (facts, warnings) = gather_facts(project, overrides)?;
    for warning in warnings {
        events.warn(None, warning);
    }
    let Some(service) = service else { return Ok(facts) };
    let order = selection(project, &[service.to_owned()])?;
    let tree = project.tree()?;
    let mut bases = Bases::new(project, false)?;
    let gathered = gather(project, &tree, &order, &mut bases, events).await?;
    let one = gathered.iter().find(|one| one.service.name == service).expect("what was selected is gathered");
    let repository = repository(project, &registries::open_for(project, &facts, None).await?, one)?;
    Ok(Naming::new(&project.policy, &facts, service, &one.key, &repository).await?.facts)
}

/// Reads facts that [`facts`] gave, written as JSON.
///
/// # Errors
/// [`Error::Read`], [`Error::Facts`] with line and column.
pub fn read_facts(path: &Path) -> Result<Facts, Error> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    let problem = |problem: String| Error::Facts { what: path.display().to_string(), problem };
    if std::fs::metadata(path).map_err(read)?.len() > MAX_FACTS {
        return Err(problem("it is larger than 16 MiB".to_owned()));
    }
    let bytes = std::fs::read(path).map_err(read)?;
    serde_json::from_slice(&bytes).map_err(|error| problem(error.to_string()))
}

/// The names that the project's policy gives on these facts. Nothing else is looked at.
///
/// # Errors
/// [`Error::Plan`] for facts that can not be used, or a name that is no tag.
pub fn tags(project: &Project, facts: &Facts) -> Result<TagPlan, Error> {
    Ok(evaluate(&project.policy, facts).map_err(shipper_plan::Error::from)?)
}

/// The names that lines of docker/metadata-action give on these facts.
///
/// # Errors
/// [`Error::Read`]; [`Error::Plan`] with the line that can not be used.
pub fn metadata_tags(path: &Path, facts: &Facts, compatibility: Compatibility) -> Result<MetadataTags, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let action = MetadataAction::parse(&text).map_err(shipper_plan::Error::from)?;
    Ok(action.evaluate(facts, compatibility).map_err(shipper_plan::Error::from)?)
}
