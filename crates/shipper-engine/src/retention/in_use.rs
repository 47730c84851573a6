//! What is in use, so that no retention deletes it: what the user names, what a command prints, what services of AWS use, what
//! deployment records say, and what pins name.
//!
//! Invariants: a text that names no image is an error, and so is a source that does not answer; a tag or digest that names none
//! of the repository is told. Nothing that is in doubt is taken for not in use.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use shipper_aws::Session;
use shipper_build::Environment as Variables;
use shipper_deploy::{Ledger, State};
use shipper_ecr::{Children, ImageFacts, TagGlob};
use shipper_oci::{Digest, Reference, Selector};
use shipper_plan::InUseService;
use shipper_targets::{Ecs, Lambda};

use crate::deploy::visible;
use crate::project::located;
use crate::{Error, Options, Project};

/// What is said to be in use.
#[derive(Debug, Clone, Default)]
pub struct InUse {
    /// References: `repository:tag`, `repository@sha256:..`, with or without a registry's host, or a digest alone.
    pub references: Vec<String>,
    /// A file with a JSON list of such references.
    pub file: Option<PathBuf>,
    /// Patterns of tags whose images are in use.
    pub tags: Vec<String>,
    /// The project whose `in-use` is asked; `None` outside of one.
    pub project: Option<Project>,
    /// The process environment: proxies and certificate authorities for the registry that holds the records.
    pub environment: BTreeMap<String, String>,
}

/// Tags of images that are deployed.
const PINS: &str = "env-*";
/// What a command may print, in bytes: some hundred thousand references.
const MOST: usize = 64 * 1024 * 1024;

/// Something that is said to be in use.
struct Claim {
    image: Selector,
    /// As it is told to people.
    why: String,
    /// Whether it is worth a word that the repository does not have it.
    expected: bool,
}

/// Images in use, by their index in the listing, with why; and what is said to be in use and is not there.
pub(crate) struct Found {
    pub(crate) used: BTreeMap<usize, String>,
    pub(crate) unknown: Vec<String>,
}

impl InUse {
    /// Nothing but what the project around `options.directory` says, where there is one.
    ///
    /// # Errors
    /// As [`Project::open`].
    pub fn of(options: &Options) -> Result<Self, Error> {
        let is_project = located(options)?.1.is_some();
        let project = if is_project { Some(Project::open(options)?) } else { None };
        Ok(Self { project, environment: options.environment.clone(), ..Self::default() })
    }

    /// Which of a repository's images are in use. `records` are those of its registry, and `session` leads to its account and
    /// region.
    ///
    /// # Errors
    /// [`Error::InUseReference`], [`Error::InUseFile`], [`Error::InUseCommand`], [`Error::InUseService`]; [`Error::Read`], [`Error::Deploy`].
    pub(crate) async fn find(
        &self,
        directory: &Path,
        repository: &str,
        images: &[ImageFacts],
        records: &Ledger,
        session: &Session,
    ) -> Result<Found, Error> {
        let by_digest: HashMap<&str, usize> =
            images.iter().enumerate().map(|(at, image)| (image.digest.as_str(), at)).collect();
        let by_tag: HashMap<&str, usize> = images
            .iter()
            .enumerate()
            .flat_map(|(at, image)| image.tags.iter().map(move |tag| (tag.as_str(), at)))
            .collect();
        let mut claims = self.named(directory, repository)?;
        claims.extend(self.printed(repository).await?);
        claims.extend(self.running(session, repository).await?);
        claims.extend(recorded(records, repository).await?);
        let (mut used, mut unknown) = (BTreeMap::new(), Vec::new());
        for claim in claims {
            let found = match &claim.image {
                Selector::Tag(tag) => by_tag.get(AsRef::<str>::as_ref(tag)),
                Selector::Digest(digest) => by_digest.get(digest.to_string().as_str()),
            };
            match found {
                Some(&at) => drop(used.entry(at).or_insert(claim.why)),
                None if claim.expected => unknown.push(claim.why),
                None => {}
            }
        }
        let pins: Vec<TagGlob> = self.tags.iter().map(String::as_str).chain([PINS]).map(TagGlob::pattern).collect();
        for (at, image) in images.iter().enumerate() {
            if let Some(tag) = image.tags.iter().find(|tag| pins.iter().any(|pin| pin.matches(tag))) {
                used.entry(at).or_insert_with(|| format!("{repository}:{tag}"));
            }
        }
        Ok(Found { used: with_relatives(images, &by_digest, used), unknown })
    }

    /// What flags and the file name.
    fn named(&self, directory: &Path, repository: &str) -> Result<Vec<Claim>, Error> {
        let mut claims = Vec::new();
        for text in &self.references {
            match claim("`--in-use`", text, repository)? {
                Some(claim) => claims.push(claim),
                // A list is about many repositories; who names one image means one of this repository.
                None => {
                    let problem = format!("it is not in the repository `{repository}`");
                    return Err(Error::InUseReference { origin: "`--in-use`".to_owned(), text: text.clone(), problem });
                }
            }
        }
        if let Some(file) = &self.file {
            let path = directory.join(file);
            let text = std::fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
            let origin = path.display().to_string();
            let listed: Vec<String> =
                serde_json::from_str(&text).map_err(|error| Error::InUseFile { path, problem: error.to_string() })?;
            claims.extend(claims_of(&origin, listed.iter().map(String::as_str), repository)?);
        }
        Ok(claims)
    }

