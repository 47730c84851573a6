//! The identity of the compiler: what a build key says about it, and the installed compiler that has this identity.
//!
//! Invariants:
//! - nothing that a repository controls runs: the compiler comes from an absolute directory of the user's `PATH`, runs in
//!   the root directory with a cleared environment, and is never given more of the repository than a toolchain name;
//! - a cached answer counts only while the files that decide it are unchanged (path, size, time of modification, inode);
//! - the compiler that builds is checked against the identity in the key.

mod cache;
#[cfg(test)]
#[cfg(unix)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::error::BuildError;
use crate::process::Process;
use crate::toolchain::{ToolchainFile, is_version};

/// Output of `rustc -vV` and `--print` is a few lines; more is not a compiler.
const OUTPUT_LIMIT: usize = 64 * 1024;

/// What a build key says about the compiler; its text is the same on every machine with the same compiler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RustcIdentity {
    channel: Option<String>,
    version: Option<RustcVersion>,
}

/// What `rustc -vV` says and a build depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RustcVersion {
    pub(crate) release: String,
    pub(crate) commit: String,
    pub(crate) host: String,
}

impl RustcIdentity {
    /// The channel of the repository's toolchain file, if it names one.
    #[must_use]
    pub fn channel(&self) -> Option<&str> {
        self.channel.as_deref()
    }

    /// What a toolchain file says, whatever is installed: for comparing states of a repository, never for building.
    #[must_use]
    pub fn as_written(toolchain: Option<&ToolchainFile>) -> RustcIdentity {
        RustcIdentity { channel: toolchain.and_then(ToolchainFile::channel).map(str::to_owned), version: None }
    }

    /// The identity of an exact channel.
    fn exact(channel: &str) -> RustcIdentity {
        RustcIdentity { channel: Some(channel.to_owned()), version: None }
    }
}

/// `channel 1.95.0` for an exact channel, else two lines: `release: 1.95.0` and `commit-hash: 5980..`.
impl fmt::Display for RustcIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.version, &self.channel) {
            (Some(version), _) => write!(f, "release: {}\ncommit-hash: {}", version.release, version.commit),
            (None, Some(channel)) => write!(f, "channel {channel}"),
            (None, None) => f.write_str("unknown"),
        }
    }
}

/// The identity of the compiler that builds a repository with this toolchain file.
///
/// An exact channel is its own identity, and nothing runs. Else `rustc -vV` runs in the root directory, with a cleared
/// environment; the toolchain is the file's channel if it names one, else the user's default one, never what a
/// `RUSTUP_TOOLCHAIN` variable or a directory override says. The answer is kept in the file `cache` and used again while
/// the compiler, the `rustc` on `PATH` and rustup's settings are unchanged. A cache that cannot be read or written only
/// costs time.
///
/// # Errors
/// [`BuildError::EngineMissing`] without `rustc` on `PATH`; [`BuildError::ToolchainMissing`] when it does not answer,
/// because the toolchain is not installed for one. Nothing is ever installed.
pub async fn rustc_identity(
    toolchain: Option<&ToolchainFile>,
    environment: &Environment,
    cache: Option<&Path>,
) -> Result<RustcIdentity, BuildError> {
    let channel = toolchain.and_then(ToolchainFile::channel);
    if let Some(channel) = channel.filter(|_| toolchain.is_some_and(ToolchainFile::is_exact)) {
        return Ok(RustcIdentity::exact(channel));
    }
    let rustc = find_rustc(environment)?;
    let settings = environment.rustup_home().map(|home| home.join("settings.toml"));
    if let Some(known) = cache.and_then(|cache| cache::lookup(cache, channel, &rustc, settings.as_deref())) {
        return Ok(RustcIdentity { channel: channel.map(str::to_owned), version: Some(known) });
    }
    let mut planning = proxy_environment(environment, channel);
    // Planning may not download a toolchain.
    planning.set("RUSTUP_AUTO_INSTALL", "0");
    let before = cache::Stamps::take(&rustc, settings.as_deref());
    let version = version_of(&rustc, &planning, channel).await?;
    if let Some(cache) = cache {
        let sysroot = sysroot_of(&rustc, &planning, channel).await?;
        let entry = cache::Entry::new(channel, version.clone(), before, &rustc_in(&sysroot));
        if let Err(error) = cache::store(cache, entry) {
            tracing::warn!(path = %cache.display(), %error, "the compiler's identity cannot be cached");
        }
    }
    Ok(RustcIdentity { channel: channel.map(str::to_owned), version: Some(version) })
}

/// An installed compiler that has a certain identity.
#[derive(Debug, Clone)]
pub(crate) struct Installed {
    pub(crate) sysroot: PathBuf,
    pub(crate) rustc: PathBuf,
    pub(crate) cargo: PathBuf,
    /// The channel for a rustup proxy, where `cargo` is one.
    pub(crate) channel: Option<String>,
    pub(crate) version: RustcVersion,
}

