//! Names of an image: planned from facts, then written in their order, anchors before aliases.
//!
//! Invariants: an anchor never moves; an alias is written only after its family's anchor is there; an alias of a version
//! is on the newest version that any run has named when the last of them ends, in whatever order they run.

use std::collections::BTreeSet;

use shipper_hash::BuildKey;
use shipper_oci::{Digest, Manifest, Repository, Selector, Tag};
use shipper_report::{Name, NameOutcome};
use shipper_tag::{Facts, PlannedTag, Policy, Precondition, Role, Scope, TagPlan, Version, evaluate};

use crate::Error;
use crate::probe::stored_key;

/// The names that one service's image gets.
#[derive(Debug, Clone)]
pub(crate) struct Naming {
    pub(crate) policy: Policy,
    pub(crate) facts: Facts,
    pub(crate) plan: TagPlan,
}

/// What an image lacks.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// Names; none of an image that is still to be built.
    pub(crate) names: Vec<String>,
    /// Names that it will not get.
    pub(crate) taken: Vec<Taken>,
}

/// A name that never moves, on another image.
#[derive(Debug)]
pub(crate) struct Taken {
    tag: String,
    digest: Digest,
}

impl Taken {
    /// What a plan warns of.
    pub(crate) fn warning(&self) -> String {
        format!(
            "`{}` names another image, {}, and never moves: this image will not get the name",
            self.tag, self.digest
        )
    }
}

/// How often an alias is brought forward when other runs write newer versions at the same time.
const ROUNDS: usize = 5;

impl Naming {
    /// Completes the facts of a run by what a service and its repository say, and evaluates the policy.
    ///
    /// The repository is asked for its tags where an alias depends on which versions there are, and only then.
    ///
    /// # Errors
    /// [`Error::Store`] where that can not be told, [`Error::Plan`] where a name is no tag.
    pub(crate) async fn new(
        policy: &Policy,
        run: &Facts,
        service: &str,
        key: &BuildKey,
        repository: &Repository,
    ) -> Result<Self, Error> {
        let mut facts = run.clone();
        facts.service = Some(service.to_owned());
        facts.content = key.to_string().parse().ok();
        if facts.versions.is_none() && policy.needs_versions(&facts) {
            facts.versions = versions(policy, &facts, repository).await?;
        }
        let plan = evaluate(policy, &facts).map_err(shipper_plan::Error::from)?;
        Ok(Self { policy: policy.clone(), facts, plan })
    }

    /// Every name but the identity, in the order in which they are written.
    pub(crate) fn names(&self) -> impl Iterator<Item = &PlannedTag> {
        self.plan.tags.iter().filter(|planned| planned.role != Role::Identity)
    }

    /// The names that are not on the image with `digest`. One GET a name.
    ///
    /// # Errors
    /// [`Error::Store`] where it can not be told.
    pub(crate) async fn due(&self, repository: &Repository, digest: &Digest) -> Result<Due, Error> {
        let mut due = Due::default();
        for planned in self.names() {
            let named = digest_of(repository, &planned.tag).await?;
            if named.as_ref() == Some(digest) {
                continue;
            }
            due.names.push(planned.tag.to_string());
            if let (Some(other), Precondition::AbsentOrSameDigest) = (named, &planned.precondition) {
                due.taken.push(Taken { tag: planned.tag.to_string(), digest: other });
            }
        }
        Ok(due)
    }

    /// The names that an image of `key`, still to be built, will not get: they are on images of other inputs and never
    /// move. One GET an anchor, and one more where an image says its key in its configuration only.
    ///
    /// # Errors
    /// [`Error::Store`] where it can not be told.
    pub(crate) async fn taken(&self, repository: &Repository, key: &BuildKey) -> Result<Vec<Taken>, Error> {
        let mut taken = Vec::new();
        for planned in self.names().filter(|planned| planned.precondition == Precondition::AbsentOrSameDigest) {
            let (digest, is_of_key) = match manifest_of(repository, &planned.tag).await? {
                Some(named) => (Some(named.digest().clone()), is_of(repository, &planned.tag, &named, key).await?),
                // A layout may have lost it; the name is taken all the same.
                None if !repository.store().is_remote() => (digest_of(repository, &planned.tag).await?, false),
                None => (None, false),
            };
            if let (Some(digest), false) = (digest, is_of_key) {
                taken.push(Taken { tag: planned.tag.to_string(), digest });
            }
        }
        Ok(taken)
    }

