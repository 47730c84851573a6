//! How many uploads one registry gets at a time, and how many requests of a kind in one second.
//!
//! Invariants: uploads never exceed [`MOST`]; a registry that asks to slow down gets half as many from then on, at most
//! once per [`EPOCH`], so that one burst of refusals counts once; each window of uploads that go well adds one again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::quirks::{Action, Limit};

/// Uploads at the same time, as long as the registry does not complain.
pub(crate) const MOST: usize = 4;

/// Refusals within this time of each other have one cause.
const EPOCH: Duration = Duration::from_millis(100);

/// Bounds the uploads of one client.
#[derive(Debug)]
pub(crate) struct Pace {
    turns: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Uploads allowed at the same time.
    allowed: usize,
    /// Turns that are still out and must not come back.
    surplus: usize,
    /// Uploads that went well since `allowed` changed.
    good: usize,
    lowered: Option<Instant>,
}

impl Default for Pace {
    fn default() -> Pace {
        let state = State { allowed: MOST, surplus: 0, good: 0, lowered: None };
        Pace { turns: Semaphore::new(MOST), state: Mutex::new(state) }
    }
}

impl Pace {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until an upload may begin.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        let permit = self.turns.acquire().await.expect("because the semaphore is never closed");
        Turn { pace: self, permit: Some(permit) }
    }

    /// The registry asked to slow down.
    pub(crate) fn lower(&self) {
        let mut state = self.state();
        let now = Instant::now();
        if state.lowered.is_some_and(|last| now.duration_since(last) < EPOCH) {
            return;
        }
        let kept = (state.allowed / 2).max(1);
        let gone = state.allowed - kept;
        state.surplus += gone - self.turns.forget_permits(gone);
        (state.allowed, state.good, state.lowered) = (kept, 0, Some(now));
    }

    fn raise(&self, state: &mut State) {
        state.good += 1;
        if state.good < state.allowed || state.allowed == MOST {
            return;
        }
        (state.allowed, state.good) = (state.allowed + 1, 0);
        if state.surplus > 0 {
            state.surplus -= 1;
        } else {
            self.turns.add_permits(1);
        }
    }
}

/// The right to one upload.
pub(crate) struct Turn<'a> {
    pace: &'a Pace,
    permit: Option<SemaphorePermit<'a>>,
}

impl Turn<'_> {
    /// The upload went well.
    pub(crate) fn succeeded(self) {
        let pace = self.pace;
        pace.raise(&mut pace.state());
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        let mut state = self.pace.state();
        if state.surplus > 0 {
            state.surplus -= 1;
            permit.forget();
        }
    }
}

/// Keeps requests below the limits of a registry, each kind by itself.
#[derive(Debug)]
pub(crate) struct Limits(Vec<(Action, PerSecond)>);

impl Limits {
    pub(crate) fn new(limits: &[Limit]) -> Limits {
        Limits(limits.iter().map(|limit| (limit.action, PerSecond::new(limit.per_second))).collect())
    }

    /// Waits until a request of this kind may be sent.
    pub(crate) async fn wait(&self, action: Action) {
        for (_, limit) in self.0.iter().filter(|(of, _)| *of == action) {
            limit.wait().await;
        }
    }
}

/// Spaces requests out to so many a second; as many as come in one second may go at once.
#[derive(Debug)]
pub(crate) struct PerSecond {
    rate: u32,
    /// When the allowance that is used now will have been earned.
    earned: Mutex<Option<Instant>>,
}

impl PerSecond {
    pub(crate) fn new(rate: u32) -> PerSecond {
        PerSecond { rate: rate.max(1), earned: Mutex::new(None) }
    }

    /// Waits for this request's place.
    pub(crate) async fn wait(&self) {
        let place = {
            let mut earned = self.earned.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let place = earned.filter(|at| *at > now).unwrap_or(now) + Duration::from_secs(1) / self.rate;
            *earned = Some(place);
            place
        };
        // A full second's worth is at hand at the start.
        if let Some(at) = place.checked_sub(Duration::from_secs(1)) {
            tokio::time::sleep_until(at).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn uploads_halve_when_told_to_slow_down_and_come_back_one_by_one() {
        let pace = Pace::default();
        let held = [pace.turn().await, pace.turn().await, pace.turn().await, pace.turn().await];
        pace.lower();
        pace.lower();
        assert_eq!(pace.state().allowed, 2, "one burst counts once");
        drop(held);
        assert_eq!(pace.turns.available_permits(), 2);
        for _ in 0..3 {
            tokio::time::advance(EPOCH).await;
            pace.lower();
        }
        assert_eq!((pace.state().allowed, pace.turns.available_permits()), (1, 1), "one always goes");
        for (uploads, allowed) in [(1, 2), (2, 3), (3, 4), (9, 4)] {
            for _ in 0..uploads {
                pace.turn().await.succeeded();
            }
            assert_eq!((pace.state().allowed, pace.turns.available_permits()), (allowed, allowed));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_seconds_worth_goes_at_once_and_the_rest_at_the_rate() {
        let limit = PerSecond::new(10);
        let started = Instant::now();
        let mut at = Vec::new();
        for _ in 0..25 {
            limit.wait().await;
            at.push(started.elapsed().as_millis());
        }
        assert!(at[9] <= 1 && (99..=101).contains(&at[10]) && (1490..=1510).contains(&at[24]), "{at:?}");
        tokio::time::advance(Duration::from_secs(60)).await;
        let started = Instant::now();
        limit.wait().await;
        assert_eq!(started.elapsed(), Duration::ZERO, "what was not used is there again");
    }

    #[tokio::test(start_paused = true)]
    async fn each_kind_of_request_has_a_limit_of_its_own() {
        let limit = |action, per_second| Limit { action, per_second };
        let limits = Limits::new(&[limit(Action::WriteManifest, 10), limit(Action::StartUpload, 100)]);
        let started = Instant::now();
        for _ in 0..200 {
            limits.wait(Action::StartUpload).await;
        }
        assert!((990..=1010).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
        for _ in 0..10 {
            limits.wait(Action::WriteManifest).await;
        }
        for _ in 0..10_000 {
            limits.wait(Action::FindBlob).await;
        }
        assert!(started.elapsed().as_millis() <= 1020, "what has no limit does not wait: {:?}", started.elapsed());
    }
}
