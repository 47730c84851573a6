//! What `docker buildx build --progress rawjson` says on standard error.
//!
//! A stream of JSON objects (buildkit, client/graph.go, `SolveStatus`), one a line with newer versions and spread over
//! many lines with older ones, then on failure plain text. A vertex is told several times; an `error` of a vertex is no
//! failure of the build.

use std::time::Duration;

use base64::Engine as _;
use serde::Deserialize;

use crate::log::{BuildLog, Step};
use crate::process::TailBuffer;
use crate::steps::{FailedStep, StepReport, Vertices, shortened};

/// A document longer than this is given up, in bytes.
const LONGEST: usize = 8 << 20;

#[derive(Debug, Deserialize)]
struct Status {
    #[serde(default)]
    vertexes: Vec<Vertex>,
    #[serde(default)]
    logs: Vec<Log>,
    #[serde(default)]
    warnings: Vec<Warning>,
}

#[derive(Debug, Deserialize)]
struct Vertex {
    digest: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    started: Option<String>,
    #[serde(default)]
    completed: Option<String>,
    #[serde(default)]
    cached: bool,
    #[serde(default)]
    error: String,
}

impl Vertex {
    /// How long it ran, where it has ended.
    fn duration(&self) -> Option<Duration> {
        let parse = |time: &Option<String>| time.as_deref()?.parse::<jiff::Timestamp>().ok();
        Duration::try_from(parse(&self.completed)?.duration_since(parse(&self.started)?)).ok()
    }
}

#[derive(Debug, Deserialize)]
struct Log {
    #[serde(default)]
    data: String,
}

#[derive(Debug, Deserialize)]
struct Warning {
    /// Base64 of one line.
    #[serde(default)]
    short: String,
}

/// Reads the stream line by line.
#[derive(Default)]
pub(super) struct Progress {
    /// The beginning of an object that is not complete.
    open: String,
    /// What was told about each step.
    told: Vertices,
    /// The last lines of steps and messages.
    tail: TailBuffer,
    /// The plain text behind the objects.
    message: Vec<String>,
}

/// What a failed build left.
pub(super) struct Failure {
    /// The last lines, the cause last.
    pub(super) tail: Vec<String>,
    /// What a failing `RUN` returned; the client itself always returns 1.
    pub(super) exit_code: Option<i32>,
    /// An image that a registry does not have.
    pub(super) missing_image: Option<String>,
    /// The step that failed.
    pub(super) at: Option<FailedStep>,
}

impl Progress {
    /// Takes one line of standard error. `file` gets the lines that people can read.
    pub(super) fn line(&mut self, line: &str, file: &mut dyn FnMut(&str), log: &dyn BuildLog) {
        if self.open.is_empty() && !line.starts_with('{') {
            if !line.trim().is_empty() {
                self.say(line, file, log);
                self.message.push(line.to_owned());
            }
            return;
        }
        if self.open.len() + line.len() > LONGEST {
            self.open.clear();
            return;
        }
        self.open.push_str(line);
        self.open.push('\n');
        // An object ends where its last brace stands: at the end of its only line, or alone on a line.
        if !line.ends_with('}') {
            return;
        }
        if let Ok(status) = serde_json::from_str::<Status>(&self.open) {
            self.open.clear();
            self.status(&status, file, log);
        }
    }

    fn status(&mut self, status: &Status, file: &mut dyn FnMut(&str), log: &dyn BuildLog) {
        for vertex in &status.vertexes {
            let Some((step, stage)) = instruction(&vertex.name) else { continue };
            let told = self.told.entry(&vertex.digest);
            if let Step::Instruction { name, .. } = &step {
                told.instruction = shortened(name);
            }
            told.stage = stage.map(str::to_owned);
            // What was running beside the step that failed is told as cancelled.
            told.failed |= !vertex.error.is_empty() && !vertex.error.contains("context canceled");
            // It may be told with more than one pair of times; the last pair is the longest.
            told.duration = vertex.duration().map_or(told.duration, |duration| duration.max(told.duration));
            if vertex.started.is_some() && !std::mem::replace(&mut told.began, true) {
                file(&vertex.name);
                log.step(&step);
            }
            if vertex.cached && vertex.completed.is_some() && !std::mem::replace(&mut told.cached, true) {
                log.step(&Step::Cached);
            }
        }
        let texts = status.logs.iter().map(|log| &log.data).chain(status.warnings.iter().map(|warning| &warning.short));
        for text in texts {
            let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(text) else { continue };
            for line in String::from_utf8_lossy(&bytes).lines().filter(|line| !line.trim().is_empty()) {
                self.say(line, file, log);
            }
        }
    }

    fn say(&mut self, line: &str, file: &mut dyn FnMut(&str), log: &dyn BuildLog) {
        file(line);
        log.line(line);
        self.tail.push(line);
    }

    /// The steps of a build that succeeded.
    pub(super) fn into_steps(self) -> Vec<StepReport> {
        self.told.into_reports()
    }

    pub(super) fn into_failure(self) -> Failure {
        let at = self.told.failed().map(|vertex| FailedStep {
            instruction: vertex.instruction.clone(),
            line: self.message.iter().find_map(|line| failed_line(line)),
        });
        let cause = self.message.iter().find(|line| line.starts_with("ERROR: "));
        let exit_code = cause.and_then(|cause| cause.rsplit_once("exit code: ")?.1.trim().parse().ok());
        let missing_image = cause.and_then(|cause| missing_image(cause));
        let mut tail = self.tail.into_lines();
        if let Some(cause) = cause {
            // The excerpt of the Dockerfile stands behind the cause; people look at the end.
            tail.retain(|line| line != cause);
            tail.push(cause.clone());
            let surplus = tail.len().saturating_sub(crate::error::TAIL_LINES);
            tail.drain(..surplus);
        }
        Failure { tail, exit_code, missing_image, at }
    }
}

