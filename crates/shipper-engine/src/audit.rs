//! `audit`: what each of the last commits would have built, and what simpler rules would have.
//!
//! Invariants: nothing but git's objects and the records of this checkout is asked, and nothing is started. A commit that
//! can not be planned, or that there is nothing earlier to compare with, counts for none of the rules; what a commit changed
//! that can not be planned counts for the next one.
//!
//! The rules that are compared with: every commit builds everything; and a service is built when a commit changes a path
//! in its own directory, which is what path filters of CI systems are told as a rule.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use shipper_hash::{BuildKey, Tree};
use shipper_plan::Recipe;
use shipper_report::Reason;

use crate::gather::Gathered;
use crate::history::{Changed, Commit, commits};
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
    /// Whether the clone is shallow and has no more commits.
    pub is_cut: bool,
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
    /// Why it counts for nothing.
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
/// Where there is no repository or no such commit, [`Error::NoAudit`] where none could be compared with an earlier one,
/// [`Error::Plan`] for a service that none of them has. A commit that can not be planned is in the answer.
pub async fn audit(project: &Project, options: &AuditOptions) -> Result<Audit, Error> {
    // Says what is wrong with the revision.
    let mut tree = Tree::at_commit(&project.root, &options.revision).map_err(Error::Tree)?;
    // One more, for what was there before.
    let history = commits(&project.root, &options.revision, options.commits.saturating_add(1));
    let mut history = history.map_err(|source| Error::History { revision: options.revision.clone(), source })?;
    let mut replay = Replay::new(project, options);
    if history.commits.len() > options.commits {
        let before = history.commits.pop().expect("there is one more than was asked for");
        history.is_cut = false;
        if let Ok(gathered) = replay.plan(&mut tree, &before.id).await {
            replay.learn(gathered);
        }
    } else if history.commits.last().is_some_and(|oldest| oldest.parent.is_none()) {
        // Before the first commit there was nothing.
        replay.learn(Vec::new());
    }
    let mut audited = Vec::with_capacity(history.commits.len());
    for commit in history.commits.into_iter().rev() {
        audited.push(replay.commit(&mut tree, commit).await);
    }
    audited.reverse();
    if audited.iter().all(|commit| commit.problem.is_some()) {
        let problem = audited.into_iter().find_map(|commit| commit.problem).unwrap_or_default();
        return Err(Error::NoAudit { problem, is_cut: history.is_cut });
    }
    let known = || project.services.keys().cloned().collect();
    if let Some(name) = options.services.iter().find(|name| !replay.services.contains_key(*name)) {
        return Err(shipper_plan::Error::NoSuchService { name: name.clone(), known: known() }.into());
    }
    let times = estimates(&project.directories.local);
    for service in replay.services.values_mut() {
        service.build_ms = times.get(&service.service).copied();
    }
    Ok(Audit { commits: audited, services: replay.services.into_values().collect(), is_cut: history.is_cut })
}

/// The state between two commits.
struct Replay<'a> {
    project: &'a Project,
    options: &'a AuditOptions,
    /// The keys that were built, by service.
    built: BTreeMap<String, HashSet<BuildKey>>,
    /// Services as the last commit has them that could be planned; absent before there is one.
    last: Option<BTreeMap<String, Gathered>>,
    /// What was changed since.
    pending: Changed,
    services: BTreeMap<String, AuditedService>,
}

impl<'a> Replay<'a> {
    fn new(project: &'a Project, options: &'a AuditOptions) -> Self {
        Self {
            project,
            options,
            built: BTreeMap::new(),
            last: None,
            pending: Changed::new(),
            services: BTreeMap::new(),
        }
    }

    /// The services of a commit with their keys. `tree` is any commit of the repository, and this one afterwards.
    async fn plan(&self, tree: &mut Tree, commit: &str) -> Result<Vec<Gathered>, Error> {
        *tree = tree.at_other_commit(commit).map_err(Error::Tree)?;
        let then = self.project.at_commit(tree)?;
        let wanted = &self.options.services;
        let known: Vec<String> = wanted.iter().filter(|name| then.services.contains_key(*name)).cloned().collect();
        if then.services.is_empty() || (known.is_empty() && !wanted.is_empty()) {
            return Ok(Vec::new());
        }
        keys(&then, tree, &known).await
    }

    /// Takes a commit's services as built.
    fn learn(&mut self, gathered: Vec<Gathered>) {
        for one in &gathered {
            self.built.entry(one.service.name.clone()).or_default().insert(one.key);
        }
        self.last = Some(gathered.into_iter().map(|one| (one.service.name.clone(), one)).collect());
        self.pending.clear();
    }

    async fn commit(&mut self, tree: &mut Tree, commit: Commit) -> AuditedCommit {
        let mut audited = AuditedCommit {
            commit: commit.id,
            subject: commit.subject,
            builds: Vec::new(),
            unchanged: 0,
            problem: None,
        };
        self.pending.extend(commit.changed);
        let gathered = match self.plan(tree, &audited.commit).await {
            Ok(gathered) => gathered,
            Err(error) => {
                audited.problem = Some(error.chain().join(": "));
                return audited;
            }
        };
        let Some(last) = &self.last else {
            audited.problem = Some("there is nothing earlier to compare it with".to_owned());
            self.learn(gathered);
            return audited;
        };
        for one in &gathered {
            let name = &one.service.name;
            let is_due = !self.built.get(name).is_some_and(|built| built.contains(&one.key));
            let is_touched = touches(&self.pending, &own_paths(one));
            let totals = self.services.entry(name.clone()).or_default();
            totals.service.clone_from(name);
            totals.commits += 1;
            totals.builds += usize::from(is_due);
            totals.filtered += usize::from(is_touched);
            totals.needless += usize::from(is_touched && !is_due);
            totals.missed += usize::from(is_due && !is_touched);
            if is_due {
                let reasons = last.get(name).map_or_else(|| vec![Reason::NeverBuilt], |before| reasons(before, one));
                audited.builds.push(AuditedBuild { service: name.clone(), reasons });
            } else {
                audited.unchanged += 1;
            }
        }
        self.learn(gathered);
        audited
    }
}

/// Whether one of the changed paths is, or lies below, one of `places`; `.` is everything.
fn touches(changed: &Changed, places: &[String]) -> bool {
    let is_in = |path: &[u8], place: &str| {
        let below = |rest: &[u8]| matches!(rest.first(), None | Some(b'/'));
        place == "." || path.strip_prefix(place.as_bytes()).is_some_and(below)
    };
    changed.iter().any(|path| places.iter().any(|place| is_in(path, place)))
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
