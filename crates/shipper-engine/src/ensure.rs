//! `ecr ensure`: the repositories of the services, as they should be.

use shipper_aws::{EcrRegistry, is_repository_name};
use shipper_ecr::{Ecr, RepositoryChange, RepositoryGoal, TemplateState};

use crate::{Error, Project, amazon};

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct EnsureOptions {
    /// Repositories; those of all services where neither one is named nor a template.
    pub repositories: Vec<String>,
    /// How they should be.
    pub goal: RepositoryGoal,
    /// Prefix of the names of repositories that a push may create; `ROOT` is every name.
    pub template: Option<String>,
    /// Whether changes are made.
    pub dry_run: bool,
}

/// What was found of a repository, and done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ensured {
    /// Its name.
    pub repository: String,
    /// What has, or had, to change.
    pub changes: Vec<String>,
    /// The stack that owns it, and would undo changes.
    pub owner: Option<String>,
    /// Whether the changes were made.
    pub changed: bool,
}

/// Makes the repositories of a project exist and be as asked for. A repository that a stack owns is only reported.
///
/// # Errors
/// [`Error::NoEcrRegistry`], [`Error::RepositoryName`], [`Error::Drift`], [`Error::Aws`].
pub async fn ensure(project: &Project, options: &EnsureOptions) -> Result<Vec<Ensured>, Error> {
    let registry = &project.settings.registry.value;
    let (host, prefix) =
        registry.split_once('/').map_or((registry.as_str(), None), |(host, prefix)| (host, Some(prefix)));
    let host: EcrRegistry = host.parse().map_err(|_| Error::NoEcrRegistry { registry: registry.clone() })?;
    let mut names = options.repositories.clone();
    if names.is_empty() && options.template.is_none() {
        let full = |name: &String| prefix.map_or_else(|| name.clone(), |prefix| format!("{prefix}/{name}"));
        names.extend(project.services.values().map(|service| full(&service.repository)));
        // Deployments are written down there.
        names.extend((!project.config.env.is_empty()).then(|| full(&shipper_deploy::REPOSITORY.to_owned())));
        names.sort_unstable();
        names.dedup();
    }
    if let Some(wrong) = names.iter().find(|name| !is_repository_name(name)) {
        return Err(Error::RepositoryName { text: wrong.clone() });
    }
    let profile = project.config.profiles()?.remove(host.host());
    let ecr = Ecr::new(&amazon::session(Some(host.region.clone()), profile).await, Some(host.account));
    // All are looked at before one is changed.
    let mut planned = Vec::new();
    for name in names {
        let failed = |source| Error::Aws { action: format!("look at repository `{name}`"), source };
        let state = ecr.repository_state(&name).await.map_err(failed)?;
        let changes = options.goal.changes(&name, state.as_ref()).map_err(Error::Drift)?;
        planned.push((name, state, changes));
    }
    let mut ensured = Vec::new();
    if let Some(prefix) = &options.template {
        ensured.push(template(&ecr, prefix, options).await?);
    }
    for (name, state, changes) in planned {
        let owner = state.as_ref().and_then(|state| state.owner()).map(str::to_owned);
        let changed = owner.is_none() && !options.dry_run && !changes.is_empty();
        if changed {
            let mut arn = state.map(|state| state.arn).unwrap_or_default();
            for change in &changes {
                let failed = |source| Error::Aws { action: format!("change repository `{name}` ({change})"), source };
                let created = ecr.change_repository(&name, &arn, &options.goal, change).await.map_err(failed)?;
                arn = created.unwrap_or(arn);
            }
        }
        let changes = changes.iter().map(RepositoryChange::to_string).collect();
        ensured.push(Ensured { repository: name, changes, owner, changed });
    }
    Ok(ensured)
}

/// The creation template of a prefix. One that says something else is left to whoever wrote it.
async fn template(ecr: &Ecr, prefix: &str, options: &EnsureOptions) -> Result<Ensured, Error> {
    let failed = |source| Error::Aws { action: format!("write the creation template of `{prefix}`"), source };
    let mut ensured = Ensured { repository: format!("{prefix}*"), changes: Vec::new(), owner: None, changed: false };
    match ecr.template_state(prefix, &options.goal).await.map_err(failed)? {
        TemplateState::AsAsked => (),
        TemplateState::Different => {
            return Err(Error::Drift(shipper_ecr::Drift::Template { prefix: prefix.to_owned() }));
        }
        TemplateState::Missing => {
            ensured.changes.push("let a push create them".to_owned());
            if !options.dry_run {
                ecr.create_template(prefix, &options.goal).await.map_err(failed)?;
                ensured.changed = true;
            }
        }
    }
    Ok(ensured)
}
