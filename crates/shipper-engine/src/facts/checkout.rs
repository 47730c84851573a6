//! What the checkout says: commit, tree, time, and whether the tracked files are those of the commit.
//!
//! The repository is opened isolated and with reduced trust, as in shipper-hash, so that nothing in its configuration
//! names a program to run. Filters (`core.autocrlf`, LFS) are not run either: a file whose times and size are those in
//! the index counts as unchanged, as for git; one with other times is compared as it lies on disk.

use std::fs;
use std::path::Path;

use gix::index::entry::{Flags, Mode, Stage, Stat, stat};
use shipper_tag::{ObjectId, UtcTime};

use crate::repository;

/// The state of a checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checkout {
    pub(super) commit: ObjectId,
    pub(super) tree: ObjectId,
    pub(super) time: Option<UtcTime>,
    /// How many digits tell the commit from every other object; `None` where objects may be missing.
    pub(super) digits: Option<u8>,
    /// `None` where it could not be told.
    pub(super) dirty: Option<bool>,
}

/// Fewest digits that are asked for.
const LEAST_DIGITS: usize = 4;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Reads the repository that `root` lies in; `None` where there is none with a commit, or it can not be read.
pub(super) fn read(root: &Path) -> Option<Checkout> {
    let top = repository::top(root)?;
    match open(top) {
        Ok(checkout) => Some(checkout),
        Err(error) => {
            tracing::debug!(%error, "the checkout tells nothing");
            None
        }
    }
}

fn open(top: &Path) -> Result<Checkout, Failure> {
    let repository = repository::open(top)?;
    let head = repository.head_commit()?;
    let tree = head.tree_id()?;
    let seconds = head.time()?.seconds;
    let time = jiff::Timestamp::from_second(seconds).ok().and_then(|time| time.to_string().parse().ok());
    let dirty = is_dirty(&repository, top, &tree);
    Ok(Checkout {
        commit: head.id().to_string().parse()?,
        tree: tree.to_string().parse()?,
        time,
        digits: digits(&repository, &head),
        dirty: dirty.inspect_err(|error| tracing::debug!(%error, "whether files changed is not known")).ok(),
    })
}

/// A shallow or partial clone lacks objects that a longer prefix would have to be told from.
fn digits(repository: &gix::Repository, head: &gix::Commit<'_>) -> Option<u8> {
    let config = repository.config_snapshot();
    let partial =
        config.string("extensions.partialClone").is_some() || config.string("remote.origin.promisor").is_some();
    if partial || repository.is_shallow().unwrap_or(true) {
        return None;
    }
    let candidate = gix::odb::store::prefix::disambiguate::Candidate::new(head.id, LEAST_DIGITS).ok()?;
    let prefix = repository.objects.disambiguate_prefix(candidate).ok()??;
    u8::try_from(prefix.hex_len()).ok()
}

