//! Figures over many runs: how often an image was there already, how long builds take, how large images get.
//!
//! Invariant: a figure that nothing was measured for is absent, never zero.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{Action, Outcome, Run, ServiceRun, duration};

/// Figures over runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Stats {
    /// How many runs were looked at.
    pub runs: usize,
    /// How many of them have damaged records; what those tell is counted.
    pub damaged: usize,
    /// When the first one began, RFC 3339 in UTC.
    pub since: Option<String>,
    /// When the last one began.
    pub until: Option<String>,
    /// By service, sorted by name.
    pub services: Vec<ServiceStats>,
}

/// Figures of one service.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ServiceStats {
    /// Its name.
    pub service: String,
    /// Images that were built.
    pub built: usize,
    /// Images that were there and got a name.
    pub retagged: usize,
    /// Images that were there.
    pub reused: usize,
    /// Builds that failed.
    pub failed: usize,
    /// Part of the images that were there, between 0 and 1.
    pub hit_rate: Option<f64>,
    /// Median of the times of successful builds, in milliseconds.
    pub build_p50_ms: Option<u64>,
    /// The time that 95 of 100 successful builds do not exceed (nearest rank), in milliseconds.
    pub build_p95_ms: Option<u64>,
    /// What not building saved, in milliseconds.
    pub saved_ms: u64,
    /// Bytes that were written to registry or layout.
    pub uploaded_bytes: u64,
    /// Compressed layers of the image that was built last, in bytes.
    pub size: Option<u64>,
    /// The same of the last other image before it.
    pub previous_size: Option<u64>,
    #[serde(skip)]
    times: Vec<u64>,
    #[serde(skip)]
    digest: Option<String>,
}

/// Bounds for the figures of each service. What is absent is not bounded, and a figure that is absent is within bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gates {
    /// The most that [`ServiceStats::build_p95_ms`] may be.
    pub build_p95_ms: Option<u64>,
    /// The least that [`ServiceStats::hit_rate`] may be, in percent.
    pub hit_rate: Option<u8>,
    /// The most by which [`ServiceStats::size`] may exceed [`ServiceStats::previous_size`], in percent of that.
    pub size_growth: Option<u32>,
}

impl Stats {
    /// Figures over runs, oldest first.
    #[must_use]
    pub fn of(runs: impl IntoIterator<Item = Run>) -> Self {
        let mut stats = Self::default();
        let mut services: BTreeMap<String, ServiceStats> = BTreeMap::new();
        for run in runs {
            stats.runs += 1;
            stats.damaged += usize::from(!run.is_whole());
            stats.since = stats.since.take().or_else(|| run.time.clone());
            stats.until = run.time.or(stats.until.take());
            for one in run.services {
                let service = services.entry(one.service.clone()).or_default();
                service.service.clone_from(&one.service);
                service.take(one);
            }
        }
        stats.services = services.into_values().map(ServiceStats::finish).collect();
        stats
    }

    /// What is beyond its bound, a sentence each, by service.
    #[must_use]
    pub fn exceeded(&self, gates: &Gates) -> Vec<String> {
        let mut exceeded = Vec::new();
        for one in &self.services {
            let name = &one.service;
            if let (Some(bound), Some(time)) = (gates.build_p95_ms, one.build_p95_ms)
                && time > bound
            {
                let (time, bound) = (duration(time), duration(bound));
                exceeded.push(format!("{name}: 95 of 100 builds take up to {time}, more than {bound}"));
            }
            if let (Some(bound), Some(rate)) = (gates.hit_rate, one.hit_rate)
                && rate * 100.0 < f64::from(bound)
            {
                exceeded.push(format!("{name}: {:.1} % of its images were there, less than {bound} %", rate * 100.0));
            }
            if let (Some(bound), Some(percent)) = (gates.size_growth, one.growth_percent())
                && percent > f64::from(bound)
            {
                exceeded.push(format!("{name}: the last image is {percent:.1} % larger, more than {bound} %"));
            }
        }
        exceeded
    }
}

impl ServiceStats {
    /// By how many percent the last image is larger than the one before it; negative where it is smaller.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "sizes below 2^53 bytes are exact")]
    pub fn growth_percent(&self) -> Option<f64> {
        let (now, before) = (self.size? as f64, self.previous_size.filter(|size| *size > 0)? as f64);
        Some((now - before) / before * 100.0)
    }

