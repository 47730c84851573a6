//! One build's buildah: its program, its private storage, its processes.
//!
//! Invariants:
//! - storage, temporary files and configuration lie below one work directory, under one lock;
//! - as root, every process runs in mount and PID namespaces of its own, where the system allows it: when the future is
//!   dropped, daemons of a `RUN` step end with it, and no mount is left that would keep the work directory busy;
//! - what an interrupted build left in the storage is removed before the next one.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use shipper_oci::Platform;

use super::dockerfile::Times;
use crate::environment::Environment;
use crate::error::{BuildError, Exit, TAIL_LINES};
use crate::log::BuildLog;
use crate::process::{LogFile, Process, Stream, TailBuffer};
use crate::work::Work;

const INSTALL: &str = "install buildah (Debian and Ubuntu: `apt-get install buildah`, Fedora: `dnf install buildah`); services \
                       with `cargo` or `files` need no builder";

/// What buildah itself must see beyond the machine's variables: where credentials for registries are.
const CREDENTIALS: &[&str] = &["REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"];

/// The storage drivers, the better first: `vfs` copies every layer whole, but works wherever files can be written.
const DRIVERS: [&str; 2] = ["overlay", "vfs"];

/// buildah is not there.
pub(crate) fn missing() -> BuildError {
    BuildError::EngineMissing { what: "`buildah`".to_owned(), install: INSTALL.to_owned() }
}

