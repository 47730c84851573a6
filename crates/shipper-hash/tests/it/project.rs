//! A project directory for tests, with or without git.

#[cfg(feature = "git")]
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use shipper_hash::{Context, RelPath, Selection, Tree, TreeOptions};

/// A directory that is removed at the end.
pub(crate) struct Project {
    directory: tempfile::TempDir,
    root: PathBuf,
}

impl Project {
    /// An empty directory without git.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap().join("project");
        std::fs::create_dir(&root).unwrap();
        Self { directory, root }
    }

    /// An empty repository.
    pub(crate) fn git() -> Self {
        let project = Self::new();
        project.run(&["init", "-q", "-b", "main", "."]);
        project
    }

    pub(crate) fn path(&self) -> &Path {
        &self.root
    }

    /// A place outside the project that goes with it.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        self.write_bytes(path.as_bytes(), content)
    }

    pub(crate) fn write_bytes(&self, path: &[u8], content: impl AsRef<[u8]>) -> &Self {
        let path = self.root.join(OsStr::from_bytes(path));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    pub(crate) fn mkdir(&self, path: &str) -> &Self {
        std::fs::create_dir_all(self.root.join(path)).unwrap();
        self
    }

    pub(crate) fn link(&self, path: &str, target: &str) -> &Self {
        std::os::unix::fs::symlink(target, self.root.join(path)).unwrap();
        self
    }

    pub(crate) fn chmod(&self, path: &str, mode: u32) -> &Self {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(self.root.join(path), std::fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub(crate) fn remove(&self, path: &str) -> &Self {
        let path = self.root.join(path);
        if path.symlink_metadata().unwrap().is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
        self
    }

    /// Runs git in the project; it must succeed.
    pub(crate) fn run(&self, arguments: &[&str]) -> &Self {
        git_in(&self.root, arguments);
        self
    }

    pub(crate) fn tree(&self) -> Tree {
        Tree::open(&self.root, &TreeOptions::default()).unwrap()
    }

    pub(crate) fn context(&self, selection: &Selection<'_>) -> Context {
        let tree = self.tree();
        let mut context = tree.context(None).unwrap();
        context.add(selection).unwrap();
        context.finish().unwrap()
    }

    /// Paths of the context, escaped.
    pub(crate) fn paths(&self, selection: &Selection<'_>) -> Vec<String> {
        let context = self.context(selection);
        context.manifest().entries().iter().map(|entry| entry.path.to_string()).collect()
    }
}

/// Git as the oracle.
#[cfg(feature = "git")]
impl Project {
    /// A project that somebody else made, and removes.
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), root }
    }

    /// What git prints in the project; it must succeed.
    pub(crate) fn output(&self, arguments: &[&str]) -> Vec<u8> {
        git_in(&self.root, arguments)
    }

    /// Whether git succeeds.
    pub(crate) fn try_git(&self, arguments: &[&str]) -> bool {
        git_command(&self.root).args(arguments).output().expect("git is installed").status.success()
    }

    /// Compares the default file set with what git lists.
    pub(crate) fn assert_like_git(&self) {
        let ours: BTreeSet<Vec<u8>> = self
            .context(&Selection::default())
            .manifest()
            .entries()
            .iter()
            .map(|entry| entry.path.as_bytes().to_vec())
            .collect();
        let show = |paths: &BTreeSet<Vec<u8>>| -> Vec<String> {
            paths.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect()
        };
        assert_eq!(show(&ours), show(&self.git_files()));
        assert_eq!(ours, self.git_files());
    }

    /// What `git ls-files` says is in the work tree, tracked or not ignored.
    pub(crate) fn git_files(&self) -> BTreeSet<Vec<u8>> {
        let output = git_in(&self.root, &["ls-files", "-z", "-c", "-o", "--exclude-standard"]);
        output
            .split(|&byte| byte == 0)
            .filter(|path| !path.is_empty())
            // A nested repository is listed as a directory, a submodule as itself, a deleted file as if it were there.
            .filter(|path| {
                let on_disk = self.root.join(OsStr::from_bytes(path));
                let parent = on_disk.parent().unwrap();
                let through_link = parent.canonicalize().is_ok_and(|real| real != parent);
                let is_file = on_disk.symlink_metadata().is_ok_and(|metadata| !metadata.is_dir());
                path.last() != Some(&b'/') && is_file && !through_link
            })
            .map(<[u8]>::to_vec)
            .collect()
    }
}

/// Runs git in `directory`, free of the user's configuration; what it printed.
pub(crate) fn git_in(directory: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = git_command(directory).args(arguments).output().expect("git is installed");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {message}");
    output.stdout
}

pub(crate) fn git_command(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(directory);
    for (name, value) in [
        ("user.name", "t"),
        ("user.email", "t@example.org"),
        ("protocol.file.allow", "always"),
        ("commit.gpgSign", "false"),
    ] {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    command
}

pub(crate) fn path(text: &str) -> RelPath {
    RelPath::try_from(text).unwrap()
}
