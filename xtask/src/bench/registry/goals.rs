//! What a case must reach, and how it is told.

use std::fmt::Write as _;

use super::Sample;
use crate::bench::measure::median;

/// A bound for shipper.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goal {
    /// Most wall time, as part of a peer's.
    Wall(&'static str, f64),
    /// Most CPU time, as part of a peer's.
    Cpu(&'static str, f64),
    /// Most resident memory, in MiB.
    Memory(u64),
    /// Most requests.
    Requests(usize),
}

/// Medians of all clients, and the goals. The first client is shipper.
pub(super) fn judged(title: &str, clients: &[(&str, &[Sample])], goals: &[Goal]) -> String {
    let rounds = clients.first().map_or(0, |(_, samples)| samples.len());
    let mut text = format!("\n{title} ({rounds} rounds, medians)\n");
    let _ = writeln!(text, "  {:<10}{:>12}{:>12}{:>12}{:>10}", "", "wall", "cpu", "memory", "requests");
    for (name, samples) in clients {
        let of = |value: fn(&Sample) -> f64| median(samples.iter().map(value));
        let _ = writeln!(
            text,
            "  {name:<10}{:>9.1} ms{:>9.1} ms{:>8.1} MiB{:>10}",
            of(wall),
            of(cpu),
            of(memory),
            of(requests)
        );
    }
    let Some((_, own)) = clients.first() else { return text };
    for goal in goals {
        let (what, found, bound) = match *goal {
            Goal::Wall(peer, bound) | Goal::Cpu(peer, bound) => {
                let Some((_, theirs)) = clients.iter().find(|(name, _)| *name == peer) else {
                    let _ = writeln!(text, "  goal  against {peer}: not measured, it is not installed");
                    continue;
                };
                let (value, name): (fn(&Sample) -> f64, _) =
                    if matches!(goal, Goal::Wall(..)) { (wall, "wall") } else { (cpu, "cpu") };
                let ratios = own.iter().zip(*theirs).map(|(one, two)| value(one) / value(two).max(0.001));
                (format!("{name} against {peer}"), median(ratios), bound)
            }
            Goal::Memory(bound) => {
                let most = own.iter().map(memory).fold(0.0, f64::max);
                ("memory in MiB".to_owned(), most, bound as f64)
            }
            Goal::Requests(bound) => {
                let most = own.iter().map(requests).fold(0.0, f64::max);
                ("requests".to_owned(), most, bound as f64)
            }
        };
        text.push_str(&line(&what, found, bound));
    }
    text
}

/// A case with one figure.
pub(super) fn single(title: &str, found: f64, bound: f64, note: &str) -> String {
    let note = if note.is_empty() { String::new() } else { format!(" ({note})") };
    format!("\n{title}{note}\n{}", line("", found, bound))
}

fn line(what: &str, found: f64, bound: f64) -> String {
    let verdict = if found <= bound { "holds" } else { "missed" };
    format!("  goal  {what:<22}{found:>8.2}  at most {bound:>6.2}  {verdict}\n")
}

fn wall(sample: &Sample) -> f64 {
    sample.used.wall.as_secs_f64() * 1000.0
}

fn cpu(sample: &Sample) -> f64 {
    sample.used.cpu.as_secs_f64() * 1000.0
}

fn memory(sample: &Sample) -> f64 {
    sample.used.memory as f64 / f64::from(1 << 20)
}

fn requests(sample: &Sample) -> f64 {
    sample.requests as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bench::child::Used;

    #[test]
    fn goals_are_judged_by_rounds_and_by_the_worst_sample() {
        let sample = |wall, memory: u64, requests| Sample {
            used: Used { wall: Duration::from_millis(wall), cpu: Duration::from_millis(1), memory: memory << 20 },
            requests,
        };
        let own = [sample(10, 5, 2), sample(50, 70, 3), sample(10, 5, 2)];
        let theirs = [sample(20, 1, 9), sample(50, 1, 9), sample(20, 1, 9)];
        let goals = [Goal::Wall("peer", 0.5), Goal::Memory(64), Goal::Requests(3), Goal::Cpu("absent", 1.0)];
        let text = judged("t", &[("shipper", &own), ("peer", &theirs)], &goals);
        let verdicts: Vec<_> = text.lines().filter(|line| line.starts_with("  goal")).collect();
        assert!(verdicts[0].contains("0.50") && verdicts[0].ends_with("holds"), "{text}");
        assert!(verdicts[1].contains("70.00") && verdicts[1].ends_with("missed"), "{text}");
        assert!(verdicts[2].ends_with("holds") && verdicts[3].ends_with("not installed"), "{text}");
    }
}
