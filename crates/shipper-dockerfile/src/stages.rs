//! The stage graph: what each stage starts from, what it takes from others, and what a target reaches.
//!
//! After `buildDispatchStates`, `toCommand` and `addReachableStages` in `frontend/dockerfile/dockerfile2llb` of
//! BuildKit. `--from` is never expanded; a stage name wins over a named context, a named context over an image.
//!
//! Invariant: a stage depends on earlier stages only, so stages can be evaluated in the order of the file.

use crate::analysis::{BasePlatform, BuildOptions, StageBase};
use crate::error::Error;
use crate::expand::Expanded;
use crate::mount;
use crate::scope::{Scope, declare};
use crate::syntax::{Command, File, From, Statement};
use std::collections::BTreeSet;

/// Upper bound for the stages of a file.
const MAX_STAGES: usize = 1000;
/// Upper bound for the instructions that the build of a target runs, triggers counted for each stage they run in.
const MAX_INSTRUCTIONS: usize = 100_000;

/// One stage with its statements.
pub(crate) struct Stage<'f> {
    pub(crate) name: Option<String>,
    pub(crate) base: StageBase,
    pub(crate) platform: BasePlatform,
    /// Whether a named context takes the place of the whole stage, so that its instructions do not run.
    pub(crate) replaced: bool,
    /// The variable on which the name of the base depends, for [`StageBase::Unknown`].
    pub(crate) unknown: Option<String>,
    /// The image of the `FROM` line as it is written.
    pub(crate) written: String,
    pub(crate) line: usize,
    pub(crate) statements: &'f [Statement],
}

/// All stages of a file and its global scope.
pub(crate) struct Stages<'f> {
    pub(crate) list: Vec<Stage<'f>>,
    pub(crate) global: Scope,
    /// The names that `ARG` declares before the first `FROM`.
    pub(crate) declared: BTreeSet<String>,
    options: &'f BuildOptions,
}

/// What a `--from` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Stage(usize),
    Scratch,
    Image(String),
    Context {
        name: String,
        /// The image that is meant where the context, which is bound to a platform, does not apply.
        image: Option<String>,
    },
}

