//! Which layer caches a build of a Dockerfile reads, and whether it writes one back.
//!
//! Invariants: a place that is not there is left out before the build, and said, which costs one question without a body; a
//! run that is not trusted writes none; writing comes after the build and fails nothing; one service, platform and branch
//! has a place of its own, so that no two builds write the same.

use std::path::Path;

use shipper_build::{Builder, Cache, DockerfileRequest, StepReport};
use shipper_oci::{Repository, Selector};
use shipper_plan::{CacheKindConfig, CachePlaceConfig, CacheSourceConfig};
use shipper_report::{Event, LeftOut, Outcome, Phase};

use crate::bases::located;
use crate::gather::environment;
use crate::names::{branch_slug, branch_tag, tag};
use crate::registries::is_untrusted;
use crate::work::{Job, Log};
use crate::{Error, record};

/// The caches of one build.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    /// What is read.
    pub(crate) from: Vec<Cache>,
    /// Whether the image shall be a cache itself.
    pub(crate) inline: bool,
    /// Where layers can be written, if anywhere.
    to: Option<Cache>,
    left_out: Vec<LeftOut>,
}

/// Finds the caches of a build, and tells which. One request for each reference.
///
/// # Errors
/// [`Error::Store`] for a reference that is none.
pub(crate) async fn choose(job: &Job, platform: &str, builder: &Builder) -> Result<Chosen, Error> {
    let sources = &job.project.settings.caches.value;
    if sources.is_empty() {
        return Ok(Chosen::default());
    }
    let mut chosen = Chosen::default();
    for source in sources {
        if builder.has_caches() {
            add(&mut chosen, job, platform, source).await?;
        } else {
            chosen.leave_out(source.to_string(), format!("{} has no such cache, buildx has", builder.name()));
        }
    }
    job.events.emit(Event::CacheChosen {
        service: job.gathered.service.name.clone(),
        platform: platform.to_owned(),
        from: chosen.from.iter().map(name).collect(),
        left_out: chosen.left_out.clone(),
    });
    Ok(chosen)
}

impl Chosen {
    fn leave_out(&mut self, cache: String, why: impl Into<String>) {
        self.left_out.push(LeftOut { cache, why: why.into() });
    }

    fn offer(&mut self, to: Cache) {
        self.to.get_or_insert(to);
    }
}

async fn add(chosen: &mut Chosen, job: &Job, platform: &str, source: &CacheSourceConfig) -> Result<(), Error> {
    let own = format!("{}-{}", job.gathered.service.name, platform.replace('/', "-"));
    match source {
        CacheSourceConfig::Kind(CacheKindConfig::Gha) => {
            let cache = Cache::Gha { scope: own };
            if cache.is_reachable(&environment(&job.project.environment)) {
                chosen.from.push(cache.clone());
                chosen.offer(cache);
            } else {
                chosen.leave_out("gha".to_owned(), "ACTIONS_RUNTIME_TOKEN and the address of the service are not set");
            }
        }
        CacheSourceConfig::Place(CachePlaceConfig::Local(directory)) => {
            let cache = Cache::Local(job.project.root.join(directory).join(own));
            if let Cache::Local(path) = &cache {
                if path.join("index.json").is_file() {
                    chosen.from.push(cache.clone());
                } else {
                    chosen.leave_out(name(&cache), "it is not there yet");
                }
            }
            chosen.offer(cache);
        }
        CacheSourceConfig::Kind(CacheKindConfig::Inline) => {
            let Some(repository) = remote(chosen, job, "inline") else { return Ok(()) };
            chosen.inline = true;
            // As the image's hint is written, by what is checked out.
            let own = branch_tag(job.branch.as_deref());
            let default = branches(job).pop().map(|branch| branch_tag(Some(&branch))).filter(|default| *default != own);
            import(chosen, &repository, [own].into_iter().chain(default)).await;
        }
        CacheSourceConfig::Kind(CacheKindConfig::Registry) => {
            let Some(repository) = remote(chosen, job, "registry") else { return Ok(()) };
            registry(chosen, job, &repository, &format!("cache-{}", platform.replace('/', "-"))).await;
        }
        CacheSourceConfig::Place(CachePlaceConfig::Registry(template)) => {
            let service = &job.gathered.service.name;
            let text = template.replace("{project}", &job.project.settings.name.value).replace("{service}", service);
            let (repository, selector) = located(&job.project.environment, &job.project.logins, &text)
                .map_err(|source| Error::Store { action: format!("use the cache `{text}`"), source })?;
            let written = text.rsplit('/').next().is_some_and(|last| last.contains(':'));
            let mut beginning = if written { selector.to_string() } else { "cache".to_owned() };
            if !template.contains("{service}") {
                beginning.push_str(&format!("-{service}"));
            }
            registry(chosen, job, &repository, &format!("{beginning}-{}", platform.replace('/', "-"))).await;
        }
    }
    Ok(())
}

/// The repository whose images and caches a build may believe, where that is in a registry.
fn remote(chosen: &mut Chosen, job: &Job, source: &str) -> Option<Repository> {
    let repository = job.trusted.as_ref().unwrap_or(&job.repository);
    if repository.store().is_remote() {
        return Some(repository.clone());
    }
    chosen.leave_out(source.to_owned(), "images go to a layout, and builders read caches from registries");
    None
}

