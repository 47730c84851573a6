//! What a handler answers.

use std::io::{self, Write};

/// A status, headers and a body. The length and `connection: close` are added when it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Response {
    /// A response with a body of the given media type.
    #[must_use]
    pub fn new(status: u16, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("content-type", media_type.to_owned())], body: body.into() }
    }

    /// A response without a body: a redirect, or the answer to `OPTIONS`.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// Plain text.
    #[must_use]
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body.into())
    }

    /// JSON; `body` is the document.
    #[must_use]
    pub fn json(status: u16, body: impl std::fmt::Display) -> Self {
        Self::new(status, "application/json", format!("{body}\n"))
    }

    /// The same response with one more header. Line ends in `value` are dropped, so that no value can add a header
    /// of its own.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let mut value: String = value.into();
        value.retain(|c| !c.is_control());
        self.headers.push((name, value));
        self
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The value of a header; `name` in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    /// Writes the response. The answer to `HEAD` states the length of the body and leaves it out.
    pub(crate) fn write(&self, mut to: impl Write, method: &str) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.status != 204 {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        head.push_str("connection: close\r\n\r\n");
        to.write_all(head.as_bytes())?;
        if method != "HEAD" {
            to.write_all(&self.body)?;
        }
        to.flush()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(response: &Response, method: &str) -> String {
        let mut bytes = Vec::new();
        response.write(&mut bytes, method).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn head_has_the_length_and_no_body() {
        let response = Response::text(200, "hello");
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 5\r\nconnection: close\r\n\r\n";
        assert_eq!(sent(&response, "GET"), format!("{head}hello"));
        assert_eq!(sent(&response, "HEAD"), head);
    }

    #[test]
    fn a_header_value_cannot_bring_a_second_header() {
        let response = Response::empty(204).with_header("x-name", "a\r\nset-cookie: b");
        assert_eq!(
            sent(&response, "GET"),
            "HTTP/1.1 204 No Content\r\nx-name: aset-cookie: b\r\nconnection: close\r\n\r\n"
        );
    }
}
