//! The workflow of GitHub Actions.
//!
//! Invariants: no script holds an expression; a job has the permissions that it needs and no other; a pull request of a fork
//! (or of Dependabot, which has no secrets either) is given no credentials and writes into a directory of its runner.
//!
//! Source: GitHub documentation, "Workflow syntax for GitHub Actions" and "Secure use reference".

use crate::actions::{AWS_CREDENTIALS, Action, CACHE, CHECKOUT, DOWNLOAD, RUNTIME, UPLOAD};
use crate::expression::{in_filter, literal, quoted, secret};
use crate::pipeline::{Deployment, Install, Login, Pipeline, PullRequests, Trigger};
use crate::script;
use crate::yaml::{Map, Yaml};

/// What stands above the workflow.
const HEADER: &str = "\
# Written by `shipper ci github --write` from shipper.toml. `shipper ci github --check` tells whether it still is what would be written.
";

/// Minutes after which a job is given up: of those that build, and of the others.
const BUILD_MINUTES: u32 = 120;
const MINUTES: u32 = 30;

/// The workflow, as the text of its file.
///
/// The same pipeline gives the same bytes.
#[must_use]
pub fn github(pipeline: &Pipeline) -> String {
    let apart = Apart::of(pipeline);
    let mut jobs = Map::new()
        .with("plan", plan(pipeline, &apart))
        .with("bases", bases(pipeline, &apart))
        .with("build", build(pipeline, &apart))
        .with("finish", finish(pipeline, &apart));
    // Whoever pushes tags as releases need not have a release at GitHub.
    if pipeline.tags.is_empty() {
        jobs = jobs.with("notes", notes(pipeline));
    }
    for deployment in &pipeline.deployments {
        jobs = jobs.with(&format!("deploy-{}", deployment.environment), deploy(pipeline, deployment));
    }
    let run = Map::new()
        .with("shell", "bash")
        .with_some("working-directory", Some(literal(&pipeline.directory)).filter(|directory| !directory.is_empty()));
    let is_request = "github.event_name == 'pull_request'";
    let group = format!("shipper-${{{{ {is_request} && github.event.pull_request.number || github.run_id }}}}");
    let workflow = Map::new()
        .with("name", "shipper")
        .with("on", triggers(pipeline))
        .with("permissions", Map::new())
        .with(
            "concurrency",
            Map::new().with("group", group).with("cancel-in-progress", format!("${{{{ {is_request} }}}}")),
        )
        .with("env", environment(pipeline, &apart))
        .with("defaults", Map::new().with("run", run))
        .with("jobs", jobs);
    format!("{HEADER}{}", workflow.render())
}

/// Which runs are kept apart, as an expression.
struct Apart(String);

impl Apart {
    fn of(pipeline: &Pipeline) -> Self {
        let request = "github.event_name == 'pull_request'";
        Self(match pipeline.pull_requests {
            PullRequests::KeptApart => request.to_owned(),
            PullRequests::Push => format!(
                "{request} && (github.event.pull_request.head.repo.full_name != github.repository || \
                 github.event.pull_request.user.login == 'dependabot[bot]')"
            ),
        })
    }

    /// The condition of a step that needs credentials.
    fn unless(&self) -> String {
        format!("${{{{ !({}) }}}}", self.0)
    }
}

