//! Fault scripts: which request is hit, and by what.
//!
//! Invariants: a rule counts the requests that match it whether or not it strikes; every rule whose window holds
//! strikes, in the order in which the rules were added; the same seed strikes the same requests.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::log::{Host, Request};

/// One thing that goes wrong.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The request is read, has no effect, and gets this status with these headers and body.
    Status {
        /// The status code.
        code: u16,
        /// Headers of the answer.
        headers: Vec<(String, String)>,
        /// Body of the answer.
        body: Bytes,
    },
    /// The request is handled that much later.
    Delay(Duration),
    /// The request is read and never answered.
    Hang,
    /// The connection is reset (RST) before the request has an effect.
    Reset,
    /// The connection is reset after that many bytes of the request's body were read; without effect.
    ResetReading(u64),
    /// The request has its full effect, then the connection is reset instead of an answer.
    LoseReply,
    /// The answer's body ends after that many bytes, although its length was announced as it should be.
    Truncate(usize),
    /// The answer's body is cut by a reset after that many bytes.
    ResetAfter(usize),
    /// The answer's body stops after that many bytes, and the connection stays open.
    HangAfter(usize),
    /// One bit of the byte at this offset of the answer's body is changed (modulo the length of the body).
    Flip(usize),
    /// The answer's body is another one, with its own length.
    Body(Bytes),
    /// The answer carries this header, instead of its own of the same name.
    Header(String, String),
    /// The answer lacks this header.
    NoHeader(String),
    /// The answer's body comes in pieces of that many bytes with a pause before each.
    Drip {
        /// Bytes of one piece.
        bytes: usize,
        /// Pause before each piece.
        pause: Duration,
    },
}

impl Fault {
    /// A status with an error envelope.
    #[must_use]
    pub fn status(code: u16) -> Self {
        Self::Status {
            code,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: Bytes::from(format!(r#"{{"errors":[{{"code":"SCRIPTED","message":"scripted status {code}"}}]}}"#)),
        }
    }

    /// Status 429 with `Retry-After` in seconds.
    #[must_use]
    pub fn throttled(retry_after: u32) -> Self {
        Self::status(429).with_header("retry-after", &retry_after.to_string())
    }

    /// A redirect (307) to this location.
    #[must_use]
    pub fn redirect(location: &str) -> Self {
        Self::Status { code: 307, headers: vec![("location".to_owned(), location.to_owned())], body: Bytes::new() }
    }

    /// Adds a header to a `Status`; other faults stay as they are.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        if let Self::Status { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Short text for the log.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Status { code, .. } => format!("status {code}"),
            Self::Body(body) => format!("body of {} bytes", body.len()),
            other => format!("{other:?}"),
        }
    }
}

type Condition = Arc<dyn Fn(&Request) -> bool + Send + Sync>;

/// Which requests a fault hits. Without conditions: every request to the registry.
///
/// ```
/// use shipper_testkit::{Fault, Rule};
/// let rule = Rule::new(Fault::throttled(1)).method("PUT").path("/manifests/").skip(1).times(2);
/// ```
#[derive(Clone)]
pub struct Rule {
    fault: Fault,
    host: Option<Host>,
    conditions: Vec<Condition>,
    skip: u64,
    times: u64,
    chance: Option<(fastrand::Rng, u8)>,
    seen: u64,
    struck: u64,
}

