//! `ecr images`: what is there, what is in use, and what the policy of the repository does to it.

use serde_json::{Value, json};
use shipper_testkit::ApiFault;

use super::{RETENTION, World, filled, image};
use crate::support::text;

const LIST: [&str; 6] = ["ecr", "images", "--repository", "shop/api", "--now", "2026-06-01T00:00:00Z"];

fn digests(document: &Value) -> Vec<String> {
    document["images"].as_array().expect("images").iter().map(|image| text(&image["digest"])).collect()
}

#[test]
fn the_newest_image_comes_first_with_what_its_policy_does_and_what_uses_it() {
    let (world, images, part) = filled();
    world.aws.set_lifecycle_policy("shop/api", RETENTION);
    world.registry.put_tag("shop/api", "env-prod", &images[2]);
    let all = world.run(&[&LIST[..], &["--json", "--in-use", "shop/api:v1"]].concat()).ok().json();
    assert_eq!((all["total"].as_u64(), all["images"].as_array().map(Vec::len)), (Some(13), Some(13)));
    let newest: Vec<String> = images.iter().rev().cloned().collect();
    assert_eq!(digests(&all)[..10], newest);
    let of = |digest: &str| {
        let listed = all["images"].as_array().expect("images");
        listed.iter().find(|image| image["digest"] == digest).expect("is listed").clone()
    };
    assert_eq!(of(&images[9])["pushed-at"], "2026-05-21T00:00:00Z");
    assert_eq!((&of(&images[9])["policy"]["fate"], &of(&images[9])["in-use"]), (&json!("keep"), &Value::Null));
    assert_eq!((&of(&images[0])["policy"]["fate"], &of(&images[0])["policy"]["rule"]), (&json!("expire"), &json!(10)));
    assert_eq!(of(&images[2])["in-use"], "shop/api:env-prod");
    // What an image in use is made of is in use.
    assert_eq!(of(&part)["in-use"], "shop/api:v1");
    let lines = world.run(&LIST).ok().says("13 images of 13, 1 in use").stdout;
    let line = lines.lines().find(|line| line.contains(&images[2])).expect("a line");
    assert!(line.contains("pr-2") && line.contains("in use: shop/api:env-prod; "), "{line}");
    // A choice of them.
    let some = world.run(&[&LIST[..], &["--json", "--tag", "pr-*", "--newest", "2"]].concat()).ok().json();
    assert_eq!(digests(&some), newest[..2]);
    // A policy that is not one, and none.
    world.aws.set_lifecycle_policy("shop/api", "{}");
    world.run(&LIST).ok().says("the policy of the repository could not be evaluated");
    world.run(&["ecr", "images", "--repository", "shop/none"]).exits(1).says("`shipper ecr ensure NAME`");
    world.aws.fault(ApiFault::deny("ecr:DescribeImages"));
    world.run(&LIST).exits(3).says("allow `ecr:DescribeImages`");
}

#[test]
fn pages_are_put_together() {
    let world = World::new();
    world.registry.create_repository("shop/api");
    for at in 0..1001 {
        image(&world, "shop/api", &at.to_string(), &[&format!("pr-{at}")], 1);
    }
    let document = world.run(&["ecr", "images", "--repository", "shop/api", "--json"]).ok().json();
    assert_eq!((document["total"].as_u64(), document["images"].as_array().map(Vec::len)), (Some(1001), Some(1001)));
    assert_eq!(world.aws.actions().iter().filter(|action| *action == "ecr:DescribeImages").count(), 2);
}

#[test]
fn images_by_name_are_found_though_others_are_missing() {
    let world = World::new();
    world.registry.create_repository("shop/api");
    let names: Vec<String> = (0..250).map(|at| format!("pr-{at}")).collect();
    let images: Vec<String> = names.iter().map(|name| image(&world, "shop/api", name, &[name], 1)).collect();
    let calls = |names: &[String], missing: &[&str]| {
        world.aws.clear_calls();
        let mut arguments = vec!["ecr", "images", "--repository", "shop/api", "--json"];
        arguments.extend(names.iter().flat_map(|name| ["--image", name.as_str()]));
        let document = world.run(&arguments).exits(i32::from(!missing.is_empty())).json();
        assert_eq!(document["missing"], json!(missing));
        assert_eq!(digests(&document).len(), names.len() - missing.len());
        // Neither a login nor a policy is needed for it.
        assert!(world.aws.actions().iter().all(|action| action == "ecr:DescribeImages"), "{:?}", world.aws.actions());
        world.aws.calls().len()
    };
    assert_eq!(calls(&names, &[]), 3);
    // By digest, an id that names nothing in the second hundred: 200, 100 halved, 50, 25, 12 or 13, 6 or 7, 3 or 4, 2, 1.
    let mut some = names.clone();
    some[130] = format!("sha256:{:064}", 0);
    some[131].clone_from(&images[131]);
    let halved = calls(&some, &[&some[130].clone()]);
    assert!((3 + 2 * 6..=3 + 2 * 7).contains(&halved), "{halved} calls");
    // All of a call.
    let none: Vec<String> = (0..4).map(|at| format!("v{at}")).collect();
    let expected: Vec<&str> = none.iter().map(String::as_str).collect();
    assert_eq!(calls(&none, &expected), 7);
    // What is no missing image is no "missing".
    world.aws.fault(ApiFault::deny("ecr:DescribeImages"));
    world.run(&["ecr", "images", "--repository", "shop/api", "--image", "pr-1"]).exits(3).says("access is denied");
    world.run(&["ecr", "images", "--repository", "shop/api", "--image", "v1", "--in-use", "x"]).exits(2);
}