fn triggers(pipeline: &Pipeline) -> Map {
    let branch = vec![in_filter(&pipeline.branch)];
    let push = Map::new()
        .with("branches", branch)
        .with_some("tags", Some(pipeline.tags.clone()).filter(|tags| !tags.is_empty()));
    let release = pipeline.tags.is_empty().then(|| Map::new().with("types", vec!["published"]));
    let schedule: Vec<Yaml> =
        pipeline.schedule.iter().map(|cron| Yaml::from(Map::new().with("cron", cron.as_str()))).collect();
    let environments: Vec<String> = std::iter::once("none".to_owned())
        .chain(pipeline.deployments.iter().map(|deployment| deployment.environment.clone()))
        .collect();
    let input = Map::new()
        .with("description", "Environment to deploy to")
        .with("type", "choice")
        .with("default", "none")
        .with("options", environments);
    let manual = if pipeline.deployments.is_empty() {
        Map::new()
    } else {
        Map::new().with("inputs", Map::new().with("environment", input))
    };
    Map::new()
        .with("push", push)
        .with("pull_request", Map::new())
        .with("merge_group", Map::new())
        .with_some("release", release)
        .with_some("schedule", Some(schedule).filter(|schedule| !schedule.is_empty()))
        .with("workflow_dispatch", manual)
}

/// Variables of all jobs. What is kept apart goes to directories, whatever the configuration says.
fn environment(pipeline: &Pipeline, apart: &Apart) -> Map {
    let to = |directory: &str| format!("${{{{ {} && 'oci:.shipper/{directory}' || '' }}}}", apart.0);
    let install = match &pipeline.install {
        Install::Version(version) => Map::new().with("SHIPPER_VERSION", literal(version)),
        Install::Source(directory) => Map::new().with("SHIPPER_SOURCE", literal(directory)),
    };
    install.with("SHIPPER_REGISTRY", to("images")).with("SHIPPER_UNTRUSTED", to("pulls"))
}

/// What a job may do to the packages of the repository's owner.
#[derive(Clone, Copy)]
enum Packages {
    Read,
    Write,
}

fn permissions(pipeline: &Pipeline, packages: Packages, has_role: bool) -> Map {
    let packages = match packages {
        Packages::Read => "read",
        Packages::Write => "write",
    };
    let asks_identity = has_role || pipeline.login == Login::Aws || pipeline.aws.is_some();
    Map::new()
        .with("contents", "read")
        .with_some("id-token", asks_identity.then_some("write"))
        .with_some("packages", (pipeline.login == Login::GithubToken).then_some(packages))
}

fn uses(action: Action) -> Yaml {
    Yaml::Noted(format!("{}@{}", action.name, action.commit), action.version.to_owned())
}

/// A directory that is kept between runs, but for releases: what they are made of is compiled anew, so that nothing which an
/// earlier run left behind gets into it. The linter sees that releases start the workflow, not that they skip the step.
fn kept(name: &str, with: Map) -> Map {
    let action = format!("{}@{}", CACHE.name, CACHE.commit);
    let note = format!("{} # zizmor: ignore[cache-poisoning]", CACHE.version);
    Map::new()
        .with("name", name)
        .with("if", "github.ref_type != 'tag'")
        .with("uses", Yaml::Noted(action, note))
        .with("with", with)
}

fn checkout() -> Map {
    let with = Map::new().with("persist-credentials", false);
    Map::new().with("name", "Check out").with("uses", uses(CHECKOUT)).with("with", with)
}

/// As [`checkout`], of the directories that a job needs.
fn checkout_some() -> Map {
    let with = Map::new().with("persist-credentials", false).with("sparse-checkout", "${{ matrix.sparse }}");
    Map::new().with("name", "Check out").with("uses", uses(CHECKOUT)).with("with", with)
}

/// A path of the project, relative to the repository.
fn in_repository(pipeline: &Pipeline, path: &str) -> String {
    let parts = [pipeline.directory.as_str(), path];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty() && *part != ".").collect();
    parts.join("/")
}

