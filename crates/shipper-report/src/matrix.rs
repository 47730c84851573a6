//! A plan as jobs of a CI system that runs one job for each entry of a list, such as a matrix of GitHub Actions.
//!
//! Invariants: every service that is due is in exactly one place; no entry waits for another one, because what services are
//! built on is told apart; there are never more entries than the CI system takes.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{Action, PlannedService};

/// Most jobs that GitHub Actions makes of one matrix (GitHub documentation, "Usage limits").
pub const GITHUB_JOBS: usize = 256;

/// A plan as jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Matrix {
    /// Whether anything is to be built or named.
    pub due: bool,
    /// Services to be built that others to be built are built on, needs first: built before everything else.
    pub bases: Vec<String>,
    /// The other services to be built, by job.
    pub jobs: Vec<MatrixJob>,
    /// Services whose image is there and gets a name.
    pub retag: Vec<String>,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MatrixJob {
    /// What it is shown as, without a comma: keys of caches have none.
    pub name: String,
    /// Its services, separated by spaces: a name has none.
    pub services: String,
    /// The directories that a sparse checkout has to have, a line each; empty for the whole repository. Not known to a plan.
    pub sparse: String,
}

impl Matrix {
    /// The jobs of a plan, needs first, in at most `limit` entries: above that, jobs get several services each.
    ///
    /// # Panics
    /// If `limit` is 0.
    #[must_use]
    pub fn of(services: &[PlannedService], limit: usize) -> Self {
        let with = |action| services.iter().filter(move |service| service.action == action);
        let needed: BTreeSet<&str> =
            with(Action::Build).flat_map(|service| service.needs.iter().map(String::as_str)).collect();
        let (bases, rest): (Vec<&str>, Vec<&str>) =
            with(Action::Build).map(|service| service.service.as_str()).partition(|name| needed.contains(name));
        let retag: Vec<String> = with(Action::Retag).map(|service| service.service.clone()).collect();
        let each = rest.len().div_ceil(limit).max(1);
        Self {
            due: !bases.is_empty() || !rest.is_empty() || !retag.is_empty(),
            bases: bases.into_iter().map(str::to_owned).collect(),
            jobs: rest.chunks(each).map(MatrixJob::of).collect(),
            retag,
        }
    }
}

impl MatrixJob {
    fn of(services: &[&str]) -> Self {
        let name = match services {
            [only] => (*only).to_owned(),
            [first, rest @ ..] => format!("{first} +{}", rest.len()),
            [] => String::new(),
        };
        Self { name, services: services.join(" "), sparse: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(name: &str, action: Action, needs: &[&str]) -> PlannedService {
        PlannedService {
            service: name.to_owned(),
            action,
            key: String::new(),
            tag: String::new(),
            context: String::new(),
            platforms: Vec::new(),
            image: None,
            names: Vec::new(),
            reasons: Vec::new(),
            needs: needs.iter().map(ToString::to_string).collect(),
            estimate_ms: None,
            saved_ms: None,
        }
    }

    #[test]
    fn what_services_are_built_on_comes_first() {
        let plan = [
            planned("os", Action::Reuse, &[]),
            planned("base", Action::Build, &["os"]),
            planned("runtime", Action::Build, &["base"]),
            planned("api", Action::Build, &["runtime"]),
            planned("web", Action::Build, &["os"]),
            planned("docs", Action::Retag, &[]),
            planned("old", Action::Reuse, &["base"]),
        ];
        let matrix = Matrix::of(&plan, GITHUB_JOBS);
        assert_eq!((matrix.due, matrix.bases), (true, vec!["base".to_owned(), "runtime".to_owned()]));
        let jobs: Vec<(&str, &str)> = matrix.jobs.iter().map(|job| (&*job.name, &*job.services)).collect();
        assert_eq!((jobs, matrix.retag), (vec![("api", "api"), ("web", "web")], vec!["docs".to_owned()]));
        assert_eq!(Matrix::of(&plan[..1], GITHUB_JOBS), Matrix::default());
    }

    #[test]
    fn every_service_is_in_one_job_and_jobs_are_never_too_many() {
        for (count, limit) in [(1, 1), (255, 256), (256, 256), (257, 256), (1_000, 256), (1_000, 1), (7, 3)] {
            let plan: Vec<_> = (0..count).map(|n| planned(&format!("s{n}"), Action::Build, &[])).collect();
            let matrix = Matrix::of(&plan, limit);
            assert!(!matrix.jobs.is_empty() && matrix.jobs.len() <= limit, "{count} in {}", matrix.jobs.len());
            let all: Vec<&str> = matrix.jobs.iter().flat_map(|job| job.services.split(' ')).collect();
            assert_eq!(all, plan.iter().map(|one| one.service.as_str()).collect::<Vec<_>>());
        }
        let seven: Vec<_> = (0..7).map(|n| planned(&format!("s{n}"), Action::Build, &[])).collect();
        let jobs: Vec<String> = Matrix::of(&seven, 3).jobs.into_iter().map(|job| job.name).collect();
        assert_eq!(jobs, ["s0 +2", "s3 +2", "s6"]);
    }
}
