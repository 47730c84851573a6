//! The pipeline of GitLab CI: a file that plans, and the child pipeline that a plan becomes.
//!
//! Invariants: scripts are constants; no text of the model is expanded as a variable; the child of a merge request is kept
//! apart as its parent is, whatever GitLab tells it about itself.
//!
//! Source: GitLab documentation, "CI/CD YAML syntax reference", "Downstream pipelines" (dynamic child pipelines) and
//! "Connect to cloud services" (identity tokens).

use crate::jobs::Jobs;
use crate::pipeline::{Deployment, Install, Login, Pipeline, PullRequests, Trigger};
use crate::script;
use crate::yaml::{Map, Yaml};

/// What stands above the file.
const HEADER: &str = "\
# Written by `shipper ci gitlab --write` from shipper.toml. `shipper ci gitlab --check` tells whether it still is what would be written.
# .gitlab-ci.yml has to `include` it as a local file. Schedules are made in the project's settings.
";
/// The image that jobs run in where none is named: it has Cargo and git.
const IMAGE: &str = "rust:1-trixie";
/// The engine of jobs that build Dockerfiles.
const ENGINE: &str = "docker:29-dind";
/// Where shipper is installed, and what a plan is written to: no context has anything in `.shipper`.
const TOOLS: &str = ".shipper/tools";
const PROGRAM: &str = ".shipper/tools/bin/shipper";
const CHILD: &str = ".shipper/jobs.yml";

/// The pipeline, as the text of `.gitlab/shipper.yml`.
///
/// The same pipeline gives the same bytes.
#[must_use]
pub fn gitlab(pipeline: &Pipeline) -> String {
    let name = |job: &str| named(pipeline, job);
    let mut jobs = Map::new()
        .with(&name("plan"), plan(pipeline))
        .with(&name("build"), build(pipeline))
        .with(&name("shipped"), finish(pipeline));
    for deployment in &pipeline.deployments {
        jobs = jobs.with(&name(&format!("deploy:{}", deployment.environment)), deploy(pipeline, deployment));
    }
    format!("{HEADER}{}", jobs.render())
}

/// The child pipeline of a plan, as the text of the file that the job `shipper:plan` writes.
#[must_use]
pub fn gitlab_jobs(pipeline: &Pipeline, jobs: &Jobs) -> String {
    let apart = if jobs.is_untrusted { Map::new().with("SHIPPER_TRIGGER", "pull-request") } else { Map::new() };
    let variables = jobs.places.iter().fold(apart, |map, (name, value)| map.with(name, literal(value)));
    let needs_plan = Map::new().with("pipeline", "$PARENT_PIPELINE_ID").with("job", named(pipeline, "plan"));
    let ship = |services: &str, needs: Vec<Map>| {
        let variables = variables.clone().and(environment(pipeline)).with("SERVICES", literal(services));
        let variables = if pipeline.dockerfiles { variables.and(engine()) } else { variables };
        job(pipeline, variables, BUILD_MINUTES)
            .with("stage", "build")
            .with_some("services", pipeline.dockerfiles.then(|| vec![ENGINE]))
            .with_some("cache", pipeline.cargo.then(kept_crates))
            .with("needs", needs)
            .with("script", script(pipeline, true, script::SHIP_GITLAB))
    };
    let mut file = Map::new();
    let bases = (!jobs.bases.is_empty()).then(|| jobs.bases.join(" "));
    if let Some(bases) = &bases {
        file = file.with("bases", ship(bases, vec![needs_plan.clone()]));
    }
    for (name, services) in &jobs.jobs {
        let mut needs = vec![needs_plan.clone()];
        needs.extend(bases.as_ref().map(|_| Map::new().with("job", "bases")));
        file = file.with(&format!("ship {name}"), ship(services, needs));
    }
    if file.is_empty() {
        // A child without jobs is an error.
        let script = Yaml::from(vec![Yaml::Script("true")]);
        file = file.with("nothing is due", Map::new().with("stage", "build").with("script", script));
    }
    format!("# Written by `shipper plan --format gitlab`.\n{}", file.render())
}

/// The name of a job among all of a repository.
fn named(pipeline: &Pipeline, job: &str) -> String {
    format!("{}:{job}", pipeline.name)
}

/// Minutes after which a job is given up: of those that build, and of the others.
const BUILD_MINUTES: u32 = 120;
const MINUTES: u32 = 30;