/// The own branch's cache, then the default branch's.
async fn registry(chosen: &mut Chosen, job: &Job, repository: &Repository, beginning: &str) {
    let names: Vec<String> =
        branches(job).iter().map(|branch| shortened(beginning, &branch_slug(Some(branch)))).collect();
    import(chosen, repository, names.iter().cloned()).await;
    if let Some(own) = names.first() {
        chosen.offer(Cache::Registry(repository.reference(&Selector::Tag(tag(own)))));
    }
}

/// A tag of at most 128 characters: slugs of branches have up to 100.
fn shortened(beginning: &str, slug: &str) -> String {
    let room = 127 - slug.len();
    let beginning: String = beginning.chars().take(room).collect();
    format!("{beginning}-{slug}")
}

/// Adds those of the tags that are there.
async fn import(chosen: &mut Chosen, repository: &Repository, tags: impl IntoIterator<Item = String>) {
    for name in tags {
        let selector = Selector::Tag(tag(&name));
        let reference = repository.reference(&selector);
        match repository.seems_to_have(&selector).await {
            Ok(true) => chosen.from.push(Cache::Registry(reference)),
            Ok(false) => chosen.leave_out(reference, "it is not there yet"),
            // A cache may only save work.
            Err(error) => chosen.leave_out(reference, error.to_string()),
        }
    }
}

/// The branch that is built, where a trusted run builds one, then the default branch; never the same twice.
fn branches(job: &Job) -> Vec<String> {
    let facts = &job.naming.facts;
    let own = facts.branch.clone().or_else(|| job.branch.clone()).filter(|_| !is_untrusted(facts));
    let default = facts.default_branch.clone().or_else(|| job.default_branch.clone());
    let mut branches: Vec<String> = own.into_iter().collect();
    branches.extend(default.filter(|default| !branches.contains(default)));
    branches
}

/// What a cache is called in events.
fn name(cache: &Cache) -> String {
    match cache {
        Cache::Registry(reference) => reference.clone(),
        Cache::Gha { scope } => format!("gha {scope}"),
        Cache::Local(directory) => directory.display().to_string(),
    }
}

/// A finished build whose layers may be written back, once its image is where it belongs.
#[derive(Debug)]
pub(crate) struct Export {
    pub(crate) platform: String,
    pub(crate) chosen: Chosen,
    pub(crate) request: DockerfileRequest,
    pub(crate) steps: Vec<StepReport>,
}

/// Writes the layers of a finished build back, where that is wished for and pays.
pub(crate) async fn export(job: &Job, build: &Export) {
    let Export { platform, chosen, request, steps } = build;
    if job.project.settings.caches.value.is_empty() || !job.project.settings.cache_export.value {
        return;
    }
    let told = |outcome, why: Option<String>, duration_ms| {
        job.events.emit(Event::CacheExported {
            service: job.gathered.service.name.clone(),
            platform: platform.clone(),
            to: chosen.to.as_ref().map(name),
            outcome,
            why,
            duration_ms,
        });
    };
    let Some(to) = &chosen.to else {
        return told(Outcome::Skipped, Some("no source can be written".to_owned()), 0);
    };
    if !job.push {
        return told(Outcome::Skipped, Some("nothing is pushed".to_owned()), 0);
    }
    if is_untrusted(&job.naming.facts) {
        return told(Outcome::Skipped, Some("a pull request writes to no cache".to_owned()), 0);
    }
    if steps.iter().all(|step| step.cached || !works(&step.instruction)) {
        return told(Outcome::Skipped, Some("nothing was built".to_owned()), 0);
    }
    if let Some(why) = does_not_pay(&job.project.directories.local, &job.gathered.service.name, platform) {
        return told(Outcome::Skipped, Some(why), 0);
    }
    let began = job.events.elapsed_ms();
    let exported = match job.builder().await {
        Ok(builder) => builder.export_cache(request, to, &Log { job, phase: Phase::Push }).await,
        Err(error) => Err(error),
    };
    let took = job.events.elapsed_ms().saturating_sub(began);
    match exported {
        Ok(()) => told(Outcome::Ok, None, took),
        Err(error) => told(Outcome::Failed, Some(error.to_string()), took),
    }
}

/// Whether a step does something that a cache saves.
fn works(instruction: &str) -> bool {
    instruction.split_whitespace().next().is_some_and(|word| !word.eq_ignore_ascii_case("FROM"))
}

/// Why writing costs more than it saves, with both figures.
fn does_not_pay(directory: &Path, service: &str, platform: &str) -> Option<String> {
    let history = record::cache_history(directory, service, platform);
    let (cost, saved) = (history.last_export_ms?, history.saved_ms()?);
    let (cost_text, saved_text) = (shipper_report::duration(cost), shipper_report::duration(saved));
    let runs = history.saved.len();
    (cost > saved).then(|| {
        format!("the last export took {cost_text}, and the cache saved {saved_text} (median of the last {runs} runs)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_of_a_cache_is_never_too_long() {
        assert_eq!(shortened("cache-linux-amd64", "main"), "cache-linux-amd64-main");
        let long = shortened(&"a".repeat(200), &"b".repeat(100));
        assert!(long.len() == 128 && long.ends_with(&format!("-{}", "b".repeat(100))), "{long}");
    }
}
