//! Whether an environment is there, by what `ecr-ready` finds out.

use shipper_plan::Environment;

use crate::{Error, Project};

/// What is proven.
pub(super) enum Answer {
    Ready,
    /// With the reason.
    #[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "it takes a stack to say so"))]
    NotReady(String),
}

/// Asks. An environment that names nothing to look at is there.
///
/// # Errors
/// [`Error::NoVerdict`] where it could not be told.
#[cfg(feature = "aws")]
pub(super) async fn ask(project: &Project, environment: &Environment) -> Result<Answer, Error> {
    use shipper_aws::{EcrRegistry, Region};

    use crate::ready::{ReadyOptions, Verdict, ready};
    let Some(stack) = &environment.ready else { return Ok(Answer::Ready) };
    let region = |text: &String| {
        let failed = |_| shipper_plan::Error::Invalid {
            key: format!("env.{}.region", environment.name),
            problem: format!("`{text}` is no region"),
            hint: None,
        };
        text.parse::<Region>().map_err(failed)
    };
    let registry: Option<EcrRegistry> =
        environment.registry.as_ref().and_then(|registry| registry.split('/').next()?.parse().ok());
    let own = environment.region.as_ref().map(region).transpose()?;
    let options = ReadyOptions {
        profile: environment.profile.clone(),
        region: own.or_else(|| registry.map(|registry| registry.region)),
        directory: project.root.clone(),
        stack: Some(stack.stack.clone()),
        output: stack.output.clone(),
        outputs_file: stack.outputs_file.as_ref().map(std::path::PathBuf::from),
        ..ReadyOptions::default()
    };
    let found = ready(&options).await?;
    let reason = found.reason.unwrap_or_default();
    match found.verdict {
        Verdict::Ready => Ok(Answer::Ready),
        Verdict::NotReady => Ok(Answer::NotReady(reason)),
        Verdict::Unknown => Err(Error::NoVerdict { registry: stack.to_string(), reason, hint: found.hint }),
    }
}

/// As above, where no stack can be asked.
///
/// # Errors
/// [`Error::WithoutAws`] where one would have to be.
#[cfg(not(feature = "aws"))]
pub(super) async fn ask(_: &Project, environment: &Environment) -> Result<Answer, Error> {
    match &environment.ready {
        None => Ok(Answer::Ready),
        Some(stack) => Err(Error::WithoutAws { action: format!("ask for the outputs of stack `{}`", stack.stack) }),
    }
}
