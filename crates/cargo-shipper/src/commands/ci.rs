//! `shipper ci`.

use std::io::Write as _;

use serde_json::json;
use shipper_engine::{CiFile, ExitCode, Project};
use similar::TextDiff;

use crate::cli::{CiArgs, CiSystem, Global};
use crate::commands::options;
use crate::failure::Failure;
use crate::terminal::Terminal;

pub(crate) fn run(global: &Global, args: &CiArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let project = Project::open(&options(global))?;
    let system = match args.system {
        CiSystem::Github => shipper_engine::CiSystem::Github,
        CiSystem::Gitlab => shipper_engine::CiSystem::Gitlab,
    };
    let file = shipper_engine::ci_file(&project, system, env!("CARGO_PKG_VERSION"))?;
    let is_current = file.present.as_deref() == Some(&file.text);
    if args.write && !is_current {
        file.write()?;
    }
    let difference = args.check.then(|| difference(&file));
    let mut out = terminal.stdout();
    if global.json {
        let document = json!({
            "format": shipper_engine::FORMAT,
            "file": file.name,
            "current": is_current,
            "text": file.text,
            "difference": difference,
        });
        writeln!(out, "{document}")?;
    } else if let Some(difference) = &difference {
        if !global.quiet {
            out.write_all(difference.as_bytes())?;
        }
    } else if args.write {
        terminal.status(if is_current { "Unchanged" } else { "Wrote" }, &file.name);
    } else {
        out.write_all(file.text.as_bytes())?;
    }
    if args.check && !is_current {
        terminal.hint(&format!("`shipper ci {} --write` brings it up to date", word(args.system)));
        return Ok(ExitCode::No);
    }
    Ok(ExitCode::Done)
}

fn word(system: CiSystem) -> &'static str {
    match system {
        CiSystem::Github => "github",
        CiSystem::Gitlab => "gitlab",
    }
}

/// From what is there to what should be, as `diff -u` writes it; empty where nothing differs.
fn difference(file: &CiFile) -> String {
    let present = file.present.as_deref().unwrap_or_default();
    let old = if file.present.is_some() { format!("a/{}", file.name) } else { "/dev/null".to_owned() };
    TextDiff::from_lines(present, &file.text).unified_diff().header(&old, &format!("b/{}", file.name)).to_string()
}
