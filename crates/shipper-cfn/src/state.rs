//! What the state of a stack means for its repository.
//!
//! Source: `StackStatus` of the CloudFormation API, 23 values.

use std::fmt;

/// What can be done with a stack in a certain state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Nothing is going on; the last change, or its reversal, is complete.
    Settled,
    /// A change is going on; what existed before it can be used.
    Busy,
    /// It is being created: nothing can be used yet.
    NotYet,
    /// It is being taken away, or is gone.
    Going,
    /// A change failed half-way; somebody has to look. What exists can be used.
    Broken,
}

impl Class {
    /// The name in documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Busy => "busy",
            Self::NotYet => "not-yet",
            Self::Going => "going",
            Self::Broken => "broken",
        }
    }
}

/// Every state of a stack with its class.
pub const STATES: [(&str, Class); 23] = [
    ("CREATE_COMPLETE", Class::Settled),
    ("UPDATE_COMPLETE", Class::Settled),
    ("IMPORT_COMPLETE", Class::Settled),
    ("UPDATE_ROLLBACK_COMPLETE", Class::Settled),
    ("IMPORT_ROLLBACK_COMPLETE", Class::Settled),
    ("UPDATE_IN_PROGRESS", Class::Busy),
    ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", Class::Busy),
    ("UPDATE_ROLLBACK_IN_PROGRESS", Class::Busy),
    ("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", Class::Busy),
    ("IMPORT_IN_PROGRESS", Class::Busy),
    ("IMPORT_ROLLBACK_IN_PROGRESS", Class::Busy),
    ("CREATE_IN_PROGRESS", Class::NotYet),
    ("REVIEW_IN_PROGRESS", Class::NotYet),
    ("DELETE_IN_PROGRESS", Class::Going),
    ("ROLLBACK_IN_PROGRESS", Class::Going),
    ("DELETE_COMPLETE", Class::Going),
    ("CREATE_FAILED", Class::Broken),
    ("ROLLBACK_COMPLETE", Class::Broken),
    ("ROLLBACK_FAILED", Class::Broken),
    ("DELETE_FAILED", Class::Broken),
    ("UPDATE_FAILED", Class::Broken),
    ("UPDATE_ROLLBACK_FAILED", Class::Broken),
    ("IMPORT_ROLLBACK_FAILED", Class::Broken),
];

/// The state of a stack, as the API names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StackState(String);

impl StackState {
    /// A state by its name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it means; `None` for a state that this version does not know.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        STATES.iter().find(|(name, _)| *name == self.0).map(|(_, class)| *class)
    }

    /// Whether the stack will be in another state without anybody's doing.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        // A change set that is reviewed waits for a person.
        self.0.ends_with("_IN_PROGRESS") && self.0 != "REVIEW_IN_PROGRESS"
    }

    /// Whether the last change was reversed.
    #[must_use]
    pub fn is_rolled_back(&self) -> bool {
        self.0.ends_with("ROLLBACK_COMPLETE")
    }
}

impl fmt::Display for StackState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_state_of_the_api_has_a_class() {
        let known: BTreeSet<&str> = STATES.iter().map(|(name, _)| *name).collect();
        let all: BTreeSet<&str> = aws_sdk_cloudformation::types::StackStatus::values().iter().copied().collect();
        assert_eq!(known, all);
        assert_eq!(all.len(), 23);
        assert_eq!(StackState::new("SOME_FUTURE_STATE").class(), None);
    }
}
