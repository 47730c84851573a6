#![doc = include_str!("../README.md")]

pub mod aws;
mod damage;
#[cfg(unix)]
pub mod docker_engine;
pub mod docker_registry;
pub mod evil;
pub mod git;
pub mod judge;
pub mod kill;
pub mod moto;
mod node;
pub mod registry;
mod registry_client;
pub mod secret;
pub mod skopeo;
pub mod tls;
pub mod tool;
pub mod umoci;
pub mod webhook;

pub use aws::{ApiFault, Call, FakeAws};
pub use damage::damaged;
#[cfg(unix)]
pub use docker_engine::{DockerEngine, ImageStore, Suite, require_docker_client};
pub use docker_registry::DockerRegistry;
pub use evil::Evil;
pub use git::GitRepo;
pub use judge::Judge;
pub use kill::{Interrupted, KillPlan};
pub use moto::Moto;
pub use node::Node;
pub use registry::{
    Auth, Exposure, FakeRegistry, FakeRegistryBuilder, Fault, Host, Log, Mutability, Profile, Request, Rule,
    StoredManifest,
};
pub use registry_client::RegistryClient;
pub use skopeo::Skopeo;
pub use tls::{Proxy, TlsFront};
pub use tool::{Skip, require_python, require_python_program, require_tool, run, tool};
pub use umoci::Umoci;
pub use webhook::Webhook;

/// Lower-case hexadecimal digits of `bytes`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
