//! The fixtures against each other and against the real tools.

mod client;
mod distribution;
mod registry;
mod tools;
