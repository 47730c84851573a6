//! Which targets and steps are due, and why.
//!
//! A target is as it should be only if it was last given these digests, and its command, its declared variables and its
//! files are those of then. What was interrupted or failed is due, whatever it was given.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use shipper_deploy::{AwsSession, Image, Record, Role, Step, StepOutcome, Success, Target};
use shipper_hash::{FileDigest, FileSet, Selection};
use shipper_plan::{Environment, Hand};
use shipper_report::PlannedStep;

use super::hands;
use crate::{Error, Events, Project};

/// What is compared.
pub(super) struct Context<'a> {
    pub(super) environment: &'a Environment,
    /// Where its images are.
    pub(super) registry: &'a str,
    pub(super) images: &'a BTreeMap<String, Image>,
    /// Services whose images are still to be built: in a dry run.
    pub(super) unbuilt: &'a BTreeSet<String>,
    /// By the names of the steps.
    pub(super) fingerprints: &'a BTreeMap<String, String>,
    /// The last record.
    pub(super) base: Option<&'a Record>,
    /// Why everything is due, if it is.
    pub(super) forced: Option<&'static str>,
}

impl Context<'_> {
    /// Whether targets are to build by themselves.
    fn has_no_images(&self) -> bool {
        self.images.is_empty() && self.unbuilt.is_empty()
    }

    /// The digests that a step deploys.
    pub(super) fn digests(&self, services: &[String]) -> BTreeMap<String, String> {
        let own = self.images.iter().filter(|(service, _)| services.contains(service));
        own.map(|(service, image)| (service.clone(), image.digest.clone())).collect()
    }
}

/// Hashes by the names of the steps: of command, declared variables and files.
///
/// # Errors
/// What keeps the files from being hashed.
pub(super) fn fingerprints(
    project: &Project,
    environment: &Environment,
    events: &Events,
) -> Result<BTreeMap<String, String>, Error> {
    let tree = project.tree()?;
    let of_after: Vec<String> =
        environment.after.iter().flat_map(|hand| hand.inputs.iter().flatten().cloned()).collect();
    let mut fingerprints = BTreeMap::new();
    for (place, hand) in hands(environment).enumerate() {
        let is_target = place < environment.targets.len();
        let selection = match &hand.inputs {
            Some(_) if hand.target.is_some() => None,
            Some(patterns) => Some(Selection { files: FileSet::Explicit(patterns.clone()), ..Selection::default() }),
            None if is_target => Some(Selection { exclude: of_after.clone(), ..Selection::default() }),
            None => None,
        };
        let files = match selection {
            None => None,
            Some(selection) => {
                let failed = |source| Error::Inputs { step: hand.name.clone(), source };
                let mut builder = tree.context(None).map_err(failed)?;
                let added = builder.add(&selection).map_err(failed)?;
                for pattern in added.unmatched {
                    events.warn(None, format!("`inputs` of `{}`: `{pattern}` names no file", hand.name));
                }
                Some(builder.finish().map_err(failed)?.manifest().hash().to_string())
            }
        };
        let mut document = json!({
            "run": hand.run, "env": hand.env, "pass-env": hand.pass_env, "services": hand.services, "files": files,
        });
        if let Some(target) = &hand.target {
            document["target"] = json!(target);
        }
        fingerprints.insert(hand.name.clone(), FileDigest::of(document.to_string().as_bytes()).to_string());
    }
    if let Err(error) = tree.save_cache() {
        events.warn(None, format!("the stat cache was not written: {error}"));
    }
    Ok(fingerprints)
}

/// The steps of a deployment, and what is said about each.
///
/// # Errors
/// [`Error::NoImageOf`] where a step needs an image that the environment does not have.
pub(super) fn steps(context: &Context<'_>) -> Result<Vec<(Step, PlannedStep)>, Error> {
    let mut steps = Vec::new();
    let mut any_target = false;
    for (place, hand) in hands(context.environment).enumerate() {
        let role = if place < context.environment.targets.len() { Role::Target } else { Role::After };
        let mut step = step(context, hand, role)?;
        let why = why(context, hand, &step, any_target);
        any_target |= role == Role::Target && why.is_some();
        step.outcome = if why.is_some() { StepOutcome::Pending } else { StepOutcome::Unchanged };
        let is_due = why.is_some();
        let is_inline = context.has_no_images() && hand.target.is_some();
        let none = if is_inline { "it can not build by itself" } else { "as it should be" };
        let planned = PlannedStep::new(&hand.name, is_due, why.unwrap_or_else(|| none.to_owned()));
        steps.push((step, planned));
    }
    Ok(steps)
}

