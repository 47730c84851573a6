//! `cargo xtask soak`: the tests that are about luck, with more of it than a test run has time for.
//!
//! Invariant: the same tests as in `cargo xtask test`, told by a variable how long to go on.

use crate::process::{cargo, run};

/// Package, test target (none is the library), filter; the variable that says how much, and how much.
type Soaked = (&'static str, Option<&'static str>, &'static str, (&'static str, u64));

const SOAKED: &[Soaked] = &[
    ("shipper-hash", Some("it"), "model::", ("SHIPPER_MODEL_STEPS", 100_000)),
    ("shipper-hash", None, "fuzzing::", ("SHIPPER_FUZZ_CASES", 10_000_000)),
    ("shipper-oci", None, "fuzzing::", ("SHIPPER_FUZZ_CASES", 10_000_000)),
    ("shipper-oci", Some("hostile"), "", ("SHIPPER_SOAK", 1)),
    ("shipper-oci", Some("layout"), "", ("SHIPPER_SOAK", 1)),
    ("shipper-engine", None, "damaged::", ("SHIPPER_FUZZ_CASES", 1_000_000)),
    ("shipper-dockerfile", Some("parsers"), "", ("SHIPPER_FUZZ_CASES", 10_000_000)),
    ("cargo-shipper", Some("it"), "deploy_kill::", ("SHIPPER_DEPLOY_KILLS", 50)),
];

/// Runs each, one after the other.
pub(crate) fn soak() -> anyhow::Result<()> {
    for (package, target, filter, (variable, amount)) in SOAKED {
        let mut test = cargo();
        test.args(["test", "--release", "--package", package]);
        match target {
            Some(target) => test.args(["--test", target]),
            None => test.arg("--lib"),
        };
        test.arg(filter).env(variable, amount.to_string());
        run(&mut test)?;
    }
    Ok(())
}
