//! Docker engines with buildx for the tests, unpacked from Debian's packages into `target/engines` and never installed.
//!
//! Invariants: where packages come from and how they are verified is read from the machine's own apt settings; nothing
//! outside `target/` is touched; a suite that is there already is not downloaded again.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::process::{command, find, retried, run, say};

/// Debian suites whose engine runs on the older system that the tests run on. The first must be there; the others come
/// from suites that move, and tests that need them may be skipped.
const SUITES: &[&str] = &["trixie", "forky"];

/// What makes an engine: daemon, client, plug-in, containerd.
const PACKAGES: &[&str] = &["docker.io", "docker-cli", "docker-buildx", "containerd"];

/// Where Debian's archive keys lie (package debian-archive-keyring).
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Makes the engines present where apt is there; says what could not be had.
pub(crate) fn provide() -> PathBuf {
    let root = crate::root().join("target/engines");
    for suite in SUITES {
        let place = root.join(suite);
        if place.join("usr/bin/docker").exists() {
            continue;
        }
        if let Err(error) = unpack(suite, &place) {
            say(&format!("warning: no Docker engine of {suite} for the tests: {error:#}"));
        }
    }
    root
}

fn unpack(suite: &str, place: &Path) -> anyhow::Result<()> {
    ensure!(find("apt-get").is_some() && find("dpkg-deb").is_some(), "apt-get and dpkg-deb are not there");
    let archive = archive().context("no Debian archive in apt's settings")?;
    let work = tempfile_in(place)?;
    let write = |name: &str, text: String| std::fs::write(work.join(name), text).context("cannot write below target/");
    for directory in ["sources", "lists/partial", "cache/archives/partial", "packages"] {
        std::fs::create_dir_all(work.join(directory)).context("cannot write below target/")?;
    }
    write(
        "sources/suite.sources",
        format!("Types: deb\nURIs: {archive}\nSuites: {suite}\nComponents: main\nSigned-By: {KEYRING}\n"),
    )?;
    let at = |name: &str| work.join(name).display().to_string();
    write(
        "apt.conf",
        format!(
            "Dir::Etc::sourcelist \"/dev/null\";\nDir::Etc::sourceparts \"{}\";\nDir::State::lists \"{}\";\n\
             Dir::Cache \"{}\";\nAcquire::Languages \"none\";\nAPT::Sandbox::User \"root\";\n",
            at("sources"),
            at("lists"),
            at("cache"),
        ),
    )?;
    let apt = |arguments: &[&str]| {
        let mut apt = command("apt-get");
        apt.env("APT_CONFIG", work.join("apt.conf")).current_dir(work.join("packages"));
        apt.args(["-qq", "-o", "Acquire::Retries=3"]).args(arguments);
        apt
    };
    retried(|| apt(&["update"]))?;
    retried(|| {
        let mut download = apt(&["download"]);
        download.args(PACKAGES);
        download
    })?;
    let root = work.join("root");
    for package in std::fs::read_dir(work.join("packages")).context("cannot read what was downloaded")? {
        run(command("dpkg-deb").arg("--extract").arg(package?.path()).arg(&root))?;
    }
    std::fs::rename(&root, place).context("cannot move the engine into place")?;
    std::fs::remove_dir_all(&work).context("cannot remove the downloads")
}

/// An empty directory beside `place`, on the same file system.
fn tempfile_in(place: &Path) -> anyhow::Result<PathBuf> {
    let work = place.with_extension("download");
    if work.exists() {
        std::fs::remove_dir_all(&work).context("cannot remove an earlier download")?;
    }
    std::fs::create_dir_all(&work).context("cannot write below target/")?;
    Ok(work)
}

/// The Debian archive that this machine uses: the first main archive that apt lists.
fn archive() -> Option<String> {
    let mut list = Command::new("apt-get");
    list.args(["indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages"]);
    let output = list.output().ok()?;
    site(&String::from_utf8_lossy(&output.stdout))
}

/// Of lines `SITE RELEASE`, the first site whose release is a plain suite (no `-updates`, no `-security`).
fn site(lines: &str) -> Option<String> {
    let mut pairs = lines.lines().filter_map(|line| line.split_once(' '));
    pairs.find(|(_, release)| !release.contains(['-', '/'])).map(|(site, _)| site.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_archive_is_told_from_updates_and_security() {
        let lines = "http://a/security bookworm-security\nhttp://a/debian bookworm\nhttp://a/debian bookworm-updates\n";
        assert_eq!(site(lines).as_deref(), Some("http://a/debian"));
        assert_eq!(site("nonsense\n"), None);
    }
}
