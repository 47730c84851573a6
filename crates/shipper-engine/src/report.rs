//! Reading the records of runs for reports. Rendering is `shipper-report`'s.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use shipper_report::{Run, Stats, Summary};

use crate::record::{record_files, write_gitignore};
use crate::{Directories, Error, Options};

/// How many runs a trend has.
const TREND: usize = 20;
/// The longest record that is read, in bytes. What is behind it counts as lost.
const LIMIT: u64 = 32 << 20;

/// A run and the runs before it.
#[derive(Debug, Clone)]
pub struct RecordedRun {
    /// The run.
    pub run: Run,
    /// Where its record is.
    pub path: PathBuf,
    /// The last 20 runs up to it, oldest first, itself included.
    pub history: Vec<Summary>,
}

/// Reads the record of a run: of the last one, of the one whose name begins with `run`, or, where `run` is the path of a
/// file, what is in that file.
///
/// The configuration is not read: a run can be looked at whatever became of it.
///
/// # Errors
/// [`Error::NoRun`] where there is none, [`Error::Read`] where it can not be read.
pub fn recorded_run(options: &Options, run: Option<&str>) -> Result<RecordedRun, Error> {
    if let Some(file) = run.filter(|run| run.ends_with(".jsonl") || run.contains(['/', '\\'])) {
        let path = options.directory.join(file);
        let run = read(&path)?;
        let history = vec![run.summary(file)];
        return Ok(RecordedRun { run, path, history });
    }
    let runs = Directories::of(options)?.local.join("runs");
    let files = record_files(&runs);
    let last = match run {
        None => files.len().checked_sub(1),
        Some(wanted) => match files.iter().filter(|file| name(file).starts_with(wanted)).count() {
            1 => files.iter().position(|file| name(file).starts_with(wanted)),
            0 => None,
            several => return Err(Error::SeveralRuns { run: wanted.to_owned(), several }),
        },
    };
    let last = last.ok_or_else(|| Error::NoRun { run: run.map(str::to_owned), directory: runs })?;
    let path = files[last].clone();
    let run = read(&path)?;
    let mut history = Vec::new();
    for file in &files[(last + 1).saturating_sub(TREND)..last] {
        // One that went away meanwhile, or can not be read, is not missed.
        history.extend(read(file).ok().map(|run| run.summary(&name(file))));
    }
    history.push(run.summary(&name(&path)));
    Ok(RecordedRun { run, path, history })
}

/// Figures over the last `last` recorded runs of this checkout, over all where no number is given. Records that can not be
/// read are left out.
///
/// # Errors
/// [`Error::NoRun`] where there is none.
pub fn stats(options: &Options, last: Option<usize>) -> Result<Stats, Error> {
    let runs = Directories::of(options)?.local.join("runs");
    let files = record_files(&runs);
    let first = files.len().saturating_sub(last.unwrap_or(usize::MAX));
    let stats = Stats::of(files[first..].iter().filter_map(|file| read(file).ok()));
    if stats.runs == 0 { Err(Error::NoRun { run: None, directory: runs }) } else { Ok(stats) }
}

/// Where a report goes that was not asked for elsewhere: `.shipper/report.html`, which git does not see.
///
/// # Errors
/// [`Error::Read`] where there is no such project, [`Error::Write`] where the directory can not be made.
pub fn report_file(options: &Options) -> Result<PathBuf, Error> {
    let local = Directories::of(options)?.local;
    write_gitignore(&local).map_err(|source| Error::Write { path: local.clone(), source })?;
    Ok(local.join("report.html"))
}

fn name(file: &Path) -> String {
    file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn read(path: &Path) -> Result<Run, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is not a regular file")));
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(LIMIT).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Run::parse(&String::from_utf8_lossy(&bytes)))
}
