//! `cargo xtask bench`: shipper's release build against git and against registry clients, in one run, as ratios. What has no
//! peer (`ecr`, `deploy`) is printed as it is, with its budget.
//!
//! Invariant: the two commands alternate and change places each round, so that a slow minute of the machine hits both;
//! absolute times are printed but mean little, ratios are what is compared.

pub(crate) mod child;
mod deploy;
mod ecr;
mod hash;
mod measure;
mod projects;
mod registry;

use std::path::PathBuf;
use std::process::Command;

use anyhow::ensure;

use crate::process::{cargo, run as run_command, say};
use measure::Contender;

/// Rounds, unless `--rounds` says otherwise: odd, so that the median is a measured value.
const ROUNDS: usize = 15;

/// What the caller asked for.
#[derive(Debug)]
pub(crate) struct Options {
    hash: bool,
    ship: bool,
    registry: bool,
    ecr: bool,
    deploy: bool,
    rounds: Option<usize>,
}

impl Options {
    /// `None` for a wrong call. Without a name, all benches run.
    pub(crate) fn parse(words: &[&str]) -> Option<Self> {
        let (names, rounds) = match words {
            [names @ .., "--rounds", count] => (names, Some(count.parse().ok().filter(|count| *count > 0)?)),
            names => (names, None),
        };
        let is_known = |name: &&str| ["hash", "ship", "registry", "ecr", "deploy"].contains(name);
        let one = match names {
            [] => None,
            [name] if is_known(name) => Some(*name),
            _ => return None,
        };
        let wanted = |name: &str| one.is_none_or(|one| one == name);
        Some(Self {
            hash: wanted("hash"),
            ship: wanted("ship"),
            registry: wanted("registry"),
            ecr: wanted("ecr"),
            deploy: wanted("deploy"),
            rounds,
        })
    }
}

/// Builds, prepares, measures, prints.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    run_command(cargo().args(["build", "--release", "--package", "cargo-shipper", "--bin", "shipper"]))?;
    let target = crate::root().join("target");
    let program = target.join("release").join(format!("shipper{}", std::env::consts::EXE_SUFFIX));
    ensure!(program.is_file(), "cannot find {} after the build", program.display());
    let rounds = options.rounds.unwrap_or(ROUNDS);
    let bench = Bench { program, home: target.join("bench/home"), rounds };
    std::fs::create_dir_all(&bench.home)?;
    if options.hash {
        hash::run(&bench, &target.join("bench"))?;
    }
    if options.ship {
        bench.ship(&target.join("bench/ship-20"))?;
    }
    if options.ecr {
        ecr::run(&bench, &target.join("bench"))?;
    }
    if options.deploy {
        deploy::run(&bench, &target.join("bench"))?;
    }
    if options.registry {
        let bench = Bench { rounds: options.rounds.unwrap_or(registry::ROUNDS), ..bench };
        registry::run(&bench, &target.join("bench"))?;
    }
    Ok(())
}

struct Bench {
    program: PathBuf,
    home: PathBuf,
    rounds: usize,
}

impl Bench {
    /// `shipper ship` of 20 services that have nothing to do, against `git status`.
    fn ship(&self, project: &std::path::Path) -> anyhow::Result<()> {
        projects::services(project, 20, 50)?;
        self.compare("no-op `shipper ship` of 20 services", project, &["ship"])
    }

    /// Measures `shipper ARGUMENTS` against `git status` in one directory.
    fn compare(&self, title: &str, directory: &std::path::Path, arguments: &[&str]) -> anyhow::Result<()> {
        self.sides(title, &|| self.shipper(directory, arguments), ("git status", &|| self.git_status(directory, &[])))?;
        Ok(())
    }

    /// Measures shipper against a peer; prints the table, and returns the ratio of CPU times and that of wall times.
    fn sides(
        &self,
        title: &str,
        shipper: &dyn Fn() -> Command,
        peer: (&'static str, &dyn Fn() -> Command),
    ) -> anyhow::Result<(f64, f64)> {
        let contenders = [Contender::new("shipper", shipper), Contender::new(peer.0, peer.1)];
        let pairs = measure::alternate(&contenders, self.rounds)?;
        say(&measure::table(title, &contenders, &pairs));
        Ok(measure::ratios(&pairs))
    }

    fn shipper(&self, directory: &std::path::Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments);
        self.isolated(command, directory)
    }

    fn git_status(&self, directory: &std::path::Path, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.args(["status", "--porcelain"]).args(arguments);
        self.isolated(command, directory)
    }

    /// A home of its own: neither the caller's settings nor its caches are measured.
    fn isolated(&self, mut command: Command, directory: &std::path::Path) -> Command {
        self.isolate(&mut command);
        command.current_dir(directory);
        command
    }

    fn isolate(&self, command: &mut Command) {
        command
            .env("HOME", &self.home)
            .env("XDG_CACHE_HOME", self.home.join("cache"))
            .env("XDG_CONFIG_HOME", self.home.join("config"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env_remove("CI");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_rounds_are_read() {
        let all = Options::parse(&[]).expect("a legal call");
        assert!(all.hash && all.ship && all.registry && all.ecr && all.deploy && all.rounds.is_none());
        let one = Options::parse(&["ship", "--rounds", "3"]).expect("a legal call");
        assert!(!one.hash && one.ship && !one.registry && !one.ecr && !one.deploy && one.rounds == Some(3));
        assert!(Options::parse(&["nothing"]).is_none());
        assert!(Options::parse(&["hash", "--rounds", "0"]).is_none());
    }
}