/// Steps that bring shipper onto the first runner, compiled once for each version, and give it to the other jobs. No code of
/// the repository runs in that job.
fn install(pipeline: &Pipeline) -> Vec<Map> {
    let key = match &pipeline.install {
        Install::Version(version) => literal(version),
        Install::Source(directory) => {
            let file = |name: &str| quoted(&in_repository(pipeline, &in_source(directory, name)));
            format!("${{{{ hashFiles({}, {}) }}}}", file("crates/**"), file("Cargo.lock"))
        }
    };
    let script = match &pipeline.install {
        Install::Version(_) => script::INSTALL_VERSION,
        Install::Source(_) => script::INSTALL_SOURCE,
    };
    let with = Map::new()
        .with("path", INSTALLED)
        .with("key", format!("shipper-${{{{ runner.os }}}}-${{{{ runner.arch }}}}-{key}"));
    let file = Map::new()
        .with("name", "shipper")
        .with("path", format!("{INSTALLED}/bin/shipper"))
        .with("retention-days", 1)
        .with("if-no-files-found", "error");
    vec![
        Map::new().with("id", "kept").and(kept("Look for shipper", with)),
        Map::new()
            .with("name", "Install shipper")
            .with("if", "steps.kept.outputs.cache-hit != 'true'")
            .with("run", Yaml::Script(script)),
        Map::new().with("name", "Give shipper to the other jobs").with("uses", uses(UPLOAD)).with("with", file),
        found(),
    ]
}

/// Where shipper lies on a runner.
const INSTALLED: &str = "${{ runner.temp }}/shipper";

/// Steps that bring shipper from the first job onto the runner of another one.
fn fetched() -> Vec<Map> {
    let with = Map::new().with("name", "shipper").with("path", format!("{INSTALLED}/bin"));
    vec![Map::new().with("name", "Fetch shipper").with("uses", uses(DOWNLOAD)).with("with", with), found()]
}

fn found() -> Map {
    Map::new().with("name", "Find shipper").with("run", Yaml::Script(script::PATH))
}

fn in_source(directory: &str, name: &str) -> String {
    if directory == "." { name.to_owned() } else { format!("{directory}/{name}") }
}

fn login(pipeline: &Pipeline, condition: Option<&str>) -> Option<Map> {
    let (username, password) = match &pipeline.login {
        Login::Anonymous | Login::Aws => return None,
        Login::GithubToken => ("${{ github.actor }}".to_owned(), "${{ github.token }}".to_owned()),
        Login::Secrets { username, password } => (secret(username), secret(password)),
    };
    let env = Map::new()
        .with("REGISTRY", literal(&pipeline.registry))
        .with("REGISTRY_USERNAME", username)
        .with("REGISTRY_PASSWORD", password);
    let step = Map::new().with("name", "Log in to the registry").with_some("if", condition);
    Some(step.with("env", env).with("run", Yaml::Script(script::LOGIN)))
}

/// Variables from which shipper, and what it starts, gets its credentials of AWS.
fn of_aws(pipeline: &Pipeline) -> Map {
    let Some(aws) = &pipeline.aws else { return Map::new() };
    Map::new()
        .with_some("AWS_ROLE_ARN", aws.role.as_deref().map(literal))
        .with_some("AWS_REGION", aws.region.as_deref().map(literal))
}

fn secrets(names: &[String]) -> Map {
    names.iter().fold(Map::new(), |map, name| map.with(name, secret(name)))
}

/// The first steps of every job but the first.
fn prepared(pipeline: &Pipeline, condition: Option<&str>) -> Vec<Map> {
    let mut steps = vec![checkout()];
    steps.extend(fetched());
    steps.extend(login(pipeline, condition));
    steps
}

/// Steps before one that builds.
fn builders(pipeline: &Pipeline, job: &str) -> Vec<Map> {
    let mut steps = Vec::new();
    if pipeline.cargo {
        let paths = "~/.cargo/registry\n~/.cache/shipper";
        let key =
            format!("build-${{{{ runner.os }}}}-${{{{ runner.arch }}}}-{job}-${{{{ hashFiles('**/Cargo.lock') }}}}-");
        let with = Map::new()
            .with("path", Yaml::Script(paths))
            .with("key", format!("{key}${{{{ github.sha }}}}"))
            .with("restore-keys", key);
        steps.push(kept("Keep crates and what was compiled", with));
    }
    if pipeline.dockerfiles {
        steps.push(Map::new().with("name", "Start a builder").with("run", Yaml::Script(script::BUILDER)));
    }
    if pipeline.gha_cache {
        steps.push(Map::new().with("name", "Show builders the cache").with("uses", uses(RUNTIME)));
    }
    steps
}

