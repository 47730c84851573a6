#![doc = include_str!("../README.md")]

mod cache;
mod ci;
mod config;
mod discover;
mod environment;
mod error;
mod in_use;
mod inputs;
mod keys;
mod notify;
mod order;
mod plan;
mod scan;
mod secret;
mod service;
mod settings;
mod target;

pub use cache::{CacheConfig, CacheExportConfig, CacheKindConfig, CachePlaceConfig, CacheSourceConfig};
pub use ci::{Ci, CiConfig, CiDeployConfig, CiLoginConfig, CiShipperConfig, CiSourceConfig, CiTriggerConfig};
pub use config::{
    AttestationsConfig, BuilderConfig, CargoConfig, ClosureConfig, CompressionConfig, Config, ContextConfig,
    LinkConfig, NetworkConfig, OneOrMany, ProjectConfig, RegistryConfig, SbomConfig, SecretConfig, ServiceConfig,
    StackConfig, UntrackedConfig, word,
};
pub use discover::{Discovered, DiscoveredDockerfile, DiscoveredPackage, discover, render};
pub use environment::{AfterConfig, Environment, EnvironmentConfig, Hand, TargetConfig, TrustConfig};
pub use environment::{PULL_REQUEST, is_one_of, names_many};
pub use error::Error;
pub use in_use::{InUseCommand, InUseConfig, InUseService};
pub use inputs::{InputsDocument, hash_argument};
pub use keys::{SignConfig, TrustedKeysConfig};
pub use notify::{NotifyConfig, NotifyFormat};
pub use order::{in_order, with_needs};
pub use plan::{Existing, PlatformFacts, Previous, ServiceFacts, differences, plan};
pub use scan::{Scan, ScanConfig, Severity};
pub use service::{Base, CargoRecipe, DockerfileRecipe, ImageOptions, Recipe, Service};
pub use settings::{Origin, Overrides, Setting, Settings};
pub use target::{EcsConfig, LambdaConfig, Target};
