//! `ecr-ready`: can an image be pushed? Yes, no, or could not tell.
//!
//! Where the repository's name is from, in this order: what the user names, the outputs file, the stack's outputs, the
//! exports. Whether it exists is then asked of ECR, always, unless the outputs file is to decide.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shipper_aws::{EcrRegistry, EcrRepository, Region, Session, SessionOptions};
use shipper_cfn::{Class, Evidence, OutputsFile, Presence, Push, Source, StackFact, Stacks, choose};
use shipper_ecr::{Ecr, ImagePresence};
use shipper_report::ExitCode;
use tokio::time::Instant;

use crate::Error;

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct ReadyOptions {
    /// Relative paths lie here.
    pub directory: PathBuf,
    /// Name or URI of the repository.
    pub repository: Option<String>,
    /// Name of the stack.
    pub stack: Option<String>,
    /// Output of the stack that names the repository; without a stack, the name of an export.
    pub output: Option<String>,
    /// What `cdk deploy --outputs-file` wrote.
    pub outputs_file: Option<PathBuf>,
    /// The profile of AWS; what the environment leads to where it is absent.
    pub profile: Option<String>,
    /// The region; what the environment leads to where it is absent. A repository by its URI is asked for in its own.
    pub region: Option<Region>,
    /// A tag that has to name an image.
    pub tag: Option<String>,
    /// How long to wait for a stack that is changing.
    pub wait: Option<Duration>,
    /// How long one call may take.
    pub timeout: Option<Duration>,
    /// Whether the outputs file decides and nothing is asked of AWS.
    pub offline: bool,
}

/// One of three answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// An image can be pushed.
    Ready,
    /// It can not.
    NotReady,
    /// It can not be told.
    Unknown,
}

impl Verdict {
    /// The name in documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NotReady => "not-ready",
            Self::Unknown => "unknown",
        }
    }

    /// What the process returns.
    #[must_use]
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Ready => ExitCode::Done,
            Self::NotReady => ExitCode::No,
            Self::Unknown => ExitCode::Unknown,
        }
    }
}

/// The answer with what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// The answer.
    pub verdict: Verdict,
    /// Why, in words; absent where the answer is yes.
    pub reason: Option<String>,
    /// Name of the reason of a *no*.
    pub code: Option<&'static str>,
    /// State of the stack, as CloudFormation names it.
    pub stack_state: Option<String>,
    /// What the state means: `settled`, `busy`, `not-yet`, `going`, `broken`.
    pub stack_class: Option<&'static str>,
    /// Where the repository's name is from.
    pub source: &'static str,
    /// URI of the repository.
    pub repository: Option<String>,
    /// What a person should know besides.
    pub notes: Vec<String>,
    /// What can be done about it.
    pub hint: Option<String>,
}

/// Between two looks at a stack that is changing: the first pause and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// Answers whether an image can be pushed.
///
/// # Errors
/// [`Error::NothingToLookAt`], [`Error::RepositoryName`], [`Error::Outputs`] and [`Error::Read`]: mistakes of the caller.
/// What AWS does not say is no error but [`Verdict::Unknown`].
pub async fn ready(options: &ReadyOptions) -> Result<Readiness, Error> {
    let named = Named::find(options)?;
    if options.offline {
        return Ok(finished(
            Evidence {
                source: named.source,
                repository: named.repository,
                elsewhere: None,
                stack: StackFact::NotAsked,
                existence: Presence::NotAsked,
                image: Presence::NotAsked,
            },
            None,
        ));
    }
    let mut session = SessionOptions::default();
    session.profile.clone_from(&options.profile);
    session.region.clone_from(&options.region);
    let region = named.repository.as_ref().map(|repository| repository.registry.region.clone());
    // A name that the user wrote out decides the region; one that was found must not.
    if named.source == Source::Named {
        session.region = region.or(session.region);
    } else {
        session.fallback_region = region;
    }
    if let Some(timeout) = options.timeout {
        session.deadline = timeout;
    }
    let session = Session::open(&session).await;
    Look { options, session, hint: None }.look(named).await
}

/// What names the repository before AWS is asked.
struct Named {
    source: Source,
    repository: Option<EcrRepository>,
    /// A name without account and region.
    name: Option<String>,
}

