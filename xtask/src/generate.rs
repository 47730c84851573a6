//! `cargo xtask gen`: files in the repository that the program itself writes, kept equal to what it writes now.

use anyhow::{Context as _, bail, ensure};

use crate::process::{cargo, output, say};

/// A file and the arguments with which `shipper` prints it on stdout.
struct Generated {
    path: &'static str,
    arguments: &'static [&'static str],
}

const GENERATED: &[Generated] = &[
    Generated { path: "shipper.schema.json", arguments: &["config", "schema"] },
    Generated { path: "docs/reference/commands.md", arguments: &["man", "--markdown"] },
];

/// Whether to write or to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Write what differs.
    Write,
    /// Fail if something differs.
    Check,
}

/// Writes or compares all generated files.
pub(crate) fn run(mode: Mode) -> anyhow::Result<()> {
    let mut stale = Vec::new();
    for file in GENERATED {
        let wanted = print(file)?;
        let path = crate::root().join(file.path);
        let present = std::fs::read(&path).unwrap_or_default();
        if present == wanted {
            continue;
        }
        let line = first_difference(&present, &wanted);
        match mode {
            Mode::Write => {
                std::fs::write(&path, &wanted).with_context(|| format!("cannot write {}", file.path))?;
                say(&format!("wrote {}", file.path));
            }
            Mode::Check => stale.push(format!("{} (from line {line})", file.path)),
        }
    }
    if stale.is_empty() {
        say(&format!("{} generated files are up to date", GENERATED.len()));
        return Ok(());
    }
    bail!("out of date: {}\nhint: run `cargo xtask gen` and commit the result", stale.join(", "));
}

fn print(file: &Generated) -> anyhow::Result<Vec<u8>> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--package", "cargo-shipper", "--bin", "shipper", "--"]).args(file.arguments);
    let printed = output(&mut command).with_context(|| format!("cannot generate {}", file.path))?;
    ensure!(
        !printed.is_empty(),
        "cannot generate {}: `shipper {}` printed nothing",
        file.path,
        file.arguments.join(" ")
    );
    Ok(printed)
}

/// Number of the first line that differs, counted from 1.
fn first_difference(present: &[u8], wanted: &[u8]) -> usize {
    let lines = |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (present, wanted) = (lines(present), lines(wanted));
    present.iter().zip(&wanted).take_while(|(a, b)| a == b).count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_differing_line_is_named() {
        assert_eq!(first_difference(b"a\nb\nc", b"a\nx\nc"), 2);
        assert_eq!(first_difference(b"", b"a"), 1);
        assert_eq!(first_difference(b"a\n", b"a\nb\n"), 2);
    }
}
