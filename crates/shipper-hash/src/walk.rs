//! The walk that finds a selection's files in a listing.
//!
//! Directories are listed by several threads ahead of the walk itself, which is serial, visits names in bytewise order
//! of their paths, and meets errors in that order.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use shipper_dockerfile::{DirMatch, IgnoreFile};

use crate::content::{Reader, threads};
use crate::found::Found;
use crate::listing::{Dir, Node, NodeKind, StatAtOnce};
use crate::path::{is_within, join, join_into};
use crate::pattern::Pattern;
use crate::{Error, FileSet, Narrow, RelPath, Selection, Untracked};

/// Names at a tree's root that belong to shipper and are left out unless a pattern names them.
pub(crate) const RESERVED: [&[u8]; 4] = [b".shipper", b"shipper.toml", b"shipper.lock", b"shipper.schema.json"];
/// Directories that wait to be listed when more threads are started.
const DIRECTORIES_FOR_THREADS: usize = 32;
/// Directories that a thread without work takes at once.
const DIRECTORIES_TAKEN: usize = 16;

/// A selection that is ready to be applied.
pub(crate) struct Filter<'a> {
    /// The context's directory, relative to the tree's root; empty for the root itself.
    base: Vec<u8>,
    set: Set,
    /// Whether what a builder would be sent is wanted: shipper's own files and special ones, too.
    for_builder: bool,
    untracked: Untracked,
    ignore: Option<&'a IgnoreFile>,
    only: Option<Vec<Narrow>>,
    inputs: Vec<Pattern>,
    exclude: Vec<Pattern>,
    /// Whether nothing but the set decides.
    is_plain: bool,
}

enum Set {
    Tracked,
    Worktree,
    Explicit(Vec<Pattern>),
}

/// What holds for everything in a directory.
#[derive(Clone)]
struct Above {
    /// A pattern of `inputs` matches it, so all of it is wanted.
    input: bool,
    /// A pattern of the explicit set matches it.
    explicit: bool,
    ignore: DirMatch,
}

/// What the rules say about one path.
struct Verdict<'p> {
    /// The path relative to the context's directory; `None` outside, empty for the directory itself.
    inside: Option<&'p [u8]>,
    /// `.dockerignore` excludes it.
    ignored: bool,
    here: Above,
}

/// What to do with a path that cannot be hashed but may have to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// It is an error.
    Refuse,
    /// It is passed over: the caller wants to know what is there.
    PassOver,
}

/// A walk in progress.
struct Walk<'a, 'f> {
    filter: &'f Filter<'a>,
    reader: Reader<'f>,
    strictness: Strictness,
    found: Found,
    denied: Vec<RelPath>,
    /// Which patterns of `inputs`, then of the explicit set, named something.
    matched: Vec<bool>,
}

/// Directories whose subdirectories are still to be listed. Each thread has a stack of its own and shares it only
/// when another one has nothing to do.
struct Queue {
    state: Mutex<Shared>,
    changed: Condvar,
    /// How many threads have nothing to do.
    hungry: AtomicUsize,
}

/// A directory to be entered.
type Entered = (Arc<Dir>, Above);

struct Shared {
    waiting: Vec<Entered>,
    /// How many threads have something to do.
    working: usize,
}

