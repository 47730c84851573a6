//! A deployment as people read it.

use std::collections::BTreeMap;

use shipper_engine::{PlannedImage, PlannedStep};

use super::{DIM, GOOD, NOTE, escape_controls};

/// What a deployment changes: images that are other ones, then the steps.
pub(super) fn plan(environment: &str, images: &BTreeMap<String, PlannedImage>, steps: &[PlannedStep]) -> String {
    let mut text = format!("{}:\n", escape_controls(environment));
    for (service, planned) in images {
        let image = planned.image.as_deref().unwrap_or("to be built");
        let digest = escape_controls(image.rsplit_once('@').map_or(image, |(_, digest)| digest));
        text.push_str(&match &planned.was {
            Some(was) => format!("  {NOTE}~{NOTE:#} {service} {} -> {digest}\n", short(was)),
            None => format!("    {service} {digest}\n"),
        });
    }
    for step in steps {
        let (name, why) = (escape_controls(&step.step), escape_controls(&step.why));
        text.push_str(&if step.due {
            format!("  {GOOD}+{GOOD:#} {name} {DIM}{why}{DIM:#}\n")
        } else {
            format!("    {name} {DIM}{why}{DIM:#}\n")
        });
        for change in &step.changes {
            text.push_str(&format!("        {}\n", escape_controls(change)));
        }
    }
    text
}

/// The first digits of a digest.
fn short(digest: &str) -> String {
    let digits = digest.split_once(':').map_or(digest, |(_, digits)| digits);
    escape_controls(&digits.chars().take(12).collect::<String>())
}
