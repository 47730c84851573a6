//! The git repository that a tree lies in: its top level, the list of tracked paths, the ignore rules of its root.
//!
//! Invariants: the top level is the nearest ancestor with a `.git` file or directory that is a repository; a bare
//! repository inside the tree is never taken for one. Nothing from the configuration is run, no object is read (`commit` does), and
//! the index serves as a list of paths only: neither its times nor its object ids nor its flags say anything about
//! content (`docs/threat-model.md`, R6, R7 and R10).

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Error;
use crate::fs::Stat;
use crate::gitignore::Rules;
use crate::path::fault;

/// Largest ignore file that is read, in bytes; git's own limit is 100 MiB.
pub(crate) const MAX_IGNORE_FILE: u64 = 100 << 20;

/// A repository with a work tree.
#[derive(Debug)]
pub(crate) struct Repository {
    pub(crate) tracked: Tracked,
    /// `info/exclude`, then `core.excludesFile`.
    pub(crate) rules: Option<Arc<Rules>>,
    pub(crate) fold_case: bool,
    /// Whether the index, not the disk, says which files are executable (`core.fileMode = false`).
    pub(crate) mode_from_index: bool,
    /// Whether there is an index that counts.
    pub(crate) is_git: bool,
    /// What the index, whose checksum is good, looked like before it was read.
    pub(crate) index: Option<Stat>,
}

/// What the configuration says that a listing depends on.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) excludes_file: Option<PathBuf>,
    pub(crate) fold_case: bool,
    pub(crate) mode_from_index: bool,
}

impl Repository {
    /// No repository: nothing is tracked, only `.gitignore` files below the root count.
    pub(crate) fn none() -> Self {
        Self {
            tracked: Tracked::default(),
            rules: None,
            fold_case: false,
            mode_from_index: cfg!(not(unix)),
            is_git: false,
            index: None,
        }
    }

    /// A repository of which one commit is read: what is in it is what there is.
    #[cfg(feature = "git")]
    pub(crate) fn of_commit() -> Self {
        Self { mode_from_index: true, is_git: true, ..Self::none() }
    }

    /// Opens the repository whose work tree is `top`. The checksum of its index is computed unless `is_good` says that
    /// it was good when the index looked so.
    pub(crate) fn open(top: &Path, is_good: &dyn Fn(&Stat) -> bool) -> Result<Self, Error> {
        let dot_git = top.join(".git");
        let git_directory = resolve_git_file(&dot_git)?;
        let common = common_directory(&git_directory);
        #[cfg(feature = "git")]
        let (tracked, settings, index) = crate::git::read(top, &git_directory, &common, is_good)?;
        #[cfg(not(feature = "git"))]
        let (tracked, settings, index) = {
            let _ = is_good;
            (Tracked::default(), Settings::default(), None)
        };
        let mut rules = None;
        for file in [settings.excludes_file, Some(common.join("info").join("exclude"))].into_iter().flatten() {
            if let Some(content) = read_ignore_file(&top.join(file))? {
                rules = Some(Rules::parse(&content, b"", settings.fold_case, rules));
            }
        }
        Ok(Self {
            tracked,
            rules,
            fold_case: settings.fold_case,
            mode_from_index: settings.mode_from_index || cfg!(not(unix)),
            is_git: cfg!(feature = "git"),
            index,
        })
    }
}

/// The nearest directory at or above `root` with a repository of its own.
pub(crate) fn top_level(root: &Path) -> Option<&Path> {
    root.ancestors().find(|directory| is_work_tree(directory))
}

/// Whether `directory` has a `.git` file, or a `.git` directory that is a repository.
pub(crate) fn is_work_tree(directory: &Path) -> bool {
    let dot_git = directory.join(".git");
    std::fs::metadata(&dot_git).is_ok_and(|metadata| metadata.is_file() || is_git_directory(&dot_git))
}

/// Whether git would treat the untracked `directory` as somebody else's: its `.git` leads to a repository.
pub(crate) fn is_nested_repository(directory: &Path) -> bool {
    is_work_tree(directory) && resolve_git_file(&directory.join(".git")).is_ok()
}

fn is_git_directory(path: &Path) -> bool {
    let common = common_directory(path);
    path.join("HEAD").symlink_metadata().is_ok() && common.join("objects").is_dir() && common.join("refs").is_dir()
}

/// The git directory behind `.git`, which may be a file that names it (submodules, linked work trees).
fn resolve_git_file(dot_git: &Path) -> Result<PathBuf, Error> {
    let io = |source| Error::io("read", dot_git, source);
    if std::fs::metadata(dot_git).map_err(io)?.is_dir() {
        return Ok(dot_git.to_owned());
    }
    let directory = read_pointer(dot_git, b"gitdir: ").ok_or_else(|| Error::Git {
        path: dot_git.to_owned(),
        source: "`.git` is a file that names no git directory".into(),
    })?;
    let directory = dot_git.parent().unwrap_or(dot_git).join(directory);
    if is_git_directory(&directory) {
        return Ok(directory);
    }
    let source = format!("`.git` names `{}`, which is no git directory", directory.display()).into();
    Err(Error::Git { path: dot_git.to_owned(), source })
}

/// Where a linked work tree's repository keeps what all work trees share.
fn common_directory(git_directory: &Path) -> PathBuf {
    read_pointer(&git_directory.join("commondir"), b"")
        .map_or_else(|| git_directory.to_owned(), |common| git_directory.join(common))
}