impl fmt::Debug for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Rule").field("fault", &self.fault).field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Rule {
    /// Hits every request to the registry, until narrowed.
    #[must_use]
    pub fn new(fault: Fault) -> Self {
        Self {
            fault,
            host: Some(Host::Registry),
            conditions: Vec::new(),
            skip: 0,
            times: u64::MAX,
            chance: None,
            seen: 0,
            struck: 0,
        }
    }

    /// Only requests to this listener.
    #[must_use]
    pub fn host(mut self, host: Host) -> Self {
        self.host = Some(host);
        self
    }

    /// Requests to any listener.
    #[must_use]
    pub fn any_host(mut self) -> Self {
        self.host = None;
        self
    }

    /// Only requests with this method.
    #[must_use]
    pub fn method(self, method: &str) -> Self {
        let method = method.to_owned();
        self.when(move |request| request.method == method)
    }

    /// Only requests whose path contains `part`.
    #[must_use]
    pub fn path(self, part: &str) -> Self {
        let part = part.to_owned();
        self.when(move |request| request.path.contains(&part))
    }

    /// Only requests for which `condition` holds; the body has not been read when it is asked.
    #[must_use]
    pub fn when(mut self, condition: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        self.conditions.push(Arc::new(condition));
        self
    }

    /// Leaves the first `count` matching requests alone.
    #[must_use]
    pub fn skip(mut self, count: u64) -> Self {
        self.skip = count;
        self
    }

    /// Strikes at most `count` times.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.times = count;
        self
    }

    /// Strikes the `nth` matching request only, counted from 1.
    #[must_use]
    pub fn nth(self, nth: u64) -> Self {
        self.skip(nth.saturating_sub(1)).times(1)
    }

    /// Strikes a matching request with this chance in percent, drawn from `seed`.
    #[must_use]
    pub fn sometimes(mut self, seed: u64, percent: u8) -> Self {
        self.chance = Some((fastrand::Rng::with_seed(seed), percent));
        self
    }

    fn strike(&mut self, request: &Request) -> bool {
        let matches = self.host.is_none_or(|host| host == request.host)
            && self.conditions.iter().all(|condition| condition(request));
        if !matches {
            return false;
        }
        self.seen += 1;
        let due = self.seen > self.skip && self.struck < self.times;
        let drawn = self.chance.as_mut().is_none_or(|(rng, percent)| rng.u8(0..100) < *percent);
        if due && drawn {
            self.struck += 1;
        }
        due && drawn
    }
}

/// The rules of one server.
#[derive(Debug, Default)]
pub(super) struct Script(Mutex<Vec<Rule>>);

impl Script {
    fn rules(&self) -> std::sync::MutexGuard<'_, Vec<Rule>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, rule: Rule) {
        self.rules().push(rule);
    }

    pub(super) fn clear(&self) {
        self.rules().clear();
    }

    pub(super) fn strikes(&self, request: &Request) -> Vec<Fault> {
        self.rules().iter_mut().filter_map(|rule| rule.strike(request).then(|| rule.fault.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, path: &str) -> Request {
        Request {
            host: Host::Registry,
            connection: 1,
            method: method.to_owned(),
            path: path.to_owned(),
            query: String::new(),
            headers: Vec::new(),
            body: Bytes::new(),
            bytes_in: 0,
            bytes_out: 0,
            status: None,
            faults: Vec::new(),
        }
    }

    fn strikes(rule: Rule, requests: &[Request]) -> Vec<bool> {
        let script = Script::default();
        script.add(rule);
        requests.iter().map(|request| !script.strikes(request).is_empty()).collect()
    }

    #[test]
    fn a_window_counts_matching_requests_only() {
        let requests = [
            request("GET", "/a"),
            request("PUT", "/a"),
            request("GET", "/a"),
            request("GET", "/b"),
            request("GET", "/a"),
        ];
        let rule = || Rule::new(Fault::Reset).method("GET").path("/a");
        assert_eq!(strikes(rule(), &requests), [true, false, true, false, true]);
        assert_eq!(strikes(rule().nth(2), &requests), [false, false, true, false, false]);
        assert_eq!(strikes(rule().skip(1).times(5), &requests), [false, false, true, false, true]);
        assert_eq!(strikes(rule().host(Host::Token), &requests), [false; 5]);
    }

    #[test]
    fn chance_is_repeatable_and_near_its_rate() {
        let requests: Vec<Request> = (0..1000).map(|_| request("GET", "/a")).collect();
        let first = strikes(Rule::new(Fault::Hang).sometimes(7, 5), &requests);
        assert_eq!(first, strikes(Rule::new(Fault::Hang).sometimes(7, 5), &requests));
        let hits = first.iter().filter(|hit| **hit).count();
        assert!((20..=90).contains(&hits), "{hits} of 1000 at 5 %");
    }
}
