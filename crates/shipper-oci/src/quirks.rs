//! What is known of registries by their names, as one table. Everything else about a registry is learnt from its answers.

use reqwest::Method;

use crate::RegistryHost;

/// What a request does, as registries count requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// A manifest is read or looked for.
    ReadManifest,
    /// A manifest is written, or a tag is.
    WriteManifest,
    /// A blob is looked for.
    FindBlob,
    /// A blob is read.
    ReadBlob,
    /// An upload begins, or a blob is mounted.
    StartUpload,
    /// The bytes of an upload are sent, and it ends: one request, as this client sends them.
    FinishUpload,
}

impl Action {
    /// The action of a request to the part of a repository that `rest` names: what follows its name in the path. `None` for
    /// lists and for what is removed.
    pub(crate) fn of(method: &Method, rest: &str) -> Option<Action> {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        match rest.split('/').next()? {
            "manifests" if reads => Some(Action::ReadManifest),
            "manifests" if *method == Method::PUT => Some(Action::WriteManifest),
            "blobs" if *method == Method::HEAD => Some(Action::FindBlob),
            "blobs" if *method == Method::GET => Some(Action::ReadBlob),
            "blobs" if *method == Method::POST => Some(Action::StartUpload),
            "blobs" if *method == Method::PUT => Some(Action::FinishUpload),
            _ => None,
        }
    }
}

/// Requests that a registry takes in one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) action: Action,
    pub(crate) per_second: u32,
}

const fn limit(action: Action, per_second: u32) -> Limit {
    Limit { action, per_second }
}

/// Amazon ECR user guide, "Amazon ECR service quotas": requests per second of an account in a region, as its API calls them.
const OF_ECR: &[Limit] = &[
    // BatchGetImage.
    limit(Action::ReadManifest, 2_000),
    // PutImage.
    limit(Action::WriteManifest, 10),
    // BatchCheckLayerAvailability.
    limit(Action::FindBlob, 1_000),
    // GetDownloadUrlForLayer.
    limit(Action::ReadBlob, 3_000),
    // InitiateLayerUpload.
    limit(Action::StartUpload, 100),
    // CompleteLayerUpload; UploadLayerPart has 500.
    limit(Action::FinishUpload, 100),
];

/// How a registry deviates from the distribution specification, as far as a client must know beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quirks {
    /// What is refused when there is more of it; what is not named has no limit that is known.
    pub(crate) limits: &'static [Limit],
    /// An upload to a repository that does not exist ends in a closed connection instead of an answer.
    pub(crate) drops_uploads_to_missing: bool,
    /// `false`: it is known not to have the referrers API, so that it is not asked.
    pub(crate) has_referrers: bool,
}

const SPECIFICATION: Quirks = Quirks { limits: &[], drops_uploads_to_missing: false, has_referrers: true };

struct Row {
    matches: fn(&str) -> bool,
    quirks: Quirks,
}

const TABLE: &[Row] = &[
    // aws/containers-roadmap 1970: uploads to a missing repository are dropped.
    Row { matches: is_ecr, quirks: Quirks { limits: OF_ECR, drops_uploads_to_missing: true, ..SPECIFICATION } },
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
            let writes = quirks.limits.iter().find(|limit| limit.action == Action::WriteManifest);
            assert_eq!((writes.map(|limit| limit.per_second), quirks.has_referrers), (rate, referrers), "{host}");
            assert_eq!(named(host), quirks);
            assert_eq!(quirks.drops_uploads_to_missing, rate.is_some());
        }
    }

    #[test]
    fn a_request_is_known_by_its_method_and_its_path() {
        use Action::{FindBlob, FinishUpload, ReadBlob, ReadManifest, StartUpload, WriteManifest};
        for (method, rest, action) in [
            (Method::GET, "manifests/v1", Some(ReadManifest)),
            (Method::HEAD, "manifests/sha256:00", Some(ReadManifest)),
            (Method::PUT, "manifests/v1", Some(WriteManifest)),
            (Method::DELETE, "manifests/v1", None),
            (Method::HEAD, "blobs/sha256:00", Some(FindBlob)),
            (Method::GET, "blobs/sha256:00", Some(ReadBlob)),
            (Method::POST, "blobs/uploads/", Some(StartUpload)),
            (Method::PUT, "blobs/uploads/1?state=x", Some(FinishUpload)),
            (Method::DELETE, "blobs/uploads/1", None),
            (Method::GET, "tags/list", None),
            (Method::GET, "referrers/sha256:00", None),
        ] {
            assert_eq!(Action::of(&method, rest), action, "{method} {rest}");
        }
    }
}