    /// The names of an image that has all of them.
    pub(crate) fn unchanged(&self) -> Vec<Name> {
        self.names().map(|planned| name(planned, NameOutcome::Unchanged)).collect()
    }

    /// Writes the names. What holds already is not written again.
    ///
    /// # Errors
    /// [`Error::Anchor`] where an immutable name is on another image: it stays there, and so do the aliases of its
    /// family. [`Error::Store`] and [`Error::Push`] where it can not be told or written.
    pub(crate) async fn apply(&self, repository: &Repository, manifest: &Manifest) -> Result<Vec<Name>, Error> {
        let mut names = Vec::new();
        for planned in self.names() {
            let outcome = match &planned.precondition {
                Precondition::AbsentOrSameDigest => self.anchor(repository, manifest, &planned.tag).await?,
                Precondition::Movable => self.moved(repository, manifest, &planned.tag).await?,
                Precondition::ForwardOnly { version, scope } => {
                    self.forward(repository, manifest, &planned.tag, version, *scope).await?
                }
            };
            names.push(name(planned, outcome));
        }
        Ok(names)
    }

    /// Writes a name that never moves, and reads it back.
    async fn anchor(&self, repository: &Repository, manifest: &Manifest, tag: &Tag) -> Result<NameOutcome, Error> {
        let other = |existing: &Digest| Error::Anchor {
            service: self.service(),
            tag: tag.to_string(),
            existing: existing.to_string(),
            wanted: manifest.digest().to_string(),
        };
        match digest_of(repository, tag).await? {
            Some(existing) if existing == *manifest.digest() => return Ok(NameOutcome::Unchanged),
            Some(existing) => return Err(other(&existing)),
            None => {}
        }
        match repository.put_immutable(manifest, tag).await {
            Err(error) if !error.is_conflict() => return Err(self.pushing(repository, error)),
            Ok(()) | Err(_) => {}
        }
        match digest_of(repository, tag).await? {
            Some(existing) if existing == *manifest.digest() => Ok(NameOutcome::Written),
            Some(existing) => Err(other(&existing)),
            None => Err(self.vanished(repository, tag)),
        }
    }

    /// Moves a name to the newest version of its scope: to this image, or past it where another run was faster.
    async fn forward(
        &self,
        repository: &Repository,
        manifest: &Manifest,
        tag: &Tag,
        version: &Version,
        scope: Scope,
    ) -> Result<NameOutcome, Error> {
        let mut written = None;
        for _ in 0..ROUNDS {
            let newer = self.newer(repository, version, scope).await?;
            let target = match &newer {
                None => manifest.clone(),
                // Nothing of this run is on the name: the other run moves it.
                Some(newer) if written.is_none() => return Ok(NameOutcome::Kept { newer: newer.to_string() }),
                Some(newer) => match self.named(repository, newer).await? {
                    Some(manifest) => manifest,
                    None => return Ok(NameOutcome::Kept { newer: newer.to_string() }),
                },
            };
            let current = digest_of(repository, tag).await?;
            if current.as_ref() == Some(target.digest()) {
                return Ok(match (newer, written) {
                    (Some(newer), _) => NameOutcome::Kept { newer: newer.to_string() },
                    (None, None) => NameOutcome::Unchanged,
                    (None, Some(_)) => NameOutcome::Written,
                });
            }
            move_tag(repository, &target, tag).await.map_err(|error| self.pushing(repository, error))?;
            // Read again: a version that was named meanwhile must not be hidden by this one.
            written = Some(target.digest().clone());
        }
        Err(Error::Restless { service: self.service(), tag: tag.to_string() })
    }

    /// The newest version in the repository that keeps an alias from this one.
    async fn newer(&self, repository: &Repository, version: &Version, scope: Scope) -> Result<Option<Version>, Error> {
        let versions = versions(&self.policy, &self.facts, repository).await?.unwrap_or_default();
        Ok(scope.newer(version, &versions).cloned())
    }

