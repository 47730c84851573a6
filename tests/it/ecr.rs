//! `ecr lifecycle`: policies in files.

use serde_json::json;

use shipper_testkit::{ApiFault, Auth, FakeAws, FakeRegistry, Profile};

use crate::support::{Project, Ran, TWO_SERVICES, text};

const POLICY: &str = r#"{"rules":[
  {"rulePriority":1,"description":"in use","selection":{"tagStatus":"tagged","tagPrefixList":["env-"],"countType":"imageCountMoreThan","countNumber":9999},"action":{"type":"expire"}},
  {"rulePriority":10,"selection":{"tagStatus":"tagged","tagPatternList":["pr-*"],"countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}},
  {"rulePriority":20,"selection":{"tagStatus":"untagged","countType":"sinceImagePushed","countUnit":"days","countNumber":1},"action":{"type":"expire"}}
]}"#;

/// What `aws ecr describe-images` prints, shortened.
const IMAGES: &str = r#"{
    "imageDetails": [
        {"registryId": "123456789012", "repositoryName": "shop/api", "imageDigest": "sha256:01", "imageTags": ["pr-1", "env-prod"],
         "imageSizeInBytes": 10, "imagePushedAt": "2026-01-01T10:00:00+01:00", "imageManifestMediaType": "application/vnd.oci.image.manifest.v1+json"},
        {"registryId": "123456789012", "repositoryName": "shop/api", "imageDigest": "sha256:02", "imageTags": ["pr-2"], "imagePushedAt": "2026-01-02T10:00:00+01:00"},
        {"registryId": "123456789012", "repositoryName": "shop/api", "imageDigest": "sha256:03", "imageTags": ["pr-3"], "imagePushedAt": "2026-01-03T10:00:00.123000+01:00"},
        {"registryId": "123456789012", "repositoryName": "shop/api", "imageDigest": "sha256:04", "imagePushedAt": 1767434400.0}
    ]
}"#;

fn project() -> Project {
    let project = Project::new("");
    project.repo.write("policy.json", POLICY);
    project.repo.write("images.json", IMAGES);
    project
}

const SIMULATE: [&str; 7] = ["ecr", "lifecycle", "simulate", "--policy", "policy.json", "--images", "images.json"];

