//! What a plan becomes on CI systems whose pipelines grow while they run.

/// The jobs of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Jobs {
    /// Services that others are built on, needs first: one job before all others.
    pub bases: Vec<String>,
    /// The name of each further job, and its services with spaces between them.
    pub jobs: Vec<(String, String)>,
    /// Whether the run may be decided by anybody who can propose a change.
    pub is_untrusted: bool,
    /// Variables that say where this run's images go, where it is not as the configuration says.
    pub places: Vec<(String, String)>,
}
