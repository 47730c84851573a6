//! The timeline alone as SVG, for READMEs and comments: fixed width, light and dark.

use std::fmt::Write as _;

use super::chart::chart;
use super::escape::Escaped;
use crate::{Run, units};

const WIDTH: usize = 960;
const LEFT: usize = 180;
const RIGHT: usize = 90;
const LANE: usize = 26;
/// Letters of a name that fit.
const NAME: usize = 24;

const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#57606d}.n{fill:#14181f;font-weight:600}.t{fill:#eef1f4}.plan{fill:#8a94a3}.check{fill:#c77d0a}.stage{fill:#2a9bb0}\
.build{fill:#2563c9}.push{fill:#8250c4}.work{fill:#6b7480}.failed{fill:#c9302c}.crit{fill:#e0762c}\
@media (prefers-color-scheme:dark){text{fill:#9aa5b3}.n{fill:#e7ebf0}.t{fill:#21272f}.build{fill:#6ea3f7}.push{fill:#b993f0}}";

/// The timeline of `run`.
#[must_use]
pub fn svg(run: &Run) -> String {
    let chart = chart(run);
    let height = chart.lanes.len() * LANE + 24;
    let inner = WIDTH - LEFT - RIGHT;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n<style>{STYLE}</style>\n"
    );
    let thousandths = |value: u64| usize::try_from(value).unwrap_or(1000) * inner / 1000;
    for (at, lane) in chart.lanes.iter().enumerate() {
        let top = at * LANE + 4;
        let name: String = if lane.name.chars().count() > NAME {
            lane.name.chars().take(NAME - 1).chain(['…']).collect()
        } else {
            lane.name.clone()
        };
        let middle = top + 14;
        let _ = writeln!(
            out,
            "<text class=\"n\" x=\"4\" y=\"{middle}\">{}</text><rect class=\"t\" x=\"{LEFT}\" y=\"{top}\" width=\"{inner}\" height=\"18\" rx=\"3\"/>",
            Escaped(&name)
        );
        for bar in &lane.bars {
            let (start, width) = chart.place(bar, 1);
            let (x, width) = (LEFT + thousandths(start), thousandths(width).max(2));
            let title = bar.title(&lane.name);
            let _ = writeln!(
                out,
                "<rect class=\"{}\" x=\"{x}\" y=\"{top}\" width=\"{width}\" height=\"18\"><title>{}</title></rect>",
                bar.kind,
                Escaped(&title)
            );
            if lane.critical {
                let _ =
                    writeln!(out, "<rect class=\"crit\" x=\"{x}\" y=\"{}\" width=\"{width}\" height=\"3\"/>", top + 15);
            }
        }
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>",
            WIDTH - 4,
            units::duration(lane.duration_ms)
        );
    }
    let bottom = height - 5;
    let _ = writeln!(
        out,
        "<text x=\"{LEFT}\" y=\"{bottom}\">0</text><text x=\"{}\" y=\"{bottom}\" text-anchor=\"end\">{}</text>",
        LEFT + inner,
        units::duration(chart.total_ms)
    );
    out.push_str("</svg>\n");
    out
}
