//! Names of shipper in images and registries, in one place.

use shipper_hash::FileDigest;
use shipper_oci::Tag;

/// Label and annotation that carry the whole build key.
pub(crate) const KEY: &str = "dev.shipper.key";
/// Label and annotation that carry the service's name.
pub(crate) const SERVICE: &str = "dev.shipper.service";
/// Artifact type of the inputs artifact `m-<key>`.
pub(crate) const INPUTS_ARTIFACT: &str = "application/vnd.shipper.inputs.v1";
/// Artifact type of an announcement `c-<key>-..`.
pub(crate) const ANNOUNCEMENT: &str = "application/vnd.shipper.announcement.v1";
/// Media type of an inputs document.
pub(crate) const INPUTS_DOCUMENT: &str = "application/vnd.shipper.inputs.v1+json";
/// Media type of a context manifest (the body of `docs/hash-format.md`), compressed.
pub(crate) const CONTEXT_MANIFEST: &str = "application/vnd.shipper.context-manifest.v1+zstd";

/// The hint tag of a branch, `last-<branch>`; `last-local` where no branch is checked out.
///
/// A branch name that is no tag as it is gets its other characters replaced and a digest appended, so that two
/// branches never share a hint.
pub(crate) fn branch_tag(branch: Option<&str>) -> String {
    format!("last-{}", branch_slug(branch))
}

/// A branch as part of a tag, at most 100 characters; another one for every branch.
pub(crate) fn branch_slug(branch: Option<&str>) -> String {
    let Some(branch) = branch else { return "local".to_owned() };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if branch.len() <= 100 && branch.chars().all(plain) && branch != "local" {
        return branch.to_owned();
    }
    let slug: String = branch.chars().map(|c| if plain(c) { c } else { '-' }).take(80).collect();
    format!("{slug}-{}", &FileDigest::of(branch.as_bytes()).to_string()[..12])
}

/// A tag of a name that this crate makes.
pub(crate) fn tag(name: &str) -> Tag {
    name.parse().expect("tags made by shipper keep to the tag grammar")
}

#[cfg(test)]
mod tests {
    use super::branch_tag;

    #[test]
    fn every_branch_has_a_hint_of_its_own() {
        assert_eq!(branch_tag(None), "last-local");
        assert_eq!(branch_tag(Some("main")), "last-main");
        let slash = branch_tag(Some("feature/a"));
        assert!(slash.starts_with("last-feature-a-") && slash.len() == 27, "{slash}");
        assert_ne!(slash, branch_tag(Some("feature-a")));
        assert_ne!(slash, branch_tag(Some("feature:a")));
        assert_ne!(branch_tag(Some("local")), "last-local");
        let long = branch_tag(Some(&"é".repeat(300)));
        assert!(long.len() <= 128 && long.is_ascii(), "{long}");
    }
}
