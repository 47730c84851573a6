//! Prints the context hash of a directory: `cargo run --example hash -- DIRECTORY [CACHE-FILE]`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use shipper_hash::{Selection, Tree, TreeOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let directory = arguments.next().unwrap_or_else(|| Path::new(".").to_owned());
    let tree = Tree::open(&directory, &TreeOptions { cache: arguments.next(), ..TreeOptions::default() })?;
    let mut context = tree.context(None)?;
    context.add(&Selection::default())?;
    let context = context.finish()?;
    tree.save_cache()?;
    let manifest = context.manifest();
    writeln!(std::io::stdout(), "{} {} files, {} bytes", context.hash(), manifest.len(), manifest.bytes())?;
    writeln!(std::io::stderr(), "{:?}", tree.stats())?;
    Ok(())
}
