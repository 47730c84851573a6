//! Pipelines that the tests of all systems share, and what they look for in documents.

use saphyr_parser::{Event, Parser};
use shipper_ci::{Aws, Deployment, Install, Login, Pipeline, PullRequests, Trigger};

/// Pipelines that differ in what the workflow is made of, by name.
pub(crate) fn pipelines() -> Vec<(&'static str, Pipeline)> {
    let version = || Install::Version("0.1.0".to_owned());
    let of = |registry: &str, change: &dyn Fn(&mut Pipeline)| {
        let mut pipeline = Pipeline::new(version(), registry);
        change(&mut pipeline);
        pipeline
    };
    let role = |name: &str| format!("arn:aws:iam::123456789012:role/{name}");
    let aws = || Some(Aws { role: Some(role("ci")), region: Some("eu-west-1".to_owned()) });
    let ecr = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    vec![
        ("plain", of("registry.example.com/team", &|_| {})),
        (
            "ghcr",
            of("ghcr.io/acme", &|pipeline| {
                pipeline.login = Login::GithubToken;
                pipeline.pull_requests = PullRequests::Push;
            }),
        ),
        (
            "ecr",
            of(ecr, &|pipeline| {
                pipeline.login = Login::Aws;
                pipeline.aws = aws();
                pipeline.pull_requests = PullRequests::Push;
            }),
        ),
        (
            "ecr_without_a_role",
            of(ecr, &|pipeline| {
                pipeline.login = Login::Aws;
                pipeline.aws = Some(Aws { role: None, region: Some("eu-west-1".to_owned()) });
            }),
        ),
        (
            "password",
            of("registry.example.com", &|pipeline| {
                let [username, password] = ["REGISTRY_USER", "REGISTRY_PASSWORD"].map(str::to_owned);
                pipeline.login = Login::Secrets { username, password };
            }),
        ),
        ("cargo", of("registry.example.com", &|pipeline| pipeline.cargo = true)),
        (
            "dockerfiles",
            of("registry.example.com", &|pipeline| {
                pipeline.dockerfiles = true;
                pipeline.gha_cache = true;
                pipeline.secrets = vec!["NPM_TOKEN".to_owned(), "SIGNING_KEY".to_owned()];
            }),
        ),
        (
            "deployments",
            of("registry.example.com", &|pipeline| {
                let triggers =
                    [("staging", Trigger::Branch), ("prod", Trigger::Release), ("load-test", Trigger::Manual)];
                pipeline.deployments = triggers.map(|(name, on)| Deployment::new(name, on)).into();
            }),
        ),
        (
            "deployments_on_aws",
            of(ecr, &|pipeline| {
                pipeline.login = Login::Aws;
                pipeline.aws = aws();
                let mut prod = Deployment::new("prod", Trigger::Release);
                prod.role = Some(role("prod"));
                prod.secrets = vec!["PULUMI_ACCESS_TOKEN".to_owned()];
                pipeline.deployments = vec![Deployment::new("staging", Trigger::Branch), prod];
            }),
        ),
        (
            "tags",
            of("registry.example.com", &|pipeline| {
                pipeline.tags = vec!["v*".to_owned(), "api/v[0-9]+".to_owned()];
                pipeline.branch = "trunk".to_owned();
                pipeline.cargo = true;
                pipeline.deployments = vec![Deployment::new("prod", Trigger::Release)];
            }),
        ),
        (
            "schedule",
            of("registry.example.com", &|pipeline| {
                pipeline.schedule = vec!["0 3 * * 1-5".to_owned()];
                pipeline.runner = "self-hosted".to_owned();
            }),
        ),
        (
            "sources",
            of("registry.example.com", &|pipeline| {
                pipeline.install = Install::Source("tools/shipper".to_owned());
                pipeline.directory = "apps/shop".to_owned();
            }),
        ),
        (
            "own_sources",
            of("ghcr.io/acme", &|pipeline| {
                pipeline.install = Install::Source(".".to_owned());
                pipeline.login = Login::GithubToken;
                pipeline.cargo = true;
            }),
        ),
        (
            "everything",
            of(ecr, &|pipeline| {
                pipeline.login = Login::Aws;
                pipeline.aws = aws();
                pipeline.pull_requests = PullRequests::Push;
                pipeline.secrets = vec!["NPM_TOKEN".to_owned()];
                pipeline.schedule = vec!["0 3 * * *".to_owned()];
                (pipeline.dockerfiles, pipeline.cargo, pipeline.gha_cache) = (true, true, true);
                let mut prod = Deployment::new("prod", Trigger::Release);
                prod.role = Some(role("prod"));
                pipeline.deployments = vec![Deployment::new("staging", Trigger::Branch), prod];
            }),
        ),
        ("hostile", hostile("a'b\"c${{github.token}}$(id)`id`#")),
    ]
}

/// A pipeline in which everything that somebody may name has this name.
pub(crate) fn hostile(name: &str) -> Pipeline {
    let name = || name.to_owned();
    let mut pipeline = Pipeline::new(Install::Version(name()), "registry.example.com");
    pipeline.login = Login::Secrets { username: "REGISTRY_USER".to_owned(), password: name() };
    pipeline.branch = name();
    pipeline.registry = name();
    pipeline.runner = name();
    pipeline.aws = Some(Aws { role: Some(name()), region: Some(name()) });
    let mut prod = Deployment::new("prod", Trigger::Branch);
    prod.role = Some(name());
    pipeline.deployments = vec![prod];
    pipeline
}

/// What is behind each key `key`, and how deep it is.
pub(crate) fn values(document: &str, key: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_next = false;
    for event in Parser::new_from_str(document) {
        let event = event.expect("is YAML").0;
        let Event::Scalar(text, ..) = event else {
            is_next = false;
            continue;
        };
        if std::mem::replace(&mut is_next, false) {
            found.push(text.into_owned());
        } else {
            is_next = text == key;
        }
    }
    found
}
