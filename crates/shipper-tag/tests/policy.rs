//! Policies: what is read, what is refused, and that families are apart.

use shipper_tag::{Error, Family, Keep, Policy, PolicyConfig, Preset, Role, SlugMode};

fn policy(text: &str) -> Result<Policy, Error> {
    Policy::new(&toml::from_str(text).unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn families_come_in_the_order_of_the_file_and_then_of_the_preset() {
    let text = r#"
        zebra = { on = "branch:zebra/*", tag = "z-{sha}" }
        pr    = { on = "pr", tag = "mr-{pr}-{sha}", keep = "2w" }
        apple = { on = "local|dirty", tag = "dev-{hash:12}", keep = "3d" }
        nightly = false
        untagged = "forever"
        cache = { keep = 5 }
    "#;
    let policy = policy(text).expect("a policy");
    let ids: Vec<&str> = policy.families().map(Family::id).collect();
    assert_eq!(ids, ["identity", "zebra", "pr", "apple", "release", "main", "branch", "pin", "cache"]);
    let keeps: Vec<Keep> = policy.families().map(Family::keep).collect();
    use Keep::{Count, Days, Forever};
    let expected = [Count(100), Forever, Days(14), Days(3), Forever, Count(10), Count(10), Forever, Count(5)];
    assert_eq!(keeps, expected);
    assert_eq!(policy.untagged(), None);
}

#[test]
fn the_presets_differ_in_who_owns_latest() {
    let check = |text: &str, expected: &str| {
        let policy = policy(text).expect("a policy");
        let owners: Vec<&str> = policy
            .families()
            .filter(|family| family.aliases().iter().any(|alias| alias.as_str() == "latest"))
            .map(Family::id)
            .collect();
        assert_eq!(owners, [expected]);
        assert_eq!(policy.untagged(), Some(Keep::Days(1)));
    };
    check("", "release");
    check("preset = 'release'", "release");
    check("preset = 'latest-on-main'", "main");
}

#[test]
fn a_file_that_says_nothing_or_all_is_written_back_as_it_was_read() {
    let check = |text: &str| {
        let config: PolicyConfig = toml::from_str(text).expect("a policy");
        let json = serde_json::to_string(&config).expect("serialises");
        assert_eq!(serde_json::from_str::<PolicyConfig>(&json).expect("reads back"), config, "{json}");
    };
    check("");
    check(
        "preset = 'latest-on-main'\nslug = 'gitlab'\nshort-sha = 12\ndefault-branch = 'trunk'\nidentity = { keep = 3 }",
    );
    check("pr = false\nx = { on = 'tag:{service}/v{semver}', tag = 'x-{version}', alias = ['x'], keep = '9d' }");
}

#[test]
fn what_can_not_be_read_is_named_with_its_place() {
    let check = |text: &str, place: &str, problem: &str| {
        let error = toml::from_str::<PolicyConfig>(text).expect_err(text).to_string();
        assert!(error.contains(place) && error.contains(problem), "{text}: {error}");
    };
    check("\nm = { on = 'pr', tag = 'm-{shaa}' }", "line 2, column 24", "unknown placeholder `{shaa}`");
    check("m = { on = 'pr', tag = 'x-{sha}', alias = ['y', 'x/y'] }", "line 1, column 43", "may not stand in a tag");
    check("m = { on = 'pull', tag = 'x-{sha}' }", "line 1, column 12", "`pull` is no condition");
    check("m = { on = 'tag:{semver}-x', tag = 'x-{sha}' }", "line 1, column 12", "at the end");
    check("m = { on = 'branch:v{semver}', tag = 'x-{sha}' }", "line 1, column 12", "for tags");
    check("m = { on = 'branch:*{b}', tag = 'x-{sha}' }", "line 1, column 12", "is none of");
    check("m = { on = 'pr', tag = 'x-{sha}', keep = 0 }", "line 1, column 42", "neither a number");
    check("m = { on = 'pr', tag = 'x-{sha}', keep = 'ever' }", "line 1, column 42", "neither a number");
    check("m = { on = 'pr', tag = 'x-{sha}', kep = 1 }", "line 1, column 35", "unknown field `kep`");
    check("m = { on = 'pr' }", "line 1", "missing field `tag`");
    check("m = true", "line 1, column 5", "expected a family");
    check("untaged = '1d'", "line 1", "unknown field `untaged`");
    check("preset = 'latest'", "line 1, column 10", "unknown variant `latest`");
}

#[test]
fn families_that_share_a_tag_are_refused_with_the_tag() {
    let check = |text: &str, one: &str, other: &str, tag: &str| match policy(text) {
        Err(Error::Overlap { one: found, other: also, witness, .. }) => {
            assert_eq!((found.as_str(), also.as_str(), witness.as_str()), (one, other, tag), "{text}");
        }
        result => panic!("{text}: {result:?}"),
    };
    // A pattern of one family and a tag of the other.
    check("vault = { on = 'branch:vault', tag = 'v{sha}' }\nv = { on = 'pr', tag = 'v{pr}' }", "vault", "v", "v0");
    check("x = { on = 'pr', tag = '{branch}-{sha}' }", "identity", "x", "h-0");
    check("x = { on = 'pr', tag = 'pr-{branch}-{sha}' }", "x", "pr", "pr-0-0");
    // Aliases of two families.
    check("x = { on = 'pr', tag = 'x-{sha}', alias = ['latest'] }", "x", "release", "latest");
    check("x = { on = 'pr', tag = 'x-{sha}', alias = ['v{pr}'] }", "x", "release", "v0");
    // Names that shipper writes for itself.
    check("x = { on = 'pr', tag = 'm-{sha}' }", "x", "inputs artifacts", "m-0");
    check("x = { on = 'pr', tag = 'last-{sha}' }", "x", "hints", "last-0");
    check("x = { on = 'pr', tag = 'x-{sha}', alias = ['env-prod'] }", "x", "pin", "env-prod");
    check("x = { on = 'pr', tag = 'cache-{sha}' }", "x", "cache", "cache-0");
    check("x = { on = 'pr', tag = 'sha256-{sha}' }", "x", "digests as tags", "sha256-0");
    // Apart: what the alphabets and the shape of a version exclude.
    for apart in [
        "vault = { on = 'branch:vault', tag = 'vault-{sha}' }",
        "x = { on = 'pr', tag = 'hotfix-{sha}' }",
        "x = { on = 'pr', tag = 'prx-{sha}', alias = ['pr-x'] }",
    ] {
        assert!(policy(apart).is_ok(), "{apart}: {:?}", policy(apart));
    }
}

#[test]
fn families_that_can_never_work_are_refused() {
    let check = |text: &str, problem: &str, hint: Option<&str>| {
        let error = policy(text).expect_err(text);
        assert!(error.to_string().contains(problem), "{text}: {error}");
        assert_eq!(error.hint().as_deref(), hint, "{text}");
    };
    check("x = { on = 'pr', tag = 'x-{version}' }", "never has a value", None);
    check("x = { on = 'pr', tag = 'x' }", "the same for every image", None);
    check("x = { on = 'pr', tag = 'x-{sha}', alias = ['x-{sha}'] }", "both its tag", None);
    check("x = { on = 'pr', tag = 'x-{sha}', alias = ['y-{hash}'] }", "would never move", None);
    check("pin = { on = 'pr', tag = 'x-{sha}' }", "shipper's own", None);
    check("realease = false", "no such family", Some("did you mean `release`?"));
    check("short-sha = 3", "from 4 to 64", None);
}

#[test]
fn a_pattern_guards_immutable_names_alone_where_it_can() {
    let separable = |text: &str, id: &str, slugs| {
        let policy = policy(text).expect("a policy");
        assert_eq!(policy.slugs(), slugs);
        let family = policy.families().find(|family| family.id() == id).expect("the family");
        assert_eq!(family.role(), Role::Anchor);
        family.is_separable(slugs)
    };
    for id in ["release", "main", "nightly", "pr", "branch"] {
        assert!(separable("", id, SlugMode::Safe), "{id}");
        assert!(separable("slug = 'gitlab'", id, SlugMode::Gitlab), "{id}");
    }
    // There a branch may be called anything.
    assert!(!separable("slug = 'docker-metadata'", "branch", SlugMode::DockerMetadata));
    let dashed = "branch = { on = 'branch:*', tag = 'b-{branch}-{sha}', alias = ['b-{branch}'] }";
    assert!(!separable(dashed, "branch", SlugMode::Safe));
}

#[test]
fn every_tag_of_a_family_is_matched_by_its_pattern_and_by_no_other() {
    let policy = policy("").expect("a policy");
    let tags = [
        ("h-0123456789abcdef0123456789abcdef", "identity"),
        ("v1.2.3", "release"),
        ("v1.2.3-rc.1_build", "release"),
        ("main-abc1234", "main"),
        ("nightly-20261127-abc1234", "nightly"),
        ("pr-12-abc1234", "pr"),
        ("b-feature-a-3jm2xtc2.abc1234", "branch"),
        ("env-prod", "pin"),
        ("env-prod.next", "pin"),
        ("cache-api-linux-amd64-main", "cache"),
    ];
    for (tag, family) in tags {
        let matching: Vec<&str> =
            policy.families().filter(|family| family.glob().matches(tag)).map(Family::id).collect();
        assert_eq!(matching, [family], "{tag}");
    }
    for alias in ["latest", "v1", "v1.2", "edge", "nightly", "pr-12", "b-feature-a"] {
        assert!(!policy.families().any(|family| family.glob().matches(alias)), "{alias}");
    }
    assert_eq!(Preset::default(), Preset::Release);
}
