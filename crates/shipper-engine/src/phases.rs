//! What a service went through and for how long: the stretches of its phases, as `action-finished` tells them.

use std::sync::{Mutex, PoisonError};

use shipper_report::{Phase, PhaseTime};

use crate::Events;

/// The phases of one service so far. A stretch ends where another phase begins.
pub(crate) struct Phases {
    events: Events,
    stretches: Mutex<Vec<PhaseTime>>,
}

impl Phases {
    pub(crate) fn new(events: Events) -> Self {
        Self { events, stretches: Mutex::default() }
    }

    /// The service is in `phase` from now on; nothing changes where it is already.
    pub(crate) fn enter(&self, phase: Phase) {
        let now = self.events.elapsed_ms();
        let mut stretches = self.stretches.lock().unwrap_or_else(PoisonError::into_inner);
        if stretches.last().is_some_and(|last| last.phase == phase) {
            return;
        }
        end(&mut stretches, now);
        stretches.push(PhaseTime { phase, start_ms: now, duration_ms: 0 });
    }

    /// All stretches, the last one ending now.
    pub(crate) fn finish(&self) -> Vec<PhaseTime> {
        let mut stretches = self.stretches.lock().unwrap_or_else(PoisonError::into_inner);
        end(&mut stretches, self.events.elapsed_ms());
        std::mem::take(&mut *stretches)
    }
}

fn end(stretches: &mut [PhaseTime], now: u64) {
    if let Some(last) = stretches.last_mut() {
        last.duration_ms = now.saturating_sub(last.start_ms);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Silent;

    #[test]
    fn a_stretch_lasts_until_another_phase_begins_and_none_is_empty_of_meaning() {
        let phases = Phases::new(Events::new(Arc::new(Silent)));
        for phase in [Phase::Stage, Phase::Stage, Phase::Build, Phase::Stage, Phase::Build, Phase::Push] {
            phases.enter(phase);
        }
        let stretches = phases.finish();
        let order: Vec<Phase> = stretches.iter().map(|stretch| stretch.phase).collect();
        assert_eq!(order, [Phase::Stage, Phase::Build, Phase::Stage, Phase::Build, Phase::Push]);
        for pair in stretches.windows(2) {
            assert_eq!(pair[0].start_ms + pair[0].duration_ms, pair[1].start_ms);
        }
        assert!(phases.finish().is_empty());
    }
}
