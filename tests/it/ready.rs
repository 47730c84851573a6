//! `ecr-ready`: yes, no, or could not tell, against the fake services and against moto.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};
use shipper_testkit::aws::{GITHUB_IDENTITY, GITHUB_REQUEST_TOKEN, SSO_SECRETS};
use shipper_testkit::{ApiFault, FakeAws, FakeRegistry, Profile};

use crate::support::{Project, Ran, text};

const STATES: [(&str, &str); 23] = [
    ("CREATE_COMPLETE", "settled"),
    ("UPDATE_COMPLETE", "settled"),
    ("IMPORT_COMPLETE", "settled"),
    ("UPDATE_ROLLBACK_COMPLETE", "settled"),
    ("IMPORT_ROLLBACK_COMPLETE", "settled"),
    ("UPDATE_IN_PROGRESS", "busy"),
    ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "busy"),
    ("UPDATE_ROLLBACK_IN_PROGRESS", "busy"),
    ("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "busy"),
    ("IMPORT_IN_PROGRESS", "busy"),
    ("IMPORT_ROLLBACK_IN_PROGRESS", "busy"),
    ("CREATE_IN_PROGRESS", "not-yet"),
    ("REVIEW_IN_PROGRESS", "not-yet"),
    ("DELETE_IN_PROGRESS", "going"),
    ("ROLLBACK_IN_PROGRESS", "going"),
    ("DELETE_COMPLETE", "going"),
    ("CREATE_FAILED", "broken"),
    ("ROLLBACK_COMPLETE", "broken"),
    ("ROLLBACK_FAILED", "broken"),
    ("DELETE_FAILED", "broken"),
    ("UPDATE_FAILED", "broken"),
    ("UPDATE_ROLLBACK_FAILED", "broken"),
    ("IMPORT_ROLLBACK_FAILED", "broken"),
];

/// The fake services with one repository, and a project to run the command in.
struct World {
    registry: FakeRegistry,
    aws: FakeAws,
    project: Project,
}

impl World {
    fn new() -> Self {
        let registry = FakeRegistry::builder().profile(Profile::Ecr).start();
        registry.create_repository("shop/api");
        let aws = FakeAws::over(&registry);
        Self { registry, aws, project: Project::new("") }
    }

    fn uri(&self) -> String {
        self.aws.repository_uri("shop/api")
    }

    /// The stack, in one state after the other.
    fn stack(&self, states: &[&str]) {
        self.aws.set_stack("ShopStack", states, &[("Bucket", "shop-assets"), ("RepositoryUri", &self.uri())]);
    }

    fn file(&self, text: &str) {
        self.project.repo.write("cdk-outputs.json", text);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.project.command([&["ecr-ready"], arguments].concat());
        without_aws(&mut command);
        command.envs(self.aws.environment());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).output().expect("the binary starts"))
    }
}

/// Nothing of the machine's AWS settings, of those in files neither.
fn without_aws(command: &mut Command) {
    command.env_remove("GITHUB_OUTPUT").env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
}

const BY_STACK: [&str; 4] = ["--stack", "ShopStack", "--output", "RepositoryUri"];

fn with_file() -> Vec<&'static str> {
    [&BY_STACK[..], &["--outputs-file", "cdk-outputs.json"]].concat()
}

#[test]
fn every_state_of_the_stack_with_the_repository_present_absent_or_not_told() {
    let world = World::new();
    for (state, class) in STATES {
        world.stack(&[state]);
        let by_state = if matches!(class, "not-yet" | "going") { 1 } else { 0 };
        let ran = world.run(&[&BY_STACK[..], &["--json"]].concat()).exits(by_state);
        let document = ran.json();
        assert_eq!(document["stack"], json!({"state": state, "class": class}));
        assert_eq!(document["source"], "stack");
        assert_eq!(document["exit-code"], by_state);
    }
    let absent = World::new();
    absent.registry.create_repository("other");
    for (state, class) in STATES {
        absent.aws.set_stack("ShopStack", &[state], &[("RepositoryUri", &absent.aws.repository_uri("gone"))]);
        let code = text(&absent.run(&[&BY_STACK[..], &["--json"]].concat()).exits(1).json()["code"]);
        let expected = match class {
            "not-yet" => "not-created",
            "going" => "going",
            _ => "no-repository",
        };
        assert_eq!(code, expected, "{state}");
    }
    world.aws.fault(ApiFault::deny("ecr:DescribeRepositories"));
    for (state, class) in STATES {
        world.stack(&[state]);
        let by_state = if matches!(class, "not-yet" | "going") { 1 } else { 3 };
        world.run(&BY_STACK).exits(by_state);
    }
    world.stack(&["SOME_FUTURE_STATE"]);
    world.run(&BY_STACK).exits(3).says("SOME_FUTURE_STATE");
}

