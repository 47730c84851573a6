//! What the records say: `history`, `status`, `where`.

use std::collections::BTreeSet;
use std::sync::Arc;

use shipper_deploy::{Deployment, Ledger, Record, State};
use shipper_oci::Store;
use shipper_tag::Facts;
use tokio::task::JoinSet;

use super::observe::is_open;
use super::wanted::Wanted;
use super::{Work, native, sources, store_of};
use crate::facts::facts_for_names;
use crate::{Error, Events, Project, Silent, registries};

/// The registry of an environment, whether or not the configuration has it: a rollback needs no checkout.
pub(crate) async fn store_named(project: &Project, environment: &str, run: &Facts) -> Result<Store, Error> {
    if project.config.has_environment(environment) {
        return store_of(project, &project.config.environment(environment)?, run).await;
    }
    Ok(registries::open_for(project, run, None).await?.store)
}

/// Reads records at the same time, and keeps their order.
async fn read(ledger: &Ledger, deployments: Vec<Deployment>) -> Result<Vec<Record>, Error> {
    let mut reads = JoinSet::new();
    for (place, deployment) in deployments.into_iter().enumerate() {
        let ledger = ledger.clone();
        reads.spawn(async move { (place, ledger.read(&deployment).await) });
    }
    let mut records = Vec::new();
    while let Some(read) = reads.join_next().await {
        let (place, record) = read.expect("because a read does not panic and is not cancelled");
        records.push((place, record?));
    }
    records.sort_by_key(|(place, _)| *place);
    Ok(records.into_iter().map(|(_, record)| record).collect())
}

/// The newest deployments of an environment, the newest first, at most `limit`.
///
/// # Errors
/// [`Error::Deploy`] where a record can not be read; [`Error::Plan`] for an environment that has none and is not configured.
pub async fn history(project: &Project, environment: &str, limit: usize) -> Result<Vec<Record>, Error> {
    let (run, _) = facts_for_names(project, &crate::FactsOverrides::default())?;
    let ledger = Ledger::new(&store_named(project, environment, &run).await?);
    let newest: Vec<_> = ledger.list().await?.of(environment).take(limit).collect();
    if newest.is_empty() {
        // Of one that is configured it is just empty; any other name is a mistake.
        project.config.environment(environment)?;
    }
    read(&ledger, newest).await
}

/// The name of one of the environments that a table is about: all of them have one registry.
fn of_any(name: &str) -> String {
    name.replace(shipper_plan::PULL_REQUEST, "1")
}

/// What is known of an environment.
#[derive(Debug, Clone)]
pub struct EnvironmentStatus {
    /// Its last deployment.
    pub last: Record,
    /// The last one that was observed, where that is another one.
    pub observed: Option<Record>,
    /// What its targets say that are no commands, in their order.
    pub targets: Vec<TargetStatus>,
}

impl EnvironmentStatus {
    /// The record of what runs, as far as records say.
    #[must_use]
    pub fn running(&self) -> &Record {
        self.observed.as_ref().unwrap_or(&self.last)
    }
}

/// What a target says that was asked what it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetStatus {
    /// The step of the record.
    pub step: String,
    /// The image that it runs, as it names it; absent where it did not say.
    pub image: Option<String>,
    /// What is between that and the record, or why nothing is known; absent where it runs what the record says.
    pub difference: Option<String>,
}

/// The last deployment of each environment, the last one that was observed, and what targets say that can be asked; sorted by
/// environment. A target that does not answer is no error. What became of a deployment that was not waited for is written down.
///
/// # Errors
/// As [`history`].
pub async fn status(project: &Project) -> Result<Vec<EnvironmentStatus>, Error> {
    let mut all = Vec::new();
    let (run, _) = facts_for_names(project, &crate::FactsOverrides::default())?;
    for (mut last, mut observed) in recorded(project).await? {
        let is_asked = |record: &Record| record.steps.iter().any(|step| step.target.is_some());
        if !is_asked(&last) && !observed.as_ref().is_some_and(is_asked) {
            all.push(EnvironmentStatus { last, observed, targets: Vec::new() });
            continue;
        }
        let store = store_named(project, last.id.environment(), &run).await?;
        let (ledger, events) = (Ledger::new(&store), Events::new(Arc::new(Silent)));
        let work = Work::new(project, &ledger, &events);
        let places = sources::places(project, &store, &last.images);
        let mut ended = last.clone();
        // What can not be told or written is left as it is: the targets below say the same.
        if is_open(&last) && matches!(work.find_out(&mut ended, &places).await, Ok(true)) {
            last = ended;
            observed = observed.filter(|_| last.state != State::Observed);
        }
        let mut known = EnvironmentStatus { last, observed, targets: Vec::new() };
        let running = known.running().clone();
        let places = sources::places(project, &store, &running.images);
        for step in running.steps.iter().filter(|_| running.kind.deploys()) {
            let (Some(target), Some(service)) = (&step.target, step.services.first()) else { continue };
            let wanted = running.images.get(service).map(|image| Wanted::new(service, image, &places));
            let (image, difference) = match native::look(step, target, wanted.as_ref()).await {
                Ok(seen) => (Some(seen.image), seen.change),
                Err(error) => (None, Some(error.chain().join(": "))),
            };
            known.targets.push(TargetStatus { step: step.name.clone(), image, difference });
        }
        all.push(known);
    }
    Ok(all)
}

