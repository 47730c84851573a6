//! The git repository that a tree lies in: its top level, the list of tracked paths, the ignore rules of its root.
//!
//! Invariants: the top level is the nearest ancestor with a `.git` file or directory that is a repository; a bare
//! repository inside the tree is never taken for one. Nothing from the configuration is run, no object is read (`commit`
//! does), and the index serves as a list of paths only: neither its times nor its object ids nor its flags say anything
//! about content (`docs/threat-model.md`, R6, R7 and R10).

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Error;
use crate::buffer::Buffer;
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

    /// Opens the repository whose work tree is `top`. Its index is read unless `remembered` has what was tracked when the
    /// index looked so.
    pub(crate) fn open(top: &Path, remembered: &dyn Fn(&Stat) -> Option<Tracked>) -> Result<Self, Error> {
        let dot_git = top.join(".git");
        let git_directory = resolve_git_file(&dot_git)?;
        let common = common_directory(&git_directory);
        #[cfg(feature = "git")]
        let (tracked, settings, index) = crate::git::read(top, &git_directory, &common, remembered)?;
        #[cfg(not(feature = "git"))]
        let (tracked, settings, index) = {
            let _ = remembered;
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

/// In a byte of flags: a directory with entries below it.
const BELOW: u8 = 1 << 4;
/// Of such a directory: [`Child::Directory::needed`].
const NEEDED: u8 = 1 << 5;

impl Flags {
    fn to_byte(self) -> u8 {
        let bits = [self.executable, self.submodule, self.directory, self.sparse];
        bits.iter().enumerate().fold(0, |byte, (at, &bit)| byte | u8::from(bit) << at)
    }

    fn of_byte(byte: u8) -> Self {
        let bit = |at: u8| byte >> at & 1 == 1;
        Self { executable: bit(0), submodule: bit(1), directory: bit(2), sparse: bit(3) }
    }
}

/// The paths of an index relative to the top level: unique, all of them plain relative paths, by directory.
///
/// The bytes are what the stat cache remembers of an index, so that one that did not change is not even opened: first
/// the place of the top level's block, or 0 if nothing is tracked; then the blocks of directories, those of a directory's
/// subdirectories before its own. A block is its length and what the directory has, in the order of the index: flags,
/// length of the name, for a directory the place of its block, name. Numbers are little-endian. Whatever else the bytes
/// hold ends a block.
#[derive(Default)]
pub(crate) struct Tracked {
    content: Arc<Buffer>,
    /// Where in `content`, which may be the whole stat cache.
    at: Range<usize>,
}

/// A directory that is being put together.
#[derive(Default)]
struct Block {
    children: Vec<u8>,
    needed: bool,
}

impl Tracked {
    /// Takes index entries in any order; the stages of a conflict become one.
    ///
    /// # Errors
    /// A path that could escape the work tree or name something in `.git`, or that is too long for one.
    #[cfg_attr(
        not(any(test, feature = "git", feature = "fuzzing")),
        expect(dead_code, reason = "only an index gives tracked paths")
    )]
    pub(crate) fn new<'a>(entries: impl Iterator<Item = (&'a [u8], Flags)>) -> Result<Self, String> {
        let mut entries: Vec<(&[u8], Flags)> = entries.collect();
        if !entries.is_sorted_by(|a, b| a.0 < b.0) {
            entries.sort_by(|a, b| a.0.cmp(b.0));
            entries.dedup_by(|later, kept| later.0 == kept.0);
        }
        let mut bytes = vec![0; 4];
        // The open directories, the top level first, and the path of the last one with its `/`.
        let (mut open, mut directory) = (vec![Block::default()], b"".as_slice());
        for (path, flags) in entries {
            let bad = || format!("the index holds the path `{}`", crate::path::escape(path));
            if !path.starts_with(directory) {
                let common = directory.iter().zip(path).take_while(|(a, b)| a == b).count();
                let shared = path[..common].iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
                while directory.len() > shared {
                    directory = close(&mut bytes, &mut open, directory).ok_or_else(bad)?;
                }
            }
            let mut from = directory.len();
            for part in path[from..].split(|&byte| byte == b'/') {
                if fault(part).is_some() || part.eq_ignore_ascii_case(b".git") || part.len() > usize::from(u16::MAX) {
                    return Err(bad());
                }
                let end = from + part.len();
                if end < path.len() {
                    open.push(Block::default());
                    directory = &path[..=end];
                } else if let Some(block) = open.last_mut() {
                    block.needed |= flags.sparse || flags.submodule;
                    put_child(&mut block.children, flags.to_byte(), part, None);
                }
                from = end + 1;
            }
        }
        let large = || "the index holds too many paths".to_owned();
        while !directory.is_empty() {
            directory = close(&mut bytes, &mut open, directory).ok_or_else(large)?;
        }
        if let Some(top) = open.pop().filter(|top| !top.children.is_empty()) {
            let at = put_block(&mut bytes, &top.children).ok_or_else(large)?;
            bytes[..4].copy_from_slice(&at.to_le_bytes());
        }
        Ok(Self { at: 0..bytes.len(), content: Arc::new(bytes.into()) })
    }

    /// What [`bytes`](Self::bytes) gave and is now at a place in `content`.
    pub(crate) fn remembered(content: Arc<Buffer>, at: Range<usize>) -> Self {
        Self { content, at }
    }

    /// Everything, for the stat cache.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.content.get(self.at.clone()).unwrap_or_default()
    }

    /// The place of the top level: what [`children`](Self::children) takes.
    pub(crate) fn top(&self) -> u32 {
        self.bytes().first_chunk().map_or(0, |at| u32::from_le_bytes(*at))
    }

    /// The place of the directory `path`; 0 if nothing below it is tracked.
    pub(crate) fn below(&self, path: &[u8]) -> u32 {
        path.split(|&byte| byte == b'/').filter(|part| !part.is_empty()).fold(self.top(), |at, part| {
            self.children(at)
                .find_map(|child| match child {
                    (name, Child::Directory { at, .. }) if name == part => Some(at),
                    _ => None,
                })
                .unwrap_or_default()
        })
    }

    /// What the index has in the directory whose place is `at`, in the order of paths; in place 0 there is nothing.
    pub(crate) fn children(&self, at: u32) -> Children<'_> {
        let block = || {
            let (length, rest) = self.bytes().get(at as usize..)?.split_first_chunk()?;
            rest.get(..u32::from_le_bytes(*length) as usize)
        };
        Children(if at == 0 { b"" } else { block().unwrap_or_default() })
    }
}

