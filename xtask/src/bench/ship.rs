//! `bench ship`: a `ship` of 20 services of which none is due, against `git status` of the same repository.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use super::measure::{Candidate, compare};
use super::shipper;
use crate::process::{command, run as run_command};

const SERVICES: usize = 20;
const FILES_IN_SERVICE: usize = 200;

pub(crate) fn run(directory: &Path, rounds: usize) -> anyhow::Result<()> {
    let root = directory.join("services");
    let cache = directory.join("cache");
    prepare(&root)?;
    let ship = || {
        let mut ship = Command::new(shipper());
        ship.arg("-C").arg(&root).args(["ship", "--quiet"]).env("SHIPPER_CACHE_DIR", &cache).env_remove("CI");
        ship
    };
    let status = || {
        let mut git = Command::new("git");
        git.arg("-C").arg(&root).args(["status", "--porcelain"]);
        git
    };
    compare(
        &format!("ship, {SERVICES} services of {FILES_IN_SERVICE} files, nothing due, image layout"),
        &[Candidate { name: "git status", command: &status }, Candidate { name: "shipper ship", command: &ship }],
        rounds,
    )
}

fn prepare(root: &Path) -> anyhow::Result<()> {
    let _ = fs::remove_dir_all(root);
    let mut config = String::from("[project]\nname = \"bench\"\n");
    for service in 0..SERVICES {
        let name = format!("service-{service:02}");
        config.push_str(&format!("\n[service.{name}]\nfiles = {{ \"/srv\" = \"{name}\" }}\n"));
        let directory = root.join(&name);
        fs::create_dir_all(&directory).context("cannot create the services")?;
        for file in 0..FILES_IN_SERVICE {
            let content = format!("{name} {file}\n").repeat(50);
            fs::write(directory.join(format!("file-{file:03}")), content).context("cannot create the services")?;
        }
    }
    fs::write(root.join("shipper.toml"), config).context("cannot create the services")?;
    for arguments in [&["init", "--quiet"][..], &["add", "--all"]] {
        run_command(command("git").arg("-C").arg(root).args(arguments))?;
    }
    Ok(())
}
