//! The answer of a handler before faults are applied: status, headers and the whole body.
//!
//! Invariant: the body is complete here; what reaches the client may be cut or changed by `body`.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;
use serde_json::{Value, json};

/// What a handler wants to answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Drop the connection instead of answering.
    pub(super) drop: bool,
}

impl Reply {
    pub(super) fn new(status: u16) -> Self {
        Self {
            status: StatusCode::from_u16(status).expect("because tests name real status codes"),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            drop: false,
        }
    }

    pub(super) fn dropped() -> Self {
        Self { drop: true, ..Self::new(500) }
    }

    pub(super) fn text(status: u16, body: &str) -> Self {
        Self::new(status)
            .header("content-type", "text/plain; charset=utf-8")
            .body(Bytes::copy_from_slice(body.as_bytes()))
    }

    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::new(status)
            .header("content-type", "application/json; charset=utf-8")
            .body(Bytes::from(format!("{body}\n")))
    }

    /// The error envelope of the distribution specification, section "Error Codes".
    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        let error = json!({ "code": code, "message": message, "detail": {} });
        Self::json(status, &json!({ "errors": [error] }))
    }

    /// What a Go mux says about a path it does not know.
    pub(super) fn no_such_page() -> Self {
        Self::text(404, "404 page not found\n").header("x-content-type-options", "nosniff")
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).expect("because the testkit writes printable headers"),
        );
        self
    }

    pub(super) fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }
}