impl Queue {
    /// Waits for work: one item, and more for `own`. `None` when no thread has any.
    fn take(&self, own: &mut Vec<Entered>) -> Option<Entered> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.working -= 1;
        self.hungry.fetch_add(1, Ordering::Relaxed);
        loop {
            if !state.waiting.is_empty() {
                let from = state.waiting.len() - state.waiting.len().min(DIRECTORIES_TAKEN);
                own.extend(state.waiting.drain(from..));
                state.working += 1;
                self.hungry.fetch_sub(1, Ordering::Relaxed);
                return own.pop();
            }
            if state.working == 0 {
                self.changed.notify_all();
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives the older half of `own` away, if somebody waits for it.
    fn share(&self, own: &mut Vec<Entered>) {
        if own.len() > 1 && self.hungry.load(Ordering::Relaxed) > 0 {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.waiting.extend(own.drain(..own.len() / 2));
            self.changed.notify_all();
        }
    }
}

impl<'a> Filter<'a> {
    /// `only` is the selection's narrowing after symbolic links were followed.
    pub(crate) fn new(
        base: Option<&RelPath>,
        selection: &Selection<'a>,
        only: Option<Vec<Narrow>>,
        untracked: Untracked,
    ) -> Result<Self, Error> {
        let mut filter = Self {
            base: base.map(|base| base.as_bytes().to_vec()).unwrap_or_default(),
            set: match &selection.files {
                FileSet::Tracked => Set::Tracked,
                FileSet::Worktree => Set::Worktree,
                FileSet::Explicit(patterns) => Set::Explicit(Pattern::parse_all(patterns)?),
            },
            for_builder: false,
            untracked,
            ignore: selection.ignore.filter(|ignore| !ignore.is_empty()),
            only,
            inputs: Pattern::parse_all(&selection.inputs)?,
            exclude: Pattern::parse_all(&selection.exclude)?,
            is_plain: false,
        };
        let has_patterns = !filter.inputs.is_empty() || !filter.exclude.is_empty();
        filter.is_plain = !has_patterns && filter.base.is_empty() && filter.ignore.is_none() && filter.only.is_none();
        Ok(filter)
    }

    /// Everything that a builder is sent which is given the directory `base` and walks it by itself.
    pub(crate) fn of_builder(
        base: Option<&RelPath>,
        selection: &Selection<'a>,
        only: Option<Vec<Narrow>>,
    ) -> Result<Self, Error> {
        let selection = Selection { files: FileSet::Worktree, ignore: selection.ignore, ..Selection::default() };
        Ok(Self { for_builder: true, ..Self::new(base, &selection, only, Untracked::Include)? })
    }

    /// Whether a builder is sent `path`, which is relative to the context's directory.
    pub(crate) fn sends(&self, path: &[u8]) -> bool {
        self.covers(path) && self.ignore.is_none_or(|ignore| !ignore.is_excluded(path))
    }

    /// All files of the tree below `root` that the selection wants, and the patterns that name nothing.
    pub(crate) fn apply(
        &self,
        root: &Arc<Dir>,
        reader: Reader<'_>,
        strictness: Strictness,
    ) -> Result<(Found, Vec<String>), Error> {
        let above =
            Above { input: false, explicit: false, ignore: self.ignore.map(IgnoreFile::root).unwrap_or_default() };
        self.list_ahead(root, &above, reader);
        let mut walk = Walk {
            filter: self,
            reader,
            strictness,
            found: Found::default(),
            denied: Vec::new(),
            matched: vec![false; self.inputs.len() + self.explicit().len()],
        };
        walk.run(root, &above)?;
        if !walk.denied.is_empty() {
            return Err(Error::UntrackedFiles { paths: walk.denied });
        }
        let unmatched = self.inputs.iter().chain(self.explicit()).zip(walk.matched).filter(|(_, matched)| !matched);
        Ok((walk.found, unmatched.map(|(pattern, _)| pattern.text.clone()).collect()))
    }

    /// Lists what the walk will enter, with several threads if it is much. Errors are left to the walk, which meets
    /// them again, in order.
    fn list_ahead(&self, root: &Arc<Dir>, above: &Above, reader: Reader<'_>) {
        let threads = threads();
        if threads == 1 {
            return;
        }
        let mut waiting = vec![(root.clone(), above.clone())];
        while waiting.len() < DIRECTORIES_FOR_THREADS {
            let Some((directory, above)) = waiting.pop() else { return };
            self.list_subdirectories(&directory, &above, reader, &mut waiting);
        }
        let queue = Queue {
            state: Mutex::new(Shared { waiting, working: threads }),
            changed: Condvar::new(),
            hungry: AtomicUsize::new(0),
        };
        let work = || {
            let mut own = Vec::new();
            while let Some((directory, above)) = own.pop().or_else(|| queue.take(&mut own)) {
                self.list_subdirectories(&directory, &above, reader, &mut own);
                queue.share(&mut own);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
    }

    fn list_subdirectories(&self, directory: &Arc<Dir>, above: &Above, reader: Reader<'_>, found: &mut Vec<Entered>) {
        for node in directory.nodes.iter().filter(|node| node.is_directory()) {
            let path = join(&directory.path, &node.name);
            if self.is_left_out(directory, node, &path) {
                continue;
            }
            let verdict = self.judge(&path, above, &mut |_| {});
            if self.may_enter(directory, node, &path, &verdict)
                && let Ok(child) = directory.child(node, reader.lister(self.stat_at_once()))
            {
                found.push((child, verdict.here));
            }
        }
    }

    /// Which files of a directory that is entered are as good as certain to be wanted.
    fn stat_at_once(&self) -> StatAtOnce {
        match (&self.set, &self.only) {
            (Set::Tracked, None) if self.untracked == Untracked::Ignore => |tracked, _| tracked,
            (Set::Tracked, None) => |tracked, ignored| tracked || !ignored,
            (Set::Worktree, None) => |_, _| true,
            _ => |_, _| false,
        }
    }

    /// Whether neither `inputs` nor the file set can bring this back.
    fn is_left_out(&self, directory: &Dir, node: &Node, path: &[u8]) -> bool {
        let reserved = !self.for_builder
            && directory.path.is_empty()
            && RESERVED.contains(&&*node.name)
            && !self.inputs.iter().chain(self.explicit()).any(|pattern| pattern.names_first(&node.name));
        reserved || self.exclude.iter().any(|pattern| pattern.matches(path))
    }

    /// What the rules say about `path`; `matched` is told the numbers of the patterns that match it.
    fn judge<'p>(&self, path: &'p [u8], above: &Above, matched: &mut dyn FnMut(usize)) -> Verdict<'p> {
        let (mut input, mut explicit) = (above.input, above.explicit);
        for (at, pattern) in self.inputs.iter().chain(self.explicit()).enumerate() {
            if pattern.matches(path) {
                matched(at);
                if at < self.inputs.len() {
                    input = true;
                } else {
                    explicit = true;
                }
            }
        }
        let inside = self.in_base(path);
        let (ignored, ignore) = match (self.ignore, inside) {
            (Some(ignore), Some(inside)) if !inside.is_empty() => ignore.descend(&above.ignore, inside),
            _ => (false, above.ignore.clone()),
        };
        Verdict { inside, ignored, here: Above { input, explicit, ignore } }
    }

    /// Whether something of the context may lie below the directory `path`.
    fn may_enter(&self, directory: &Dir, node: &Node, path: &[u8], verdict: &Verdict<'_>) -> bool {
        let here = &verdict.here;
        if here.input || self.inputs.iter().any(|pattern| pattern.may_match_below(path)) {
            return true;
        }
        let in_set = match &self.set {
            Set::Tracked => node.tracked || !node.ignored && self.untracked_in(directory) != Untracked::Ignore,
            Set::Worktree => true,
            Set::Explicit(patterns) => here.explicit || patterns.iter().any(|pattern| pattern.may_match_below(path)),
        };
        in_set
            && match verdict.inside {
                // The context's directory may lie further down.
                None => is_within(&self.base, path),
                Some([]) => true,
                Some(inside) => {
                    let excepted = || self.ignore.is_none_or(|ignore| ignore.may_contain_exception(inside));
                    (!verdict.ignored || excepted()) && self.may_cover_below(inside)
                }
            }
    }

    /// Whether the file set, `.dockerignore` and the narrowing take a path that is not a directory.
    fn is_in_set(&self, directory: &Dir, node: &Node, verdict: &Verdict<'_>) -> bool {
        let in_set = match self.set {
            Set::Tracked => node.tracked || !node.ignored && self.untracked_in(directory) != Untracked::Ignore,
            Set::Worktree => true,
            Set::Explicit(_) => verdict.here.explicit,
        };
        let is_link = node.kind == NodeKind::Symlink;
        let covers = |inside: &[u8]| self.covers(inside) || is_link && self.leads_through(inside);
        in_set && !verdict.ignored && verdict.inside.is_some_and(covers)
    }

    /// Whether a name is wanted whatever its path is: most names of most trees, and no other rule has to be asked.
    fn takes(&self, directory: &Dir, node: &Node) -> bool {
        let in_set = match self.set {
            Set::Tracked => node.tracked,
            Set::Worktree => true,
            Set::Explicit(_) => false,
        };
        // Names of shipper's own are at the root.
        let is_plain = self.is_plain && !directory.path.is_empty();
        is_plain && in_set && matches!(node.kind, NodeKind::File | NodeKind::Symlink)
    }

    /// The policy on untracked files; without git there is nothing that could be tracked.
    fn untracked_in(&self, directory: &Dir) -> Untracked {
        if directory.repository().is_git { self.untracked } else { Untracked::Include }
    }

    fn explicit(&self) -> &[Pattern] {
        match &self.set {
            Set::Explicit(patterns) => patterns,
            Set::Tracked | Set::Worktree => &[],
        }
    }

    /// `path` relative to the context's directory; `None` if it lies outside. The directory itself is empty.
    fn in_base<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        if self.base.is_empty() {
            return Some(path);
        }
        is_within(path, &self.base).then(|| path.get(self.base.len() + 1..).unwrap_or_default())
    }

    /// Whether the narrowing keeps `path`, which is relative to the context's directory.
    fn covers(&self, path: &[u8]) -> bool {
        self.only.as_ref().is_none_or(|only| only.iter().any(|limit| limit.covers(path)))
    }

    /// Whether a builder follows a link at `path` to something that the narrowing keeps.
    fn leads_through(&self, path: &[u8]) -> bool {
        self.only.iter().flatten().any(|limit| limit.leads_through(path))
    }

    fn may_cover_below(&self, directory: &[u8]) -> bool {
        self.only.as_ref().is_none_or(|only| only.iter().any(|limit| limit.may_cover_below(directory)))
    }
}

/// A directory that is being walked. A stack of these instead of recursion: paths may have two thousand parts.
struct Level {
    directory: Arc<Dir>,
    above: Above,
    /// The next node to look at.
    next: usize,
    /// How much was found before it was entered.
    before: usize,
    /// Its place among the directories with files of the context.
    place: Option<usize>,
    /// Whether it is part of the context itself, should nothing in it be.
    counts_when_empty: bool,
}

impl Walk<'_, '_> {
    /// Walks everything below `root`.
    fn run(&mut self, root: &Arc<Dir>, above: &Above) -> Result<(), Error> {
        let mut levels = vec![Level {
            directory: root.clone(),
            above: above.clone(),
            next: 0,
            before: 0,
            place: None,
            counts_when_empty: false,
        }];
        // One buffer for all paths.
        let mut path = Vec::new();
        while let Some(level) = levels.last_mut() {
            if let Some(below) = self.next(level, &mut path)? {
                levels.push(below);
            } else {
                if level.counts_when_empty && self.found.len() == level.before {
                    self.found.empty.push(level.directory.path.clone());
                }
                levels.pop();
            }
        }
        Ok(())
    }