/// A job, from its condition on.
fn job(pipeline: &Pipeline, minutes: u32, permissions: Map) -> Map {
    Map::new()
        .with("runs-on", literal(&pipeline.runner))
        .with("timeout-minutes", minutes)
        .with("permissions", permissions)
}

fn plan(pipeline: &Pipeline, apart: &Apart) -> Map {
    let names = ["due", "bases", "matrix", "retag"];
    let outputs =
        names.iter().fold(Map::new(), |map, name| map.with(name, format!("${{{{ steps.plan.outputs.{name} }}}}")));
    let mut steps = vec![checkout()];
    steps.extend(install(pipeline));
    steps.extend(login(pipeline, Some(&apart.unless())));
    let step = Map::new().with("name", "Plan").with("id", "plan").with("run", Yaml::Script(script::PLAN));
    steps.push(step);
    Map::new()
        .with("name", "plan")
        .and(job(pipeline, MINUTES, permissions(pipeline, Packages::Read, false)))
        .with_some("env", of_aws(pipeline).some())
        .with("outputs", outputs)
        .with("steps", steps)
}

/// Services that others are built on. What is kept apart has them in each job, for their images can go nowhere.
fn bases(pipeline: &Pipeline, apart: &Apart) -> Map {
    let mut steps = prepared(pipeline, None);
    steps.extend(builders(pipeline, "bases"));
    let services = Map::new().with("SERVICES", "${{ needs.plan.outputs.bases }}");
    steps.push(ship(services.and(secrets(&pipeline.secrets))));
    Map::new()
        .with("name", "bases")
        .with("needs", vec!["plan"])
        .with("if", format!("${{{{ needs.plan.outputs.bases != '' && !({}) }}}}", apart.0))
        .and(job(pipeline, BUILD_MINUTES, permissions(pipeline, Packages::Write, false)))
        .with_some("env", of_aws(pipeline).some())
        .with("steps", steps)
}

fn ship(env: Map) -> Map {
    Map::new().with("name", "Ship").with("env", env).with("run", Yaml::Script(script::SHIP))
}

fn build(pipeline: &Pipeline, apart: &Apart) -> Map {
    let mut steps = prepared(pipeline, Some(&apart.unless()));
    steps[0] = checkout_some();
    steps.extend(builders(pipeline, "${{ matrix.name }}"));
    let services = Map::new().with("SERVICES", "${{ matrix.services }}");
    steps.push(ship(services.and(secrets(&pipeline.secrets))));
    let strategy = Map::new().with("fail-fast", false).with("matrix", "${{ fromJSON(needs.plan.outputs.matrix) }}");
    // A matrix without jobs is an error.
    let condition = "${{ !cancelled() && needs.plan.result == 'success' && needs.bases.result != 'failure' && \
                     needs.bases.result != 'cancelled' && fromJSON(needs.plan.outputs.matrix).include[0] }}";
    Map::new()
        .with("name", "${{ matrix.name }}")
        .with("needs", vec!["plan", "bases"])
        .with("if", condition)
        .with("strategy", strategy)
        .and(job(pipeline, BUILD_MINUTES, permissions(pipeline, Packages::Write, false)))
        .with_some("env", of_aws(pipeline).some())
        .with("steps", steps)
}