impl std::fmt::Debug for Tracked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracked").field("bytes", &self.at.len()).finish_non_exhaustive()
    }
}

/// Names in one directory of an index.
pub(crate) struct Children<'a>(&'a [u8]);

impl<'a> Iterator for Children<'a> {
    type Item = (&'a [u8], Child);

    fn next(&mut self) -> Option<Self::Item> {
        let (&flags, rest) = self.0.split_first()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (child, rest) = if flags & BELOW == 0 {
            (Child::File(Flags::of_byte(flags)), rest)
        } else {
            let (at, rest) = rest.split_first_chunk()?;
            (Child::Directory { at: u32::from_le_bytes(*at), needed: flags & NEEDED != 0 }, rest)
        };
        let (name, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        self.0 = rest;
        Some((name, child))
    }
}

/// Ends the innermost of the `open` directories; the path of the next one.
fn close<'a>(bytes: &mut Vec<u8>, open: &mut Vec<Block>, directory: &'a [u8]) -> Option<&'a [u8]> {
    let block = open.pop()?;
    let at = put_block(bytes, &block.children)?;
    let path = directory.strip_suffix(b"/")?;
    let (parent, name) = path.split_at(path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1));
    let above = open.last_mut()?;
    above.needed |= block.needed;
    put_child(&mut above.children, BELOW | if block.needed { NEEDED } else { 0 }, name, Some(at));
    Some(parent)
}

fn put_block(bytes: &mut Vec<u8>, children: &[u8]) -> Option<u32> {
    let at = u32::try_from(bytes.len()).ok()?;
    bytes.extend_from_slice(&u32::try_from(children.len()).ok()?.to_le_bytes());
    bytes.extend_from_slice(children);
    Some(at)
}

fn put_child(children: &mut Vec<u8>, flags: u8, name: &[u8], at: Option<u32>) {
    let length = u16::try_from(name.len()).expect("because `Tracked::new` refuses longer names");
    children.push(flags);
    children.extend_from_slice(&length.to_le_bytes());
    children.extend(at.map(u32::to_le_bytes).into_iter().flatten());
    children.extend_from_slice(name);
}

/// What the index says about a name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Child {
    File(Flags),
    /// Something below it is tracked.
    Directory {
        /// What [`Tracked::children`] takes.
        at: u32,
        /// Whether it has, at any depth, something whose absence from the work tree is not a deletion.
        needed: bool,
    },
}
