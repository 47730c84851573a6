//! `why`: what makes a service due, down to the file and what pulls it in; against the image that is there, one that is
//! named, or a commit.
//!
//! Invariants: against a commit nothing but the repository is asked; both sides are what the configuration, the lock and
//! the files *there* say, so that a moved base or another argument is a difference like any other. Against an image the other
//! side is what lies beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use shipper_dockerfile::Inputs;
use shipper_hash::{Manifest, Tree};
use shipper_plan::{InputsDocument, Recipe, Service, differences};
use shipper_report::{Action, FileChange, Reason};

use crate::against::Name;
use crate::bases::Bases;
use crate::gather::{Gathered, Platform, gather, selection};
use crate::project::Compilers;
use crate::{Error, Events, Project, ShipOptions, Silent, plan};

/// Why one service is due, or that it is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Why {
    /// The service.
    pub service: String,
    /// Whether there is a difference.
    pub due: bool,
    /// All differences, most telling first; of a service that is not due, why not.
    pub reasons: Vec<Reason>,
    /// What pulls changed files into the context, by path as the reasons name it. Files that are gone are explained by
    /// what pulled them in.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub because: BTreeMap<String, String>,
}

/// What is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Against {
    /// The image that is there, or the last one of this branch.
    Image,
    /// A commit of the repository.
    Revision(String),
    /// What a name means: an environment of the configuration (what ran there last), one image by its reference (a text with
    /// `:` or `/`), or a tag in the repository of each service.
    Named(String),
}

impl Against {
    /// As a user writes it: `rev:` and a commit, or a name.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix("rev:") {
            Some(revision) => Self::Revision(revision.to_owned()),
            None => Self::Named(text.to_owned()),
        }
    }
}

/// Explains `services`, all where none is named, needs first.
///
/// # Errors
/// As for a plan; against a commit also where there is no such commit, or its configuration makes no sense; against a name
/// [`Error::NoImage`], [`Error::NoInputs`] and [`Error::NothingRuns`].
pub async fn why(project: &Project, services: &[String], against: &Against) -> Result<Vec<Why>, Error> {
    match against {
        Against::Image => against_image(project, services).await,
        Against::Revision(revision) => against_revision(project, services, revision).await,
        Against::Named(name) => against_named(project, services, name).await,
    }
}

async fn against_named(project: &Project, services: &[String], name: &str) -> Result<Vec<Why>, Error> {
    let name = Name::parse(project, name)?;
    let now = gathered(project, services).await?;
    let asked: Vec<&Gathered> =
        now.iter().filter(|one| services.is_empty() || services.contains(&one.service.name)).collect();
    let then = name.images_of(project, &asked).await?;
    // One image says nothing about the others.
    let is_one = matches!(name, Name::Reference(_));
    let asked = asked.into_iter().filter(|one| !is_one || then.contains_key(&one.service.name));
    let explained = asked.map(|new| {
        let Some(old) = then.get(&new.service.name) else { return Why::never_built(new) };
        let before = old.platforms.values().map(|(inputs, manifest)| (inputs, manifest.as_ref()));
        explained(new, &[new], differences(before, states(new)))
    });
    Ok(explained.collect())
}

/// Services as they are, with those that they are built on, needs first.
///
/// # Errors
/// As for a plan.
pub(crate) async fn gathered(project: &Project, services: &[String]) -> Result<Vec<Gathered>, Error> {
    let order = selection(project, services)?;
    let tree = project.tree()?;
    let mut bases = Bases::new(project, false)?;
    gather(project, &tree, &order, &mut bases, &silent()).await
}

async fn against_image(project: &Project, services: &[String]) -> Result<Vec<Why>, Error> {
    let options = ShipOptions { services: services.to_vec(), no_push: true, ..ShipOptions::default() };
    let planned = plan(project, &options, &silent()).await?;
    let explained = planned.services.iter().map(|service| {
        let files = files_of(&service.reasons);
        let because = match planned.gathered(&service.service) {
            Some(gathered) if !files.is_empty() => because(&[gathered], &files),
            _ => BTreeMap::new(),
        };
        let due = service.action == Action::Build;
        Why { service: service.service.clone(), due, reasons: service.reasons.clone(), because }
    });
    Ok(explained.collect())
}

async fn against_revision(project: &Project, services: &[String], revision: &str) -> Result<Vec<Why>, Error> {
    let now = keys(project, &project.tree()?, services).await?;
    let tree = Tree::at_commit(&project.root, revision).map_err(Error::Tree)?;
    let then = project.at_commit(&tree)?;
    // A service that is new has nothing to be compared with.
    let known: Vec<String> =
        now.iter().map(|one| one.service.name.clone()).filter(|name| then.services.contains_key(name)).collect();
    let before = if known.is_empty() { Vec::new() } else { keys(&then, &tree, &known).await? };
    let explained = now.iter().map(|new| {
        let name = &new.service.name;
        let Some(old) = before.iter().find(|old| old.service.name == *name) else {
            return Why::never_built(new);
        };
        explained(new, &[new, old], reasons(old, new))
    });
    Ok(explained.collect())
}

