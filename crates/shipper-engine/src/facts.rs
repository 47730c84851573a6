//! The facts of a run that names are made of: from flags, the CI system's event and environment, and the checkout, in
//! this order of precedence.
//!
//! Nothing is guessed: where the CI system does not tell, and the checkout does not know, a fact is absent. No process is
//! started and no socket opened.

mod buildkite;
mod checkout;
mod circleci;
mod codebuild;
mod github;
mod gitlab;

use std::collections::BTreeMap;
use std::path::Path;

use shipper_tag::{Facts, ObjectId, PullRequest, Trigger};

use crate::{Error, Project};

/// Largest event document that is read, in bytes; GitHub's own limit of a payload is 25 MB.
const MAX_EVENT: u64 = 25 << 20;

/// What flags say about a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FactsOverrides {
    /// `--ref`: `refs/heads/NAME` or `refs/tags/NAME`.
    pub git_ref: Option<String>,
    /// `--pr`: number of the pull request.
    pub pull_request: Option<u64>,
    /// `--trigger`: what the run is, for systems that do not tell all of it.
    pub trigger: Option<Trigger>,
}

/// What a CI system tells, with what it is unsure of.
pub(crate) struct Told {
    pub(crate) facts: Facts,
    pub(crate) warnings: Vec<String>,
    /// Commits that the checkout may be at, the one to name included.
    pub(crate) expected: Vec<ObjectId>,
}

impl Told {
    pub(crate) fn new(source: &str, trigger: Trigger) -> Self {
        Self { facts: Facts::new(source, trigger), warnings: Vec::new(), expected: Vec::new() }
    }

    /// The commit that is named and, where it is another one, the commit that is built.
    pub(crate) fn commits(&mut self, named: Option<ObjectId>, built: Option<ObjectId>) {
        self.expected = [&named, &built].into_iter().flatten().cloned().collect();
        self.facts.built = built.or_else(|| named.clone());
        self.facts.commit = named;
    }
}

/// The environment of a CI system; an empty variable is an absent one.
pub(crate) struct Variables<'a>(pub(crate) &'a BTreeMap<String, String>);

impl Variables<'_> {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    pub(crate) fn id(&self, name: &str) -> Option<ObjectId> {
        self.get(name)?.parse().ok()
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }
}

/// Gathers the facts of this run; `service` and `content` are absent. Texts in the second place are warnings.
///
/// # Errors
/// [`Error::Read`] for an event document that can not be read, [`Error::Facts`] for one that can not be understood or a
/// flag that makes no sense.
pub fn gather_facts(project: &Project, overrides: &FactsOverrides) -> Result<(Facts, Vec<String>), Error> {
    let checkout = checkout::read(&project.root);
    let head = crate::git::head(&project.root);
    let Told { mut facts, mut warnings, expected } = told(&project.environment)?.unwrap_or_else(|| {
        let mut told = Told::new("local", Trigger::Local);
        told.facts.branch.clone_from(&head.branch);
        let commit = head.commit.as_deref().and_then(|id| id.parse().ok());
        told.commits(commit, None);
        told
    });
    facts.default_branch = facts.default_branch.or(head.default_branch);
    if let Some(checkout) = checkout {
        if facts.commit.is_none() && expected.is_empty() && facts.source != "local" {
            // The system names a branch or tag and leaves the commit to the checkout.
            facts.commit = Some(checkout.commit.clone());
        } else if !expected.is_empty() && !expected.contains(&checkout.commit) {
            warnings.push(format!(
                "the checkout is at {}, not at {}: no name is made of a commit",
                checkout.commit,
                expected.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
            ));
            facts.commit = None;
        }
        if facts.commit.as_ref() == Some(&checkout.commit) {
            facts.unambiguous_digits = checkout.digits;
        }
        facts.commit_time = checkout.time;
        facts.tree = Some(checkout.tree);
        facts.built = Some(checkout.commit);
        facts.dirty = checkout.dirty;
    }
    facts.now = crate::events::now().parse().ok();
    overrides.apply(&mut facts)?;
    if facts.dirty == Some(true) && facts.trigger != Trigger::Local {
        warnings.push(
            "tracked files are not those of the commit: no image gets a name of this run's branch, tag or pull request \
             (`git status` lists them)"
                .to_owned(),
        );
    }
    Ok((facts, warnings))
}

/// Whether a tracked file of the checkout differs from its commit; `None` where there is no commit, or it can not be told.
#[must_use]
pub fn is_dirty(project: &Project) -> Option<bool> {
    checkout::read(&project.root)?.dirty
}

