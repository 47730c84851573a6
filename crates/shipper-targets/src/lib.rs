#![doc = include_str!("../README.md")]

mod ecs;
mod error;
mod lambda;
mod used;

pub use ecs::{Brought, Definition, Ecs, EcsService, Running, Wait, is_same_image};
pub use error::Error;
pub use lambda::{Lambda, LambdaFunction, RunningFunction};
pub use used::UsedImages;
