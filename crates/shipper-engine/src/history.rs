//! How often files change: the paths that each of the last commits changed, by comparing trees. Only for advice.
//!
//! Nothing is started. Merges count by their first parent. A shallow clone tells what it has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use gix::ObjectId;

/// A commit that changes more paths says nothing about which files change often.
const MOST_CHANGES: usize = 2_000;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What one commit changed: paths relative to the project.
pub(crate) type Changed = BTreeSet<Vec<u8>>;

/// A commit of the history.
pub(crate) struct Commit {
    /// Its full name.
    pub(crate) id: String,
    /// The first line of its message.
    pub(crate) subject: String,
    /// Its first parent.
    pub(crate) parent: Option<String>,
    /// What it changed since its parent; `None` where that is too much to say anything.
    pub(crate) changed: Option<Changed>,
}

/// The last `count` commits before and with `revision`, newest first; none where there is no repository.
pub(crate) fn commits(root: &Path, revision: &str, count: usize) -> Vec<Commit> {
    let Some(top) = crate::repository::top(root) else { return Vec::new() };
    let below = root.strip_prefix(top).unwrap_or(Path::new("")).as_os_str().as_encoded_bytes();
    let mut found = Vec::new();
    if let Err(error) = walk(top, below, revision, count, &mut found) {
        tracing::debug!(%error, "the history ends early");
    }
    found
}

/// The changes of the last `count` commits that say something, newest first. A first commit has changed nothing.
pub(crate) fn changes(root: &Path, count: usize) -> Vec<Changed> {
    let commits = commits(root, "HEAD", count).into_iter();
    commits.filter(|commit| commit.parent.is_some()).filter_map(|commit| commit.changed).collect()
}

fn walk(top: &Path, below: &[u8], revision: &str, count: usize, found: &mut Vec<Commit>) -> Result<(), Failure> {
    let repository = crate::repository::open(top)?;
    let mut commit = repository.rev_parse_single(revision)?.object()?.peel_to_commit()?;
    for _ in 0..count {
        // A shallow clone names parents that it does not have.
        let parent = match commit.parent_ids().next() {
            Some(parent) => Some(parent.object()?.try_into_commit()?),
            None => None,
        };
        let mut paths = Changed::new();
        let old = parent.as_ref().map(gix::Commit::tree_id).transpose()?.map(gix::Id::detach);
        compare(&repository, Some(commit.tree_id()?.detach()), old, &mut Vec::new(), &mut paths)?;
        let says_something = paths.len() <= MOST_CHANGES;
        found.push(Commit {
            id: commit.id.to_string(),
            subject: commit.message()?.summary().to_string(),
            parent: parent.as_ref().map(|parent| parent.id.to_string()),
            changed: says_something.then(|| paths.iter().filter_map(|path| inside(path, below)).collect()),
        });
        let Some(parent) = parent else { break };
        commit = parent;
    }
    Ok(())
}

/// A path of the repository relative to the directory `below`.
fn inside(path: &[u8], below: &[u8]) -> Option<Vec<u8>> {
    match below {
        [] => Some(path.to_vec()),
        below => path.strip_prefix(below)?.strip_prefix(b"/").map(<[u8]>::to_vec),
    }
}

/// Names in a tree: whether each is a tree itself, and its object.
fn names(repository: &gix::Repository, tree: Option<ObjectId>) -> Result<BTreeMap<Vec<u8>, (bool, ObjectId)>, Failure> {
    let Some(tree) = tree else { return Ok(BTreeMap::new()) };
    let object = repository.find_object(tree)?.try_into_tree()?;
    let entries = object.decode()?.entries;
    Ok(entries.iter().map(|entry| (entry.filename.to_vec(), (entry.mode.is_tree(), entry.oid.to_owned()))).collect())
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
        if now == before || found.len() > MOST_CHANGES {
            continue;
        }
        let length = path.len();
        if length > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        let tree = |side: Option<&(bool, ObjectId)>| side.filter(|(is_tree, _)| *is_tree).map(|(_, id)| *id);
        let (inner, outer) = (tree(now), tree(before));
        if inner.is_some() || outer.is_some() {
            compare(repository, inner, outer, path, found)?;
        }
        let file = |side: Option<&(bool, ObjectId)>| side.is_some_and(|(is_tree, _)| !is_tree);
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
        let commits = commits(repo.path(), "HEAD~1", 9);
        let subjects: Vec<&str> = commits.iter().map(|commit| commit.subject.as_str()).collect();
        assert_eq!((subjects, commits[0].parent.as_ref()), (vec!["two", "one"], Some(&commits[1].id)));
        assert!(commits[1].parent.is_none() && commits[1].changed.as_ref().is_some_and(|all| all.len() == 2));
        assert!(changes(std::path::Path::new("/"), 9).is_empty());
    }
}
