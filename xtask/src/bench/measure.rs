//! Alternating measurement of two commands: wall time and CPU time of the whole process tree.
//!
//! Invariants: CPU time is what the system charged to children that were waited for, in microseconds, user and system;
//! a ratio is the median of the ratios of rounds, not the ratio of two medians taken apart.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

/// A command to measure, built anew for each round.
pub(super) struct Contender<'a> {
    name: &'static str,
    build: &'a dyn Fn() -> Command,
}

impl<'a> Contender<'a> {
    pub(super) fn new(name: &'static str, build: &'a dyn Fn() -> Command) -> Self {
        Self { name, build }
    }

    fn sample(&self) -> anyhow::Result<Sample> {
        let mut command = (self.build)();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let cpu = children_cpu()?;
        let started = Instant::now();
        let output = command.output().with_context(|| format!("cannot start `{}`", self.name))?;
        let wall = started.elapsed();
        let printed = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`{}` failed with {}\n{}", self.name, output.status, printed.trim_end());
        Ok(Sample { wall, cpu: children_cpu()?.saturating_sub(cpu) })
    }
}

/// One run of one command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    wall: Duration,
    cpu: Duration,
}

/// User and system time of all children that were waited for.
#[cfg(unix)]
pub(super) fn children_cpu() -> anyhow::Result<Duration> {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("cannot read the CPU time of children")?;
    let microseconds = |time: nix::sys::time::TimeVal| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        seconds * 1_000_000 + u64::try_from(time.tv_usec()).unwrap_or(0)
    };
    Ok(Duration::from_micros(microseconds(usage.user_time()) + microseconds(usage.system_time())))
}

/// Without a source for CPU time the column stays zero.
#[cfg(not(unix))]
pub(super) fn children_cpu() -> anyhow::Result<Duration> {
    Ok(Duration::ZERO)
}

/// Two warm-up runs of each, then that many rounds of both, which take turns in going first.
pub(super) fn alternate(contenders: &[Contender<'_>; 2], rounds: usize) -> anyhow::Result<Vec<[Sample; 2]>> {
    for contender in contenders {
        for _ in 0..2 {
            contender.sample()?;
        }
    }
    let [first, second] = contenders;
    let round = |number: usize| -> anyhow::Result<[Sample; 2]> {
        if number.is_multiple_of(2) {
            let one = first.sample()?;
            return Ok([one, second.sample()?]);
        }
        let two = second.sample()?;
        Ok([first.sample()?, two])
    };
    (0..rounds).map(round).collect()
}

/// Medians of both commands, and how the first relates to the second.
pub(super) fn table(title: &str, contenders: &[Contender<'_>; 2], pairs: &[[Sample; 2]]) -> String {
    let wall = |which: usize| median(pairs.iter().map(|pair| millis(pair[which].wall)));
    let cpu = |which: usize| median(pairs.iter().map(|pair| millis(pair[which].cpu)));
    let (cpu_ratio, wall_ratio) = ratios(pairs);
    let row =
        |name: &str, wall: f64, cpu: f64, unit: &str| format!("  {name:<12}{wall:>10.2}{unit}{cpu:>10.2}{unit}\n");
    let mut text = format!("\n{title} ({} rounds, medians)\n  {:<12}{:>13}{:>13}\n", pairs.len(), "", "wall", "cpu");
    for (which, contender) in contenders.iter().enumerate() {
        text.push_str(&row(contender.name, wall(which), cpu(which), " ms"));
    }
    text.push_str(&row("ratio", wall_ratio, cpu_ratio, "   "));
    text
}

/// How the first of each pair relates to the second: medians of CPU time and of wall time.
pub(super) fn ratios(pairs: &[[Sample; 2]]) -> (f64, f64) {
    let ratio = |value: fn(&Sample) -> Duration| {
        median(pairs.iter().map(|[one, two]| millis(value(one)) / millis(value(two)).max(0.001)))
    };
    (ratio(|sample| sample.cpu), ratio(|sample| sample.wall))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The middle value; the mean of the two middle ones of an even number; zero of none.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        count if count % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_the_middle() {
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < f64::EPSILON);
        assert!((median([4.0, 1.0, 2.0, 3.0].into_iter()) - 2.5).abs() < f64::EPSILON);
        assert!(median(std::iter::empty()).abs() < f64::EPSILON);
    }

    #[cfg(unix)]
    #[test]
    fn ratios_are_those_of_rounds_and_cpu_is_charged() {
        let busy = || {
            let mut command = Command::new("sh");
            command.args(["-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"]);
            command
        };
        let idle = || Command::new("true");
        let contenders = [Contender::new("busy", &busy), Contender::new("idle", &idle)];
        let pairs = alternate(&contenders, 3).expect("both run");
        assert!(pairs.iter().all(|[busy, idle]| busy.cpu > idle.cpu), "{pairs:?}");
        let sample = |wall, cpu| Sample { wall: Duration::from_millis(wall), cpu: Duration::from_millis(cpu) };
        let fixed = [[sample(10, 4), sample(5, 4)], [sample(100, 9), sample(25, 3)], [sample(6, 8), sample(2, 4)]];
        let text = table("t", &contenders, &fixed);
        let last = text.lines().last().expect("a row");
        assert_eq!(last.split_whitespace().collect::<Vec<_>>(), ["ratio", "3.00", "2.00"]);
    }

    #[test]
    fn a_failing_command_is_an_error() {
        let failing = || Command::new("false");
        assert!(Contender::new("failing", &failing).sample().is_err());
    }
}
