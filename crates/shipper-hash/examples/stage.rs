//! Stages a directory: `cargo run --example stage -- DIRECTORY STAGE [CACHE-FILE]`.

use std::io::Write as _;
use std::path::PathBuf;

use shipper_hash::{Selection, Tree, TreeOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(directory), Some(stage)) = (arguments.next(), arguments.next()) else {
        return Err("a directory and a stage are needed".into());
    };
    let tree = Tree::open(&directory, &TreeOptions { cache: arguments.next(), ..TreeOptions::default() })?;
    let mut context = tree.context(None)?;
    context.add(&Selection::default())?;
    let context = context.finish()?;
    tree.save_cache()?;
    let report = context.stage(&stage)?;
    for warning in context.warnings() {
        writeln!(std::io::stderr(), "warning: {warning}")?;
    }
    writeln!(std::io::stdout(), "{} {report:?}", context.hash())?;
    Ok(())
}
