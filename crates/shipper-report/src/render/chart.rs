//! The timeline of a run as bars in thousandths of its duration, for HTML and SVG alike.

use crate::{Outcome, Phase, Run, units};

/// A bar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bar {
    /// `plan`, `check`, `stage`, `build`, `push`, `failed`, or `work` where no phase is known.
    pub(super) kind: &'static str,
    pub(super) start_ms: u64,
    pub(super) duration_ms: u64,
}

/// A line of the timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) name: String,
    pub(super) bars: Vec<Bar>,
    pub(super) critical: bool,
    pub(super) duration_ms: u64,
}

/// The timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chart {
    /// Sorted by the beginning of the work.
    pub(super) lanes: Vec<Lane>,
    /// The whole, in milliseconds; at least 1.
    pub(super) total_ms: u64,
}

/// The timeline of a run: what was done before the plan stood, then the services on which work was done.
pub(super) fn chart(run: &Run) -> Chart {
    let totals = run.totals();
    let path = run.critical_path();
    let mut lanes = Vec::new();
    if let Some(planned_ms) = run.planned_ms {
        let bars = vec![Bar { kind: "plan", start_ms: 0, duration_ms: planned_ms }];
        lanes.push(Lane {
            name: "hash and plan".to_owned(),
            bars,
            critical: !path.is_empty(),
            duration_ms: planned_ms,
        });
    }
    let mut worked: Vec<usize> = (0..run.services.len()).filter(|at| run.services[*at].start_ms.is_some()).collect();
    worked.sort_by_key(|at| run.services[*at].start_ms);
    for at in worked {
        let service = &run.services[at];
        let start_ms = service.start_ms.unwrap_or_default();
        let duration_ms = service.duration_ms.unwrap_or_else(|| totals.duration_ms.saturating_sub(start_ms));
        let mut bars: Vec<Bar> = service.phases.iter().map(bar).collect();
        if bars.is_empty() {
            bars.push(Bar { kind: "work", start_ms, duration_ms });
        }
        if service.outcome == Some(Outcome::Failed)
            && let Some(last) = bars.last_mut()
        {
            last.kind = "failed";
        }
        lanes.push(Lane { name: service.service.clone(), bars, critical: path.contains(&at), duration_ms });
    }
    let ends = lanes.iter().flat_map(|lane| &lane.bars).map(|bar| bar.start_ms.saturating_add(bar.duration_ms));
    let total_ms = ends.max().unwrap_or(0).max(totals.duration_ms).max(1);
    Chart { lanes, total_ms }
}

fn bar(phase: &crate::PhaseTime) -> Bar {
    let kind = match phase.phase {
        Phase::Check => "check",
        Phase::Stage => "stage",
        Phase::Build => "build",
        Phase::Push => "push",
    };
    Bar { kind, start_ms: phase.start_ms, duration_ms: phase.duration_ms }
}

impl Chart {
    /// Start and width of a bar in thousandths of the whole times `scale`; wide enough to be seen.
    pub(super) fn place(&self, bar: &Bar, scale: u64) -> (u64, u64) {
        let place = |ms: u64| {
            let placed = u128::from(ms.min(self.total_ms)) * u128::from(1000 * scale) / u128::from(self.total_ms);
            u64::try_from(placed).unwrap_or(u64::MAX)
        };
        let (least, whole) = (3 * scale, 1000 * scale);
        let (start, end) = (place(bar.start_ms), place(bar.start_ms.saturating_add(bar.duration_ms)));
        let start = start.min(whole - least);
        (start, end.saturating_sub(start).max(least))
    }

    /// Five times from 0 to the end.
    pub(super) fn ticks(&self) -> Vec<String> {
        (0..=4)
            .map(|quarter| if quarter == 0 { "0".to_owned() } else { units::duration(self.total_ms / 4 * quarter) })
            .collect()
    }
}

impl Bar {
    /// The bar in words.
    pub(super) fn title(&self, lane: &str) -> String {
        let what = match self.kind {
            "plan" => String::new(),
            "work" => ": working".to_owned(),
            kind => format!(": {kind}"),
        };
        format!("{lane}{what}, {} from {}", units::duration(self.duration_ms), units::duration(self.start_ms))
    }
}
