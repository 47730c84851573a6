//! What the steps of a Dockerfile cost, and what each instruction put into the image.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::log::Step;

/// The longest text of an instruction that is kept, in bytes: here-documents may be whole programs.
const LONGEST: usize = 512;

/// One step of a Dockerfile in one build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepReport {
    /// The instruction as the builder prints it, such as `RUN make`, cut after 512 bytes.
    pub instruction: String,
    /// The stage by name or number, where the builder tells it.
    pub stage: Option<String>,
    /// Whether it came from the builder's cache.
    pub cached: bool,
    /// How long it ran; for a cached step how long the builder took to find it.
    pub duration: Duration,
}

/// What one instruction put into the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerReport {
    /// The instruction as the image's history has it; empty where the history says nothing.
    pub created_by: String,
    /// Compressed size in bytes.
    pub size: u64,
}

/// The step that a build failed at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedStep {
    /// The instruction as the builder prints it.
    pub instruction: String,
    /// Its line in the Dockerfile, from 1, where the builder tells it.
    pub line: Option<usize>,
}

/// The text of an instruction, cut at a character's border.
pub(crate) fn shortened(instruction: &str) -> String {
    let end = (0..=instruction.len().min(LONGEST)).rev().find(|end| instruction.is_char_boundary(*end));
    instruction[..end.unwrap_or(0)].to_owned()
}

/// Times the steps of a builder that announces each one when it begins and runs one at a time.
#[derive(Debug, Default)]
pub(crate) struct Stopwatch {
    done: Vec<StepReport>,
    began: Option<Instant>,
}

impl Stopwatch {
    /// Takes what the builder says at `now`; `stage` is the stage of an instruction.
    pub(crate) fn step(&mut self, step: &Step, stage: Option<&str>, now: Instant) {
        match step {
            Step::Instruction { name, .. } => {
                self.stop(now);
                self.began = Some(now);
                let stage = stage.map(str::to_owned);
                let instruction = shortened(name);
                self.done.push(StepReport { instruction, stage, cached: false, duration: Duration::ZERO });
            }
            Step::Cached => {
                if let Some(last) = self.done.last_mut() {
                    last.cached = true;
                }
            }
            _ => {}
        }
    }

    fn stop(&mut self, now: Instant) {
        if let (Some(began), Some(last)) = (self.began.take(), self.done.last_mut()) {
            last.duration = now.saturating_duration_since(began);
        }
    }

    /// The steps in the order in which they began; the last one ended at `now`.
    pub(crate) fn finish(mut self, now: Instant) -> Vec<StepReport> {
        self.stop(now);
        self.done
    }

    /// The step that is running.
    pub(crate) fn last(&self) -> Option<&StepReport> {
        self.done.last()
    }
}

/// The layers of an image with the instructions that made them, base first: `history` of its configuration names those
/// that are not empty in the order of the layers (OCI image-spec, config.md).
pub(crate) fn layers(config: &[u8], sizes: &[u64]) -> Vec<LayerReport> {
    #[derive(Deserialize)]
    struct Config {
        #[serde(default)]
        history: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        #[serde(default)]
        created_by: String,
        #[serde(default)]
        empty_layer: bool,
    }
    let history = serde_json::from_slice::<Config>(config).map(|config| config.history).unwrap_or_default();
    let mut made = history.into_iter().filter(|entry| !entry.empty_layer).map(|entry| shortened(&entry.created_by));
    sizes.iter().map(|size| LayerReport { created_by: made.next().unwrap_or_default(), size: *size }).collect()
}

/// Steps that are told in pieces, several times each and in any order, by an identifier.
#[derive(Debug, Default)]
pub(crate) struct Vertices {
    known: BTreeMap<String, (usize, Vertex)>,
}

/// What is known of one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vertex {
    pub(crate) instruction: String,
    pub(crate) stage: Option<String>,
    pub(crate) began: bool,
    pub(crate) cached: bool,
    pub(crate) duration: Duration,
    pub(crate) failed: bool,
}

impl Vertices {
    /// The vertex of this identifier; a new one is the last in order.
    pub(crate) fn entry(&mut self, id: &str) -> &mut Vertex {
        let position = self.known.len();
        &mut self.known.entry(id.to_owned()).or_insert_with(|| (position, Vertex::default())).1
    }

    /// The first that failed.
    pub(crate) fn failed(&self) -> Option<&Vertex> {
        let failed = self.known.values().filter(|(_, vertex)| vertex.failed);
        failed.min_by_key(|(position, _)| *position).map(|(_, vertex)| vertex)
    }

    /// Those that began, in the order in which they were first told.
    pub(crate) fn into_reports(self) -> Vec<StepReport> {
        let mut all: Vec<(usize, Vertex)> = self.known.into_values().filter(|(_, vertex)| vertex.began).collect();
        all.sort_by_key(|(position, _)| *position);
        let report = |vertex: Vertex| StepReport {
            instruction: vertex.instruction,
            stage: vertex.stage,
            cached: vertex.cached,
            duration: vertex.duration,
        };
        all.into_iter().map(|(_, vertex)| report(vertex)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_lasts_until_the_next_one_begins() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watch = Stopwatch::default();
        let begin = |name: &str| Step::Instruction { name: name.to_owned(), number: 1, total: 3 };
        watch.step(&Step::Cached, None, at(0));
        watch.step(&begin("FROM a"), Some("1"), at(1));
        watch.step(&begin("RUN b"), Some("1"), at(2));
        watch.step(&Step::Cached, None, at(4));
        watch.step(&begin("COPY c /"), None, at(5));
        let told: Vec<(String, bool, u64)> = watch
            .finish(at(9))
            .into_iter()
            .map(|step| (step.instruction, step.cached, step.duration.as_secs()))
            .collect();
        let expected = [("FROM a", false, 1), ("RUN b", true, 3), ("COPY c /", false, 4)];
        assert_eq!(told, expected.map(|(name, cached, seconds)| (name.to_owned(), cached, seconds)));
    }

    #[test]
    fn layers_are_named_by_the_history_without_its_empty_entries() {
        let config = br#"{"history":[{"created_by":"base"},{"created_by":"ENV A=1","empty_layer":true},{"created_by":"COPY a /"}]}"#;
        let told: Vec<(String, u64)> =
            layers(config, &[3, 4, 5]).into_iter().map(|layer| (layer.created_by, layer.size)).collect();
        assert_eq!(told, [("base".to_owned(), 3), ("COPY a /".to_owned(), 4), (String::new(), 5)]);
        assert_eq!(layers(b"no document", &[1]).len(), 1);
    }

    #[test]
    fn a_long_instruction_is_cut_between_characters() {
        let text = "ü".repeat(LONGEST);
        assert_eq!(shortened(&text).len(), LONGEST);
        assert_eq!(shortened(&format!("a{text}")).len(), LONGEST - 1);
    }
}
