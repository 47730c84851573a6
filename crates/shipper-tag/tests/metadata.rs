//! Lines of docker/metadata-action: what they give as that action evaluates them, and without its mistakes.

use shipper_tag::{Compatibility, Facts, MetadataAction, PullRequest, Trigger};

fn facts(trigger: Trigger) -> Facts {
    let mut facts = Facts::new("github", trigger);
    facts.commit = Some("abc1234567890123456789012345678901234567".parse().expect("an id"));
    facts.default_branch = Some("main".to_owned());
    facts.now = Some("2026-11-27T03:45:09Z".parse().expect("a time"));
    facts.versions = Some([].into());
    facts
}

fn push(branch: &str) -> Facts {
    Facts { branch: Some(branch.to_owned()), ..facts(Trigger::Push) }
}

fn tagged(tag: &str) -> Facts {
    Facts { tag: Some(tag.to_owned()), ..facts(Trigger::Tag) }
}

fn pull_request() -> Facts {
    let request = PullRequest { number: 12, head: Some("x".to_owned()), base: Some("main".to_owned()), fork: false };
    Facts { pull_request: Some(request), ..facts(Trigger::PullRequest) }
}

#[track_caller]
fn tags(lines: &str, facts: &Facts, compatibility: Compatibility) -> Vec<String> {
    let action = MetadataAction::parse(lines).unwrap_or_else(|error| panic!("{lines}: {error}"));
    action.evaluate(facts, compatibility).unwrap_or_else(|error| panic!("{lines}: {error}")).tags
}

#[test]
fn lines_without_a_mistake_give_the_same_either_way() {
    let check = |lines: &str, facts: &Facts, expected: &[&str]| {
        for compatibility in [Compatibility::Safe, Compatibility::Exact] {
            assert_eq!(tags(lines, facts, compatibility), expected, "{lines} {compatibility:?}");
        }
    };
    check("", &push("main"), &["main"]);
    check("", &pull_request(), &["pr-12"]);
    check("", &facts(Trigger::Schedule), &["nightly"]);
    check("", &tagged("v1.2.3"), &["v1.2.3", "latest"]);
    let semver =
        "type=semver,pattern={{version}}\ntype=semver,pattern={{major}}.{{minor}}\ntype=semver,pattern=v{{major}}";
    check(semver, &tagged("v1.2.3"), &["1.2.3", "1.2", "v1", "latest"]);
    check(semver, &tagged("v2.0.8-beta.67"), &["2.0.8-beta.67"]);
    check(semver, &push("main"), &[]);
    check("type=semver,pattern={{raw}}", &tagged("v2.0.8-beta.67"), &["v2.0.8-beta.67"]);
    check("type=semver,pattern={{version}},value=p1/v1.0.0", &tagged("x"), &["1.0.0", "latest"]);
    check(
        "type=sha\ntype=sha,format=long,prefix=",
        &push("main"),
        &["sha-abc1234", "abc1234567890123456789012345678901234567"],
    );
    check("type=edge", &push("main"), &["edge"]);
    check("type=edge,branch=next", &push("main"), &[]);
    check("type=match,pattern=v(.*)-x,group=1", &tagged("v7-x"), &["7", "latest"]);
    check("type=match,pattern=/\\d+/", &tagged("v7-x"), &["7", "latest"]);
    check("type=match,pattern=\"v\\d{1,3}\"", &tagged("v7"), &["v7", "latest"]);
    check("type=raw,value=build-{{date 'YYYYMMDD-HHmmss'}}", &push("main"), &["build-20261127-034509"]);
    check("custom", &push("main"), &["custom"]);
    check("type=raw,value=latest,enable={{is_default_branch}}", &push("main"), &["latest"]);
    check("type=raw,value=latest,enable={{is_default_branch}}", &push("x"), &[]);
    check("type=sha\ntype=ref,event=branch", &push("main"), &["main", "sha-abc1234"]);
    check("type=sha,priority=2000\ntype=ref,event=branch", &push("main"), &["sha-abc1234", "main"]);
    // As it stands in a workflow.
    let step = "tags: |\n    type=ref,event=branch\n    # a comment\n    type=ref,event=branch,prefix=x-,suffix=-y\nflavor: |\n    latest=true\n    suffix=-alpine,onlatest=true\n";
    check(step, &push("main"), &["main-alpine", "x-main-y", "latest-alpine"]);
    check("type=ref,event=tag\nflavor:\nlatest=false", &tagged("v1.2.3"), &["v1.2.3"]);
}

