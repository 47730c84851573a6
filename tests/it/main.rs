//! Drives the real binary, one module per subject.

mod bad_input;
mod cargo_service;
mod copy;
mod dockerfile;
mod due;
mod ecr;
mod hash;
mod image;
mod json;
mod kill;
mod project;
mod registry;
mod shop;
mod sources;
mod support;