/// What stands in the way of an answer, and the arguments that it needs.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Throttled,
    NoAnswer,
    NoCredentials,
    MalformedFile,
    FileOfAnotherAccount,
    StaleFile,
}

/// The exit code of `ecr-ready` for a stack in `state` and this trouble, each pair in services of its own.
fn in_trouble(trouble: Trouble, state: &str) -> Option<i32> {
    let world = World::new();
    world.stack(&[state]);
    let file = |uri: &str| world.file(&format!("{{\"ShopStack\":{{\"RepositoryUri\":\"{uri}\"}}}}"));
    match trouble {
        Trouble::Throttled => world.aws.fault(ApiFault::throttle("ecr:DescribeRepositories", u32::MAX)),
        Trouble::NoAnswer => world.aws.fault(ApiFault::hang("ecr:DescribeRepositories")),
        Trouble::NoCredentials => (),
        Trouble::MalformedFile => world.file("{"),
        Trouble::FileOfAnotherAccount => file("999999999999.dkr.ecr.eu-west-1.amazonaws.com/shop/api"),
        Trouble::StaleFile => file(&world.aws.repository_uri("gone")),
    }
    // Where ECR is not asked, and where an answer comes, however busy the machine is, there is time for it.
    let waits = matches!(trouble, Trouble::NoAnswer) && !matches!(state, "CREATE_IN_PROGRESS" | "DELETE_IN_PROGRESS");
    let timeout = if waits { "1s" } else { "60s" };
    let mut command = world.command(&[&with_file()[..], &["--timeout", timeout]].concat());
    if matches!(trouble, Trouble::NoCredentials) {
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    }
    Ran::of(&command.output().expect("the binary starts")).code
}