impl Named {
    fn find(options: &ReadyOptions) -> Result<Self, Error> {
        if let Some(text) = &options.repository {
            let repository: Option<EcrRepository> = text.parse().ok();
            let host = text.split('/').next().unwrap_or_default();
            let is_name = shipper_aws::is_repository_name(text) && host.parse::<EcrRegistry>().is_err();
            if repository.is_none() && !is_name {
                return Err(Error::RepositoryName { text: text.clone() });
            }
            let name = repository.is_none().then(|| text.clone());
            return Ok(Self { source: Source::Named, repository, name });
        }
        if let Some(file) = &options.outputs_file {
            let stack = options.stack.as_deref();
            let repository = in_file(&options.directory.join(file), stack, options.output.as_deref())?;
            if repository.is_some() || options.offline {
                return Ok(Self { source: Source::OutputsFile, repository, name: None });
            }
        }
        let source = match (&options.stack, &options.output) {
            _ if options.offline => return Err(Error::NothingToLookAt),
            (Some(_), _) => Source::Stack,
            (None, Some(_)) => Source::Export,
            (None, None) => return Err(Error::NothingToLookAt),
        };
        Ok(Self { source, repository: None, name: None })
    }
}

/// The repository that the outputs file names, in its only stack where none is named. A file that is not there names
/// none.
fn in_file(path: &Path, stack: Option<&str>, output: Option<&str>) -> Result<Option<EcrRepository>, Error> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Read { path: path.to_owned(), source }),
    };
    let failed = |source| Error::Outputs { what: path.display().to_string(), source };
    let file = OutputsFile::parse(&text).map_err(failed)?;
    let mut stacks = file.stacks();
    let stack = match (stack, stacks.next(), stacks.next()) {
        (Some(stack), ..) | (None, Some(stack), None) => stack,
        (None, None, _) => return Ok(None),
        (None, Some(_), Some(_)) => return Err(Error::NothingToLookAt),
    };
    Ok(file.output(stack, output).map_err(failed)?.map(|output| output.repository))
}

struct Look<'a> {
    options: &'a ReadyOptions,
    session: Session,
    /// That of the first call that gave no answer.
    hint: Option<String>,
}

