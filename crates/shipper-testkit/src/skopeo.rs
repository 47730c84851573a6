//! `skopeo`, the judge of images and registries; plain http, no signature policy, credentials of its own.

use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::tool::{Skip, require_tool, run};

/// A `skopeo` with a private home, so that no credentials of the machine reach it.
///
/// References are skopeo's own: `docker://127.0.0.1:5000/app:v1`, `oci:/dir:tag`, `docker-archive:/file`.
#[derive(Debug)]
pub struct Skopeo {
    program: std::path::PathBuf,
    home: TempDir,
    credentials: Option<String>,
}

impl Skopeo {
    /// # Errors
    /// If `skopeo` is not installed.
    ///
    /// # Panics
    /// If no directory can be created.
    pub fn find() -> Result<Self, Skip> {
        Ok(Self {
            program: require_tool("skopeo")?,
            home: tempfile::tempdir().expect("cannot create a directory"),
            credentials: None,
        })
    }

    /// Uses this user and password for every registry.
    #[must_use]
    pub fn with_credentials(mut self, user: &str, password: &str) -> Self {
        self.credentials = Some(format!("{user}:{password}"));
        self
    }

    /// A command that is set up, for subcommands that have no function here.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--insecure-policy")
            .args(arguments)
            .env("HOME", self.home.path())
            .env("XDG_RUNTIME_DIR", self.home.path())
            .env("REGISTRY_AUTH_FILE", self.home.path().join("auth.json"))
            .env("CONTAINERS_REGISTRIES_CONF", "/dev/null");
        command
    }

    fn single(&self) -> Vec<String> {
        let mut flags = vec!["--tls-verify=false".to_owned()];
        flags.extend(self.credentials.iter().map(|credentials| format!("--creds={credentials}")));
        flags
    }

    /// The digest of the manifest that a reference names.
    ///
    /// # Panics
    /// If skopeo fails, as do the other functions.
    #[track_caller]
    #[must_use]
    pub fn digest(&self, reference: &str) -> String {
        let raw = self.raw(reference);
        crate::registry::digest_of(&raw)
    }

    /// The exact bytes of the manifest that a reference names.
    ///
    /// # Panics
    /// If skopeo fails.
    #[track_caller]
    #[must_use]
    pub fn raw(&self, reference: &str) -> Vec<u8> {
        run(self.command(&["inspect", "--raw"]).args(self.single()).arg(reference)).stdout
    }

    /// The image configuration.
    ///
    /// # Panics
    /// If skopeo fails or prints no JSON.
    #[track_caller]
    #[must_use]
    pub fn config(&self, reference: &str) -> Value {
        self.json(&["inspect", "--config"], reference)
    }

    /// What `skopeo inspect` says: layers, labels, environment, platform.
    ///
    /// # Panics
    /// If skopeo fails or prints no JSON.
    #[track_caller]
    #[must_use]
    pub fn inspect(&self, reference: &str) -> Value {
        self.json(&["inspect"], reference)
    }

    #[track_caller]
    fn json(&self, arguments: &[&str], reference: &str) -> Value {
        let output = run(self.command(arguments).args(self.single()).arg(reference));
        serde_json::from_slice(&output.stdout).expect("because skopeo prints JSON")
    }

    /// The tags of a repository (`docker://host/name`), in the order of the registry.
    ///
    /// # Panics
    /// If skopeo fails or prints no JSON.
    #[track_caller]
    #[must_use]
    pub fn tags(&self, repository: &str) -> Vec<String> {
        let listed = self.json(&["list-tags"], repository);
        let tags = listed["Tags"].as_array().cloned().unwrap_or_default();
        tags.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Copies an image, an index with all its children, with its exact bytes.
    ///
    /// # Panics
    /// If skopeo fails.
    #[track_caller]
    pub fn copy(&self, from: &str, to: &str) {
        let output = self.try_copy(from, to);
        assert!(output.status.success(), "skopeo copy {from} {to}:\n{}", String::from_utf8_lossy(&output.stderr));
    }

    /// As [`Skopeo::copy`], for tests of what must fail.
    ///
    /// # Panics
    /// If skopeo cannot be started.
    #[must_use]
    pub fn try_copy(&self, from: &str, to: &str) -> Output {
        let mut command =
            self.command(&["copy", "--all", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false"]);
        for (side, reference) in [("src", from), ("dest", to)] {
            if let Some(credentials) = self.credentials.as_ref().filter(|_| reference.starts_with("docker://")) {
                command.arg(format!("--{side}-creds={credentials}"));
            }
        }
        command.args([from, to]).output().expect("cannot start skopeo")
    }
}
