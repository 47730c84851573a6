//! Faults of the fake services, by action.

use std::sync::Mutex;

use super::{Answer, lock};

/// What goes wrong with calls to an action; `*` is every action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiFault {
    /// The caller may not.
    Deny {
        /// `ecr:DescribeRepositories`.
        action: String,
    },
    /// So many calls are throttled; `u32::MAX` is all.
    Throttle {
        /// `ecr:DescribeRepositories`.
        action: String,
        /// How many are left.
        times: u32,
    },
    /// There is no answer.
    Hang {
        /// `ecr:DescribeRepositories`.
        action: String,
    },
    /// So many calls are answered with this status, code and message.
    Fail {
        /// `ecr:DescribeRepositories`.
        action: String,
        /// How many are left.
        times: u32,
        /// HTTP status.
        status: u16,
        /// The error's code.
        code: &'static str,
    },
}

impl ApiFault {
    /// The caller may not call `action`.
    #[must_use]
    pub fn deny(action: &str) -> Self {
        Self::Deny { action: action.to_owned() }
    }

    /// So many calls to `action` are throttled.
    #[must_use]
    pub fn throttle(action: &str, times: u32) -> Self {
        Self::Throttle { action: action.to_owned(), times }
    }

    /// Calls to `action` are never answered.
    #[must_use]
    pub fn hang(action: &str) -> Self {
        Self::Hang { action: action.to_owned() }
    }

    /// So many calls to `action` are refused.
    #[must_use]
    pub fn fail(action: &str, times: u32, status: u16, code: &'static str) -> Self {
        Self::Fail { action: action.to_owned(), times, status, code }
    }

    fn action(&self) -> &str {
        match self {
            Self::Deny { action }
            | Self::Throttle { action, .. }
            | Self::Hang { action }
            | Self::Fail { action, .. } => action,
        }
    }

    /// Whether it strikes; uses up one of its times.
    fn strikes(&mut self, action: &str) -> bool {
        if self.action() != "*" && self.action() != action {
            return false;
        }
        match self {
            Self::Deny { .. } | Self::Hang { .. } => true,
            Self::Throttle { times, .. } | Self::Fail { times, .. } => {
                let strikes = *times > 0;
                *times = if *times == u32::MAX { *times } else { times.saturating_sub(1) };
                strikes
            }
        }
    }

    pub(super) fn answer(&self, action: &str) -> Answer {
        match self {
            Self::Deny { .. } if is_json(action) => Answer::Refused(
                400,
                "AccessDeniedException",
                format!("User: arn:aws:iam::123456789012:user/testkit is not authorized to perform: {action}"),
            ),
            Self::Deny { .. } => Answer::Refused(
                403,
                "AccessDenied",
                format!("User: arn:aws:iam::123456789012:user/testkit is not authorized to perform: {action}"),
            ),
            Self::Throttle { .. } if is_json(action) => {
                Answer::Refused(400, "ThrottlingException", "Rate exceeded".to_owned())
            }
            Self::Throttle { .. } => Answer::Refused(400, "Throttling", "Rate exceeded".to_owned()),
            Self::Fail { status, code, .. } => Answer::Refused(*status, code, "scripted".to_owned()),
            Self::Hang { .. } => unreachable!("a call that hangs is never answered"),
        }
    }
}

/// Whether the service of an action speaks JSON.
fn is_json(action: &str) -> bool {
    ["ecr:", "ecs:", "lambda:"].iter().any(|service| action.starts_with(service))
}

#[derive(Default)]
pub(super) struct Script(Mutex<Vec<ApiFault>>);

impl Script {
    pub(super) fn add(&self, fault: ApiFault) {
        lock(&self.0).push(fault);
    }

    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }

    pub(super) fn strike(&self, action: &str) -> Option<ApiFault> {
        lock(&self.0).iter_mut().find_map(|fault| fault.strikes(action).then(|| fault.clone()))
    }
}
