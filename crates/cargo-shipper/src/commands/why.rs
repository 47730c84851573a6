//! `shipper why`.

use std::io::Write as _;

use serde_json::json;
use shipper_engine::{Against, ExitCode, Project, Reason, Why};

use crate::cli::{Global, WhyArgs};
use crate::commands::{block_on, options_at};
use crate::failure::Failure;
use crate::terminal::{Terminal, escape_controls};

pub(crate) fn run(global: &Global, args: &WhyArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let project = Project::open(&options_at(global, &args.place, None))?;
    let against = args.against.clone().unwrap_or(Against::Image);
    if matches!((&against, &args.place.registry), (Against::Revision(_), Some(_))) {
        let chain = vec!["cannot use `--registry`: a comparison with a commit asks no registry".to_owned()];
        return Err(Failure { exit_code: ExitCode::Usage, chain, hint: None });
    }
    let explained = block_on(shipper_engine::why(&project, &args.services, &against))??;
    let mut out = std::io::BufWriter::new(terminal.stdout());
    if global.json {
        writeln!(out, "{}", json!({"format": shipper_engine::FORMAT, "services": explained}))?;
    } else {
        for one in &explained {
            writeln!(out, "{}", escape_controls(&text(one, &against)))?;
        }
    }
    out.flush()?;
    Ok(ExitCode::Done)
}

/// A line for the service and one for each difference.
fn text(one: &Why, against: &Against) -> String {
    let mut text = one.service.clone();
    if !one.due {
        let same = match against {
            Against::Image => one.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
            Against::Revision(then) | Against::Named(then) => format!("the same as in {then}"),
        };
        return format!("{text}: {same}");
    }
    for reason in &one.reasons {
        text.push_str(&format!("\n  {reason}"));
        if let Reason::InputsChanged { files } = reason {
            for file in files {
                let because = one.because.get(&file.path).map_or_else(String::new, |why| format!("  ({why})"));
                text.push_str(&format!("\n    {:<8} {file}{because}", file.change));
            }
        } else {
            for line in reason.details() {
                text.push_str(&format!("\n    {line}"));
            }
        }
    }
    text
}
