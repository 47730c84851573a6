//! Targets that get their images by their own interface: asked what they run, and brought to an image.
//!
//! Invariant: a target is asked before anything is written down or changed, so that one that is not there, or can not be
//! changed by shipper, ends a deployment that has done nothing.

use std::time::Duration;

use shipper_aws::Session;
use shipper_deploy::{AwsSession, Step, Target};
use shipper_targets::{Brought, Ecs, EcsService, Lambda, LambdaFunction, Wait, is_same_image};

use super::execute::Effect;
use super::observe::Seen;
use super::wanted::{Found, Wanted};
use crate::{Error, amazon};

async fn session(of: &AwsSession) -> Result<Session, shipper_plan::Error> {
    Ok(amazon::session(of.region.as_deref().map(amazon::region).transpose()?, of.profile.clone()).await)
}

fn failed(step: &Step) -> impl Fn(shipper_targets::Error) -> Error + '_ {
    |source| Error::Target { step: step.name.clone(), source: Box::new(source), record: None }
}

/// Asks a target what it runs, and whether it could run what it should.
///
/// # Errors
/// [`Error::Target`]; [`Error::NoPlatform`] for an image that has nothing for the target's platform; [`Error::Store`].
pub(super) async fn look(step: &Step, target: &Target, wanted: Option<&Wanted<'_>>) -> Result<Seen, Error> {
    match target {
        Target::Ecs { cluster, service, container, session: of } => {
            let at = EcsService { cluster: cluster.clone(), service: service.clone(), container: container.clone() };
            let running = Ecs::new(&session(of).await?).look(&at).await.map_err(failed(step))?;
            let reference = wanted.map(|wanted| wanted.image.reference.as_str());
            let change = match reference {
                Some(image) if running.runs(image) => None,
                Some(image) if is_same_image(&running.image, image) && running.is_changing() => {
                    Some(format!("{image} is being brought out"))
                }
                Some(image) if is_same_image(&running.image, image) => Some(format!("{image}: its deployment failed")),
                _ => Some(format!("{} -> {}", running.image, reference.unwrap_or(TO_BE_BUILT))),
            };
            if let (Some(_), Some(platform), Some(wanted)) = (&change, running.definition.platform(), wanted) {
                part(step, wanted, &platform).await?;
            }
            let is_changing = running.is_changing();
            Ok(Seen { image: running.image, change, is_changing })
        }
        Target::Lambda { function, alias, session: of } => {
            let at = LambdaFunction { function: function.clone(), alias: alias.clone() };
            let running = Lambda::new(&session(of).await?).look(&at).await.map_err(failed(step))?;
            let (is_right, part) = match wanted {
                None => (false, None),
                Some(wanted) if running.runs(&wanted.image.reference) => (true, None),
                Some(wanted) => {
                    let part = part(step, wanted, &running.platform).await?;
                    (part.as_ref().is_some_and(|part| running.runs(part)), part)
                }
            };
            let to = || part.or(wanted.map(|wanted| wanted.image.reference.clone())).unwrap_or(TO_BE_BUILT.to_owned());
            let from = match &running.version {
                Some(version) => {
                    format!("version {version}{} {}", if running.is_split { " and others" } else { "" }, running.image)
                }
                None => format!("no alias `{alias}`"),
            };
            let change = (!is_right).then(|| format!("{from} -> {}", to()));
            Ok(Seen { image: running.image, change, is_changing: false })
        }
    }
}

/// What stands for the reference of an image that is not there yet.
const TO_BE_BUILT: &str = "to be built";

/// What an image has for the platform of a target; `None` where it is not there yet.
async fn part(step: &Step, wanted: &Wanted<'_>, platform: &str) -> Result<Option<String>, Error> {
    match wanted.for_platform(platform).await? {
        Found::Part(reference) => Ok(Some(reference)),
        Found::Absent => Ok(None),
        Found::Others(known) => Err(Error::NoPlatform {
            step: step.name.clone(),
            image: wanted.image.reference.clone(),
            platform: platform.to_owned(),
            known,
        }),
    }
}

/// Brings a target to an image, and waits until it runs it where that is wished and can be chosen.
///
/// # Errors
/// As [`look`].
pub(super) async fn bring(
    step: &Step,
    target: &Target,
    wanted: &Wanted<'_>,
    wait: bool,
    told: &(dyn Fn(&str) + Sync),
) -> Result<Effect, Error> {
    let limit = Duration::from_millis(step.timeout_ms);
    let brought = match target {
        Target::Ecs { cluster, service, container, session: of } => {
            let at = EcsService { cluster: cluster.clone(), service: service.clone(), container: container.clone() };
            let wait = if wait { Wait::For(limit) } else { Wait::No };
            Ecs::new(&session(of).await?).bring(&at, &wanted.image.reference, wait, told).await.map_err(failed(step))?
        }
        Target::Lambda { function, alias, session: of } => {
            let at = LambdaFunction { function: function.clone(), alias: alias.clone() };
            let lambda = Lambda::new(&session(of).await?);
            let running = lambda.look(&at).await.map_err(failed(step))?;
            // Lambda takes no index.
            let part = part(step, wanted, &running.platform).await?;
            let part = part.ok_or_else(|| Error::NoImage { reference: wanted.image.reference.clone() })?;
            lambda.bring(&at, running, &part, limit, told).await.map_err(failed(step))?
        }
    };
    Ok(if brought == Brought::Begun { Effect::Begun } else { Effect::Done })
}
