//! Targets that get their images by their own interface: asked what they run, and brought to an image.
//!
//! Invariant: a target is asked before anything is written down or changed, so that one that is not there, or can not be
//! changed by shipper, ends a deployment that has done nothing.

use std::time::Duration;

use shipper_aws::{Session, SessionOptions};
use shipper_deploy::{AwsSession, Step, Target};
use shipper_targets::{Brought, Ecs, EcsService, Wait, is_same_image};

use super::execute::Effect;
use crate::Error;

/// What a target runs.
pub(super) struct Seen {
    /// Its image, as it names it.
    pub(super) image: String,
    /// What is between it and the image that it should run; `None` where it runs that, and nothing else.
    pub(super) change: Option<String>,
    /// Whether it is on its way to another state.
    pub(super) is_changing: bool,
}

async fn session(of: &AwsSession) -> Result<Session, shipper_plan::Error> {
    let mut options = SessionOptions::default();
    let region = |text: &String| {
        let problem = format!("`{text}` is no region");
        text.parse().map_err(|_| shipper_plan::Error::Invalid { key: "region".to_owned(), problem, hint: None })
    };
    options.region = of.region.as_ref().map(region).transpose()?;
    options.profile.clone_from(&of.profile);
    Ok(Session::open(&options).await)
}

fn failed(step: &Step) -> impl Fn(shipper_targets::Error) -> Error + '_ {
    |source| Error::Target { step: step.name.clone(), source: Box::new(source), record: None }
}

/// Asks a target what it runs.
///
/// # Errors
/// [`Error::Target`].
pub(super) async fn look(step: &Step, target: &Target, image: Option<&str>) -> Result<Seen, Error> {
    let failed = failed(step);
    match target {
        Target::Ecs { cluster, service, container, session: of } => {
            let at = EcsService { cluster: cluster.clone(), service: service.clone(), container: container.clone() };
            let running = Ecs::new(&session(of).await?).look(&at).await.map_err(failed)?;
            let change = match image {
                Some(image) if running.runs(image) => None,
                Some(image) if is_same_image(&running.image, image) && running.is_changing() => {
                    Some(format!("{image} is being brought out"))
                }
                Some(image) if is_same_image(&running.image, image) => Some(format!("{image}: its deployment failed")),
                _ => Some(format!("{} -> {}", running.image, image.unwrap_or("to be built"))),
            };
            let is_changing = running.is_changing();
            Ok(Seen { image: running.image, change, is_changing })
        }
    }
}

/// Brings a target to an image, and waits until it runs it where that is wished.
///
/// # Errors
/// [`Error::Target`].
pub(super) async fn bring(
    step: &Step,
    target: &Target,
    image: &str,
    wait: bool,
    told: &(dyn Fn(&str) + Sync),
) -> Result<Effect, Error> {
    let failed = failed(step);
    let wait = if wait { Wait::For(Duration::from_millis(step.timeout_ms)) } else { Wait::No };
    let brought = match target {
        Target::Ecs { cluster, service, container, session: of } => {
            let at = EcsService { cluster: cluster.clone(), service: service.clone(), container: container.clone() };
            Ecs::new(&session(of).await?).bring(&at, image, wait, told).await.map_err(failed)?
        }
    };
    Ok(if brought == Brought::Begun { Effect::Begun } else { Effect::Done })
}
