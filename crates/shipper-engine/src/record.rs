//! Run records: the events of each run in `.shipper/runs/<run>.jsonl`, and what is learnt from the last of them.
//!
//! They decide nothing. Missing, damaged or foreign records cost estimates, never correctness.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use shipper_report::{Action, Event, Outcome, Record};

use crate::events::EventSink;

/// How many records are kept.
const KEPT: usize = 100;
/// How many bytes of records are kept.
const KEPT_BYTES: u64 = 64 << 20;
/// How long records are kept, in days.
const KEPT_DAYS: i64 = 90;
/// How many are kept however old they are, so that estimates and trends outlive a pause or a wrong clock.
const KEPT_ALWAYS: usize = 20;
/// How many of the newest records with builds estimates are taken from.
const CONSULTED: usize = 20;
/// The longest record that is read, in bytes.
const LIMIT: u64 = 4 << 20;

/// Writes the records of one run.
pub(crate) struct Recorder {
    file: Mutex<File>,
}

impl Recorder {
    /// Creates the record of run `run` below `directory` (`.shipper`), and removes the oldest above the limit.
    ///
    /// # Errors
    /// Where the directory or the file can not be written.
    pub(crate) fn create(directory: &Path, run: &str) -> std::io::Result<Self> {
        let runs = directory.join("runs");
        fs::create_dir_all(&runs)?;
        write_gitignore(directory)?;
        for path in superfluous(&record_files(&runs), Timestamp::now()) {
            let _ = fs::remove_file(path);
        }
        Ok(Self { file: Mutex::new(File::create_new(runs.join(format!("{run}.jsonl")))?) })
    }
}

impl EventSink for Recorder {
    fn emit(&self, record: &Record) {
        // Progress is for the eyes; a record keeps what lasts. What a user's command writes may be a secret.
        if matches!(record.event, Event::ActionProgress { .. } | Event::StepOutput { .. }) {
            return;
        }
        if let Ok(mut line) = serde_json::to_vec(record) {
            line.push(b'\n');
            let _ = self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line);
        }
    }
}

/// Keeps git from seeing `.shipper`, whatever the repository's own ignore rules say.
pub(crate) fn write_gitignore(directory: &Path) -> std::io::Result<()> {
    fs::create_dir_all(directory)?;
    let path = directory.join(".gitignore");
    if path.exists() { Ok(()) } else { fs::write(path, "*\n") }
}

/// Which of these records go before a new one is written: what is beyond the number, the bytes or the age that are kept.
fn superfluous(files: &[PathBuf], now: Timestamp) -> &[PathBuf] {
    let oldest = now.checked_sub(SignedDuration::from_hours(KEPT_DAYS * 24)).unwrap_or(now);
    let oldest: String = crate::events::stamp(oldest).chars().filter(char::is_ascii_digit).collect();
    let (mut kept, mut bytes) = (0, 0);
    for path in files.iter().rev() {
        bytes += fs::symlink_metadata(path).map_or(0, |metadata| metadata.len());
        // Run names begin with their time.
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let is_time = name.len() > oldest.len() && name.as_bytes()[..oldest.len()].iter().all(u8::is_ascii_digit);
        let is_old = kept >= KEPT_ALWAYS && is_time && name < oldest;
        if kept + 1 >= KEPT || bytes > KEPT_BYTES || is_old {
            break;
        }
        kept += 1;
    }
    &files[..files.len() - kept]
}

/// Record files, oldest first: run names begin with their time.
pub(crate) fn record_files(runs: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(runs).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ext| ext == "jsonl")).collect();
    files.sort();
    files
}

/// The events of a record, as far as it can be read.
fn events(path: &Path) -> impl Iterator<Item = Event> {
    let file = File::open(path).ok().map(|file| BufReader::new(file.take(LIMIT)));
    let lines = file.into_iter().flat_map(|file| file.lines().map_while(Result::ok));
    lines.filter_map(|line| Some(serde_json::from_str::<Record>(&line).ok()?.event))
}

