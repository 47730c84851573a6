//! Why a build failed: one variant for each thing a caller or a user can act on.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::steps::FailedStep;

/// Why something cannot be built.
///
/// The text is a fragment that fits after "cannot build the image: "; [`BuildError::hint`] says what the user can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A program that the build needs is not on `PATH`.
    #[error("{what} is not installed")]
    EngineMissing {
        /// The program in backticks, or what programs are for.
        what: String,
        /// How to install it.
        install: String,
    },
    /// A builder's daemon does not answer.
    #[error("{what} does not answer: {problem}")]
    EngineUnreachable {
        /// The daemon, with its address where that is known.
        what: String,
        /// What it or its client said.
        problem: String,
    },
    /// A builder that is there lacks what is always needed of one.
    #[error("`{engine}` is not set up for this: {what}")]
    EngineLimited {
        /// The program.
        engine: String,
        /// What it lacks.
        what: String,
        /// What the user can change.
        cure: String,
    },
    /// The request asks for something that this builder cannot do.
    #[error("{what} is not supported")]
    Unsupported {
        /// What was asked for.
        what: String,
    },
    /// The repository's toolchain file cannot be used.
    #[error("{path}: {problem}")]
    ToolchainFile {
        /// The file, as the caller named it.
        path: String,
        /// What is wrong with it.
        problem: ToolchainProblem,
    },
    /// No compiler answers for the wanted toolchain.
    #[error("rustc of {toolchain} does not run: {message}")]
    ToolchainMissing {
        /// The channel, or "the default toolchain".
        toolchain: String,
        /// The compiler's (or rustup's) first line of complaint.
        message: String,
    },
    /// The installed compiler is not the one that the key names.
    #[error("rustc is {found}, but the key was computed for {wanted}")]
    ToolchainChanged {
        /// The identity in the key.
        wanted: String,
        /// What the compiler says now.
        found: String,
    },
    /// The standard library of the target is not installed.
    #[error("the standard library of {target} is not installed")]
    TargetMissing {
        /// The Rust target.
        target: String,
        /// How to install it.
        install: String,
    },
    /// No linker for the target is on `PATH`.
    #[error("the linker `{linker}` for {target} is not installed")]
    LinkerMissing {
        /// The Rust target.
        target: String,
        /// The program.
        linker: String,
        /// How to install it.
        install: String,
    },
    /// The recipe sets an environment variable that the build itself decides.
    #[error("the variable {name} may not be set for a Cargo build")]
    ReservedVariable {
        /// The variable.
        name: String,
    },
    /// A Cargo configuration outside the stage would change the build.
    #[error("{path} sets `{key}` for every Cargo build on this machine")]
    AmbientConfig {
        /// The configuration file.
        path: PathBuf,
        /// The first table that is not about registries or the network.
        key: String,
    },
    /// A Cargo configuration file cannot be used.
    #[error("{path}: {message}")]
    CargoConfig {
        /// The configuration file.
        path: PathBuf,
        /// What is wrong, in one line.
        message: String,
    },
    /// Cargo could not make sense of the package, or could not download what it depends on.
    #[error("`cargo {step}` failed ({exit}){}", Tail(.tail))]
    CargoFailed {
        /// `metadata` or `fetch`.
        step: &'static str,
        /// How it ended.
        exit: Exit,
        /// The last lines it wrote, oldest first, at most [`TAIL_LINES`].
        tail: Vec<String>,
        /// The file with everything it wrote.
        log: Option<PathBuf>,
    },
    /// The compiler found errors.
    #[error("`cargo build` failed ({exit}){}", Tail(.tail))]
    CompileFailed {
        /// How it ended.
        exit: Exit,
        /// The last lines of the diagnostics, oldest first, at most [`TAIL_LINES`].
        tail: Vec<String>,
        /// The file with everything it wrote.
        log: Option<PathBuf>,
    },
    /// A builder of Dockerfiles failed.
    #[error("`{engine}` failed at {} ({exit}){}", Place(step, at.as_deref()), Tail(.tail))]
    EngineFailed {
        /// The program.
        engine: String,
        /// What it was doing: `build`, `push`, `login`.
        step: &'static str,
        /// The step of the Dockerfile, where one failed.
        at: Option<Box<FailedStep>>,
        /// How it ended; a failing `RUN` gives its own exit code with buildah.
        exit: Exit,
        /// The last lines it wrote, oldest first, at most [`TAIL_LINES`].
        tail: Vec<String>,
        /// The file with everything it wrote.
        log: Option<PathBuf>,
    },
    /// A secret that the build names is not there.
    #[error("the secret `{id}` is not there: {place} is not set or no file")]
    SecretMissing {
        /// Its id.
        id: String,
        /// Where it should be.
        place: String,
    },
    /// The Dockerfile uses an image that the request does not bring.
    #[error("the base image `{reference}` is neither locked nor a service, or there is none for {platform}")]
    BaseMissing {
        /// The image, as the Dockerfile names it after expansion.
        reference: String,
        /// The platform of the build.
        platform: String,
    },
    /// The build would use packages that the repository's `Cargo.lock` does not pin.
    #[error("Cargo.lock does not pin {}", Packages(.packages))]
    NotInLock {
        /// Name and version of each, sorted.
        packages: Vec<(String, String)>,
    },
    /// A path dependency lies outside the staged directory.
    #[error("package `{package}` lies outside the build context, in {path}")]
    OutsideStage {
        /// The package.
        package: String,
        /// Its manifest.
        path: PathBuf,
    },
    /// The package is not a member of the staged workspace.
    #[error("there is no package `{package}` in the build context{}", Known(.known))]
    PackageMissing {
        /// The package asked for.
        package: String,
        /// The packages there are, sorted.
        known: Vec<String>,
    },
    /// The package has no such binary.
    #[error("there is no binary `{bin}`{}", Known(.known))]
    BinaryMissing {
        /// The binary asked for.
        bin: String,
        /// The binaries there are, sorted.
        known: Vec<String>,
    },
    /// Several binaries and nothing that says which one starts.
    #[error("the image has several binaries and no entrypoint{}", Known(.known))]
    EntrypointUnclear {
        /// The binaries there are, sorted.
        known: Vec<String>,
    },
    /// A file that should be a program is not an ELF file.
    #[error("{path} is not an ELF executable: {problem}")]
    NotElf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A program for another kind of machine.
    #[error("{path} is built for {found}, not for {wanted}")]
    WrongMachine {
        /// The file.
        path: PathBuf,
        /// What its header says, such as `aarch64, 64 bit, little endian`.
        found: String,
        /// What the platform needs.
        wanted: String,
    },
    /// A program that needs a dynamic loader, in an image that has none.
    #[error("{path} needs the dynamic loader {interpreter}, and an image from scratch has none")]
    DynamicOnScratch {
        /// The file.
        path: PathBuf,
        /// Its `PT_INTERP`.
        interpreter: String,
        /// Whether it was compiled elsewhere.
        prebuilt: bool,
    },
    /// A shared object that a program needs is not on this machine.
    #[error("the shared library {library}, needed by {needed_by}, is nowhere on this machine")]
    LibraryMissing {
        /// Its `DT_NEEDED` name, or the interpreter's path.
        library: String,
        /// The file that needs it.
        needed_by: PathBuf,
    },
    /// A path of the recipe is not in the stage.
    #[error("there is no {path} in the build context")]
    FileMissing {
        /// The path, relative to the stage.
        path: String,
    },
    /// A path of the recipe leads out of the stage, or to something that cannot be in an image.
    #[error("{path} cannot be part of an image: {problem}")]
    FileRefused {
        /// The path, relative to the stage.
        path: String,
        /// Why not.
        problem: &'static str,
    },
    /// Two sources give the same path of the image different content.
    #[error("`{image_path}` would come from `{first}` and from `{second}`")]
    FilesConflict {
        /// The path in the image.
        image_path: String,
        /// The source added first, relative to the stage.
        first: String,
        /// The other one.
        second: String,
    },
    /// Image assembly failed.
    #[error(transparent)]
    Image(#[from] shipper_oci::Error),
    /// The file system failed.
    #[error("{action} {path}")]
    Io {
        /// What was tried: `read`, `write`, `create`, `start`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

/// How many of the last lines of a failed process an error carries.
pub const TAIL_LINES: usize = 40;

/// What is wrong with a toolchain file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ToolchainProblem {
    /// Neither one line with a channel nor a TOML document of the expected shape.
    #[error("{0}")]
    Syntax(String),
    /// `path = ".."`: a compiler that the repository chose would run.
    #[error("`path` toolchains are refused, because planning would run a program that the repository chose")]
    Path,
    /// A channel that is not a toolchain name.
    #[error("`{0}` is not the name of a toolchain")]
    Channel(String),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// The system did not say.
    Unknown,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal(signal) => write!(f, "signal {signal}"),
            Exit::Unknown => f.write_str("no exit code"),
        }
    }
}

