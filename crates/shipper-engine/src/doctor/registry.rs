//! Registries: whether they answer, know the user, and let images be read and written; their clocks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use shipper_oci::{Error as OciError, PushRight, Repository, RepositoryName, Standing, Store};
use shipper_plan::{Origin, Setting};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::machine::writable;
use super::{Check, CheckVerdict};
use crate::registries::{Opened, open, open_named};
use crate::{Error, Project};

/// How many repositories are asked at the same time.
const AT_ONCE: usize = 8;
/// A clock that differs by more is worth a word, in seconds.
const OFF: i64 = 60;
/// Signatures of requests to AWS are refused beyond this (AWS General Reference, "Elements of an AWS API request signature").
const REFUSED: i64 = 300;

/// A registry and the repositories of it that are used.
pub(super) struct Place {
    /// As the setting has it.
    pub(super) text: String,
    pub(super) store: Store,
    pub(super) repositories: BTreeSet<RepositoryName>,
}

pub(super) async fn checks(project: &Project, now: SystemTime) -> Vec<Check> {
    let started = Instant::now();
    let (places, mut checks) = places(project).await;
    for place in &places {
        let Some(host) = place.store.host() else {
            checks.push(directory(place));
            continue;
        };
        let (found, clock) = standings(place, now, started).await;
        checks.extend(found);
        let is_ecr = is_ecr(&place.text) || is_ecr(host.as_str());
        checks.extend(clock.map(|seconds| clock_check(host.as_str(), seconds, is_ecr)));
        #[cfg(feature = "aws")]
        checks.extend(super::ecr::checks(project, place).await);
    }
    checks
}

/// Every registry that images of the project go to, each once, by its name.
async fn places(project: &Project) -> (Vec<Place>, Vec<Check>) {
    let settings = &project.settings;
    let mut wanted: Vec<(&str, Option<Setting<String>>)> = vec![(settings.registry.value.as_str(), None)];
    wanted.extend(settings.untrusted.as_ref().map(|setting| (setting.value.as_str(), Some(setting.clone()))));
    if settings.registry.origin != Origin::Flag {
        wanted.extend(project.config.env.values().filter_map(|environment| {
            let value = environment.registry.as_ref()?;
            Some((value.as_str(), Some(Setting { value: value.clone(), origin: Origin::File })))
        }));
    }
    let (mut places, mut checks): (BTreeMap<String, Place>, Vec<Check>) = (BTreeMap::new(), Vec::new());
    for (text, setting) in wanted {
        let opened = match &setting {
            None => open(project, None).await,
            Some(setting) => open_named(project, setting).await,
        };
        match opened {
            Ok(opened) => {
                let repositories = repositories(project, &opened);
                let place = Place { text: text.to_owned(), repositories: BTreeSet::new(), store: opened.store };
                places.entry(place.store.describe()).or_insert(place).repositories.extend(repositories);
            }
            Err(error) => checks.push(Check::failed(text, "registry", &error)),
        }
    }
    (places.into_values().collect(), checks)
}

/// The repositories of services, and the one that deployments are written down in.
fn repositories(project: &Project, opened: &Opened) -> Vec<RepositoryName> {
    let names = project.services.values().map(|service| opened.repository.as_ref().unwrap_or(&service.repository));
    let records = (!project.config.env.is_empty()).then_some(shipper_deploy::REPOSITORY);
    names.map(String::as_str).chain(records).filter_map(|name| name.parse().ok()).collect()
}

fn directory(place: &Place) -> Check {
    let path = place.store.describe();
    let path = std::path::Path::new(path.strip_prefix("oci:").unwrap_or(&path));
    writable(place.store.describe(), "registry", path, "name another registry")
}

