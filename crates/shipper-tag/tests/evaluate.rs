//! Which names a run gives, and why others are not given. The first tests are the twelve mistakes of other tools that
//! `shipper-tag` exists to not make.

use std::collections::BTreeSet;

use shipper_tag::{
    Error, Facts, NotNamed, Policy, PolicyConfig, Precondition, PullRequest, Role, Scope, SlugMode, Tag, TagPlan,
    Trigger, Version, evaluate, slug,
};

const COMMIT: &str = "abc1234567890123456789012345678901234567";
const MERGE: &str = "fff9999567890123456789012345678901234567";
const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn policy(text: &str) -> Policy {
    Policy::new(&toml::from_str::<PolicyConfig>(text).expect("reads")).expect("a policy")
}

fn facts(trigger: Trigger) -> Facts {
    let mut facts = Facts::new("test", trigger);
    facts.commit = Some(COMMIT.parse().expect("an id"));
    facts.built.clone_from(&facts.commit);
    facts.default_branch = Some("main".to_owned());
    facts.dirty = Some(false);
    facts.now = Some("2026-11-27T03:45:00.123Z".parse().expect("a time"));
    facts
}

fn push(branch: &str) -> Facts {
    Facts { branch: Some(branch.to_owned()), ..facts(Trigger::Push) }
}

fn tagged(tag: &str, versions: &[&str]) -> Facts {
    let versions = versions.iter().map(|version| version.parse().expect("a version")).collect();
    Facts { tag: Some(tag.to_owned()), versions: Some(versions), ..facts(Trigger::Tag) }
}

fn pull_request() -> Facts {
    let request =
        PullRequest { number: 12, head: Some("feature/a".to_owned()), base: Some("main".to_owned()), fork: false };
    let built = Some(MERGE.parse().expect("an id"));
    Facts { pull_request: Some(request), built, ..facts(Trigger::PullRequest) }
}

#[track_caller]
fn plan(policy: &Policy, facts: &Facts) -> TagPlan {
    let plan = evaluate(policy, facts).expect("evaluates");
    // Each rule is accounted for, and an alias is never without an anchor of its family.
    let rules: usize =
        policy.families().map(|family| family.anchor().into_iter().count() + family.aliases().len()).sum();
    assert_eq!(plan.tags.len() + plan.not_applied.len(), rules + 1, "{plan:#?}");
    for alias in plan.tags.iter().filter(|planned| planned.role == Role::Alias) {
        let anchored = |other: &&shipper_tag::PlannedTag| other.role == Role::Anchor && other.family == alias.family;
        assert!(plan.tags.iter().find(anchored).is_some(), "{alias:?}");
    }
    plan
}

#[track_caller]
fn names(policy: &Policy, facts: &Facts) -> Vec<String> {
    plan(policy, facts).tags.iter().map(|planned| planned.tag.to_string()).collect()
}

#[track_caller]
fn reason(policy: &Policy, facts: &Facts, rule: &str) -> NotNamed {
    let plan = plan(policy, facts);
    let skipped = plan.not_applied.iter().find(|skipped| skipped.rule == rule);
    skipped.unwrap_or_else(|| panic!("{rule} is applied: {plan:#?}")).reason.clone()
}

#[test]
fn defect_1_any_branch_gives_a_valid_tag() {
    let policy = policy("");
    let long = "x".repeat(130);
    for branch in ["#123-fix", "日本語", ".hidden", "-x", "a..b", "a b", &long] {
        let names = names(&policy, &push(branch));
        assert!(names.len() == 2 && names.iter().all(|name| name.parse::<Tag>().is_ok()), "{branch}: {names:?}");
    }
}

#[test]
fn defect_2_names_that_other_tools_mix_are_different() {
    let policy = policy("");
    let branches = ["feature/a", "feature-a", "feature#a", "feature//a", "Feature-a"];
    let all: BTreeSet<String> = branches.iter().flat_map(|branch| names(&policy, &push(branch))).collect();
    assert_eq!(all.len(), 2 * branches.len(), "{all:?}");
    let build = names(&policy, &tagged("v1.2.3+build.1", &[]));
    assert_eq!(build[0], "v1.2.3_build.1");
    assert_eq!(names(&policy, &tagged("v1.2.3-build.1", &[])), ["v1.2.3-build.1"]);
}

