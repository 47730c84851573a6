//! `bench registry`: pushes, copies and retags against skopeo (and crane, where it can be had), each with a registry of its
//! own on a file system in memory, whose access log counts the requests.
//!
//! Invariants: each sample has a fresh registry, so that no client profits from another one's blobs or notes; clients
//! take turns in going first; a goal is a ratio of rounds, a number of requests, or memory.

mod goals;
mod image;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use shipper_testkit::{DockerRegistry, FakeRegistry, Fault, Rule};

use super::Bench;
use super::child::{Used, used};
use super::measure::median;
use super::projects;
use crate::engines;
use crate::process::{find, output, say};
use goals::{Goal, judged};

/// Rounds, unless `--rounds` says otherwise.
pub(super) const ROUNDS: usize = 5;

/// Time that the fake registry waits before each answer, in the latency cases.
const LATENCY: Duration = Duration::from_millis(20);

/// A client of registries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Shipper,
    Skopeo,
    Crane,
}

/// One run of one client.
#[derive(Clone, Copy, Debug)]
struct Sample {
    used: Used,
    requests: usize,
}

/// What is brought where: a layout's directory, or a repository with tag.
#[derive(Clone, Copy, Debug)]
enum Place {
    Layout(&'static str),
    Remote(&'static str),
}

type Step = (Place, Place);

struct Case {
    title: &'static str,
    /// Done first, unmeasured, by the same client.
    before: &'static [Step],
    step: Step,
    goals: &'static [Goal],
}

const ONE: Place = Place::Layout("one");
const TWO: Place = Place::Layout("two");
const LATEST: Place = Place::Remote("build/api:latest");
const STABLE: Place = Place::Remote("build/api:stable");
const RELEASE: Place = Place::Remote("release/api:latest");

const CASES: &[Case] = &[
    Case {
        title: "first push of 10 layers of 50 MB",
        before: &[],
        step: (ONE, LATEST),
        goals: &[Goal::Wall("skopeo", 0.60), Goal::Wall("crane", 1.05), Goal::Cpu("skopeo", 0.20), Goal::Memory(64)],
    },
    Case {
        title: "push of what is there",
        before: &[(ONE, LATEST)],
        step: (ONE, LATEST),
        goals: &[Goal::Requests(2), Goal::Wall("skopeo", 0.15)],
    },
    Case {
        title: "push with 1 of 10 layers changed",
        before: &[(ONE, LATEST)],
        step: (TWO, LATEST),
        goals: &[Goal::Requests(7)],
    },
    Case {
        title: "retag",
        before: &[(ONE, LATEST)],
        step: (LATEST, STABLE),
        goals: &[Goal::Requests(2), Goal::Wall("skopeo", 0.20)],
    },
    Case {
        title: "copy within the registry",
        before: &[(ONE, LATEST)],
        step: (LATEST, RELEASE),
        goals: &[Goal::Requests(14)],
    },
];

pub(super) fn run(bench: &Bench, target: &Path) -> anyhow::Result<()> {
    ensure!(find("skopeo").is_some(), "cannot find skopeo, with which this bench compares");
    let memory = Path::new("/dev/shm");
    let data = if memory.is_dir() { memory.to_owned() } else { target.to_owned() };
    let images = target.join("registry-images");
    image::make(&images)?;
    let crane = find("crane").or_else(|| engines::client("crane"));
    let mut peers = vec![Client::Skopeo];
    peers.extend(crane.is_some().then_some(Client::Crane));
    let world = World { bench, images, data, peers, crane: crane.unwrap_or_default() };
    for case in CASES {
        world.case(case)?;
    }
    world.lookups(target)?;
    world.trouble()?;
    world.start()
}

struct World<'a> {
    bench: &'a Bench,
    images: PathBuf,
    /// Where registries keep their data.
    data: PathBuf,
    peers: Vec<Client>,
    /// The program, where it is one of the peers.
    crane: PathBuf,
}

impl World<'_> {
    fn case(&self, case: &Case) -> anyhow::Result<()> {
        let mut clients = vec![Client::Shipper];
        clients.extend(&self.peers);
        let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); clients.len()];
        for round in 0..self.bench.rounds {
            for turn in 0..clients.len() {
                let which = (turn + round) % clients.len();
                samples[which].push(self.sample(case, clients[which])?);
            }
        }
        let named: Vec<(&str, &[Sample])> =
            clients.iter().map(Client::name).zip(samples.iter().map(Vec::as_slice)).collect();
        say(&judged(case.title, &named, case.goals));
        Ok(())
    }

    fn sample(&self, case: &Case, client: Client) -> anyhow::Result<Sample> {
        let registry = DockerRegistry::start_in(&self.data).map_err(|skip| anyhow::anyhow!("{skip}"))?;
        for step in case.before {
            output(&mut self.command(client, *step, registry.host()))?;
        }
        registry.clear_log();
        let used = used(&self.command(client, case.step, registry.host()))?;
        Ok(Sample { used, requests: registry.log().requests.len() })
    }

    fn command(&self, client: Client, (from, to): Step, host: &str) -> Command {
        let layout = |name: &str| self.images.join(name);
        let mut command = match client {
            Client::Shipper => {
                let text = |place| match place {
                    Place::Layout(name) => format!("oci:{}:image", layout(name).display()),
                    Place::Remote(name) => format!("{host}/{name}"),
                };
                let mut command = Command::new(&self.bench.program);
                command.args(["copy", &text(from), &text(to)]);
                command
            }
            Client::Skopeo => {
                let text = |place| match place {
                    Place::Layout(name) => format!("oci:{}:image", layout(name).display()),
                    Place::Remote(name) => format!("docker://{host}/{name}"),
                };
                let mut command = Command::new("skopeo");
                command.args(["--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false"]);
                command.args([text(from), text(to)]);
                command
            }
            Client::Crane => {
                let remote = |place| match place {
                    Place::Layout(name) => layout(name).display().to_string(),
                    Place::Remote(name) => format!("{host}/{name}"),
                };
                let verb = if matches!(from, Place::Layout(_)) { "push" } else { "copy" };
                let mut command = Command::new(&self.crane);
                command.args([verb, "--insecure", &remote(from), &remote(to)]);
                command
            }
        };
        self.bench.isolate(&mut command);
        command
    }

    /// 20 images are looked up at the same time, whatever one answer takes.
    fn lookups(&self, target: &Path) -> anyhow::Result<()> {
        let project = target.join("ship-20");
        projects::services(&project, 20, 50)?;
        let command = |verb: &str, host: &str| {
            let mut command = Command::new(&self.bench.program);
            command.args([verb, "--registry", host]).current_dir(&project);
            self.bench.isolate(&mut command);
            command
        };
        let (near, far) = (FakeRegistry::start(), FakeRegistry::builder().latency(LATENCY).start());
        for registry in [&near, &far] {
            output(&mut command("ship", registry.host()))?;
        }
        let mut trips = Vec::new();
        for _ in 0..self.bench.rounds {
            let without = used(&command("plan", near.host()))?.wall;
            far.clear_log();
            let with = used(&command("plan", far.host()))?.wall;
            trips.push(with.saturating_sub(without).as_secs_f64() / LATENCY.as_secs_f64());
        }
        say(&goals::single(
            "20 existence checks at 20 ms latency: time in round trips",
            median(trips.into_iter()),
            3.0,
            &format!("{} requests", far.log().requests.len()),
        ));
        Ok(())
    }

    /// 5 % of all requests fail.
    fn trouble(&self) -> anyhow::Result<()> {
        let push = |registry: &FakeRegistry| -> anyhow::Result<f64> {
            output(&mut self.command(Client::Shipper, (ONE, LATEST), registry.host()))?;
            Ok(registry.log().bytes_in() as f64)
        };
        let clean = push(&FakeRegistry::start())?;
        let mut ratios = Vec::new();
        let mut failed = 0;
        for round in 0..self.bench.rounds as u64 {
            let registry = FakeRegistry::start();
            for (number, (fault, percent)) in
                [(Fault::status(503), 2), (Fault::throttled(1), 2), (Fault::Reset, 1)].into_iter().enumerate()
            {
                registry.fault(Rule::new(fault).sometimes(round * 3 + number as u64, percent));
            }
            ratios.push(push(&registry)? / clean);
            failed += registry.log().requests.iter().filter(|request| !request.faults.is_empty()).count();
        }
        let title = "first push while 5 % of the requests fail (503, 429, reset): bytes against an undisturbed push";
        say(&goals::single(title, median(ratios.into_iter()), 1.15, &format!("{failed} requests failed")));
        Ok(())
    }

    /// From the start of the process to the connection that its first request needs.
    fn start(&self) -> anyhow::Result<()> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
        let host = listener.local_addr().context("cannot listen")?.to_string();
        let mut times = Vec::new();
        for _ in 0..self.bench.rounds {
            let mut command = Command::new(&self.bench.program);
            command.args(["inspect", &format!("{host}/shop/api:v1")]);
            self.bench.isolate(&mut command);
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
            let started = Instant::now();
            let mut child = command.spawn().context("cannot start shipper")?;
            let connection = listener.accept().context("cannot accept")?;
            times.push(started.elapsed().as_secs_f64() * 1000.0);
            child.kill().context("cannot end shipper")?;
            child.wait().context("cannot end shipper")?;
            drop(connection);
        }
        say(&goals::single("process start to first request, in ms", median(times.into_iter()), 15.0, ""));
        Ok(())
    }
}

impl Client {
    fn name(&self) -> &'static str {
        match self {
            Self::Shipper => "shipper",
            Self::Skopeo => "skopeo",
            Self::Crane => "crane",
        }
    }
}