impl Why {
    /// There is nothing to compare a service with.
    fn never_built(new: &Gathered) -> Self {
        let reasons = vec![Reason::NeverBuilt];
        Self { service: new.service.name.clone(), due: true, reasons, because: BTreeMap::new() }
    }
}

/// What the differences mean; `sides` are the states of the service that are known whole.
fn explained(new: &Gathered, sides: &[&Gathered], reasons: Vec<Reason>) -> Why {
    let due = !reasons.is_empty();
    let because = because(sides, &files_of(&reasons));
    let reasons = if due { reasons } else { vec![Reason::ImageExists] };
    Why { service: new.service.name.clone(), due, reasons, because }
}

/// Contexts and inputs of services from the repository alone, for comparing its states: what the lock does not say is not
/// known, and of a compiler what the toolchain file says.
pub(crate) async fn keys(project: &Project, tree: &Tree, services: &[String]) -> Result<Vec<Gathered>, Error> {
    let project = &Project { compilers: Compilers::AsWritten, ..project.clone() };
    let order = selection(project, services)?;
    let mut bases = Bases::offline(project, tree)?;
    let gathered = gather(project, tree, &order, &mut bases, &silent()).await?;
    // A cache that can not be written costs time, nothing else.
    let _ = tree.save_cache();
    Ok(gathered)
}

fn silent() -> Events {
    Events::new(Arc::new(Silent))
}

/// What differs between two states of a service, each difference once.
pub(crate) fn reasons(old: &Gathered, new: &Gathered) -> Vec<Reason> {
    differences(states(old), states(new))
}

fn states(of: &Gathered) -> impl Iterator<Item = (&InputsDocument, Option<&Manifest>)> {
    of.platforms.iter().map(|platform| (&platform.inputs, Some(platform.context.manifest())))
}

fn files_of(reasons: &[Reason]) -> Vec<&FileChange> {
    fn changed(reason: &Reason) -> &[FileChange] {
        match reason {
            Reason::InputsChanged { files } => files,
            _ => &[],
        }
    }
    reasons.iter().flat_map(changed).collect()
}

/// What pulls each of `files` in, on the first of `sides` that has a word for it.
fn because(sides: &[&Gathered], files: &[&FileChange]) -> BTreeMap<String, String> {
    let explain = |file: &&FileChange| {
        let platforms = sides.iter().flat_map(|side| side.platforms.iter().map(|platform| (&side.service, platform)));
        let mut found = platforms.filter_map(|(service, platform)| pulled_in_by(service, platform, &file.path));
        Some((file.path.clone(), found.next()?))
    };
    files.iter().filter_map(explain).collect()
}

/// The line or the setting because of which `path` (relative to the context) is in the context of a service.
fn pulled_in_by(service: &Service, platform: &Platform, path: &str) -> Option<String> {
    let recipe = match &service.recipe {
        Recipe::Dockerfile(recipe) => recipe,
        Recipe::Assemble { files, .. } => {
            let below = |directory: &str| {
                directory == "."
                    || path
                        .strip_prefix(directory)
                        .is_some_and(|rest| matches!(rest.as_bytes().first(), None | Some(b'/')))
            };
            if let Some((target, source)) = files.iter().find(|(_, source)| below(source)) {
                return Some(format!("files: \"{target}\" = \"{source}\""));
            }
            let compiled = platform.cargo.as_ref()?;
            let members = compiled.closure.members.iter().filter_map(shipper_hash::RelPath::parent);
            let member = members.map(|directory| directory.to_string()).filter(|directory| below(directory));
            return Some(match member.max_by_key(String::len) {
                Some(directory) => format!("cargo: {} needs {directory}", compiled.closure.package),
                None => format!("cargo: the workspace of {}", compiled.closure.package),
            });
        }
    };
    let options = crate::narrowed::options(service, recipe, &platform.inputs.platform);
    let analysis = shipper_dockerfile::analyze(platform.dockerfile.as_ref()?, &options).ok()?;
    match &analysis.inputs {
        Inputs::Paths(paths) => {
            let read = paths.iter().find(|read| read.covers(path.as_bytes()))?;
            Some(format!("{}:{}: {read}", recipe.dockerfile, read.line))
        }
        Inputs::WholeContext { reasons } => {
            let reason = reasons.first()?;
            Some(format!("{}:{}: the whole context", recipe.dockerfile, reason.line))
        }
    }
}