/// The median duration in milliseconds of the last successful builds, by service.
#[must_use]
pub(crate) fn estimates(directory: &Path) -> BTreeMap<String, u64> {
    let mut durations: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut consulted = 0;
    for path in record_files(&directory.join("runs")).into_iter().rev() {
        if consulted == CONSULTED {
            break;
        }
        let mut builds = false;
        for event in events(&path) {
            if let Event::ActionFinished { service, action: Action::Build, outcome: Outcome::Ok, duration_ms, .. } =
                event
            {
                durations.entry(service).or_default().push(duration_ms);
                builds = true;
            }
        }
        // Runs that found nothing to do say nothing about how long builds take.
        consulted += usize::from(builds);
    }
    durations
        .into_iter()
        .map(|(service, mut all)| {
            all.sort_unstable();
            let median = all[all.len() / 2];
            (service, median)
        })
        .collect()
}

/// How long each step of a service's Dockerfile took when it was last run, in milliseconds, by its text; the newest record
/// with a build counts, and older ones for the steps that were cached in it.
#[must_use]
pub(crate) fn step_times(directory: &Path, service: &str) -> BTreeMap<String, u64> {
    let mut took: BTreeMap<String, u64> = BTreeMap::new();
    let mut current: Option<Vec<String>> = None;
    for path in record_files(&directory.join("runs")).into_iter().rev() {
        for event in events(&path) {
            let Event::BuildMeasured { service: of, steps, .. } = event else { continue };
            if of != service {
                continue;
            }
            // Steps that the Dockerfile no longer has are no part of the build.
            let now = current.get_or_insert_with(|| steps.iter().map(|step| step.instruction.clone()).collect());
            for step in steps.iter().filter(|step| !step.cached && now.contains(&step.instruction)) {
                took.entry(step.instruction.clone()).or_insert(step.duration_ms);
            }
        }
    }
    took
}

/// What the records say about a layer cache.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct CacheHistory {
    /// How long it was written the last time, in milliseconds.
    pub(crate) last_export_ms: Option<u64>,
    /// What each of the last runs that read it saved, in milliseconds, the newest first: the steps that it did not have to
    /// repeat, by the time that they took when they were last run.
    pub(crate) saved: Vec<u64>,
}

impl CacheHistory {
    /// The median of what was saved; `None` before the first run.
    pub(crate) fn saved_ms(&self) -> Option<u64> {
        let mut saved = self.saved.clone();
        saved.sort_unstable();
        saved.get(saved.len() / 2).copied()
    }
}

/// How many of the newest runs that read a cache are looked at.
const WEIGHED: usize = 5;

