//! What the build of a Dockerfile cost, in lines for people.

use shipper_engine::{LeftOut, MeasuredLayer, MeasuredStep, units};

/// How many of the slowest steps are named.
const SLOWEST: usize = 3;
/// Steps that ran for less are not worth a name, in milliseconds.
const WORTH_NAMING: u64 = 100;
/// How much of an instruction fits into a line, in characters.
const WIDTH: usize = 60;

/// `5 steps, 3 cached, in 12.3s; slowest: line 4 RUN make 10.1s`.
pub(crate) fn summary(steps: &[MeasuredStep], duration_ms: u64) -> String {
    let cached = steps.iter().filter(|step| step.cached).count();
    let plural = if steps.len() == 1 { "step" } else { "steps" };
    let mut text = format!("{} {plural}, {cached} cached, in {}", steps.len(), units::duration(duration_ms));
    let mut ran: Vec<&MeasuredStep> =
        steps.iter().filter(|step| !step.cached && step.duration_ms >= WORTH_NAMING).collect();
    ran.sort_by_key(|step| std::cmp::Reverse(step.duration_ms));
    let slowest: Vec<String> =
        ran.iter().take(SLOWEST).map(|step| format!("{} {}", named(step), units::duration(step.duration_ms))).collect();
    if !slowest.is_empty() {
        text.push_str(&format!("; slowest: {}", slowest.join(", ")));
    }
    text
}

/// `read from A, B; not C (it is not there yet)`.
pub(crate) fn caches(from: &[String], left_out: &[LeftOut]) -> String {
    let read = if from.is_empty() { "nothing to read".to_owned() } else { format!("read from {}", from.join(", ")) };
    let without: Vec<String> = left_out.iter().map(|left| format!("{} ({})", left.cache, left.why)).collect();
    if without.is_empty() { read } else { format!("{read}; not {}", without.join(", ")) }
}

/// Every step with its time, then every layer with its size.
pub(crate) fn details(steps: &[MeasuredStep], layers: &[MeasuredLayer]) -> Vec<String> {
    let steps = steps.iter().map(|step| {
        let time = if step.cached { "cached".to_owned() } else { units::duration(step.duration_ms) };
        format!("{time:>10} {}", named(step))
    });
    let layers = layers.iter().map(|layer| format!("{:>10} {}", units::bytes(layer.size), cut(&layer.created_by)));
    steps.chain(layers).collect()
}

fn named(step: &MeasuredStep) -> String {
    let line = step.line.map(|line| format!("line {line} ")).unwrap_or_default();
    format!("{line}{}", cut(&step.instruction))
}

/// The beginning of an instruction in one line.
fn cut(instruction: &str) -> String {
    let words: Vec<&str> = instruction.split_whitespace().collect();
    let text = words.join(" ");
    match text.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(instruction: &str, cached: bool, duration_ms: u64, line: Option<u64>) -> MeasuredStep {
        MeasuredStep { instruction: instruction.to_owned(), stage: None, line, cached, duration_ms }
    }

    #[test]
    fn the_slowest_steps_that_ran_are_named() {
        let steps = [
            step("FROM a", true, 5_000, Some(1)),
            step("RUN  make \n all", false, 10_100, Some(4)),
            step("RUN tiny", false, 3, None),
            step(&format!("RUN {}", "x".repeat(200)), false, 200, None),
        ];
        let text = summary(&steps, 12_300);
        assert!(text.starts_with("4 steps, 1 cached, in 12.3s; slowest: line 4 RUN make all 10.1s, RUN xxx"), "{text}");
        assert!(text.ends_with("xx.. 200ms"), "{text}");
        assert_eq!(summary(&steps[..1], 3), "1 step, 1 cached, in 3ms");
        let layers = [MeasuredLayer { created_by: "COPY a /".to_owned(), size: 2048 }];
        assert_eq!(details(&steps[..1], &layers), ["    cached line 1 FROM a", "   2.0 KiB COPY a /"]);
    }
}
