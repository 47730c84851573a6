//! `iam`: what a role must be allowed for commands, from the configuration and the table of calls. AWS is not asked.

use std::collections::BTreeMap;

use shipper_aws::{AccountId, Command, EcrRegistry, GithubTrust, PolicyDocument, Region, Scope};
use shipper_plan::{InUseService, Origin, Scan, Target};

use crate::{Error, Project, amazon};

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct IamOptions {
    /// The commands.
    pub commands: Vec<Command>,
    /// The account; that of the registry where it is absent.
    pub account: Option<AccountId>,
    /// The region; that of the registry where it is absent.
    pub region: Option<Region>,
    /// Names of repositories; those of the services where there is none. A `*` stands for any text.
    pub repositories: Vec<String>,
    /// Further stacks.
    pub stacks: Vec<String>,
    /// Who may take the role.
    pub trust: Option<GithubTrust>,
}

/// A policy, and who may take the role that has it.
#[derive(Debug, Clone)]
pub struct IamPolicies {
    /// What the role may do.
    pub policy: PolicyDocument,
    /// Who may take it.
    pub trust: Option<PolicyDocument>,
}

/// The least that a role must be allowed for these commands in this project.
///
/// # Errors
/// [`Error::NoScope`] where neither options nor configuration say in which account and region; [`Error::Plan`].
pub fn iam(project: &Project, options: &IamOptions) -> Result<IamPolicies, Error> {
    let mut places = Places::default();
    let main = places.main(project, options)?;
    if project.settings.registry.origin != Origin::Flag {
        places.environments(project, options, &main)?;
    }
    let scopes: Vec<Scope> = places.0.into_values().collect();
    let permissions = options.commands.iter().flat_map(|command| command.permissions());
    Ok(IamPolicies {
        policy: shipper_aws::policy(permissions, &scopes),
        trust: options.trust.as_ref().map(|trust| trust.policy(&main.0, &main.1)),
    })
}

/// An account and a region.
type Where = (AccountId, Region);

/// What is used of each registry.
#[derive(Default)]
struct Places(BTreeMap<(String, String), Scope>);

impl Places {
    fn at(&mut self, (account, region): &Where) -> &mut Scope {
        let key = (account.to_string(), region.to_string());
        self.0.entry(key).or_insert_with(|| Scope::new(account.clone(), region.clone()))
    }

    /// The registry of the project.
    fn main(&mut self, project: &Project, options: &IamOptions) -> Result<Where, Error> {
        let text = &project.settings.registry.value;
        let (host, prefix) = parts(text);
        let registry = host.parse::<EcrRegistry>().ok();
        let account = options.account.clone().or_else(|| Some(registry.as_ref()?.account.clone()));
        let region = options.region.clone().or_else(|| Some(registry.as_ref()?.region.clone()));
        let (Some(account), Some(region)) = (account, region) else {
            return Err(Error::NoScope { registry: text.clone() });
        };
        // The path of another registry means nothing here.
        let prefix = prefix.filter(|_| registry.is_some());
        let main = (account, region);
        let scope = self.at(&main);
        scope.stacks.extend(options.stacks.iter().cloned());
        scope.stacks.extend(project.settings.stack.as_ref().map(|stack| stack.stack.clone()));
        match options.repositories.as_slice() {
            [] => scope.repositories.extend(names(project, prefix)),
            named => scope.repositories.extend(named.iter().cloned()),
        }
        for service in project.config.in_use_services() {
            match service {
                InUseService::Ecs => scope.ecs_in_use = true,
                InUseService::Lambda => scope.lambda_in_use = true,
            }
        }
        Ok(main)
    }

    /// The registries of environments, the stacks that say whether they are there, and what gets images in them.
    fn environments(&mut self, project: &Project, options: &IamOptions, main: &Where) -> Result<(), Error> {
        for name in project.config.env.keys() {
            let environment = project.config.environment(name)?;
            let (host, prefix) = parts(environment.registry.as_deref().unwrap_or(&project.settings.registry.value));
            let registry = host.parse::<EcrRegistry>().ok();
            let mut place = main.clone();
            if let Some(registry) = registry.as_ref().filter(|_| environment.registry.is_some()) {
                place = (registry.account.clone(), registry.region.clone());
                if options.repositories.is_empty() {
                    self.at(&place).repositories.extend(names(project, prefix));
                }
            }
            if matches!(environment.scan, Some(Scan::Findings(_))) {
                let of_services = || services(project, prefix.filter(|_| registry.is_some())).collect();
                let scanned = Some(&options.repositories).filter(|named| !named.is_empty());
                self.at(&place).scanned.extend(scanned.cloned().unwrap_or_else(of_services));
            }
            let in_region = |region: Option<&str>| {
                let region = region.map(amazon::region).transpose()?;
                Ok::<_, Error>((place.0.clone(), region.unwrap_or_else(|| place.1.clone())))
            };
            let region = environment.region.as_deref();
            if let Some(ready) = &environment.ready {
                self.at(&in_region(region)?).stacks.insert(ready.stack.clone());
            }
            for target in environment.targets.iter().filter_map(|hand| hand.target.as_ref()) {
                let scope = self.at(&in_region(target.region().or(region))?);
                match target {
                    Target::Ecs(ecs) => {
                        let cluster = ecs.cluster.rsplit('/').next().unwrap_or_default();
                        scope.services.insert((cluster.to_owned(), ecs.service.clone()));
                    }
                    Target::Lambda(lambda) => {
                        let function = lambda.function.rsplit(':').next().unwrap_or_default();
                        scope.functions.insert(function.to_owned());
                    }
                }
            }
        }
        Ok(())
    }
}

fn parts(registry: &str) -> (&str, Option<&str>) {
    registry.split_once('/').map_or((registry, None), |(host, prefix)| (host, Some(prefix)))
}

/// The repositories of services.
fn services<'a>(project: &'a Project, prefix: Option<&'a str>) -> impl Iterator<Item = String> + 'a {
    project.services.values().map(move |service| below(prefix, &service.repository))
}

/// The repositories of services, and the one that deployments are written down in.
fn names(project: &Project, prefix: Option<&str>) -> Vec<String> {
    let records = (!project.config.env.is_empty()).then(|| below(prefix, shipper_deploy::REPOSITORY));
    services(project, prefix).chain(records).collect()
}

fn below(prefix: Option<&str>, name: &str) -> String {
    prefix.map_or_else(|| name.to_owned(), |prefix| format!("{prefix}/{name}"))
}