#[test]
fn defect_3_a_pre_release_owns_no_alias() {
    let policy = policy("");
    let facts = tagged("v2.0.8-beta.67", &[]);
    assert_eq!(names(&policy, &facts), ["v2.0.8-beta.67"]);
    for rule in ["latest", "v{major}", "v{major}.{minor}"] {
        assert_eq!(reason(&policy, &facts, rule).code(), "pre-release", "{rule}");
    }
}

#[test]
fn defect_4_aliases_only_move_forward() {
    let policy = policy("");
    let check = |tag: &str, versions: &[&str], expected: &[&str]| {
        assert_eq!(names(&policy, &tagged(tag, versions)), expected, "{tag} among {versions:?}");
    };
    check("v1.9.1", &["1.9.0", "2.0.1"], &["v1.9.1", "v1.9", "v1"]);
    check("v1.8.5", &["1.9.0", "2.0.1"], &["v1.8.5", "v1.8"]);
    check("v1.8.5", &["1.8.6"], &["v1.8.5"]);
    check("v2.0.1", &["1.9.1", "2.0.1"], &["v2.0.1", "v2.0", "v2", "latest"]);
    // A release candidate of the next version stops nobody.
    check("v1.9.1", &["2.0.0-rc.1"], &["v1.9.1", "v1.9", "v1", "latest"]);
    // Build metadata does not make a version newer.
    check("v1.9.1", &["1.9.1+2"], &["v1.9.1", "v1.9", "v1", "latest"]);
    check("v0.3.0", &[], &["v0.3.0", "v0.3", "latest"]);
    let facts = Facts { versions: None, ..tagged("v1.9.1", &[]) };
    assert_eq!(names(&policy, &facts), ["v1.9.1"]);
    assert_eq!(reason(&policy, &facts, "latest").to_string(), "it is not known whether a newer version exists");
    assert_eq!(reason(&policy, &tagged("v0.3.0", &[]), "v{major}").code(), "initial-development");
}

#[test]
fn defect_5_a_rule_that_is_placed_first_takes_nothing_from_another() {
    let first = policy("raw = { on = 'tag:*', tag = 'raw-{sha}', alias = ['raw'] }");
    let names = names(&first, &tagged("v2.0.1", &[]));
    assert_eq!(names, ["raw-abc1234", "v2.0.1", "raw", "v2.0", "v2", "latest"]);
}

#[test]
fn defect_6_a_placeholder_without_a_value_leaves_no_hole() {
    let policy = policy("base = { on = 'pr|branch:*', tag = 'base-{base}-{sha}', alias = ['mytag-{tag}'] }");
    assert_eq!(reason(&policy, &push("main"), "base-{base}-{sha}").to_string(), "`{base}` has no value");
    assert_eq!(reason(&policy, &push("main"), "mytag-{tag}"), NotNamed::NoAnchor);
    assert_eq!(reason(&policy, &pull_request(), "mytag-{tag}").to_string(), "`{tag}` has no value");
    let empty = Facts { branch: Some(String::new()), ..facts(Trigger::Push) };
    assert!(names(&policy, &empty).is_empty());
}

#[test]
fn defect_7_a_pull_request_is_named_by_its_head() {
    let policy = policy("built = { on = 'pr', tag = 'built-{built}' }");
    assert_eq!(names(&policy, &pull_request()), ["built-fff9999", "pr-12-abc1234", "pr-12"]);
}

#[test]
fn defect_8_a_branch_is_never_guessed() {
    let policy = policy("");
    assert!(names(&policy, &facts(Trigger::Push)).is_empty());
    let unknown = Facts { default_branch: None, ..push("main") };
    assert_eq!(reason(&policy, &unknown, "main-{sha}"), NotNamed::NoDefaultBranch);
    let named = self::policy("default-branch = 'trunk'");
    let unknown = Facts { default_branch: None, ..push("trunk") };
    assert_eq!(names(&named, &unknown), ["main-abc1234", "edge"]);
}

