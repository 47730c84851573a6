//! What is checked out: branch and commit, read from files. Nothing is started and nothing is decided by it; it names
//! the hint `last-<branch>` and is told in records.

use std::fs;
use std::path::{Path, PathBuf};

/// The checked-out state of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// The branch, where one is checked out.
    pub branch: Option<String>,
    /// The commit, 40 or 64 hex digits, where there is one.
    pub commit: Option<String>,
    /// The branch that the remote calls its default, where that is known.
    pub default_branch: Option<String>,
}

/// The longest ref file that is read: a ref name and a newline.
const LIMIT: u64 = 4096;

/// Reads what is checked out in the repository that `directory` lies in; all fields empty where there is none.
#[must_use]
pub(crate) fn head(directory: &Path) -> Head {
    let Some(git) =
        directory.ancestors().map(|dir| dir.join(".git")).find(|git| git.exists()).and_then(|git| git_dir(&git))
    else {
        return Head::default();
    };
    // A linked worktree has its own HEAD and shares refs (gitrepository-layout, "commondir").
    let common = read(&git.join("commondir")).map_or_else(|| git.clone(), |common| git.join(common));
    let Some(head) = read(&git.join("HEAD")) else { return Head::default() };
    let default_branch = read(&common.join("refs/remotes/origin/HEAD"))
        .and_then(|text| text.strip_prefix("ref: refs/remotes/origin/").map(str::to_owned));
    match head.strip_prefix("ref: ") {
        None => Head { branch: None, commit: object_id(&head), default_branch },
        // A repository with reftable says so where files of refs are looked for.
        Some("refs/heads/.invalid") => Head { default_branch, ..Head::default() },
        Some(name) => Head {
            branch: name.strip_prefix("refs/heads/").map(str::to_owned),
            commit: resolve(&git, &common, name),
            default_branch,
        },
    }
}

/// The directory that a `.git` entry means: itself, or what a `gitdir:` file names.
fn git_dir(git: &Path) -> Option<PathBuf> {
    if git.is_dir() {
        return Some(git.to_owned());
    }
    let target = read(git)?;
    let target = target.strip_prefix("gitdir: ")?;
    Some(git.parent()?.join(target))
}

fn resolve(git: &Path, common: &Path, name: &str) -> Option<String> {
    if name.split('/').any(|part| part.is_empty() || part == "..") {
        return None;
    }
    let loose = [git, common].into_iter().find_map(|dir| read(&dir.join(name)));
    loose.as_deref().and_then(object_id).or_else(|| {
        let packed = fs::read_to_string(common.join("packed-refs")).ok()?;
        packed
            .lines()
            .find_map(|line| line.split_once(' ').filter(|(_, packed)| *packed == name).map(|(id, _)| id.to_owned()))
    })
}

fn object_id(text: &str) -> Option<String> {
    let hex = (text.len() == 40 || text.len() == 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex.then(|| text.to_owned())
}

/// The text of a small file without the newline at its end.
fn read(path: &Path) -> Option<String> {
    let small = fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= LIMIT);
    small.then(|| fs::read_to_string(path).ok())?.map(|text| text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789012345678901234567890123456789";

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("has a parent")).expect("creates");
        fs::write(path, text).expect("writes");
    }

    #[test]
    fn a_branch_is_found_loose_packed_and_in_a_linked_worktree() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path();
        write(root, ".git/HEAD", "ref: refs/heads/main\n");
        assert_eq!(head(root), Head { branch: Some("main".to_owned()), ..Head::default() });
        write(root, ".git/packed-refs", &format!("# pack-refs\n{ID} refs/heads/main\n"));
        assert_eq!(head(root).commit.as_deref(), Some(ID));
        write(root, ".git/refs/remotes/origin/HEAD", "ref: refs/remotes/origin/trunk\n");
        write(root, ".git/worktrees/w/HEAD", "ref: refs/heads/topic\n");
        write(root, ".git/worktrees/w/commondir", "../..\n");
        write(root, ".git/refs/heads/topic", &format!("{ID}\n"));
        write(root, "w/.git", "gitdir: ../.git/worktrees/w\n");
        let expected = Head {
            branch: Some("topic".to_owned()),
            commit: Some(ID.to_owned()),
            default_branch: Some("trunk".to_owned()),
        };
        assert_eq!(head(&root.join("w")), expected);
    }

    #[test]
    fn a_detached_head_has_no_branch_and_nonsense_has_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        write(dir.path(), ".git/HEAD", ID);
        assert_eq!(head(dir.path()), Head { commit: Some(ID.to_owned()), ..Head::default() });
        write(dir.path(), ".git/HEAD", "ref: refs/heads/../../x");
        assert_eq!(head(dir.path()).commit, None);
        write(dir.path(), ".git/HEAD", "ref: refs/heads/.invalid\n");
        assert_eq!(head(dir.path()), Head::default(), "reftable");
        write(dir.path(), ".git/HEAD", "\0");
        assert_eq!(head(dir.path()), Head::default());
    }
}