/// A text in a place where variables are expanded.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// A text as a pattern in `rules:if` that it alone fits; `*` of a pattern of tags is any text.
fn fitting(text: &str, star: &str) -> String {
    let mut pattern = String::from("/^");
    for character in text.chars() {
        match character {
            '*' => pattern.push_str(star),
            c if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || !c.is_ascii() => pattern.push(c),
            // RE2: any character by its number.
            c => pattern.push_str(&format!("\\x{{{:x}}}", u32::from(c))),
        }
    }
    pattern + "$/"
}

fn is_branch(pipeline: &Pipeline) -> String {
    format!("$CI_COMMIT_BRANCH =~ {}", fitting(&pipeline.branch, "\\x{2a}"))
}

/// Pushes of tags that are releases.
fn is_release(pipeline: &Pipeline) -> String {
    let of_pattern = |tag: &String| format!("$CI_COMMIT_TAG =~ {}", fitting(tag, ".*"));
    let patterns: Vec<String> = pipeline.tags.iter().map(of_pattern).collect();
    if patterns.is_empty() { "$CI_COMMIT_TAG".to_owned() } else { patterns.join(" || ") }
}

/// When the pipeline runs; a newer push to a merge request cancels its older run, nothing else does.
fn rules(pipeline: &Pipeline) -> Vec<Map> {
    let when =
        |condition: String, interruptible: bool| Map::new().with("if", condition).with("interruptible", interruptible);
    vec![
        when("$CI_PIPELINE_SOURCE == 'merge_request_event'".to_owned(), true),
        when(is_branch(pipeline), false),
        when(is_release(pipeline), false),
    ]
}

/// Variables of every job.
fn environment(pipeline: &Pipeline) -> Map {
    let install = match &pipeline.install {
        Install::Version(version) => Map::new().with("SHIPPER_VERSION", literal(version)),
        Install::Source(directory) => Map::new().with("SHIPPER_SOURCE", literal(directory)),
    };
    let apart = match pipeline.pull_requests {
        PullRequests::KeptApart => "all",
        PullRequests::Push => "forks",
    };
    let mut variables = install
        .with("SHIPPER_APART", apart)
        .with_some("SHIPPER_DIRECTORY", Some(literal(&pipeline.directory)).filter(|directory| !directory.is_empty()))
        .with("CARGO_HOME", "$CI_PROJECT_DIR/.shipper/cargo")
        .with("SHIPPER_CACHE_DIR", "$CI_PROJECT_DIR/.shipper/cache");
    if let Login::Secrets { username, password } = &pipeline.login {
        variables = variables
            .with("REGISTRY", literal(&pipeline.registry))
            .with("REGISTRY_USERNAME", format!("${username}"))
            .with("REGISTRY_PASSWORD", format!("${password}"));
    }
    if let Some(aws) = &pipeline.aws {
        variables = variables
            .with_some("AWS_ROLE_ARN", aws.role.as_deref().map(literal))
            .with_some("AWS_REGION", aws.region.as_deref().map(literal));
    }
    variables
}

/// A job, from its machine on.
fn job(pipeline: &Pipeline, variables: Map, minutes: u32) -> Map {
    let runner = Some(vec![literal(&pipeline.runner)]).filter(|_| !pipeline.runner.is_empty());
    let has_role = pipeline.aws.as_ref().is_some_and(|aws| aws.role.is_some());
    Map::new()
        .with("image", literal(pipeline.image.as_deref().unwrap_or(IMAGE)))
        .with_some("tags", runner)
        .with("timeout", format!("{minutes} minutes"))
        .with_some("id_tokens", has_role.then(identity))
        .with("variables", variables)
}

/// Variables by which a job finds the engine beside it.
fn engine() -> Map {
    Map::new()
        .with("DOCKER_HOST", "tcp://docker:2376")
        .with("DOCKER_TLS_CERTDIR", "/certs")
        .with("DOCKER_TLS_VERIFY", "1")
        .with("DOCKER_CERT_PATH", "/certs/client")
}

/// The identity that AWS believes.
fn identity() -> Map {
    Map::new().with("AWS_ID_TOKEN", Map::new().with("aud", "sts.amazonaws.com"))
}

/// The steps of a job, in one shell.
fn script(pipeline: &Pipeline, builds: bool, last: &'static str) -> Yaml {
    let mut steps = vec![script::APART_GITLAB, script::FIND_GITLAB];
    if matches!(pipeline.login, Login::Secrets { .. }) {
        steps.push(script::LOGIN_FILE);
    }
    if pipeline.aws.as_ref().is_some_and(|aws| aws.role.is_some()) {
        steps.push(script::IDENTITY_GITLAB);
    }
    if builds && pipeline.dockerfiles {
        steps.push(script::BUILDER_CONTAINER);
    }
    if !pipeline.directory.is_empty() {
        steps.push(script::ENTER);
    }
    steps.push(last);
    Yaml::List(steps.into_iter().map(Yaml::Script).collect())
}

