//! Run records: the events of each run in `.shipper/runs/<run>.jsonl`, and what is learnt from the last of them.
//!
//! They decide nothing. Missing, damaged or foreign records cost estimates, never correctness.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use shipper_report::{Action, Event, Outcome, Record};

use crate::events::EventSink;

/// How many records are kept.
const KEPT: usize = 100;
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
        let mut old = record_files(&runs);
        for path in old.drain(..old.len().saturating_sub(KEPT - 1)) {
            let _ = fs::remove_file(path);
        }
        Ok(Self { file: Mutex::new(File::create_new(runs.join(format!("{run}.jsonl")))?) })
    }
}

impl EventSink for Recorder {
    fn emit(&self, record: &Record) {
        // Progress is for the eyes; a record keeps what lasts.
        if matches!(record.event, Event::ActionProgress { .. }) {
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

/// Record files, oldest first: run names begin with their time.
fn record_files(runs: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(runs).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ext| ext == "jsonl")).collect();
    files.sort();
    files
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
        let Ok(file) = File::open(&path) else { continue };
        let mut builds = false;
        for line in BufReader::new(file.take(LIMIT)).lines().map_while(Result::ok) {
            let Ok(record) = serde_json::from_str::<Record>(&line) else { continue };
            if let Event::ActionFinished { service, action: Action::Build, outcome: Outcome::Ok, duration_ms, .. } =
                record.event
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

#[cfg(test)]
mod tests {
    use super::*;

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
