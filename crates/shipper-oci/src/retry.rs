//! When to try again, and how long to wait before.
//!
//! Invariants: at most [`RetryPolicy::tries`] tries per step; over the life of a client at most half as many repetitions
//! as successes plus fifty, so that a registry in trouble is not hammered; what the registry asks for in `Retry-After` is
//! kept, up to a cap. No decision is made from the wall clock.

use std::hash::{BuildHasher, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::http::Counters;
use crate::pace::Pace;
use crate::{Error, Result, RetryPolicy};

/// Repetitions that a client may make before anything has succeeded, and the most it can save up.
const BUDGET: f64 = 50.0;
/// What a success adds.
const EARNED: f64 = 0.5;

/// Bounds the repetitions of one client.
#[derive(Debug)]
pub(crate) struct Budget(Mutex<f64>);

impl Default for Budget {
    fn default() -> Budget {
        Budget(Mutex::new(BUDGET))
    }
}

impl Budget {
    pub(crate) fn succeeded(&self) {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *left = (*left + EARNED).min(BUDGET);
    }

    fn take(&self) -> bool {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *left < 1.0 {
            return false;
        }
        *left -= 1.0;
        true
    }
}

/// The tries of one step.
pub(crate) struct Tries<'a> {
    policy: RetryPolicy,
    budget: &'a Budget,
    pace: &'a Pace,
    counters: &'a Counters,
    done: u32,
}

impl<'a> Tries<'a> {
    pub(crate) fn new(policy: RetryPolicy, budget: &'a Budget, pace: &'a Pace, counters: &'a Counters) -> Tries<'a> {
        Tries { policy, budget, pace, counters, done: 0 }
    }

    /// Waits before the next try, or gives the error back when there is none.
    pub(crate) async fn wait_or(&mut self, error: Error) -> Result<()> {
        self.done += 1;
        if matches!(error, Error::RateLimited { .. }) {
            self.pace.lower();
        }
        let most = match &error {
            // Each costs the whole limit of silence.
            Error::Timeout { .. } => self.policy.tries.min(2),
            _ => self.policy.tries,
        };
        if self.done >= most || !is_worth_repeating(&error) || !self.budget.take() {
            return Err(error);
        }
        let pause = match &error {
            Error::RateLimited { retry_after: Some(asked), .. } => {
                (*asked).min(self.policy.retry_after_cap) + self.jitter() / 4
            }
            _ => self.jitter(),
        };
        tracing::debug!(error = %error, ?pause, "trying again");
        self.counters.retried();
        tokio::time::sleep(pause).await;
        Ok(())
    }

    fn jitter(&self) -> Duration {
        let doublings = self.done.saturating_sub(1).min(16);
        self.policy.base.saturating_mul(1 << doublings).min(self.policy.cap).mul_f64(random())
    }
}

fn is_worth_repeating(error: &Error) -> bool {
    match error {
        // A certificate that is wrong now stays wrong.
        Error::Unreachable { source, .. } => !crate::http::chain(source.as_ref()).contains("certificate"),
        error => error.is_retryable(),
    }
}

/// `Retry-After` in seconds. A date would need this machine's clock to be right and is answered by the own pause.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// A number in `0.0..1.0`, from the randomness of the standard hash maps.
fn random() -> f64 {
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u8(0);
    (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy() -> RetryPolicy {
        RetryPolicy {
            tries: 5,
            base: Duration::from_micros(10),
            cap: Duration::from_micros(50),
            retry_after_cap: Duration::from_millis(5),
        }
    }

    fn limited(retry_after: Option<u64>) -> Error {
        let retry_after = retry_after.map(Duration::from_secs);
        Error::RateLimited { registry: "a.test".parse().unwrap(), what: "x".into(), retry_after }
    }

    #[tokio::test]
    async fn a_step_has_so_many_tries_and_no_more() {
        let (budget, pace, counters) = (Budget::default(), Pace::default(), Counters::default());
        let mut tries = Tries::new(policy(), &budget, &pace, &counters);
        for _ in 0..4 {
            tries.wait_or(limited(None)).await.unwrap();
        }
        tries.wait_or(limited(None)).await.unwrap_err();
        assert_eq!(counters.stats().retries, 4);
        let mut tries = Tries::new(policy(), &budget, &pace, &counters);
        tries.wait_or(Error::NotFound { what: "x".into() }).await.unwrap_err();
    }

    #[tokio::test]
    async fn the_budget_of_a_client_runs_out_and_is_earned_back() {
        let (budget, pace, counters) = (Budget::default(), Pace::default(), Counters::default());
        for _ in 0..50 {
            Tries::new(policy(), &budget, &pace, &counters).wait_or(limited(None)).await.unwrap();
        }
        Tries::new(policy(), &budget, &pace, &counters).wait_or(limited(None)).await.unwrap_err();
        budget.succeeded();
        budget.succeeded();
        Tries::new(policy(), &budget, &pace, &counters).wait_or(limited(None)).await.unwrap();
    }

    #[tokio::test]
    async fn what_the_registry_asks_for_is_kept_up_to_the_cap() {
        let (budget, pace, counters) = (Budget::default(), Pace::default(), Counters::default());
        let started = std::time::Instant::now();
        Tries::new(policy(), &budget, &pace, &counters).wait_or(limited(Some(3600))).await.unwrap();
        let waited = started.elapsed();
        assert!(waited >= Duration::from_millis(5) && waited < Duration::from_secs(60), "{waited:?}");
    }

    #[test]
    fn random_numbers_are_spread() {
        let numbers: Vec<f64> = (0..1000).map(|_| random()).collect();
        assert!(numbers.iter().all(|n| (0.0..1.0).contains(n)));
        let mean = numbers.iter().sum::<f64>() / 1000.0;
        assert!((0.4..0.6).contains(&mean), "{mean}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        /// Of any header only whole seconds count; everything else is answered by the own pause.
        #[test]
        fn only_whole_seconds_are_an_answer(seed in any::<u64>()) {
            const PIECES: [&str; 12] = ["0", "1", "9", "60", "-", "+", ".", " ", "x", "Wed, 21 Oct 2015 07:28:00 GMT", "\t", "18446744073709551615"];
            let text = crate::scramble::text(seed, &PIECES, 4);
            let Ok(value) = reqwest::header::HeaderValue::from_str(&text) else { return Ok(()) };
            let found = retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value)]));
            let trimmed = text.trim().trim_start_matches('+');
            let digits = !trimmed.is_empty() && trimmed.bytes().all(|byte| byte.is_ascii_digit());
            prop_assert_eq!(found.map(|found| found.as_secs()), trimmed.parse().ok().filter(|_| digits && found.is_some()));
            prop_assert!(digits || found.is_none(), "{:?}", text);
        }