/// The history of the cache of one service and platform.
#[must_use]
pub(crate) fn cache_history(directory: &Path, service: &str, platform: &str) -> CacheHistory {
    let mut history = CacheHistory::default();
    let mut took: BTreeMap<String, u64> = BTreeMap::new();
    let mut cached: Vec<Vec<String>> = Vec::new();
    for path in record_files(&directory.join("runs")).into_iter().rev() {
        let mut reads = false;
        for event in events(&path) {
            match event {
                Event::CacheChosen { service: of, platform: on, from, .. } if of == service && on == platform => {
                    reads = !from.is_empty();
                }
                Event::CacheExported { service: of, platform: on, outcome: Outcome::Ok, duration_ms, .. }
                    if of == service && on == platform =>
                {
                    history.last_export_ms.get_or_insert(duration_ms);
                }
                Event::BuildMeasured { service: of, platform: on, steps, .. } if of == service && on == platform => {
                    let (hits, ran): (Vec<_>, Vec<_>) = steps.into_iter().partition(|step| step.cached);
                    for step in ran {
                        took.entry(step.instruction).or_insert(step.duration_ms);
                    }
                    if reads && cached.len() < WEIGHED {
                        cached.push(hits.into_iter().map(|step| step.instruction).collect());
                    }
                }
                _ => {}
            }
        }
    }
    let time = |steps: &Vec<String>| steps.iter().filter_map(|step| took.get(step)).sum();
    history.saved = cached.iter().map(time).collect();
    history
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_saved_the_time_of_the_steps_that_it_had() {
        use shipper_report::MeasuredStep;
        let dir = tempfile::tempdir().expect("a directory");
        let step = |instruction: &str, cached, duration_ms| MeasuredStep {
            instruction: instruction.to_owned(),
            stage: None,
            line: None,
            cached,
            duration_ms,
        };
        let run = |name: &str, from: &[&str], steps: Vec<MeasuredStep>, export_ms: u64| {
            let recorder = Recorder::create(dir.path(), name).expect("writes");
            let (service, platform) = ("api".to_owned(), "linux/amd64".to_owned());
            let emit = |event| recorder.emit(&Record { time: String::new(), elapsed_ms: 0, event });
            let from = from.iter().map(|one| (*one).to_owned()).collect();
            emit(Event::CacheChosen {
                service: service.clone(),
                platform: platform.clone(),
                from,
                left_out: Vec::new(),
            });
            let (builder, layers) = ("buildx".to_owned(), Vec::new());
            let (of, on) = (service.clone(), platform.clone());
            emit(Event::BuildMeasured { service: of, platform: on, builder, steps, layers, duration_ms: 1 });
            let outcome = if export_ms > 0 { Outcome::Ok } else { Outcome::Skipped };
            emit(Event::CacheExported { service, platform, to: None, outcome, why: None, duration_ms: export_ms });
        };
        assert_eq!(cache_history(dir.path(), "api", "linux/amd64"), CacheHistory::default());
        run("1", &[], vec![step("RUN a", false, 900), step("RUN b", false, 100)], 70);
        run("2", &["r"], vec![step("RUN a", true, 1), step("RUN b", false, 200)], 80);
        run("3", &["r"], vec![step("RUN a", true, 1), step("RUN b", true, 1)], 0);
        let history = cache_history(dir.path(), "api", "linux/amd64");
        assert_eq!((history.last_export_ms, history.saved.as_slice()), (Some(80), &[1100, 900][..]));
        assert_eq!(history.saved_ms(), Some(1100));
        assert_eq!(cache_history(dir.path(), "api", "linux/arm64"), CacheHistory::default());
    }

    fn finished(duration_ms: u64, outcome: Outcome) -> Record {
        Record {
            time: String::new(),
            elapsed_ms: 0,
            event: Event::ActionFinished {
                service: "api".to_owned(),
                action: Action::Build,
                outcome,
                digest: None,
                size: 0,
                names: Vec::new(),
                uploaded: 0,
                blobs: None,
                phases: Vec::new(),
                duration_ms,
            },
        }
    }

    #[test]
    fn the_estimate_is_the_median_of_successful_builds() {
        let dir = tempfile::tempdir().expect("a directory");
        for (run, duration) in [("1", 10), ("2", 1000), ("3", 30)] {
            let recorder = Recorder::create(dir.path(), run).expect("writes");
            recorder.emit(&finished(duration, Outcome::Ok));
            recorder.emit(&finished(1, Outcome::Failed));
        }
        for run in 4..40 {
            drop(Recorder::create(dir.path(), &run.to_string()).expect("writes"));
        }
        fs::write(dir.path().join("runs/4.jsonl"), "{\"torn").expect("writes");
        assert_eq!(estimates(dir.path()), [("api".to_owned(), 30)].into());
        assert_eq!(fs::read_to_string(dir.path().join(".gitignore")).expect("reads"), "*\n");
    }

    #[test]
    fn records_go_by_bytes_and_by_age_but_the_newest_stay() {
        let dir = tempfile::tempdir().expect("a directory");
        let now: Timestamp = "2026-11-27T12:00:00Z".parse().expect("a time");
        let files = |days: &[&str], size: u64| -> Vec<PathBuf> {
            let named = days.iter().enumerate().map(|(at, day)| {
                let path = dir.path().join(format!("{day}120000000-{at:03}.jsonl"));
                File::create(&path).and_then(|file| file.set_len(size)).expect("writes");
                path
            });
            named.collect()
        };
        let old = files(&["20250101"; 25], 10);
        assert_eq!(superfluous(&old, now).len(), 5, "twenty stay however old they are");
        let young = files(&["20261120"; 25], 10);
        assert!(superfluous(&young, now).is_empty());
        let both: Vec<PathBuf> = old.iter().chain(&young).cloned().collect();
        assert_eq!(superfluous(&both, now), old);
        let large = files(&["20261126"; 3], KEPT_BYTES / 2);
        assert_eq!(superfluous(&large, now), &large[..1]);
    }

    #[test]
    fn only_the_newest_records_are_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        for run in 0..KEPT + 5 {
            drop(Recorder::create(dir.path(), &format!("{run:05}")).expect("writes"));
        }
        let files = record_files(&dir.path().join("runs"));
        assert_eq!(files.len(), KEPT);
        assert!(files[0].ends_with("00005.jsonl"));
    }
}
