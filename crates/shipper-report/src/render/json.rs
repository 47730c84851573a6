//! A run as JSON.

use serde::Serialize;

use super::Summary;
use crate::{FORMAT, Run, ServiceRun, Totals};

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Document<'a> {
    format: &'static str,
    #[serde(flatten)]
    run: &'a Run,
    whole: bool,
    totals: Totals,
    critical_path: Vec<&'a str>,
    history: &'a [Summary],
}

/// The report of `run` as one document: the run with totals and critical path; `history` oldest first.
#[must_use]
pub fn json(run: &Run, history: &[Summary]) -> String {
    let name = |at: usize| -> &str { run.services.get(at).map_or("", |service: &ServiceRun| &service.service) };
    let document = Document {
        format: FORMAT,
        run,
        whole: run.is_whole(),
        totals: run.totals(),
        critical_path: run.critical_path().into_iter().map(name).collect(),
        history,
    };
    let mut text = serde_json::to_string_pretty(&document).expect("keys are strings and nothing fails to serialise");
    text.push('\n');
    text
}