    /// Goes on in a directory up to the next one below it that is to be entered; `None` at its end.
    fn next(&mut self, level: &mut Level, path: &mut Vec<u8>) -> Result<Option<Level>, Error> {
        let directory = level.directory.clone();
        while let Some(node) = directory.nodes.get(level.next) {
            level.next += 1;
            if self.filter.takes(&directory, node) {
                self.found.push(&directory, &mut level.place, level.next - 1);
                continue;
            }
            join_into(path, &directory.path, &node.name);
            if self.filter.is_left_out(&directory, node, path) {
                continue;
            }
            let verdict = self.filter.judge(path, &level.above, &mut |pattern| self.matched[pattern] = true);
            match node.kind {
                NodeKind::Directory => {
                    if let Some(below) = self.enter(&directory, node, path, verdict)? {
                        return Ok(Some(below));
                    }
                }
                NodeKind::File | NodeKind::Symlink | NodeKind::Special(_) | NodeKind::Sparse => {
                    self.file(&directory, level.next - 1, path, &verdict, &mut level.place)?;
                }
                // What is missing may be all that was wanted.
                NodeKind::SparseDirectory | NodeKind::Submodule | NodeKind::CommittedSubmodule => {
                    let on_disk = matches!(self.filter.set, Set::Worktree) && node.kind == NodeKind::SparseDirectory;
                    if !on_disk && self.filter.may_enter(&directory, node, path, &verdict) {
                        self.refuse(node.kind, path)?;
                    }
                }
            }
        }
        Ok(None)
    }