#[test]
fn defect_9_two_dirty_trees_differ_and_are_not_called_by_the_commit() {
    let policy = policy("dev = { on = 'local|dirty', tag = 'dev-{hash:12}' }");
    let dirty = |key: &str| Facts { dirty: Some(true), content: Some(key.parse().expect("a key")), ..push("main") };
    let one = names(&policy, &dirty(KEY));
    assert_eq!(one, ["h-0123456789abcdef0123456789abcdef", "dev-0123456789ab"]);
    assert_ne!(names(&policy, &dirty(&KEY.replace("0123456789", "9876543210"))), one);
    assert_eq!(reason(&policy, &dirty(KEY), "main-{sha}"), NotNamed::Dirty);
    assert_eq!(reason(&policy, &dirty(KEY), "edge"), NotNamed::Dirty);
}

#[test]
fn defect_10_a_detached_head_gives_no_empty_name() {
    let policy = policy("b = { on = 'local', tag = 'l-{branch}.{sha}', alias = ['l-{branch}'] }");
    let detached = facts(Trigger::Local);
    assert!(names(&policy, &detached).is_empty());
    assert_eq!(reason(&policy, &detached, "l-{branch}.{sha}").to_string(), "`{branch}` has no value");
}

#[test]
fn defect_11_the_hash_in_a_name_is_the_whole_key_of_the_build() {
    // What the key covers (modes, links, separators between paths) is `shipper-hash`'s; a name shows it unaltered.
    let policy = policy("x = { on = 'local', tag = 'x-{hash:64}' }");
    let facts = Facts { content: Some(KEY.parse().expect("a key")), ..facts(Trigger::Local) };
    assert_eq!(names(&policy, &facts)[1], format!("x-{KEY}"));
    assert_eq!(names(&policy, &facts)[0], format!("h-{}", &KEY[..32]));
}

#[test]
fn defect_12_a_short_commit_grows_until_it_is_one_commits() {
    let check = |text: &str, digits: Option<u8>, expected: &str| {
        let facts = Facts { unambiguous_digits: digits, ..push("main") };
        assert_eq!(names(&policy(text), &facts)[0], format!("main-{expected}"), "{text} {digits:?}");
    };
    check("", None, "abc1234");
    check("", Some(4), "abc1234");
    check("", Some(9), "abc123456");
    check("short-sha = 12", None, "abc123456789");
    check("short-sha = 12", Some(9), "abc123456789");
    check("main = { on = 'branch:{default}', tag = 'main-{sha:40}' }", None, COMMIT);
}

#[test]
fn each_kind_of_run_has_its_names() {
    let policy = policy("");
    let check = |what: &str, facts: &Facts, expected: &[&str]| assert_eq!(names(&policy, facts), expected, "{what}");
    check("main", &push("main"), &["main-abc1234", "edge"]);
    check("another branch", &push("fix-1"), &["b-fix-1.abc1234", "b-fix-1"]);
    check("a pull request", &pull_request(), &["pr-12-abc1234", "pr-12"]);
    check(
        "a schedule",
        &Facts { branch: Some("main".to_owned()), ..facts(Trigger::Schedule) },
        &["nightly-20261127-abc1234", "nightly"],
    );
    check("a manual run on main", &Facts { trigger: Trigger::Manual, ..push("main") }, &["main-abc1234", "edge"]);
    let queue = Facts { trigger: Trigger::MergeQueue, ..push("gh-readonly-queue/main/pr-12-abc") };
    check("a merge queue", &queue, &[]);
    check("a machine", &Facts { trigger: Trigger::Local, ..push("main") }, &[]);
    check("a tag that is no version", &tagged("v1.2", &[]), &[]);
    assert_eq!(reason(&policy, &tagged("v1.2", &[]), "v{version}").code(), "no-version");
    assert_eq!(reason(&policy, &tagged("nightly", &[]), "v{version}").code(), "not-met");
    assert_eq!(reason(&policy, &push("main"), "b-{branch}.{sha}").to_string(), "the branch belongs to `main`");
    let on_main = self::policy("preset = 'latest-on-main'");
    assert_eq!(names(&on_main, &push("main")), ["main-abc1234", "edge", "latest"]);
    assert_eq!(names(&on_main, &tagged("v2.0.1", &[])), ["v2.0.1", "v2.0", "v2"]);
    let queued = self::policy(
        "q = { on = 'merge-queue', tag = 'q-{pr}-{sha}' }\nm = { on = 'manual', tag = 'run-{date}-{sha}' }",
    );
    assert_eq!(names(&queued, &Facts { pull_request: pull_request().pull_request, ..queue }), ["q-12-abc1234"]);
    let manual = Facts { trigger: Trigger::Manual, ..push("main") };
    assert_eq!(names(&queued, &manual), ["run-20261127-abc1234", "main-abc1234", "edge"]);
}

