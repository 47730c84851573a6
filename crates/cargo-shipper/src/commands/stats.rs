//! `shipper stats`.

use std::fmt::Write as _;
use std::io::Write as _;

use serde::Serialize;
use shipper_engine::figures::{Gates, ServiceStats, Stats};
use shipper_engine::{ExitCode, units};

use crate::cli::{Global, StatsArgs};
use crate::commands::{Document, options};
use crate::failure::Failure;
use crate::terminal::{Terminal, aligned};

pub(crate) fn run(global: &Global, args: &StatsArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let last = args.last.map(|last| usize::try_from(last).unwrap_or(usize::MAX));
    let stats = shipper_engine::stats(&options(global), last)?;
    let gates = Gates {
        build_p95_ms: args.max_build_p95.map(|seconds| u64::from(seconds) * 1_000),
        hit_rate: args.min_hit_rate,
        size_growth: args.max_size_growth,
    };
    let exceeded = stats.exceeded(&gates);
    let mut out = std::io::BufWriter::new(terminal.stdout());
    if global.json {
        writeln!(out, "{}", Document::line(Judged { exceeded: &exceeded, stats: &stats })?)?;
    } else {
        write!(out, "{}", table(&stats))?;
    }
    out.flush()?;
    for sentence in &exceeded {
        terminal.error(sentence, &[], None);
    }
    Ok(if exceeded.is_empty() { ExitCode::Done } else { ExitCode::No })
}

/// The figures, and the bounds that they exceed.
#[derive(Serialize)]
struct Judged<'a> {
    exceeded: &'a [String],
    #[serde(flatten)]
    stats: &'a Stats,
}

/// A column's title and what of a service it holds.
type Column = (&'static str, fn(&ServiceStats) -> String);

const COLUMNS: [Column; 9] = [
    ("built", |one| one.built.to_string()),
    ("there", |one| (one.retagged + one.reused).to_string()),
    ("failed", |one| one.failed.to_string()),
    ("hit rate", |one| known(one.hit_rate, |rate| format!("{:.0} %", rate * 100.0))),
    ("p50", |one| known(one.build_p50_ms, units::duration)),
    ("p95", |one| known(one.build_p95_ms, units::duration)),
    ("saved", |one| units::duration(one.saved_ms)),
    ("size", |one| known(one.size, units::bytes)),
    ("growth", |one| known(one.growth_percent(), |percent| format!("{percent:+.1} %"))),
];

fn known<T>(figure: Option<T>, text: impl Fn(T) -> String) -> String {
    figure.map_or_else(|| "-".to_owned(), text)
}

/// One row a service.
fn table(stats: &Stats) -> String {
    let mut text = units::counted(stats.runs, "run");
    if let (Some(since), Some(until)) = (&stats.since, &stats.until) {
        let _ = write!(text, ", {since} to {until}");
    }
    if stats.damaged > 0 {
        let _ = write!(text, ", {} of them not whole", stats.damaged);
    }
    text.push('\n');
    let titles = std::iter::once(String::new()).chain(COLUMNS.iter().map(|(title, _)| (*title).to_owned())).collect();
    let mut rows: Vec<Vec<String>> = vec![titles];
    for one in &stats.services {
        let cells = COLUMNS.iter().map(|(_, cell)| cell(one));
        rows.push(std::iter::once(one.service.clone()).chain(cells).collect());
    }
    text + &aligned(&rows)
}
