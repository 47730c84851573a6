//! A run as people watch it: the plan, lasting lines, and on a terminal at most eight live ones.
//!
//! Elsewhere every line carries the time since the run began, and what runs is named every 30 seconds.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use shipper_engine::{
    Action, DeployResult, Event, EventSink, Head, Name, NameOutcome, Outcome, Phase, PlannedService, Record, units,
};

use super::{BAD, DIM, GOOD, Terminal, about, plan_table, status_line, steps};

/// How many services are shown live at the same time.
const LIVE_LINES: usize = 8;
/// How often the running services are named where nothing is live.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Shows the events of a run.
pub(crate) struct ShipView {
    terminal: Terminal,
    began: Instant,
    bars: MultiProgress,
    state: Mutex<State>,
    /// What is shipped is deployed.
    deploys: bool,
    /// The plan of a deployment is what was asked for.
    plan_is_data: bool,
}

#[derive(Default)]
struct State {
    head: Head,
    plan: Vec<PlannedService>,
    /// Number of files and bytes hashed so far.
    hashed: (u64, u64),
    running: BTreeMap<String, Running>,
    failures: Vec<Failed>,
    /// How many services were built, retagged, failed, and were skipped.
    ended: [usize; 4],
}

struct Running {
    phase: Option<Phase>,
    message: String,
    bar: Option<ProgressBar>,
}

struct Failed {
    chain: Vec<String>,
    hint: Option<String>,
    log_tail: Vec<String>,
    log: Option<String>,
}

impl ShipView {
    pub(crate) fn new(terminal: &Terminal) -> Self {
        let target = if terminal.is_live() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self {
            terminal: terminal.clone(),
            began: Instant::now(),
            bars: MultiProgress::with_draw_target(target),
            state: Mutex::default(),
            deploys: false,
            plan_is_data: false,
        }
    }

    /// As part of a deployment; with `dry_run`, its plan is what the command prints.
    pub(crate) fn of_deployment(self, dry_run: bool) -> Self {
        Self { deploys: true, plan_is_data: dry_run, ..self }
    }

    /// Removes the live region.
    pub(crate) fn close(&self) {
        for running in std::mem::take(&mut self.state().running).into_values() {
            if let Some(bar) = running.bar {
                bar.finish_and_clear();
            }
        }
    }

