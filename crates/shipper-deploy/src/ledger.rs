//! The records of all environments, in one repository of a registry or layout.
//!
//! Invariants: nothing is ever changed or removed; each state of each deployment is an artifact of its own, so that two
//! writers can not lose each other's; what a deployment knew of comes before it.

use std::collections::{BTreeMap, BTreeSet};

use shipper_oci::{BlobSource, Repository, Selector, Store};

use crate::record::State;
use crate::{Error, Record, RecordId};

/// Name of the repository in its registry.
pub const REPOSITORY: &str = "shipper-records";
const ARTIFACT: &str = "application/vnd.shipper.deployment.v1";
const DOCUMENT: &str = "application/vnd.shipper.deployment.v1+json";
/// Annotations, for people who look at a registry.
const ENVIRONMENT: &str = "dev.shipper.environment";
const RECORD: &str = "dev.shipper.record";

/// The records of a registry or layout. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger {
    repository: Repository,
}

/// A deployment and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Its name.
    pub id: RecordId,
    /// Its last state.
    pub state: State,
}

/// All deployments, without their documents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing(BTreeMap<RecordId, BTreeSet<State>>);

impl Listing {
    /// Environments that something was deployed to, sorted.
    #[must_use]
    pub fn environments(&self) -> BTreeSet<&str> {
        self.0.keys().map(RecordId::environment).collect()
    }

    /// Deployments of an environment, the newest first, without those that stepped back.
    pub fn of(&self, environment: &str) -> impl Iterator<Item = Deployment> {
        let all = self.0.iter().rev().filter(move |(id, _)| id.environment() == environment);
        all.filter_map(|(id, states)| Some(Deployment { id: id.clone(), state: last(states)? }))
            .filter(|deployment| deployment.state != State::Withdrawn)
    }

    /// The newest name of an environment, whatever its state.
    #[must_use]
    pub fn newest(&self, environment: &str) -> Option<&RecordId> {
        self.0.keys().rev().find(|id| id.environment() == environment)
    }
}

/// A deployment that was observed stays so; one that failed or stepped back is not alive any more.
fn last(states: &BTreeSet<State>) -> Option<State> {
    let order = [State::Observed, State::Failed, State::Withdrawn, State::Applied, State::Intent];
    order.into_iter().find(|state| states.contains(state))
}

impl Ledger {
    /// The records of a store. Nothing is read.
    #[must_use]
    pub fn new(store: &Store) -> Self {
        let name = REPOSITORY.parse().expect("because it is a repository name");
        Self { repository: store.repository(&name) }
    }

    /// Where they are.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// All deployments.
    ///
    /// # Errors
    /// [`Error::Store`] where it could not be told.
    pub async fn list(&self) -> Result<Listing, Error> {
        let tags = self.repository.tags().await;
        let tags = tags.map_err(|source| Error::Store { action: format!("list the records in {self}"), source })?;
        let mut all: BTreeMap<RecordId, BTreeSet<State>> = BTreeMap::new();
        for (id, state) in tags.iter().filter_map(|tag| RecordId::of_tag(tag.as_ref())) {
            all.entry(id).or_default().insert(state);
        }
        Ok(Listing(all))
    }

    /// The document of a deployment in its last state.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Document`], [`Error::NewerFormat`].
    pub async fn read(&self, deployment: &Deployment) -> Result<Record, Error> {
        let tag = deployment.id.tag(deployment.state);
        let name = tag.to_string();
        let failed = |source| Error::Store { action: format!("read record {name} in {self}"), source };
        let problem = |problem: &str| Error::Document { name: name.clone(), problem: problem.to_owned() };
        let manifest = self.repository.manifest(&Selector::Tag(tag.clone())).await.map_err(failed)?;
        let manifest = manifest.ok_or_else(|| problem("it is gone"))?;
        let image = manifest.as_image().filter(|_| manifest.artifact_type() == Some(ARTIFACT));
        let layer = image.and_then(|image| image.layers.iter().find(|layer| layer.media_type == DOCUMENT));
        let layer = layer.ok_or_else(|| problem("it is no deployment record"))?;
        let bytes = self.repository.blob(layer).await.map_err(failed)?;
        let record = Record::decode(&name, &bytes)?;
        // A record under another's name would be believed about the wrong environment.
        if record.id != deployment.id || record.state != deployment.state {
            return Err(problem("it is the record of another deployment or state"));
        }
        Ok(record)
    }

    /// Checks that no other deployment took this one, which is not done, for gone: it would have said so in this one's name.
    ///
    /// # Errors
    /// [`Error::TakenOver`]; [`Error::Store`] where it could not be told.
    pub async fn held(&self, id: &RecordId) -> Result<(), Error> {
        let tag = id.tag(State::Failed);
        let failed = |source| Error::Store { action: format!("look for record {tag} in {self}"), source };
        match self.repository.manifest(&Selector::Tag(tag.clone())).await.map_err(failed)? {
            None => Ok(()),
            Some(_) => Err(Error::TakenOver { id: Box::new(id.clone()) }),
        }
    }

    /// Adds a state of a deployment, and reads it back.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn append(&self, record: &Record) -> Result<(), Error> {
        let tag = record.id.tag(record.state);
        let annotations = [(ENVIRONMENT, record.id.environment()), (RECORD, tag.as_ref())];
        let annotations = annotations.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let failed = |source| Error::Store { action: format!("write record {tag} to {self}"), source };
        let document = record.encode();
        let artifact = shipper_oci::artifact(ARTIFACT, &[(DOCUMENT, &document)], None, &annotations).map_err(failed)?;
        for (descriptor, bytes) in &artifact.blobs {
            let source = BlobSource::Bytes(bytes.clone().into());
            self.repository.push_blob(descriptor, source).await.map_err(failed)?;
        }
        self.repository.put_immutable(&artifact.manifest, &tag).await.map_err(failed)
    }
}

impl std::fmt::Display for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.repository.fmt(f)
    }
}
