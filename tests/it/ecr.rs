//! `ecr lifecycle`: policies in files.

mod images;
mod in_use;

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

    /// How often AWS was asked for a password.
    fn logins(&self) -> usize {
        self.aws.actions().iter().filter(|action| *action == "ecr:GetAuthorizationToken").count()
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.project.command(arguments);
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
    assert_eq!(world.logins(), 1, "{:?}", world.aws.actions());
    for part in [PASSWORD, &base64(&format!("AWS:{PASSWORD}"))] {
        let leak = ran.stderr.lines().chain(ran.stdout.lines()).find(|line| line.contains(part));
        assert_eq!(leak, None);
    }
}

#[test]
fn a_password_that_has_expired_is_renewed_within_a_run() {
    let world = World::with_auth(Auth::basic("AWS", PASSWORD).expires_once_after(8));
    let config = TWO_SERVICES.replace("name = \"demo\"", &format!("name = \"demo\"\nregistry = {HOST}"));
    world.project.repo.write("shipper.toml", config);
    for repository in ["demo/docs", "demo/site"] {
        world.registry.create_repository(repository);
    }
    // Requests for both repositories are refused, and one new password serves them all.
    world.run(&["ship"]).ok();
    assert_eq!(world.logins(), 2, "{:?}", world.aws.actions());
    world.run(&["plan", "--check"]).ok();
    assert_eq!(world.logins(), 3, "{:?}", world.aws.actions());
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

/// Puts an image without layers into the fake registry, under tags, pushed so many days before 2026-06-01.
fn image(world: &World, repository: &str, name: &str, tags: &[&str], days: i64) -> String {
    let config = world.registry.put_blob(repository, format!("{{\"name\":\"{name}\"}}"));
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":10}},"layers":[]}}"#
    );
    put(world, repository, IMAGE, &manifest, tags, days)
}

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// 2026-06-01T00:00:00Z.
const JUNE: i64 = 1_780_272_000;

fn put(world: &World, repository: &str, media_type: &str, manifest: &str, tags: &[&str], days: i64) -> String {
    let digest = world.registry.put_manifest(repository, tags.first().copied(), media_type, manifest.to_owned());
    for tag in tags.iter().skip(1) {
        world.registry.put_tag(repository, tag, &digest);
    }
    world.aws.set_pushed_at(repository, &digest, JUNE - days * 86_400);
    digest
}

