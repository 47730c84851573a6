//! `audit`: what each of the last commits would have built, and what simpler rules would have.
//!
//! Invariants: nothing but git's objects and the records of this checkout is asked, and nothing is started. A service that can
//! not be planned at a commit, or has nothing earlier to be compared with, counts for none of the rules there; what changed
//! counts when it can be planned again.
//!
//! The rules that are compared with: every commit builds everything; and a service is built when a commit changes a path
//! in its own directory, which is what path filters of CI systems are told as a rule.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use shipper_hash::{BuildKey, Tree};
use shipper_plan::Recipe;
use shipper_report::Reason;

use crate::gather::{Gathered, selection};
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
    /// Services that it would have left alone and a path filter would have built.
    pub needless: Vec<String>,
    /// How many services it would have left alone, those included.
    pub unchanged: usize,
    /// Services that are not counted, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<String, String>,
    /// Why none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl AuditedCommit {
    /// Whether it says anything about what is built.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.unchanged > 0 || !self.builds.is_empty()
    }
}

/// A service that a commit would have built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AuditedBuild {
    /// Its name.
    pub service: String,
    /// What differs from the commit before.
    pub reasons: Vec<Reason>,
    /// Whether a path filter would have built it too.
    pub filtered: bool,
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
    let mut replay = Replay { project, options, past: BTreeMap::new(), services: BTreeMap::new(), knows_past: false };
    if history.commits.len() > options.commits {
        let before = history.commits.pop().expect("there is one more than was asked for");
        history.is_cut = false;
        if let Ok(planned) = replay.plan(&mut tree, &before.id).await {
            replay.begin(planned);
        }
    } else if history.commits.last().is_some_and(|oldest| oldest.parent.is_none()) {
        // Before the first commit there was nothing.
        replay.knows_past = true;
    }
    let mut audited = Vec::with_capacity(history.commits.len());
    for commit in history.commits.into_iter().rev() {
        audited.push(replay.commit(&mut tree, commit).await);
    }
    audited.reverse();
    let is_known = |name: &String| replay.past.contains_key(name) || project.services.contains_key(name);
    if let Some(name) = options.services.iter().find(|name| !is_known(name)) {
        let known = project.services.keys().cloned().collect();
        return Err(shipper_plan::Error::NoSuchService { name: name.clone(), known }.into());
    }
    if !audited.iter().any(AuditedCommit::counts) {
        let why = |commit: AuditedCommit| commit.problem.or_else(|| commit.left_out.into_values().next());
        let problem = audited.into_iter().find_map(why).unwrap_or_else(|| NO_SERVICE.to_owned());
        return Err(Error::NoAudit { problem, is_cut: history.is_cut });
    }
    let times = estimates(&project.directories.local);
    for service in replay.services.values_mut() {
        service.build_ms = times.get(&service.service).copied();
    }
    Ok(Audit { commits: audited, services: replay.services.into_values().collect(), is_cut: history.is_cut })
}

/// Why a service is left out where it is seen for the first time and nobody knows what was there before.
const NOTHING_EARLIER: &str = "there is nothing earlier to compare it with";
/// Why an audit has nothing to say where no commit has a service.
const NO_SERVICE: &str = "it has no such service";

/// The services of a commit, each with what it is or why it can not be planned.
type PlannedCommit = Vec<(String, Result<Gathered, Error>)>;

/// The state between two commits.
struct Replay<'a> {
    project: &'a Project,
    options: &'a AuditOptions,
    /// What is known of each service that was seen.
    past: BTreeMap<String, Past>,
    services: BTreeMap<String, AuditedService>,
    /// Whether a service that was not seen yet is new.
    knows_past: bool,
}

/// What is known of a service.
#[derive(Default)]
struct Past {
    /// Whether it is known what there was before.
    is_known: bool,
    /// The keys that were built.
    built: HashSet<BuildKey>,
    /// As the last commit has it at which it could be planned.
    last: Option<Gathered>,
    /// What was changed since.
    pending: Changed,
}

