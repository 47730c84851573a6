//! The event spine: everything that a run tells goes through one [`Events`] handle to one [`EventSink`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use shipper_report::{Event, Record};

/// Takes the records of a run, one after the other, from any thread.
pub trait EventSink: Send + Sync {
    /// Takes one record. Must not block for long and must not fail: a sink that can not write forgets.
    fn emit(&self, record: &Record);
}

impl<F: Fn(&Record) + Send + Sync> EventSink for F {
    fn emit(&self, record: &Record) {
        self(record);
    }
}

/// A sink that forgets everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl EventSink for Silent {
    fn emit(&self, _record: &Record) {}
}

/// Several sinks as one, which all see the records in one order.
pub struct Tee {
    sinks: Mutex<Vec<Arc<dyn EventSink>>>,
}

impl Tee {
    /// The sinks, told in this order.
    #[must_use]
    pub fn new(sinks: Vec<Arc<dyn EventSink>>) -> Self {
        Self { sinks: Mutex::new(sinks) }
    }
}

impl EventSink for Tee {
    fn emit(&self, record: &Record) {
        for sink in self.sinks.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            sink.emit(record);
        }
    }
}

/// A handle that stamps events with their time and hands them to the sink. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    sink: Arc<dyn EventSink>,
    began: Instant,
}

impl Events {
    /// A handle whose clock starts now.
    #[must_use]
    pub fn new(sink: Arc<dyn EventSink>) -> Self {
        Self { sink, began: Instant::now() }
    }

    /// The same clock with another sink.
    #[must_use]
    pub fn with_sink(&self, sink: Arc<dyn EventSink>) -> Self {
        Self { sink, began: self.began }
    }

    /// The sink.
    #[must_use]
    pub fn sink(&self) -> Arc<dyn EventSink> {
        Arc::clone(&self.sink)
    }

    /// Milliseconds since the run began.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        shipper_report::milliseconds(self.began.elapsed())
    }

    /// Stamps and hands over.
    pub fn emit(&self, event: Event) {
        let record = Record { time: now(), elapsed_ms: self.elapsed_ms(), event };
        self.sink.emit(&record);
    }

    /// A [`Event::Warning`].
    pub fn warn(&self, service: Option<&str>, message: impl Into<String>) {
        self.emit(Event::Warning { service: service.map(str::to_owned), message: message.into() });
    }
}

/// The wall clock as RFC 3339 in UTC with milliseconds. It stamps events and names runs; it decides nothing.
pub(crate) fn now() -> String {
    stamp(Timestamp::now())
}

/// A time as RFC 3339 in UTC with milliseconds.
pub(crate) fn stamp(time: Timestamp) -> String {
    format!("{time:.3}")
}
