#![doc = include_str!("../README.md")]

mod api;
mod error;
mod github;
mod http;
mod login;
mod name;
mod session;

pub use api::{Api, Call, Service};
pub use error::Error;
pub use name::{AccountId, EcrRegistry, EcrRepository, NotEcr, Region, is_repository_name};
pub use session::{Session, SessionOptions};
