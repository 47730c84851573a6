//! `shipper hash` and `plan` against git and `b3sum`, on the source of Linux where it can be had.
//!
//! Invariant: each goal is a ratio of CPU times of two commands that took turns; what is missed is printed as missed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::{Bench, child, projects};
use crate::process::{output, say};

/// Debian's package with the source of Linux, unpacked below `/usr/src` as one archive.
const PACKAGE: &str = "linux-source";
/// A directory of that source, a fourteenth of its files.
const PART: &str = "drivers/net";
/// Directories of that source that stand for services.
const SERVICES: usize = 20;
/// Bytes of memory beyond the size of the index.
const MEMORY: u64 = 64 << 20;

/// Measures everything and prints a table of goals at the end.
pub(super) fn run(bench: &Bench, directory: &Path) -> anyhow::Result<()> {
    let (tree, part) = match source()? {
        Some(archive) => (linux(&archive, &directory.join("linux"))?, PART),
        None => {
            say("measuring a generated tree: the source of Linux is not there (Debian's package linux-source)");
            let tree = directory.join("tree-50000");
            projects::tree(&tree, 50_000)?;
            (tree, "part-00")
        }
    };
    let mut goals = Goals::default();
    let all = || bench.shipper(&tree, &["hash", "."]);
    let tracked = || {
        let mut command = bench.shipper(&tree, &["hash", "all"]);
        command.env("SHIPPER_UNTRACKED", "ignore");
        command
    };
    let status = || bench.git_status(&tree, &[]);
    let status_tracked = || bench.git_status(&tree, &["-uno"]);
    configure(&tree, part)?;

    let (cpu, _) = bench.sides("warm, with untracked files", &all, ("git status", &status))?;
    goals.add("warm, with untracked files, to `git status`", cpu, 0.6);
    let (cpu, _) = bench.sides("warm, tracked files only", &tracked, ("git status", &status))?;
    goals.add("warm, tracked only, to `git status`", cpu, 0.5);
    let (cpu, _) = bench.sides("warm, tracked files only", &tracked, ("status -uno", &status_tracked))?;
    goals.add("warm, tracked only, to `git status -uno`", cpu, 1.0);

    let one = || bench.shipper(&tree, &["hash", part]);
    let (cpu, _) = bench.sides(&format!("one context, `{part}`"), &one, ("git status", &status))?;
    goals.add("one context of a fourteenth, to `git status`", cpu, 0.1);

    let batch = || bench.shipper(&tree, &["plan", "--config", ".git/many.toml"]);
    let single = || bench.shipper(&tree, &["plan", "--config", ".git/one.toml"]);
    let (cpu, _) =
        bench.sides("20 services in one batch, against one service of the same files", &batch, ("one", &single))?;
    goals.add("20 services in one batch, to one", cpu, 1.25);

    if crate::process::find("b3sum").is_some() {
        let cold = || bench.shipper(&tree, &["hash", ".", "--paranoid"]);
        let b3sum = || {
            let mut command = Command::new("sh");
            command.args(["-c", "git ls-files -z | xargs -0 b3sum 2>/dev/null || true"]);
            bench.isolated(command, &tree)
        };
        let (cpu, _) = bench.sides("nothing cached", &cold, ("b3sum", &b3sum))?;
        goals.add("nothing cached, to `b3sum`", cpu, 0.65);
    } else {
        say("not measured: `b3sum` is not installed");
    }

    let small = directory.join("tree-500");
    projects::tree(&small, 500)?;
    let hash = || bench.shipper(&small, &["hash", "."]);
    bench.sides("500 files", &hash, ("git status", &|| bench.git_status(&small, &[])))?;
    let mut walls = Vec::new();
    for _ in 0..bench.rounds {
        walls.push(child::used(&hash())?.wall.as_secs_f64() * 1000.0);
    }
    goals.add("500 files, milliseconds from start to end", super::measure::median(walls.into_iter()), 10.0);

    let index = std::fs::metadata(tree.join(".git/index")).context("cannot find the index")?.len();
    let over = child::used(&all())?.memory.saturating_sub(index);
    goals.add("peak memory over the index, to 64 MiB", over as f64 / MEMORY as f64, 1.0);
    say(&goals.table());
    Ok(())
}

