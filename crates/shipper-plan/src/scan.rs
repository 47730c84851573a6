//! `scan` of `[env.NAME]`: what keeps images with known vulnerabilities out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

impl Severity {
    /// All of them, the least first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word in the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// The gate as written: `scan = "high"`, or an argument list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ScanConfig {
    /// Amazon ECR may have no finding of this severity or a worse one.
    Findings(Severity),
    /// The command returns 0. `{image}` is replaced by the image's reference.
    Command(Vec<String>),
}

/// The gate, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scan {
    /// No finding of this severity or a worse one, by what Amazon ECR says.
    Findings(Severity),
    /// A command that returns 0.
    Command(Vec<String>),
}

impl ScanConfig {
    pub(crate) fn checked(&self, key: &str) -> Result<Scan, Error> {
        match self {
            Self::Findings(severity) => Ok(Scan::Findings(*severity)),
            Self::Command(argv) if argv.first().is_none_or(String::is_empty) => {
                let hint = "write a severity, such as `high`, or `[\"program\", \"argument\", \"{image}\"]`";
                Err(Error::invalid_with(key, "it names no program", hint))
            }
            Self::Command(argv) if argv.iter().any(|word| word.contains('\0')) => {
                Err(Error::invalid(key, "no argument can hold a NUL"))
            }
            Self::Command(argv) => Ok(Scan::Command(argv.clone())),
        }
    }
}
