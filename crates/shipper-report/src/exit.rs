//! The exit codes of the command, in one place.

/// What the process says to the script that called it.
///
/// "Could not tell" is a code of its own: access denied, a dead network or a throttled call is never a *no*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// Done, yes, ready.
    Done = 0,
    /// A definite no: not ready, work is due, drift.
    No = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// Could not tell: credentials, network, throttled, denied.
    Unknown = 3,
    /// A build or a check failed.
    BuildFailed = 4,
    /// A push failed, or an identity would have had to move.
    PushFailed = 5,
    /// A deployment failed.
    DeployFailed = 6,
    /// A deployment failed and was rolled back.
    RolledBack = 7,
    /// Interrupted by a signal.
    Interrupted = 130,
}

impl ExitCode {
    /// All codes with what they mean, in numerical order: the table that help texts and docs print.
    pub const TABLE: [(Self, &'static str); 9] = [
        (Self::Done, "done, yes, ready"),
        (Self::No, "a definite no: not ready, work due, drift"),
        (Self::Usage, "usage or configuration"),
        (Self::Unknown, "could not tell: credentials, network, throttled, denied"),
        (Self::BuildFailed, "build or check failed"),
        (Self::PushFailed, "push failed or identity conflict"),
        (Self::DeployFailed, "deploy failed"),
        (Self::RolledBack, "rolled back"),
        (Self::Interrupted, "interrupted"),
    ];

    /// The number handed to the operating system.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::ExitCode;

    #[test]
    fn the_table_is_complete_and_in_order() {
        let codes: Vec<u8> = ExitCode::TABLE.iter().map(|(code, _)| code.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 130]);
    }
}