fn kept_crates() -> Map {
    let key = Map::new().with("files", vec!["Cargo.lock"]).with("prefix", "shipper-$CI_JOB_NAME_SLUG");
    Map::new().with("key", key).with("paths", vec![".shipper/cargo/registry", ".shipper/cache"])
}

/// Brings shipper onto a runner, plans, and writes the child. No code of the repository runs in it.
fn plan(pipeline: &Pipeline) -> Map {
    let install = match &pipeline.install {
        Install::Version(_) => script::INSTALL_GITLAB,
        Install::Source(_) => script::INSTALL_SOURCE_GITLAB,
    };
    let key = match &pipeline.install {
        Install::Version(_) => Yaml::from("shipper-$SHIPPER_VERSION"),
        Install::Source(directory) => {
            let lock = [pipeline.directory.as_str(), directory.as_str(), "Cargo.lock"];
            let parts: Vec<&str> = lock.into_iter().filter(|part| !part.is_empty() && *part != ".").collect();
            Yaml::from(Map::new().with("files", vec![parts.join("/")]).with("prefix", "shipper"))
        }
    };
    let Yaml::List(mut steps) = script(pipeline, false, script::PLAN_GITLAB) else { unreachable!("it made one") };
    steps.insert(0, Yaml::Script(install));
    let artifacts = Map::new().with("paths", vec![PROGRAM, CHILD]).with("expire_in", "1 day");
    job(pipeline, environment(pipeline), BUILD_MINUTES)
        .with("stage", "build")
        .with("rules", rules(pipeline))
        .with("cache", Map::new().with("key", key).with("paths", vec![TOOLS]))
        .with("artifacts", artifacts)
        .with("script", Yaml::List(steps))
}

/// Starts the child, and fails where it does.
fn build(pipeline: &Pipeline) -> Map {
    let include = Map::new().with("artifact", CHILD).with("job", named(pipeline, "plan"));
    Map::new()
        .with("stage", "build")
        .with("rules", rules(pipeline))
        .with("needs", vec![named(pipeline, "plan")])
        .with("variables", Map::new().with("PARENT_PIPELINE_ID", "$CI_PIPELINE_ID"))
        .with("trigger", Map::new().with("include", vec![include]).with("strategy", "depend"))
}

/// The job whose name a rule for merge requests can ask for.
fn finish(pipeline: &Pipeline) -> Map {
    job(pipeline, environment(pipeline), MINUTES)
        .with("stage", "test")
        .with("rules", rules(pipeline))
        .with("needs", vec![named(pipeline, "plan"), named(pipeline, "build")])
        .with("script", script(pipeline, false, script::FINISH_GITLAB))
}

fn deploy(pipeline: &Pipeline, deployment: &Deployment) -> Map {
    let by_hand =
        |condition: String| Map::new().with("if", condition).with("when", "manual").with("allow_failure", true);
    let pushed = format!("({}) && $CI_PIPELINE_SOURCE == 'push'", is_branch(pipeline));
    let first = match deployment.on {
        Trigger::Manual => None,
        Trigger::Branch => Some(Map::new().with("if", pushed)),
        Trigger::Release => Some(Map::new().with("if", is_release(pipeline))),
    };
    let by_hand = [is_branch(pipeline), is_release(pipeline)].map(by_hand);
    let rules: Vec<Map> = first.into_iter().chain(by_hand).collect();
    let mut variables = environment(pipeline).with("ENVIRONMENT", literal(&deployment.environment));
    let mut of_role = pipeline.clone();
    if let Some(role) = &deployment.role {
        let aws = of_role.aws.get_or_insert_default();
        aws.role = Some(role.clone());
        variables = environment(&of_role).with("ENVIRONMENT", literal(&deployment.environment));
    }
    job(&of_role, variables, BUILD_MINUTES)
        .with("stage", "deploy")
        .with("rules", rules)
        .with("needs", vec![named(pipeline, "plan"), named(pipeline, "shipped")])
        .with("environment", Map::new().with("name", literal(&deployment.environment)))
        .with("resource_group", format!("shipper-{}", literal(&deployment.environment)))
        .with("script", script(&of_role, false, script::DEPLOY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_rule_fits_itself_alone() {
        assert_eq!(fitting("main", "x"), "/^main$/");
        assert_eq!(fitting("v*", ".*"), "/^v.*$/");
        assert_eq!(fitting("a/b'\"$", "x"), "/^a\\x{2f}b\\x{27}\\x{22}\\x{24}$/");
        assert_eq!(literal("$CI_TOKEN"), "$$CI_TOKEN");
    }
}
