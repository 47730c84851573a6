//! A run as its record tells it: read from the lines of `.shipper/runs/<run>.jsonl`, or of `ship --json`.
//!
//! A record may end anywhere, hold lines that are no events, or events of a newer version: what can be read is told, and how
//! much could not be.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{Action, BlobCounts, Event, Name, Outcome, PhaseTime, PlannedService, Reason, Record, ShippedImage};

/// One run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Run {
    /// Identifier of the run; absent where the record's beginning is lost.
    pub run: Option<String>,
    /// When it began, RFC 3339 in UTC.
    pub time: Option<String>,
    /// Version of shipper that wrote the record.
    pub version: Option<String>,
    /// The command.
    pub command: Option<String>,
    /// The project's name.
    pub project: Option<String>,
    /// The checked-out commit.
    pub commit: Option<String>,
    /// The branch.
    pub branch: Option<String>,
    /// When the plan stood, in milliseconds since the run began.
    pub planned_ms: Option<u64>,
    /// Services, in the order of the plan; then those of which only something else is told.
    pub services: Vec<ServiceRun>,
    /// Warnings in the order in which they were given: service, text.
    pub warnings: Vec<(Option<String>, String)>,
    /// Errors in the order in which they happened.
    pub failures: Vec<Failed>,
    /// How the run ended; absent where the record has no end.
    pub end: Option<End>,
    /// Milliseconds from the beginning to the last event.
    pub elapsed_ms: u64,
    /// Lines that are no events.
    pub unreadable: usize,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct End {
    /// How it ended.
    pub outcome: Outcome,
    /// What the process returned.
    pub exit_code: u8,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Recorded build times of what was not built, in milliseconds.
    pub saved_ms: u64,
}

/// An error of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failed {
    /// The service, where it is about one.
    pub service: Option<String>,
    /// `cannot ...`, then the causes.
    pub chain: Vec<String>,
    /// What the user can do.
    pub hint: Option<String>,
    /// The last lines of the log.
    pub log_tail: Vec<String>,
}

/// One service of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ServiceRun {
    /// Its name.
    pub service: String,
    /// What was planned.
    pub action: Option<Action>,
    /// Why, most telling first.
    pub reasons: Vec<Reason>,
    /// The build key.
    pub key: Option<String>,
    /// The context hash.
    pub context: Option<String>,
    /// Entries of the context.
    pub files: u64,
    /// Bytes of the context.
    pub context_bytes: u64,
    /// Platforms.
    pub platforms: Vec<String>,
    /// Services that it is built on.
    pub needs: Vec<String>,
    /// Digest of the image, where there is one.
    pub digest: Option<String>,
    /// `repository:tag@digest`, where the run ended with one.
    pub reference: Option<String>,
    /// Names besides the identity.
    pub names: Vec<Name>,
    /// Sum of the compressed layers in bytes; 0 where nothing was built.
    pub size: u64,
    /// What became of its blobs.
    pub blobs: Option<BlobCounts>,
    /// Its phases.
    pub phases: Vec<PhaseTime>,
    /// When work on it began, in milliseconds since the run began; absent where none did.
    pub start_ms: Option<u64>,
    /// How long the work took, in milliseconds; absent where it did not end.
    pub duration_ms: Option<u64>,
    /// How the work ended; absent where there was none or it did not end.
    pub outcome: Option<Outcome>,
    /// What not building it saved, in milliseconds.
    pub saved_ms: Option<u64>,
}

impl ServiceRun {
    /// When work on it ended, in milliseconds since the run began.
    #[must_use]
    pub fn end_ms(&self) -> Option<u64> {
        Some(self.start_ms?.saturating_add(self.duration_ms?))
    }

    /// The image's digest or reference, the digest being enough to pull.
    #[must_use]
    pub fn image(&self) -> Option<&str> {
        self.reference.as_deref().or(self.digest.as_deref())
    }
}

/// Totals of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Totals {
    /// Services that were built.
    pub built: usize,
    /// Services whose image got a name.
    pub retagged: usize,
    /// Services whose image was there.
    pub reused: usize,
    /// Services that failed.
    pub failed: usize,
    /// Services that were not begun or not ended.
    pub unfinished: usize,
    /// What became of all blobs.
    pub blobs: BlobCounts,
    /// How long the run took, in milliseconds; up to the last event where the record has no end.
    pub duration_ms: u64,
    /// Recorded build times of what was not built, in milliseconds.
    pub saved_ms: u64,
}

