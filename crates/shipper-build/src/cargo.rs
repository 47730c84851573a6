//! Compiling a Cargo package in the stage, so that the result depends on the stage and the compiler alone.
//!
//! Invariants:
//! - Cargo runs in the root directory with a cleared environment, its own home and its own target directory (see
//!   [`config`] and [`home`] for what is read instead of the user's configuration);
//! - it compiles offline, with the lock file that was checked against the repository's;
//! - no path of this machine is in debug information or panic messages: the stage is `/src`, the target directory
//!   `/target`, the packages of registries `/cargo/registry/src`. What a package reads with `env!("CARGO_MANIFEST_DIR")`
//!   or `env!("OUT_DIR")` cannot be mapped; a binary that contains such a path is reported in the log.
//!
//! Measured with Rust 1.95: the same package, built in two directories by two users with different umasks, locales and
//! time zones, gives the same bytes, debug information and symbols included, so nothing is stripped here; profiles
//! decide. The one exception are path dependencies outside the workspace root: Cargo hashes their absolute path.

mod config;
mod flags;
mod home;
mod lock;
mod messages;
mod metadata;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

pub use lock::{LockRequest, complete_lock};

use config::StagedConfig;
use home::Homes;
use metadata::{Metadata, Package};

use crate::environment::Environment;
use crate::error::{BuildError, Exit};
use crate::log::{BuildLog, Step};
use crate::process::{LogFile, Process, Stream, TailBuffer};
use crate::rustc::{Installed, RustcIdentity, root_of};
use crate::target::{LinkMode, Machine};

/// What to compile, and how. Everything in it belongs into the build key, except [`CargoRecipe::locked`] and
/// [`CargoRecipe::workspace_root`], which the context already covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CargoRecipe {
    /// The package, a member of the workspace.
    pub package: String,
    /// The binaries to put into the image; empty for all that the package has.
    pub bins: Vec<String>,
    /// The profile, such as `release`.
    pub profile: String,
    /// Features to enable, of this package.
    pub features: Vec<String>,
    /// Whether the package's default features are off.
    pub no_default_features: bool,
    /// How the binaries are linked.
    pub link: LinkMode,
    /// More compiler flags for the target, after the repository's own.
    pub rustflags: Vec<String>,
    /// Environment variables of the build, for build scripts and `env!`.
    pub env: BTreeMap<String, String>,
    /// The workspace root inside the stage, absolute or relative to the stage.
    pub workspace_root: PathBuf,
    /// The compiler; see [`crate::rustc_identity`].
    pub rustc: RustcIdentity,
    /// Name and version of all packages in the repository's `Cargo.lock`. The staged lock file is cut down to the
    /// closure and completed by Cargo; it must not bring in any other package of a registry.
    pub locked: Vec<(String, String)>,
}

/// What was compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Compiled {
    /// Name and file of each binary, in the order of the recipe, or by name where it names none.
    pub(crate) binaries: Vec<(String, PathBuf)>,
    /// The binary that `cargo run` would start.
    pub(crate) default_run: Option<String>,
}

/// Where a build happens; all paths are absolute and canonical.
pub(crate) struct Place<'a> {
    pub(crate) stage: &'a Path,
    pub(crate) work: &'a Path,
    pub(crate) environment: &'a Environment,
    pub(crate) machine: &'static Machine,
    /// `SOURCE_DATE_EPOCH` for build scripts, in seconds.
    pub(crate) created: u64,
}

/// Compiles the recipe's binaries.
pub(crate) async fn compile(
    recipe: &CargoRecipe,
    place: &Place<'_>,
    log: &dyn BuildLog,
) -> Result<Compiled, BuildError> {
    flags::check_environment(&recipe.env)?;
    let mut build = Build::prepare(recipe, place, log).await?;
    let metadata = build.resolve().await?;
    let package = metadata.member(&recipe.package)?;
    build.check_lock()?;
    metadata.refuse_outside(place.stage)?;
    build.warn_of_strangers(&metadata);
    let wanted = wanted_bins(recipe, package)?;
    let binaries = build.compile(&metadata, package, &wanted).await?;
    build.warn_of_paths(&binaries)?;
    Ok(Compiled { binaries, default_run: package.default_run().map(str::to_owned) })
}

