//! `shipper ecr`.

use std::io::Write as _;

use serde_json::json;
use shipper_engine::{ExitCode, SimulatedImage};

use crate::cli::{DiffArgs, EcrAction, EcrArgs, Global, LifecycleAction, RenderArgs, SimulateArgs};
use crate::failure::Failure;
use crate::terminal::Terminal;

pub(crate) fn run(global: &Global, args: &EcrArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    match &args.action {
        EcrAction::Lifecycle(args) => match &args.action {
            LifecycleAction::Render(args) => render(global, args, terminal),
            LifecycleAction::Simulate(args) => simulate(global, args, terminal),
            LifecycleAction::Diff(args) => diff(global, args, terminal),
        },
    }
}

fn render(global: &Global, args: &RenderArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let (text, lints) = shipper_engine::render_lifecycle(&global.directory.join(&args.policy))?;
    for lint in &lints {
        terminal.warning(lint);
    }
    writeln!(terminal.stdout(), "{text}")?;
    Ok(ExitCode::Done)
}

fn simulate(global: &Global, args: &SimulateArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let (policy, images) = (global.directory.join(&args.policy), global.directory.join(&args.images));
    let report = shipper_engine::simulate_lifecycle(&policy, &images, args.now.as_deref(), args.explain)?;
    for lint in &report.lints {
        terminal.warning(lint);
    }
    let mut out = std::io::BufWriter::new(terminal.stdout());
    if global.json {
        serde_json::to_writer(&mut out, &report).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        let lists = [
            ("expire", &report.expire),
            ("archive", &report.archive),
            ("uncertain", &report.uncertain),
            ("keep", &report.keep),
        ];
        for (fate, images) in lists {
            for image in images {
                writeln!(out, "{}", line(fate, image))?;
            }
        }
    }
    out.flush()?;
    let counted = format!(
        "{} expire, {} uncertain, {} keep",
        report.expire.len(),
        report.uncertain.len(),
        report.keep.len() + report.archive.len()
    );
    terminal.status("Simulated", &counted);
    Ok(ExitCode::Done)
}

/// `expire     rule 3  sha256:..  pr-1 pr-2: why`.
fn line(fate: &str, image: &SimulatedImage) -> String {
    let rule = image.rule.map_or_else(String::new, |rule| format!("rule {rule}"));
    let tags = if image.tags.is_empty() { "(untagged)".to_owned() } else { image.tags.join(" ") };
    let why = image.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    format!("{fate:<9}  {rule:<7}  {}  {tags}{why}", image.digest)
}

fn diff(global: &Global, args: &DiffArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let (before, after) = (global.directory.join(&args.before), global.directory.join(&args.after));
    let diff = shipper_engine::diff_lifecycle(&before, &after)?;
    let mut out = terminal.stdout();
    if global.json {
        let document = json!({
            "format": shipper_engine::FORMAT,
            "changes": diff.changes,
            "spelled-differently": diff.spelled_differently,
        });
        writeln!(out, "{document}")?;
    } else {
        for change in &diff.changes {
            writeln!(out, "{change}")?;
        }
        if diff.changes.is_empty() {
            let note = if diff.spelled_differently { "the same rules, spelled differently" } else { "the same rules" };
            terminal.status("Compared", note);
        }
    }
    Ok(if diff.changes.is_empty() { ExitCode::Done } else { ExitCode::No })
}