#[test]
fn the_actions_mistakes_are_kept_by_flag_and_made_by_nobody_else() {
    let check = |lines: &str, facts: &Facts, exact: &[&str], safe: &[&str]| {
        assert_eq!(tags(lines, facts, Compatibility::Exact), exact, "{lines}");
        assert_eq!(tags(lines, facts, Compatibility::Safe), safe, "{lines}");
    };
    check("", &push("feature/a"), &["feature-a"], &["feature-a-3jm2xtc2"]);
    check("", &push("#123-fix"), &["-123-fix"], &[&shipper_tag::slug("#123-fix", shipper_tag::SlugMode::Safe, 100)]);
    check("", &tagged("v2.0.8-beta.67"), &["v2.0.8-beta.67", "latest"], &["v2.0.8-beta.67"]);
    check("type=match,pattern=\\d.*", &tagged("v2.0.8-beta.67"), &["2.0.8-beta.67", "latest"], &["2.0.8-beta.67"]);
    let back = Facts { versions: Some(["2.0.1".parse().expect("a version")].into()), ..tagged("v1.9.1") };
    check("type=semver,pattern={{version}}", &back, &["1.9.1", "latest"], &["1.9.1"]);
    let unknown = Facts { versions: None, ..tagged("v1.9.1") };
    check("type=semver,pattern={{version}}", &unknown, &["1.9.1", "latest"], &["1.9.1"]);
    let first = "type=raw,value=mine,priority=2000\ntype=semver,pattern={{version}}";
    check(first, &tagged("v1.9.1"), &["mine", "1.9.1"], &["mine", "1.9.1", "latest"]);
    check("type=raw,value=baseref-{{base_ref}}", &push("main"), &["baseref-"], &[]);
    check("type=raw,value=mytag-{{tag}}-x", &push("main"), &["mytag--x"], &[]);
    check("type=semver,pattern={{version}}", &tagged("v1.2.3+b.1"), &["1.2.3-b.1", "latest"], &["1.2.3_b.1", "latest"]);
    check("type=semver,pattern={{major}}", &tagged("v0.2.3"), &["0", "latest"], &[]);
}

/// Versions of Python: normalised as PEP 440 says, shortened only where they are releases.
#[test]
fn versions_of_python_are_read_as_pep_440_says() {
    let check = |lines: &str, tag: &str, exact: &[&str], safe: &[&str]| {
        assert_eq!(tags(lines, &tagged(tag), Compatibility::Exact), exact, "{lines} {tag}");
        assert_eq!(tags(lines, &tagged(tag), Compatibility::Safe), safe, "{lines} {tag}");
    };
    let three =
        "type=pep440,pattern={{version}}\ntype=pep440,pattern={{major}}.{{minor}}\ntype=pep440,pattern={{major}}";
    let both = |tag: &str, expected: &[&str]| check(three, tag, expected, expected);
    both("1.2.3", &["1.2.3", "1.2", "1", "latest"]);
    both("v1.2.3", &["1.2.3", "1.2", "1", "latest"]);
    both("1.2.3.RC.2", &["1.2.3rc2"]);
    both("1.2.3a1", &["1.2.3a1"]);
    both("1.2.3.post1", &["1.2.3.post1"]);
    both("1.2.dev4", &["1.2.dev4"]);
    both("main", &[]);
    // Which versions came later is known of semantic versions alone.
    check(three, "2024.1", &["2024.1", "2024", "latest"], &["2024.1", "2024"]);
    check(three, "0.4.1", &["0.4.1", "0.4", "0", "latest"], &["0.4.1", "0.4", "latest"]);
    check("type=pep440,pattern={{raw}}", "v1.2.3-RC2", &["v1.2.3-RC2"], &["v1.2.3-RC2"]);
    check("type=pep440,pattern=v{{patch}},value=1!3.4", "x", &["v0", "latest"], &["v0"]);
    check("type=pep440,pattern={{version}},value=1.0+b.1", "x", &["1.0-b.1", "latest"], &["1.0_b.1"]);
    let pushed = tags(three, &push("main"), Compatibility::Exact);
    assert!(pushed.is_empty(), "{pushed:?}");
}

