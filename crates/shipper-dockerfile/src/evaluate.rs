//! Runs the reachable stages of a Dockerfile as far as variables and sources are concerned, and collects what is read.
//!
//! After `dispatch` in `frontend/dockerfile/dockerfile2llb/convert.go` of BuildKit: the scope of a stage is that of
//! its base, instructions change it in their order, sources are expanded where they stand.

use crate::analysis::{BaseImage, BasePlatform, BaseUse, BuildOptions, RemoteSource, StageBase};
use crate::context::{ContextPath, Reader, WidenKind, WidenReason};
use crate::error::Error;
use crate::expand::Lookup;
use crate::mount::{self, Mount};
use crate::scope::{Scope, declare};
use crate::stages::{Origin, Stages, origins};
use crate::syntax::{Command, Transfer};
use std::collections::BTreeSet;
use std::rc::Rc;

const SBOM_SCAN: &str = "BUILDKIT_SBOM_SCAN_CONTEXT";

/// Upper bound for the bytes of all variables of a file; far above what a process can be given.
const MAX_VARIABLES: usize = 16 << 20;
/// A longer source is no path on any system.
const MAX_SOURCE: usize = 32 << 10;

/// What was found so far.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) paths: Vec<ContextPath>,
    pub(crate) reasons: Vec<WidenReason>,
    pub(crate) bases: Vec<BaseImage>,
    pub(crate) remotes: Vec<RemoteSource>,
    pub(crate) contexts: BTreeSet<String>,
    pub(crate) declared: BTreeSet<String>,
}

/// Evaluates the stages marked in `reachable`.
pub(crate) fn evaluate(
    stages: &Stages<'_>,
    reachable: &[bool],
    options: &BuildOptions,
    escape: char,
) -> Result<Found, Error> {
    let mut found = Found { declared: stages.declared.clone(), ..Found::default() };
    if asks_for_scan(&stages.global) {
        found.widen(0, WidenKind::SbomScan);
    }
    let mut scopes: Vec<Rc<Scope>> = Vec::new();
    let mut written = 0;
    for (index, stage) in stages.list.iter().enumerate() {
        let mut evaluation = Evaluation { stages, options, escape, index, found: &mut found, scope: Scope::default() };
        if reachable[index] {
            evaluation.scope = evaluation.start(&scopes)?;
            if !stage.replaced {
                for (line, command) in stages.commands(index) {
                    evaluation.command(command, line)?;
                    if written + evaluation.scope.written() > MAX_VARIABLES {
                        return Err(Error::TooLarge { what: "bytes of variables", limit: MAX_VARIABLES });
                    }
                }
            }
        }
        written += evaluation.scope.written();
        scopes.push(Rc::new(evaluation.scope));
    }
    found.paths.sort_by_key(|path| path.line);
    found.reasons.sort_by_key(|reason| reason.line);
    found.bases.sort_by_key(|base| base.line);
    Ok(found)
}

impl Found {
    fn widen(&mut self, line: usize, kind: WidenKind) {
        self.reasons.push(WidenReason { line, kind });
    }

    fn image(&mut self, reference: &str, platform: BasePlatform, used_by: BaseUse, line: usize) {
        self.bases.push(BaseImage { reference: reference.to_owned(), platform, used_by, line });
    }
}

/// Whether the scope asks BuildKit to scan the context; doubt counts as yes.
fn asks_for_scan(scope: &Scope) -> bool {
    match scope.lookup(SBOM_SCAN) {
        Lookup::Set(value) => !matches!(value.as_str(), "" | "0" | "f" | "F" | "false" | "False" | "FALSE"),
        _ => false,
    }
}

struct Evaluation<'a, 'f> {
    stages: &'a Stages<'f>,
    options: &'a BuildOptions,
    escape: char,
    /// The stage that is evaluated.
    index: usize,
    found: &'a mut Found,
    scope: Scope,
}

impl Evaluation<'_, '_> {
    /// The scope at the start of the stage; notes the image or context it starts from.
    fn start(&mut self, scopes: &[Rc<Scope>]) -> Result<Scope, Error> {
        let stage = &self.stages.list[self.index];
        if let Some((context, _)) = stage.name.as_ref().and_then(|name| self.stages.named_context(name)) {
            self.found.contexts.insert(context);
        }
        Ok(match &stage.base {
            StageBase::Stage(base) => Scope::child(&scopes[*base]),
            StageBase::Scratch => Scope::stage(false),
            StageBase::Image(reference) => {
                // A context that is bound to a platform may take the place of the image, or may not.
                self.found.contexts.extend(self.stages.named_context(reference).map(|(name, _)| name));
                self.found.image(reference, stage.platform.clone(), BaseUse::From, stage.line);
                Scope::stage(true)
            }
            StageBase::Context(name) => {
                self.found.contexts.insert(name.clone());
                Scope::stage(true)
            }
            StageBase::Unknown => {
                return Err(Error::UnresolvedBase {
                    line: stage.line,
                    reference: stage.written.clone(),
                    variable: stage.unknown.clone().unwrap_or_default(),
                });
            }
        })
    }

