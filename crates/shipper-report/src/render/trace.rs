//! A run in the trace event format that Perfetto and Chrome read ("Trace Event Format", complete events `X`).

use serde_json::{Value, json};

use super::chart::chart;
use crate::Run;

/// The timeline of `run`, one thread for each service. Times are microseconds there.
#[must_use]
pub fn chrome_trace(run: &Run) -> String {
    let mut events: Vec<Value> = Vec::new();
    for (thread, lane) in chart(run).lanes.iter().enumerate() {
        events.push(json!({"ph": "M", "name": "thread_name", "pid": 1, "tid": thread, "args": {"name": lane.name}}));
        for bar in &lane.bars {
            events.push(json!({
                "ph": "X",
                "name": bar.kind,
                "cat": lane.name,
                "pid": 1,
                "tid": thread,
                "ts": bar.start_ms.saturating_mul(1000),
                "dur": bar.duration_ms.saturating_mul(1000),
                "args": {"critical": lane.critical},
            }));
        }
    }
    format!("{}\n", json!({"displayTimeUnit": "ms", "traceEvents": events}))
}