    /// What the services of AWS use that the project names.
    async fn running(&self, session: &Session, repository: &str) -> Result<Vec<Claim>, Error> {
        let services = self.project.as_ref().map_or(&[][..], |project| project.config.in_use_services());
        let mut claims = Vec::new();
        for service in services {
            let (name, used) = match service {
                InUseService::Ecs => ("ECS", Ecs::new(session).used_images().await),
                InUseService::Lambda => ("Lambda", Lambda::new(session).used_images().await),
            };
            let used = used.map_err(|source| Error::InUseService { service: name, source: Box::new(source) })?;
            for (reference, by) in used {
                let found = claim(&by, &reference, repository)?;
                claims.extend(found.map(|found| Claim { why: format!("{reference} of {by}"), ..found }));
            }
        }
        Ok(claims)
    }

    /// What the project's command prints: a JSON list, or one reference on each line.
    async fn printed(&self, repository: &str) -> Result<Vec<Claim>, Error> {
        let Some(project) = &self.project else { return Ok(Vec::new()) };
        let Some(in_use) = project.config.in_use()? else { return Ok(Vec::new()) };
        let command = in_use.command.join(" ");
        let variables: Variables = project.environment.iter().collect();
        let seen = visible(&variables, &in_use.pass_env);
        let read = shipper_build::read_command(&in_use.command, &project.root, &seen, in_use.timeout, MOST).await;
        let text = read.map_err(|failure| Error::InUseCommand {
            command: command.clone(),
            problem: failure.problem,
            tail: failure.tail,
        })?;
        let origin = format!("what `{command}` prints");
        if text.trim_start().starts_with('[') {
            let listed: Vec<String> = serde_json::from_str(&text).map_err(|error| Error::InUseCommand {
                command,
                problem: format!("prints no JSON list of texts: {error}"),
                tail: Vec::new(),
            })?;
            return claims_of(&origin, listed.iter().map(String::as_str), repository);
        }
        claims_of(&origin, text.lines().map(str::trim).filter(|line| !line.is_empty()), repository)
    }
}

fn claims_of<'a>(origin: &str, texts: impl Iterator<Item = &'a str>, repository: &str) -> Result<Vec<Claim>, Error> {
    let claims = texts.map(|text| claim(origin, text, repository));
    claims.filter_map(Result::transpose).collect()
}

/// What a text says is in use; `None` where it names an image of another repository.
fn claim(origin: &str, text: &str, repository: &str) -> Result<Option<Claim>, Error> {
    let why = text.to_owned();
    if let Ok(digest) = text.parse::<Digest>() {
        return Ok(Some(Claim { image: Selector::Digest(digest), why, expected: false }));
    }
    let reference = Reference::parse_docker(text).map_err(|error| Error::InUseReference {
        origin: origin.to_owned(),
        text: text.to_owned(),
        problem: error.to_string(),
    })?;
    // Names have no host where tools leave it out, and a mirror has another: either is the image.
    let place = format!("{}/{}", reference.registry, reference.repository);
    let is_here = place.strip_suffix(repository).is_some_and(|before| before.ends_with('/'));
    Ok(reference.selector().filter(|_| is_here).map(|image| Claim { image, why, expected: true }))
}

/// What deployment records say of a repository: what the last deployment of each environment brings out, what ran last, and
/// what a rollback can go back to.
async fn recorded(ledger: &Ledger, repository: &str) -> Result<Vec<Claim>, Error> {
    let mut claims = Vec::new();
    let listing = ledger.list().await?;
    for environment in listing.environments() {
        let newest = listing.of(environment).next();
        let observed = listing.of(environment).find(|one| one.state == State::Observed);
        let is_new = observed.as_ref().map(|one| &one.id) != newest.as_ref().map(|one| &one.id);
        for deployment in newest.iter().filter(|_| is_new).chain(&observed) {
            let record = ledger.read(deployment).await?;
            for (service, image) in record.images.iter().filter(|(_, image)| image.repository == repository) {
                let before = record.observed.get(service).into_iter().flatten();
                for text in std::iter::once(&image.digest).chain(before) {
                    let problem = |error| Error::Store { action: format!("use digest {text}"), source: error };
                    let digest: Digest = text.parse().map_err(problem)?;
                    let runs = *text == image.digest && record.state == State::Observed;
                    let why = format!("{service} of {}", record.id);
                    claims.push(Claim { image: Selector::Digest(digest), why, expected: runs });
                }
            }
        }
    }
    Ok(claims)
}

/// Also the parts of an index in use, the indexes of a part, for either may be what is pulled; and what is stated about an
/// image in use, such as its signatures.
fn with_relatives(
    images: &[ImageFacts],
    by_digest: &HashMap<&str, usize>,
    mut used: BTreeMap<usize, String>,
) -> BTreeMap<usize, String> {
    for _ in 0..images.len() {
        let mut more = Vec::new();
        for (at, image) in images.iter().enumerate() {
            let subject = image.subject.as_deref().and_then(|subject| by_digest.get(subject));
            if let (None, Some(why)) = (used.get(&at), subject.and_then(|subject| used.get(subject))) {
                more.push((at, why.clone()));
            }
            let Children::Known(children) = &image.children else { continue };
            for &child in children.iter().filter_map(|child| by_digest.get(child.as_str())) {
                match (used.get(&at), used.get(&child)) {
                    (Some(why), None) => more.push((child, why.clone())),
                    (None, Some(why)) => more.push((at, why.clone())),
                    _ => (),
                }
            }
        }
        if more.is_empty() {
            break;
        }
        used.extend(more);
    }
    used
}
