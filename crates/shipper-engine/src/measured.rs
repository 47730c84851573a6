//! What a builder measured, as events: steps with their lines in the Dockerfile, and layers.

use shipper_build::BuiltLayout;
use shipper_dockerfile::Instruction;
use shipper_report::{Event, MeasuredLayer, MeasuredStep, milliseconds};

/// The instructions of a Dockerfile; none of one that another frontend reads.
pub(crate) fn instructions(dockerfile: &[u8]) -> Vec<Instruction> {
    shipper_dockerfile::instructions(dockerfile).unwrap_or_default()
}

/// The line of an instruction as a builder printed it: the only one with this text.
pub(crate) fn line(instructions: &[Instruction], printed: &str) -> Option<usize> {
    let mut found = instructions.iter().filter(|one| one.is_printed_as(printed));
    match (found.next(), found.next()) {
        (Some(only), None) => Some(only.line),
        _ => None,
    }
}

/// What is told about a build that succeeded.
pub(crate) fn event(
    service: &str,
    platform: &str,
    builder: &str,
    instructions: &[Instruction],
    built: &BuiltLayout,
    duration_ms: u64,
) -> Event {
    let steps = built.steps.iter().map(|step| MeasuredStep {
        line: line(instructions, &step.instruction).map(|line| line as u64),
        instruction: step.instruction.clone(),
        stage: step.stage.clone(),
        cached: step.cached,
        duration_ms: milliseconds(step.duration),
    });
    let layers =
        built.layers.iter().map(|layer| MeasuredLayer { created_by: layer.created_by.clone(), size: layer.size });
    Event::BuildMeasured {
        service: service.to_owned(),
        platform: platform.to_owned(),
        builder: builder.to_owned(),
        steps: steps.collect(),
        layers: layers.collect(),
        duration_ms,
    }
}