/// The one job that tells how the run ended, whatever came before: its name is what a rule for branches can ask for.
fn finish(pipeline: &Pipeline, apart: &Apart) -> Map {
    let condition = format!("${{{{ needs.plan.outputs.due == 'true' && !({}) }}}}", apart.0);
    let mut steps = vec![
        Map::new()
            .with("name", "Look at the other jobs")
            .with("env", Map::new().with("RESULTS", "${{ join(needs.*.result, ' ') }}"))
            .with("run", Yaml::Script(script::VERDICT)),
    ];
    steps.extend(prepared(pipeline, Some(&condition)));
    let step = Map::new().with("name", "Give every image its names").with("if", condition);
    let env = secrets(&pipeline.secrets).some();
    steps.push(step.with_some("env", env).with("run", Yaml::Script(script::FINISH)));
    Map::new()
        .with("name", "shipped")
        .with("needs", vec!["plan", "bases", "build"])
        .with("if", "${{ always() }}")
        .and(job(pipeline, MINUTES, permissions(pipeline, Packages::Write, false)))
        .with_some("env", of_aws(pipeline).some())
        .with("steps", steps)
}

/// The one job that writes to the repository, for releases only.
fn notes(pipeline: &Pipeline) -> Map {
    let mut steps = prepared(pipeline, None);
    let env = Map::new().with("GITHUB_TOKEN", "${{ github.token }}");
    let step = Map::new().with("name", "Tell what the release has").with("env", env);
    steps.push(step.with("run", Yaml::Script(script::NOTES)));
    let asks_identity = pipeline.login == Login::Aws || pipeline.aws.is_some();
    let permissions = Map::new()
        .with("contents", "write")
        .with_some("id-token", asks_identity.then_some("write"))
        .with_some("packages", (pipeline.login == Login::GithubToken).then_some("read"));
    Map::new()
        .with("name", "release notes")
        .with("needs", vec!["finish"])
        .with("if", "${{ github.event_name == 'release' }}")
        .and(job(pipeline, MINUTES, permissions))
        .with_some("env", of_aws(pipeline).some())
        .with("steps", steps)
}

fn deploy(pipeline: &Pipeline, deployment: &Deployment) -> Map {
    let name = literal(&deployment.environment);
    let asked = format!("inputs.environment == {}", quoted(&deployment.environment));
    let pushed = |reference: &str| format!("github.event_name == 'push' && {reference}");
    let condition = match deployment.on {
        Trigger::Manual => asked,
        Trigger::Branch => {
            let branch = quoted(&format!("refs/heads/{}", pipeline.branch));
            format!("{asked} || {}", pushed(&format!("github.ref == {branch}")))
        }
        Trigger::Release if pipeline.tags.is_empty() => format!("{asked} || github.event_name == 'release'"),
        Trigger::Release => format!("{asked} || {}", pushed("github.ref_type == 'tag'")),
    };
    let mut steps = prepared(pipeline, None);
    let mut env = of_aws(pipeline);
    if let Some(role) = &deployment.role {
        let region = pipeline.aws.as_ref().and_then(|aws| aws.region.as_deref());
        let with = Map::new()
            .with("role-to-assume", literal(role))
            .with("aws-region", literal(region.unwrap_or("us-east-1")))
            .with("mask-aws-account-id", true);
        let step = Map::new().with("name", "Take the role of the environment").with("uses", uses(AWS_CREDENTIALS));
        steps.push(step.with("with", with));
        env = Map::new();
    }
    let variables = Map::new().with("ENVIRONMENT", name.as_str()).and(secrets(&deployment.secrets));
    steps.push(Map::new().with("name", "Deploy").with("env", variables).with("run", Yaml::Script(script::DEPLOY)));
    let group = format!("shipper-deploy-{name}");
    Map::new()
        .with("name", format!("deploy {name}"))
        .with("needs", vec!["finish"])
        .with("if", format!("${{{{ {condition} }}}}"))
        .and(job(pipeline, BUILD_MINUTES, permissions(pipeline, Packages::Write, deployment.role.is_some())))
        .with("environment", name)
        .with("concurrency", Map::new().with("group", group).with("cancel-in-progress", false))
        .with_some("env", env.some())
        .with("steps", steps)
}