/// The binaries of the recipe, each known to the package.
fn wanted_bins(recipe: &CargoRecipe, package: &Package) -> Result<Vec<String>, BuildError> {
    let known = package.bins();
    if let Some(bin) = recipe.bins.iter().find(|bin| !known.contains(bin)) {
        return Err(BuildError::BinaryMissing { bin: bin.clone(), known });
    }
    if known.is_empty() {
        return Err(BuildError::BinaryMissing { bin: recipe.package.clone(), known });
    }
    Ok(if recipe.bins.is_empty() { known } else { recipe.bins.clone() })
}

/// The linker that Cargo has to be told, if the compiler's default will not do.
fn linker(
    link: LinkMode,
    place: &Place<'_>,
    installed: &Installed,
    target: &str,
) -> Result<Option<String>, BuildError> {
    let native = place.machine.is_native(&installed.version.host);
    let has_cc = place.environment.find_program("cc").is_some();
    if native && has_cc {
        return Ok(None);
    }
    // The compiler's own linker is enough for musl: the target brings its start files and libraries along.
    if link == LinkMode::Musl && installed.has_own_linker() {
        return Ok(Some("rust-lld".to_owned()));
    }
    if native {
        let install = "install a C compiler, `apt-get install gcc libc6-dev` on Debian".to_owned();
        return Err(BuildError::LinkerMissing { target: target.to_owned(), linker: "cc".to_owned(), install });
    }
    place.machine.cross_linker(target, place.environment).map(Some)
}

struct Build<'a> {
    recipe: &'a CargoRecipe,
    place: &'a Place<'a>,
    log: &'a dyn BuildLog,
    file: LogFile,
    installed: Installed,
    target: String,
    homes: Homes,
    config: StagedConfig,
    manifest: PathBuf,
    workspace_root: PathBuf,
    linker: Option<String>,
}

