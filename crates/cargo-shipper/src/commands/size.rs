//! `shipper size`.

use std::fmt::Write as _;
use std::io::Write as _;

use shipper_engine::{ExitCode, SizeChange, SizeDiff, SizeOptions, SizedImage, units};

use crate::cli::{Global, SizeAction, SizeArgs, SizeDiffArgs};
use crate::commands::{Document, block_on, options};
use crate::failure::Failure;
use crate::terminal::{Terminal, escape_controls};

pub(crate) fn run(global: &Global, args: &SizeArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    match &args.action {
        SizeAction::Diff(args) => diff(global, args, terminal),
    }
}

fn diff(global: &Global, args: &SizeDiffArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let wanted = SizeOptions { platform: args.platform.clone(), files: args.files };
    let found = block_on(shipper_engine::size_diff(&options(global), &args.before, &args.after, &wanted))??;
    let mut out = std::io::BufWriter::new(terminal.stdout());
    if global.json {
        writeln!(out, "{}", Document::line(&found)?)?;
    } else {
        out.write_all(text(&found).as_bytes())?;
    }
    out.flush()?;
    let Some(most) = args.max_growth.filter(|most| found.growth() > u64::from(*most)) else {
        return Ok(ExitCode::Done);
    };
    terminal.warning(&format!("the layers grew by {} %, and may by {most} %", found.growth()));
    Ok(ExitCode::No)
}

fn text(found: &SizeDiff) -> String {
    let mut text = String::new();
    let image = |text: &mut String, name: &str, image: &SizedImage| {
        let (compressed, unpacked) = (units::bytes(image.compressed), units::bytes(image.unpacked));
        let files = units::counted(image.files, "file");
        let reference = escape_controls(&image.reference);
        let _ = writeln!(text, "{name}  {compressed:>10} compressed, {unpacked:>10} unpacked, {files}  {reference}");
    };
    image(&mut text, "before", &found.before);
    image(&mut text, "after ", &found.after);
    let _ = writeln!(text, "layers");
    for layer in &found.layers {
        let instruction = escape_controls(&layer.instruction);
        let _ = writeln!(text, "  {} {}  {instruction}", sign(layer.change), sizes(layer.before, layer.after));
    }
    let _ = writeln!(text, "files: {} added, {} removed, {} changed", found.added, found.removed, found.changed);
    for file in &found.files {
        let path = escape_controls(&file.path);
        let _ = writeln!(text, "  {} {}  {path}", sign(file.change), sizes(file.before, file.after));
    }
    text
}

fn sign(change: SizeChange) -> char {
    match change {
        SizeChange::Added => '+',
        SizeChange::Removed => '-',
        SizeChange::Changed => '~',
        SizeChange::Same => '=',
    }
}

fn sizes(before: Option<u64>, after: Option<u64>) -> String {
    let size = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), units::bytes);
    format!("{:>10} -> {:>10}", size(before), size(after))
}
