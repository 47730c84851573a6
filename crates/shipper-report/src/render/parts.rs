//! What the renderings share: words for what was done.

use crate::{Action, Outcome, Reason, ServiceRun, units};

/// What was done for a service: a word, and a class for its colour.
pub(super) fn done(service: &ServiceRun) -> (&'static str, &'static str) {
    match (service.outcome, service.action) {
        (Some(Outcome::Failed), _) => ("failed", "failed"),
        (Some(Outcome::Skipped), _) => ("not begun", "open"),
        (Some(Outcome::Ok), Some(Action::Build)) => ("built", "build"),
        (Some(Outcome::Ok), Some(Action::Retag)) => ("retagged", "retag"),
        (_, Some(Action::Reuse)) => ("reused", "reuse"),
        (None, Some(_)) if service.start_ms.is_some() => ("not ended", "open"),
        (None, Some(_)) => ("not begun", "open"),
        (Some(Outcome::Ok), None) => ("done", "build"),
        (None, None) => ("unknown", "open"),
    }
}

/// The reasons as one phrase.
pub(super) fn why(service: &ServiceRun) -> String {
    service.reasons.iter().map(Reason::to_string).collect::<Vec<_>>().join("; ")
}

/// The beginning of a digest or key: `sha256:1fd0c1a2b3c4`, `ctx1-…`.
pub(crate) fn short(digest: &str) -> String {
    let (prefix, hex) = digest.split_at(digest.find([':', '-']).map_or(0, |at| at + 1));
    format!("{prefix}{}", hex.chars().take(12).collect::<String>())
}

/// A size, or nothing for none.
pub(super) fn size(bytes: u64) -> String {
    if bytes == 0 { String::new() } else { units::bytes(bytes) }
}
