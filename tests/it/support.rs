//! A project in a temporary repository, and the command run in it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use shipper_testkit::GitRepo;

/// Two services of kind `files` that share a directory: the cheapest project with something to get wrong.
pub(crate) const TWO_SERVICES: &str = r#"
[project]
name = "demo"

[service.docs]
files = { "/srv/docs" = "docs", "/srv/shared" = "shared" }

[service.site]
files = { "/srv/site" = "site", "/srv/shared" = "shared" }
"#;

/// A project, its repository, and a cache of its own.
pub(crate) struct Project {
    pub(crate) repo: GitRepo,
    cache: tempfile::TempDir,
}

impl Project {
    /// An empty repository with this `shipper.toml`.
    pub(crate) fn new(config: &str) -> Self {
        let repo = GitRepo::new();
        repo.write("shipper.toml", config);
        Self { repo, cache: tempfile::tempdir().expect("a directory") }
    }

    /// This repository.
    pub(crate) fn of(repo: GitRepo) -> Self {
        Self { repo, cache: tempfile::tempdir().expect("a directory") }
    }

    /// [`TWO_SERVICES`] with one file each and a shared one, committed.
    pub(crate) fn two_services() -> Self {
        let mut project = Self::new(TWO_SERVICES);
        project.repo.write("docs/index.md", "docs\n");
        project.repo.write("site/index.html", "site\n");
        project.repo.write("shared/logo.svg", "<svg/>\n");
        project.repo.write("README.md", "readme\n");
        project.repo.commit("start");
        project
    }

    /// Another checkout of the same commit, with a cache of its own.
    pub(crate) fn clone_to(&self) -> Self {
        let clone = GitRepo::without_git();
        let from = self.repo.path().to_str().expect("temporary paths are plain");
        clone.git(&["clone", "--quiet", from, "."]);
        Self { repo: clone, cache: tempfile::tempdir().expect("a directory") }
    }

    /// A clone of another project with the last `depth` commits.
    pub(crate) fn shallow(other: &Self, depth: &str) -> Self {
        let clone = GitRepo::without_git();
        let from = format!("file://{}", other.repo.path().display());
        clone.git(&["clone", "--quiet", "--depth", depth, &from, "."]);
        Self { repo: clone, cache: tempfile::tempdir().expect("a directory") }
    }

    pub(crate) fn path(&self) -> &Path {
        self.repo.path()
    }

    /// The user's cache directory of this project.
    pub(crate) fn cache(&self) -> &Path {
        self.cache.path()
    }

