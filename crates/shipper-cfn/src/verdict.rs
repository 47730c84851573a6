//! From what was found to one answer: can an image be pushed?
//!
//! Invariant: *ready* needs a repository that was seen, or an outputs file that was to decide; *not ready* needs an
//! absence that was proven; everything else is *unknown*.

use std::fmt;
use std::time::Duration;

use shipper_aws::EcrRepository;

use crate::{Class, StackState};

/// Whether something exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It was seen.
    Present,
    /// It is proven not to be there.
    Absent,
    /// It can not be told, and why.
    Unknown(String),
    /// It was not to be looked for.
    NotAsked,
}

/// What is known of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StackFact {
    /// It is in this state.
    State(StackState),
    /// It was still in this state after it had been waited for so long.
    Unsettled(StackState, Duration),
    /// It does not exist.
    Missing,
    /// It can not be told, and why.
    Unknown(String),
    /// No stack was named, or nothing was to be asked.
    NotAsked,
}

impl StackFact {
    fn class(&self) -> Option<Class> {
        match self {
            Self::State(state) => state.class(),
            _ => None,
        }
    }
}

/// Where the repository's name is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The user named it.
    Named,
    /// The configuration names it.
    Configuration,
    /// A file that `cdk deploy --outputs-file` wrote.
    OutputsFile,
    /// An output of a stack.
    Stack,
    /// An export.
    Export,
}

impl Source {
    /// The name in documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Named => "flag",
            Self::Configuration => "configuration",
            Self::OutputsFile => "outputs-file",
            Self::Stack => "stack",
            Self::Export => "export",
        }
    }
}

/// Everything that was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Where the repository's name is from, or where it was last looked for.
    pub source: Source,
    /// The repository; absent where nothing names one.
    pub repository: Option<EcrRepository>,
    /// Why the repository found can not be the one that is meant: another account or region.
    pub elsewhere: Option<String>,
    /// The stack.
    pub stack: StackFact,
    /// Whether the repository exists.
    pub existence: Presence,
    /// Whether an image with the tag exists.
    pub image: Presence,
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The outputs file names no such stack or output, or is not there.
    NotInFile,
    /// The stack does not exist.
    NoStack,
    /// The stack has no such output.
    NoOutput,
    /// No stack exports the name.
    NoExport,
    /// The stack is not created yet.
    NotCreated(StackState),
    /// The stack is being taken away.
    Going(StackState),
    /// The repository does not exist.
    NoRepository,
    /// The repository has no image with the tag that can be pulled.
    NoImage,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInFile => f.write_str("the outputs file names no repository"),
            Self::NoStack => f.write_str("the stack does not exist"),
            Self::NoOutput => f.write_str("the stack has no such output"),
            Self::NoExport => f.write_str("no stack exports the name"),
            Self::NotCreated(state) => write!(f, "the stack is not created yet ({state})"),
            Self::Going(state) => write!(f, "the stack is going away ({state})"),
            Self::NoRepository => f.write_str("the repository does not exist"),
            Self::NoImage => f.write_str("the repository has no such image"),
        }
    }
}

impl Reason {
    /// The name in documents.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotInFile => "not-in-file",
            Self::NoStack => "no-stack",
            Self::NoOutput => "no-output",
            Self::NoExport => "no-export",
            Self::NotCreated(_) => "not-created",
            Self::Going(_) => "going",
            Self::NoRepository => "no-repository",
            Self::NoImage => "no-image",
        }
    }
}

/// Whether an image can be pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Push {
    /// It can.
    Ready,
    /// It can not.
    NotReady(Reason),
    /// It can not be told, and why.
    Unknown(String),
}

/// The answer with what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Whether an image can be pushed.
    pub push: Push,
    /// The stack.
    pub stack: StackFact,
    /// Where the repository's name is from.
    pub source: Source,
    /// The repository.
    pub repository: Option<EcrRepository>,
    /// What a person should know besides.
    pub notes: Vec<String>,
}

/// The answer that follows from the evidence.
#[must_use]
pub fn verdict(evidence: Evidence) -> Readiness {
    let push = push(&evidence);
    let notes = notes(&evidence, &push);
    let Evidence { source, repository, stack, .. } = evidence;
    Readiness { push, stack, source, repository, notes }
}

