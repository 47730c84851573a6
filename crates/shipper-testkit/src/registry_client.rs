//! Clients of registries that other people wrote: crane, oras and cosign, judges of what was pushed and signed.
//!
//! Invariants: a client has a home of its own, so that no credentials of the machine reach it; it speaks to registries on
//! this machine only.

use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::tool::{Skip, run};

/// The part that a skip names; absence is forgiven (`OPTIONAL` of `cargo xtask test`).
const PART: &str = "registry-clients";

/// One of the clients.
#[derive(Debug)]
pub struct RegistryClient {
    program: PathBuf,
    home: TempDir,
}

impl RegistryClient {
    /// crane, of go-containerregistry.
    ///
    /// # Errors
    /// If it was not unpacked (`cargo xtask test` does it).
    ///
    /// # Panics
    /// If no directory can be created.
    pub fn crane() -> Result<Self, Skip> {
        Self::find("crane")
    }

    /// oras, which knows artifacts and what refers to them.
    ///
    /// # Errors
    /// As [`RegistryClient::crane`].
    ///
    /// # Panics
    /// As [`RegistryClient::crane`].
    pub fn oras() -> Result<Self, Skip> {
        Self::find("oras")
    }

    /// cosign, which signs images and verifies signatures.
    ///
    /// # Errors
    /// As [`RegistryClient::crane`].
    ///
    /// # Panics
    /// As [`RegistryClient::crane`].
    pub fn cosign() -> Result<Self, Skip> {
        Self::find("cosign")
    }

    fn find(name: &str) -> Result<Self, Skip> {
        let engines = std::env::var_os("SHIPPER_TEST_ENGINES")
            .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/engines")), PathBuf::from);
        let program = engines.join("clients/usr/bin").join(name);
        if !program.is_file() {
            return Err(Skip::new(PART, "not unpacked; `cargo xtask test` does it on Debian"));
        }
        Ok(Self { program, home: tempfile::tempdir().expect("cannot create a directory") })
    }

    /// The client's home, where it runs.
    #[must_use]
    pub fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    /// A command with `arguments`, to be run.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(self.home.path()).env("HOME", self.home.path());
        for name in ["DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "HTTPS_PROXY", "HTTP_PROXY"] {
            command.env_remove(name);
        }
        // What protects a private key of the tests.
        command.env("COSIGN_PASSWORD", "");
        command
    }

    /// What the command prints on stdout, without the line end.
    ///
    /// # Panics
    /// If it fails; the message holds what it said.
    #[track_caller]
    #[expect(clippy::must_use_candidate, reason = "many commands are run for what they do")]
    pub fn says(&self, arguments: &[&str]) -> String {
        let Output { stdout, .. } = run(&mut self.command(arguments));
        String::from_utf8_lossy(&stdout).trim_end().to_owned()
    }

    /// What the command says on stderr when it refuses.
    ///
    /// # Panics
    /// If it succeeds or cannot be started.
    #[track_caller]
    #[expect(clippy::must_use_candidate, reason = "that it is refused is asserted here")]
    pub fn refuses(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("the client starts");
        assert!(!output.status.success(), "{arguments:?} succeeded");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}