impl<'f> Stages<'f> {
    /// The stages of `file`.
    pub(crate) fn new(file: &'f File, options: &'f BuildOptions) -> Result<Stages<'f>, Error> {
        let starts: Vec<(usize, &From)> = file
            .statements
            .iter()
            .enumerate()
            .filter_map(|(index, statement)| match &statement.command {
                Command::From(from) => Some((index, from)),
                _ => None,
            })
            .collect();
        let head = &file.statements[..starts.first().map_or(file.statements.len(), |(index, _)| *index)];
        if let Some(stray) = head.iter().find(|statement| !matches!(statement.command, Command::Arg(_))) {
            let message = "only `ARG` may come before the first `FROM`".to_owned();
            return Err(Error::Syntax { line: stray.line, message });
        }
        let (_, last) = starts.last().ok_or(Error::NoStages)?;
        if starts.len() > MAX_STAGES {
            return Err(Error::TooLarge { what: "stages", limit: MAX_STAGES });
        }
        let (platform, target) = (options.platform.as_deref(), options.target.as_deref());
        let mut stages = Stages {
            list: Vec::new(),
            global: Scope::global(platform, target, last.name.as_deref(), &options.args),
            declared: BTreeSet::new(),
            options,
        };
        for statement in head {
            if let Command::Arg(pairs) = &statement.command {
                let applied = stages.global.apply_global_arg(pairs, &options.args, file.escape);
                applied.map_err(|(word, reason)| Error::Expansion { line: statement.line, word, reason })?;
                declare(pairs, &mut stages.declared);
            }
        }
        let ends = starts.iter().skip(1).map(|(index, _)| *index).chain([file.statements.len()]);
        for ((start, from), end) in starts.iter().zip(ends) {
            let statements = &file.statements[start + 1..end];
            let stage = stages.stage(from, file.statements[*start].line, statements, file.escape)?;
            stages.list.push(stage);
        }
        Ok(stages)
    }

    fn stage(&self, from: &From, line: usize, statements: &'f [Statement], escape: char) -> Result<Stage<'f>, Error> {
        let expand = |word: &str| -> Result<Expanded, Error> {
            self.global.expand(word, escape).map_err(|reason| Error::Expansion { line, word: word.to_owned(), reason })
        };
        let image = expand(&from.image)?;
        if image.unknown.is_none() && image.text.is_empty() {
            return Err(Error::BlankBase { line, reference: from.image.clone() });
        }
        let platform = match &from.platform {
            None => BasePlatform::Target,
            Some(word) => base_platform(word, &expand(word)?),
        };
        // A named context with the name of a stage replaces the stage, whatever it starts from.
        let replacement = from.name.as_ref().and_then(|name| self.named_context(name)).filter(|(_, always)| *always);
        let replaced = replacement.is_some();
        let (base, unknown) = match (replacement, image.unknown) {
            (Some((context, _)), _) => (StageBase::Context(context), None),
            (None, Some(variable)) => (StageBase::Unknown, Some(variable)),
            (None, None) => (self.base(&image.text), None),
        };
        let written = from.image.clone();
        Ok(Stage { name: from.name.clone(), base, platform, replaced, unknown, written, line, statements })
    }

    fn base(&self, image: &str) -> StageBase {
        match self.find(image, self.list.len()) {
            Some(index) => StageBase::Stage(index),
            None if image == "scratch" => StageBase::Scratch,
            None => match self.named_context(image) {
                Some((context, true)) => StageBase::Context(context),
                _ => StageBase::Image(image.to_owned()),
            },
        }
    }

    /// The last stage called `name` among the first `limit`.
    fn find(&self, name: &str, limit: usize) -> Option<usize> {
        let is_named = |stage: &Stage<'_>| stage.name.as_ref().is_some_and(|known| known.eq_ignore_ascii_case(name));
        self.list[..limit].iter().rposition(is_named)
    }

    /// The named context that stands for `name`, and whether it does so on every platform.
    pub(crate) fn named_context(&self, name: &str) -> Option<(String, bool)> {
        if name.eq_ignore_ascii_case("scratch") || name.eq_ignore_ascii_case("context") {
            return None;
        }
        let wanted = familiar(name);
        let matching = |context: &&String| familiar(context.split("::").next().unwrap_or(context)) == wanted;
        let found: Vec<&String> = self.options.named_contexts.iter().filter(matching).collect();
        let everywhere = found.iter().find(|context| !context.contains("::"));
        everywhere.map(|context| ((*context).clone(), true)).or_else(|| Some(((*found.first()?).clone(), false)))
    }

    /// Index of the target.
    pub(crate) fn target(&self) -> Result<usize, Error> {
        let Some(target) = self.options.target.as_deref().filter(|target| !target.is_empty()) else {
            return Ok(self.list.len() - 1);
        };
        let by_index = || target.parse().ok().filter(|index| *index < self.list.len());
        self.find(target, self.list.len()).or_else(by_index).ok_or_else(|| Error::UnknownTarget {
            target: target.to_owned(),
            known: self.list.iter().filter_map(|stage| stage.name.clone()).collect(),
        })
    }

    /// The statements that run in stage `index`: the triggers of the stage it starts from, then its own.
    pub(crate) fn commands(&self, index: usize) -> Vec<(usize, &Command)> {
        let stage = &self.list[index];
        let own = stage.statements.iter().map(|statement| (statement.line, &statement.command));
        let StageBase::Stage(base) = stage.base else { return own.collect() };
        let triggers = self.list[base].statements.iter().filter_map(|statement| match &statement.command {
            Command::Onbuild(command) => Some((statement.line, &**command)),
            _ => None,
        });
        triggers.chain(own).collect()
    }

    /// What `COPY --from=from` or a mount names in stage `current`.
    pub(crate) fn origin(&self, from: &str, current: usize, line: usize) -> Result<Origin, Error> {
        let bad = |reason: &'static str| Error::BadFrom { line, from: from.to_owned(), reason };
        if from.contains(['$', '\'', '"', '\\', '`']) {
            return Err(bad("is not expanded by builders"));
        }
        if let Ok(index) = from.parse::<i64>() {
            let earlier = usize::try_from(index).ok().filter(|index| *index < current);
            return earlier.map(Origin::Stage).ok_or_else(|| bad("is not the number of an earlier stage"));
        }
        if let Some(index) = self.find(from, current) {
            return Ok(Origin::Stage(index));
        }
        if self.find(from, self.list.len()).is_some() {
            return Err(bad("is not an earlier stage"));
        }
        if from == "scratch" {
            return Ok(Origin::Scratch);
        }
        Ok(match self.named_context(from) {
            Some((name, everywhere)) => Origin::Context { name, image: (!everywhere).then(|| from.to_owned()) },
            None => Origin::Image(from.to_owned()),
        })
    }

    /// Which stages the build of `target` runs, by index.
    pub(crate) fn reachable(&self, target: usize) -> Result<Vec<bool>, Error> {
        let mut reachable = vec![false; self.list.len()];
        reachable[target] = true;
        let mut instructions = 0;
        // Dependencies point backwards, so one pass in descending order suffices.
        for index in (0..=target).rev() {
            if !reachable[index] || self.list[index].replaced {
                continue;
            }
            if let StageBase::Stage(base) = self.list[index].base {
                reachable[base] = true;
            }
            let commands = self.commands(index);
            instructions += commands.len();
            if instructions > MAX_INSTRUCTIONS {
                return Err(Error::TooLarge { what: "instructions to run", limit: MAX_INSTRUCTIONS });
            }
            for (line, command) in commands {
                for from in origins(command) {
                    if let Origin::Stage(stage) = self.origin(from, index, line)? {
                        reachable[stage] = true;
                    }
                }
            }
        }
        Ok(reachable)
    }
}

/// The texts of `--from` and `from=` in one command.
pub(crate) fn origins(command: &Command) -> Vec<&str> {
    match command {
        Command::Transfer(transfer) => transfer.from.iter().map(String::as_str).collect(),
        Command::Run(run) => run.mounts.iter().filter_map(|value| mount::origin(value)).collect(),
        _ => Vec::new(),
    }
}

fn base_platform(word: &str, expanded: &Expanded) -> BasePlatform {
    match (word, &expanded.unknown) {
        ("$TARGETPLATFORM" | "${TARGETPLATFORM}", _) => BasePlatform::Target,
        ("$BUILDPLATFORM" | "${BUILDPLATFORM}", Some(_)) => BasePlatform::Builder,
        (_, Some(_)) => BasePlatform::Unknown,
        (_, None) => BasePlatform::Named(expanded.text.clone()),
    }
}

/// The short form of an image reference, in which named contexts are compared: without `docker.io/`, `library/` and
/// `:latest` (`NamedContext` in `frontend/dockerui` of BuildKit).
fn familiar(name: &str) -> String {
    let mut name = name;
    for host in ["docker.io/", "index.docker.io/"] {
        name = name.strip_prefix(host).unwrap_or(name);
    }
    name = name.strip_prefix("library/").filter(|rest| !rest.contains('/')).unwrap_or(name);
    name.strip_suffix(":latest").unwrap_or(name).to_ascii_lowercase()
}
