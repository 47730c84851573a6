//! What one build of a Dockerfile reads: the result types and the entry point.

use crate::context::{Inputs, WidenKind, WidenReason};
use crate::error::Error;
use std::collections::{BTreeMap, BTreeSet};

/// What is passed to a build besides the Dockerfile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildOptions {
    /// The stage to build; `None` for the last one.
    pub target: Option<String>,
    /// Build arguments (`--build-arg`), by name.
    pub args: BTreeMap<String, String>,
    /// The platform to build for, such as `linux/amd64`; `None` if the builder decides.
    pub platform: Option<String>,
    /// The names of the named contexts (`--build-context`).
    pub named_contexts: BTreeSet<String>,
}

/// Which platform a base image is taken for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BasePlatform {
    /// The platform that is built for.
    Target,
    /// The platform of the builder (`--platform=$BUILDPLATFORM`).
    Builder,
    /// A platform that is written down, such as `linux/amd64`.
    Named(String),
    /// It depends on what is not known before the build.
    Unknown,
}

/// The instruction that uses an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum BaseUse {
    /// `FROM`.
    From,
    /// `COPY --from`.
    Copy,
    /// `RUN --mount=..,from=..`.
    Mount,
}

/// An image that a reachable stage uses; never a stage, `scratch` or a named context.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BaseImage {
    /// The reference after expansion, as it is written: not normalised, with or without tag and digest.
    pub reference: String,
    /// The platform it is taken for.
    pub platform: BasePlatform,
    /// The instruction that uses it.
    pub used_by: BaseUse,
    /// 1-based line where the instruction begins.
    pub line: usize,
}

/// Where a stage starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StageBase {
    /// An image.
    Image(String),
    /// An earlier stage, by index.
    Stage(usize),
    /// The empty image.
    Scratch,
    /// A named context, which replaces the image or the whole stage.
    Context(String),
    /// A name that depends on what is not known before the build.
    Unknown,
}

/// One stage of a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StageInfo {
    /// The name in lower case, if it has one.
    pub name: Option<String>,
    /// Where it starts from.
    pub base: StageBase,
    /// 1-based line of its `FROM`.
    pub line: usize,
    /// Whether the build of the target runs it.
    pub reachable: bool,
}

/// What one build reads.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Analysis {
    /// What is read of the context.
    pub inputs: Inputs,
    /// The images that reachable stages use, in the order of the lines.
    pub bases: Vec<BaseImage>,
    /// The names that `ARG` declares globally and in reachable stages.
    pub declared_args: BTreeSet<String>,
    /// All stages, in the order of the file.
    pub stages: Vec<StageInfo>,
    /// Index of the stage that is built.
    pub target: usize,
    /// The named contexts that reachable stages use.
    pub used_contexts: BTreeSet<String>,
}

/// What a build of `dockerfile` with `options` reads.
///
/// # Errors
/// A Dockerfile that does not parse.
pub fn analyze(dockerfile: &[u8], options: &BuildOptions) -> Result<Analysis, Error> {
    // Until the stage graph exists, every build is taken to read everything.
    let _ = (dockerfile, options);
    let reasons = vec![WidenReason { line: 0, kind: WidenKind::Root { reader: crate::Reader::Copy } }];
    Ok(Analysis {
        inputs: Inputs::WholeContext { reasons },
        bases: Vec::new(),
        declared_args: options.args.keys().cloned().collect(),
        stages: Vec::new(),
        target: 0,
        used_contexts: options.named_contexts.clone(),
    })
}