/// A repository with ten images of pull requests, an index with two parts, and a policy that keeps three.
fn filled() -> (World, Vec<String>, String) {
    let world = World::new();
    world.aws.set_time(JUNE);
    world.registry.create_repository("shop/api");
    let images =
        (0..10).map(|at| image(&world, "shop/api", &at.to_string(), &[&format!("pr-{at}")], 20 - at)).collect();
    let parts = ["arm", "amd"].map(|part| image(&world, "shop/api", part, &[], 90));
    let entries: Vec<String> =
        parts.iter().map(|part| format!(r#"{{"mediaType":"{IMAGE}","digest":"{part}","size":1}}"#)).collect();
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, entries.join(","));
    put(&world, "shop/api", INDEX, &index, &["v1"], 90);
    world.project.repo.write("policy.json", RETENTION);
    (world, images, parts[0].clone())
}

const RETENTION: &str = r#"{"rules":[{"rulePriority":10,"selection":{"tagStatus":"tagged","tagPatternList":["pr-*"],"countType":"imageCountMoreThan","countNumber":3},"action":{"type":"expire"}}]}"#;
const WITH_UNTAGGED: &str = r#"{"rules":[{"rulePriority":10,"selection":{"tagStatus":"tagged","tagPatternList":["pr-*"],"countType":"imageCountMoreThan","countNumber":3},"action":{"type":"expire"}},{"rulePriority":20,"selection":{"tagStatus":"untagged","countType":"sinceImagePushed","countUnit":"days","countNumber":1},"action":{"type":"expire"}}]}"#;

const ON_API: [&str; 6] = ["--repository", "shop/api", "--policy", "policy.json", "--now", "2026-06-01T00:00:00Z"];

#[test]
fn a_policy_is_put_after_it_was_tried_on_what_is_there() {
    let (world, ..) = filled();
    let apply = |arguments: &[&str]| world.run(&[&["ecr", "lifecycle", "apply"], &ON_API[..], arguments].concat());
    apply(&["--dry-run"]).exits(1).says("7 expire, 0 uncertain, 0 in use");
    assert_eq!(world.aws.lifecycle_policy("shop/api"), None);
    let applied = apply(&["--verify-remote"]).ok();
    assert_eq!(applied.stdout, "+ 10: pr-*: expire beyond 3 images\n");
    assert_eq!(world.aws.lifecycle_policy("shop/api").as_deref(), Some(RETENTION));
    // Again: nothing is written, also where the policy is spelled differently.
    world
        .aws
        .set_lifecycle_policy("shop/api", &RETENTION.replace("tagPatternList\":[\"pr-*", "tagPrefixList\":[\"pr-"));
    world.aws.clear_calls();
    apply(&[]).ok().says("Unchanged");
    assert!(!world.aws.actions().contains(&"ecr:PutLifecyclePolicy".to_owned()), "{:?}", world.aws.actions());
    let diff =
        |code| world.run(&["ecr", "lifecycle", "diff", "policy.json", "--repository", "shop/api"]).exits(code).stdout;
    assert_eq!(diff(0), "");
    world.aws.set_lifecycle_policy("shop/api", &RETENTION.replace(":3}", ":9}"));
    assert_eq!(diff(1), "~ 10: pr-*: expire beyond 9 images -> pr-*: expire beyond 3 images\n");
}

#[test]
fn a_policy_that_could_delete_what_is_in_use_is_refused_by_name() {
    let (world, images, part) = filled();
    let refused = |arguments: &[&str], says: &str| {
        world
            .run(&[&["ecr", "lifecycle", "apply"], &ON_API[..], arguments].concat())
            .exits(1)
            .says(says)
            .says("is in use");
        assert_eq!(world.aws.lifecycle_policy("shop/api"), None);
    };
    let host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    refused(&["--in-use", "shop/api:pr-2"], &images[2]);
    refused(&["--in-use", &format!("{host}/shop/api:whatever@{}", images[0])], &images[0]);
    world.project.repo.write("used.json", format!("[\"{host}/other/api:pr-1\", \"{host}/shop/api:pr-1\"]"));
    refused(&["--in-use-file", "used.json"], &images[1]);
    refused(&["--in-use-tag", "pr-4"], &images[4]);
    // Pins are in use without a word.
    world.registry.put_tag("shop/api", "env-prod", &images[3]);
    refused(&[], &images[3]);
    world.registry.delete_tag("shop/api", "env-prod");
    // An index in use is used by its parts, whose fate the documentation leaves open.
    world.project.repo.write("policy.json", WITH_UNTAGGED);
    refused(&["--in-use", "shop/api:v1"], "sha256:");
    refused(&["--in-use", &format!("shop/api@{part}")], "may act on it");
    world.project.repo.write("used.json", "{}");
    world
        .run(&[&["ecr", "lifecycle", "apply"], &ON_API[..], &["--in-use-file", "used.json"]].concat())
        .exits(2)
        .says("line 1");
    // What stays anyway can be in use.
    world.project.repo.write("policy.json", RETENTION);
    world
        .run(
            &[&["ecr", "lifecycle", "apply"], &ON_API[..], &["--in-use", "shop/api:pr-9", "--in-use", "shop/api:gone"]]
                .concat(),
        )
        .ok()
        .says("shop/api:gone is said to be in use");
}

#[test]
fn without_an_answer_nothing_is_written() {
    for action in
        ["ecr:DescribeImages", "ecr:BatchGetImage", "ecr:GetLifecyclePolicy", "ecr:StartLifecyclePolicyPreview"]
    {
        let (world, ..) = filled();
        world.aws.fault(ApiFault::deny(action));
        let ran = world.run(&[&["ecr", "lifecycle", "apply", "--verify-remote"], &ON_API[..]].concat());
        ran.exits(3).says(&format!("allow `{action}`"));
        assert_eq!(world.aws.lifecycle_policy("shop/api"), None);
    }
    let (world, ..) = filled();
    world.run(&["ecr", "lifecycle", "apply", "--repository", "shop/web", "--policy", "policy.json"]).exits(1);
}

#[test]
fn more_images_than_a_page_holds_are_all_seen() {
    let world = World::new();
    world.aws.set_time(JUNE);
    world.registry.create_repository("shop/api");
    for at in 0..2100 {
        let manifest = format!(r#"{{"schemaVersion":2,"n":{at}}}"#);
        put(&world, "shop/api", IMAGE, &manifest, &[&format!("pr-{at}")], 1 + at);
    }
    world.project.repo.write("policy.json", RETENTION);
    world.run(&[&["ecr", "lifecycle", "apply"], &ON_API[..]].concat()).ok().says("2097 expire");
    let pages = world.aws.actions().iter().filter(|action| *action == "ecr:DescribeImages").count();
    assert_eq!(pages, 3);
}

#[test]
fn collection_is_planned_checked_again_and_carried_out() {
    let (world, images, _) = filled();
    let plan = |arguments: &[&str]| {
        let ran = world.run(&[&["ecr", "gc", "plan", "--out", "plan.json"], &ON_API[..], arguments].concat()).ok();
        let text = std::fs::read_to_string(world.project.path().join("plan.json")).expect("a plan");
        (ran, serde_json::from_str::<serde_json::Value>(&text).expect("JSON"))
    };
    let apply = |arguments: &[&str]| world.run(&[&["ecr", "gc", "apply", "plan.json"], arguments].concat());
    let before = world.registry.manifests("shop/api").len();
    let (_, document) = plan(&["--in-use", "shop/api:pr-0"]);
    assert_eq!(document["delete"].as_array().map(Vec::len), Some(6));
    assert_eq!(world.registry.manifests("shop/api").len(), before);
    // Deployed, or named anew, between plan and execution.
    apply(&["--in-use", "shop/api:pr-1"]).exits(1).says(&images[1]);
    world.registry.put_tag("shop/api", "release", &images[2]);
    apply(&[]).exits(1).says(&images[2]).says("has other tags");
    assert_eq!(world.registry.manifests("shop/api").len(), before);
    world.registry.delete_tag("shop/api", "release");
    apply(&[]).ok().says("6 images");
    assert_eq!(world.registry.manifests("shop/api").len(), before - 6);
    assert!(world.registry.manifest("shop/api", "pr-0").is_some());
    // Again: all of it is gone.
    apply(&[]).ok().says("0 images");
    world.project.repo.write("plan.json", "{\"format\":\"1.0\"}");
    apply(&[]).exits(2).says("line 1 column 16").says("make the plan anew");
}

#[test]
fn collection_leaves_what_is_young_or_belongs_to_what_stays() {
    let (world, ..) = filled();
    world.project.repo.write("policy.json", WITH_UNTAGGED);
    world.registry.create_repository("young");
    for at in 0..5 {
        image(&world, "young", &at.to_string(), &[&format!("pr-{at}")], 0);
    }
    let planned = |repository: &str| {
        let arguments = [
            "ecr",
            "gc",
            "plan",
            "--repository",
            repository,
            "--policy",
            "policy.json",
            "--now",
            "2026-06-01T00:00:00Z",
        ];
        world.run(&arguments).ok().json()["delete"].as_array().map(Vec::len)
    };
    // The parts of the index are not deleted, although the policy has a rule for what is untagged.
    assert_eq!(planned("shop/api"), Some(7));
    assert_eq!(planned("young"), Some(0));
}

#[test]
fn repositories_are_created_and_made_as_asked_for_once() {
    let world = World::with_registry(HOST);
    let goal = ["--lock", "h-*", "--lock", "m-*", "--scan-on-push", "--tag", "team=shop", "--lambda-pull"];
    let ensure = |arguments: &[&str]| world.run(&[&["ecr", "ensure"], &goal[..], arguments].concat());
    ensure(&["--dry-run"]).exits(1).says("Planned demo/docs");
    assert_eq!(world.registry.repositories(), Vec::<String>::new());
    let created = ensure(&[]).ok();
    assert!(created.stdout.contains("demo/site: make tags immutable that match h-*, m-*"), "{}", created.stdout);
    assert_eq!(world.registry.repositories(), ["demo/docs", "demo/site"]);
    assert!(world.aws.repository_policy("demo/docs").is_some_and(|policy| policy.contains("lambda.amazonaws.com")));
    // Again: four looks and no write.
    world.aws.clear_calls();
    ensure(&[]).ok().says("Unchanged demo/docs");
    let writes = |action: &String| {
        !["ecr:DescribeRepositories", "ecr:ListTagsForResource", "ecr:GetRepositoryPolicy"].contains(&action.as_str())
    };
    assert_eq!(world.aws.actions().into_iter().filter(writes).collect::<Vec<_>>(), Vec::<String>::new());
    // The registry locks what it was told to.
    world.run(&["ship"]).ok();
    let identity =
        world.registry.tags("demo/docs").into_iter().find(|(tag, _)| tag.starts_with("h-")).expect("an identity");
    assert_eq!(world.registry.tag_history("demo/docs", &identity.0).len(), 1);
    // Encryption is fixed at creation.
    world
        .run(&["ecr", "ensure", "--kms-key", "arn:aws:kms:eu-west-1:123456789012:key/1"])
        .exits(1)
        .says("it is fixed at creation");
}

#[test]
fn a_repository_of_a_stack_is_reported_and_left() {
    let world = World::with_registry(HOST);
    world.registry.create_repository("demo/docs");
    world.aws.tag_repository("demo/docs", "aws:cloudformation:stack-name", "ShopStack");
    let ran = world.run(&["ecr", "ensure", "demo/docs", "--scan-on-push"]).exits(1);
    ran.says("belongs to the stack ShopStack");
    assert!(!world.aws.actions().contains(&"ecr:PutImageScanningConfiguration".to_owned()));
    world.run(&["ecr", "ensure", "demo/docs"]).ok();
    world.run(&["ecr", "ensure", "--registry", "ghcr.io"]).exits(2).says("it is not a registry of ECR");
    world.run(&["ecr", "ensure", "demo/new", "No Name"]).exits(2).says("`No Name`");
    assert!(
        !world.registry.repositories().contains(&"demo/new".to_owned()),
        "nothing is made before all names are read"
    );
    world.aws.fault(ApiFault::deny("ecr:DescribeRepositories"));
    world.run(&["ecr", "ensure"]).exits(3).says("access is denied");
}

#[test]
fn the_tag_policy_gives_retention_and_locks() {
    let world = World::with_registry(HOST);
    let rendered = world.run(&["ecr", "lifecycle", "render"]).ok().stdout;
    let policy: serde_json::Value = serde_json::from_str(&rendered).expect("JSON");
    let rules = policy["rules"].as_array().expect("rules");
    let lists: Vec<&str> = rules.iter().filter_map(|rule| rule["selection"]["tagPatternList"][0].as_str()).collect();
    assert_eq!(lists[..4], ["env-*", "latest", "edge", "nightly"], "pins and aliases come first: {lists:?}");
    assert!(lists.contains(&"h-*") && lists.contains(&"pr-*-*"), "{lists:?}");
    // The same policy can be tried, put, compared and is then the repository's.
    world.registry.create_repository("demo/docs");
    world.run(&["ecr", "lifecycle", "apply", "--repository", "demo/docs", "--verify-remote"]).ok();
    assert_eq!(world.aws.lifecycle_policy("demo/docs").map(|text| text + "\n"), Some(rendered));
    world.run(&["ecr", "lifecycle", "diff", "--repository", "demo/docs"]).ok();
    // What a family keeps is what its rule says.
    let config = std::fs::read_to_string(world.project.path().join("shipper.toml")).expect("a file");
    let tags = "[tags]\npr = { on = 'pr', tag = 'pr-{pr}-{sha}', keep = 7 }\n";
    world.project.repo.write("shipper.toml", format!("{config}{tags}"));
    let changed = world.run(&["ecr", "lifecycle", "diff", "--repository", "demo/docs"]).exits(1).stdout;
    assert!(changed.contains("-> pr-*-*: expire beyond 7 images"), "{changed}");
    // Filters of five patterns with two wildcards each; the others are said to be detected only.
    let ran = world.run(&["ecr", "ensure", "demo/docs", "--lock-tags"]).ok();
    assert!(ran.stdout.contains("make tags immutable that match h-*, m-*"), "{}", ran.stdout);
    ran.says("only detected").says("v*.*.*");
}

#[test]
fn a_template_lets_a_push_create_repositories() {
    let world = World::with_registry(HOST);
    let ensure = |locks: &[&str]| world.run(&[&["ecr", "ensure", "--template", "demo/"], locks].concat());
    ensure(&["--lock", "h-*", "--dry-run"]).exits(1).says("Planned demo/*");
    ensure(&["--lock", "h-*"]).ok().says("Changed demo/*");
    ensure(&["--lock", "h-*"]).ok().says("Unchanged demo/*");
    let created = world.aws.calls().into_iter().filter(|call| call.action == "ecr:CreateRepositoryCreationTemplate");
    let created: Vec<_> = created.map(|call| call.parameters).collect();
    assert_eq!(created.len(), 1);
    assert_eq!(created[0]["appliedFor"], json!(["CREATE_ON_PUSH"]));
    assert_eq!(created[0]["imageTagMutabilityExclusionFilters"][0]["filter"], "h-*");
    // One that somebody wrote otherwise is left to them.
    ensure(&["--lock", "x-*"]).exits(1).says("there is one that says something else");
    assert_eq!(world.registry.repositories(), Vec::<String>::new());
}