        #[test]
        fn a_pause_is_below_its_cap_and_below_the_doublings(
            done in 0_u32..100, base in 0_u64..10_000, cap in 0_u64..1_000_000,
        ) {
            let policy = RetryPolicy { base: Duration::from_millis(base), cap: Duration::from_millis(cap), ..policy() };
            let (budget, pace, counters) = (Budget::default(), Pace::default(), Counters::default());
            let mut tries = Tries::new(policy, &budget, &pace, &counters);
            tries.done = done;
            let pause = tries.jitter();
            prop_assert!(pause <= policy.cap, "{pause:?}");
            let doubled = policy.base.saturating_mul(1_u32 << done.saturating_sub(1).min(16));
            prop_assert!(pause <= doubled, "{pause:?} {doubled:?}");
        }

        /// However successes and failures alternate: never more repetitions than fifty and half of the successes.
        #[test]
        fn repetitions_never_outgrow_the_budget(steps in proptest::collection::vec(any::<bool>(), 0..300)) {
            let budget = Budget::default();
            let (mut taken, mut succeeded) = (0_u32, 0_u32);
            for success in steps {
                if success {
                    budget.succeeded();
                    succeeded += 1;
                } else {
                    taken += u32::from(budget.take());
                }
                prop_assert!(f64::from(taken) <= BUDGET + EARNED * f64::from(succeeded));
                let left = *budget.0.lock().unwrap();
                prop_assert!((0.0..=BUDGET).contains(&left), "{left}");
            }
        }
    }
}
