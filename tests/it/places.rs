//! Two registries of ECR in two accounts and regions: each is logged in to with its own region and its own profile.

use shipper_testkit::{ApiFault, Auth, FakeAws, FakeRegistry, Profile};

use crate::support::{Project, Ran, TWO_SERVICES, text};

const STAGING: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
const PROD: &str = "210987654321.dkr.ecr.us-east-1.amazonaws.com";

/// An account with a registry that takes one password.
struct Account {
    registry: FakeRegistry,
    aws: FakeAws,
}

impl Account {
    fn new(account: &str, password: &str) -> Self {
        let registry = FakeRegistry::builder().profile(Profile::Ecr).auth(Auth::basic("AWS", password)).start();
        let aws = FakeAws::over(&registry);
        aws.set_account(account);
        for name in ["shop/api", "demo/docs", "demo/site", "shipper-records"] {
            registry.create_repository(name);
        }
        Self { registry, aws }
    }

    /// What AWS was asked: action, id of the access key, region and service.
    fn asked(&self) -> Vec<(String, String, String)> {
        self.aws.calls().into_iter().map(|call| (call.action, call.key, call.scope)).collect()
    }

    /// AWS was asked for one password, with this key and in this region, and for nothing else.
    #[track_caller]
    fn was_logged_in_to_once(&self, key: &str, region: &str) {
        let expected = ("ecr:GetAuthorizationToken".to_owned(), key.to_owned(), format!("{region}/ecr"));
        assert_eq!(self.asked(), [expected]);
        self.aws.clear_calls();
    }
}

struct World {
    staging: Account,
    prod: Account,
    project: Project,
}

impl World {
    /// A project with two environments, and a user with a profile for each.
    fn new() -> Self {
        let world = Self {
            staging: Account::new("123456789012", "canary-password-of-staging"),
            prod: Account::new("210987654321", "canary-password-of-prod"),
            project: Project::two_services(),
        };
        let profile = |name: &str, account: &Account| {
            let id = name.to_uppercase();
            let url = account.aws.url();
            format!(
                "[profile {name}]\naws_access_key_id = {id}\naws_secret_access_key = secret\nendpoint_url = {url}\n"
            )
        };
        let profiles = profile("staging", &world.staging) + &profile("prod", &world.prod);
        world.project.repo.write(".aws-config", profiles);
        world.config("prod", "");
        world
    }

    /// With this profile for the registry of `prod`, and this in its table.
    fn config(&self, profile: &str, more: &str) {
        let target = "run = ['sh', '-c', 'echo $SHIPPER_IMAGE_DOCS']\ninputs = ['infra/**']\n";
        let config = format!(
            "{TWO_SERVICES}\n[env.staging]\nregistry = '{STAGING}'\nprofile = 'staging'\n[[env.staging.deploy]]\n{target}\
             [env.prod]\nregistry = '{PROD}'\nprofile = '{profile}'\n{more}\n[[env.prod.deploy]]\n{target}"
        );
        self.project.repo.write("shipper.toml", config);
    }

    /// With credentials in the environment that are of neither account.
    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.project.command(arguments);
        command.envs(self.staging.aws.environment()).env_remove("AWS_ENDPOINT_URL");
        command.env("AWS_ACCESS_KEY_ID", "ANOTHER").env("AWS_REGION", "ap-south-1");
        command.env("AWS_CONFIG_FILE", self.project.path().join(".aws-config"));
        Ran::of(&command.output().expect("the binary starts"))
    }

    fn both_were_logged_in_to_once(&self) {
        self.staging.was_logged_in_to_once("STAGING", "eu-west-1");
        self.prod.was_logged_in_to_once("PROD", "us-east-1");
        // Neither registry is ever shown what is the other's.
        for (account, password) in
            [(&self.staging, "canary-password-of-prod"), (&self.prod, "canary-password-of-staging")]
        {
            assert_eq!(account.registry.log().exposures(password), []);
            assert_eq!(account.registry.stored_exposures(password), Vec::<String>::new());
        }
    }
}

fn image(registry: &FakeRegistry) -> String {
    let config = registry.put_blob("shop/api", "{\"os\":\"linux\",\"architecture\":\"amd64\"}");
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":37}},"layers":[]}}"#
    );
    registry.put_manifest("shop/api", Some("v1"), "application/vnd.oci.image.manifest.v1+json", manifest)
}

#[test]
fn an_image_is_copied_and_promoted_between_two_accounts() {
    let world = World::new();
    let digest = image(&world.staging.registry);
    let (from, to) = (format!("{STAGING}/shop/api:v1"), format!("{PROD}/shop/api"));
    world.run(&["copy", &from, &format!("{to}:copied")]).ok();
    world.both_were_logged_in_to_once();
    world.run(&["promote", &from, &format!("{to}:v1")]).ok();
    world.both_were_logged_in_to_once();
    for tag in ["copied", "v1"] {
        assert_eq!(world.prod.registry.manifest("shop/api", tag).expect("is there").digest, digest);
    }
    let seen = world.run(&["inspect", &format!("{to}:v1"), "--json"]).ok().json();
    assert_eq!(text(&seen["digest"]), digest);
    world.prod.was_logged_in_to_once("PROD", "us-east-1");
    assert_eq!(world.staging.asked(), []);
}