impl<'a> Build<'a> {
    async fn prepare(
        recipe: &'a CargoRecipe,
        place: &'a Place<'a>,
        log: &'a dyn BuildLog,
    ) -> Result<Build<'a>, BuildError> {
        let mut build = Self::open(recipe, place, log, "cargo.log").await?;
        let installed = &build.installed;
        let target = place.machine.target(recipe.link)?;
        if !installed.has_target(&target) {
            let channel =
                installed.channel.as_ref().map(|channel| format!("--toolchain {channel} ")).unwrap_or_default();
            return Err(BuildError::TargetMissing {
                install: format!("`rustup target add {channel}{target}` installs it"),
                target,
            });
        }
        let configured = build.config.has_linker(&target) || recipe.env.contains_key(&flags::linker_variable(&target));
        build.linker = if configured { None } else { linker(recipe.link, place, installed, &target)? };
        build.target = target;
        Ok(build)
    }

    /// As much as cargo needs to resolve packages; the target is the host.
    async fn open(
        recipe: &'a CargoRecipe,
        place: &'a Place<'a>,
        log: &'a dyn BuildLog,
        file: &str,
    ) -> Result<Build<'a>, BuildError> {
        let workspace_root = place.stage.join(&recipe.workspace_root);
        let manifest = workspace_root.join("Cargo.toml");
        if !workspace_root.starts_with(place.stage) || !manifest.is_file() {
            return Err(BuildError::FileMissing {
                path: recipe.workspace_root.join("Cargo.toml").display().to_string(),
            });
        }
        config::refuse_ambient(&root_of(place.work))?;
        let installed = Installed::find(&recipe.rustc, place.environment).await?;
        let config = StagedConfig::read(place.stage, &workspace_root)?;
        let homes = Homes::prepare(place.work, place.environment)?;
        let file = LogFile::create(&place.work.join(file))?;
        let target = installed.version.host.clone();
        let linker = None;
        Ok(Build { recipe, place, log, file, installed, target, homes, config, manifest, workspace_root, linker })
    }

    /// The packages of the workspace, downloaded where they are not there, and a lock file that names just them.
    async fn resolve(&mut self) -> Result<Metadata, BuildError> {
        let (status, text, tail) = self.metadata().await?;
        let text = if status.success() {
            text
        } else if !self.has_external_packages() {
            return Err(self.cargo_failed("metadata", status, tail));
        } else {
            self.fetch().await?;
            let (status, text, tail) = self.metadata().await?;
            if !status.success() {
                return Err(self.cargo_failed("metadata", status, tail));
            }
            text
        };
        Metadata::parse(&text)
            .map_err(|problem| BuildError::Unsupported { what: format!("this output of `cargo metadata` ({problem})") })
    }

    /// `cargo metadata`, offline; completes the lock file.
    async fn metadata(&mut self) -> Result<(ExitStatus, String, Vec<String>), BuildError> {
        let mut process = self.cargo("metadata", self.environment(&self.homes.own))?;
        process = process.args(["--format-version", "1", "--offline"]);
        for target in self.targets() {
            process = process.args(["--filter-platform", target]);
        }
        // Packages of optional dependencies are only looked for when their feature is on.
        let features: Vec<String> =
            self.recipe.features.iter().map(|feature| format!("{}/{feature}", self.recipe.package)).collect();
        if !features.is_empty() {
            process = process.args(["--features", &features.join(",")]);
        }
        self.file.line(&format!("$ {}", process.describe()));
        let output = process.capture(metadata::LIMIT).await?;
        output.tail.iter().for_each(|line| self.file.line(line));
        Ok((output.status, output.stdout, output.tail))
    }

    /// `cargo fetch` with the user's home, mirrors, credentials and proxies. It runs nothing of the repository but what
    /// its own Cargo configuration names for the network.
    async fn fetch(&mut self) -> Result<(), BuildError> {
        self.log.step(&Step::Fetching);
        let mut environment = self.environment(&self.homes.user);
        environment.extend(self.place.environment.machine_and_network());
        environment.extend(self.place.environment.pick(flags::is_for_fetching));
        environment.set("CARGO_HOME", &self.homes.user);
        let mut process = self.cargo("fetch", environment)?;
        for target in self.targets() {
            process = process.args(["--target", target]);
        }
        self.file.line(&format!("$ {}", process.describe()));
        let (file, log) = (&mut self.file, self.log);
        let mut tail = TailBuffer::default();
        let status = process
            .run(&mut |_, line| {
                file.line(line);
                log.line(line);
                tail.push(line);
            })
            .await?;
        if !status.success() {
            return Err(self.cargo_failed("fetch", status, tail.into_lines()));
        }
        self.homes.link()
    }

    async fn compile(
        &mut self,
        metadata: &Metadata,
        package: &Package,
        wanted: &[String],
    ) -> Result<Vec<(String, PathBuf)>, BuildError> {
        let mut process = self.cargo("build", self.environment(&self.homes.own))?;
        process = process.args(["--offline", "--locked", "--message-format", "json-render-diagnostics"]);
        process = process.args(["--target", &self.target, "--profile", &self.recipe.profile, "--package", &package.id]);
        process = process.args(wanted.iter().flat_map(|bin| ["--bin", bin]));
        if !self.recipe.features.is_empty() {
            process = process.args(["--features", &self.recipe.features.join(",")]);
        }
        if self.recipe.no_default_features {
            process = process.arg("--no-default-features");
        }
        process = process.arg("--target-dir").arg(self.target_dir());
        let rustflags = self.rustflags(metadata);
        process = process.args(self.config.flag_args(&rustflags)?);
        self.file.line(&format!("$ {}", process.describe()));

        let mut progress = messages::Progress::new(metadata, &package.id);
        let mut tail = TailBuffer::default();
        let (file, log) = (&mut self.file, self.log);
        let status = process
            .run(&mut |stream, line| match stream {
                Stream::Stdout => {
                    if let Some(step) = progress.message(line) {
                        log.step(&step);
                    }
                }
                Stream::Stderr => {
                    file.line(line);
                    if !messages::is_status(line) {
                        tail.push(line);
                        log.line(line);
                    }
                }
            })
            .await?;
        if !status.success() {
            let (exit, log) = (Exit::from(status), self.file.flushed());
            return Err(BuildError::CompileFailed { exit, tail: tail.into_lines(), log });
        }
        self.log.step(&progress.summary());
        let executables = progress.into_executables();
        wanted
            .iter()
            .map(|bin| match executables.get(bin) {
                Some(path) => Ok((bin.clone(), path.clone())),
                None => {
                    Err(BuildError::BinaryMissing { bin: bin.clone(), known: executables.keys().cloned().collect() })
                }
            })
            .collect()
    }

    /// Every package of a registry or a git repository must be one that the repository pins.
    fn check_lock(&self) -> Result<(), BuildError> {
        let path = self.workspace_root.join("Cargo.lock");
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            text => text.map_err(BuildError::io("read", &path))?,
        };
        let used = metadata::external_packages(&text).map_err(|message| BuildError::CargoConfig { path, message })?;
        let pinned: BTreeSet<&(String, String)> = self.recipe.locked.iter().collect();
        let packages: Vec<_> = used.into_iter().filter(|package| !pinned.contains(package)).collect();
        if packages.is_empty() { Ok(()) } else { Err(BuildError::NotInLock { packages }) }
    }

    fn has_external_packages(&self) -> bool {
        let lock = fs::read_to_string(self.workspace_root.join("Cargo.lock")).unwrap_or_default();
        metadata::external_packages(&lock).map_or(true, |packages| !packages.is_empty())
    }

    /// Cargo hashes the absolute path of a package outside the workspace root into every symbol.
    fn warn_of_strangers(&self, metadata: &Metadata) {
        let strange =
            |package: &&Package| package.source.is_none() && !package.manifest_path.starts_with(&self.workspace_root);
        let names: Vec<&str> =
            metadata.packages().iter().filter(strange).map(|package| package.name.as_str()).collect();
        if !names.is_empty() {
            self.log.warning(&format!(
                "{} outside the workspace root: the binary will differ in another directory",
                names.join(", ")
            ));
        }
    }

    /// Says where a binary contains a directory of this machine.
    fn warn_of_paths(&self, binaries: &[(String, PathBuf)]) -> Result<(), BuildError> {
        for (name, file) in binaries {
            for dir in [self.place.stage, self.place.work, &self.homes.user] {
                if flags::contains(file, dir.as_os_str().as_encoded_bytes()).map_err(BuildError::io("read", file))? {
                    self.log.warning(&format!(
                        "the binary `{name}` contains the path {}; it differs in another directory",
                        dir.display()
                    ));
                }
            }
        }
        Ok(())
    }

    /// A Cargo command in the root directory, with the configuration of the stage.
    fn cargo(&self, command: &str, environment: Environment) -> Result<Process, BuildError> {
        let process = Process::new(&self.installed.cargo, root_of(self.place.work), environment);
        Ok(process.arg(command).arg("--manifest-path").arg(&self.manifest).args(self.config.file_args()?))
    }

    fn environment(&self, cargo_home: &Path) -> Environment {
        let mut environment = self.place.environment.machine();
        environment.prepend_path(&self.installed.sysroot.join("bin"));
        environment.extend(self.place.environment.pick(flags::is_source_address));
        environment.set("CARGO_HOME", cargo_home);
        environment.set("RUSTC", &self.installed.rustc);
        if let Some(channel) = &self.installed.channel {
            environment.set("RUSTUP_TOOLCHAIN", channel);
        }
        // Incremental compilation splits the code as earlier builds left it.
        environment.set("CARGO_INCREMENTAL", "0");
        environment.set("CARGO_BUILD_BUILD_DIR", self.target_dir());
        environment.set("CARGO_TERM_COLOR", "never");
        environment.set("CARGO_TERM_PROGRESS_WHEN", "never");
        environment.set("SOURCE_DATE_EPOCH", self.place.created.to_string());
        if let Some(linker) = &self.linker {
            environment.set(flags::linker_variable(&self.target), linker);
        }
        if !self.config.sets_c_flags() {
            environment.extend(flags::c_compiler(&self.target, &self.recipe.env, &self.own_paths()));
        }
        environment.extend(self.recipe.env.iter().collect());
        environment
    }

    fn rustflags(&self, metadata: &Metadata) -> Vec<String> {
        let mut rustflags = self.recipe.rustflags.clone();
        if self.recipe.link == LinkMode::Static {
            rustflags.push("-Ctarget-feature=+crt-static".to_owned());
        }
        let mut paths = flags::package_paths(metadata.packages(), self.place.stage, &self.homes.own);
        let rust_src = self.installed.sysroot.join("lib/rustlib/src/rust");
        paths.push((rust_src, format!("/rustc/{}", self.installed.version.commit)));
        paths.extend(self.own_paths());
        rustflags.extend(flags::remap(paths));
        rustflags
    }

    fn own_paths(&self) -> Vec<(PathBuf, String)> {
        vec![(self.target_dir(), "/target".to_owned()), (self.place.stage.to_path_buf(), "/src".to_owned())]
    }

    fn target_dir(&self) -> PathBuf {
        self.place.work.join("target")
    }

    /// The target, and the host, for build scripts and procedural macros.
    fn targets(&self) -> Vec<&str> {
        let host = self.installed.version.host.as_str();
        if host == self.target { vec![host] } else { vec![&self.target, host] }
    }

    fn cargo_failed(&mut self, step: &'static str, status: ExitStatus, tail: Vec<String>) -> BuildError {
        BuildError::CargoFailed { step, exit: status.into(), tail, log: self.file.flushed() }
    }
}
