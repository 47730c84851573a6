//! `audit`: what each of the last commits would have built, and what simpler rules would have.
//!
//! Invariants: nothing but git's objects and the records of this checkout is asked, and nothing is started. A commit that
//! can not be planned counts for none of the rules, and what it changed counts for the next one.
//!
//! The rules that are compared with: every commit builds everything; and a service is built when a commit changes a path
//! in its own directory, which is what path filters of CI systems are told as a rule.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Serialize;
use shipper_hash::{BuildKey, Tree};
use shipper_plan::Recipe;
use shipper_report::Reason;

use crate::gather::Gathered;
use crate::history::{Changed, Commit, commits};
use crate::project::Compilers;
use crate::record::estimates;
use crate::why::{keys, reasons};
use crate::{Error, Project};

/// Which commits to look at.
#[derive(Debug, Clone)]
pub struct AuditOptions {
    /// The services, with those they are built on; all where none is named.
    pub services: Vec<String>,
    /// The newest commit, as gitrevisions(7) says.
    pub revision: String,
    /// How many commits, by first parents.
    pub commits: usize,
}

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Audit {
    /// The commits, newest first.
    pub commits: Vec<AuditedCommit>,
    /// Every service that one of them has, by name.
    pub services: Vec<AuditedService>,
}

/// One commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AuditedCommit {
    /// Its full name.
    pub commit: String,
    /// The first line of its message.
    pub subject: String,
    /// What it would have built.
    pub builds: Vec<AuditedBuild>,
    /// How many services it would have left alone.
    pub unchanged: usize,
    /// Why it can not be planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A service that a commit would have built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AuditedBuild {
    /// Its name.
    pub service: String,
    /// What differs from the commit before.
    pub reasons: Vec<Reason>,
}

/// What the rules come to for one service, in numbers of builds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AuditedService {
    /// Its name.
    pub service: String,
    /// Commits that have it: what building everything at every commit comes to.
    pub commits: usize,
    /// Builds by key.
    pub builds: usize,
    /// Builds by a path filter on its own directory.
    pub filtered: usize,
    /// Those of `filtered` that give an image of the same inputs once more.
    pub needless: usize,
    /// Builds by key that the path filter leaves out: an old image is taken for a new one.
    pub missed: usize,
    /// The median of its builds on this machine, in milliseconds, where any is on record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_ms: Option<u64>,
}

/// Plans each of the last commits in their order, from git's objects alone.
///
/// # Errors
/// Where there is no repository or no such commit. A commit that can not be planned is in the answer.
pub async fn audit(project: &Project, options: &AuditOptions) -> Result<Audit, Error> {
    // Says what is wrong with the revision.
    let mut tree = Tree::at_commit(&project.root, &options.revision).map_err(Error::Tree)?;
    let history = commits(&project.root, &options.revision, options.commits);
    let mut replay = Replay::new(project, options);
    if let Some(parent) = history.last().and_then(|oldest| oldest.parent.as_ref()) {
        // What was there before is no work of these commits. A shallow clone may not have it.
        if let Ok(gathered) = replay.plan(&mut tree, parent).await {
            replay.learn(gathered);
        }
    }
    let mut audited = Vec::with_capacity(history.len());
    for commit in history.iter().rev() {
        audited.push(replay.commit(&mut tree, commit).await);
    }
    audited.reverse();
    let times = estimates(&project.directories.local);
    for service in replay.services.values_mut() {
        service.build_ms = times.get(&service.service).copied();
    }
    Ok(Audit { commits: audited, services: replay.services.into_values().collect() })
}

/// The state between two commits.
struct Replay<'a> {
    project: &'a Project,
    options: &'a AuditOptions,
    /// The keys that were built, by service.
    built: BTreeMap<String, HashSet<BuildKey>>,
    /// Services as the last commit has them that could be planned.
    last: BTreeMap<String, Gathered>,
    /// What commits changed that could not be planned.
    pending: Touched,
    services: BTreeMap<String, AuditedService>,
}

impl<'a> Replay<'a> {
    fn new(project: &'a Project, options: &'a AuditOptions) -> Self {
        Self {
            project,
            options,
            built: BTreeMap::new(),
            last: BTreeMap::new(),
            pending: Touched::default(),
            services: BTreeMap::new(),
        }
    }

