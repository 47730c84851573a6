//! Finds or installs what the tests need: Debian packages, the test runner, a Python environment, packages of npm.
//!
//! Invariants: nothing is installed that is there already; a failed installation is said and leaves the decision to
//! the tests, which skip or (where skipping is forbidden) fail.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::process::{cargo, command, find, retried, say};

/// Programs that the tests use, and the Debian package of each.
const DEBIAN: &[(&str, &str)] = &[
    ("docker-registry", "docker-registry"),
    ("skopeo", "skopeo"),
    ("buildah", "buildah"),
    ("runc", "runc"),
    ("umoci", "umoci"),
    ("busybox", "busybox-static"),
    ("strace", "strace"),
    ("faketime", "faketime"),
    ("chromium", "chromium"),
    ("openssl", "openssl"),
    ("curl", "curl"),
    ("groff", "groff-base"),
];

/// Settings that make `cargo install` of a tool quick to build rather than quick to run.
const QUICK_BUILD: &[(&str, &str)] = &[
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "256"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "0"),
    ("CARGO_PROFILE_RELEASE_STRIP", "none"),
];

/// Makes the programs of [`DEBIAN`] present, where this is Debian (or a relative) and we are root.
pub(crate) fn debian_packages() {
    let missing: Vec<&(&str, &str)> = DEBIAN.iter().filter(|(program, _)| find(program).is_none()).collect();
    if missing.is_empty() {
        return;
    }
    let names: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    if !can_install_packages() {
        say(&format!(
            "missing: {}\nhint: as root on Debian this task installs them; elsewhere the tests that need them are skipped",
            names.join(" ")
        ));
        return;
    }
    if let Err(error) = apt_install(&names) {
        say(&format!("warning: cannot install {}: {error:#}", names.join(" ")));
    }
}

/// Installs one package, where this is Debian (or a relative) and we are root; what is missing then is the caller's to see.
pub(crate) fn debian_package(name: &str) {
    if can_install_packages()
        && let Err(error) = apt_install(&[name])
    {
        say(&format!("warning: cannot install {name}: {error:#}"));
    }
}

fn can_install_packages() -> bool {
    is_root() && find("apt-get").is_some()
}

/// Whether this process may do everything.
#[cfg(unix)]
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether this process may do everything.
#[cfg(not(unix))]
pub(crate) fn is_root() -> bool {
    false
}

fn apt_install(packages: &[&str]) -> anyhow::Result<()> {
    let apt = |arguments: &[&str]| {
        let mut apt = command("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").args(["-qq", "-o", "Acquire::Retries=3"]).args(arguments);
        apt
    };
    retried(|| apt(&["update"]))?;
    retried(|| {
        let mut install = apt(&["install", "-y", "--no-install-recommends"]);
        install.args(packages);
        install
    })
}

/// Whether `cargo nextest` can be used; installs it if it is missing.
pub(crate) fn nextest() -> bool {
    if find("cargo-nextest").is_some() {
        return true;
    }
    let installed = retried(|| {
        let mut install = cargo();
        install.args(["install", "--locked", "cargo-nextest"]).envs(QUICK_BUILD.iter().copied());
        install
    });
    if let Err(error) = &installed {
        say(&format!("warning: cannot install cargo-nextest, `cargo test` runs the tests: {error:#}"));
    }
    installed.is_ok()
}

/// A Python interpreter with the packages of `xtask/requirements.txt`; `None` (and a word why) if there is none.
pub(crate) fn python() -> Option<PathBuf> {
    match virtual_environment() {
        Ok(python) => Some(python),
        Err(error) => {
            say(&format!("warning: no Python environment for the tests: {error:#}"));
            None
        }
    }
}

fn virtual_environment() -> anyhow::Result<PathBuf> {
    let directory = crate::root().join("target/venv");
    let requirements = crate::root().join("xtask/requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).context("cannot read xtask/requirements.txt")?;
    let stamp = directory.join("installed-requirements.txt");
    let python = directory.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    if python.exists() && std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    create_environment(&directory)?;
    retried(|| {
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "5", "-r"])
            .arg(&requirements);
        pip
    })?;
    std::fs::write(&stamp, wanted).context("cannot write into target/venv")?;
    Ok(python)
}

fn create_environment(directory: &Path) -> anyhow::Result<()> {
    let create = || {
        let mut create = command(if cfg!(windows) { "python" } else { "python3" });
        create.args(["-m", "venv", "--clear"]).arg(directory);
        create
    };
    // Debian keeps the module in a package of its own.
    if find("python3").is_some() && crate::process::succeeds(&mut create())? {
        return Ok(());
    }
    if can_install_packages() {
        apt_install(&["python3", "python3-venv"])?;
    }
    crate::process::run(&mut create())
}

/// A directory with the packages of `xtask/node/package-lock.json`; `None` (and a word why) if there is none.
pub(crate) fn node() -> Option<PathBuf> {
    match node_packages() {
        Ok(directory) => Some(directory),
        Err(error) => {
            say(&format!("warning: no packages of npm for the tests: {error:#}"));
            None
        }
    }
}

fn node_packages() -> anyhow::Result<PathBuf> {
    let (from, directory) = (crate::root().join("xtask/node"), crate::root().join("target/node"));
    let lock = "package-lock.json";
    let wanted = std::fs::read_to_string(from.join(lock)).context("cannot read xtask/node/package-lock.json")?;
    let stamp = directory.join("installed-lock.json");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(directory);
    }
    if (find("node").is_none() || find("npm").is_none()) && can_install_packages() {
        apt_install(&["nodejs", "npm"])?;
    }
    std::fs::create_dir_all(&directory).context("cannot create target/node")?;
    for file in ["package.json", lock] {
        std::fs::copy(from.join(file), directory.join(file)).context("cannot write into target/node")?;
    }
    // Packages run nothing when they are installed, and are what the lock says.
    retried(|| {
        let mut npm = command(if cfg!(windows) { "npm.cmd" } else { "npm" });
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]).current_dir(&directory);
        npm
    })?;
    std::fs::write(&stamp, wanted).context("cannot write into target/node")?;
    Ok(directory)
}