    fn enter(&self, directory: &Dir, node: &Node, path: &[u8], verdict: Verdict<'_>) -> Result<Option<Level>, Error> {
        let filter = self.filter;
        if !filter.may_enter(directory, node, path, &verdict) {
            return Ok(None);
        }
        let child = directory.child(node, self.reader.lister(self.filter.stat_at_once()))?;
        let covered = verdict.inside.is_some_and(|inside| !inside.is_empty() && filter.covers(inside));
        let counts_when_empty = matches!(filter.set, Set::Worktree) && !verdict.ignored && covered && child.exists;
        let before = self.found.len();
        Ok(Some(Level { directory: child, above: verdict.here, next: 0, before, place: None, counts_when_empty }))
    }

    fn file(
        &mut self,
        directory: &Arc<Dir>,
        at: usize,
        path: &[u8],
        verdict: &Verdict<'_>,
        place: &mut Option<usize>,
    ) -> Result<(), Error> {
        let filter = self.filter;
        let node = &directory.nodes[at];
        let input = verdict.here.input;
        if !input && !filter.is_in_set(directory, node, verdict) {
            return Ok(());
        }
        if verdict.inside.is_none() {
            return Err(self.outside(path));
        }
        let tracked_set = matches!(filter.set, Set::Tracked);
        if !input && tracked_set && !node.tracked && filter.untracked_in(directory) == Untracked::Deny {
            if self.strictness == Strictness::Refuse {
                self.denied.push(RelPath::trusted(path.to_vec()));
                return Ok(());
            }
        } else if node.kind == NodeKind::Sparse && matches!(filter.set, Set::Worktree) && !input {
            return Ok(());
        }
        let special = filter.for_builder && matches!(node.kind, NodeKind::Special(_));
        if special || matches!(node.kind, NodeKind::File | NodeKind::Symlink) {
            self.found.push(directory, place, at);
            return Ok(());
        }
        self.refuse(node.kind, path)
    }

    /// The error for something that cannot be hashed, if such things are errors.
    fn refuse(&self, kind: NodeKind, path: &[u8]) -> Result<(), Error> {
        let path = RelPath::trusted(path.to_vec());
        match kind {
            _ if self.strictness == Strictness::PassOver => Ok(()),
            NodeKind::Special(special) => Err(Error::SpecialFile { path, what: special.as_str() }),
            NodeKind::Submodule => Err(Error::Submodule { path }),
            NodeKind::CommittedSubmodule => Err(Error::CommittedSubmodule { path }),
            _ => Err(Error::SparseInput { path }),
        }
    }

    fn outside(&self, path: &[u8]) -> Error {
        let names = |pattern: &&Pattern| {
            let mut ends = (0..path.len()).filter(|&at| path[at] == b'/').chain([path.len()]);
            ends.any(|end| pattern.matches(&path[..end]))
        };
        let pattern = self.filter.inputs.iter().find(names).map(|pattern| pattern.text.clone()).unwrap_or_default();
        Error::OutsideBase {
            path: RelPath::trusted(path.to_vec()),
            pattern,
            base: RelPath::trusted(self.filter.base.clone()),
        }
    }
}
