//! Drives the real binary, one module per subject.

mod action;
mod attest;
#[cfg(unix)]
mod attested;
mod audit;
mod bad_input;
#[cfg(all(unix, feature = "aws"))]
mod bootstrap;
mod builders;
mod caches;
mod cargo_service;
mod cdk;
#[cfg(unix)]
mod ci;
mod clients;
#[cfg(target_os = "linux")]
mod clock;
#[cfg(unix)]
mod conformance;
mod copy;
#[cfg(unix)]
mod deploy;
#[cfg(unix)]
mod deploy_kill;
mod dockerfile;
#[cfg(unix)]
mod docs;
mod doctor;
mod due;
#[cfg(feature = "aws")]
mod ecr;
#[cfg(all(unix, feature = "aws"))]
mod ecs;
#[cfg(all(unix, feature = "aws"))]
mod gates;
mod github;
mod hash;
mod hostile;
#[cfg(feature = "aws")]
mod iam;
mod image;
mod json;
mod kill;
#[cfg(all(unix, feature = "aws"))]
mod lambda;
mod last_step;
#[cfg(unix)]
mod leaks;
mod lint;
#[cfg(feature = "aws")]
mod live;
mod network;
#[cfg(unix)]
mod notify;
#[cfg(feature = "aws")]
mod places;
mod project;
mod promote;
#[cfg(unix)]
mod promote_env;
mod prune;
mod race;
#[cfg(feature = "aws")]
mod ready;
mod registry;
mod release;
mod report;
mod shop;
mod sign;
mod signed;
#[cfg(unix)]
mod size;
mod sources;
mod story;
mod support;
mod tags;
mod trust;
#[cfg(unix)]
mod undeploy;
mod verify;
mod why;
#[cfg(unix)]
mod xtask_example;
