//! A temporary git repository that no configuration of the machine reaches.
//!
//! Invariants: equal steps give equal commit ids on every machine (fixed author and dates, which advance by one
//! minute for each commit); nothing outside the fixture's own directories is read or written.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::tool::run;

/// Seconds since the Unix epoch of the first commit: 2024-01-01T00:00:00Z.
const FIRST_COMMIT: u64 = 1_704_067_200;

/// A repository with a work tree, on the branch `main`.
#[derive(Debug)]
pub struct GitRepo {
    root: TempDir,
    home: TempDir,
    commits: u64,
}

impl Default for GitRepo {
    fn default() -> Self {
        Self::new()
    }
}

impl GitRepo {
    /// An empty repository.
    ///
    /// # Panics
    /// If `git` is missing or fails, as does every other function here.
    #[must_use]
    pub fn new() -> Self {
        let repo = Self::without_git();
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        repo
    }

    /// The same directory and isolation, but nothing ran `git init`.
    ///
    /// # Panics
    /// If no directory can be created.
    #[must_use]
    pub fn without_git() -> Self {
        let directory = || tempfile::tempdir().expect("cannot create a directory");
        Self { root: directory(), home: directory(), commits: 0 }
    }

    /// Root of the work tree.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// The home directory that git and isolated commands see; empty at first.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Gives a command this fixture's work tree, home and time, and takes the machine's git settings from it.
    pub fn isolate<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GIT_") {
                command.env_remove(name);
            }
        }
        let date = format!("{} +0000", FIRST_COMMIT + 60 * self.commits);
        command
            .current_dir(self.path())
            .env("HOME", self.home())
            .env("XDG_CONFIG_HOME", self.home().join(".config"))
            .env("XDG_CACHE_HOME", self.home().join(".cache"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", self.home().join(".gitconfig"))
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_AUTHOR_NAME", "A U Thor")
            .env("GIT_AUTHOR_EMAIL", "author@example.com")
            .env("GIT_COMMITTER_NAME", "C O Mitter")
            .env("GIT_COMMITTER_EMAIL", "committer@example.com")
            .env("GIT_AUTHOR_DATE", &date)
            .env("GIT_COMMITTER_DATE", &date)
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
    }

    /// Runs git and gives what it printed on stdout, without the last line end.
    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = self.git_bytes(arguments);
        let text = String::from_utf8(output).expect("because callers of `git` ask for text");
        text.strip_suffix('\n').map(str::to_owned).unwrap_or(text)
    }

    /// Runs git and gives the bytes that it printed on stdout.
    #[track_caller]
    pub fn git_bytes(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new("git");
        run(self.isolate(&mut command).args(arguments)).stdout
    }

    /// Writes a file, creating its directories. An existing file keeps its mode.
    #[track_caller]
    pub fn write(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let target = self.prepared(path.as_ref());
        std::fs::write(&target, bytes).unwrap_or_else(|error| panic!("cannot write {}: {error}", target.display()));
        target
    }

    /// Writes a file with mode 0755 (on Unix).
    #[track_caller]
    pub fn write_executable(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let target = self.write(path, bytes);
        self.set_executable(&target, true);
        target
    }

    /// Sets mode 0755 or 0644 (on Unix; elsewhere nothing).
    #[track_caller]
    pub fn set_executable(&self, path: impl AsRef<Path>, executable: bool) {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = if executable { 0o755 } else { 0o644 };
            let target = self.path().join(path);
            let changed = std::fs::set_permissions(&target, std::fs::Permissions::from_mode(mode));
            changed.unwrap_or_else(|error| panic!("cannot change the mode of {}: {error}", target.display()));
        }
        #[cfg(not(unix))]
        let _ = (path.as_ref(), executable);
    }

    /// Creates a symbolic link with this text, replacing what was there.
    #[cfg(unix)]
    #[track_caller]
    pub fn symlink(&self, text: impl AsRef<Path>, path: impl AsRef<Path>) {
        let target = self.prepared(path.as_ref());
        if target.symlink_metadata().is_ok() {
            self.remove(&target);
        }
        let linked = std::os::unix::fs::symlink(text, &target);
        linked.unwrap_or_else(|error| panic!("cannot link {}: {error}", target.display()));
    }

    /// Creates a directory and its parents.
    #[track_caller]
    pub fn mkdir(&self, path: impl AsRef<Path>) -> PathBuf {
        let target = self.path().join(path);
        let created = std::fs::create_dir_all(&target);
        created.unwrap_or_else(|error| panic!("cannot create {}: {error}", target.display()));
        target
    }

    /// Removes a file, a link or a whole directory from the work tree; the index is left alone.
    #[track_caller]
    pub fn remove(&self, path: impl AsRef<Path>) {
        let target = self.path().join(path);
        let removed = match target.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(&target),
            _ => std::fs::remove_file(&target),
        };
        removed.unwrap_or_else(|error| panic!("cannot remove {}: {error}", target.display()));
    }

    /// Renames within the work tree, creating directories; the index is left alone.
    #[track_caller]
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) {
        let (from, to) = (self.path().join(from), self.prepared(to.as_ref()));
        std::fs::rename(&from, &to).unwrap_or_else(|error| panic!("cannot rename {}: {error}", from.display()));
    }

    /// Adds everything that is not ignored, and commits it; gives the commit id.
    #[track_caller]
    pub fn commit(&mut self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.commit_index(message)
    }

    /// Commits what is in the index; gives the commit id.
    #[track_caller]
    pub fn commit_index(&mut self, message: &str) -> String {
        self.git(&["commit", "--quiet", "--allow-empty", "--no-gpg-sign", "-m", message]);
        self.commits += 1;
        self.head()
    }

    /// The id of the commit that is checked out.
    #[track_caller]
    #[must_use]
    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// Paths in the index relative to the root, sorted bytewise.
    #[track_caller]
    #[must_use]
    pub fn tracked(&self) -> Vec<Vec<u8>> {
        self.listed(&["ls-files", "-z", "--cached"])
    }

    /// Paths that are in the work tree, neither in the index nor ignored, sorted bytewise.
    #[track_caller]
    #[must_use]
    pub fn untracked(&self) -> Vec<Vec<u8>> {
        self.listed(&["ls-files", "-z", "--others", "--exclude-standard"])
    }

    #[track_caller]
    fn listed(&self, arguments: &[&str]) -> Vec<Vec<u8>> {
        let output = self.git_bytes(arguments);
        let mut paths: Vec<Vec<u8>> =
            output.split(|byte| *byte == 0).filter(|path| !path.is_empty()).map(<[u8]>::to_vec).collect();
        paths.sort_unstable();
        paths
    }

    fn prepared(&self, path: &Path) -> PathBuf {
        let target = self.path().join(path);
        let parent = target.parent().expect("because the root has a parent");
        std::fs::create_dir_all(parent).unwrap_or_else(|error| panic!("cannot create {}: {error}", parent.display()));
        target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario() -> String {
        let mut repo = GitRepo::new();
        repo.write("a/b.txt", "b");
        repo.write_executable("run.sh", "#!/bin/sh\n");
        repo.write(".gitignore", "*.log\n");
        repo.commit("first");
        repo.write("x.log", "ignored");
        repo.write("new", "untracked");
        assert_eq!(repo.tracked(), [&b".gitignore"[..], b"a/b.txt", b"run.sh"]);
        assert_eq!(repo.untracked(), [b"new"]);
        repo.rename("new", "c/new");
        repo.remove("a");
        repo.commit("second")
    }

    #[test]
    fn equal_steps_give_equal_commits() {
        assert_eq!(scenario(), scenario());
    }

    #[cfg(unix)]
    #[test]
    fn modes_and_links_reach_the_index() {
        let mut repo = GitRepo::new();
        repo.write_executable("run", "x");
        repo.symlink("run", "link");
        repo.commit("modes");
        let listed = repo.git(&["ls-files", "--stage"]);
        let modes: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(modes, ["120000", "100755"]);
    }

    #[test]
    fn settings_of_the_machine_do_not_reach_it() {
        let repo = GitRepo::new();
        let origins = repo.git(&["config", "--list", "--show-scope"]);
        assert!(origins.lines().all(|line| line.starts_with("local")), "{origins}");
    }
}