/// Which class a state is of is decided in `shipper-cfn`, and tested for all 23 there and above; here one of each class is enough.
#[test]
fn every_class_of_states_with_everything_that_stands_in_the_way() {
    let states = ["UPDATE_COMPLETE", "UPDATE_IN_PROGRESS", "CREATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "UPDATE_FAILED"];
    // A stack that is not created yet or is going away is a no, whatever ECR would say; what CloudFormation does not say is none.
    let table = [
        (Trouble::Throttled, [3, 3, 1, 1, 3]),
        (Trouble::NoAnswer, [3, 3, 1, 1, 3]),
        (Trouble::NoCredentials, [3, 3, 3, 3, 3]),
        (Trouble::MalformedFile, [2, 2, 2, 2, 2]),
        (Trouble::FileOfAnotherAccount, [3, 3, 1, 1, 3]),
        (Trouble::StaleFile, [1, 1, 1, 1, 1]),
    ];
    // ECR is not asked what would change nothing.
    let world = World::new();
    world.stack(&["CREATE_IN_PROGRESS"]);
    world.run(&BY_STACK).exits(1);
    assert_eq!(world.aws.actions(), ["cloudformation:DescribeStacks"]);
    // Most of their time is spent waiting.
    std::thread::scope(|scope| {
        let cells =
            table.iter().flat_map(|&(trouble, codes)| states.into_iter().zip(codes).map(move |cell| (trouble, cell)));
        let asked: Vec<_> = cells
            .map(|(trouble, (state, code))| (trouble, state, code, scope.spawn(move || in_trouble(trouble, state))))
            .collect();
        for (trouble, state, code, answer) in asked {
            assert_eq!(answer.join().expect("the binary ran"), Some(code), "{trouble:?} {state}");
        }
    });
}

/// Nothing of AWS is started where nothing of it is needed: no socket, and not even the look at its configuration.
#[cfg(target_os = "linux")]
#[test]
fn commands_that_need_nothing_of_aws_run_none_of_its_code() {
    let strace = shipper_testkit::need!(shipper_testkit::require_tool("strace"));
    let project = Project::two_services();
    project
        .repo
        .write("cdk-outputs.json", "{\"S\":{\"Uri\":\"123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/api\"}}");
    let of_aws = |arguments: &[&str]| {
        let (ran, calls) = project.traced(&strace, "openat,socket", arguments);
        let is_of_aws = |line: &String| line.contains("/.aws/") || line.contains("AF_INET");
        (ran.code, calls.into_iter().filter(is_of_aws).collect::<Vec<_>>())
    };
    for arguments in [
        &["ecr-ready", "--offline", "--outputs-file", "cdk-outputs.json"][..],
        &["hash"],
        &["hash", "docs"],
        &["plan"],
        &["config"],
        &["ship"],
    ] {
        assert_eq!(of_aws(arguments), (Some(0), Vec::new()), "{arguments:?}");
    }
    // As this would show it.
    let (_, seen) = of_aws(&["ecr-ready", "--repository", "shop/api"]);
    assert!(seen.iter().any(|line| line.contains("/.aws/config")), "{seen:?}");
}

#[test]
fn what_aws_does_not_say_is_no_verdict() {
    let check = |fault: ApiFault, says: &str| {
        // Pauses between tries need their time as well.
        let timeout = if matches!(fault, ApiFault::Hang { .. }) { "1s" } else { "30s" };
        let world = World::new();
        world.stack(&["CREATE_COMPLETE"]);
        world.aws.fault(fault);
        let ran = world.run(&[&BY_STACK[..], &["--timeout", timeout]].concat()).exits(3);
        assert_eq!(ran.stdout, "unknown\n");
        ran.says(says);
    };
    for action in ["ecr:DescribeRepositories", "cloudformation:DescribeStacks", "sts:GetCallerIdentity"] {
        check(ApiFault::deny(action), &format!("allow `{action}` in the policy"));
        check(ApiFault::throttle(action, u32::MAX), "throttled");
        check(ApiFault::hang(action), "no answer within the deadline");
        check(ApiFault::fail(action, u32::MAX, 500, "InternalFailure"), action);
        check(ApiFault::fail(action, u32::MAX, 400, "ExpiredTokenException"), "log in again");
    }
    // The code of a stack that does not exist is that of a malformed request as well.
    check(
        ApiFault::fail("cloudformation:DescribeStacks", u32::MAX, 400, "ValidationError"),
        "ValidationError: scripted",
    );
    // A throttled call is tried again before anything is said.
    let world = World::new();
    world.stack(&["CREATE_COMPLETE"]);
    world.aws.fault(ApiFault::throttle("ecr:DescribeRepositories", 1));
    world.run(&BY_STACK).ok();
    let tried = world.aws.actions().iter().filter(|action| *action == "ecr:DescribeRepositories").count();
    assert_eq!(tried, 2);
}

#[test]
fn without_credentials_region_or_network_there_is_no_verdict() {
    let world = World::new();
    world.stack(&["CREATE_COMPLETE"]);
    let without = |names: &[&str]| {
        let mut command = world.command(&BY_STACK);
        for name in names {
            command.env_remove(name);
        }
        Ran::of(&command.output().expect("the binary starts"))
    };
    without(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]).exits(3).says("no credentials").says("AWS_PROFILE");
    without(&["AWS_REGION"]).exits(3).says("no region is configured").says("AWS_REGION");
    let mut dead = world.command(&BY_STACK);
    let ran = Ran::of(&dead.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1").output().expect("the binary starts"));
    ran.exits(3).says("cloudformation:DescribeStacks");
}

/// The command as a job of GitHub Actions that may ask for an identity, with a role and nothing else.
fn as_github_job(world: &World, url: &str) -> Ran {
    let mut command = world.command(&["--repository", "shop/api", "-vvv"]);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    command.env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/deploy");
    command.env("ACTIONS_ID_TOKEN_REQUEST_URL", url).env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", GITHUB_REQUEST_TOKEN);
    Ran::of(&command.output().expect("the binary starts"))
}

#[test]
fn a_job_of_github_actions_gets_its_role_without_a_further_step() {
    let world = World::new();
    let url = format!("{}/github?api-version=2", world.aws.url());
    let ran = as_github_job(&world, &url).ok();
    assert_eq!(world.aws.actions(), ["github:IdToken", "sts:AssumeRoleWithWebIdentity", "ecr:DescribeRepositories"]);
    assert_eq!(world.aws.calls()[0].parameters["query"], "api-version=2&audience=sts.amazonaws.com");
    for secret in [GITHUB_REQUEST_TOKEN, GITHUB_IDENTITY, "canary-secret-of-a-role", "canary-session-token"] {
        let leak = ran.stderr.lines().chain(ran.stdout.lines()).find(|line| line.contains(secret));
        assert_eq!(leak, None);
    }
    world.aws.fault(ApiFault::fail("github:IdToken", u32::MAX, 403, "Forbidden"));
    as_github_job(&world, &url).exits(3).says("id-token: write");
    // The request token does not cross the network in the clear.
    world.aws.clear_calls();
    as_github_job(&world, "http://192.0.2.1/github").exits(3).says("is not https");
    assert_eq!(world.aws.actions(), Vec::<String>::new());
}

/// Where the SDKs keep the login of `[sso-session shop]`, and of a profile that has its start URL itself: SHA-1 of either.
const OF_SESSION: &str = "5042d146667518a1a5017644946b8650aafca44c";
const OF_URL: &str = "f4f21de3b2345be0591b85287c6dcf858b71e738";

/// The configuration of a user who logs in with IAM Identity Center.
const LOGINS: &str = "\
[sso-session shop]
sso_start_url = https://shop.awsapps.example/start
sso_region = eu-central-1

[profile shop]
sso_session = shop
sso_account_id = 123456789012
sso_role_name = deploy
region = eu-west-1

[profile old]
sso_start_url = https://shop.awsapps.example/start
sso_region = eu-central-1
sso_account_id = 123456789012
sso_role_name = deploy

[profile console]
login_session = arn:aws:iam::123456789012:user/somebody
region = eu-west-1

[profile deploy]
source_profile = shop
role_arn = arn:aws:iam::123456789012:role/deploy
";

/// The command with profile `profile`, and no credentials but those of its login.
fn with_login(world: &World, profile: &str) -> Ran {
    let mut command = world.command(&["--repository", "shop/api", "-vvv"]);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").env_remove("AWS_CONFIG_FILE");
    command.env("AWS_PROFILE", profile);
    // The portal and the OIDC API by their own variables, as everything else.
    command.env("AWS_ENDPOINT_URL_SSO", world.aws.url()).env("AWS_ENDPOINT_URL_SSO_OIDC", world.aws.url());
    Ran::of(&command.output().expect("the binary starts"))
}

/// What `aws sso login` leaves: an access token until `expires`, and what it is refreshed with until `registered`.
fn cache(world: &World, file: &str, token: &str, expires: &str, registered: &str) -> std::path::PathBuf {
    let directory = world.project.repo.home().join(".aws/sso/cache");
    std::fs::create_dir_all(&directory).expect("a directory");
    std::fs::write(world.project.repo.home().join(".aws/config"), LOGINS).expect("a file");
    let path = directory.join(format!("{file}.json"));
    let token = json!({
        "startUrl": "https://shop.awsapps.example/start",
        "region": "eu-central-1",
        "accessToken": token,
        "expiresAt": expires,
        "clientId": "client",
        "clientSecret": "canary-client-secret",
        "registrationExpiresAt": registered,
        "refreshToken": "canary-refresh",
    });
    std::fs::write(&path, token.to_string()).expect("a file");
    path
}

const PAST: &str = "2020-01-01T00:00:00Z";
const FUTURE: &str = "2099-01-01T00:00:00Z";

#[test]
fn a_profile_with_a_login_needs_nothing_else() {
    let world = World::new();
    world.aws.add_login("canary-access");
    cache(&world, OF_SESSION, "canary-access", FUTURE, FUTURE);
    cache(&world, OF_URL, "canary-access", FUTURE, FUTURE);
    for profile in ["shop", "old"] {
        world.aws.clear_calls();
        let ran = with_login(&world, profile).ok();
        assert_eq!(world.aws.actions(), ["sso:GetRoleCredentials", "ecr:DescribeRepositories"], "{profile}");
        let asked = &world.aws.calls()[0].parameters;
        assert_eq!((&asked["account_id"], &asked["role_name"]), (&json!("123456789012"), &json!("deploy")));
        for secret in [&["canary-access", "canary-refresh", "canary-client-secret"][..], &SSO_SECRETS].concat() {
            let leak = ran.stderr.lines().chain(ran.stdout.lines()).find(|line| line.contains(secret));
            assert_eq!(leak, None);
        }
    }
    // The account may not have the role any more: another login does not help.
    world.aws.fault(ApiFault::fail("sso:GetRoleCredentials", u32::MAX, 403, "ForbiddenException"));
    let ran = with_login(&world, "shop").exits(3);
    assert!(!ran.stderr.contains("aws sso login --profile"), "{}", ran.stderr);
}

#[test]
fn an_access_token_that_is_over_is_refreshed() {
    let world = World::new();
    world.aws.add_refresh("canary-refresh", "canary-renewed");
    let path = cache(&world, OF_SESSION, "canary-access", PAST, FUTURE);
    with_login(&world, "shop").ok();
    let expected = ["sso-oidc:CreateToken", "sso:GetRoleCredentials", "ecr:DescribeRepositories"];
    assert_eq!(world.aws.actions(), expected);
    // It is kept as other tools keep it: the next run needs no refresh.
    assert!(std::fs::read_to_string(path).expect("reads").contains("canary-renewed"));
    world.aws.clear_calls();
    with_login(&world, "shop").ok();
    assert_eq!(world.aws.actions(), expected[1..]);
}

#[test]
fn a_login_that_is_over_is_no_verdict_and_names_what_to_run() {
    let check = |world: &World, profile: &str, login: &str, calls: &[&str]| {
        world.aws.clear_calls();
        let ran = with_login(world, profile).exits(3);
        let ran = ran.says(&format!("profile `{login}` is not logged in"));
        ran.says(&format!("hint: run `aws sso login --profile {login}`"));
        assert_eq!(world.aws.actions(), calls, "{profile}");
    };
    let world = World::new();
    // Over, and so is the registration that it would be refreshed with.
    cache(&world, OF_SESSION, "canary-access", PAST, PAST);
    check(&world, "shop", "shop", &[]);
    // A role that is assumed by who is logged in elsewhere.
    check(&world, "deploy", "shop", &[]);
    // The refresh is refused, and the portal no longer knows the token.
    cache(&world, OF_SESSION, "canary-access", PAST, FUTURE);
    check(&world, "shop", "shop", &["sso-oidc:CreateToken", "sso:GetRoleCredentials"]);
    // Ended elsewhere, before its time.
    let path = cache(&world, OF_SESSION, "canary-access", FUTURE, FUTURE);
    check(&world, "shop", "shop", &["sso:GetRoleCredentials"]);
    // Never logged in, with either kind of profile.
    std::fs::remove_file(path).expect("is there");
    check(&world, "shop", "shop", &[]);
    check(&world, "old", "old", &[]);
    // A login of another kind, which takes a part of the SDK that is not linked.
    let ran = with_login(&world, "console").exits(3).says("the login of profile `console` is one of `aws login`");
    ran.says("aws configure export-credentials --profile console");
}

#[test]
fn endpoints_of_single_services_are_honoured() {
    let (world, other) = (World::new(), World::new());
    world.stack(&["CREATE_COMPLETE"]);
    let mut command = world.command(&BY_STACK);
    command.env("AWS_ENDPOINT_URL_ECR", other.aws.url());
    Ran::of(&command.output().expect("the binary starts")).ok();
    assert_eq!(other.aws.actions(), ["ecr:DescribeRepositories"]);
    assert_eq!(world.aws.actions(), ["cloudformation:DescribeStacks", "sts:GetCallerIdentity"]);
    let call = &other.aws.calls()[0];
    assert_eq!((call.scope.as_str(), &call.parameters["registryId"]), ("eu-west-1/ecr", &json!("123456789012")));
}

#[test]
fn a_missing_stack_output_or_export_is_a_no() {
    let world = World::new();
    let code = |arguments: &[&str]| text(&world.run(&[arguments, &["--json"]].concat()).exits(1).json()["code"]);
    assert_eq!(code(&BY_STACK), "no-stack");
    world.stack(&["CREATE_COMPLETE"]);
    assert_eq!(code(&["--stack", "ShopStack", "--output", "Missing"]), "no-output");
    assert_eq!(code(&["--output", "shop-repository"]), "no-export");
    // On the second page.
    for at in 0..130 {
        world.aws.add_export(&format!("export-{at}"), "x");
    }
    world.aws.add_export("shop-repository", &world.uri());
    let found = world.run(&["--output", "shop-repository", "--json"]).ok().json();
    assert_eq!((text(&found["source"]), text(&found["repository"])), ("export".to_owned(), world.uri()));
    // The only output that is a repository needs no name.
    world.run(&["--stack", "ShopStack"]).ok();
    world.run(&["--stack", "ShopStack", "--output", "Bucket"]).exits(2).says("neither the URI nor the ARN");
}

#[test]
fn the_outputs_file_names_the_repository_and_ecr_decides() {
    let world = World::new();
    let run = |arguments: &[&str]| world.run(&[&with_file()[..], arguments].concat());
    let file = |uri: &str| format!("{{\n  \"ShopStack\": {{\"RepositoryUri\": \"{uri}\"}}\n}}");
    world.stack(&["UPDATE_COMPLETE"]);
    world.file(&file(&world.uri()));
    assert_eq!(run(&["--json"]).ok().json()["source"], "outputs-file");
    // The stack need not be seen where the file names the repository; ECR has to.
    world.aws.fault(ApiFault::deny("cloudformation:DescribeStacks"));
    run(&[]).ok().says("the state of the stack could not be told");
    // Stale: the repository is gone.
    world.file(&file(&world.aws.repository_uri("gone")));
    run(&[]).exits(1).says("the repository does not exist");
    // Of another account or region: no evidence for these credentials.
    world.file(&file("999999999999.dkr.ecr.eu-west-1.amazonaws.com/shop/api"));
    run(&[]).exits(3).says("another account").says("123456789012");
    world.file(&file("123456789012.dkr.ecr.us-east-1.amazonaws.com/shop/api"));
    run(&[]).exits(3).says("us-east-1");
    // Malformed, or something else.
    world.file("{\n  \"ShopStack\": \"RepositoryUri\"\n}");
    run(&[]).exits(2).says("cdk-outputs.json").says("line 2, column 30").says("hint: the file is");
    world.file(&file("shop-assets"));
    run(&[]).exits(2).says("neither the URI nor the ARN");
    world.file("not json");
    run(&["--offline"]).exits(2).says("line 1, column 2");
}

#[test]
fn a_stack_that_is_gone_with_its_repository_left_is_told() {
    let world = World::new();
    world.file(&format!("{{\"ShopStack\":{{\"RepositoryUri\":\"{}\"}}}}", world.uri()));
    world.run(&with_file()).ok().says("creating the stack again would collide");
}

#[test]
fn a_file_without_the_stack_leads_to_the_stack() {
    let world = World::new();
    world.stack(&["CREATE_COMPLETE"]);
    // Nothing there, then a file of a partial deployment.
    for text in [None, Some("{\"Other\":{\"X\":\"y\"}}")] {
        if let Some(text) = text {
            world.file(text);
        }
        let found = world.run(&[&with_file()[..], &["--json"]].concat()).ok().json();
        assert_eq!(found["source"], "stack");
    }
}

#[test]
fn offline_the_file_decides_and_nothing_is_asked() {
    let world = World::new();
    let offline = || world.run(&[&with_file()[..], &["--offline", "--json"]].concat());
    offline().exits(1);
    world.file("{\"Other\":{\"X\":\"y\"}}");
    assert_eq!(text(&offline().exits(1).json()["code"]), "not-in-file");
    world.file(&format!("{{\"ShopStack\":{{\"RepositoryUri\":\"{}\"}}}}", world.uri()));
    assert_eq!(offline().ok().json()["verdict"], "ready");
    assert_eq!(world.aws.actions(), Vec::<String>::new());
    world.run(&["--offline"]).exits(2).says("--outputs-file");
    world.run(&[]).exits(2).says("--repository");
}

#[test]
fn a_repository_by_name_or_uri_and_an_image_by_tag() {
    let world = World::new();
    world.run(&["--repository", "shop/api"]).ok();
    world.run(&["--repository", &world.uri()]).ok();
    world.run(&["--repository", "shop/web"]).exits(1).says("the repository does not exist");
    world.run(&["--repository", "999999999999.dkr.ecr.eu-west-1.amazonaws.com"]).exits(2);
    world.run(&["--repository", "a b"]).exits(2).says("cannot use `a b` as repository");
    // Another account's repository by its URI: asked there, and denied there.
    world.run(&["--repository", "999999999999.dkr.ecr.eu-west-1.amazonaws.com/xy"]).exits(3).says("access is denied");
    let tagged = ["--repository", "shop/api", "--tag", "v1"];
    world.run(&tagged).exits(1).says("no such image");
    world.registry.put_manifest("shop/api", Some("v1"), "application/vnd.oci.image.manifest.v1+json", "{}");
    world.run(&tagged).ok();
    // The region is that of the URI, whatever the environment says.
    let mut command = world.command(&["--repository", &world.uri()]);
    Ran::of(&command.env("AWS_REGION", "us-east-1").output().expect("the binary starts")).ok();
    assert_eq!(world.aws.calls().pop().expect("a call").scope, "eu-west-1/ecr");
}

#[test]
fn waiting_ends_when_the_stack_has_settled_or_the_time_is_over() {
    let world = World::new();
    world.stack(&["CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS", "CREATE_COMPLETE"]);
    world.run(&[&BY_STACK[..], &["--wait", "30s"]].concat()).ok();
    let looks = world.aws.actions().iter().filter(|action| *action == "cloudformation:DescribeStacks").count();
    assert_eq!(looks, 3);
    world.stack(&["UPDATE_IN_PROGRESS"]);
    world.run(&[&BY_STACK[..], &["--wait", "1s"]].concat()).exits(3).says("still UPDATE_IN_PROGRESS after 1 s");
    world.file(&format!("{{\"ShopStack\":{{\"RepositoryUri\":\"{}\"}}}}", world.uri()));
    world.run(&[&with_file()[..], &["--wait", "1s"]].concat()).exits(3);
    // A change set waits for a person, not for time.
    world.stack(&["REVIEW_IN_PROGRESS"]);
    world.run(&[&BY_STACK[..], &["--wait", "30s"]].concat()).exits(1);
}

#[test]
fn exactly_one_command_is_run_and_its_code_returned() {
    let world = World::new();
    let run = |repository: &str, arguments: &[&str]| {
        let hooks = [
            "--then",
            "sh",
            "-c",
            "echo fast \"$1\"; exit 7",
            "-",
            "a b;*",
            ";",
            "--else",
            "sh",
            "-c",
            "echo slow; exit 9",
            ";",
        ];
        world.run(&[&["--repository", repository][..], &hooks, arguments].concat())
    };
    let yes = run("shop/api", &[]).exits(7);
    assert_eq!(yes.stdout, "fast a b;*\n");
    let no = run("shop/web", &[]).exits(9);
    assert_eq!(no.stdout, "slow\n");
    let told = run("shop/api", &["--json"]).exits(7);
    let (document, rest) = told.stdout.split_once('\n').expect("two lines");
    let document: Value = serde_json::from_str(document).expect("JSON");
    assert_eq!((&document["verdict"], &document["exit-code"]), (&json!("ready"), &json!(0)));
    assert_eq!(document["runs"][0], "sh");
    assert_eq!(rest, "fast a b;*\n");
    // One of two commands, and the answer is the other.
    world.run(&["--repository", "shop/web", "--then", "sh", "-c", "exit 7", ";"]).exits(1);
    world
        .run(&["--repository", "shop/api", "--then", "/nowhere/at-all", ";"])
        .exits(2)
        .says("cannot run `/nowhere/at-all`");
    // Could not tell: neither.
    world.aws.fault(ApiFault::deny("ecr:DescribeRepositories"));
    let neither = run("shop/api", &[]).exits(3);
    assert_eq!(neither.stdout, "unknown\n");
}

#[test]
fn a_command_that_does_not_end_is_refused() {
    let world = World::new();
    world.file(&format!("{{\"ShopStack\":{{\"Uri\":\"{}\"}}}}", world.uri()));
    let offline = ["--stack", "ShopStack", "--outputs-file", "cdk-outputs.json", "--offline"];
    let run = |commands: &[&str]| world.run(&[&offline[..], commands].concat());
    run(&["--then", "echo", "fast", "--else", "echo", "slow", ";"]).exits(2).says("does not end before `--else`");
    run(&["--else", "echo", "slow", "--then", "echo", "fast"]).exits(2).says("does not end before `--then`");
    assert_eq!(run(&["--then", "echo", "fast", ";", "--else", "echo", "slow", ";"]).ok().stdout, "fast\n");
}

#[test]
fn steps_of_github_actions_get_the_answer() {
    let world = World::new();
    let file = world.project.path().join("step-output");
    std::fs::write(&file, "before=1\n").expect("a file");
    let mut command = world.command(&["--repository", "shop/api", "--github-output"]);
    Ran::of(&command.env("GITHUB_OUTPUT", &file).output().expect("the binary starts")).ok();
    let written = std::fs::read_to_string(&file).expect("the file");
    assert_eq!(written, format!("before=1\nverdict=ready\nready=true\nrepository={}\n", world.uri()));
    world.run(&["--repository", "shop/api", "--github-output"]).exits(2).says("GITHUB_OUTPUT is not set");
}

/// moto as a second opinion on what CloudFormation, ECS and Lambda answer.
#[test]
fn moto_agrees_on_stacks_services_and_functions() {
    let moto = shipper_testkit::need!(shipper_testkit::Moto::start());
    let project = Project::new("");
    let run = |arguments: &[&str]| {
        let mut command = project.command([&["ecr-ready"], arguments].concat());
        without_aws(&mut command);
        command.envs(moto.environment());
        Ran::of(&command.output().expect("the binary starts"))
    };
    let found = run(&["--stack", "ShopStack", "--output", "RepositoryUri", "--json"]).ok().json();
    let expected = BTreeMap::from([("state", "CREATE_COMPLETE"), ("class", "settled")]);
    assert_eq!(found["stack"], json!(expected));
    assert!(text(&found["repository"]).ends_with("/shop/api"), "{found}");
    // The last of 120 exports, on the second page.
    run(&["--output", "export-119"]).ok();
    assert_eq!(text(&run(&["--output", "export-120", "--json"]).exits(1).json()["code"]), "no-export");
    assert_eq!(text(&run(&["--stack", "Missing", "--json"]).exits(1).json()["code"]), "no-stack");
    run(&["--repository", "shop/web"]).exits(1);
    #[cfg(unix)]
    {
        crate::ecs::moto_takes_the_task_definition(&moto);
        crate::lambda::moto_moves_the_alias(&moto);
    }
}