impl Installed {
    /// Finds the compiler of an identity. Unlike planning, a build may let rustup install the toolchain, if the user's
    /// settings let it.
    ///
    /// # Errors
    /// As [`rustc_identity`], and [`BuildError::ToolchainChanged`] when the compiler has another identity now.
    pub(crate) async fn find(identity: &RustcIdentity, environment: &Environment) -> Result<Installed, BuildError> {
        let channel = identity.channel();
        let proxy = find_rustc(environment)?;
        let building = proxy_environment(environment, channel);
        let sysroot = sysroot_of(&proxy, &building, channel).await?;
        let own = rustc_in(&sysroot);
        let rustc = if own.is_file() { own } else { proxy };
        let version = version_of(&rustc, &building, channel).await?;
        let agrees = match (&identity.version, channel) {
            (Some(wanted), _) => (&wanted.release, &wanted.commit) == (&version.release, &version.commit),
            (None, Some(channel)) => is_of_channel(&version.release, channel),
            (None, None) => true,
        };
        if !agrees {
            let found = format!("{} ({})", version.release, version.commit);
            return Err(BuildError::ToolchainChanged { wanted: identity.to_string().replace('\n', ", "), found });
        }
        // rustup gives a toolchain without its own cargo another one's; so does this.
        let cargo = sysroot.join("bin").join(format!("cargo{}", std::env::consts::EXE_SUFFIX));
        let cargo =
            if cargo.is_file() { cargo } else { environment.find_program("cargo").ok_or_else(|| missing("cargo"))? };
        Ok(Installed { sysroot, rustc, cargo, channel: channel.map(str::to_owned), version })
    }

    /// Whether the standard library of `target` is installed.
    pub(crate) fn has_target(&self, target: &str) -> bool {
        self.sysroot.join("lib/rustlib").join(target).join("lib").is_dir()
    }

    /// Whether the toolchain brings `rust-lld`.
    pub(crate) fn has_own_linker(&self) -> bool {
        let bin = self.sysroot.join("lib/rustlib").join(&self.version.host).join("bin");
        bin.join(format!("rust-lld{}", std::env::consts::EXE_SUFFIX)).is_file()
    }
}

/// A release number says which channel it is of: `1.95.0`, `1.96.0-beta.3`, `1.97.0-nightly`. The date of a dated channel
/// is in no output of the compiler; there rustup is trusted.
fn is_of_channel(release: &str, channel: &str) -> bool {
    if is_version(channel) {
        return release == channel;
    }
    match channel.split('-').next() {
        Some("nightly") => release.ends_with("-nightly"),
        Some("beta") => release.contains("-beta"),
        _ => is_version(release),
    }
}

fn find_rustc(environment: &Environment) -> Result<PathBuf, BuildError> {
    environment.find_program("rustc").ok_or_else(|| missing("rustc"))
}

fn missing(what: &str) -> BuildError {
    BuildError::EngineMissing {
        what: format!("`{what}`"),
        install: format!("install Rust from https://rustup.rs, or put `{what}` on PATH"),
    }
}

fn rustc_in(sysroot: &Path) -> PathBuf {
    sysroot.join("bin").join(format!("rustc{}", std::env::consts::EXE_SUFFIX))
}

/// The environment for a compiler that may be a rustup proxy.
fn proxy_environment(environment: &Environment, channel: Option<&str>) -> Environment {
    let mut environment = environment.machine_and_network();
    if let Some(channel) = channel {
        environment.set("RUSTUP_TOOLCHAIN", channel);
    }
    environment
}

/// The root of the file system that `path` is on: above it there is no configuration but the machine's.
pub(crate) fn root_of(path: &Path) -> PathBuf {
    path.ancestors().last().unwrap_or(path).to_path_buf()
}

async fn sysroot_of(rustc: &Path, environment: &Environment, channel: Option<&str>) -> Result<PathBuf, BuildError> {
    let output = ask(rustc, environment, channel, &["--print", "sysroot"]).await?;
    Ok(PathBuf::from(output.lines().next().unwrap_or_default()))
}

async fn version_of(
    rustc: &Path,
    environment: &Environment,
    channel: Option<&str>,
) -> Result<RustcVersion, BuildError> {
    let output = ask(rustc, environment, channel, &["-vV"]).await?;
    let field = |name: &str| {
        let line = output.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.map(str::to_owned).ok_or_else(|| BuildError::ToolchainMissing {
            toolchain: describe(channel),
            message: format!("`{} -vV` prints no {name}", rustc.display()),
        })
    };
    Ok(RustcVersion { release: field("release")?, commit: field("commit-hash")?, host: field("host")? })
}

async fn ask(
    rustc: &Path,
    environment: &Environment,
    channel: Option<&str>,
    args: &[&str],
) -> Result<String, BuildError> {
    let output = Process::new(rustc, root_of(rustc), environment.clone()).args(args).capture(OUTPUT_LIMIT).await?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let message = output.tail.iter().find(|line| !line.trim().is_empty()).cloned();
    let message = message.unwrap_or_else(|| output.status.to_string());
    Err(BuildError::ToolchainMissing { toolchain: describe(channel), message })
}

fn describe(channel: Option<&str>) -> String {
    channel.map_or_else(|| "the default toolchain".to_owned(), |channel| format!("toolchain {channel}"))
}