impl From<std::process::ExitStatus> for Exit {
    fn from(status: std::process::ExitStatus) -> Exit {
        #[cfg(unix)]
        if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
            return Exit::Signal(signal);
        }
        status.code().map_or(Exit::Unknown, Exit::Code)
    }
}

impl From<shipper_oci::InvalidTag> for BuildError {
    fn from(error: shipper_oci::InvalidTag) -> Self {
        shipper_oci::Error::from(error).into()
    }
}

impl BuildError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> BuildError {
        let path = path.to_path_buf();
        move |source| BuildError::Io { action, path, source }
    }

    /// Whether nothing can be said about the inputs, because a registry or the network did not answer.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        match self {
            BuildError::CargoFailed { step, .. } => *step == "fetch",
            BuildError::EngineFailed { step, .. } => *step == "pull",
            BuildError::Image(source) => source.is_unknown(),
            _ => false,
        }
    }

    /// The last lines of the process that failed, oldest first; empty where no process failed.
    #[must_use]
    pub fn tail(&self) -> &[String] {
        match self {
            BuildError::CargoFailed { tail, .. }
            | BuildError::CompileFailed { tail, .. }
            | BuildError::EngineFailed { tail, .. } => tail,
            _ => &[],
        }
    }

    /// The step of the Dockerfile that failed.
    #[must_use]
    pub fn failed_step(&self) -> Option<&FailedStep> {
        match self {
            BuildError::EngineFailed { at, .. } => at.as_deref(),
            _ => None,
        }
    }

    /// Itself, with the line of the step that failed: what `line` gives for the instruction, where the builder told none.
    #[must_use]
    pub fn located(mut self, line: impl FnOnce(&str) -> Option<usize>) -> BuildError {
        if let BuildError::EngineFailed { at: Some(at), .. } = &mut self {
            at.line = at.line.or_else(|| line(&at.instruction));
        }
        self
    }

    /// The file with the whole output of the process that failed.
    #[must_use]
    pub fn log(&self) -> Option<&Path> {
        match self {
            BuildError::CargoFailed { log, .. }
            | BuildError::CompileFailed { log, .. }
            | BuildError::EngineFailed { log, .. } => log.as_deref(),
            _ => None,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            BuildError::EngineMissing { install, .. }
            | BuildError::TargetMissing { install, .. }
            | BuildError::LinkerMissing { install, .. } => Some(install.clone()),
            BuildError::EngineLimited { cure, .. } => Some(cure.clone()),
            BuildError::EngineUnreachable { .. } => {
                Some("start it, or choose another builder with SHIPPER_BUILDER or `builder` in shipper.toml".to_owned())
            }
            BuildError::ToolchainFile { problem: ToolchainProblem::Path, .. } => {
                Some("name a channel instead, such as `channel = \"1.95.0\"`".to_owned())
            }
            BuildError::ToolchainMissing { toolchain, .. } => Some(match toolchain.strip_prefix("toolchain ") {
                Some(channel) => format!("`rustup toolchain install {channel}` installs it"),
                None => "install Rust from https://rustup.rs, or put `rustc` on PATH".to_owned(),
            }),
            BuildError::ToolchainChanged { .. } => Some("plan again; the new compiler gives a new key".to_owned()),
            BuildError::ReservedVariable { name } if name.contains("RUSTFLAGS") => {
                Some("use `rustflags` of the service, which is part of its key".to_owned())
            }
            BuildError::AmbientConfig { .. } => {
                Some("move these settings to .cargo/config.toml of the repository, where they are part of the key".to_owned())
            }
            BuildError::BaseMissing { .. } => {
                Some("plan again, which locks what is missing; a base for another platform needs buildx".to_owned())
            }
            BuildError::NotInLock { .. } => {
                Some("update Cargo.lock with `cargo update --workspace` and commit it".to_owned())
            }
            BuildError::OutsideStage { .. } => {
                Some("path dependencies must lie in the repository, where they can be hashed".to_owned())
            }
            BuildError::EntrypointUnclear { .. } => Some("set `entrypoint`, or name one binary".to_owned()),
            BuildError::DynamicOnScratch { prebuilt: true, .. } => {
                Some("link it statically, or set `base` to an image that has the loader and its libraries".to_owned())
            }
            BuildError::DynamicOnScratch { prebuilt: false, .. } => Some(
                "link it statically (`link = \"static\"` or `\"musl\"`), set `link = \"dynamic\"` to copy the libraries, \
                 or set `base` to an image that has them"
                    .to_owned(),
            ),
            BuildError::LibraryMissing { .. } => {
                Some("install the library on this machine, or set `base` to an image that has it".to_owned())
            }
            BuildError::WrongMachine { .. } => Some("build it for the platform of the image".to_owned()),
            BuildError::FileMissing { .. } => {
                Some("it may be ignored by git; list it in `inputs` of the service".to_owned())
            }
            BuildError::Image(source) => source.hint(),
            _ => None,
        }
    }
}

/// What a builder was doing when it failed.
struct Place<'a>(&'a str, Option<&'a FailedStep>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place(step, Some(at)) = self else { return f.write_str(self.0) };
        let line = at.line.map(|line| format!(" of line {line}")).unwrap_or_default();
        write!(f, "{step}: `{}`{line}", at.instruction.lines().next().unwrap_or_default())
    }
}

/// The last line of a tail that says something, for the one-line message.
struct Tail<'a>(&'a [String]);

impl fmt::Display for Tail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.0.iter().find(|line| line.trim_start().starts_with("error"));
        match error.or_else(|| self.0.iter().rev().find(|line| !line.trim().is_empty())) {
            Some(line) => write!(f, ": {}", line.trim()),
            None => Ok(()),
        }
    }
}

struct Known<'a>(&'a [String]);

impl fmt::Display for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "; there is {}", self.0.join(", ")) }
    }
}

struct Packages<'a>(&'a [(String, String)]);

impl fmt::Display for Packages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, version)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{name} {version}")?;
        }
        Ok(())
    }
}