/// Makes a work directory ready for buildah.
pub(super) fn prepare(work: &Work) -> Result<(), BuildError> {
    for temporary in ["tmp", "run"] {
        refuse_mounts(&work.path(temporary))?;
        work.remove(temporary)?;
        let path = work.path(temporary);
        std::fs::create_dir(&path).map_err(BuildError::io("create", &path))?;
    }
    // No checks of signatures: bases are pulled by digest.
    work.write("policy.json", br#"{"default":[{"type":"insecureAcceptAnything"}]}"#)?;
    // In place of the machine's, which could change the environment or the mounts of `RUN` steps.
    work.write("containers.conf", b"# Deliberately empty.\n")?;
    work.write("registries.conf", b"# Deliberately empty: a build pulls nothing.\n")
}

/// Nothing may be mounted below a directory that is about to be removed: the removal would go on in what is mounted there.
/// Only a build that was killed without namespaces of its own could leave such a mount.
///
/// # Errors
/// [`BuildError::Io`] that names the mount point.
pub fn refuse_mounts(directory: &Path) -> Result<(), BuildError> {
    let (Ok(mounts), Ok(directory)) = (std::fs::read_to_string("/proc/self/mountinfo"), directory.canonicalize())
    else {
        return Ok(());
    };
    // Field 5 is the mount point, with blanks and backslashes as octal numbers (proc_pid_mountinfo(5)).
    let escaped = directory.to_string_lossy().replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011");
    match mounts.lines().filter_map(|line| line.split(' ').nth(4)).find(|point| Path::new(point).starts_with(&escaped))
    {
        None => Ok(()),
        Some(point) => Err(BuildError::io("remove", &directory)(std::io::Error::other(format!("{point} is mounted")))),
    }
}

/// A subcommand of buildah with its arguments.
pub(super) struct Command(Process);

impl Command {
    pub(super) fn arg(self, arg: impl AsRef<OsStr>) -> Command {
        Command(self.0.arg(arg))
    }

    pub(super) fn args<A: AsRef<OsStr>>(self, args: impl IntoIterator<Item = A>) -> Command {
        Command(self.0.args(args))
    }
}

/// buildah on one work directory.
pub(super) struct Engine {
    base: Process,
    root: PathBuf,
    driver: &'static str,
    storage: PathBuf,
    log: LogFile,
}

impl Engine {
    /// Finds the program and the way to start it. `secrets` are variables that it must see as well.
    pub(super) async fn new(
        work: &Work,
        environment: &Environment,
        secrets: Environment,
    ) -> Result<Engine, BuildError> {
        let program = environment.find_program("buildah").ok_or_else(missing)?;
        let mut visible = environment.machine_and_network();
        visible.extend(environment.pick(|name| CREDENTIALS.contains(&name)));
        // buildah fails where this directory has no file, which is no error for docker.
        if visible.get("DOCKER_CONFIG").is_some_and(|directory| !Path::new(directory).join("config.json").exists()) {
            visible.remove("DOCKER_CONFIG");
        }
        visible.extend(secrets);
        visible.set("TMPDIR", work.path("tmp"));
        visible.set("CONTAINERS_CONF", work.path("containers.conf"));
        let mut base = Process::new(&program, work.root(), visible.clone());
        if let Some(unshare) = environment.find_program("unshare").filter(|_| is_root()) {
            let wrapped = Process::new(unshare, work.root(), visible)
                .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
                .arg(&program);
            if wrapped.clone().arg("--version").capture(1 << 12).await?.status.success() {
                base = wrapped;
            }
        }
        let log = LogFile::create(&work.path("buildah.log"))?;
        Ok(Engine { base, root: work.root().to_path_buf(), driver: DRIVERS[0], storage: PathBuf::new(), log })
    }

    /// Chooses the storage for this platform and kind of build, with the best driver that works, and removes the
    /// containers that an interrupted build left there.
    pub(super) async fn open_storage(
        &mut self,
        platform: &Platform,
        times: Times,
        log: &dyn BuildLog,
    ) -> Result<(), BuildError> {
        let kind = if times == Times::Zero { "copy" } else { "run" };
        let mut result = Ok(());
        for driver in DRIVERS {
            self.driver = driver;
            self.storage = self.root.join(format!("{driver}-{kind}-{}", platform.to_string().replace('/', "-")));
            result = self.run(self.command("rm").arg("--all"), "prepare", log, &mut |_| {}).await;
            if !matches!(result, Err(BuildError::EngineFailed { .. })) {
                break;
            }
        }
        result
    }

    pub(super) fn command(&self, subcommand: &str) -> Command {
        let base = self.base.clone();
        let base = base.arg("--root").arg(&self.storage).arg("--runroot").arg(self.root.join("run"));
        let base = base.args(["--storage-driver", self.driver]);
        match subcommand {
            "build" => Command(base.args([
                "--registries-conf",
                "registries.conf",
                "build",
                "--signature-policy",
                "policy.json",
            ])),
            "pull" | "push" => Command(base.args([subcommand, "--signature-policy", "policy.json"])),
            _ => Command(base.arg(subcommand)),
        }
    }

    /// Runs a command; `on_output` gets the lines of its standard output.
    pub(super) async fn run(
        &mut self,
        command: Command,
        step: &'static str,
        log: &dyn BuildLog,
        on_output: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), BuildError> {
        let Command(process) = command;
        let mut tail = TailBuffer::default();
        let mut last_error = None;
        let file = &mut self.log;
        file.line(&format!("$ {}", process.describe()));
        let status = process
            .run(&mut |stream, line| {
                file.line(line);
                // Elsewhere standard output is ids for programs.
                if step == "build" || matches!(stream, Stream::Stderr) {
                    log.line(line);
                }
                match stream {
                    Stream::Stdout => on_output(line),
                    Stream::Stderr if line.starts_with("Error: ") => last_error = Some(line.to_owned()),
                    Stream::Stderr => {}
                }
                tail.push(line);
            })
            .await?;
        if status.success() {
            return Ok(());
        }
        let mut tail = tail.into_lines();
        if let Some(error) = last_error {
            if let Some(flag) = error.split_once("unknown flag: ") {
                return Err(BuildError::Unsupported { what: format!("`{}` of the installed buildah", flag.1) });
            }
            // The two streams come in any order; the cause goes last, where people look.
            tail.retain(|line| *line != error);
            if tail.len() == TAIL_LINES {
                tail.remove(0);
            }
            tail.push(error);
        }
        let exit = Exit::from(status);
        let (engine, log) = ("buildah".to_owned(), self.log.flushed());
        Err(BuildError::EngineFailed { engine, step, at: None, exit, tail, log })
    }
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}