    fn command(&mut self, command: &Command, line: usize) -> Result<(), Error> {
        let failed = |(word, reason)| Error::Expansion { line, word, reason };
        match command {
            Command::Arg(pairs) => {
                declare(pairs, &mut self.found.declared);
                let (global, args) = (&self.stages.global, &self.options.args);
                self.scope.apply_arg(pairs, global, args, self.escape).map_err(failed)?;
                if pairs.iter().any(|(name, _)| name == SBOM_SCAN) && asks_for_scan(&self.scope) {
                    self.found.widen(line, WidenKind::SbomScan);
                }
            }
            Command::Env(pairs) => self.scope.apply_env(pairs, self.escape).map_err(failed)?,
            Command::Transfer(transfer) => {
                self.origins(command, BaseUse::Copy, line)?;
                for flag in &transfer.unknown_flags {
                    self.found.widen(line, WidenKind::Option { option: flag.to_string() });
                }
                if transfer.from.is_none() {
                    for source in &transfer.sources {
                        self.source(transfer, source, line)?;
                    }
                }
            }
            Command::Run(run) => {
                self.origins(command, BaseUse::Mount, line)?;
                for flag in &run.unknown_flags {
                    self.found.widen(line, WidenKind::Option { option: flag.to_string() });
                }
                for value in &run.mounts {
                    self.mount(value, line)?;
                }
            }
            Command::From(_) | Command::Onbuild(_) | Command::Other => {}
        }
        Ok(())
    }

    /// Notes the images and contexts that `--from` and `from=` name.
    fn origins(&mut self, command: &Command, used_by: BaseUse, line: usize) -> Result<(), Error> {
        for from in origins(command) {
            let (context, image) = match self.stages.origin(from, self.index, line)? {
                Origin::Stage(_) | Origin::Scratch => (None, None),
                Origin::Image(image) => (None, Some(image)),
                Origin::Context { name, image } => (Some(name), image),
            };
            self.found.contexts.extend(context);
            if let Some(image) = image {
                self.found.image(&image, BasePlatform::Target, used_by, line);
            }
        }
        Ok(())
    }

    /// One source of `COPY` or `ADD` without `--from`.
    fn source(&mut self, transfer: &Transfer, source: &str, line: usize) -> Result<(), Error> {
        let expand = |word: &str| {
            let failed = |reason| Error::Expansion { line, word: word.to_owned(), reason };
            self.scope.expand(word, self.escape).map_err(failed)
        };
        let expanded = expand(source)?;
        if transfer.reader == Reader::Add && (is_url(&expanded.text) || is_url(source.trim_start_matches(['"', '\''])))
        {
            let url = if expanded.unknown.is_some() { source.to_owned() } else { expanded.text };
            let checksum = transfer.checksum.as_deref().map(expand).transpose()?;
            let checksum = checksum.filter(|checksum| checksum.unknown.is_none()).map(|checksum| checksum.text);
            self.found.remotes.push(RemoteSource { url, checksum, line });
            return Ok(());
        }
        if transfer.reader == Reader::Add && is_scp(&expanded.text) {
            // Looks like a git repository, but could be a file as well.
            self.found.remotes.push(RemoteSource { url: expanded.text.clone(), checksum: None, line });
        }
        self.path(transfer.reader, source, expanded, line);
        Ok(())
    }

    fn mount(&mut self, value: &str, line: usize) -> Result<(), Error> {
        let mount = mount::read(value, &|word: &str| self.scope.expand(word, self.escape));
        match mount.map_err(|reason| Error::Expansion { line, word: value.to_owned(), reason })? {
            Mount::Context { source } => self.path(Reader::Mount, value, source, line),
            Mount::Elsewhere => {}
            Mount::Unclear => self.found.widen(line, WidenKind::Option { option: format!("--mount={value}") }),
        }
        Ok(())
    }

    /// A path of the context that is read.
    fn path(&mut self, reader: Reader, written: &str, expanded: crate::expand::Expanded, line: usize) {
        if let Some(name) = expanded.unknown {
            return self.found.widen(line, WidenKind::Variable { name, source: written.to_owned() });
        }
        if expanded.text.len() > MAX_SOURCE {
            return self.found.widen(line, WidenKind::Length { reader, length: expanded.text.len() });
        }
        if expanded.text.contains('\\') {
            return self.found.widen(line, WidenKind::Backslash { source: expanded.text });
        }
        match ContextPath::read_by(expanded.text.as_bytes(), reader, line, self.index) {
            Some(path) => self.found.paths.push(path),
            None => self.found.widen(line, WidenKind::Root { reader }),
        }
    }
}

/// Whether `ADD` fetches `source` from elsewhere for certain.
fn is_url(source: &str) -> bool {
    ["http://", "https://", "git://", "ssh://", "git@"].iter().any(|prefix| source.starts_with(prefix))
}

/// Whether `source` has the form `user@host:path`.
fn is_scp(source: &str) -> bool {
    source.split_once('@').is_some_and(|(user, rest)| !user.contains('/') && rest.contains(':'))
}
