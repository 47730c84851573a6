//! `shipper verify`.

use std::io::Write as _;

use serde_json::json;
use shipper_engine::{ExitCode, Verified, units};

use crate::cli::{Global, VerifyArgs};
use crate::commands::{block_on, options_at};
use crate::failure::Failure;
use crate::terminal::{Terminal, escape_controls};

pub(crate) fn run(global: &Global, args: &VerifyArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let options = options_at(global, &args.place, None);
    let answers = block_on(shipper_engine::verify(&options, &args.targets, args.key.as_deref()))??;
    let mut out = terminal.stdout();
    if global.json {
        let images: Vec<_> = answers.iter().map(document).collect();
        writeln!(out, "{}", json!({"format": shipper_engine::FORMAT, "images": images}))?;
    } else {
        for answer in &answers {
            out.write_all(escape_controls(&lines(answer)).as_bytes())?;
        }
    }
    Ok(if answers.iter().any(Verified::is_wrong) {
        ExitCode::No
    } else if answers.iter().any(|answer| !answer.faults.is_empty()) {
        ExitCode::Unknown
    } else {
        ExitCode::Done
    })
}

fn document(answer: &Verified) -> serde_json::Value {
    let faults = answer.faults.iter();
    let faults: Vec<_> =
        faults.map(|fault| json!({"part": fault.part, "problem": fault.problem, "proven": fault.proven})).collect();
    let statements: Vec<_> = answer
        .statements
        .iter()
        .map(|one| json!({"image": one.image, "predicate-type": one.predicate_type, "names-image": one.names_image}))
        .collect();
    json!({
        "reference": answer.reference,
        "digest": answer.digest,
        "key": answer.key,
        "inputs": answer.inputs,
        "manifests": answer.manifests,
        "blobs": answer.blobs,
        "bytes": answer.bytes,
        "signatures": answer.signatures,
        "statements": statements,
        "faults": faults,
    })
}

/// The image and a word about it, then a line for each fault.
fn lines(answer: &Verified) -> String {
    let read = format!("{} manifests, {} blobs, {}", answer.manifests, answer.blobs, units::bytes(answer.bytes));
    let signed = if answer.signatures.is_some() { ", signed" } else { "" };
    let verdict = match (answer.faults.len(), answer.is_wrong(), answer.inputs) {
        (0, _, true) => format!("ok: {read}, key and inputs agree{signed}"),
        (0, _, false) => format!("ok: {read}, no inputs beside it{signed}"),
        (count, true, _) => format!("wrong: {count} of what was read"),
        (count, false, _) => format!("could not tell: {count} could not be read"),
    };
    let mut text = format!("{}  {verdict}\n", answer.reference);
    for one in &answer.statements {
        let only =
            if one.names_image { "" } else { " (as the index says; the statement was not read or names no image)" };
        text.push_str(&format!("  {} of {}{only}\n", one.predicate_type, one.image));
    }
    for fault in &answer.faults {
        let mark = if fault.proven { "-" } else { "?" };
        text.push_str(&format!("  {mark} {}: {}\n", fault.part, fault.problem));
    }
    text
}
