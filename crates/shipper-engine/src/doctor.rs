//! `doctor`: what is installed, reachable and allowed, each with a cure where something is wrong.
//!
//! Invariants: nothing is changed, here or in a registry; every question is asked by the code that asks it in a run, so that
//! the answer is the one that a run would get; what could not be told is never called fine.

mod checkout;
#[cfg(feature = "aws")]
mod ecr;
mod machine;
mod registry;

use std::time::SystemTime;

use serde::Serialize;
use shipper_report::ExitCode;

use crate::{Error, Project};

/// What became of one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckVerdict {
    /// As it should be.
    Fine,
    /// It works, and could be better.
    Note,
    /// It could not be told.
    Unknown,
    /// Something does not work.
    Broken,
}

/// One question and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Check {
    /// What was looked at: `cache`, `builder`, `engine`, `git`, a registry or a repository.
    pub subject: String,
    /// Which question it was: `cache-directory`, `builder`, `container-engine`, `git-program`, `checkout`, `owner`, `history`,
    /// `changes`, `registry`, `pull`, `push`, `clock`, and of Amazon ECR `repository`, `mutability`, `lifecycle`, `mounting`.
    pub code: &'static str,
    /// The answer.
    pub verdict: CheckVerdict,
    /// The answer in words.
    pub message: String,
    /// What can be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

impl Check {
    fn new(subject: impl Into<String>, code: &'static str, verdict: CheckVerdict, message: impl Into<String>) -> Self {
        Self { subject: subject.into(), code, verdict, message: message.into(), cure: None }
    }

    fn fine(subject: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self::new(subject, code, CheckVerdict::Fine, message)
    }

    fn cured_by(self, cure: impl Into<Option<String>>) -> Self {
        Self { cure: cure.into(), ..self }
    }

    /// What a run would fail with: broken, or not known.
    fn failed(subject: impl Into<String>, code: &'static str, error: &Error) -> Self {
        let is_unknown = error.exit_code() == ExitCode::Unknown;
        let verdict = if is_unknown { CheckVerdict::Unknown } else { CheckVerdict::Broken };
        Self::new(subject, code, verdict, error.chain().join(": ")).cured_by(error.hint())
    }
}

/// All questions and their answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Checkup {
    /// The machine first, then the checkout, then registries in the order of their names.
    pub checks: Vec<Check>,
}

impl Checkup {
    /// The worst of all answers.
    #[must_use]
    pub fn verdict(&self) -> CheckVerdict {
        self.checks.iter().map(|check| check.verdict).max().unwrap_or(CheckVerdict::Fine)
    }

    /// What the process returns: 1 where something does not work, 3 where something could not be told.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self.verdict() {
            CheckVerdict::Fine | CheckVerdict::Note => ExitCode::Done,
            CheckVerdict::Unknown => ExitCode::Unknown,
            CheckVerdict::Broken => ExitCode::No,
        }
    }
}

/// Looks at the machine, the checkout and the registries of a project; `now` is what this machine takes for the time.
pub async fn doctor(project: &Project, now: SystemTime) -> Checkup {
    let mut checks = machine::checks(project).await;
    checks.extend(checkout::checks(project).await);
    checks.extend(registry::checks(project, now).await);
    Checkup { checks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_answer_decides_and_what_is_broken_is_worse_than_what_is_not_known() {
        let check = |verdicts: &[CheckVerdict], expected: ExitCode| {
            let checks = verdicts.iter().map(|verdict| Check::new("x", "x", *verdict, "x")).collect();
            assert_eq!(Checkup { checks }.exit_code(), expected, "{verdicts:?}");
        };
        use CheckVerdict::{Broken, Fine, Note, Unknown};
        check(&[], ExitCode::Done);
        check(&[Fine, Note], ExitCode::Done);
        check(&[Unknown, Fine], ExitCode::Unknown);
        check(&[Unknown, Broken, Note], ExitCode::No);
    }
}
