//! Answers: header fields, and bodies that are read within limits of size and of silence.
//!
//! Invariant: no byte of a body is taken without counting it against a limit of the caller, and no wait for one is longer
//! than [`Timeouts::stall`] allows; time that the caller spends elsewhere does not count.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use crate::http::{Counters, transport_error};
use crate::sent::Sent;
use crate::{Error, Result, Timeouts};

/// After so many pieces of a document they must be this many bytes long on average: a peer that sends single bytes would
/// otherwise keep this client busy for minutes within every other limit.
const MANY_PIECES: usize = 65_536;
const SHORT_PIECE: usize = 64;

/// The request that an answer belongs to, as errors name it.
pub(crate) struct Asked {
    /// Scheme, host and port.
    pub(crate) place: String,
    /// Host and port.
    pub(crate) host: String,
    /// What it was for.
    pub(crate) what: String,
    pub(crate) timeouts: Timeouts,
    pub(crate) counters: Arc<Counters>,
    /// What the peer knows and must not tell.
    pub(crate) sent: Arc<Sent>,
}

/// The header of an answer, and its body still to be read.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    response: reqwest::Response,
    asked: Asked,
    /// Time spent waiting and bytes seen in the present window of the stall rule.
    waited: Duration,
    window: u64,
}

impl Reply {
    pub(crate) fn new(response: reqwest::Response, asked: Asked) -> Reply {
        let (status, headers) = (response.status(), response.headers().clone());
        Reply { status, headers, response, asked, waited: Duration::ZERO, window: 0 }
    }

    /// Scheme, host and port that answered: after a redirect, those of its target.
    pub(crate) fn place(&self) -> &str {
        &self.asked.place
    }

    /// A header, when it is there once and plain text.
    pub(crate) fn header(&self, name: &reqwest::header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Length of the body as announced, in bytes.
    pub(crate) fn length(&self) -> Option<u64> {
        self.header(&reqwest::header::CONTENT_LENGTH)?.parse().ok()
    }

    /// A text of the peer without the credentials that were sent to it.
    pub(crate) fn clean<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.asked.sent.clean(text)
    }

    /// An error about this answer.
    pub(crate) fn protocol(&self, reason: &str) -> Error {
        Error::Protocol { host: self.asked.host.clone(), what: self.asked.what.clone(), reason: reason.to_owned() }
    }

    /// The next piece of the body, `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let left = self.asked.timeouts.stall.saturating_sub(self.waited);
        let started = Instant::now();
        let arrived = tokio::time::timeout(left, self.response.chunk()).await;
        self.waited += started.elapsed();
        match arrived {
            Ok(Ok(Some(bytes))) => {
                self.asked.counters.received(bytes.len() as u64);
                self.window += bytes.len() as u64;
                if self.window >= Timeouts::STALL_BYTES {
                    (self.window, self.waited) = (0, Duration::ZERO);
                }
                Ok(Some(bytes))
            }
            Ok(Ok(None)) => Ok(None),
            Ok(Err(error)) => {
                let what = format!("{}: the answer broke off", self.asked.what);
                Err(transport_error(error, &self.asked.host, &what, self.asked.timeouts))
            }
            Err(_) => {
                let what = format!("{}: the answer stalled", self.asked.what);
                Err(Error::Timeout { host: self.asked.host.clone(), what, limit: self.asked.timeouts.stall })
            }
        }
    }

    /// The whole body, at most `limit` bytes.
    pub(crate) async fn bytes(&mut self, limit: u64) -> Result<Vec<u8>> {
        let too_large = |reply: &Reply| Error::TooLarge { what: format!("the answer to {}", reply.asked.what), limit };
        if self.length().is_some_and(|length| length > limit) {
            return Err(too_large(self));
        }
        let mut body = BytesMut::new();
        let mut pieces = 0;
        while let Some(bytes) = self.chunk().await? {
            pieces += 1;
            if pieces > MANY_PIECES && body.len() / pieces < SHORT_PIECE {
                return Err(self.protocol("the answer comes in pieces of a few bytes without end"));
            }
            if body.len() as u64 + bytes.len() as u64 > limit {
                return Err(too_large(self));
            }
            body.extend_from_slice(&bytes);
        }
        Ok(body.into())
    }

    /// The beginning of the body for an error message; whatever fails, fails silently.
    pub(crate) async fn beginning(&mut self, limit: usize) -> Vec<u8> {
        let mut body = Vec::new();
        while body.len() < limit {
            match self.chunk().await {
                Ok(Some(bytes)) => body.extend_from_slice(&bytes[..bytes.len().min(limit - body.len())]),
                Ok(None) | Err(_) => break,
            }
        }
        body
    }
}
