//! `cargo xtask conformance`: runs the rows of the conformance matrix and keeps `docs/conformance.md` equal to them.
//!
//! Invariant: the rows are in `tests/it/conformance/rows.rs` and nowhere else; they run in `cargo xtask test` as well.

use anyhow::bail;

use crate::generate::Mode;
use crate::process::{cargo, succeeds};
use crate::{engines, install};

/// Runs all rows; in [`Mode::Write`] the document is written first.
pub(crate) fn run(mode: Mode) -> anyhow::Result<()> {
    install::debian_packages();
    let engines = engines::provide();
    let mut rows = cargo();
    rows.args(["test", "--package", "cargo-shipper", "--test", "it", "--", "conformance::"]);
    rows.env("SHIPPER_TEST_ENGINES", engines);
    rows.env("SHIPPER_WRITE_CONFORMANCE", if mode == Mode::Write { "1" } else { "0" });
    if !succeeds(&mut rows)? {
        bail!("the conformance matrix does not hold");
    }
    Ok(())
}
