#![doc = include_str!("../README.md")]

mod bases;
mod discover;
mod error;
mod events;
mod gather;
mod git;
mod hashing;
mod images;
mod init;
mod inputs;
mod lifecycle;
mod lock;
mod names;
mod outdated;
mod probe;
mod project;
mod publish;
mod read;
mod record;
mod ship;
mod uploads;
mod work;

pub use error::Error;
pub use events::{EventSink, Events, Silent, Tee};
pub use git::Head;
pub use hashing::{Hashed, HashedEntry, hash_directory, hash_service};
pub use images::{Copied, Inspected, Part, copy, inspect};
pub use init::{Initialised, init, write_file};
pub use lifecycle::{
    LifecycleDiff, SimulatedImage, SimulatedImages, diff_lifecycle, render_lifecycle, simulate_lifecycle,
};
pub use outdated::{BaseState, LockedBase, base_outdated, base_update};
pub use project::{CONFIG_FILE, Directories, Options, Project};
pub use ship::{Planned, ShipOptions, Shipped, plan, ship};
pub use shipper_plan::{Origin, Overrides};
pub use shipper_report::{
    Action, Event, ExitCode, FORMAT, FileChange, Outcome, Phase, PlannedPlatform, PlannedService, Reason, Record,
    ShippedImage, ValueChange,
};

/// Numbers with units.
pub mod units {
    pub use shipper_report::{bytes, duration};
}

/// The JSON schema of `shipper.toml`.
#[must_use]
pub fn config_schema() -> serde_json::Value {
    shipper_plan::Config::schema()
}