#[test]
fn dates_are_told_in_the_time_zone_that_is_asked_for() {
    // 03:45:09 in UTC on a Friday, in winter.
    let check = |argument: &str, expected: &str| {
        let line = format!("type=raw,value=d-{{{{date {argument}}}}}");
        for compatibility in [Compatibility::Safe, Compatibility::Exact] {
            assert_eq!(tags(&line, &push("main"), compatibility), [format!("d-{expected}")], "{argument}");
        }
    };
    check("'YYYYMMDD'", "20261127");
    check("'YYYYMMDD-HHmmss' tz='Asia/Tokyo'", "20261127-124509");
    check("'YYYYMMDD-HHmm' tz='America/New_York'", "20261126-2245");
    check("'YYYYMMDD-HHmm' tz='Europe/Berlin'", "20261127-0445");
    check("'ddd-D-MMM-YY'", "Fri-27-Nov-26");
    check("'[week]WW.E-DDDD'", "week48.5-331");
    check("'h-mmA' tz='Asia/Kathmandu'", "9-30AM");
    check("X", "1795751109");
    // Summer time, by the database that is compiled in.
    let summer = Facts { now: Some("2026-07-01T12:00:00Z".parse().expect("a time")), ..push("main") };
    let line = "type=raw,value={{date 'HHmm' tz='Europe/Berlin'}}";
    assert_eq!(tags(line, &summer, Compatibility::Safe), ["1400"]);
}

#[test]
fn each_line_that_gives_nothing_says_why() {
    let action =
        MetadataAction::parse("type=semver,pattern={{version}}\ntype=raw,value=b-{{base_ref}}").expect("reads");
    let found = action.evaluate(&push("main"), Compatibility::Safe).expect("evaluates");
    let reasons: Vec<&str> = found.not_applied.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(reasons, ["the run is not about a tag", "`{{base_ref}}` has no value"]);
}

#[test]
fn what_can_not_be_used_is_named_with_its_line() {
    let check = |lines: &str, problem: &str| {
        let result =
            MetadataAction::parse(lines).and_then(|action| action.evaluate(&tagged("v1.0.0"), Compatibility::Safe));
        let error = result.expect_err(lines).to_string();
        assert!(error.contains(problem), "{lines}: {error}");
    };
    check("type=sha\ntype=pep441,pattern={{version}}", "line 2 of the metadata-action: `type=pep441` is not supported");
    check("type=pep440", "`pattern` is missing");
    check("type=raw,value={{date 'YYYY' tz='Europe/Atlantis'}}", "`Europe/Atlantis` is no time zone");
    check("type=raw,value={{date 'YYYY' zone='UTC'}}", "`zone='UTC'` after the date format");
    check("type=raw,value={{date 'YYYY' tz='UTC' x}}", "`x` after the time zone");
    check("type=raw,value={{date 'YYYY}}", "a `'` is missing");
    check("type=ref,event=brnach", "none of branch, tag, pr");
    check("type=semver", "`pattern` is missing");
    check("type=sha,prefx=x", "did you mean `prefix`?");
    check("type=sha,priority=x", "no number");
    check("type=raw,value={{nope}}", "`{{nope}}` is not supported");
    check("type=raw,value={{date 'YYYYoo'}}", "from `oo` on");
    check("type=raw,value={{tag", "`}}` is missing");
    check("type=match,pattern=\"(\"", "line 1");
    check("type=match,pattern=\"x", "`\"` is missing");
    check("type=raw,value=a/b", "name an image by `a/b`");
    check("flavor:\nlatest=maybe", "no flavor");
    proptest::proptest!(|(lines in "(type=(semver|raw|match|ref|sha),)?[a-z={}\", \\n.*()]{0,60}")| {
        if let Ok(action) = MetadataAction::parse(&lines) {
            let _ = action.evaluate(&tagged("v1.0.0"), Compatibility::Exact);
        }
    });
}
