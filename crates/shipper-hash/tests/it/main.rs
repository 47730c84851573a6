//! shipper-hash from outside: laws, real git, stages, caches.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(unix)]
mod archive;
#[cfg(unix)]
mod cache;
#[cfg(all(unix, feature = "git"))]
mod git;
#[cfg(all(unix, feature = "git"))]
mod ignore;
mod manifest;
#[cfg(unix)]
mod project;
#[cfg(unix)]
mod select;
#[cfg(unix)]
mod stage;
#[cfg(unix)]
mod tree;
mod vectors;
