//! Uploads as events: how far each blob is, told at most five times a second.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use shipper_oci::{Digest, Progress, RepositoryName};
use shipper_report::{Event, Phase, bytes};

use crate::Events;

/// Least time between two events about one blob that is still on its way.
const PAUSE: Duration = Duration::from_millis(200);

/// Tells of uploads as progress of the service whose repository they go to.
pub(crate) struct Uploads {
    events: Events,
    /// Services by repository, as the configuration names it.
    services: BTreeMap<String, String>,
    told: Mutex<BTreeMap<Digest, Instant>>,
}

impl Uploads {
    pub(crate) fn new(events: Events, services: BTreeMap<String, String>) -> Self {
        Self { events, services, told: Mutex::default() }
    }

    /// The service of a repository, which a prefix of the registry may precede.
    fn service(&self, repository: &str) -> Option<&String> {
        let ends_so =
            |own: &str| repository.strip_suffix(own).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'));
        self.services.iter().find(|(own, _)| ends_so(own)).map(|(_, service)| service)
    }

    fn is_due(&self, blob: &Digest, done: u64, total: u64) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if done == total {
            told.remove(blob);
            return true;
        }
        let now = Instant::now();
        let due = told.get(blob).is_none_or(|last| now.duration_since(*last) >= PAUSE);
        if due {
            told.insert(blob.clone(), now);
        }
        due
    }
}

impl Progress for Uploads {
    fn upload(&self, repository: &RepositoryName, blob: &Digest, done: u64, total: u64) {
        let Some(service) = self.service(repository.as_str()) else { return };
        if !self.is_due(blob, done, total) {
            return;
        }
        let short = blob.hex().get(..12).unwrap_or_default();
        self.events.emit(Event::ActionProgress {
            service: service.clone(),
            phase: Phase::Push,
            message: format!("{} {short} {} of {}", blob.algorithm().as_str(), bytes(done), bytes(total)),
            done,
            total,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use shipper_report::Record;

    use super::*;
    use crate::EventSink;

    #[derive(Default)]
    struct Kept(Mutex<Vec<Event>>);

    impl EventSink for Kept {
        fn emit(&self, record: &Record) {
            self.0.lock().unwrap().push(record.event.clone());
        }
    }

    #[test]
    fn uploads_are_told_to_their_service_and_not_for_every_piece() {
        let kept = Arc::new(Kept::default());
        let services = BTreeMap::from([("shop/api".to_owned(), "api".to_owned())]);
        let uploads = Uploads::new(Events::new(Arc::clone(&kept) as Arc<dyn EventSink>), services);
        let blob = Digest::of(b"blob");
        for repository in ["shop/api", "acme/shop/api", "other/myshop/api", "shop/api2"] {
            for done in 0..=100 {
                uploads.upload(&repository.parse().unwrap(), &blob, done, 100);
            }
        }
        let events = kept.0.lock().unwrap();
        let told: Vec<(String, u64)> = events
            .iter()
            .filter_map(|event| match event {
                Event::ActionProgress { service, done, .. } => Some((service.clone(), *done)),
                _ => None,
            })
            .collect();
        let of = |done| ("api".to_owned(), done);
        assert!(told.starts_with(&[of(0)]) && told.ends_with(&[of(100)]), "{told:?}");
        assert!((4..20).contains(&told.len()), "{told:?}");
    }
}
