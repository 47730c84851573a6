//! A Docker engine with buildx as a child process: the BuildKit that most users have.
//!
//! Invariants: everything lies in a private directory and listens on a socket there; on the host's network no bridge and no
//! firewall rule is made, so that `RUN` steps need that network itself; the daemon and its containerd are ended by their process
//! ids when the fixture is dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::tool::{Skip, require_tool};

/// How long the daemon may take until it answers.
const START: Duration = Duration::from_secs(60);

/// How long it may take to end.
const END: Duration = Duration::from_secs(20);

/// Where an engine comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// Debian's stable suite after the one that the tests run on: engine 26 with buildx 0.13, which pretty-prints
    /// progress.
    Stable,
    /// A rolling suite: engine 28 with buildx 0.29, which prints one object a line.
    Rolling,
}

impl Suite {
    fn directory(self) -> &'static str {
        match self {
            Self::Stable => "trixie",
            Self::Rolling => "forky",
        }
    }

    /// The part that a skip names; absent rolling suites are forgiven (`OPTIONAL` of `cargo xtask test`).
    fn part(self) -> &'static str {
        match self {
            Self::Stable => "docker-engine",
            Self::Rolling => "docker-engine-rolling",
        }
    }
}

/// Where an engine keeps images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageStore {
    /// containerd's, which can hand out OCI layouts.
    Containerd,
    /// The engine's own, older one.
    Classic,
}

/// What an engine and its containers see.
#[derive(Clone, Copy)]
enum Network {
    Host,
    Own,
}

/// A running engine.
#[derive(Debug)]
pub struct DockerEngine {
    daemon: Child,
    programs: PathBuf,
    place: TempDir,
}

impl DockerEngine {
    /// Starts an engine of `suite` and waits until it answers.
    ///
    /// # Errors
    /// If the engine was not unpacked (`cargo xtask test` does it), this is not root, or runc is missing.
    ///
    /// # Panics
    /// If it is there and does not start; the message holds what it printed.
    pub fn start(suite: Suite, store: ImageStore) -> Result<Self, Skip> {
        Self::launch(suite, store, Network::Host)
    }

    /// As [`DockerEngine::start`], on a network of its own that leads nowhere and ends with it. It has a bridge, which some steps
    /// of BuildKit need (generators of SBOMs), and sees no server of the tests.
    ///
    /// # Errors
    /// As [`DockerEngine::start`], and if there is no `unshare`.
    ///
    /// # Panics
    /// As [`DockerEngine::start`].
    pub fn start_apart(suite: Suite, store: ImageStore) -> Result<Self, Skip> {
        Self::launch(suite, store, Network::Own)
    }

    fn launch(suite: Suite, store: ImageStore, network: Network) -> Result<Self, Skip> {
        let programs = programs(suite)?;
        if !rustix::process::geteuid().is_root() {
            return Err(Skip::new(suite.part(), "a Docker engine needs root"));
        }
        require_tool("runc")?;
        let place = tempfile::tempdir().expect("cannot create a directory");
        let at = |name: &str| place.path().join(name);
        let plugins = at("client/cli-plugins");
        fs::create_dir_all(&plugins).expect("cannot create a directory");
        let buildx = programs.join("usr/libexec/docker/cli-plugins/docker-buildx");
        std::os::unix::fs::symlink(buildx, plugins.join("docker-buildx")).expect("cannot link the plug-in");
        let containerd = store == ImageStore::Containerd;
        let settings = format!("{{\"features\":{{\"containerd-snapshotter\":{containerd}}}}}");
        fs::write(at("daemon.json"), settings).expect("cannot write the configuration");
        let log = File::create(at("log")).expect("cannot create the log");
        let program = programs.join("usr/sbin/dockerd");
        let mut daemon = match network {
            Network::Host => {
                let mut daemon = Command::new(program);
                daemon.arg("--bridge=none");
                daemon
            }
            Network::Own => {
                // It becomes the daemon: the process id is that of both.
                let mut apart = Command::new(require_tool("unshare")?);
                apart.args(["--net", "--"]).arg(program);
                apart
            }
        };
        daemon.args(["--iptables=false", "--ip6tables=false", "--config-file"]).arg(at("daemon.json"));
        daemon.arg("--data-root").arg(at("data")).arg("--exec-root").arg(at("exec")).arg("--pidfile").arg(at("pid"));
        daemon.arg("--host").arg(format!("unix://{}", at("docker.sock").display())).env("PATH", path(&programs));
        daemon.stdin(Stdio::null()).stdout(log.try_clone().expect("one more handle")).stderr(log);
        let daemon = daemon.spawn().expect("cannot start dockerd");
        let mut engine = Self { daemon, programs, place };
        engine.wait_until_it_answers();
        Ok(engine)
    }

    /// Environment variables that lead a client here: `DOCKER_HOST`, `DOCKER_CONFIG`, and a `PATH` that begins with the
    /// engine's own client.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, String); 3] {
        [
            ("DOCKER_HOST", format!("unix://{}", self.socket().display())),
            ("DOCKER_CONFIG", self.place.path().join("client").display().to_string()),
            ("PATH", path(&self.programs)),
        ]
    }

    /// The engine's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.place.path().join("docker.sock")
    }

    /// The engine's client with `arguments`, to be run.
    #[must_use]
    pub fn docker(&self, arguments: &[&str]) -> Command {
        let mut docker = Command::new(self.programs.join("usr/bin/docker"));
        docker.envs(self.variables()).args(arguments);
        docker
    }

    fn wait_until_it_answers(&mut self) {
        let began = Instant::now();
        loop {
            let mut asked = self.docker(&["version"]);
            if asked.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
                return;
            }
            let ended = self.daemon.try_wait().ok().flatten();
            if ended.is_some() || began.elapsed() > START {
                let printed = fs::read_to_string(self.place.path().join("log")).unwrap_or_default();
                panic!("dockerd did not start ({ended:?}):\n{printed}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for DockerEngine {
    fn drop(&mut self) {
        let id = i32::try_from(self.daemon.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            // It takes its containerd with it; only killing it would leave that behind.
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
        let began = Instant::now();
        while began.elapsed() < END && matches!(self.daemon.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// The root of an unpacked engine.
fn programs(suite: Suite) -> Result<PathBuf, Skip> {
    let absent = || Skip::new(suite.part(), "not unpacked; `cargo xtask test` does it on Debian");
    let engines = std::env::var_os("SHIPPER_TEST_ENGINES")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/engines")), PathBuf::from);
    let root = engines.join(suite.directory());
    // Absolute: the client finds its plug-in through a link.
    root.canonicalize().ok().filter(|root| root.join("usr/sbin/dockerd").exists()).ok_or_else(absent)
}

/// The client of an engine, which logs in to registries without a daemon.
///
/// # Errors
/// If no engine is unpacked.
pub fn require_docker_client() -> Result<PathBuf, Skip> {
    programs(Suite::Stable).map(|root| root.join("usr/bin/docker"))
}

/// `PATH` with the engine's programs first.
fn path(programs: &Path) -> String {
    let own = std::env::var("PATH").unwrap_or_default();
    format!("{0}/usr/bin:{0}/usr/sbin:{own}:/usr/sbin:/sbin", programs.display())
}