fn push(evidence: &Evidence) -> Push {
    match (&evidence.stack, evidence.stack.class()) {
        (StackFact::State(state), None) => {
            return Push::Unknown(format!("the state {state} of the stack is not known"));
        }
        (StackFact::Unsettled(state, waited), _) => {
            return Push::Unknown(format!("the stack is still {state} after {} s", waited.as_secs()));
        }
        (StackFact::State(state), Some(Class::NotYet)) => return Push::NotReady(Reason::NotCreated(state.clone())),
        (StackFact::State(state), Some(Class::Going)) => return Push::NotReady(Reason::Going(state.clone())),
        _ => (),
    }
    if evidence.repository.is_none() {
        return match (&evidence.stack, evidence.source) {
            (StackFact::Unknown(cause), _) => Push::Unknown(cause.clone()),
            (StackFact::Missing, _) => Push::NotReady(Reason::NoStack),
            (StackFact::State(_) | StackFact::Unsettled(..), _) => Push::NotReady(Reason::NoOutput),
            (StackFact::NotAsked, Source::Export) => match &evidence.existence {
                Presence::Unknown(cause) => Push::Unknown(cause.clone()),
                _ => Push::NotReady(Reason::NoExport),
            },
            (StackFact::NotAsked, _) => Push::NotReady(Reason::NotInFile),
        };
    }
    if let Some(difference) = &evidence.elsewhere {
        return Push::Unknown(difference.clone());
    }
    match (&evidence.existence, &evidence.image) {
        (Presence::Unknown(cause), _) => Push::Unknown(cause.clone()),
        (Presence::Absent, _) => Push::NotReady(Reason::NoRepository),
        (Presence::Present | Presence::NotAsked, Presence::Absent) => Push::NotReady(Reason::NoImage),
        (Presence::Present | Presence::NotAsked, Presence::Unknown(cause)) => Push::Unknown(cause.clone()),
        (Presence::Present | Presence::NotAsked, Presence::Present | Presence::NotAsked) => Push::Ready,
    }
}

fn notes(evidence: &Evidence, push: &Push) -> Vec<String> {
    let mut notes = Vec::new();
    if *push == Push::Ready {
        match &evidence.stack {
            StackFact::Missing => notes.push(
                "the stack does not exist, but its repository does: creating the stack again would collide with it"
                    .to_owned(),
            ),
            StackFact::Unknown(cause) => notes.push(format!("the state of the stack could not be told: {cause}")),
            StackFact::State(state) if state.class() == Some(Class::Broken) => {
                notes.push(format!("the stack needs somebody: {state}"));
            }
            StackFact::State(state) if state.class() == Some(Class::Busy) => {
                notes.push(format!("the stack is changing: {state}"));
            }
            StackFact::State(state) if state.is_rolled_back() => {
                notes.push(format!("the last change of the stack was rolled back: {state}"));
            }
            StackFact::State(_) | StackFact::Unsettled(..) | StackFact::NotAsked => (),
        }
        if evidence.existence == Presence::NotAsked {
            notes.push("nothing was asked of AWS: the outputs file decided".to_owned());
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::STATES;

    fn evidence(stack: StackFact, existence: Presence) -> Evidence {
        Evidence {
            source: Source::Stack,
            repository: Some("123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop".parse().expect("a repository")),
            elsewhere: None,
            stack,
            existence,
            image: Presence::NotAsked,
        }
    }

    #[test]
    fn every_state_times_every_presence() {
        let unknown = || Presence::Unknown("denied".to_owned());
        for (name, class) in STATES {
            let check = |existence: Presence, expected: &dyn Fn(&Push) -> bool| {
                let push = verdict(evidence(StackFact::State(StackState::new(name)), existence)).push;
                assert!(expected(&push), "{name}: {push:?}");
            };
            match class {
                Class::Settled | Class::Busy | Class::Broken => {
                    check(Presence::Present, &|push| *push == Push::Ready);
                    check(Presence::Absent, &|push| *push == Push::NotReady(Reason::NoRepository));
                    check(unknown(), &|push| matches!(push, Push::Unknown(_)));
                }
                Class::NotYet | Class::Going => {
                    for existence in [Presence::Present, Presence::Absent, unknown()] {
                        check(existence, &|push| matches!(push, Push::NotReady(_)));
                    }
                }
            }
        }
        let future = StackFact::State(StackState::new("SOME_FUTURE_STATE"));
        assert!(matches!(verdict(evidence(future, Presence::Present)).push, Push::Unknown(_)));
    }

    #[test]
    fn what_names_another_place_is_no_evidence() {
        let elsewhere = Evidence {
            elsewhere: Some("another account".to_owned()),
            ..evidence(StackFact::NotAsked, Presence::Present)
        };
        assert_eq!(verdict(elsewhere).push, Push::Unknown("another account".to_owned()));
    }

    #[test]
    fn a_repository_without_its_stack_is_ready_and_told() {
        let orphan = verdict(evidence(StackFact::Missing, Presence::Present));
        assert_eq!(orphan.push, Push::Ready);
        assert!(orphan.notes[0].contains("collide"));
    }
}
