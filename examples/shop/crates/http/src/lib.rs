//! A small HTTP/1.1 server on threads, with every request bounded.
//!
//! One thread per connection, one request per connection, and a limit on everything a stranger chooses: the size of
//! the head, the size of the body, the time both may take, and how many connections are served at once.
//!
//! ```no_run
//! use shop_http::{Response, Server};
//!
//! let server = Server::bind("127.0.0.1:8080")?;
//! server.serve(|request| match (request.method(), request.path()) {
//!     ("GET", "/health") => Response::text(200, "ok\n"),
//!     _ => Response::text(404, "not found\n"),
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! What it leaves to a proxy in front: TLS, keep-alive, chunked bodies, HTTP/2.

mod request;
mod response;
mod server;

pub use request::Request;
pub use response::Response;
pub use server::{Limits, Server, Stopper};