/// The archive of Debian's package; installed where that is possible.
fn source() -> anyhow::Result<Option<PathBuf>> {
    if archive()?.is_none() {
        crate::install::debian_package(PACKAGE);
    }
    if crate::process::find("b3sum").is_none() {
        crate::install::debian_package("b3sum");
    }
    archive()
}

fn archive() -> anyhow::Result<Option<PathBuf>> {
    let Ok(listing) = std::fs::read_dir("/usr/src") else { return Ok(None) };
    let mut found = Vec::new();
    for entry in listing {
        let path = entry.context("cannot list /usr/src")?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("linux-source-") && name.ends_with(".tar.xz") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found.pop())
}

/// The source as one commit.
fn linux(archive: &Path, root: &Path) -> anyhow::Result<PathBuf> {
    projects::made_once(root, &format!("linux 1: {}", archive.display()), || {
        let mut tar = Command::new("tar");
        output(tar.args(["--extract", "--strip-components=1", "--file"]).arg(archive).arg("--directory").arg(root))?;
        // Debian's packaging ignores everything at the top level.
        let path = root.join(".gitignore");
        let rules = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let kept: Vec<&str> = rules.lines().filter(|line| *line != "/*").collect();
        std::fs::write(&path, kept.join("\n") + "\n").with_context(|| format!("cannot write {}", path.display()))
    })?;
    Ok(root.to_owned())
}

/// Configurations for one service of everything, for one of twenty directories, and for twenty services; where git
/// does not look.
fn configure(tree: &Path, part: &str) -> anyhow::Result<()> {
    let parent = part.split('/').next().unwrap_or(part);
    let mut directories = Vec::new();
    for entry in std::fs::read_dir(tree.join(parent)).with_context(|| format!("cannot list {parent}"))? {
        let entry = entry.context("cannot list a directory")?;
        if entry.file_type().context("cannot look at a directory")?.is_dir() {
            directories.push(format!("{parent}/{}", entry.file_name().to_string_lossy()));
        }
    }
    directories.sort();
    ensure!(directories.len() >= SERVICES, "{parent} has fewer than {SERVICES} directories");
    directories.truncate(SERVICES);
    let head = "[project]\nname = \"bench\"\nregistry = \"oci:.git/images\"\n";
    let service = |name: &str, files: &[String]| {
        let files: Vec<String> = files.iter().map(|path| format!("\"/{path}\" = \"{path}\"")).collect();
        format!("\n[service.{name}]\nbase = \"scratch\"\nfiles = {{ {} }}\n", files.join(", "))
    };
    let many: String = directories
        .iter()
        .enumerate()
        .map(|(at, path)| service(&format!("s{at:02}"), std::slice::from_ref(path)))
        .collect();
    let all = "\n[service.all]\nbase = \"scratch\"\nfiles = { \"/srv\" = \".\" }\n";
    let files = [
        (".git/one.toml", format!("{head}{}", service("one", &directories))),
        (".git/many.toml", format!("{head}{many}")),
        ("shipper.toml", format!("{head}{all}")),
        (".git/info/exclude", "/shipper.toml\n".to_owned()),
    ];
    for (path, text) in files {
        std::fs::write(tree.join(path), text).with_context(|| format!("cannot write {path}"))?;
    }
    Ok(())
}

/// What is to be reached, and what was.
#[derive(Default)]
struct Goals(Vec<(String, f64, f64)>);

impl Goals {
    fn add(&mut self, what: &str, found: f64, bound: f64) {
        self.0.push((what.to_owned(), found, bound));
    }

    fn table(&self) -> String {
        let mut text = format!("\n{:<48}{:>8}{:>8}\n", "goal", "found", "bound");
        for (what, found, bound) in &self.0 {
            let verdict = if found <= bound { "" } else { "  missed" };
            text.push_str(&format!("{what:<48}{found:>8.2}{bound:>8.2}{verdict}\n"));
        }
        text
    }
}
