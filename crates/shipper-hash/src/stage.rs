//! A private directory with exactly the files of a context: what a builder reads.
//!
//! Invariants. Every byte that is written was verified against the manifest while it was copied, so what was hashed is
//! what is built. Content that is already right is not touched and keeps its time; what changes gets a later one, as
//! build tools expect. Next to the directory lies a record of what was written; it is removed before the first change
//! and written last, so an interrupted call leaves a directory without a record. Without a record, and for every file
//! that does not look exactly as it was left, content is compared: the next call converges whatever happened.

mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use self::record::Record;
use crate::cache::Settled;
use crate::content::{digest_of, in_parallel};
use crate::fs::{FileType, Root, Stat, is_absent, stat_of};
use crate::path::{join, platform_path, split_parent};
use crate::{Context, Entry, Error, FileDigest, Kind};

/// By how much the time of a changed file is put after its old one, should the clock not have moved.
const LATER: Duration = Duration::from_millis(10);

/// What [`Context::stage`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct StageReport {
    /// Entries written, or given another mode.
    pub written: usize,
    /// Files and links removed.
    pub removed: usize,
    /// Entries that were right already.
    pub kept: usize,
    /// Content bytes written.
    pub bytes: u64,
}

/// What an entry needs.
#[derive(Clone, Copy, Debug)]
enum Action {
    /// Nothing: it looks as recorded.
    Keep(Stat),
    /// Nothing: its content is right, but it did not look as recorded.
    Confirm(Stat),
    /// Another mode.
    Mode,
    /// New content; the time of what it replaces.
    Write(Option<SystemTime>),
}

/// What is in a stage.
#[derive(Default)]
struct Present {
    /// Everything but directories.
    files: BTreeMap<Vec<u8>, Stat>,
    directories: BTreeSet<Vec<u8>>,
}

impl Context {
    /// Makes `directory` hold exactly this context: files with mode 0644 or 0755, links as they are, directories 0755.
    ///
    /// Whatever else is in the directory is removed. The caller sees to it that one call at a time uses a directory,
    /// and that nobody else writes there meanwhile. The record lies beside it, as `.<name>.stage-record`.
    ///
    /// # Errors
    /// [`Error::ChangedSinceHashed`] if a file is no longer what was hashed, [`Error::BadStage`] if the directory is
    /// a link, a file, or holds the tree itself, [`Error::Io`]. After an error the directory is not to be used; the
    /// next call makes it right.
    pub fn stage(&self, directory: &Path) -> Result<StageReport, Error> {
        let stage = Stage::open(self, directory)?;
        let present = stage.scan()?;
        let actions = stage.compare(&present)?;
        stage.apply(&present, actions)
    }
}

struct Stage<'a> {
    context: &'a Context,
    root: Root,
    record_path: PathBuf,
    record: Record,
}

