//! Interrupts a program at random moments, repeatably: kill -9 of its whole process group after a drawn delay.
//!
//! Invariants: the same seed draws the same delays; no process of the group survives a round, whether the program was
//! killed or ended by itself; a process id is only signalled while the fixture still holds it.

use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// How one round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupted {
    /// Killed after this delay.
    Killed(Duration),
    /// Ended by itself before the delay was over.
    Ended(ExitStatus),
}

/// Draws delays and kills.
#[derive(Clone, Debug)]
pub struct KillPlan {
    rng: fastrand::Rng,
    shortest: Duration,
    longest: Duration,
}

impl KillPlan {
    /// Delays from `shortest` to `longest`, drawn from `seed`.
    #[must_use]
    pub fn new(seed: u64, shortest: Duration, longest: Duration) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed), shortest, longest: longest.max(shortest) }
    }

    /// The next delay.
    pub fn next_delay(&mut self) -> Duration {
        let span = u64::try_from((self.longest - self.shortest).as_nanos()).unwrap_or(u64::MAX);
        self.shortest + Duration::from_nanos(self.rng.u64(0..=span))
    }

    /// Starts the command in a process group of its own and kills the group after the next delay.
    ///
    /// # Panics
    /// If the command cannot be started.
    pub fn round(&mut self, command: &mut Command) -> Interrupted {
        let delay = self.next_delay();
        own_group(command);
        let started = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        while started.elapsed() < delay && is_running(&mut child) {
            std::thread::sleep(Duration::from_micros(200).min(delay.saturating_sub(started.elapsed())));
        }
        let ended = !is_running(&mut child);
        kill_group(&mut child);
        let status = child.wait().expect("because the child was not waited for");
        if ended { Interrupted::Ended(status) } else { Interrupted::Killed(delay) }
    }
}

#[cfg(unix)]
fn own_group(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    command.process_group(0);
}

#[cfg(not(unix))]
fn own_group(_command: &mut Command) {}

/// Whether the program still runs. It is not waited for, so its id stays its own until the group is killed.
#[cfg(unix)]
fn is_running(child: &mut Child) -> bool {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::Pid(Pid::from_child(child)), options), Ok(None))
}

#[cfg(not(unix))]
fn is_running(child: &mut Child) -> bool {
    matches!(child.try_wait(), Ok(None))
}

#[cfg(unix)]
fn kill_group(child: &mut Child) {
    use rustix::process::{Pid, Signal, kill_process_group};
    // Fails only if every process of the group is gone.
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
}

#[cfg(not(unix))]
fn kill_group(child: &mut Child) {
    // Fails only if it has ended.
    let _ = child.kill();
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn a_seed_draws_the_same_delays_within_the_bounds() {
        let draw = || {
            let mut plan = KillPlan::new(3, MILLISECOND, 20 * MILLISECOND);
            (0..100).map(|_| plan.next_delay()).collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
        assert!(draw().iter().all(|delay| (MILLISECOND..=20 * MILLISECOND).contains(delay)));
    }

    #[cfg(unix)]
    #[test]
    fn the_whole_group_dies() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("grandchild");
        // The grandchild would write the file after the kill.
        let script = format!("(sleep 1; touch '{}') & wait", file.display());
        let mut plan = KillPlan::new(1, 20 * MILLISECOND, 40 * MILLISECOND);
        let outcome = plan.round(Command::new("sh").args(["-c", &script]));
        assert!(matches!(outcome, Interrupted::Killed(_)), "{outcome:?}");
        std::thread::sleep(Duration::from_millis(1200));
        assert!(!file.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_program_that_ends_first_is_reported_as_ended() {
        let mut plan = KillPlan::new(1, Duration::from_secs(20), Duration::from_secs(20));
        let outcome = plan.round(Command::new("sh").args(["-c", "exit 7"]));
        assert!(matches!(outcome, Interrupted::Ended(status) if status.code() == Some(7)), "{outcome:?}");
    }
}