/// As [`gather_facts`], but without reading the checkout where no name depends on it: on somebody's machine, with a policy
/// that names no local runs.
pub(crate) fn facts_for_names(project: &Project, overrides: &FactsOverrides) -> Result<(Facts, Vec<String>), Error> {
    let plain = *overrides == FactsOverrides::default();
    if plain && !project.policy.names_local_runs() && system(&Variables(&project.environment)).is_none() {
        return Ok((Facts::new("local", Trigger::Local), Vec::new()));
    }
    gather_facts(project, overrides)
}

impl FactsOverrides {
    fn apply(&self, facts: &mut Facts) -> Result<(), Error> {
        if let Some(git_ref) = &self.git_ref {
            facts.branch = None;
            facts.tag = None;
            facts.pull_request = None;
            if !set_ref(facts, git_ref) {
                return Err(Error::Facts {
                    what: format!("`--ref {git_ref}`"),
                    problem: "it is neither `refs/heads/NAME` nor `refs/tags/NAME`".to_owned(),
                });
            }
        }
        if let Some(number) = self.pull_request {
            let known = facts.pull_request.take();
            let (head, base, fork) = known.map_or((None, None, false), |pr| (pr.head, pr.base, pr.fork));
            facts.pull_request = Some(PullRequest { number, head: head.or(facts.branch.clone()), base, fork });
            facts.trigger = Trigger::PullRequest;
        }
        if let Some(trigger) = self.trigger {
            facts.trigger = trigger;
        }
        Ok(())
    }
}

/// How a system's facts are read.
#[derive(Clone, Copy)]
enum System {
    Github,
    Other(fn(&Variables<'_>) -> Told),
}

/// The variables that tell a system. A runner of GitHub may be hosted by another system: whose workflow it is comes first.
const SYSTEMS: [(&str, System); 5] = [
    ("GITHUB_ACTIONS", System::Github),
    ("GITLAB_CI", System::Other(gitlab::facts)),
    ("CIRCLECI", System::Other(circleci::facts)),
    ("BUILDKITE", System::Other(buildkite::facts)),
    ("CODEBUILD_BUILD_ID", System::Other(codebuild::facts)),
];

/// The CI system that this process runs in.
fn system(variables: &Variables<'_>) -> Option<System> {
    let set = |name: &str| variables.get(name).is_some_and(|value| value != "false");
    SYSTEMS.iter().find(|(name, _)| set(name)).map(|(_, system)| *system)
}

/// What the CI system says that this process runs in; `None` where it runs in none that is known.
fn told(environment: &BTreeMap<String, String>) -> Result<Option<Told>, Error> {
    let variables = Variables(environment);
    Ok(match system(&variables) {
        None => None,
        Some(System::Other(facts)) => Some(facts(&variables)),
        Some(System::Github) => {
            let event = match variables.get("GITHUB_EVENT_PATH") {
                Some(path) => event(Path::new(path))?,
                None => serde_json::Value::Null,
            };
            Some(github::facts(&variables, &event))
        }
    })
}

fn event(path: &Path) -> Result<serde_json::Value, Error> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    let problem = |problem: String| Error::Facts { what: format!("the event {}", path.display()), problem };
    let metadata = std::fs::metadata(path).map_err(read)?;
    if !metadata.is_file() || metadata.len() > MAX_EVENT {
        return Err(problem("it is no file of at most 25 MiB".to_owned()));
    }
    let bytes = std::fs::read(path).map_err(read)?;
    serde_json::from_slice(&bytes).map_err(|error| problem(error.to_string()))
}

/// Takes what a full ref name says: a branch, a tag, or a merge queue's branch. False for anything else.
pub(crate) fn set_ref(facts: &mut Facts, name: &str) -> bool {
    if let Some(tag) = name.strip_prefix("refs/tags/") {
        facts.trigger = Trigger::Tag;
        facts.tag = Some(tag.to_owned());
        return true;
    }
    let Some(branch) = name.strip_prefix("refs/heads/") else { return false };
    set_branch(facts, branch);
    true
}

/// Takes a pushed branch. A merge queue's is `gh-readonly-queue/<base>/pr-<number>-<commit>`.
pub(crate) fn set_branch(facts: &mut Facts, branch: &str) {
    facts.branch = Some(branch.to_owned());
    if !matches!(facts.trigger, Trigger::Manual | Trigger::Schedule) {
        facts.trigger = Trigger::Push;
    }
    let Some((base, last)) = branch.strip_prefix("gh-readonly-queue/").and_then(|rest| rest.rsplit_once('/')) else {
        return;
    };
    facts.trigger = Trigger::MergeQueue;
    let number =
        last.strip_prefix("pr-").and_then(|rest| rest.split('-').next()).and_then(|number| number.parse().ok());
    facts.pull_request =
        number.map(|number| PullRequest { number, head: None, base: Some(base.to_owned()), fork: false });
}