/// Whether the index differs from the commit's tree, or a tracked file from the index.
fn is_dirty(repository: &gix::Repository, top: &Path, tree: &gix::oid) -> Result<bool, Failure> {
    let committed = repository.index_from_tree(tree)?;
    let index = repository.open_index()?;
    let listed = |state: &gix::index::State| -> Vec<(Vec<u8>, Mode, gix::ObjectId)> {
        // A file that `git add --intent-to-add` announced has no content in the index yet.
        let entries = state.entries().iter().filter(|entry| !entry.flags.contains(Flags::INTENT_TO_ADD));
        entries.map(|entry| (entry.path(state).to_vec(), entry.mode, entry.id)).collect()
    };
    let merging = index.entries().iter().any(|entry| entry.stage() != Stage::Unconflicted);
    if merging || index.is_sparse() {
        return if merging { Ok(true) } else { Err("the index is sparse".into()) };
    }
    if listed(&committed) != listed(&index) {
        return Ok(true);
    }
    for entry in index.entries() {
        let elsewhere = Flags::SKIP_WORKTREE | Flags::ASSUME_VALID;
        if entry.flags.intersects(elsewhere) {
            continue;
        }
        let path = top.join(gix::path::from_bstr(entry.path(&index))?);
        if entry.mode.is_submodule() {
            if is_submodule_dirty(&path, &entry.id)? {
                return Ok(true);
            }
            continue;
        }
        let racy = entry.stat.is_racy(index.timestamp(), STAT);
        if differs(entry, &path, racy)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a submodule is at another commit than `expected`, or dirty itself. One that is not checked out is neither.
fn is_submodule_dirty(path: &Path, expected: &gix::oid) -> Result<bool, Failure> {
    if !path.join(".git").exists() {
        return Ok(false);
    }
    let repository = repository::open(path)?;
    let head = repository.head_commit()?;
    Ok(*head.id != *expected || is_dirty(&repository, path, &head.tree_id()?)?)
}

/// What of a file's state says that it is unchanged: what git compares with `core.trustCtime = false`.
const STAT: stat::Options = stat::Options { trust_ctime: false, check_stat: true, use_nsec: false, use_stdev: false };

/// Whether a file is not as the index has it; its times say nothing where they are as new as the index (`racy`).
fn differs(entry: &gix::index::Entry, path: &Path, racy: bool) -> Result<bool, Failure> {
    let Ok(metadata) = gix::index::fs::Metadata::from_path_no_follow(path) else { return Ok(true) };
    let kind = if metadata.is_symlink() {
        Mode::SYMLINK
    } else if !metadata.is_file() {
        return Ok(true);
    } else if cfg!(unix) && metadata.is_executable() {
        Mode::FILE_EXECUTABLE
    } else {
        Mode::FILE
    };
    if kind != entry.mode && cfg!(unix) {
        return Ok(true);
    }
    if entry.stat.matches(&Stat::from_fs(&metadata)?, STAT) && !racy {
        return Ok(false);
    }
    let content = if metadata.is_symlink() {
        fs::read_link(path)?.into_os_string().into_encoded_bytes()
    } else {
        fs::read(path)?
    };
    Ok(gix::objs::compute_hash(entry.id.kind(), gix::objs::Kind::Blob, &content)? != entry.id)
}

#[cfg(test)]
mod tests {
    use shipper_testkit::GitRepo;

    use super::*;

    #[test]
    fn a_checkout_is_dirty_when_a_tracked_file_is_not_the_commits() {
        let check = |what: &str, change: fn(&mut GitRepo), expected: bool| {
            let mut repo = GitRepo::new();
            repo.write("a", "one");
            repo.write("b/c", "two");
            repo.symlink("a", "link");
            repo.commit("start");
            change(&mut repo);
            let found = read(repo.path()).expect("a checkout");
            assert_eq!(found.commit.to_string(), repo.head(), "{what}");
            assert_eq!(found.dirty, Some(expected), "{what}");
            assert_eq!(found.digits, Some(4), "{what}");
            assert_eq!(found.tree.to_string(), repo.git(&["rev-parse", "HEAD^{tree}"]).trim(), "{what}");
        };
        check("nothing", |_| {}, false);
        check("an untracked file", |repo| drop(repo.write("new", "x")), false);
        check("the same content again", |repo| drop(repo.write("a", "one")), false);
        check("an edit", |repo| drop(repo.write("a", "two")), true);
        check(
            "an edit that is staged",
            |repo| {
                repo.write("a", "two");
                repo.git(&["add", "-A"]);
            },
            true,
        );
        check(
            "a new file that is staged",
            |repo| {
                repo.write("new", "x");
                repo.git(&["add", "-A"]);
            },
            true,
        );
        check("a deleted file", |repo| repo.remove("b/c"), true);
        check("chmod +x", |repo| repo.set_executable("a", true), true);
        check(
            "a file that became a link",
            |repo| {
                repo.remove("a");
                repo.symlink("b/c", "a");
            },
            true,
        );
        check(
            "a link elsewhere",
            |repo| {
                repo.remove("link");
                repo.symlink("b/c", "link");
            },
            true,
        );
        check(
            "a second commit",
            |repo| {
                repo.write("a", "two");
                repo.commit("more");
            },
            false,
        );
    }

    #[test]
    fn a_checkout_is_dirty_when_a_submodule_is_not_what_the_commit_names() {
        let mut library = GitRepo::new();
        library.write("lib.c", "one");
        library.commit("start");
        let mut repo = GitRepo::new();
        repo.write("a", "one");
        let from = library.path().to_str().expect("temporary paths are plain");
        repo.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", from, "third/lib"]);
        repo.commit("start");
        let dirty = |repo: &GitRepo| read(repo.path()).expect("a checkout").dirty;
        assert_eq!(dirty(&repo), Some(false));
        repo.write("third/lib/lib.c", "two");
        assert_eq!(dirty(&repo), Some(true), "a file of the submodule");
        repo.write("third/lib/lib.c", "one");
        assert_eq!(dirty(&repo), Some(false));
        repo.git(&["-C", "third/lib", "commit", "--quiet", "--allow-empty", "-m", "another"]);
        assert_eq!(dirty(&repo), Some(true), "another commit of the submodule");
        repo.git(&["submodule", "--quiet", "deinit", "-f", "third/lib"]);
        assert_eq!(dirty(&repo), Some(false), "a submodule that is not checked out");
    }

    #[test]
    fn a_shallow_clone_does_not_know_how_short_a_commit_may_be_and_no_repository_knows_nothing() {
        let mut repo = GitRepo::new();
        repo.write("a", "one");
        repo.commit("start");
        repo.write("a", "two");
        repo.commit("more");
        let clone = GitRepo::without_git();
        let from = format!("file://{}", repo.path().display());
        clone.git(&["clone", "--quiet", "--depth=1", &from, "."]);
        let found = read(clone.path()).expect("a checkout");
        assert_eq!((found.commit.to_string(), found.digits, found.dirty), (repo.head(), None, Some(false)));
        assert_eq!(read(tempfile::tempdir().expect("a directory").path()), None);
        assert_eq!(read(GitRepo::new().path()), None);
    }
}