impl<'a> Stage<'a> {
    fn open(context: &'a Context, directory: &Path) -> Result<Self, Error> {
        if !context.on_disk {
            return Err(Error::OnlyInCommit);
        }
        let bad = |reason| Error::BadStage { path: directory.to_owned(), reason };
        match std::fs::symlink_metadata(directory) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(bad("it is not a directory")),
            Err(error) if is_absent(&error) => {
                std::fs::create_dir_all(directory).map_err(|source| Error::io("create", directory, source))?;
            }
            Err(source) => return Err(Error::io("open", directory, source)),
        }
        make_accessible(directory)?;
        let root = Root::open(directory).map_err(|source| Error::io("open", directory, source))?;
        if context.root.path().starts_with(root.path()) {
            return Err(bad("it holds the tree itself"));
        }
        let mut name = std::ffi::OsString::from(".");
        name.push(root.path().file_name().ok_or_else(|| bad("it has no name"))?);
        name.push(".stage-record");
        let record_path = root.path().with_file_name(name);
        let record = Record::load(&record_path);
        Ok(Self { context, root, record_path, record })
    }

    /// Everything in the stage; directories are made accessible on the way.
    fn scan(&self) -> Result<Present, Error> {
        let mut present = Present::default();
        let mut waiting = vec![Vec::new()];
        while let Some(directory) = waiting.pop() {
            let path = self.path(&directory)?;
            let failed = |source| Error::io("list", &path, source);
            let opened = self.root.directory(&directory).map_err(failed)?;
            for (name, file_type) in opened.list().map_err(failed)? {
                let below = join(&directory, &name);
                let stat = opened.stat(&name).map_err(failed)?;
                if file_type == FileType::Directory {
                    if stat.mode != 0o755 {
                        make_accessible(&self.path(&below)?)?;
                    }
                    present.directories.insert(below.clone());
                    waiting.push(below);
                } else {
                    present.files.insert(below, stat);
                }
            }
        }
        Ok(present)
    }

    /// What each entry of the manifest needs, in their order.
    fn compare(&self, present: &Present) -> Result<Vec<Action>, Error> {
        let entries = self.context.manifest().entries();
        let actions: Vec<Mutex<Action>> = entries.iter().map(|_| Mutex::new(Action::Write(None))).collect();
        let items: Vec<(&Entry, &Mutex<Action>)> = entries.iter().zip(&actions).collect();
        in_parallel(&items, items.len(), |(entry, action), buffer| {
            let decided = self.decide(entry, present.files.get(entry.path.as_bytes()), buffer)?;
            *action.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = decided;
            Ok(())
        })?;
        let taken = |action: Mutex<Action>| action.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(actions.into_iter().map(taken).collect())
    }

    fn decide(&self, entry: &Entry, present: Option<&Stat>, buffer: &mut Vec<u8>) -> Result<Action, Error> {
        let Some(stat) = present else { return Ok(Action::Write(None)) };
        let path = entry.path.as_bytes();
        match (entry.kind, stat.file_type) {
            (Kind::File | Kind::Executable, FileType::File) => {
                let (right_mode, recorded) =
                    (stat.mode == mode(entry.kind), self.record.holds(path, stat, entry.digest));
                if !recorded && (stat.size != entry.size || self.digest(path, stat.size, buffer)? != Some(entry.digest))
                {
                    let (seconds, nanoseconds) = stat.modified;
                    let modified = u64::try_from(seconds)
                        .ok()
                        .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds)));
                    return Ok(Action::Write(modified));
                }
                Ok(match (right_mode, recorded) {
                    (false, _) => Action::Mode,
                    (true, true) => Action::Keep(*stat),
                    (true, false) => Action::Confirm(*stat),
                })
            }
            (Kind::Symlink, FileType::Symlink) => {
                let (parent, name) = split_parent(path);
                let directory = self.root.directory(parent.unwrap_or_default());
                let target = directory.and_then(|directory| directory.read_link(name));
                let target = target.map_err(|source| self.io("read", path, source))?;
                Ok(if FileDigest::of(&target) == entry.digest { Action::Keep(*stat) } else { Action::Write(None) })
            }
            _ => Ok(Action::Write(None)),
        }
    }

    /// The digest of a staged file; `None` if it cannot be read.
    fn digest(&self, path: &[u8], size: u64, buffer: &mut Vec<u8>) -> Result<Option<FileDigest>, Error> {
        let (parent, name) = split_parent(path);
        let opened = self.root.directory(parent.unwrap_or_default()).and_then(|directory| directory.open(name));
        match opened {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied || is_absent(&error) => Ok(None),
            Err(source) => Err(self.io("read", path, source)),
            Ok(mut file) => {
                let (digest, _) =
                    digest_of(&mut file, size, buffer, |_| Ok(())).map_err(|source| self.io("read", path, source))?;
                Ok(Some(digest))
            }
        }
    }

    fn apply(&self, present: &Present, actions: Vec<Action>) -> Result<StageReport, Error> {
        let entries = self.context.manifest().entries();
        let mut needed: BTreeSet<&[u8]> = BTreeSet::new();
        for entry in entries {
            let path = entry.path.as_bytes();
            needed.extend(path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]));
            if is_directory(entry.kind) {
                needed.insert(path);
            }
        }
        let is_wanted = |path: &[u8]| self.context.manifest().get(path).is_some_and(|entry| !is_directory(entry.kind));
        let surplus: Vec<&[u8]> = present.files.keys().map(Vec::as_slice).filter(|path| !is_wanted(path)).collect();
        let surplus_directories = present.directories.iter().filter(|path| !needed.contains(path.as_slice()));
        let new_directories = needed.iter().filter(|path| !present.directories.contains(**path));

        let mut report = StageReport { removed: surplus.len(), ..StageReport::default() };
        for (entry, action) in entries.iter().zip(&actions) {
            let kept = match action {
                Action::Keep(_) | Action::Confirm(_) => true,
                Action::Mode => false,
                Action::Write(_) => is_directory(entry.kind) && present.directories.contains(entry.path.as_bytes()),
            };
            report.kept += usize::from(kept);
            report.written += usize::from(!kept);
            if matches!(action, Action::Write(_)) {
                report.bytes += entry.size;
            }
        }
        let clean = report.written == 0 && surplus.is_empty();
        if !(clean && surplus_directories.clone().next().is_none() && new_directories.clone().next().is_none()) {
            self.forget_record()?;
        }
        for path in surplus {
            self.remove(path)?;
        }
        // A directory comes before what is in it, so backwards the innermost is first.
        for path in surplus_directories.rev() {
            let path = self.path(path)?;
            std::fs::remove_dir(&path).map_err(|source| Error::io("remove", &path, source))?;
        }
        for path in new_directories {
            let path = self.path(path)?;
            std::fs::create_dir(&path).map_err(|source| Error::io("create", &path, source))?;
            make_accessible(&path)?;
        }
        let stats = self.write(actions)?;
        let confirmed = stats.iter().flatten().any(|(_, fresh)| *fresh);
        if confirmed || !clean || !self.record.exists {
            let settled = Settled::probe(&self.root, Some(&self.record_path));
            let files = entries.iter().zip(&stats).filter_map(|(entry, stat)| Some((entry, &stat.as_ref()?.0)));
            Record::save(&self.record_path, files.filter(|(_, stat)| settled.holds(stat)))?;
        }
        Ok(report)
    }

    /// Carries out the actions; what each regular file looks like now, and whether the record does not know it so.
    fn write(&self, actions: Vec<Action>) -> Result<Vec<Option<(Stat, bool)>>, Error> {
        let entries = self.context.manifest().entries();
        let results: Vec<Mutex<Option<(Stat, bool)>>> = actions
            .iter()
            .map(|action| match action {
                Action::Keep(stat) => Mutex::new(Some((*stat, false))),
                Action::Confirm(stat) => Mutex::new(Some((*stat, true))),
                Action::Mode | Action::Write(_) => Mutex::new(None),
            })
            .collect();
        let is_work = |(entry, action): &(&Entry, Action)| {
            matches!(action, Action::Mode | Action::Write(_)) && !is_directory(entry.kind)
        };
        let work = entries.iter().zip(actions).zip(&results).filter(|(item, _)| is_work(item));
        let work: Vec<_> = work.map(|((entry, action), result)| (entry, action, result)).collect();
        in_parallel(&work, work.len(), |(entry, action, result), buffer| {
            let stat = match action {
                Action::Write(replaced) => self.write_entry(entry, *replaced, buffer)?,
                _ => Some(self.set_mode(entry)?),
            };
            *result.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = stat.map(|stat| (stat, true));
            Ok(())
        })?;
        let taken = |result: Mutex<_>| result.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(results.into_iter().map(taken).collect())
    }

    fn write_entry(
        &self,
        entry: &Entry,
        replaced: Option<SystemTime>,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Stat>, Error> {
        let path = entry.path.as_bytes();
        self.remove(path)?;
        let target = self.path(path)?;
        if entry.kind == Kind::Symlink {
            let text = self.context.link_target(entry)?;
            make_link(&text, &target).map_err(|source| Error::io("write", &target, source))?;
            return Ok(None);
        }
        let failed = |source| Error::io("write", &target, source);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode(entry.kind));
        let mut file = options.open(&target).map_err(failed)?;
        let written = self.context.copy(entry, buffer, |bytes| file.write_all(bytes));
        if written.is_err() {
            // Nothing that was not verified stays.
            let _ = std::fs::remove_file(&target);
        }
        written?;
        set_mode(&file, mode(entry.kind)).map_err(failed)?;
        let mut metadata = file.metadata().map_err(failed)?;
        if let (Some(replaced), Ok(modified)) = (replaced, metadata.modified())
            && modified <= replaced
        {
            file.set_modified(replaced + LATER).map_err(failed)?;
            metadata = file.metadata().map_err(failed)?;
        }
        Ok(Some(stat_of(&metadata)))
    }

    fn set_mode(&self, entry: &Entry) -> Result<Stat, Error> {
        let path = self.path(entry.path.as_bytes())?;
        let failed = |source| Error::io("write", &path, source);
        set_path_mode(&path, mode(entry.kind)).map_err(failed)?;
        Ok(stat_of(&std::fs::symlink_metadata(&path).map_err(failed)?))
    }

    fn remove(&self, path: &[u8]) -> Result<(), Error> {
        let path = self.path(path)?;
        match std::fs::remove_file(&path) {
            Err(error) if !is_absent(&error) => Err(Error::io("remove", &path, error)),
            _ => Ok(()),
        }
    }

    fn forget_record(&self) -> Result<(), Error> {
        match std::fs::remove_file(&self.record_path) {
            Err(error) if !is_absent(&error) => Err(Error::io("remove", &self.record_path, error)),
            _ => Ok(()),
        }
    }

    fn path(&self, path: &[u8]) -> Result<PathBuf, Error> {
        Ok(self.root.path().join(platform_path(path)?))
    }

    fn io(&self, action: &'static str, path: &[u8], source: io::Error) -> Error {
        match self.path(path) {
            Ok(path) => Error::io(action, &path, source),
            Err(error) => error,
        }
    }
}