impl Past {
    fn learn(&mut self, gathered: Gathered) {
        self.built.insert(gathered.key);
        self.last = Some(gathered);
        self.pending.clear();
        self.is_known = true;
    }
}

impl Replay<'_> {
    /// The services of a commit with their keys. `tree` is any commit of the repository, and this one afterwards.
    async fn plan(&self, tree: &mut Tree, commit: &str) -> Result<PlannedCommit, Error> {
        *tree = tree.at_other_commit(commit).map_err(Error::Tree)?;
        let then = self.project.at_commit(tree)?;
        let wanted = &self.options.services;
        let known: Vec<String> = wanted.iter().filter(|name| then.services.contains_key(*name)).cloned().collect();
        if then.services.is_empty() || (known.is_empty() && !wanted.is_empty()) {
            return Ok(Vec::new());
        }
        let mut planned = Vec::new();
        for name in selection(&then, &known)? {
            // One that can not be planned keeps no other from it.
            let gathered = keys(&then, tree, std::slice::from_ref(&name)).await;
            let own = |all: Vec<Gathered>| all.into_iter().next_back().expect("a service comes after its needs");
            planned.push((name, gathered.map(own)));
        }
        Ok(planned)
    }

    /// Takes a commit as what was there before.
    fn begin(&mut self, planned: PlannedCommit) {
        for (name, gathered) in planned {
            let past = self.past.entry(name).or_default();
            if let Ok(gathered) = gathered {
                past.learn(gathered);
            }
        }
        self.knows_past = true;
    }

    async fn commit(&mut self, tree: &mut Tree, commit: Commit) -> AuditedCommit {
        let mut audited = AuditedCommit {
            commit: commit.id,
            subject: commit.subject,
            builds: Vec::new(),
            needless: Vec::new(),
            unchanged: 0,
            left_out: BTreeMap::new(),
            problem: None,
        };
        for past in self.past.values_mut() {
            past.pending.extend(commit.changed.iter().cloned());
        }
        let planned = match self.plan(tree, &audited.commit).await {
            Ok(planned) => planned,
            Err(error) => {
                audited.problem = Some(error.chain().join(": "));
                return audited;
            }
        };
        for (name, gathered) in planned {
            let is_known = self.knows_past;
            let past = self.past.entry(name.clone()).or_insert_with(|| Past { is_known, ..Past::default() });
            match gathered {
                Err(error) => {
                    audited.left_out.insert(name, error.chain().join(": "));
                }
                Ok(gathered) if !past.is_known => {
                    past.learn(gathered);
                    audited.left_out.insert(name, NOTHING_EARLIER.to_owned());
                }
                Ok(gathered) => count(&mut self.services, &mut audited, past, gathered),
            }
        }
        self.knows_past = true;
        audited
    }
}

/// Counts what becomes of one service at a commit.
fn count(
    services: &mut BTreeMap<String, AuditedService>,
    audited: &mut AuditedCommit,
    past: &mut Past,
    gathered: Gathered,
) {
    let name = gathered.service.name.clone();
    let is_due = !past.built.contains(&gathered.key);
    // Whoever adds a service adds its filter, and builds it.
    let is_touched = past.last.is_none() || touches(&past.pending, &own_paths(&gathered));
    let totals = services.entry(name.clone()).or_default();
    totals.service.clone_from(&name);
    totals.commits += 1;
    totals.builds += usize::from(is_due);
    totals.filtered += usize::from(is_touched);
    totals.needless += usize::from(is_touched && !is_due);
    totals.missed += usize::from(is_due && !is_touched);
    if is_due {
        let reasons = past.last.as_ref().map_or_else(|| vec![Reason::NeverBuilt], |last| reasons(last, &gathered));
        audited.builds.push(AuditedBuild { service: name, reasons, filtered: is_touched });
    } else {
        audited.unchanged += 1;
        if is_touched {
            audited.needless.push(name);
        }
    }
    past.learn(gathered);
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
