//! The closure of a Cargo package: what is staged, what changes the hash, what is refused.
#![cfg(feature = "cargo")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod imitated;
mod laws;
mod own;
mod random;
mod refused;
mod shop;
mod stage;
mod support;