    /// Runs the cargo that runs this test, offline, with a target directory of the project's.
    pub(crate) fn cargo(&self, directory: &Path, arguments: &[&str]) {
        let mut command = Command::new(env!("CARGO"));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name == "RUSTFLAGS" || name.starts_with("CARGO_") && name != "CARGO_HOME" {
                command.env_remove(name);
            }
        }
        command.current_dir(directory).args(arguments).env("CARGO_TARGET_DIR", self.cache().join("cargo-target"));
        Ran::of(&command.output().expect("cargo starts")).ok();
    }

    /// The embedded layout of a service.
    pub(crate) fn layout(&self, repository: &str) -> PathBuf {
        self.path().join(".shipper/images").join(repository)
    }

    /// The command, isolated from the machine's settings but for the toolchain.
    pub(crate) fn command<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shipper"));
        let rustup = std::env::var_os("RUSTUP_HOME").map(PathBuf::from).or_else(|| home(".rustup"));
        let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| home(".cargo"));
        self.repo.isolate(&mut command);
        for (name, value) in [("RUSTUP_HOME", rustup), ("CARGO_HOME", cargo)] {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        for name in ["GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "BUILDKITE", "CODEBUILD_BUILD_ID"] {
            command.env_remove(name);
        }
        for name in ["CI", "RUSTUP_TOOLCHAIN", "SHIPPER_REGISTRY", "SHIPPER_UNTRACKED"] {
            command.env_remove(name);
        }
        for (name, _) in aws_variables() {
            command.env_remove(name);
        }
        command.env("SHIPPER_CACHE_DIR", self.cache()).args(arguments);
        command
    }

    pub(crate) fn run<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Ran {
        let mut command = self.command(arguments);
        Ran::of(&command.output().expect("the binary starts"))
    }

    /// `ship`, which must succeed.
    #[track_caller]
    pub(crate) fn ship(&self) -> Ran {
        self.run(["ship"]).ok()
    }

    /// The programs that a run of the command started, itself included, as strace saw them.
    #[track_caller]
    pub(crate) fn programs_started(&self, strace: &Path, arguments: &[&str]) -> Vec<String> {
        let (ran, calls) = self.traced(strace, "execve", arguments);
        ran.ok();
        calls.into_iter().filter(|line| line.contains("execve(") && line.ends_with("= 0")).collect()
    }

    /// A run of the command, and the system calls of these kinds that strace saw it make.
    #[track_caller]
    pub(crate) fn traced(&self, strace: &Path, calls: &str, arguments: &[&str]) -> (Ran, Vec<String>) {
        let log = self.cache().join("strace");
        let inner = self.command(arguments);
        let mut command = Command::new(strace);
        command
            .args(["-f", "-qq", "-e", &format!("trace={calls}"), "-o"])
            .arg(&log)
            .arg(inner.get_program())
            .args(inner.get_args());
        command.current_dir(self.path());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let ran = Ran::of(&command.output().expect("strace starts"));
        let log = std::fs::read_to_string(&log).expect("strace wrote");
        (ran, log.lines().map(str::to_owned).collect())
    }

    /// `plan --json` as document.
    #[track_caller]
    pub(crate) fn plan(&self) -> Value {
        self.run(["plan", "--json"]).ok().json()
    }

    /// Services that are due, with the code and details of their first reason.
    #[track_caller]
    pub(crate) fn due(&self) -> BTreeMap<String, String> {
        let plan = self.plan();
        let services = plan["services"].as_array().expect("services").iter();
        services
            .filter(|service| service["action"] != "reuse")
            .map(|service| {
                let reason = &service["reasons"][0];
                let files = reason["files"].as_array().into_iter().flatten();
                // Of a renamed file both names.
                let files: Vec<&str> =
                    files.flat_map(|file| [&file["from"], &file["path"]]).filter_map(|path| path.as_str()).collect();
                let text = format!("{} {}", reason["code"].as_str().expect("a code"), files.join(" "));
                (service["service"].as_str().expect("a name").to_owned(), text.trim_end().to_owned())
            })
            .collect()
    }

    /// Ships as JSON lines and returns service -> digest of the last event.
    #[track_caller]
    pub(crate) fn ship_digests(&self) -> BTreeMap<String, String> {
        let ran = self.run(["ship", "--json"]).ok();
        let last = ran.events().pop().expect("events");
        let images = last["images"].as_object().expect("images");
        images.iter().map(|(service, image)| (service.clone(), text(&image["digest"]))).collect()
    }
}

fn home(below: &str) -> Option<PathBuf> {
    std::env::var_os("HOME").map(|home| PathBuf::from(home).join(below))
}

/// The settings of AWS in the environment of the tests.
pub(crate) fn aws_variables() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_"))
}

/// A JSON string.
#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string")).to_owned()
}

/// What a command printed and returned.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Itself, if it succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.exits(0)
    }

    /// Itself, if it returned `code`.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Itself, if `needle` is on stderr.
    #[track_caller]
    pub(crate) fn says(self, needle: &str) -> Self {
        assert!(self.stderr.contains(needle), "no `{needle}` in\n{}", self.stderr);
        self
    }

    /// stdout as one document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in\n{}", self.stdout))
    }

    /// stdout as one document a line.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        self.stdout.lines().map(parse).collect()
    }
}

/// All files below `directory` with their bytes, by relative path.
pub(crate) fn tree(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.is_symlink() {
                open.push(path);
            } else {
                let name = path.strip_prefix(directory).expect("below").to_string_lossy().into_owned();
                files.insert(name, std::fs::read(&path).unwrap_or_default());
            }
        }
    }
    files
}

/// A statically linked ELF program's headers, with one empty segment: enough to be recognised, for `e_machine` 62
/// (x86-64) or 183 (AArch64).
pub(crate) fn program(machine: u8) -> Vec<u8> {
    let mut program = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, machine, 0, 1, 0, 0, 0];
    program.resize(64 + 56, 0);
    // Offset, size and number of program headers; then the one there is, of type PT_LOAD.
    (program[32], program[52], program[54], program[56], program[58]) = (64, 64, 56, 1, 64);
    program[64] = 1;
    program
}
