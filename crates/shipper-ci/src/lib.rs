#![doc = include_str!("../README.md")]

mod actions;
mod expression;
mod github;
mod gitlab;
mod jobs;
mod pipeline;
mod script;
mod yaml;

pub use actions::{ACTIONS, Action};
pub use github::github;
pub use gitlab::{gitlab, gitlab_jobs};
pub use jobs::Jobs;
pub use pipeline::{Aws, Deployment, Install, Login, Pipeline, PullRequests, Trigger};
