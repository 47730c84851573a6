//! Facts in, plan out.
//!
//! Absent: I/O, clocks, environment. The engine has fetched and verified whatever is in the facts; what it could not
//! find out never gets here (it stops with "could not tell").

use std::collections::{BTreeMap, BTreeSet};

use shipper_hash::{BuildKey, Manifest};
use shipper_report::{Action, PlannedPlatform, PlannedService, Reason, ValueChange};

use crate::inputs::InputsDocument;

/// What was found under an identity tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Existing {
    /// An image, verified in this run, that carries the whole key and all its platforms.
    Verified {
        /// `repository@digest`.
        reference: String,
    },
    /// Nothing, and that is certain.
    Absent,
    /// An image of the key that the trust rule does not allow.
    Untrusted {
        /// Why.
        why: String,
    },
    /// Something that can not be used: another key, a missing child or layer.
    Incomplete {
        /// What is wrong with it.
        what: String,
    },
}

impl Existing {
    fn is_verified(&self) -> bool {
        matches!(self, Self::Verified { .. })
    }
}

/// Facts about one platform of a service.
#[derive(Debug, Clone)]
pub struct PlatformFacts {
    /// Its inputs.
    pub inputs: InputsDocument,
    /// Its context manifest.
    pub manifest: Manifest,
    /// What is stored for this platform alone; equal to the service's for a service of one platform.
    pub existing: Existing,
}

/// The inputs of the image that a service is compared with.
#[derive(Debug, Clone, Default)]
pub struct Previous {
    /// Its key, 64 hex digits.
    pub key: String,
    /// Inputs documents by platform, with the context manifest where it could be read.
    pub platforms: BTreeMap<String, (InputsDocument, Option<Manifest>)>,
}

/// Facts about one service.
#[derive(Debug, Clone)]
pub struct ServiceFacts {
    /// The service.
    pub name: String,
    /// The image's key: the platform's, or the combination of all platforms' keys.
    pub key: BuildKey,
    /// Platforms, sorted.
    pub platforms: Vec<PlatformFacts>,
    /// What is stored under the identity tag.
    pub existing: Existing,
    /// What to compare with, where the image is not there.
    pub previous: Option<Previous>,
    /// Names that the image gets besides its identity, in the order in which they are written.
    pub names: Vec<String>,
    /// Those of them that are not on the image that is there.
    pub names_due: Vec<String>,
    /// Services that it is built on, sorted.
    pub needs: Vec<String>,
    /// Whether `--force` was given.
    pub forced: bool,
    /// Median of recorded builds in milliseconds.
    pub estimate_ms: Option<u64>,
}

/// The plan, in the order of `facts`. A service whose image is verified is reused, or named where a name is missing;
/// every other is built.
#[must_use]
pub fn plan(facts: &[ServiceFacts]) -> Vec<PlannedService> {
    facts.iter().map(plan_service).collect()
}

fn plan_service(facts: &ServiceFacts) -> PlannedService {
    let reuse = facts.existing.is_verified() && !facts.forced;
    let action = match (reuse, facts.names_due.is_empty()) {
        (true, true) => Action::Reuse,
        (true, false) => Action::Retag,
        (false, _) => Action::Build,
    };
    let contexts: BTreeSet<&str> = facts.platforms.iter().map(|platform| platform.inputs.context.as_str()).collect();
    PlannedService {
        service: facts.name.clone(),
        action,
        key: facts.key.to_string(),
        tag: facts.key.identity_tag(),
        context: contexts.into_iter().collect::<Vec<_>>().join("+"),
        platforms: facts
            .platforms
            .iter()
            .map(|platform| PlannedPlatform {
                platform: platform.inputs.platform.clone(),
                key: platform.inputs.key().to_string(),
                action: if facts.forced || !(reuse || platform.existing.is_verified()) {
                    Action::Build
                } else {
                    Action::Reuse
                },
            })
            .collect(),
        image: match &facts.existing {
            Existing::Verified { reference } => Some(reference.clone()),
            Existing::Absent | Existing::Untrusted { .. } | Existing::Incomplete { .. } => None,
        },
        reasons: match action {
            Action::Reuse => vec![Reason::ImageExists],
            Action::Retag => vec![Reason::SameInputsOtherTag { tag: facts.key.identity_tag() }],
            Action::Build => reasons(facts),
        },
        names: facts.names.clone(),
        needs: facts.needs.clone(),
        estimate_ms: if reuse { Some(0) } else { facts.estimate_ms },
        saved_ms: facts.estimate_ms.filter(|_| reuse),
    }
}