#[test]
fn what_runs_in_one_account_is_promoted_to_another() {
    let world = World::new();
    world.run(&["deploy", "staging"]).ok();
    world.staging.was_logged_in_to_once("STAGING", "eu-west-1");
    assert_eq!(world.prod.asked(), []);
    world.run(&["promote", "staging", "--to-env", "prod"]).ok();
    world.both_were_logged_in_to_once();
    let pinned = |account: &Account| account.registry.manifest("demo/docs", "env-prod").map(|image| image.digest);
    assert!(pinned(&world.prod).is_some());
    assert_eq!(pinned(&world.staging), None);
}

#[test]
fn the_stack_of_an_environment_is_asked_in_its_region_with_its_profile() {
    let world = World::new();
    world.run(&["deploy", "staging"]).ok();
    world.staging.aws.clear_calls();
    let uri = format!("{PROD}/demo/docs");
    world.prod.aws.set_stack("ShopStack", &["CREATE_COMPLETE"], &[("Uri", &uri)]);
    let asked_in = |region: &str| {
        let asked = world.prod.asked();
        let (action, key, scope) = &asked[0];
        assert_eq!((action.as_str(), key.as_str()), ("cloudformation:DescribeStacks", "PROD"));
        assert_eq!(scope, &format!("{region}/cloudformation"));
        world.prod.aws.clear_calls();
    };
    // Where nothing is said, that of the registry, not that of the process.
    let ready = "ready = { stack = 'ShopStack', output = 'Uri' }";
    world.config("prod", ready);
    world.run(&["promote", "staging", "--to-env", "prod"]).ok();
    asked_in("us-east-1");
    world.config("prod", &format!("{ready}\nregion = 'us-west-2'"));
    world.run(&["promote", "staging", "--to-env", "prod"]).exits(3).says("us-west-2");
    asked_in("us-west-2");
    // The same by hand.
    let by_hand = ["ecr-ready", "--stack", "ShopStack", "--output", "Uri", "--profile", "prod", "--region"];
    world.run(&[&by_hand[..], &["us-east-1"]].concat()).ok();
    asked_in("us-east-1");
    world.run(&[&by_hand[..], &["nowhere"]].concat()).exits(2).says("a region");
}

#[test]
fn repositories_are_looked_after_with_the_profile_of_their_registry() {
    let world = World::new();
    image(&world.prod.registry);
    let policy = r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"untagged","countType":"sinceImagePushed","countUnit":"days","countNumber":9},"action":{"type":"expire"}}]}"#;
    world.project.repo.write("policy.json", policy);
    let uri = format!("{PROD}/shop/api");
    world.run(&["ecr", "lifecycle", "diff", "policy.json", "--repository", &uri]).exits(1);
    world.run(&["ecr", "gc", "plan", "--policy", "policy.json", "--repository", &uri]).ok();
    world.run(&["ecr", "ensure", "--registry", PROD, "shop/api"]).ok();
    for (action, key, scope) in world.prod.asked() {
        assert_eq!((key.as_str(), scope.as_str()), ("PROD", "us-east-1/ecr"), "{action}");
    }
    assert_eq!(world.staging.asked(), []);
}

#[test]
fn what_a_profile_can_not_do_is_told_and_no_other_is_tried() {
    let world = World::new();
    let (from, to) = (format!("{STAGING}/shop/api:v1"), format!("{PROD}/shop/api:v1"));
    image(&world.staging.registry);
    world.prod.aws.fault(ApiFault::deny("ecr:GetAuthorizationToken"));
    world.run(&["copy", &from, &to]).exits(3).says("access is denied").says(PROD);
    // No such profile: the credentials of the environment are not those of the account.
    world.config("absent", "");
    world.prod.aws.clear_calls();
    world
        .run(&["copy", &from, &to])
        .exits(3)
        .says("profile `absent` is not defined")
        .says("aws configure --profile absent");
    assert_eq!(world.prod.asked(), []);
    // One registry is logged in to once.
    let config = std::fs::read_to_string(world.project.path().join("shipper.toml")).expect("reads");
    world.project.repo.write("shipper.toml", config.replace(PROD, STAGING));
    world.run(&["copy", &from, &to]).exits(2).says("a registry is logged in to once");
    world.config("prod", "region = 'Frankfurt'");
    world.run(&["deploy", "prod"]).exits(2).says("`Frankfurt` is no region").says("hint: write a region of AWS");
}