#[test]
fn a_simulation_says_what_goes_by_which_rule_and_what_stays() {
    let project = project();
    let at = |now: &str| project.run([&SIMULATE[..], &["--now", now, "--json"]].concat()).ok();
    let first = at("2026-01-04T10:00:00Z");
    let expected = concat!(
        r#"{"expire":[{"digest":"sha256:02","tags":["pr-2"],"rule":10}],"#,
        r#""keep":[{"digest":"sha256:01","tags":["env-prod"]},{"digest":"sha256:03","tags":["pr-3"]},{"digest":"sha256:04","tags":[]}],"#,
        r#""uncertain":[]}"#
    )
    .replace(r#"["env-prod"]"#, r#"["pr-1","env-prod"]"#);
    assert_eq!(first.stdout.trim_end(), expected);
    // A second later, the untagged image is more than a day old.
    assert_eq!(at("2026-01-04T10:00:01Z").json()["expire"][1], json!({"digest": "sha256:04", "tags": [], "rule": 20}));
    let explained = project.run([&SIMULATE[..], &["--explain", "--now", "2026-01-04T10:00:00Z"]].concat()).ok();
    let shielded = "sha256:01  pr-1 env-prod: rule 1 is about it first and leaves it alone; rule 10 would act on it";
    assert!(explained.stdout.contains(shielded), "{}", explained.stdout);
    explained.says("1 expire, 0 uncertain, 3 keep");
}

#[test]
fn the_children_of_an_index_are_uncertain() {
    let project = project();
    let index = IMAGES.replace(
        r#""sha256:03", "imageTags""#,
        r#""sha256:03", "imageManifestMediaType": "application/vnd.oci.image.index.v1+json", "imageTags""#,
    );
    project.repo.write("images.json", index);
    let ran = project.run([&SIMULATE[..], &["--json", "--now", "2026-02-01T00:00:00Z"]].concat()).ok();
    assert_eq!(text(&ran.json()["uncertain"][0]["digest"]), "sha256:04");
    ran.says("the parts of an index are untagged");
}

#[test]
fn rendering_gives_the_canonical_text_and_diff_compares_meaning() {
    let project = project();
    let render = |file: &str| project.run(["ecr", "lifecycle", "render", "--policy", file]).ok().stdout;
    let canonical = render("policy.json");
    project.repo.write("canonical.json", &canonical);
    assert_eq!(render("canonical.json"), canonical);
    assert!(!canonical.trim_end().contains([' ', '\n']) || canonical.contains("in use"), "{canonical}");
    let diff = |after: &str| {
        project.repo.write("after.json", after);
        project.run(["ecr", "lifecycle", "diff", "policy.json", "after.json"])
    };
    let respelled =
        POLICY.replace(r#""tagPrefixList":["env-"]"#, r#""tagPatternList":["env-*"]"#).replace("in use", "x");
    diff(&respelled).ok().says("the same rules, spelled differently");
    let changed = diff(&POLICY.replace("9999", "5")).exits(1);
    assert_eq!(changed.stdout, "~ 1: env-*: expire beyond 9999 images -> env-*: expire beyond 5 images\n");
}

#[test]
fn documents_that_are_none_are_refused_with_place_and_hint() {
    let check = |policy: &str, images: &str, says: &[&str]| {
        let project = project();
        project.repo.write("policy.json", policy);
        project.repo.write("images.json", images);
        let mut ran = project.run(SIMULATE).exits(2);
        for needle in says {
            ran = ran.says(needle);
        }
        assert_eq!(ran.stdout, "");
    };
    check(
        &POLICY.replace("countNumber", "countNumbr"),
        IMAGES,
        &["policy.json", "line 2, column", "rules[0]", "did you mean `countNumber`?"],
    );
    check(
        &POLICY.replace(":10,", ":1,"),
        IMAGES,
        &["line 3, column 3: rules[1]: `rulePriority` 1 is that of rules[0] already"],
    );
    check(POLICY, POLICY, &["images.json", "missing field `imageDetails`", "hint: pass what `aws ecr describe-images"]);
    check(POLICY, "[]", &["line 1, column 2", "expected an object with `imageDetails`"]);
    check(POLICY, &IMAGES.replace("2026-01-02T", "someday"), &["line 5, column", "expected a time"]);
    let project = project();
    project.run([&SIMULATE[..], &["--now", "today"]].concat()).exits(2).says("cannot use the time `today`");
    project.run(["ecr", "lifecycle", "render", "--policy", "nowhere.json"]).exits(2).says("cannot read");
}

#[cfg(target_os = "linux")]
#[test]
fn a_hundred_thousand_images_are_simulated_in_bounded_memory() {
    use std::fmt::Write as _;

    let mut images = String::from("{\"imageDetails\":[\n");
    for at in 0..100_000 {
        let comma = if at == 0 { "" } else { ",\n" };
        let _ = write!(
            images,
            "{comma}{{\"registryId\":\"123456789012\",\"repositoryName\":\"shop/api\",\"imageDigest\":\"sha256:{at:064x}\",\"imageTags\":[\"pr-{}-{at:07x}\",\"h-{at:032x}\"],\"imageSizeInBytes\":52428800,\"imagePushedAt\":{},\"imageManifestMediaType\":\"application/vnd.oci.image.manifest.v1+json\"}}",
            at % 3000,
            1_700_000_000 + at * 60
        );
    }
    images.push_str("]}\n");
    let project = project();
    project.repo.write("images.json", images);
    // 200 MiB and the address space that a process of this binary takes before it has read anything.
    let mut limited = std::process::Command::new("sh");
    let inner = project.command([&SIMULATE[..], &["--json", "--now", "2026-01-01T00:00:00Z"]].concat());
    limited.args(["-c", "ulimit -v $((200 * 1024 + 64 * 1024)); exec \"$0\" \"$@\""]).arg(inner.get_program());
    limited.args(inner.get_args()).current_dir(project.path());
    let ran = crate::support::Ran::of(&limited.output().expect("a shell starts")).ok();
    assert_eq!(ran.json()["expire"].as_array().map(Vec::len), Some(99_999));
}

const PASSWORD: &str = "ecr-canary-password";

/// ECR with a data plane that wants the password of its own tokens, and a project with two services.
struct World {
    registry: FakeRegistry,
    aws: FakeAws,
    project: Project,
}

impl World {
    fn new() -> Self {
        Self::with_auth(Auth::basic("AWS", PASSWORD))
    }

    fn with_auth(auth: Auth) -> Self {
        let registry = FakeRegistry::builder().profile(Profile::Ecr).auth(auth).start();
        let aws = FakeAws::over(&registry);
        Self { registry, aws, project: Project::two_services() }
    }

    /// Two services whose images go to ECR.
    fn with_registry(registry: &str) -> Self {
        let world = Self::new();
        let config = TWO_SERVICES.replace("name = \"demo\"", &format!("name = \"demo\"\nregistry = {registry}"));
        world.project.repo.write("shipper.toml", config);
        world
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.project.command(arguments);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
            command.env_remove(name);
        }
        Ran::of(&command.envs(self.aws.environment()).output().expect("the binary starts"))
    }
}

const HOST: &str = "\"123456789012.dkr.ecr.eu-west-1.amazonaws.com\"";

#[test]
fn images_are_shipped_to_ecr_without_a_docker_login() {
    let world = World::with_registry(HOST);
    for repository in ["demo/docs", "demo/site"] {
        world.registry.create_repository(repository);
    }
    let ran = world.run(&["ship", "-vvv"]).ok();
    assert!(world.registry.tags("demo/docs").iter().any(|(tag, _)| tag.starts_with("h-")));
    // One password for all repositories of the registry, in no log however much is logged.
    let logins = |aws: &FakeAws| aws.actions().iter().filter(|action| *action == "ecr:GetAuthorizationToken").count();
    assert!(logins(&world.aws) <= 2, "{:?}", world.aws.actions());
    for part in [PASSWORD, &base64(&format!("AWS:{PASSWORD}"))] {
        let leak = ran.stderr.lines().chain(ran.stdout.lines()).find(|line| line.contains(part));
        assert_eq!(leak, None);
    }
}

#[test]
fn a_password_that_has_expired_is_renewed_within_a_run() {
    let world = World::with_auth(Auth::basic("AWS", PASSWORD).expires_after(8));
    let config = TWO_SERVICES.replace("name = \"demo\"", &format!("name = \"demo\"\nregistry = {HOST}"));
    world.project.repo.write("shipper.toml", config);
    for repository in ["demo/docs", "demo/site"] {
        world.registry.create_repository(repository);
    }
    world.run(&["ship"]).ok();
    let logins = world.aws.actions().iter().filter(|action| *action == "ecr:GetAuthorizationToken").count();
    assert!(logins > 2, "{logins} logins");
    world.run(&["plan", "--check"]).ok();
}

fn base64(text: &str) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(text)
}