/// What differs between two states of a service, each difference once, most telling first: for each state the inputs of its
/// platforms, and the context manifest where it is known. Empty where nothing does.
pub fn differences<'a>(
    before: impl Iterator<Item = (&'a InputsDocument, Option<&'a Manifest>)>,
    now: impl Iterator<Item = (&'a InputsDocument, Option<&'a Manifest>)>,
) -> Vec<Reason> {
    let by_platform = |inputs: &'a InputsDocument, manifest| (inputs.platform.as_str(), (inputs, manifest));
    let before: BTreeMap<&str, _> = before.map(|(inputs, manifest)| by_platform(inputs, manifest)).collect();
    let now: BTreeMap<&str, _> = now.map(|(inputs, manifest)| by_platform(inputs, manifest)).collect();
    let mut reasons: Vec<Reason> = Vec::new();
    for (platform, (inputs, manifest)) in &now {
        let Some((old, old_manifest)) = before.get(platform) else { continue };
        for reason in inputs.reasons_since(old, old_manifest.zip(*manifest)) {
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
    }
    if !now.keys().eq(before.keys()) {
        let list = |platforms: Vec<&str>| Some(platforms.join(", "));
        let (from, to) = (list(before.into_keys().collect()), list(now.into_keys().collect()));
        reasons.push(Reason::RecipeChanged { values: vec![ValueChange { name: "platforms".to_owned(), from, to }] });
    }
    reasons
}

fn reasons(facts: &ServiceFacts) -> Vec<Reason> {
    if facts.forced {
        return vec![Reason::Forced];
    }
    match &facts.existing {
        Existing::Incomplete { what } => return vec![Reason::ImageMissing { what: what.clone() }],
        Existing::Untrusted { why } => return vec![Reason::Untrusted { why: why.clone() }],
        Existing::Verified { .. } | Existing::Absent => {}
    }
    let Some(previous) = &facts.previous else { return vec![Reason::NeverBuilt] };
    if previous.key == facts.key.to_string() {
        return vec![Reason::ImageMissing { what: facts.key.identity_tag() }];
    }
    let before = previous.platforms.values().map(|(inputs, manifest)| (inputs, manifest.as_ref()));
    let now = facts.platforms.iter().map(|platform| (&platform.inputs, Some(&platform.manifest)));
    let mut reasons = differences(before, now);
    if reasons.is_empty() {
        // The stored inputs are the same and the key is not: it was derived by another version of the scheme.
        reasons.push(Reason::SchemeChanged);
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::tests::document;

    fn facts(existing: Existing, previous: Option<Previous>) -> ServiceFacts {
        let inputs = document();
        ServiceFacts {
            name: "api".to_owned(),
            key: inputs.key(),
            platforms: vec![PlatformFacts {
                inputs,
                manifest: Manifest::new(Vec::new()).expect("empty"),
                existing: existing.clone(),
            }],
            existing,
            previous,
            names: Vec::new(),
            names_due: Vec::new(),
            needs: Vec::new(),
            forced: false,
            estimate_ms: Some(9),
        }
    }

    fn previous(change: impl FnOnce(&mut InputsDocument)) -> Option<Previous> {
        let mut inputs = document();
        change(&mut inputs);
        let key = inputs.key().to_string();
        Some(Previous { key, platforms: [(inputs.platform.clone(), (inputs, None))].into() })
    }

    fn codes(facts: &ServiceFacts) -> Vec<&'static str> {
        plan(std::slice::from_ref(facts))[0].reasons.iter().map(Reason::code).collect()
    }

    #[test]
    fn a_verified_image_is_reused_and_nothing_else_is() {
        let verified = Existing::Verified { reference: "shop/api@sha256:1".to_owned() };
        let planned = plan(&[facts(verified.clone(), None)]);
        assert_eq!((planned[0].action, planned[0].estimate_ms), (Action::Reuse, Some(0)));
        assert_eq!(planned[0].platforms[0].action, Action::Reuse);
        for existing in [Existing::Absent, Existing::Incomplete { what: "x".to_owned() }] {
            assert_eq!(plan(&[facts(existing, None)])[0].action, Action::Build);
        }
        let names = vec!["main-abc1234".to_owned(), "edge".to_owned()];
        let named =
            ServiceFacts { names: names.clone(), names_due: vec![names[1].clone()], ..facts(verified.clone(), None) };
        let planned = plan(std::slice::from_ref(&named));
        assert_eq!((planned[0].action, planned[0].estimate_ms, &planned[0].names), (Action::Retag, Some(0), &names));
        assert_eq!(codes(&named), ["same-inputs-other-tag"]);
        let forced = ServiceFacts { forced: true, ..facts(verified, None) };
        assert_eq!(plan(std::slice::from_ref(&forced))[0].action, Action::Build);
        assert_eq!(codes(&forced), ["forced"]);
    }

    #[test]
    fn the_reason_follows_from_what_is_compared_with() {
        assert_eq!(codes(&facts(Existing::Absent, None)), ["never-built"]);
        assert_eq!(codes(&facts(Existing::Absent, previous(|_| ()))), ["image-missing"]);
        assert_eq!(
            codes(&facts(Existing::Absent, previous(|old| old.salt = Some("x".to_owned())))),
            ["recipe-changed"]
        );
        let incomplete = Existing::Incomplete { what: "layer".to_owned() };
        assert_eq!(codes(&facts(incomplete, previous(|_| ()))), ["image-missing"]);
        let untrusted = Existing::Untrusted { why: "no signature".to_owned() };
        assert_eq!(codes(&facts(untrusted.clone(), None)), ["untrusted"]);
        assert_eq!(plan(&[facts(untrusted, None)])[0].action, Action::Build);
        let mut other_scheme = previous(|_| ());
        if let Some(previous) = &mut other_scheme {
            previous.key = "0".repeat(64);
        }
        assert_eq!(codes(&facts(Existing::Absent, other_scheme)), ["scheme-changed"]);
    }

    #[test]
    fn only_the_missing_platform_is_built() {
        let mut facts = facts(Existing::Absent, previous(|_| ()));
        let mut second = facts.platforms[0].clone();
        second.inputs.platform = "linux/arm64".to_owned();
        facts.platforms[0].existing = Existing::Verified { reference: "r@d".to_owned() };
        facts.platforms.push(second);
        facts.key = BuildKey::combine(&[facts.platforms[0].inputs.key(), facts.platforms[1].inputs.key()]);
        let planned = plan(std::slice::from_ref(&facts));
        let actions: Vec<Action> = planned[0].platforms.iter().map(|platform| platform.action).collect();
        assert_eq!(actions, [Action::Reuse, Action::Build]);
        assert_eq!(codes(&facts), ["recipe-changed"]);
    }
}