#[test]
fn a_component_of_a_monorepo_is_released_by_its_own_tags() {
    let policy = policy(
        "release = { on = 'tag:{service}/v{semver}', tag = 'v{version}', alias = ['v{major}', 'latest'], keep = 'forever' }",
    );
    let of = |service: &str| Facts { service: Some(service.to_owned()), ..tagged("api/v1.2.3", &["1.2.2"]) };
    assert_eq!(names(&policy, &of("api")), ["v1.2.3", "v1", "latest"]);
    assert_eq!(reason(&policy, &of("web"), "v{version}").code(), "not-met");
    assert_eq!(reason(&policy, &tagged("api/v1.2.3", &[]), "v{version}").code(), "not-met");
    assert!(policy.needs_versions(&of("api")) && !policy.needs_versions(&of("web")));
}

#[test]
fn versions_are_read_back_from_the_names_that_were_given() {
    let policy = policy("");
    let facts = tagged("v1.0.0", &[]);
    let tags: Vec<Tag> = ["v1.2.3", "v1.2", "v1", "latest", "v2.0.0-rc.1", "v1.2.3_b.1", "main-abc1234", "h-1"]
        .iter()
        .map(|tag| tag.parse().expect("a tag"))
        .collect();
    let expected: BTreeSet<Version> =
        ["1.2.3", "2.0.0-rc.1", "1.2.3+b.1"].iter().map(|version| version.parse().expect("a version")).collect();
    assert_eq!(policy.versions(&facts, &tags), Some(expected));
    assert_eq!(policy.versions(&push("main"), &tags), None);
    let other = self::policy("release = { on = 'tag:v{semver}', tag = 'r-{sha}', alias = ['r-{major}x'] }");
    assert_eq!(other.versions(&facts, &tags), None, "names that tell no version leave it unknown");
}

#[test]
fn what_must_hold_when_a_name_is_written_is_told() {
    let plan = plan(&policy(""), &tagged("v1.9.1", &["1.9.0"]));
    let forward = |scope| Precondition::ForwardOnly { version: "1.9.1".parse().expect("a version"), scope };
    let expected =
        [Precondition::AbsentOrSameDigest, forward(Scope::Minor), forward(Scope::Major), forward(Scope::All)];
    assert_eq!(plan.tags.iter().map(|planned| planned.precondition.clone()).collect::<Vec<_>>(), expected);
    let main = evaluate(&policy(""), &push("main")).expect("evaluates");
    assert_eq!(main.tags[1].precondition, Precondition::Movable);
    assert_eq!(main.tags[0].why.to_string(), "a push to `main` meets `branch:{default}`");
}

#[test]
fn an_alias_that_could_be_an_anchor_is_not_given() {
    let policy = policy("branch = { on = 'branch:*', tag = 'b-{branch}-{sha}', alias = ['b-{branch}'] }");
    let check = |branch: &str, expected: &[&str]| assert_eq!(names(&policy, &push(branch))[..], *expected, "{branch}");
    check("topic", &["b-topic-abc1234", "b-topic"]);
    check("topic-abc1234", &["b-topic-abc1234-abc1234"]);
}

