//! What is known of registries by their names, as one table. Everything else about a registry is learnt from its answers.

use crate::RegistryHost;

/// How a registry deviates from the distribution specification, as far as a client must know beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quirks {
    /// Manifests that may be written in one second; more are refused.
    pub(crate) manifests_per_second: Option<u32>,
    /// An upload to a repository that does not exist ends in a closed connection instead of an answer.
    pub(crate) drops_uploads_to_missing: bool,
    /// `false`: it is known not to have the referrers API, so that it is not asked.
    pub(crate) has_referrers: bool,
}

const SPECIFICATION: Quirks =
    Quirks { manifests_per_second: None, drops_uploads_to_missing: false, has_referrers: true };

struct Row {
    matches: fn(&str) -> bool,
    quirks: Quirks,
}

const TABLE: &[Row] = &[
    // Amazon ECR user guide, "Amazon ECR service quotas": PutImage 10 a second. aws/containers-roadmap 1970: uploads to a
    // missing repository are dropped.
    Row {
        matches: is_ecr,
        quirks: Quirks { manifests_per_second: Some(10), drops_uploads_to_missing: true, ..SPECIFICATION },
    },
    // dataaxiom/ghcr-cleanup-action 114: `subject` is stored, the referrers API does not exist.
    Row { matches: is_ghcr, quirks: Quirks { has_referrers: false, ..SPECIFICATION } },
];

/// The row of a host, by its name without port; the specification's for a host that is not in the table.
pub(crate) fn of(host: &RegistryHost) -> Quirks {
    named(host.name())
}

/// As [`of`], for the host of an error, which may carry a port.
pub(crate) fn named(host: &str) -> Quirks {
    let name = host.split(':').next().unwrap_or(host);
    TABLE.iter().find(|row| (row.matches)(name)).map_or(SPECIFICATION, |row| row.quirks)
}

/// `ACCOUNT.dkr.ecr.REGION.amazonaws.com`, FIPS and China included.
fn is_ecr(host: &str) -> bool {
    (host.contains(".dkr.ecr.") || host.contains(".dkr.ecr-fips."))
        && (host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"))
}

fn is_ghcr(host: &str) -> bool {
    host == "ghcr.io"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_known_by_their_names() {
        for (host, rate, referrers) in [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", Some(10), true),
            ("123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", Some(10), true),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn:443", Some(10), true),
            ("1.dkr.ecr.eu-west-1.amazonaws.com.evil.example", None, true),
            ("ghcr.io", None, false),
            ("ghcr.io.example", None, true),
            ("localhost:5000", None, true),
        ] {
            let quirks = of(&host.parse().unwrap());
            assert_eq!((quirks.manifests_per_second, quirks.has_referrers), (rate, referrers), "{host}");
            assert_eq!(named(host), quirks);
            assert_eq!(quirks.drops_uploads_to_missing, rate.is_some());
        }
    }
}