    /// The services of a commit with their keys. `tree` is any commit of the repository, and this one afterwards.
    async fn plan(&self, tree: &mut Tree, commit: &str) -> Result<Vec<Gathered>, Error> {
        *tree = tree.at_other_commit(commit).map_err(Error::Tree)?;
        let mut then = self.project.at_commit(tree)?;
        then.compilers = Compilers::AsWritten;
        let wanted = &self.options.services;
        let known: Vec<String> = wanted.iter().filter(|name| then.services.contains_key(*name)).cloned().collect();
        if then.services.is_empty() || (known.is_empty() && !wanted.is_empty()) {
            return Ok(Vec::new());
        }
        keys(&then, tree, &known).await
    }

    /// Takes a commit's services as built.
    fn learn(&mut self, gathered: Vec<Gathered>) {
        self.last = gathered.into_iter().map(|one| (one.service.name.clone(), one)).collect();
        for (name, one) in &self.last {
            self.built.entry(name.clone()).or_default().insert(one.key);
        }
    }

    async fn commit(&mut self, tree: &mut Tree, commit: &Commit) -> AuditedCommit {
        let mut audited = AuditedCommit {
            commit: commit.id.clone(),
            subject: commit.subject.clone(),
            builds: Vec::new(),
            unchanged: 0,
            problem: None,
        };
        self.pending.add(commit.changed.as_ref());
        let gathered = match self.plan(tree, &commit.id).await {
            Ok(gathered) => gathered,
            Err(error) => {
                audited.problem = Some(error.chain().join(": "));
                return audited;
            }
        };
        for one in &gathered {
            let name = &one.service.name;
            let is_due = !self.built.get(name).is_some_and(|built| built.contains(&one.key));
            let is_touched = self.pending.touches(&own_paths(one));
            let totals = self.services.entry(name.clone()).or_default();
            totals.service.clone_from(name);
            totals.commits += 1;
            totals.builds += usize::from(is_due);
            totals.filtered += usize::from(is_touched);
            totals.needless += usize::from(is_touched && !is_due);
            totals.missed += usize::from(is_due && !is_touched);
            if is_due {
                let reasons = match self.last.get(name) {
                    Some(before) => reasons(before, one),
                    None => vec![Reason::NeverBuilt],
                };
                audited.builds.push(AuditedBuild { service: name.clone(), reasons });
            } else {
                audited.unchanged += 1;
            }
        }
        self.pending = Touched::default();
        self.learn(gathered);
        audited
    }
}

/// Paths that were changed since the last plan.
#[derive(Default)]
struct Touched {
    paths: BTreeSet<Vec<u8>>,
    /// Too many to name.
    everything: bool,
}

impl Touched {
    fn add(&mut self, changed: Option<&Changed>) {
        match changed {
            Some(changed) => self.paths.extend(changed.iter().cloned()),
            None => self.everything = true,
        }
    }

    /// Whether one of them is, or lies below, one of `places`; `.` is everything.
    fn touches(&self, places: &[String]) -> bool {
        let is_in = |path: &[u8], place: &str| {
            place == "."
                || path.strip_prefix(place.as_bytes()).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
        };
        self.everything || self.paths.iter().any(|path| places.iter().any(|place| is_in(path, place)))
    }
}

/// What somebody would tell a path filter of a service: where its package, its Dockerfile's context and its files are.
fn own_paths(gathered: &Gathered) -> Vec<String> {
    let directory = |path: Option<&shipper_hash::RelPath>| path.map_or_else(|| ".".to_owned(), ToString::to_string);
    let mut places = Vec::new();
    match &gathered.service.recipe {
        Recipe::Dockerfile(recipe) => {
            let closure = gathered.platforms.first().and_then(|platform| platform.closure.as_ref());
            places.push(closure.map_or_else(|| recipe.context.clone(), |own| directory(own.package_dir.as_ref())));
            places.push(recipe.dockerfile.clone());
            places.extend(recipe.contexts.values().cloned());
        }
        Recipe::Assemble { binary, files, .. } => {
            let compiled = gathered.platforms.first().and_then(|platform| platform.cargo.as_ref());
            places.extend(compiled.map(|own| directory(own.closure.package_dir.as_ref())));
            places.extend(files.values().chain(binary.values()).cloned());
        }
    }
    places
}
