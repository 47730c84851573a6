//! The last commits, and the paths that each of them changed, by comparing trees.
//!
//! Nothing is started. Merges count by their first parent. A shallow clone tells what it has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use gix::ObjectId;
use gix::objs::tree::EntryMode;

/// A commit that changes more paths says nothing about which files change often.
const MOST_CHANGES: usize = 2_000;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What one commit changed: paths relative to the project.
pub(crate) type Changed = BTreeSet<Vec<u8>>;

/// The last commits.
#[derive(Default)]
pub(crate) struct History {
    /// Newest first, by first parents.
    pub(crate) commits: Vec<Commit>,
    /// Whether the last one has a parent that the clone does not have.
    pub(crate) is_cut: bool,
}

/// A commit of the history.
pub(crate) struct Commit {
    /// Its full name.
    pub(crate) id: String,
    /// The first line of its message.
    pub(crate) subject: String,
    /// Its first parent.
    pub(crate) parent: Option<String>,
    /// What it changed since its parent; of a first commit everything, and nothing where the parent is not there.
    pub(crate) changed: Changed,
}

/// The last `count` commits before and with `revision`; none where there is no repository.
///
/// # Errors
/// Where there is no such commit, or an object is missing or broken.
pub(crate) fn commits(root: &Path, revision: &str, count: usize) -> Result<History, Failure> {
    let Some(top) = crate::repository::top(root) else { return Ok(History::default()) };
    let below = root.strip_prefix(top).unwrap_or(Path::new("")).as_os_str().as_encoded_bytes();
    let repository = crate::repository::open(top)?;
    let mut history = History::default();
    let mut commit = repository.rev_parse_single(revision)?.object()?.peel_to_commit()?;
    while history.commits.len() < count {
        let named = commit.parent_ids().next().map(gix::Id::detach);
        let parent = named.and_then(|parent| repository.try_find_object(parent).transpose()).transpose()?;
        let parent = parent.map(gix::Object::try_into_commit).transpose()?;
        history.is_cut = named.is_some() && parent.is_none();
        let mut changed = Changed::new();
        if !history.is_cut {
            let old = parent.as_ref().map(gix::Commit::tree_id).transpose()?.map(gix::Id::detach);
            compare(&repository, Some(commit.tree_id()?.detach()), old, &mut Vec::new(), &mut changed)?;
        }
        history.commits.push(Commit {
            id: commit.id.to_string(),
            subject: commit.message()?.summary().to_string(),
            parent: named.map(|parent| parent.to_string()),
            changed: changed.iter().filter_map(|path| inside(path, below)).collect(),
        });
        let Some(parent) = parent else { break };
        commit = parent;
    }
    Ok(history)
}

/// The changes of the last `count` commits that say something, newest first; none where they can not be read.
pub(crate) fn changes(root: &Path, count: usize) -> Vec<Changed> {
    let History { commits, is_cut } = commits(root, "HEAD", count).unwrap_or_else(|error| {
        tracing::debug!(%error, "the history can not be read");
        History::default()
    });
    let last = commits.len();
    let says_something = |(position, commit): (usize, Commit)| {
        let has_parent = commit.parent.is_some() && !(is_cut && position + 1 == last);
        (has_parent && commit.changed.len() <= MOST_CHANGES).then_some(commit.changed)
    };
    commits.into_iter().enumerate().filter_map(says_something).collect()
}

/// A path of the repository relative to the directory `below`.
fn inside(path: &[u8], below: &[u8]) -> Option<Vec<u8>> {
    match below {
        [] => Some(path.to_vec()),
        below => path.strip_prefix(below)?.strip_prefix(b"/").map(<[u8]>::to_vec),
    }
}

/// Names in a tree: what each is, and its object.
fn names(
    repository: &gix::Repository,
    tree: Option<ObjectId>,
) -> Result<BTreeMap<Vec<u8>, (EntryMode, ObjectId)>, Failure> {
    let Some(tree) = tree else { return Ok(BTreeMap::new()) };
    let object = repository.find_object(tree)?.try_into_tree()?;
    let entries = object.decode()?.entries;
    Ok(entries.iter().map(|entry| (entry.filename.to_vec(), (entry.mode, entry.oid.to_owned()))).collect())
}

/// Adds the paths that differ between two trees.
fn compare(
    repository: &gix::Repository,
    new: Option<ObjectId>,
    old: Option<ObjectId>,
    path: &mut Vec<u8>,
    found: &mut Changed,
) -> Result<(), Failure> {
    let (new, old) = (names(repository, new)?, names(repository, old)?);
    let all: BTreeSet<&Vec<u8>> = new.keys().chain(old.keys()).collect();
    for name in all {
        let (now, before) = (new.get(name), old.get(name));
        if now == before {
            continue;
        }
        let length = path.len();
        if length > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        let tree = |side: Option<&(EntryMode, ObjectId)>| side.filter(|(mode, _)| mode.is_tree()).map(|(_, id)| *id);
        let (inner, outer) = (tree(now), tree(before));
        if inner.is_some() || outer.is_some() {
            compare(repository, inner, outer, path, found)?;
        }
        let file = |side: Option<&(EntryMode, ObjectId)>| side.is_some_and(|(mode, _)| !mode.is_tree());
        if file(now) || file(before) {
            found.insert(path.clone());
        }
        path.truncate(length);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use shipper_testkit::GitRepo;

    #[test]
    fn each_commit_gives_the_paths_that_it_changed() {
        let mut repo = GitRepo::new();
        repo.write("a/x", "1");
        repo.write("b", "1");
        repo.commit("one");
        repo.write("a/x", "2");
        repo.write("a/deep/y", "1");
        repo.commit("two");
        repo.write("b", "2");
        repo.commit("three");
        let text = |changed: &Changed| -> Vec<String> {
            changed.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect()
        };
        let told: Vec<Vec<String>> = changes(repo.path(), 9).iter().map(text).collect();
        assert_eq!(told, [vec!["b".to_owned()], vec!["a/deep/y".to_owned(), "a/x".to_owned()]]);
        let told: Vec<Vec<String>> = changes(&repo.path().join("a"), 9).iter().map(text).collect();
        assert_eq!(told, [vec![], vec!["deep/y".to_owned(), "x".to_owned()]]);
        let History { commits: all, is_cut } = commits(repo.path(), "HEAD~1", 9).expect("a history");
        let subjects: Vec<&str> = all.iter().map(|commit| commit.subject.as_str()).collect();
        assert_eq!((subjects, all[0].parent.as_ref()), (vec!["two", "one"], Some(&all[1].id)));
        assert!(!is_cut && all[1].parent.is_none() && all[1].changed.len() == 2);
        assert!(commits(repo.path(), "nothing", 9).is_err());
        let shallow = GitRepo::without_git();
        let from = format!("file://{}", repo.path().display());
        shallow.git(&["clone", "--quiet", "--depth", "2", &from, "."]);
        let History { commits: all, is_cut } = commits(shallow.path(), "HEAD", 9).expect("a history");
        assert!(is_cut && all.len() == 2 && all[0].changed.len() == 1 && all[1].changed.is_empty());
        assert_eq!(changes(shallow.path(), 9).len(), 1);
        assert!(changes(std::path::Path::new("/"), 9).is_empty());
    }
}
