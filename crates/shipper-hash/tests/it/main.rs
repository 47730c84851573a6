//! shipper-hash from outside: laws, real git, stages, caches.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod manifest;
#[cfg(unix)]
mod project;
#[cfg(unix)]
mod tree;