fn step(context: &Context<'_>, hand: &Hand, role: Role) -> Result<Step, Error> {
    let all = || context.images.keys().chain(context.unbuilt).cloned().collect();
    let services: Vec<String> = match role {
        Role::Target => hand.services.clone().unwrap_or_else(all),
        Role::After => Vec::new(),
    };
    if !context.has_no_images() {
        let texts = hand.run.iter().chain(hand.env.values()).chain(&hand.check);
        let named = texts.flat_map(|text| shipper_deploy::placeholders(text)).map(str::to_owned);
        let is_known = |service: &String| context.images.contains_key(service) || context.unbuilt.contains(service);
        let missing = named.chain(services.iter().cloned()).find(|service| !is_known(service));
        if let Some(service) = missing {
            return Err(Error::NoImageOf { service, step: hand.name.clone() });
        }
    }
    Ok(Step {
        name: hand.name.clone(),
        role,
        run: hand.run.clone(),
        target: hand.target.as_ref().map(|target| recorded(context, target)),
        env: hand.env.clone(),
        pass_env: hand.pass_env.clone(),
        check: hand.check.clone(),
        services,
        inputs: hand.inputs.clone().unwrap_or_default(),
        timeout_ms: shipper_report::milliseconds(hand.timeout),
        fingerprint: context.fingerprints[&hand.name].clone(),
        outcome: StepOutcome::Pending,
        duration_ms: 0,
        problem: None,
        success: success(context.base, &hand.name),
    })
}

/// A target with all that is needed to find it again.
fn recorded(context: &Context<'_>, target: &shipper_plan::Target) -> Target {
    let environment = context.environment;
    // A registry of ECR says its region in its host; what runs in another one says so.
    let of_registry = || {
        let host = context.registry.split('/').next()?;
        let (_, rest) = host.split_once(".dkr.ecr.").or_else(|| host.split_once(".dkr-ecr."))?;
        rest.split('.').next().map(str::to_owned)
    };
    let region = target.region().map(str::to_owned).or_else(|| environment.region.clone()).or_else(of_registry);
    let session = AwsSession { region, profile: environment.profile.clone() };
    match target {
        shipper_plan::Target::Ecs(ecs) => Target::Ecs {
            cluster: ecs.cluster.clone(),
            service: ecs.service.clone(),
            container: ecs.container.clone(),
            session,
        },
        shipper_plan::Target::Lambda(lambda) => {
            Target::Lambda { function: lambda.function.clone(), alias: lambda.alias.clone(), session }
        }
    }
}

/// What a step is known to have done last; nothing where it failed, or may have been interrupted.
pub(super) fn success(base: Option<&Record>, name: &str) -> Option<Success> {
    let step = base?.steps.iter().find(|step| step.name == name)?;
    match step.outcome {
        StepOutcome::Ok | StepOutcome::Unchanged | StepOutcome::Skipped => step.success.clone(),
        StepOutcome::Pending | StepOutcome::Failed => None,
    }
}

/// Why a step is due; `None` where it is not.
fn why(context: &Context<'_>, hand: &Hand, step: &Step, any_target: bool) -> Option<String> {
    if hand.target.is_some() && context.has_no_images() {
        return None;
    }
    if let Some(why) = context.forced {
        return Some(why.to_owned());
    }
    if let (Role::After, None, true) = (step.role, &hand.inputs, any_target) {
        return Some("something is deployed".to_owned());
    }
    let Some(success) = &step.success else {
        let known = context.base.is_some_and(|base| base.steps.iter().any(|known| known.name == step.name));
        return Some(if known { "it did not succeed last time" } else { "never run here" }.to_owned());
    };
    let digests = context.digests(&step.services);
    if step.role == Role::Target && success.images != digests {
        let is_other = |service: &&String| {
            context.unbuilt.contains(*service) || success.images.get(*service) != digests.get(*service)
        };
        let changed: Vec<&str> = step.services.iter().filter(is_other).map(String::as_str).collect();
        return Some(match changed.as_slice() {
            [] => "it deploys fewer services".to_owned(),
            changed => format!("another image of {}", changed.join(", ")),
        });
    }
    (success.fingerprint != step.fingerprint).then(|| "its command, variables or files changed".to_owned())
}

#[cfg(test)]
mod tests;
