//! Generated projects under `target/bench`: the same bytes on every machine, made once.
//!
//! Invariant: a project is complete when its marker names the parameters it was made with; anything else is made anew.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::process::{output, say};

/// Files of one directory of a generated tree.
const FILES_PER_DIRECTORY: usize = 100;

/// A committed tree of `files` small files.
pub(super) fn tree(root: &Path, files: usize) -> anyhow::Result<()> {
    made_once(root, &format!("tree 1: {files} files"), || {
        for number in 0..files {
            let directory = number / FILES_PER_DIRECTORY;
            let path = root.join(format!("part-{:02}/group-{directory:04}/file-{number:05}.txt", directory % 20));
            write(&path, &content(number))?;
        }
        Ok(())
    })
}

/// A committed project of `services` services, each of `files` files, shipped into a layout beside them.
pub(super) fn services(root: &Path, services: usize, files: usize) -> anyhow::Result<()> {
    made_once(root, &format!("services 1: {services} of {files} files"), || {
        let mut config = "[project]\nname = \"bench\"\nregistry = \"oci:.shipper/images\"\n".to_owned();
        for service in 0..services {
            config.push_str(&format!(
                "\n[service.s{service:02}]\nbase = \"scratch\"\nfiles = {{ \"/srv\" = \"s{service:02}\" }}\n"
            ));
            for file in 0..files {
                write(&root.join(format!("s{service:02}/file-{file:03}.txt")), &content(service * files + file))?;
            }
        }
        write(&root.join("shipper.toml"), &config)?;
        write(&root.join(".gitignore"), ".shipper/\n")
    })
}

pub(super) fn made_once(root: &Path, parameters: &str, make: impl Fn() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let marker = root.with_extension("complete");
    if root.is_dir() && std::fs::read_to_string(&marker).is_ok_and(|made| made == parameters) {
        return Ok(());
    }
    say(&format!("making {} ({parameters})", root.display()));
    if root.exists() {
        std::fs::remove_dir_all(root).with_context(|| format!("cannot remove {}", root.display()))?;
    }
    std::fs::create_dir_all(root).with_context(|| format!("cannot create {}", root.display()))?;
    make()?;
    commit(root)?;
    std::fs::write(&marker, parameters).with_context(|| format!("cannot write {}", marker.display()))
}

fn commit(root: &Path) -> anyhow::Result<()> {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(root).args(["-c", "user.name=bench", "-c", "user.email=bench@example.com"]).args(arguments);
        output(&mut git).map(drop)
    };
    git(&["init", "--quiet", "--initial-branch=main"])?;
    git(&["add", "--all"])?;
    git(&["commit", "--quiet", "--no-gpg-sign", "-m", "bench"])
}

/// Between 0.1 and 4 KiB of text that differs from file to file.
fn content(number: usize) -> String {
    let lines = 2 + number * 7 % 61;
    let line = |line| format!("file {number} line {line}: generated text that is there to be hashed\n");
    (0..lines).map(line).collect()
}

pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
