//! Whose process a deployment is, and whether it can still be alive.
//!
//! Every command of a deployment has a time limit, and is killed at it; the deployment as a whole has their sum. So one that
//! is older than that is gone, wherever it ran. On the same machine its process is looked for, and nothing is waited for.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shipper_oci::Digest;

/// The process of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Holder {
    /// A machine and its process namespace, as a digest; empty where they can not be told.
    pub machine: String,
    /// The process id there.
    pub process: u32,
    /// When the process started, in ticks of that machine; tells it from a later one with its number.
    pub started: u64,
    /// When the deployment began, in milliseconds since the Unix epoch.
    pub began_ms: u64,
    /// How long it can take at most, in milliseconds.
    pub lease_ms: u64,
}

impl Holder {
    /// This process, from `now` in milliseconds since the Unix epoch.
    #[must_use]
    pub fn this(now: u64, lease: Duration) -> Self {
        let process = std::process::id();
        Self {
            machine: machine().unwrap_or_default(),
            process,
            started: started(process).unwrap_or_default(),
            began_ms: now,
            lease_ms: shipper_report::milliseconds(lease),
        }
    }

    /// Whether the deployment may be alive at `now`. A clock is asked only about processes of other machines.
    #[must_use]
    pub fn may_be_alive(&self, now: u64) -> bool {
        let here = machine().filter(|machine| *machine == self.machine && self.started != 0);
        if here.is_some() {
            return started(self.process) == Some(self.started);
        }
        // A clock that is behind that of the other machine gives it more time, never less.
        now.saturating_sub(self.began_ms) <= self.lease_ms
    }

    /// How long it has left at `now`, in milliseconds.
    #[must_use]
    pub fn left_ms(&self, now: u64) -> u64 {
        self.lease_ms.saturating_sub(now.saturating_sub(self.began_ms))
    }
}

/// A digest of the boot id and the process namespace: equal where process ids mean the same processes.
#[cfg(target_os = "linux")]
fn machine() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(Digest::of(format!("{}\n{}", boot.trim(), namespace.display()).as_bytes()).hex()[..32].to_owned())
}

/// When a process started, where it runs (proc_pid_stat(5): field 22; state `Z` and `X` are of processes that are gone).
#[cfg(target_os = "linux")]
fn started(process: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.nth(18)?.parse().ok() }
}

#[cfg(not(target_os = "linux"))]
fn machine() -> Option<String> {
    let _ = Digest::of;
    None
}

#[cfg(not(target_os = "linux"))]
fn started(_: u32) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn on_another_machine_the_lease_decides() {
        let mut other = Holder::this(1_000_000, HOUR);
        other.machine = "elsewhere".to_owned();
        assert!(other.may_be_alive(1_000_000) && other.may_be_alive(1_000_000 + 3_600_000));
        assert!(!other.may_be_alive(1_000_001 + 3_600_000));
        // A clock behind the other's.
        assert!(other.may_be_alive(0));
        assert_eq!((other.left_ms(1_000_000), other.left_ms(9_000_000)), (3_600_000, 0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn on_this_machine_the_process_is_looked_for() {
        let mut this = Holder::this(0, Duration::ZERO);
        assert!(this.may_be_alive(u64::MAX), "it runs, whatever the clock says");
        this.started += 1;
        assert!(!this.may_be_alive(0), "another process with its number");
        let mut child = std::process::Command::new("true").spawn().expect("starts");
        let ended = Holder { process: child.id(), ..Holder::this(0, HOUR) };
        child.wait().expect("ends");
        assert!(!ended.may_be_alive(0));
    }
}
