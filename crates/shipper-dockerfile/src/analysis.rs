//! What one build of a Dockerfile reads: the result types and the entry point.

use crate::context::{Inputs, WidenKind, WidenReason};
use crate::error::Error;
use crate::evaluate::evaluate;
use crate::frontend::{self, Frontend};
use crate::gopath::runes;
use crate::scope::PLATFORM_ARGS;
use crate::stages::Stages;
use crate::syntax;
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

/// Something that `ADD` fetches from elsewhere: a URL or a git repository.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteSource {
    /// The address after expansion, or as it is written if a variable is not known.
    pub url: String,
    /// The value of `--checksum` after expansion; without it, what is fetched may change at any time.
    pub checksum: Option<String>,
    /// 1-based line where the instruction begins.
    pub line: usize,
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
    /// All stages, in the order of the file; empty if another frontend is named and the file does not parse.
    pub stages: Vec<StageInfo>,
    /// Index of the stage that is built.
    pub target: usize,
    /// The named contexts that reachable stages use.
    pub used_contexts: BTreeSet<String>,
    /// What `ADD` fetches from elsewhere in reachable stages, in the order of evaluation.
    pub remotes: Vec<RemoteSource>,
    /// The frontend image that the file asks for; `None` for the builder's own.
    pub frontend: Option<Frontend>,
}

impl Analysis {
    /// Those of `args` that can change the result of the build: the declared ones, those that BuildKit reads without
    /// a declaration (`BUILDKIT_*`, `SOURCE_DATE_EPOCH`, the platform arguments), and all of them if the frontend is
    /// not the standard one. The proxy arguments (`HTTP_PROXY` and its relatives) count only if they are declared.
    #[must_use]
    pub fn relevant_args<'a>(&self, args: &'a BTreeMap<String, String>) -> BTreeMap<&'a str, &'a str> {
        let is_relevant = |name: &str| {
            self.frontend.as_ref().is_some_and(|frontend| !frontend.standard)
                || self.declared_args.contains(name)
                || name.starts_with("BUILDKIT_")
                || name == "SOURCE_DATE_EPOCH"
                || PLATFORM_ARGS.contains(&name)
        };
        args.iter().map(|(name, value)| (name.as_str(), value.as_str())).filter(|(name, _)| is_relevant(name)).collect()
    }
}

/// What a build of `dockerfile` with `options` reads.
///
/// Bytes that are not UTF-8 are read as U+FFFD, as BuildKit does. With a frontend other than `docker/dockerfile:1`
/// the inputs are the whole context, and the other fields are what the file would mean to the standard frontend.
///
/// ```
/// use shipper_dockerfile::{BuildOptions, Inputs, analyze};
///
/// let dockerfile = b"FROM rust:1 AS build\nCOPY Cargo.toml src/ ./\nFROM scratch\nCOPY --from=build /app /app\n";
/// let analysis = analyze(dockerfile, &BuildOptions::default())?;
/// assert!(analysis.inputs.covers(b"src/main.rs"));
/// assert!(!analysis.inputs.covers(b"README.md"));
/// assert_eq!(analysis.bases[0].reference, "rust:1");
/// # Ok::<(), shipper_dockerfile::Error>(())
/// ```
///
/// # Errors
/// A Dockerfile that BuildKit refuses (with the line), a target that does not exist, or a reachable `FROM` whose
/// image depends on what is not known before the build.
pub fn analyze(dockerfile: &[u8], options: &BuildOptions) -> Result<Analysis, Error> {
    let text: String =
        runes(dockerfile).into_iter().map(|rune| char::from_u32(rune).unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    let frontend = frontend::detect(&text, options.args.get("BUILDKIT_SYNTAX"));
    let custom = frontend.clone().filter(|frontend| !frontend.standard);
    let mut analysis = match (analyze_text(&text, options), &custom) {
        (Ok(analysis), _) => analysis,
        // Another frontend may well read what the standard one does not.
        (Err(_), Some(_)) => Analysis {
            inputs: Inputs::Paths(Vec::new()),
            bases: Vec::new(),
            declared_args: BTreeSet::new(),
            stages: Vec::new(),
            target: 0,
            used_contexts: BTreeSet::new(),
            remotes: Vec::new(),
            frontend: None,
        },
        (Err(error), None) => return Err(error),
    };
    analysis.frontend = frontend;
    if let Some(Frontend { image, line, .. }) = custom {
        let mut reasons = match analysis.inputs {
            Inputs::Paths(_) => Vec::new(),
            Inputs::WholeContext { reasons } => reasons,
        };
        reasons.insert(0, WidenReason { line, kind: WidenKind::Frontend { image } });
        analysis.inputs = Inputs::WholeContext { reasons };
        analysis.used_contexts.clone_from(&options.named_contexts);
    }
    Ok(analysis)
}

fn analyze_text(text: &str, options: &BuildOptions) -> Result<Analysis, Error> {
    let file = syntax::parse(text)?;
    let stages = Stages::new(&file, options)?;
    let target = stages.target()?;
    let reachable = stages.reachable(target)?;
    let found = evaluate(&stages, &reachable, options, file.escape)?;
    let inputs = if found.reasons.is_empty() {
        Inputs::Paths(found.paths)
    } else {
        Inputs::WholeContext { reasons: found.reasons }
    };
    let info = |(stage, reachable): (crate::stages::Stage<'_>, bool)| StageInfo {
        name: stage.name,
        base: stage.base,
        line: stage.line,
        reachable,
    };
    Ok(Analysis {
        inputs,
        bases: found.bases,
        declared_args: found.declared,
        stages: stages.list.into_iter().zip(reachable).map(info).collect(),
        target,
        used_contexts: found.contexts,
        remotes: found.remotes,
        frontend: None,
    })
}