impl Look<'_> {
    async fn look(mut self, named: Named) -> Result<Readiness, Error> {
        let Named { mut source, mut repository, name } = named;
        let stacks = Stacks::new(&self.session);
        let mut existence = Presence::NotAsked;
        let (outputs, stack) = self.stack(&stacks).await;
        if let (None, None, Some(stack)) = (&repository, &name, &self.options.stack) {
            source = Source::Stack;
            let found = choose(stack, &outputs, self.options.output.as_deref());
            // A stack that is being created may have no outputs yet.
            let found = found.map_err(|source| Error::Outputs { what: format!("stack {stack}"), source })?;
            repository = found.map(|output| output.repository);
        } else if let (Source::Export, Some(export)) = (source, &self.options.output) {
            match stacks.export(export).await {
                Ok(None) => (),
                Ok(Some(value)) => {
                    let parsed = value.parse().map_err(|_| shipper_cfn::Error::NotARepository {
                        stack: "(exports)".to_owned(),
                        output: export.clone(),
                        value,
                    });
                    let failed = |source| Error::Outputs { what: format!("export {export}"), source };
                    repository = Some(parsed.map_err(failed)?);
                }
                Err(error) => existence = self.unknown(&error),
            }
        }
        let mut elsewhere = None;
        let mut image = Presence::NotAsked;
        if let StackFact::State(state) = &stack
            && matches!(state.class(), Some(Class::NotYet | Class::Going))
        {
            // A no, whatever else is asked; and then it does not wait for ECR.
            return Ok(finished(Evidence { source, repository, elsewhere, stack, existence, image }, self.hint));
        }
        if let Some(name) = repository.as_ref().map(|repository| repository.name.clone()).or(name) {
            elsewhere = match &repository {
                Some(repository) => self.elsewhere(repository, source).await,
                None => None,
            };
            if elsewhere.is_none() {
                let account = repository.as_ref().map(|repository| repository.registry.account.clone());
                let ecr = Ecr::new(&self.session, account);
                existence = match ecr.repository(&name).await {
                    Ok(Some(facts)) => {
                        repository = facts.uri.parse().ok().or(repository);
                        Presence::Present
                    }
                    Ok(None) => Presence::Absent,
                    Err(error) => self.unknown(&error),
                };
                if repository.is_none() {
                    // Only a name was given, and it led to nothing.
                    let push = match existence {
                        Presence::Absent => Push::NotReady(shipper_cfn::Reason::NoRepository),
                        Presence::Unknown(cause) => Push::Unknown(cause),
                        Presence::Present | Presence::NotAsked => {
                            Push::Unknown(format!("the URI of `{name}` is not one of ECR"))
                        }
                    };
                    return Ok(told(push, &stack, source, None, Vec::new(), self.hint));
                }
                if let (Presence::Present, Some(tag)) = (&existence, &self.options.tag) {
                    image = match ecr.tag_presence(&name, tag).await {
                        Ok(ImagePresence::Active) => Presence::Present,
                        // It would have to be restored before it can be pulled.
                        Ok(ImagePresence::Archived | ImagePresence::Absent) => Presence::Absent,
                        Err(error) => self.unknown(&error),
                    };
                }
            }
        }
        Ok(finished(Evidence { source, repository, elsewhere, stack, existence, image }, self.hint))
    }

    /// Outputs and state of the stack, after it has settled where that was to be waited for.
    async fn stack(&mut self, stacks: &Stacks) -> (BTreeMap<String, String>, StackFact) {
        let Some(name) = &self.options.stack else { return (BTreeMap::new(), StackFact::NotAsked) };
        let started = Instant::now();
        let mut pause = PAUSES.0;
        loop {
            let stack = match stacks.describe(name).await {
                Ok(Some(stack)) => stack,
                Ok(None) => return (BTreeMap::new(), StackFact::Missing),
                Err(error) => {
                    let Presence::Unknown(cause) = self.unknown(&error) else { unreachable!("it made one") };
                    return (BTreeMap::new(), StackFact::Unknown(cause));
                }
            };
            match self.options.wait {
                Some(_) if !stack.state.is_moving() => return (stack.outputs, StackFact::State(stack.state)),
                None => return (stack.outputs, StackFact::State(stack.state)),
                Some(wait) if started.elapsed() + pause > wait => {
                    return (stack.outputs, StackFact::Unsettled(stack.state, wait));
                }
                Some(_) => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Why a repository that was found is not one of these credentials and this region.
    async fn elsewhere(&mut self, repository: &EcrRepository, source: Source) -> Option<String> {
        if source == Source::Named {
            return None;
        }
        let region = self.session.region()?;
        if region != repository.registry.region {
            return Some(format!(
                "{repository} is in {}, and the region in use is {region}",
                repository.registry.region
            ));
        }
        match self.session.account().await {
            Ok(account) if account == repository.registry.account => None,
            Ok(account) => Some(format!("{repository} is of another account, the credentials are of {account}")),
            Err(error) => {
                let Presence::Unknown(cause) = self.unknown(&error) else { unreachable!("it made one") };
                Some(cause)
            }
        }
    }

    fn unknown(&mut self, error: &shipper_aws::Error) -> Presence {
        self.hint = self.hint.take().or_else(|| error.hint());
        Presence::Unknown(format!("cannot {error}"))
    }
}

fn finished(evidence: Evidence, hint: Option<String>) -> Readiness {
    let shipper_cfn::Readiness { push, stack, source, repository, notes } = shipper_cfn::verdict(evidence);
    told(push, &stack, source, repository, notes, hint)
}

fn told(
    push: Push,
    stack: &StackFact,
    source: Source,
    repository: Option<EcrRepository>,
    notes: Vec<String>,
    hint: Option<String>,
) -> Readiness {
    let (verdict, reason, code) = match push {
        Push::Ready => (Verdict::Ready, None, None),
        Push::NotReady(reason) => (Verdict::NotReady, Some(reason.to_string()), Some(reason.name())),
        Push::Unknown(cause) => (Verdict::Unknown, Some(cause), None),
    };
    let state = match stack {
        StackFact::State(state) | StackFact::Unsettled(state, _) => Some(state),
        StackFact::Missing | StackFact::Unknown(_) | StackFact::NotAsked => None,
    };
    Readiness {
        verdict,
        reason,
        code,
        stack_state: state.map(ToString::to_string),
        stack_class: state.and_then(shipper_cfn::StackState::class).map(shipper_cfn::Class::name),
        source: source.name(),
        repository: repository.map(|repository| repository.to_string()),
        notes,
        hint: hint.filter(|_| verdict == Verdict::Unknown),
    }
}