impl Context {
    /// Passes the content of a regular file to `write`, which has seen exactly what was hashed when this returns `Ok`.
    ///
    /// # Errors
    /// [`Error::ChangedSinceHashed`] if it is not; [`Error::Io`] if it cannot be read or written.
    pub(crate) fn copy(
        &self,
        entry: &Entry,
        buffer: &mut Vec<u8>,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), Error> {
        let path = join(&self.base, entry.path.as_bytes());
        let failed =
            |source| Error::io("copy", &self.root.path().join(platform_path(&path).unwrap_or_default()), source);
        if let Some(content) = self.synthesised.get(&entry.path) {
            return write(content).map_err(failed);
        }
        let changed = || Error::ChangedSinceHashed { path: entry.path.clone() };
        let (parent, name) = split_parent(&path);
        let opened = self.root.directory(parent.unwrap_or_default()).and_then(|directory| directory.open(name));
        let mut file: File = match opened {
            Err(error) if is_absent(&error) => return Err(changed()),
            result => result.map_err(failed)?,
        };
        let stat = stat_of(&file.metadata().map_err(failed)?);
        let same_mode = !self.mode_on_disk || stat.is_executable() == (entry.kind == Kind::Executable);
        if stat.file_type != FileType::File || stat.size != entry.size || !same_mode {
            return Err(changed());
        }
        let mut left = entry.size;
        let (digest, length) = digest_of(&mut file, entry.size, buffer, |bytes| {
            // A file that grows is refused before it fills the disk.
            left = left.checked_sub(bytes.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
            write(bytes)
        })
        .map_err(|error| if error.kind() == io::ErrorKind::FileTooLarge { changed() } else { failed(error) })?;
        if digest == entry.digest && length == entry.size { Ok(()) } else { Err(changed()) }
    }

    /// The content of the regular file at `path`, as it was hashed; `None` where the context has none there.
    ///
    /// ```
    /// use shipper_hash::{RelPath, Tree, TreeOptions};
    /// # let directory = tempfile::tempdir()?;
    /// let tree = Tree::open(directory.path(), &TreeOptions::default())?;
    /// let mut context = tree.context(None)?;
    /// context.add_bytes(RelPath::try_from("a.txt")?, b"a".to_vec());
    /// let context = context.finish()?;
    /// assert_eq!(context.read(&RelPath::try_from("a.txt")?)?.as_deref(), Some(&b"a"[..]));
    /// assert_eq!(context.read(&RelPath::try_from("b.txt")?)?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ChangedSinceHashed`] if it is no longer what was hashed; [`Error::Io`] if it cannot be read.
    pub fn read(&self, path: &crate::RelPath) -> Result<Option<Vec<u8>>, Error> {
        let Some(entry) = self.manifest().get(path.as_bytes()).filter(|entry| entry.kind.is_file()) else {
            return Ok(None);
        };
        let mut content = Vec::new();
        self.copy(entry, &mut Vec::new(), |bytes| {
            content.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(Some(content))
    }

    /// The target text of a link, as it was hashed.
    ///
    /// # Errors
    /// [`Error::ChangedSinceHashed`] if it is another one by now.
    pub(crate) fn link_target(&self, entry: &Entry) -> Result<Vec<u8>, Error> {
        let path = join(&self.base, entry.path.as_bytes());
        let (parent, name) = split_parent(&path);
        let target = self.root.directory(parent.unwrap_or_default()).and_then(|directory| directory.read_link(name));
        match target {
            Ok(target) if FileDigest::of(&target) == entry.digest => Ok(target),
            _ => Err(Error::ChangedSinceHashed { path: entry.path.clone() }),
        }
    }
}

fn is_directory(kind: Kind) -> bool {
    matches!(kind, Kind::EmptyDir | Kind::Gitlink)
}

/// Permission bits of a staged file.
pub(crate) fn mode(kind: Kind) -> u32 {
    if kind == Kind::Executable { 0o755 } else { 0o644 }
}

/// Gives a staged directory its mode, whatever a builder or the umask made of it.
fn make_accessible(path: &Path) -> Result<(), Error> {
    set_path_mode(path, 0o755).map_err(|source| Error::io("write", path, source))
}

#[cfg(unix)]
fn set_path_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

#[cfg(unix)]
fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

#[cfg(unix)]
fn make_link(target: &[u8], path: &Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt as _;
    std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), path)
}

#[cfg(not(unix))]
fn set_path_mode(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn set_mode(_: &File, _: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn make_link(_: &[u8], _: &Path) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "symbolic links cannot be staged on this platform"))
}