impl Run {
    /// Reads a record. Whatever the text is, there is a run; see [`Run::is_whole`].
    ///
    /// ```
    /// use shipper_report::Run;
    ///
    /// let run = Run::parse("{\"time\":\"2026-11-20T09:00:00Z\",\"elapsed-ms\":7,\"event\":\"warning\",\"message\":\"m\"}\n{\"torn");
    /// assert_eq!((run.warnings.len(), run.unreadable, run.is_whole()), (1, 1, false));
    /// ```
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut run = Self::default();
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            match serde_json::from_str::<Record>(line) {
                Ok(record) => run.take(record, &mut known),
                Err(_) => run.unreadable += 1,
            }
        }
        run
    }

    /// Whether the record has its beginning and its end and nothing in it was unreadable.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.run.is_some() && self.end.is_some() && self.unreadable == 0
    }

    /// What is wrong with the record, as a sentence; `None` where it is whole.
    #[must_use]
    pub fn damage(&self) -> Option<String> {
        if self.is_whole() {
            return None;
        }
        let mut parts = Vec::new();
        if self.run.is_none() {
            parts.push("its beginning is lost".to_owned());
        }
        if self.end.is_none() {
            parts.push("it has no end: the run was killed, or goes on".to_owned());
        }
        match self.unreadable {
            0 => {}
            1 => parts.push("1 line is no event".to_owned()),
            lines => parts.push(format!("{lines} lines are no events")),
        }
        Some(format!("The record is not whole: {}. What it tells is shown.", parts.join("; ")))
    }

    /// Totals over all services.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for service in &self.services {
            match (service.outcome, service.action) {
                (Some(Outcome::Failed), _) => totals.failed += 1,
                (None | Some(Outcome::Ok), Some(Action::Reuse)) => totals.reused += 1,
                (Some(Outcome::Ok), Some(Action::Retag)) => totals.retagged += 1,
                (Some(Outcome::Ok), _) => totals.built += 1,
                (None | Some(Outcome::Skipped), _) => totals.unfinished += 1,
            }
            if let Some(blobs) = &service.blobs {
                totals.blobs.add(blobs);
            }
        }
        totals.duration_ms = self.end.as_ref().map_or(self.elapsed_ms, |end| end.duration_ms);
        totals.saved_ms = self.end.as_ref().map_or_else(
            || self.services.iter().filter_map(|service| service.saved_ms).fold(0, u64::saturating_add),
            |end| end.saved_ms,
        );
        totals
    }

    /// Positions in [`Run::services`] of what the run's duration depended on, first to last: from the work that ended last,
    /// back over what it waited for, which is a service that it is built on or else the work whose end made room for it.
    #[must_use]
    pub fn critical_path(&self) -> Vec<usize> {
        let ended = |position: &usize| self.services[*position].end_ms();
        let last = (0..self.services.len()).filter(|position| ended(position).is_some()).max_by_key(ended);
        let mut path: Vec<usize> = last.into_iter().collect();
        while let Some(start) = path.last().and_then(|position| self.services[*position].start_ms) {
            let now = &self.services[path[path.len() - 1]];
            let before = |position: &usize| ended(position).is_some_and(|end| end <= start) && !path.contains(position);
            let all = || (0..self.services.len()).filter(before);
            let need = all().filter(|position| now.needs.contains(&self.services[*position].service)).max_by_key(ended);
            // Work that could have begun with the plan waited for nothing.
            let waited = start > self.planned_ms.unwrap_or(0).saturating_add(SLACK_MS);
            let room = all().filter(|_| waited).max_by_key(ended);
            let Some(previous) = need.or(room) else { break };
            path.push(previous);
        }
        path.reverse();
        path
    }

    fn service(&mut self, name: &str, known: &mut BTreeMap<String, usize>) -> &mut ServiceRun {
        let next = self.services.len();
        let position = *known.entry(name.to_owned()).or_insert(next);
        if position == next {
            self.services.push(ServiceRun { service: name.to_owned(), ..ServiceRun::default() });
        }
        &mut self.services[position]
    }

    fn take(&mut self, record: Record, known: &mut BTreeMap<String, usize>) {
        self.elapsed_ms = self.elapsed_ms.max(record.elapsed_ms);
        match record.event {
            Event::RunStarted { version, run, command, project, commit, branch, .. } => {
                (self.run, self.version, self.command) = (Some(run), Some(version), Some(command));
                (self.project, self.commit, self.branch, self.time) = (project, commit, branch, Some(record.time));
            }
            Event::ContextHashed { service, context, files, bytes } => {
                let service = self.service(&service, known);
                (service.context, service.files, service.context_bytes) = (Some(context), files, bytes);
            }
            Event::PlanReady { services } => {
                self.planned_ms = Some(record.elapsed_ms);
                self.plan(services, known);
            }
            Event::ActionStarted { service, action } => {
                let service = self.service(&service, known);
                (service.action, service.start_ms) = (Some(action), Some(record.elapsed_ms));
            }
            Event::ActionFinished {
                service, action, outcome, digest, size, names, blobs, phases, duration_ms, ..
            } => {
                let service = self.service(&service, known);
                if outcome != Outcome::Skipped && service.start_ms.is_none() {
                    service.start_ms = Some(record.elapsed_ms.saturating_sub(duration_ms));
                }
                (service.action, service.outcome, service.size) = (Some(action), Some(outcome), size);
                service.digest = digest.or(service.digest.take());
                service.duration_ms = (outcome != Outcome::Skipped).then_some(duration_ms);
                (service.names, service.blobs, service.phases) = (names, blobs, phases);
            }
            Event::Warning { service, message } => self.warnings.push((service, message)),
            Event::Error { service, chain, hint, log_tail, .. } => {
                self.failures.push(Failed { service, chain, hint, log_tail });
            }
            Event::RunFinished { outcome, exit_code, images, duration_ms, saved_ms } => {
                self.end = Some(End { outcome, exit_code, duration_ms, saved_ms });
                self.images(images, known);
            }
            Event::ActionProgress { .. }
            | Event::BuildMeasured { .. }
            | Event::CacheChosen { .. }
            | Event::CacheExported { .. }
            | Event::ImageCopied { .. }
            | Event::DeployPlanned { .. }
            | Event::DeployStarted { .. }
            | Event::StepStarted { .. }
            | Event::StepOutput { .. }
            | Event::StepFinished { .. }
            | Event::DeployFinished { .. }
            | Event::Unknown => {}
        }
    }

    /// Takes over a plan, whose order the services get.
    fn plan(&mut self, planned: Vec<PlannedService>, known: &mut BTreeMap<String, usize>) {
        let mut earlier = std::mem::take(&mut self.services);
        known.clear();
        for one in planned {
            let hashed = earlier.iter().position(|service| service.service == one.service);
            let hashed = hashed.map(|position| earlier.remove(position)).unwrap_or_default();
            known.insert(one.service.clone(), self.services.len());
            self.services.push(ServiceRun {
                action: Some(one.action),
                reasons: one.reasons,
                key: Some(one.key),
                context: Some(one.context),
                platforms: one.platforms.into_iter().map(|platform| platform.platform).collect(),
                needs: one.needs,
                digest: one.image.and_then(|image| Some(image.rsplit_once('@')?.1.to_owned())),
                saved_ms: one.saved_ms,
                service: one.service,
                ..hashed
            });
        }
        for service in earlier {
            known.insert(service.service.clone(), self.services.len());
            self.services.push(service);
        }
    }

    fn images(&mut self, images: BTreeMap<String, ShippedImage>, known: &mut BTreeMap<String, usize>) {
        for (name, image) in images {
            let service = self.service(&name, known);
            (service.reference, service.digest) = (Some(image.reference), Some(image.digest));
            service.action = service.action.or(Some(image.action));
            if service.names.is_empty() {
                service.names = image.names;
            }
        }
    }
}

/// Milliseconds between the plan and the first work that are not waiting.
const SLACK_MS: u64 = 50;

#[cfg(test)]
mod tests;
