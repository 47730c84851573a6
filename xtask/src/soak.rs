//! `cargo xtask soak`: the tests that are about luck, with more of it than a test run has time for.
//!
//! Invariant: the same tests as in `cargo xtask test`, told by a variable how long to go on.

use crate::process::{cargo, run};

/// Package, test target, filter; the variable that says how much, and how much.
const SOAKED: &[(&str, &str, &str, (&str, u64))] = &[
    ("shipper-hash", "it", "model::", ("SHIPPER_MODEL_STEPS", 100_000)),
    ("shipper-dockerfile", "parsers", "", ("SHIPPER_FUZZ_CASES", 10_000_000)),
];

/// Runs each, one after the other.
pub(crate) fn soak() -> anyhow::Result<()> {
    for (package, target, filter, (variable, amount)) in SOAKED {
        let mut test = cargo();
        test.args(["test", "--release", "--package", package, "--test", target, filter])
            .env(variable, amount.to_string());
        run(&mut test)?;
    }
    Ok(())
}