    /// Names what runs, every 30 seconds, for ever; says nothing on a terminal that shows it anyway.
    pub(crate) async fn heartbeat(&self) {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            if self.terminal.is_live() || self.terminal.is_quiet() {
                continue;
            }
            let lines: Vec<String> = {
                let state = self.state();
                state.running.iter().map(|(service, running)| format!("{service} {}", progress(running))).collect()
            };
            for line in lines {
                self.line("Running", &line);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lasting line above the live region.
    fn line(&self, verb: &str, text: &str) {
        if !self.terminal.is_quiet() {
            self.print(&status_line(verb, text, GOOD));
        }
    }

    fn print(&self, text: &str) {
        let stamp = if self.terminal.is_live() {
            String::new()
        } else {
            format!("{DIM}[{:>6.1}s]{DIM:#} ", self.began.elapsed().as_secs_f32())
        };
        self.bars.suspend(|| self.terminal.people(&format!("{stamp}{text}")));
    }

    fn plan(&self, services: &[PlannedService]) {
        let mut state = self.state();
        state.plan = services.to_vec();
        if self.terminal.is_quiet() || services.iter().all(|service| service.action == Action::Reuse) {
            return;
        }
        let (files, bytes) = state.hashed;
        let (contexts, files) = (units::counted(services.len(), "context"), units::counted(files, "file"));
        self.line("Hashed", &format!("{contexts}, {files}, {}", units::bytes(bytes)));
        let table = plan_table(services, &state.head, 0, self.terminal.is_verbose());
        self.bars.suspend(|| self.terminal.people(&table));
    }

    fn started(&self, service: &str) {
        let mut state = self.state();
        let bar = (self.terminal.is_live() && state.running.len() < LIVE_LINES).then(|| {
            let style = ProgressStyle::with_template("{prefix:>12.cyan.bold} {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = self.bars.add(ProgressBar::new_spinner().with_style(style).with_prefix("Building"));
            bar.set_message(service.to_owned());
            bar
        });
        state.running.insert(service.to_owned(), Running { phase: None, message: String::new(), bar });
    }

    fn progressed(&self, service: &str, phase: Phase, message: &str) {
        let mut state = self.state();
        let Some(running) = state.running.get_mut(service) else { return };
        let entered = running.phase != Some(phase);
        running.phase = Some(phase);
        message.clone_into(&mut running.message);
        if let Some(bar) = &running.bar {
            let verb = phase.verb();
            bar.set_prefix(format!("{}{}", verb[..1].to_uppercase(), &verb[1..]));
            bar.set_message(format!("{service} {}", super::escape_controls(message)));
        } else if entered && self.terminal.is_verbose() {
            let line = progress(running);
            drop(state);
            self.line("Running", &format!("{service} {line}"));
        }
    }

    fn finished(&self, service: &str, action: Action, outcome: Outcome, text: &str) {
        let running = {
            let mut state = self.state();
            match outcome {
                Outcome::Ok if action == Action::Retag => state.ended[1] += 1,
                Outcome::Ok => state.ended[0] += 1,
                Outcome::Failed => state.ended[2] += 1,
                Outcome::Skipped => state.ended[3] += 1,
            }
            state.running.remove(service)
        };
        if let Some(bar) = running.and_then(|running| running.bar) {
            bar.finish_and_clear();
        }
        match outcome {
            Outcome::Ok if action == Action::Build => self.line("Built", text),
            Outcome::Ok if action == Action::Retag => self.line("Retagged", text),
            Outcome::Ok => self.line("Reused", text),
            Outcome::Failed => self.print(&status_line("Failed", text, BAD)),
            Outcome::Skipped => self.print(&status_line("Skipped", text, BAD)),
        }
    }

    /// What became of a name; one that was right already is told with `-v`.
    fn named(&self, service: &str, name: &Name) {
        let tag = &name.tag;
        match &name.outcome {
            NameOutcome::Written => self.line("Named", &format!("{service} {tag}")),
            NameOutcome::Kept { newer } => self.line("Kept", &format!("{service} {tag} on the newer {newer}")),
            NameOutcome::Overtaken { digest } => {
                self.line("Kept", &format!("{service} {tag} on {digest}, which another run named meanwhile"));
            }
            _ if self.terminal.is_verbose() => self.line("Named", &format!("{service} {tag} (unchanged)")),
            _ => {}
        }
    }

    fn run_finished(&self, duration_ms: u64, saved_ms: u64) {
        let state = self.state();
        for failed in &state.failures {
            if !failed.log_tail.is_empty() {
                let tail: Vec<String> =
                    failed.log_tail.iter().map(|line| format!("    {}\n", super::escape_controls(line))).collect();
                self.terminal.people(&tail.concat());
            }
            let (first, causes) =
                failed.chain.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
            self.terminal.error(first, causes, failed.hint.as_deref());
            if let Some(log) = &failed.log {
                self.terminal.people(&format!("log: {log}\n"));
            }
        }
        if state.plan.is_empty() || self.terminal.is_quiet() {
            return;
        }
        let saved = if saved_ms > 0 { format!(" (saved ~{})", units::duration(saved_ms)) } else { String::new() };
        let reused = state.plan.iter().filter(|service| service.action == Action::Reuse).count();
        if reused == state.plan.len() && self.deploys {
            return;
        }
        if reused == state.plan.len() {
            let services = if reused == 1 { "1 service is".to_owned() } else { format!("{reused} services are") };
            let text = format!("nothing is due, {services} up to date in {}{saved}", units::duration(duration_ms));
            self.terminal.status("Unchanged", &text);
            return;
        }
        let [built, retagged, failed, skipped] = state.ended;
        let counts =
            [(built, "built"), (retagged, "retagged"), (failed, "failed"), (skipped, "skipped"), (reused, "reused")];
        let parts: Vec<String> =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        let text = format!("{} in {}{saved}", parts.join(", "), units::duration(duration_ms));
        self.terminal.status("Summary", &text);
    }
}

impl ShipView {
    /// Shows the events of a deployment.
    fn deployment(&self, event: &Event) {
        match event {
            Event::ImageCopied { service, image, bytes } => {
                self.line("Copied", &format!("{service} {image} ({})", units::bytes(*bytes)));
            }
            Event::DeployPlanned { environment, images, steps } => {
                let text = super::deploy_lines::plan(environment, images, steps);
                if self.plan_is_data {
                    self.bars.suspend(|| drop(self.terminal.stdout().write_all(text.as_bytes())));
                } else if steps.iter().any(|step| step.due) && !self.terminal.is_quiet() {
                    self.bars.suspend(|| self.terminal.people(&text));
                }
            }
            Event::DeployStarted { environment, record, .. } => {
                self.line("Deploying", &format!("{environment} as {record}"));
            }
            Event::StepStarted { step } => self.line("Running", step),
            Event::StepOutput { step, line } if !self.terminal.is_quiet() => {
                let text = format!("{DIM}{} |{DIM:#} {}\n", super::escape_controls(step), super::escape_controls(line));
                self.bars.suspend(|| self.terminal.people(&text));
            }
            Event::StepFinished { step, outcome, duration_ms } => {
                let text = format!("{step} in {}", units::duration(*duration_ms));
                match outcome {
                    Outcome::Ok => self.line("Ran", &text),
                    _ => self.print(&status_line("Failed", &text, BAD)),
                }
            }
            Event::DeployFinished { environment, result, record, .. } => {
                let record = record.as_deref().unwrap_or_default();
                match result {
                    DeployResult::Deployed => self.line("Deployed", &format!("{environment} ({record})")),
                    DeployResult::Begun => {
                        let text = format!("{environment} ({record}); `shipper status` says what becomes of it");
                        self.line("Changed", &text);
                    }
                    DeployResult::RolledBack => self.line("Restored", &format!("{environment} ({record})")),
                    DeployResult::Unchanged => {
                        self.line("Unchanged", &format!("{environment} runs these images ({record})"));
                    }
                    DeployResult::Removed => self.line("Removed", &format!("{environment} ({record})")),
                    DeployResult::Absent => self.line("Unchanged", &format!("{environment} is not deployed")),
                    DeployResult::Planned | DeployResult::Interrupted | DeployResult::Failed => {}
                }
            }
            _ => {}
        }
    }
}

/// What a running service is doing.
fn progress(running: &Running) -> String {
    let phase = running.phase.map_or("starting", Phase::verb);
    if running.message.is_empty() { phase.to_owned() } else { format!("{phase}: {}", running.message) }
}

impl EventSink for ShipView {
    fn emit(&self, record: &Record) {
        match &record.event {
            Event::RunStarted { commit, branch, .. } => {
                self.state().head = Head { branch: branch.clone(), commit: commit.clone(), default_branch: None };
            }
            Event::ContextHashed { files, bytes, .. } => {
                let hashed = &mut self.state().hashed;
                *hashed = (hashed.0 + files, hashed.1 + bytes);
            }
            Event::PlanReady { services } => self.plan(services),
            Event::ActionStarted { service, .. } => self.started(service),
            Event::ActionProgress { service, phase, message, .. } => self.progressed(service, *phase, message),
            Event::ActionFinished { service, action, outcome, digest, size, uploaded, names, duration_ms, .. } => {
                let text = match digest {
                    Some(digest) if *action == Action::Retag => {
                        format!("{service} {digest} in {}", units::duration(*duration_ms))
                    }
                    Some(digest) => format!(
                        "{service} {digest} {} in {} ({} new)",
                        units::bytes(*size),
                        units::duration(*duration_ms),
                        units::bytes(*uploaded)
                    ),
                    None => format!("{service} after {}", units::duration(*duration_ms)),
                };
                self.finished(service, *action, *outcome, &text);
                for name in names {
                    self.named(service, name);
                }
            }
            Event::BuildMeasured { service, platform, steps, layers, duration_ms, .. } => {
                self.line("Steps", &format!("{service} {platform}: {}", steps::summary(steps, *duration_ms)));
                if self.terminal.is_verbose() {
                    for detail in steps::details(steps, layers) {
                        self.line("", &detail);
                    }
                }
            }
            Event::CacheChosen { service, platform, from, left_out } => {
                self.line("Cache", &format!("{service} {platform}: {}", steps::caches(from, left_out)));
            }
            Event::CacheExported { service, platform, to, outcome, why, duration_ms } => {
                let to = to.as_deref().unwrap_or("nowhere");
                let about = format!("{service} {platform}");
                match (outcome, why) {
                    (Outcome::Ok, _) => {
                        self.line("Cache", &format!("{about} written to {to} in {}", units::duration(*duration_ms)));
                    }
                    (Outcome::Skipped, why) => {
                        self.line("Cache", &format!("{about} not written: {}", why.as_deref().unwrap_or_default()));
                    }
                    (Outcome::Failed, why) => {
                        let text = format!("the cache was not written to {to}: {}", why.as_deref().unwrap_or_default());
                        self.bars.suspend(|| self.terminal.warning(&super::about(Some(&about), &text)));
                    }
                }
            }
            Event::Warning { service, message } => {
                self.bars.suspend(|| self.terminal.warning(&about(service.as_deref(), message)));
            }
            Event::Error { chain, hint, log_tail, log, .. } => self.state().failures.push(Failed {
                chain: chain.clone(),
                hint: hint.clone(),
                log_tail: log_tail.clone(),
                log: log.clone(),
            }),
            Event::RunFinished { duration_ms, saved_ms, .. } => self.run_finished(*duration_ms, *saved_ms),
            event => self.deployment(event),
        }
    }
}