/// What each repository says, and by how many seconds the registry's clock is behind this one.
async fn standings(place: &Place, now: SystemTime, started: Instant) -> (Vec<Check>, Option<i64>) {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut asked = JoinSet::new();
    for name in &place.repositories {
        let (repository, turns) = (place.store.repository(name), Arc::clone(&turns));
        asked.spawn(async move {
            let _turn = turns.acquire().await.expect("because it is not closed");
            let standing = repository.standing().await;
            (repository, standing, started.elapsed())
        });
    }
    let (mut checks, mut clock) = (Vec::new(), None);
    while let Some(answer) = asked.join_next().await {
        let (repository, standing, after) = answer.expect("because asking does not panic and is not cancelled");
        if let Ok(Some(Standing { date: Some(date), .. })) = &standing {
            clock = clock.or_else(|| Some(seconds(now + after)? - parsed(date)?));
        }
        checks.push(check(&repository, standing));
    }
    checks.sort_by(|a: &Check, b: &Check| a.subject.cmp(&b.subject));
    (checks, clock)
}

fn check(repository: &Repository, standing: shipper_oci::Result<Option<Standing>>) -> Check {
    let subject = repository.to_string();
    let check = |code, verdict, message: String| Check::new(subject.clone(), code, verdict, message);
    let standing = match standing {
        Ok(Some(standing)) => standing,
        Ok(None) => return check("pull", CheckVerdict::Fine, "it is a directory".to_owned()),
        Err(source) => {
            // What a registry answers is known; what it does not answer is not.
            let is_answer = matches!(source, OciError::Unauthorized { .. } | OciError::Denied { .. });
            let verdict = if is_answer { CheckVerdict::Broken } else { CheckVerdict::Unknown };
            let error = Error::Store { action: format!("read {subject}"), source };
            let failed = Check::failed(subject.clone(), "pull", &error);
            return Check { verdict, ..failed };
        }
    };
    match standing.push {
        PushRight::Refused(reason) => {
            let cure = "log in as somebody who may push here, or let the user do it".to_owned();
            check("push", CheckVerdict::Broken, format!("it can be read, but not written: {reason}")).cured_by(cure)
        }
        _ if !standing.exists => {
            let message = "it does not exist yet; many registries create it with the first push";
            check("push", CheckVerdict::Note, message.to_owned())
        }
        PushRight::Allowed => check("push", CheckVerdict::Fine, "it can be read and written".to_owned()),
        PushRight::Unknown(reason) => check(
            "push",
            CheckVerdict::Unknown,
            format!("it can be read; whether it can be written it does not say: {reason}"),
        ),
        _ => check("push", CheckVerdict::Unknown, "whether it can be written is not known".to_owned()),
    }
}

fn clock_check(host: &str, ahead: i64, is_ecr: bool) -> Check {
    let check = |verdict, message: String| Check::new(host, "clock", verdict, message);
    let by = shipper_report::duration(ahead.unsigned_abs().saturating_mul(1000));
    let direction = if ahead < 0 { "behind" } else { "ahead of" };
    let cure = "set the clock of this machine (NTP)".to_owned();
    if ahead.abs() <= OFF {
        check(CheckVerdict::Fine, "its clock and this machine's agree".to_owned())
    } else if is_ecr && ahead.abs() > REFUSED {
        let message = format!("this machine's clock is {by} {direction} the registry's: AWS refuses what is signed so");
        check(CheckVerdict::Broken, message).cured_by(cure)
    } else {
        let message =
            format!("this machine's clock is {by} {direction} the registry's: times in names and records are off");
        check(CheckVerdict::Note, message).cured_by(cure)
    }
}

fn is_ecr(text: &str) -> bool {
    text.split('/').next().is_some_and(|host| host.contains(".dkr.ecr"))
}

fn seconds(time: SystemTime) -> Option<i64> {
    i64::try_from(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs()).ok()
}

/// A header `Date` in seconds since the Unix epoch.
fn parsed(date: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(date).ok().map(|date| date.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_a_registry_is_read_as_it_is_written() {
        assert_eq!(parsed("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(parsed("soon"), None);
    }

    #[test]
    fn a_clock_that_is_off_breaks_what_is_signed() {
        let verdict = |ahead, is_ecr| clock_check("r.example", ahead, is_ecr).verdict;
        assert_eq!(verdict(-60, true), CheckVerdict::Fine);
        assert_eq!(verdict(61, true), CheckVerdict::Note);
        assert_eq!(verdict(-301, true), CheckVerdict::Broken);
        assert_eq!(verdict(86_400, false), CheckVerdict::Note);
    }
}
