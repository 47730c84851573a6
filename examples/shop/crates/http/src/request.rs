//! Reads one request from a stream and nothing beyond its limits.

use std::fmt;
use std::io::{self, BufRead, Read, Write};

use crate::server::Limits;

/// A request that was read completely.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// A request without headers, for tests of a handler.
    #[must_use]
    pub fn new(method: &str, path: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), headers: Vec::new(), body: body.into() }
    }

    /// The method as sent: `GET`, `POST`, ...
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The path as sent, still percent-encoded, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The value of a header; `name` in lower case. The first one, where there are several.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body, empty where none was sent.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

/// Why a request was not answered by the handler.
#[derive(Debug)]
pub(crate) enum Rejection {
    /// The peer went away or took too long: nobody is left to answer.
    Gone(io::Error),
    /// The peer is told what is wrong with its request.
    Answer(u16, &'static str),
}

impl From<io::Error> for Rejection {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Answer(408, "the request took too long"),
            _ => Self::Gone(error),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(error) => write!(f, "{error}"),
            Self::Answer(status, why) => write!(f, "{status}: {why}"),
        }
    }
}

const BAD_LINE: Rejection = Rejection::Answer(400, "the request line is not `METHOD /path HTTP/1.1`");
const BAD_HEADER: Rejection = Rejection::Answer(400, "a header line is not `name: value`");
const BAD_LENGTH: Rejection = Rejection::Answer(400, "content-length is not one decimal number");
const CHUNKED: Rejection = Rejection::Answer(501, "transfer-encoding is not supported; send content-length");
const HEAD_TOO_LARGE: Rejection = Rejection::Answer(431, "the request head is too large");
const BODY_TOO_LARGE: Rejection = Rejection::Answer(413, "the request body is too large");

/// Reads a request; `reply` receives the interim `100 Continue` where the client waits for one.
pub(crate) fn read(reader: impl Read, mut reply: impl Write, limits: &Limits) -> Result<Request, Rejection> {
    let mut reader = io::BufReader::new(reader);
    let mut head = Head { reader: (&mut reader).take(limits.head), line: Vec::new() };

    let (method, path) = request_line(head.next()?)?;
    let mut headers = Vec::new();
    loop {
        let line = head.next()?;
        if line.is_empty() {
            break;
        }
        headers.push(header(line)?);
    }

    let mut request = Request { method, path, headers, body: Vec::new() };
    let length = body_length(&request.headers)?;
    if length > limits.body {
        return Err(BODY_TOO_LARGE);
    }
    if length > 0 && request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        reply.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let received = reader.take(length).read_to_end(&mut request.body)?;
    if received as u64 != length {
        return Err(Rejection::Gone(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(request)
}

/// The lines of a request head, together at most as long as the limit.
struct Head<R> {
    reader: io::Take<R>,
    line: Vec<u8>,
}

impl<R: BufRead> Head<R> {
    /// The next line without its line end.
    fn next(&mut self) -> Result<&str, Rejection> {
        self.line.clear();
        self.reader.read_until(b'\n', &mut self.line)?;
        match self.line.strip_suffix(b"\n") {
            Some(line) => std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).map_err(|_| BAD_HEADER),
            None if self.reader.limit() == 0 => Err(HEAD_TOO_LARGE),
            None => Err(Rejection::Gone(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

fn request_line(line: &str) -> Result<(String, String), Rejection> {
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(BAD_LINE);
    };
    let method_is_word = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    let target_is_path = target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic());
    if !method_is_word || !target_is_path || !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return Err(BAD_LINE);
    }
    let path = target.split_once('?').map_or(target, |(path, _query)| path);
    Ok((method.to_owned(), path.to_owned()))
}

/// White space before the colon is refused, as RFC 9112 section 5.1 demands; so are folded lines, which begin with it.
fn header(line: &str) -> Result<(String, String), Rejection> {
    let (name, value) = line.split_once(':').ok_or(BAD_HEADER)?;
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)) {
        return Err(BAD_HEADER);
    }
    Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
}

/// The length of the body in bytes. Ambiguous lengths are refused: they are how requests are smuggled past a proxy.
fn body_length(headers: &[(String, String)]) -> Result<u64, Rejection> {
    if headers.iter().any(|(name, _)| name == "transfer-encoding") {
        return Err(CHUNKED);
    }
    let mut lengths = headers.iter().filter(|(name, _)| name == "content-length").map(|(_, value)| value);
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(0),
        (Some(value), None) if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
            // More digits than fit are certainly more bytes than are allowed.
            value.parse().map_err(|_| BODY_TOO_LARGE)
        }
        _ => Err(BAD_LENGTH),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Request, u16> {
        let limits = Limits { head: 256, body: 16, ..Limits::default() };
        read(bytes, io::sink(), &limits).map_err(|rejection| match rejection {
            Rejection::Answer(status, _) => status,
            Rejection::Gone(_) => 0,
        })
    }

    #[test]
    fn a_request_is_read_with_its_headers_and_body() {
        let request = parse(b"POST /orders?x=1 HTTP/1.1\r\nContent-Length: 4\r\nX-A:  b \r\n\r\nabcdTRAILING").unwrap();
        assert_eq!((request.method(), request.path(), request.body()), ("POST", "/orders", &b"abcd"[..]));
        assert_eq!(request.header("x-a"), Some("b"));
        assert_eq!(request.header("x-b"), None);
    }

    #[test]
    fn what_is_not_http_is_refused_with_a_reason() {
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(300));
        let cases: &[(&[u8], u16)] = &[
            (b"", 0),
            (b"GET / HTTP/1.1\r\nHost: x\r\n", 0),
            (b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nshort", 0),
            (b"GET /\r\n\r\n", 400),
            (b"get / HTTP/1.1\r\n\r\n", 400),
            (b"GET x HTTP/1.1\r\n\r\n", 400),
            (b"GET / HTTP/2\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nname : value\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nA: \xff\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nContent-Length: +4\r\n\r\nabcd", 400),
            (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 4\r\n\r\nabcd", 400),
            (b"POST / HTTP/1.1\r\nContent-Length: 17\r\n\r\n", 413),
            (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", 413),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
            (long.as_bytes(), 431),
        ];
        for (bytes, status) in cases {
            assert_eq!(parse(bytes).map(|_| ()), Err(*status), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_client_that_waits_for_permission_gets_it() {
        let mut interim = Vec::new();
        let bytes = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok";
        let request = read(&bytes[..], &mut interim, &Limits::default()).unwrap();
        assert_eq!(request.body(), b"ok");
        assert_eq!(interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    }
}
