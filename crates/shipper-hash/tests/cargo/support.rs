//! A project on disk, its closures, and the real cargo as the judge of what was staged.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use shipper_hash::{CargoClosure, Context, Error, Tree, TreeOptions};
use tempfile::TempDir;

pub(crate) struct Project {
    directory: TempDir,
}

impl Project {
    /// A project with these files; see [`Project::write`].
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let project = Self { directory: tempfile::tempdir().unwrap() };
        for (path, text) in files {
            project.write(path, text);
        }
        project
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file; `-> target` as its text makes it a link.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match text.strip_prefix("-> ") {
            #[cfg(unix)]
            Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
            _ => std::fs::write(path, text).unwrap(),
        }
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.root().join(path)).unwrap()
    }

    pub(crate) fn remove(&self, path: &str) {
        let path = self.root().join(path);
        if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
    }

    /// Replaces a part of a file, which must be there.
    pub(crate) fn replace(&self, path: &str, old: &str, new: &str) {
        let text = self.read(path);
        assert!(text.contains(old), "`{old}` is not in {path}");
        self.write(path, &text.replacen(old, new, 1));
    }

    /// Makes or updates the lock, as the user would.
    pub(crate) fn lock(&self, directory: &str) {
        let output = cargo(&self.root().join(directory), &["metadata", "--format-version=1"], None);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn try_closure(&self, package: &str) -> Result<(Context, CargoClosure), Error> {
        let tree = Tree::open(self.root(), &TreeOptions::default())?;
        let mut context = tree.context(None)?;
        let closure = context.add_cargo(package)?;
        Ok((context.finish()?, closure))
    }

    pub(crate) fn closure(&self, package: &str) -> (Context, CargoClosure) {
        self.try_closure(package).unwrap_or_else(|error| panic!("cannot {error}"))
    }

    pub(crate) fn error(&self, package: &str) -> Error {
        self.try_closure(package).map(|(_, closure)| closure).unwrap_err()
    }

    pub(crate) fn hash(&self, package: &str) -> String {
        self.closure(package).0.hash().to_string()
    }

    /// The paths of a context, sorted.
    pub(crate) fn paths(&self, package: &str) -> Vec<String> {
        self.closure(package).0.manifest().entries().iter().map(|entry| entry.path.to_string()).collect()
    }

    pub(crate) fn stage(&self, package: &str) -> Stage {
        let (context, closure) = self.closure(package);
        let directory = tempfile::tempdir().unwrap();
        context.stage(directory.path()).unwrap_or_else(|error| panic!("cannot {error}"));
        let target = tempfile::tempdir().unwrap();
        let original = std::fs::read_to_string(self.workspace_root(&closure).join("Cargo.lock")).ok();
        Stage { directory, target, closure, original }
    }

    /// What the program `package` of the workspace in the directory `root` says when it is built where it is.
    pub(crate) fn run(&self, root: &str, package: &str) -> String {
        let target = tempfile::tempdir().unwrap();
        let command = ["run", "--offline", "--quiet", "-p", package];
        let output = cargo(&self.root().join(root), &command, Some(target.path()));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The hashes of several packages' contexts, from one listing of the tree.
    pub(crate) fn hashes(&self, packages: &[&str]) -> Vec<String> {
        let tree = Tree::open(self.root(), &TreeOptions::default()).unwrap();
        let hash = |package: &&str| {
            let mut context = tree.context(None).unwrap();
            context.add_cargo(package).unwrap_or_else(|error| panic!("cannot {error}"));
            context.finish().unwrap().hash().to_string()
        };
        packages.iter().map(hash).collect()
    }

    fn workspace_root(&self, closure: &CargoClosure) -> PathBuf {
        in_root(self.root(), closure)
    }
}

fn in_root(root: &Path, closure: &CargoClosure) -> PathBuf {
    match &closure.workspace_root {
        Some(path) => path.to_path(root).unwrap(),
        None => root.to_owned(),
    }
}

/// A staged closure.
pub(crate) struct Stage {
    directory: TempDir,
    target: TempDir,
    pub(crate) closure: CargoClosure,
    /// The lock of the project.
    original: Option<String>,
}

impl Stage {
    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(path)).unwrap()
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.directory.path().join(path).exists()
    }

    fn cargo(&self, arguments: &[&str]) -> Output {
        let output = cargo(&in_root(self.directory.path(), &self.closure), arguments, Some(self.target.path()));
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo {arguments:?}: {error}\n{}", self.read_manifests());
        for complaint in ["was not used", "unused manifest key", "profiles for the non root", "patch for the non root"]
        {
            assert!(!error.contains(complaint), "{error}\n{}", self.read_manifests());
        }
        output
    }

    fn read_manifests(&self) -> String {
        let root = in_root(self.directory.path(), &self.closure).join("Cargo.toml");
        std::fs::read_to_string(root).unwrap_or_default()
    }

    /// Names of the packages that cargo resolves for the stage with all features; all of them must be in the project's lock.
    pub(crate) fn packages(&self) -> Vec<String> {
        let output = self.cargo(&["metadata", "--offline", "--all-features", "--format-version=1"]);
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        let mut names: Vec<String> =
            packages.iter().map(|package| package["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        if let Some(original) = &self.original {
            let lock = in_root(self.directory.path(), &self.closure).join("Cargo.lock");
            let normalised = locked(&std::fs::read_to_string(lock).unwrap());
            let new: Vec<_> = normalised.difference(&locked(original)).cloned().collect();
            assert!(new.is_empty(), "cargo added {new:?} to the lock");
            let known: BTreeSet<_> = self
                .closure
                .locked
                .iter()
                .map(|package| (package.name.clone(), package.version.clone(), package.source.clone()))
                .collect();
            assert!(normalised.is_subset(&known), "the closure does not announce {:?}", normalised.difference(&known));
        }
        names
    }

    /// Builds the package, with an accepted lock, and runs its first binary.
    pub(crate) fn run(&self) -> String {
        self.run_with(&[])
    }

    /// The same with arguments for the binary.
    pub(crate) fn run_with(&self, arguments: &[&str]) -> String {
        self.packages();
        let package = &self.closure.package;
        self.cargo(&["build", "--offline", "--locked", "--quiet", "-p", package]);
        let command = ["run", "--offline", "--quiet", "-p", package, "--bin", &self.closure.bins[0], "--"];
        let output = self.cargo(&[&command, arguments].concat());
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

type Locked = BTreeSet<(String, String, Option<String>)>;

fn locked(text: &str) -> Locked {
    let packages = text.split("[[package]]").skip(1).map(|block| {
        let value = |key: &str| {
            let line = block.lines().find(|line| line.starts_with(&format!("{key} = ")))?;
            Some(line.split('"').nth(1)?.to_owned())
        };
        (value("name").unwrap(), value("version").unwrap(), value("source"))
    });
    packages.collect()
}

/// Runs the cargo that runs this test, without what it says to its children.
pub(crate) fn cargo(directory: &Path, arguments: &[&str], target: Option<&Path>) -> Output {
    let mut command = Command::new(env!("CARGO"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| {
        name.to_str().is_some_and(|name| name.starts_with("CARGO_") && name != "CARGO_HOME" || name == "RUSTFLAGS")
    }) {
        command.env_remove(name);
    }
    command.current_dir(directory).args(arguments).env("CARGO_NET_OFFLINE", "true").env("CARGO_TERM_COLOR", "never");
    command.env("CARGO_INCREMENTAL", "0").env("CARGO_PROFILE_DEV_DEBUG", "0");
    if let Some(target) = target {
        command.env("CARGO_TARGET_DIR", target);
    }
    command.output().unwrap()
}