    /// The image of another version of the same family.
    async fn named(&self, repository: &Repository, version: &Version) -> Result<Option<Manifest>, Error> {
        let wanted = BTreeSet::from([version.clone()]);
        for tag in tags(repository).await? {
            if self.policy.versions(&self.facts, [&tag]).as_ref() == Some(&wanted) {
                return manifest_of(repository, &tag).await;
            }
        }
        Ok(None)
    }

    /// Writes a name that moves to whatever was built last; another run may have it by then.
    async fn moved(&self, repository: &Repository, manifest: &Manifest, tag: &Tag) -> Result<NameOutcome, Error> {
        if digest_of(repository, tag).await?.as_ref() == Some(manifest.digest()) {
            return Ok(NameOutcome::Unchanged);
        }
        move_tag(repository, manifest, tag).await.map_err(|error| self.pushing(repository, error))?;
        Ok(match digest_of(repository, tag).await? {
            Some(found) if found == *manifest.digest() => NameOutcome::Written,
            found => NameOutcome::Overtaken { digest: found.map(|digest| digest.to_string()).unwrap_or_default() },
        })
    }

    fn service(&self) -> String {
        self.facts.service.clone().unwrap_or_default()
    }

    fn pushing(&self, repository: &Repository, source: shipper_oci::Error) -> Error {
        Error::Push { service: self.service(), target: repository.to_string(), source: Box::new(source) }
    }

    fn vanished(&self, repository: &Repository, tag: &Tag) -> Error {
        let what = repository.reference(&Selector::Tag(tag.clone()));
        self.pushing(repository, shipper_oci::Error::NotFound { what })
    }
}

/// Writes a name that may move. A store reads back what it wrote and tells a conflict where the name is on something else
/// by then; for such a name that is another run's good right.
///
/// # Errors
/// As [`Repository::put_manifest`], but for conflicts.
pub(crate) async fn move_tag(repository: &Repository, manifest: &Manifest, tag: &Tag) -> shipper_oci::Result<()> {
    match repository.put_manifest(manifest, Some(tag)).await {
        Err(error) if !error.is_conflict() => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The versions that the repository has images of.
async fn versions(policy: &Policy, facts: &Facts, repository: &Repository) -> Result<Option<BTreeSet<Version>>, Error> {
    let tags = tags(repository).await?;
    Ok(policy.versions(facts, &tags))
}

async fn tags(repository: &Repository) -> Result<Vec<Tag>, Error> {
    repository.tags().await.map_err(|source| Error::Store { action: format!("list the tags of {repository}"), source })
}

async fn manifest_of(repository: &Repository, tag: &Tag) -> Result<Option<Manifest>, Error> {
    let found = repository.sound_manifest(&Selector::Tag(tag.clone())).await;
    found.map_err(|source| Error::Store { action: looking_up(repository, tag), source })
}

/// Whether an image under a name was built from the inputs of `key`.
async fn is_of(repository: &Repository, tag: &Tag, image: &Manifest, key: &BuildKey) -> Result<bool, Error> {
    match stored_key(repository, image).await {
        Ok(stored) => Ok(stored == Some(key.to_string())),
        // Something else has written it.
        Err(error) if error.is_corrupt() || error.is_not_found() => Ok(false),
        Err(source) => Err(Error::Store { action: looking_up(repository, tag), source }),
    }
}

fn looking_up(repository: &Repository, tag: &Tag) -> String {
    format!("look up {}", repository.reference(&Selector::Tag(tag.clone())))
}

/// What a name is on, whether a layout still has it or not: a name that never moves does not move because of that.
async fn digest_of(repository: &Repository, tag: &Tag) -> Result<Option<Digest>, Error> {
    let found = repository.tagged_digest(tag).await;
    found.map_err(|source| Error::Store { action: looking_up(repository, tag), source })
}

fn name(planned: &PlannedTag, outcome: NameOutcome) -> Name {
    Name { tag: planned.tag.to_string(), role: role(planned.role).to_owned(), family: planned.family.clone(), outcome }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Identity => "identity",
        Role::Anchor => "anchor",
        Role::Alias => "alias",
        Role::Pin => "pin",
        Role::Cache => "cache",
    }
}
