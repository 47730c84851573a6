//! Docker engines with buildx, and clients of registries, for the tests and benches: unpacked from Debian's packages into
//! `target/engines` and never installed.
//!
//! Invariants: where packages come from and how they are verified is read from the machine's own apt settings; nothing
//! outside `target/` is touched; what is there already is not downloaded again.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::process::{command, find, retried, run, say};

/// Programs of one suite in one directory.
struct Set {
    what: &'static str,
    /// Debian's suite, whose programs run on the older system that the tests run on.
    suite: &'static str,
    /// The directory below `target/engines`.
    place: &'static str,
    packages: &'static [&'static str],
    /// A program that is there when everything is.
    marker: &'static str,
}

/// What makes an engine: daemon, client, plug-in, containerd.
const ENGINE: &[&str] = &["docker.io", "docker-cli", "docker-buildx", "containerd"];

/// The first engine must be there; what comes from a suite that moves may be away, and then its tests are skipped.
const SETS: &[Set] = &[
    Set { what: "Docker engine", suite: "trixie", place: "trixie", packages: ENGINE, marker: "docker" },
    Set { what: "Docker engine", suite: "forky", place: "forky", packages: ENGINE, marker: "docker" },
    Set {
        what: "other clients of registries",
        suite: "forky",
        place: "clients",
        packages: &["crane", "oras", "cosign"],
        marker: "cosign",
    },
];

/// Where Debian's archive keys lie (package debian-archive-keyring).
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Makes all of it present where apt is there; says what could not be had.
pub(crate) fn provide() -> PathBuf {
    SETS.iter().for_each(present);
    root()
}

/// A client of registries by another hand, made present where apt is there.
pub(crate) fn client(name: &str) -> Option<PathBuf> {
    SETS.iter().filter(|set| set.packages.contains(&name)).for_each(present);
    SETS.iter().map(|set| set.program(name)).find(|program| program.exists())
}

fn root() -> PathBuf {
    crate::root().join("target/engines")
}

impl Set {
    fn program(&self, name: &str) -> PathBuf {
        root().join(self.place).join("usr/bin").join(name)
    }
}

fn present(set: &Set) {
    if set.program(set.marker).exists() {
        return;
    }
    if let Err(error) = unpack(set, &root().join(set.place)) {
        say(&format!("warning: no {} of {} for the tests: {error:#}", set.what, set.suite));
    }
}

fn unpack(set: &Set, place: &Path) -> anyhow::Result<()> {
    ensure!(find("apt-get").is_some() && find("dpkg-deb").is_some(), "apt-get and dpkg-deb are not there");
    let archive = archive().context("no Debian archive in apt's settings")?;
    let work = tempfile_in(place)?;
    let write = |name: &str, text: String| std::fs::write(work.join(name), text).context("cannot write below target/");
    for directory in ["sources", "lists/partial", "cache/archives/partial", "packages"] {
        std::fs::create_dir_all(work.join(directory)).context("cannot write below target/")?;
    }
    write(
        "sources/suite.sources",
        format!("Types: deb\nURIs: {archive}\nSuites: {}\nComponents: main\nSigned-By: {KEYRING}\n", set.suite),
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
        download.args(set.packages);
        download
    })?;
    let root = work.join("root");
    for package in std::fs::read_dir(work.join("packages")).context("cannot read what was downloaded")? {
        run(command("dpkg-deb").arg("--extract").arg(package?.path()).arg(&root))?;
    }
    std::fs::rename(&root, place).context("cannot move what was unpacked into place")?;
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