/// The path in a file of one line.
fn read_pointer(file: &Path, prefix: &[u8]) -> Option<PathBuf> {
    const MAX_POINTER: u64 = 64 << 10;
    let metadata = std::fs::metadata(file).ok()?;
    if !metadata.is_file() || metadata.len() > MAX_POINTER {
        return None;
    }
    let content = std::fs::read(file).ok()?;
    let path = content.strip_prefix(prefix)?.trim_ascii_end();
    #[cfg(unix)]
    let path = crate::path::platform_path(path).ok()?;
    #[cfg(not(unix))]
    let path = PathBuf::from(std::str::from_utf8(path).ok()?);
    (!path.as_os_str().is_empty()).then_some(path)
}

/// The content of an ignore file outside the listing; `None` if there is none. A device or a FIFO is none.
pub(crate) fn read_ignore_file(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match std::fs::metadata(path) {
        // What says to be empty is: some files of `/proc` are not, and reading them may not end.
        Ok(metadata) if metadata.is_file() && (1..=MAX_IGNORE_FILE).contains(&metadata.len()) => {}
        _ => return Ok(None),
    }
    std::fs::read(path).map(Some).map_err(|source| Error::io("read", path, source))
}

/// How a tracked path may appear in the work tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) executable: bool,
    pub(crate) submodule: bool,
    /// A whole directory of a sparse index.
    pub(crate) directory: bool,
    /// Left out of the work tree by a sparse checkout, if it is not there.
    pub(crate) sparse: bool,
}

/// The paths of an index relative to the top level: sorted bytewise, unique, all of them plain relative paths.
#[derive(Debug, Default)]
pub(crate) struct Tracked {
    names: Vec<u8>,
    entries: Vec<(Range<usize>, Flags)>,
}

impl Tracked {
    /// Takes index entries in any order; the stages of a conflict become one.
    ///
    /// # Errors
    /// A path that could escape the work tree or name something in `.git`.
    #[cfg_attr(
        not(any(test, feature = "git", feature = "fuzzing")),
        expect(dead_code, reason = "only an index gives tracked paths")
    )]
    pub(crate) fn new<'a>(entries: impl Iterator<Item = (&'a [u8], Flags)>) -> Result<Self, String> {
        let mut tracked = Self::default();
        let (mut last, mut is_sorted) = (0..0, true);
        for (path, flags) in entries {
            let previous = &tracked.names[last.clone()];
            // An index is sorted: the directories that this path shares with the one before were looked at.
            let common = previous.iter().zip(path).take_while(|(a, b)| a == b).count();
            is_sorted &= previous[common..].first() < path[common..].first() || tracked.entries.is_empty();
            let shared = path[..common].iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
            if fault(&path[shared..]).is_some() || names_git(&path[shared..]) {
                return Err(format!("the index holds the path `{}`", crate::path::escape(path)));
            }
            let start = tracked.names.len();
            tracked.names.extend_from_slice(path);
            last = start..tracked.names.len();
            tracked.entries.push((last.clone(), flags));
        }
        if !is_sorted {
            let names = &tracked.names;
            let name = |entry: &(Range<usize>, Flags)| &names[entry.0.clone()];
            tracked.entries.sort_by(|a, b| name(a).cmp(name(b)));
            tracked.entries.dedup_by(|later, kept| names[later.0.clone()] == names[kept.0.clone()]);
        }
        Ok(tracked)
    }

    /// All entries.
    pub(crate) fn all(&self) -> Range<usize> {
        0..self.entries.len()
    }

    fn path(&self, at: usize) -> &[u8] {
        &self.names[self.entries[at].0.clone()]
    }

    /// The entries below the directory `prefix`, searched within `range`; the empty prefix has all.
    pub(crate) fn below(&self, prefix: &[u8], range: Range<usize>) -> Range<usize> {
        if prefix.is_empty() {
            return range;
        }
        let entries = &self.entries[range.clone()];
        let head = |entry: &(Range<usize>, Flags)| {
            let path = &self.names[entry.0.clone()];
            (path[..path.len().min(prefix.len())].cmp(prefix)).then_with(|| path.get(prefix.len()).cmp(&Some(&b'/')))
        };
        let start = range.start + entries.partition_point(|entry| head(entry).is_lt());
        let end = range.start + entries.partition_point(|entry| head(entry).is_le());
        start..end
    }

    /// What `range`, the entries below a directory whose path has `length` bytes, puts into that directory itself:
    /// names of files with their flags, names of directories with the entries below them.
    pub(crate) fn children(&self, length: usize, range: Range<usize>) -> Vec<(&[u8], Child)> {
        let skip = if length == 0 { 0 } else { length + 1 };
        let mut children = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let path = self.path(at);
            let rest = &path[skip..];
            if let Some(slash) = rest.iter().position(|&byte| byte == b'/') {
                let below = self.below(&path[..skip + slash], at..range.end);
                at = below.end;
                children.push((&rest[..slash], Child::Directory(below)));
            } else {
                children.push((rest, Child::File(self.entries[at].1)));
                at += 1;
            }
        }
        children
    }

    /// Whether `range` has an entry whose absence from the work tree is not a deletion.
    pub(crate) fn must_exist(&self, range: Range<usize>) -> bool {
        self.entries[range].iter().any(|(_, flags)| flags.sparse || flags.submodule)
    }
}

/// Whether a part of `path` is `.git`, in whatever case.
pub(crate) fn names_git(path: &[u8]) -> bool {
    let is_git = |at: usize| {
        let part = path[at..].split(|&byte| byte == b'/').next().unwrap_or_default();
        part.eq_ignore_ascii_case(b".git")
    };
    path.iter().enumerate().any(|(at, &byte)| byte == b'.' && (at == 0 || path[at - 1] == b'/') && is_git(at))
}

/// What the index says about a name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Child {
    File(Flags),
    Directory(Range<usize>),
}
