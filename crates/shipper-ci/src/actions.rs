//! The actions of others that a workflow uses, pinned by commit.
//!
//! Invariant: a row's commit is the one that the version's tag names; who changes a version changes both.

/// An action and the commit that it is used at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action {
    /// `owner/repository`.
    pub name: &'static str,
    /// The tag of the commit, for people.
    pub version: &'static str,
    /// The commit, 40 digits.
    pub commit: &'static str,
}

/// Every action that a workflow may use.
pub const ACTIONS: &[Action] = &[CHECKOUT, CACHE, UPLOAD, DOWNLOAD, AWS_CREDENTIALS, RUNTIME];

/// Checks the repository out.
pub(crate) const CHECKOUT: Action =
    Action { name: "actions/checkout", version: "v6.0.1", commit: "8e8c483db84b4bee98b60c0593521ed34d9990e8" };
/// Keeps directories between runs.
pub(crate) const CACHE: Action =
    Action { name: "actions/cache", version: "v4.3.0", commit: "0057852bfaa89a56745cba8c7296529d2fc39830" };
/// Hands a file to other jobs of a run.
pub(crate) const UPLOAD: Action =
    Action { name: "actions/upload-artifact", version: "v4.6.2", commit: "ea165f8d65b6e75b540449e92b4886f43607fa02" };
/// Takes a file of another job of a run.
pub(crate) const DOWNLOAD: Action =
    Action { name: "actions/download-artifact", version: "v4.3.0", commit: "d3f86a106a0bac45b974a628896c90dbdf5c8093" };
/// Gives the commands of a deployment credentials of AWS.
pub(crate) const AWS_CREDENTIALS: Action = Action {
    name: "aws-actions/configure-aws-credentials",
    version: "v5.1.1",
    commit: "61815dcd50bd041e203e49132bacad1fd04d2708",
};
/// Shows scripts the token of GitHub's cache service, which only actions are given.
pub(crate) const RUNTIME: Action = Action {
    name: "crazy-max/ghaction-github-runtime",
    version: "v3.1.0",
    commit: "3cb05d89e1f492524af3d41a1c98c83bc3025124",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_pinned_by_a_whole_commit() {
        for action in ACTIONS {
            assert_eq!(action.commit.len(), 40, "{}", action.name);
            assert!(action.commit.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{}", action.name);
            assert!(action.version.starts_with('v') && action.name.split('/').count() == 2, "{}", action.name);
        }
    }
}
