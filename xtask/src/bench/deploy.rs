//! `bench deploy`: what a deployment costs when nothing is due, how soon a rollback reaches its target, and what a long history
//! costs. No peer does these, so that there are figures and budgets in the place of ratios.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use shipper_testkit::{FakeRegistry, Fault, Rule};

use super::{Bench, child, projects};
use crate::process::{output, say};

const SERVICES: usize = 10;
const RECORDS: u64 = 10_000;
const LATENCY: Duration = Duration::from_millis(50);

/// Prints the figures, each with its budget in milliseconds.
pub(super) fn run(bench: &Bench, below: &Path) -> anyhow::Result<()> {
    let world = World::new(bench, &below.join("deploy-10"))?;
    say(&format!("\ndeployments of {SERVICES} services with commands as targets, a registry on this machine"));
    let deploy = ["deploy", "prod"];
    world.row("no-op `deploy`", 300, || world.wall(&deploy))?;
    world.registry.fault(Rule::new(Fault::Delay(LATENCY)));
    world.row("no-op `deploy`, 50 ms for each request", 1000, || world.wall(&deploy))?;
    world.registry.clear_faults();
    // One behind the other: each goes to where the one before came from.
    let mut versions = world.two_versions()?.into_iter().cycle();
    world.row("`rollback` until its command starts", 500, || {
        let version = versions.next().unwrap_or_default();
        world.until_started(&["rollback", "prod", "--to", &version])
    })?;
    world.fill()?;
    let history = ["history", "prod", "--limit", "20"];
    world.row(&format!("newest 20 of {RECORDS} records"), 1000, || world.wall(&history))
}

struct World<'a> {
    bench: &'a Bench,
    project: PathBuf,
    registry: FakeRegistry,
}

impl<'a> World<'a> {
    /// A project that is deployed.
    fn new(bench: &'a Bench, project: &Path) -> anyhow::Result<Self> {
        let config = config();
        projects::made_once(project, &config, || {
            for service in 0..SERVICES {
                projects::write(&project.join(format!("s{service}/index.html")), &format!("service {service}\n"))?;
            }
            projects::write(&project.join(".gitignore"), ".shipper/\nstarted\n")?;
            projects::write(&project.join("shipper.toml"), &config)
        })?;
        projects::write(&project.join("s0/index.html"), "first\n")?;
        let world = Self { bench, project: project.to_owned(), registry: FakeRegistry::start() };
        output(&mut world.command(&["deploy", "prod"]))?;
        Ok(world)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bench.shipper(&self.project, arguments);
        command.args(["--registry", self.registry.host()]);
        command
    }

    fn wall(&self, arguments: &[&str]) -> anyhow::Result<Duration> {
        Ok(child::used(&self.command(arguments))?.wall)
    }

    /// From the start of the process to the start of the first command of a target.
    fn until_started(&self, arguments: &[&str]) -> anyhow::Result<Duration> {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970");
        let began = now()?;
        output(&mut self.command(arguments))?;
        let text = std::fs::read_to_string(self.project.join("started")).context("no target ran")?;
        let started = Duration::from_nanos(text.trim().parse().context("cannot read when the target started")?);
        started.checked_sub(began).context("the target ran before")
    }

    /// Names of two deployments of different images.
    fn two_versions(&self) -> anyhow::Result<Vec<String>> {
        projects::write(&self.project.join("s0/index.html"), "second\n")?;
        output(&mut self.command(&["deploy", "prod"]))?;
        let observed: Vec<String> = self.observed().into_iter().map(|(tag, _)| tag).collect();
        ensure!(observed.len() == 2, "there are {} deployments, not two", observed.len());
        Ok(observed.iter().map(|tag| tag.trim_end_matches(".observed").to_owned()).collect())
    }

    /// Tags of records of deployments that came to their end, the oldest first, and their manifests.
    fn observed(&self) -> Vec<(String, String)> {
        let tags = self.registry.tags("shipper-records");
        tags.into_iter().filter(|(tag, _)| tag.ends_with(".observed")).collect()
    }

    /// Fills the history with older copies of the oldest record.
    fn fill(&self) -> anyhow::Result<()> {
        const NAME: &str = "shipper-records";
        let (tag, digest) = self.observed().into_iter().next().context("there is no record")?;
        let id = tag.trim_end_matches(".observed");
        let time: u64 = id.split('-').nth(2).and_then(|time| time.parse().ok()).context("a record has no time")?;
        let manifest = self.registry.manifest(NAME, &digest).context("a record has no manifest")?;
        let text = std::str::from_utf8(&manifest.bytes)?;
        let parsed: serde_json::Value = serde_json::from_str(text)?;
        let layer = parsed["layers"][0]["digest"].as_str().context("a record has no document")?;
        let document = self.registry.blob(NAME, layer).context("a record has no document")?;
        let document = std::str::from_utf8(&document)?;
        for at in 1..=RECORDS {
            let older = id.replace(&time.to_string(), &(time - at * 60_000).to_string());
            let blob = self.registry.put_blob(NAME, document.replace(id, &older));
            let copy = text.replace(layer, &blob).replace(id, &older);
            let digest =
                self.registry.put_manifest(NAME, Some(&format!("{older}.observed")), &manifest.media_type, copy);
            self.registry.put_tag(NAME, &older, &digest);
        }
        Ok(())
    }

    fn row(&self, title: &str, most: u128, mut run: impl FnMut() -> anyhow::Result<Duration>) -> anyhow::Result<()> {
        let mut walls = (0..self.bench.rounds).map(|_| run()).collect::<anyhow::Result<Vec<_>>>()?;
        walls.sort_unstable();
        let wall = walls[walls.len() / 2].as_millis();
        let verdict = if wall <= most { "within" } else { "OVER" };
        say(&format!("  {title:<40} {wall:>5} ms  (at most {most} ms)  {verdict}"));
        Ok(())
    }
}

/// Services of one file, and a target for each that says when it started.
fn config() -> String {
    let services = (0..SERVICES).map(|service| {
        format!("\n[service.s{service}]\nbase = \"scratch\"\nfiles = {{ \"/srv\" = \"s{service}\" }}\n")
    });
    let targets = (0..SERVICES).map(|service| {
        let script = if service == 0 { "date +%s%N > started" } else { ":" };
        format!(
            "\n[[env.prod.deploy]]\nname = \"t{service}\"\nservices = [\"s{service}\"]\ninputs = [\"infra/**\"]\n\
             run = [\"sh\", \"-c\", \"{script}\"]\n"
        )
    });
    "[project]\nname = \"bench\"\n".to_owned() + &services.chain(targets).collect::<String>()
}
