#![doc = include_str!("../README.md")]

mod api;
mod error;
mod github;
mod http;
mod login;
mod name;
mod permissions;
mod policy;
mod session;

pub use api::{Api, Call, Service};
pub use error::Error;
pub use name::{AccountId, EcrRegistry, EcrRepository, NotEcr, Region, is_repository_name};
pub use permissions::{Command, NoSuchCommand, On, Permission};
pub use policy::{GithubTrust, MAX_MANAGED_POLICY, NoTrust, PolicyDocument, Scope, cloudformation, policy, terraform};
pub use session::{Session, SessionOptions};