#[test]
fn without_a_password_there_is_no_verdict() {
    let world = World::with_registry(HOST);
    world.aws.fault(ApiFault::deny("ecr:GetAuthorizationToken"));
    world.run(&["plan"]).exits(3).says("access is denied").says("ecr:GetAuthorizationToken");
}

#[test]
fn the_registry_of_a_stacks_repository() {
    let world = World::with_registry("{ stack = \"ShopStack\", output = \"Uri\" }");
    world.run(&["plan"]).exits(1).says("the stack does not exist").says("deploy the stack first");
    for repository in ["demo/docs", "demo/site"] {
        world.registry.create_repository(repository);
    }
    world.aws.set_stack("ShopStack", &["CREATE_COMPLETE"], &[("Uri", &world.aws.repository_uri("demo/docs"))]);
    world.run(&["ship"]).ok();
    world.run(&["plan", "--check"]).ok();
    world.aws.fault(ApiFault::deny("ecr:DescribeRepositories"));
    world.run(&["plan"]).exits(3).says("ecr:DescribeRepositories");
    // What the user says on the command line wins, and AWS is not asked.
    world.aws.clear_calls();
    world.run(&["plan", "--registry", "oci:elsewhere"]).ok();
    assert_eq!(world.aws.actions(), Vec::<String>::new());
}

#[test]
fn the_only_service_goes_to_the_repository_that_the_stack_names() {
    let world = World::new();
    let config = "[project]\nregistry = { stack = 'S', outputs-file = 'cdk-outputs.json' }\n[service.docs]\nfiles = { '/srv' = 'docs' }\n";
    world.project.repo.write("shipper.toml", config);
    world.registry.create_repository("stack-made-name");
    let outputs = format!("{{\"S\":{{\"Uri\":\"{}\"}}}}", world.aws.repository_uri("stack-made-name"));
    world.project.repo.write("cdk-outputs.json", outputs);
    world.run(&["ship"]).ok();
    assert!(!world.registry.tags("stack-made-name").is_empty());
}
