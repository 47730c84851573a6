//! `shipper ecr images`.

use std::io::Write as _;

use serde_json::json;
use shipper_engine::{ExitCode, ImageEntry, ListingOptions, units};

use super::{in_use, warn_of_unknown};
use crate::cli::Global;
use crate::cli::aws::ImagesArgs;
use crate::commands::block_on;
use crate::failure::Failure;
use crate::terminal::Terminal;

pub(super) fn run(global: &Global, args: &ImagesArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let options = ListingOptions {
        directory: global.directory.clone(),
        repository: args.repository.clone(),
        names: args.images.clone(),
        tags: args.tags.clone(),
        newest: args.newest,
        in_use: in_use(global, &args.in_use)?,
        now: args.now.clone(),
    };
    let found = block_on(shipper_engine::list_images(&options))??;
    warn_of_unknown(terminal, &found.unknown);
    if let Some(problem) = &found.policy_problem {
        terminal.warning(&format!("the policy of the repository could not be evaluated: {problem}"));
    }
    let mut out = std::io::BufWriter::new(terminal.stdout());
    if global.json {
        let document = json!({
            "format": shipper_engine::FORMAT,
            "repository": args.repository,
            "total": found.total,
            "images": found.images,
            "missing": found.missing,
        });
        writeln!(out, "{document}")?;
    } else {
        for image in &found.images {
            writeln!(out, "{}", line(image))?;
        }
    }
    out.flush()?;
    for name in &found.missing {
        terminal.warning(&format!("`{}` has no image `{name}`", args.repository));
    }
    let listed = units::counted(found.images.len(), "image");
    let used = found.images.iter().filter(|image| image.in_use.is_some()).count();
    let told = match found.total {
        Some(total) => format!("{listed} of {total}, {used} in use"),
        None => format!("{listed}, {} missing", found.missing.len()),
    };
    terminal.status("Listed", &told);
    Ok(if found.missing.is_empty() { ExitCode::Done } else { ExitCode::No })
}

/// `2026-05-31T00:00:00Z  sha256:..    50.0 MiB  expire 10  pr-1 pr-2  in use: shop/api:env-prod; why`.
fn line(image: &ImageEntry) -> String {
    let fate = match &image.policy {
        Some(policy) => match policy.rule {
            Some(rule) => format!("{} {rule}", policy.fate),
            None => policy.fate.to_owned(),
        },
        None => "-".to_owned(),
    };
    let tags = if image.tags.is_empty() { "(untagged)".to_owned() } else { image.tags.join(" ") };
    let in_use = image.in_use.as_ref().map(|reference| format!("in use: {reference}"));
    let archived = image.archived.then(|| "archived".to_owned());
    let why = image.policy.as_ref().map(|policy| policy.why.clone());
    let notes: Vec<String> = in_use.into_iter().chain(archived).chain(why).collect();
    let notes = if notes.is_empty() { String::new() } else { format!("  {}", notes.join("; ")) };
    let (pushed, digest, size) = (&image.pushed_at, &image.digest, units::bytes(image.size));
    format!("{pushed}  {digest}  {size:>10}  {fate:<12}  {tags}{notes}")
}
