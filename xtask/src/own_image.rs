//! `cargo xtask own-image`: shipper ships itself, as the repository's own `shipper.toml` says.
//!
//! Invariants: the judge is umoci, not shipper; images, caches and the unpacked tree lie below `target/own-image`, so
//! that a run begins from nothing and `cargo clean` removes what it left.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::install;
use crate::process::{cargo, command, output, run, say};

/// Ships the command, unpacks the image, runs what is in it, and ships again.
pub(crate) fn check() -> anyhow::Result<()> {
    install::debian_packages();
    let place = crate::root().join("target/own-image");
    match std::fs::remove_dir_all(&place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).context("cannot empty target/own-image");
        }
        _ => {}
    }
    run(&mut shipper(&place, &["ship"]))?;
    let layout = place.join("images/shipper/shipper");
    let root = unpack(&layout, &identity(&layout)?, &place.join("bundle"))?;
    let printed = output(command(&root.join("usr/local/bin/shipper").display().to_string()).arg("--version"))?;
    let printed = String::from_utf8_lossy(&printed);
    let wanted = format!("shipper {}", env!("CARGO_PKG_VERSION"));
    ensure!(printed.trim() == wanted, "the image's program prints `{}`, not `{wanted}`", printed.trim());
    say(&format!("the image's program prints `{wanted}`"));
    // `--check` fails where anything is due.
    run(&mut shipper(&place, &["plan", "--check"]))
}

/// The command of this checkout, with images and caches below `place`.
fn shipper(place: &Path, arguments: &[&str]) -> Command {
    let mut shipper = cargo();
    shipper.args(["run", "--quiet", "--package", "cargo-shipper", "--bin", "shipper", "--"]).args(arguments);
    shipper.arg("--registry").arg(format!("oci:{}", place.join("images").display()));
    shipper.env("SHIPPER_CACHE_DIR", place.join("cache"));
    shipper
}

/// The one identity tag of a layout.
fn identity(layout: &Path) -> anyhow::Result<String> {
    let list = output(command("umoci").arg("list").arg("--layout").arg(layout))?;
    let list = String::from_utf8_lossy(&list);
    let tags: Vec<&str> = list.lines().filter(|tag| tag.starts_with("h-")).collect();
    match tags.as_slice() {
        [tag] => Ok((*tag).to_owned()),
        _ => anyhow::bail!("umoci lists {} identities in {}, not one", tags.len(), layout.display()),
    }
}

/// Unpacks an image and gives its root file system.
fn unpack(layout: &Path, tag: &str, bundle: &Path) -> anyhow::Result<PathBuf> {
    let mut unpack = command("umoci");
    unpack.arg("unpack");
    if !install::is_root() {
        unpack.arg("--rootless");
    }
    run(unpack.arg("--image").arg(format!("{}:{tag}", layout.display())).arg(bundle))?;
    Ok(bundle.join("rootfs"))
}