/// What the records say of each environment: its last deployment, and the last one that was observed, where that is another
/// one.
async fn recorded(project: &Project) -> Result<Vec<(Record, Option<Record>)>, Error> {
    let (run, _) = facts_for_names(project, &crate::FactsOverrides::default())?;
    let mut all = Vec::new();
    let mut known = BTreeSet::new();
    let names: Vec<Option<String>> = project.config.env.keys().cloned().map(Some).chain([None]).collect();
    for name in names {
        let store = match &name {
            Some(name) => store_named(project, &of_any(name), &run).await?,
            None => registries::open_for(project, &run, None).await?.store,
        };
        let ledger = Ledger::new(&store);
        let listing = ledger.list().await?;
        let environments: Vec<&str> = match &name {
            Some(name) if shipper_plan::names_many(name) => {
                listing.environments().into_iter().filter(|one| shipper_plan::is_one_of(name, one)).collect()
            }
            Some(name) => vec![name.as_str()],
            // Those that the configuration does not name, or not any more.
            None => listing.environments().into_iter().collect(),
        };
        for environment in environments {
            if !known.insert(environment.to_owned()) {
                continue;
            }
            let Some(last) = listing.of(environment).next() else { continue };
            let observed = listing.of(environment).find(|one| one.state == State::Observed);
            let observed = observed.filter(|observed| observed.id != last.id);
            let mut records = read(&ledger, std::iter::once(last).chain(observed).collect()).await?.into_iter();
            all.extend(records.next().map(|last| (last, records.next())));
        }
    }
    all.sort_by(|(a, _), (b, _)| a.id.environment().cmp(b.id.environment()));
    Ok(all)
}

/// An environment that runs an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The environment.
    pub environment: String,
    /// The service.
    pub service: String,
    /// `repository@digest`.
    pub image: String,
    /// Name of the record.
    pub record: String,
    /// When that deployment began.
    pub since: String,
}

/// Where an image runs, by a reference, a digest, a tag or a key, or the beginning of a digest or key.
///
/// # Errors
/// As [`history`].
pub async fn where_is(project: &Project, text: &str) -> Result<Vec<Found>, Error> {
    let wanted = text.rsplit_once('@').map_or(text, |(_, digest)| digest);
    let begins = |known: &str| wanted.len() >= 7 && known.starts_with(wanted);
    let records = recorded(project).await?.into_iter().map(|(last, observed)| observed.unwrap_or(last));
    let running: Vec<Record> = records.filter(|record| record.state == State::Observed).collect();
    let mut found = Vec::new();
    for record in &running {
        for (service, image) in &record.images {
            let tag = image.tag.as_deref().unwrap_or_default();
            let named = image.reference.split_once('@').map_or("", |(name, _)| name);
            let is_it = image.digest == wanted
                || begins(&image.digest)
                || image.digest.split_once(':').is_some_and(|(_, hex)| begins(hex))
                || image.key.as_deref().is_some_and(begins)
                || tag == wanted
                || tag.strip_prefix("h-").is_some_and(|key| begins(key) || wanted.starts_with(key))
                || format!("{named}:{tag}") == text;
            if is_it {
                found.push(Found::new(record, service, image));
            }
        }
    }
    if found.is_empty() { named_so(project, text, &running).await } else { Ok(found) }
}

/// What runs of the images that a registry has under this tag now, which need not be the name that they were deployed by.
async fn named_so(project: &Project, text: &str, running: &[Record]) -> Result<Vec<Found>, Error> {
    let (name, tag) = text.rsplit_once(':').map_or((None, text), |(name, tag)| (Some(name), tag));
    let Ok(tag) = tag.parse::<shipper_oci::Tag>() else { return Ok(Vec::new()) };
    let (run, _) = facts_for_names(project, &crate::FactsOverrides::default())?;
    let mut found = Vec::new();
    for record in running {
        let store = store_named(project, record.id.environment(), &run).await?;
        for (service, image) in &record.images {
            let own = image.reference.split_once('@').map_or("", |(name, _)| name);
            if name.is_some_and(|name| name != own) {
                continue;
            }
            let failed = |source| Error::Store { action: format!("look for {own}:{tag}"), source };
            let repository = store.repository(&image.repository.parse().map_err(failed)?);
            let digest = repository.tagged_digest(&tag).await.map_err(failed)?;
            if digest.is_some_and(|digest| digest.as_str() == image.digest) {
                found.push(Found::new(record, service, image));
            }
        }
    }
    Ok(found)
}

impl Found {
    fn new(record: &Record, service: &str, image: &shipper_deploy::Image) -> Self {
        Self {
            environment: record.id.environment().to_owned(),
            service: service.to_owned(),
            image: image.reference.clone(),
            record: record.id.to_string(),
            since: record.began.clone(),
        }
    }
}
