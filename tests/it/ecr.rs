//! `ecr lifecycle`: policies in files.

use serde_json::json;

use crate::support::{Project, text};

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