    fn take(&mut self, run: ServiceRun) {
        self.saved_ms = self.saved_ms.saturating_add(run.saved_ms.unwrap_or(0));
        if let Some(blobs) = &run.blobs {
            self.uploaded_bytes = self.uploaded_bytes.saturating_add(blobs.uploaded_bytes);
        }
        match (run.action, run.outcome) {
            (Some(Action::Build), Some(Outcome::Ok)) => {
                self.built += 1;
                self.times.extend(run.duration_ms);
                if run.size > 0 && (run.digest.is_none() || run.digest != self.digest) {
                    self.previous_size = self.size.replace(run.size);
                    self.digest = run.digest;
                }
            }
            (Some(Action::Build), Some(Outcome::Failed)) => self.failed += 1,
            (Some(Action::Retag), Some(Outcome::Ok)) => self.retagged += 1,
            (Some(Action::Reuse), None | Some(Outcome::Ok)) => self.reused += 1,
            // Not begun, not ended, or only looked at.
            _ => {}
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers of runs are small")]
    fn finish(mut self) -> Self {
        let there = self.retagged + self.reused;
        let all = there + self.built;
        self.hit_rate = (all > 0).then(|| there as f64 / all as f64);
        self.times.sort_unstable();
        (self.build_p50_ms, self.build_p95_ms) = (percentile(&self.times, 50), percentile(&self.times, 95));
        self
    }
}

/// The nearest rank: the smallest of the sorted values that `percent` of 100 do not exceed.
fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(services: impl IntoIterator<Item = ServiceRun>) -> Run {
        Run {
            services: services.into_iter().collect(),
            time: Some("2026-11-20T09:00:00Z".to_owned()),
            ..Run::default()
        }
    }

    fn built(digest: &str, size: u64, duration_ms: u64) -> ServiceRun {
        ServiceRun {
            service: "api".to_owned(),
            action: Some(Action::Build),
            outcome: Some(Outcome::Ok),
            digest: Some(digest.to_owned()),
            duration_ms: Some(duration_ms),
            size,
            ..ServiceRun::default()
        }
    }

    fn reused(saved_ms: u64) -> ServiceRun {
        let (service, action) = ("api".to_owned(), Some(Action::Reuse));
        ServiceRun { service, action, saved_ms: Some(saved_ms), ..ServiceRun::default() }
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!((percentile(&hundred, 50), percentile(&hundred, 95)), (Some(50), Some(95)));
        assert_eq!((percentile(&[7], 50), percentile(&[7], 95), percentile(&[], 95)), (Some(7), Some(7), None));
        assert_eq!((percentile(&[1, 2, 3], 50), percentile(&[1, 2, 3], 95)), (Some(2), Some(3)));
    }

    #[test]
    fn figures_are_those_of_the_runs() {
        let failed = ServiceRun { outcome: Some(Outcome::Failed), ..built("c", 9_000, 5) };
        let runs = [
            run([built("a", 1_000, 40)]),
            run([reused(40)]),
            run([built("b", 1_200, 60)]),
            // Forced: the same image once more is no growth.
            run([built("b", 1_200, 50)]),
            run([failed]),
            run([reused(50), ServiceRun { service: "web".to_owned(), ..ServiceRun::default() }]),
        ];
        let stats = Stats::of(runs);
        assert_eq!((stats.runs, stats.damaged, stats.services.len()), (6, 6, 2));
        let api = &stats.services[0];
        assert_eq!((api.built, api.reused, api.failed, api.saved_ms), (3, 2, 1, 90));
        assert_eq!((api.build_p50_ms, api.build_p95_ms), (Some(50), Some(60)));
        assert_eq!((api.size, api.previous_size, api.growth_percent()), (Some(1_200), Some(1_000), Some(20.0)));
        assert_eq!(api.hit_rate, Some(0.4));
        // Nothing was measured of the other one.
        let web = &stats.services[1];
        assert_eq!((web.hit_rate, web.build_p95_ms, web.size, web.growth_percent()), (None, None, None, None));
    }

    #[test]
    fn bounds_are_exceeded_by_what_is_beyond_them() {
        let stats = Stats::of([run([built("a", 1_000, 40)]), run([reused(0)]), run([built("b", 1_200, 61_000)])]);
        let none = |gates: Gates| assert_eq!(stats.exceeded(&gates), Vec::<String>::new());
        none(Gates::default());
        none(Gates { build_p95_ms: Some(61_000), hit_rate: Some(33), size_growth: Some(20) });
        let all = stats.exceeded(&Gates { build_p95_ms: Some(60_000), hit_rate: Some(34), size_growth: Some(19) });
        assert_eq!(
            all,
            [
                "api: 95 of 100 builds take up to 1m 01s, more than 1m 00s",
                "api: 33.3 % of its images were there, less than 34 %",
                "api: the last image is 20.0 % larger, more than 19 %",
            ]
        );
        assert_eq!(Stats::of([]).exceeded(&Gates { hit_rate: Some(100), ..Gates::default() }), Vec::<String>::new());
    }
}
