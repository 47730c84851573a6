//! `bench hash`: a warm `shipper hash` against `git status` on a generated tree of 50,000 files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::measure::{Candidate, compare};
use super::shipper;
use crate::process::{command, run as run_command, say};

const FILES: usize = 50_000;
const FILES_IN_DIRECTORY: usize = 16;

pub(crate) fn run(directory: &Path, rounds: usize) -> anyhow::Result<()> {
    let tree = tree(&directory.join("tree"))?;
    let cache = directory.join("cache");
    let git = |arguments: &'static [&'static str]| {
        let tree = tree.clone();
        move || {
            let mut git = Command::new("git");
            git.arg("-C").arg(&tree).args(arguments);
            git
        }
    };
    let hash = |path: &'static str| {
        let (tree, cache) = (tree.clone(), cache.clone());
        move || {
            let mut hash = Command::new(shipper());
            hash.arg("-C").arg(&tree).args(["hash", path]).env("SHIPPER_CACHE_DIR", &cache);
            hash
        }
    };
    compare(
        &format!("hash, {FILES} files, nothing changed"),
        &[
            Candidate { name: "git status", command: &git(&["status", "--porcelain"]) },
            Candidate { name: "git status -uno", command: &git(&["status", "--porcelain", "-uno"]) },
            Candidate { name: "shipper hash (whole tree, untracked included)", command: &hash(".") },
            Candidate { name: "shipper hash (one directory of 7 %)", command: &hash("part-00") },
        ],
        rounds,
    )
}

/// The tree, generated once: source-like files of some kilobytes in a repository with one commit.
fn tree(root: &Path) -> anyhow::Result<PathBuf> {
    let done = root.join(".git/generated");
    if done.exists() {
        return Ok(root.to_owned());
    }
    say(&format!("generating {FILES} files"));
    let _ = fs::remove_dir_all(root);
    for file in 0..FILES {
        let directory = root.join(format!("part-{:02}/dir-{:04}", file % 14, file / 14 / FILES_IN_DIRECTORY));
        if file / 14 % FILES_IN_DIRECTORY == 0 {
            fs::create_dir_all(&directory).context("cannot create the tree")?;
        }
        let content = format!("// file {file}\n").repeat(20 + file * 7919 % 300);
        fs::write(directory.join(format!("file_{file}.rs")), content).context("cannot create the tree")?;
    }
    let git = |arguments: &[&str]| {
        let mut git = command("git");
        git.arg("-C").arg(root).args(["-c", "user.name=bench", "-c", "user.email=bench@example.com"]).args(arguments);
        run_command(&mut git)
    };
    git(&["init", "--quiet"])?;
    git(&["add", "--all"])?;
    git(&["commit", "--quiet", "--message", "tree"])?;
    fs::write(done, "").context("cannot mark the tree as complete")?;
    Ok(root.to_owned())
}