/// A step of the Dockerfile: `[3/4] RUN make`, `[build 2/3] COPY . .`, `[linux/arm64 build 2/3] COPY . .`. BuildKit's own
/// vertices (`[internal] ..`, `exporting ..`, `importing ..`) are none.
/// Gives the step and the name of its stage.
fn instruction(name: &str) -> Option<(Step, Option<&str>)> {
    let (position, name) = name.strip_prefix('[')?.split_once("] ")?;
    let mut words = position.rsplit(' ');
    let (number, total) = words.next()?.split_once('/')?;
    // Names of stages have no slash, platforms have one.
    let stage = words.next().filter(|word| !word.contains('/'));
    let (number, total) = (number.parse().ok()?, total.parse().ok()?);
    Some((Step::Instruction { name: name.to_owned(), number, total }, stage))
}

/// The line in `Dockerfile:12`, which stands above the excerpt of a Dockerfile that failed.
fn failed_line(line: &str) -> Option<usize> {
    line.trim().strip_prefix("Dockerfile:")?.parse().ok()
}

/// The image in `.. NAME: failed to resolve source metadata for NAME: NAME: not found`.
fn missing_image(cause: &str) -> Option<String> {
    let found = cause.strip_suffix(": not found")?;
    let (_, behind) = found.split_once("failed to resolve source metadata for ")?;
    behind.split(": ").next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);

    impl BuildLog for Told {
        fn line(&self, line: &str) {
            self.0.lock().unwrap().push(line.to_owned());
        }

        fn step(&self, step: &Step) {
            let text = match step {
                Step::Instruction { name, number, total } => format!("{number}/{total} {name}"),
                other => format!("{other:?}"),
            };
            self.0.lock().unwrap().push(text);
        }
    }

    fn read(text: &str) -> (Vec<String>, Failure) {
        let told = Told::default();
        let mut progress = Progress::default();
        for line in text.lines() {
            progress.line(line, &mut |_| {}, &told);
        }
        (told.0.into_inner().unwrap(), progress.into_failure())
    }

    const ONE_A_LINE: &str = r#"{"vertexes":[{"digest":"sha256:1","name":"[internal] load build definition","started":"t"}]}
{"vertexes":[{"digest":"sha256:2","name":"[build 2/3] RUN make","started":"t"}]}
{"logs":[{"vertex":"sha256:2","stream":1,"data":"b25lCnR3bwo=","timestamp":"t"}]}
{"vertexes":[{"digest":"sha256:2","name":"[build 2/3] RUN make","started":"2026-01-01T00:00:01.5Z","completed":"2026-01-01T00:00:03.75Z","error":"x"}]}
{"vertexes":[{"digest":"sha256:3","name":"[linux/arm64 3/3] COPY a /","started":"t","completed":"t","cached":true}]}
"#;

    #[test]
    fn both_dialects_tell_the_same() {
        let expected = ["2/3 RUN make", "one", "two", "3/3 COPY a /", "Cached"];
        assert_eq!(read(ONE_A_LINE).0, expected);
        let many: String = ONE_A_LINE
            .lines()
            .map(|line| {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                format!("{value:#}\n")
            })
            .collect();
        assert!(many.lines().count() > 20);
        assert_eq!(read(&many).0, expected);
    }

    #[test]
    fn a_failure_has_its_cause_last_and_the_exit_code_of_the_step() {
        let text = format!(
            "{ONE_A_LINE}Dockerfile:3\n   3 | >>> RUN make\nERROR: failed to solve: process \"/bin/sh -c make\" did not complete \
             successfully: exit code: 7\n"
        );
        let (_, failure) = read(&text);
        assert_eq!(failure.exit_code, Some(7));
        let at = FailedStep { instruction: "RUN make".to_owned(), line: Some(3) };
        assert_eq!(failure.at, Some(at));
        assert_eq!(failure.missing_image, None);
        assert_eq!(failure.tail[..2], ["one", "two"]);
        assert!(failure.tail.last().unwrap().starts_with("ERROR: "), "{:?}", failure.tail);
    }

    #[test]
    fn steps_are_measured_by_the_builders_own_times() {
        let told = Told::default();
        let mut progress = Progress::default();
        for line in ONE_A_LINE.lines() {
            progress.line(line, &mut |_| {}, &told);
        }
        let steps: Vec<(String, Option<String>, bool, u128)> = progress
            .into_steps()
            .into_iter()
            .map(|step| (step.instruction, step.stage, step.cached, step.duration.as_millis()))
            .collect();
        let expected =
            [("RUN make".to_owned(), Some("build".to_owned()), false, 2250), ("COPY a /".to_owned(), None, true, 0)];
        assert_eq!(steps, expected);
    }

    #[test]
    fn an_image_that_is_not_there_is_named() {
        let text = "ERROR: failed to solve: 127.0.0.1:5000/none:1: failed to resolve source metadata for \
                    127.0.0.1:5000/none:1: 127.0.0.1:5000/none:1: not found";
        assert_eq!(read(text).1.missing_image.as_deref(), Some("127.0.0.1:5000/none:1"));
    }

    #[test]
    fn noise_is_no_object() {
        let (told, failure) = read("{\nnot json }\n{\"vertexes\":[]}\n");
        assert!(told.is_empty(), "{told:?}");
        assert!(failure.tail.is_empty());
    }
}