#[test]
fn a_tag_over_the_limit_is_an_error_and_a_long_slug_is_cut() {
    let long = "x".repeat(110);
    let policy = policy(&format!("x = {{ on = 'branch:*', tag = '{long}-{{sha:40}}' }}"));
    let error = evaluate(&policy, &push("main")).expect_err("too long");
    assert!(matches!(error, Error::Tag { .. }) && error.hint().is_some(), "{error}");
    let names = names(&self::policy(""), &push(&"y".repeat(300)));
    assert!(names.iter().all(|name| name.len() <= 128), "{names:?}");
    let gitlab = self::policy("slug = 'gitlab'");
    // GitLab's slug of such a name is empty.
    assert_eq!(reason(&gitlab, &push("日本語"), "b-{branch}.{sha}").code(), "no-value");
    assert_eq!(self::names(&gitlab, &push("Feature/A")), ["b-feature-a.abc1234", "b-feature-a"]);
    assert_eq!(slug("Feature/A", SlugMode::Gitlab, 63), "feature-a");
}

#[test]
fn facts_read_back_as_written_and_unknown_ones_are_refused() {
    for facts in [push("main"), tagged("v1.0.0-rc.1+b", &["1.0.0"]), pull_request(), Facts::new("x", Trigger::Local)] {
        let text = serde_json::to_string(&facts).expect("serialises");
        assert_eq!(serde_json::from_str::<Facts>(&text).expect("reads back"), facts, "{text}");
    }
    for bad in
        ["2026-11-27 03:45:00Z", "2026-13-27T03:45:00Z", "2026-11-27T03:45:00+01:00", "2026-11-27T03:45:00.xZ", ""]
    {
        assert!(bad.parse::<shipper_tag::UtcTime>().is_err(), "{bad}");
    }
}

#[test]
fn whatever_the_facts_are_names_are_tags_of_their_family_and_of_no_other() {
    let policies =
        ["", "preset = 'latest-on-main'", "slug = 'gitlab'", "dev = { on = 'local|dirty', tag = 'dev-{hash:12}' }"];
    let policies: Vec<Policy> = policies.iter().map(|text| policy(text)).collect();
    let triggers = [
        Trigger::Push,
        Trigger::PullRequest,
        Trigger::MergeQueue,
        Trigger::Tag,
        Trigger::Schedule,
        Trigger::Manual,
        Trigger::Local,
    ];
    let strategy = (
        0..policies.len(),
        0..triggers.len(),
        ".{0,150}",
        "v[0-9]{1,3}(\\.[0-9]{1,3}){0,3}(-[a-z.0-9]{0,5})?",
        0_u64..9999,
        0..3_u8,
    );
    proptest::proptest!(|((policy, trigger, branch, tag, number, dirty) in strategy)| {
        let policy = &policies[policy];
        let mut facts = push(&branch);
        facts.trigger = triggers[trigger];
        facts.tag = Some(tag);
        facts.content = Some(KEY.parse().expect("a key"));
        facts.versions = Some(["1.2.3".parse().expect("a version")].into());
        facts.pull_request = Some(PullRequest { number, head: Some(branch), base: None, fork: false });
        facts.dirty = [None, Some(false), Some(true)][usize::from(dirty)];
        let Ok(plan) = evaluate(policy, &facts) else { return Ok(()) };
        for planned in &plan.tags {
            let tag = planned.tag.as_str();
            let matching: Vec<&str> = policy.families().filter(|family| family.glob().matches(tag)).map(shipper_tag::Family::id).collect();
            match planned.role {
                Role::Alias => proptest::prop_assert!(matching.is_empty(), "{} {:?}", tag, matching),
                _ => proptest::prop_assert_eq!(&matching, &[planned.family.as_str()], "{}", tag),
            }
            proptest::prop_assert!(!Policy::internal().any(|(glob, _)| glob.matches(tag)), "{}", tag);
        }
    });
}
