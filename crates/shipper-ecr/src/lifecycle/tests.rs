//! The evaluator against a second implementation, the documents at their limits, and each thing that ECR refuses.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::Error;

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().expect("a time")
}

fn rule(priority: u32, tags: TagSelection, count: Count) -> Rule {
    Rule { priority, description: None, tags, storage: StorageClass::Standard, count, action: Action::Expire }
}

fn patterns(entries: &[&str]) -> TagSelection {
    TagSelection::Patterns(entries.iter().map(|entry| (*entry).to_owned()).collect())
}

fn policy(rules: Vec<Rule>) -> LifecyclePolicy {
    LifecyclePolicy::new(rules).expect("a policy")
}

/// An image pushed so many hours ago.
fn image(digest: &str, tags: &[&str], hours: i64) -> ImageFacts {
    ImageFacts {
        digest: digest.to_owned(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        pushed_at: now() - SignedDuration::from_hours(hours),
        pulled_at: None,
        archived_at: None,
        activated_at: None,
        storage: StorageClass::Standard,
        children: Children::None,
        subject: None,
    }
}

fn fates(policy: &LifecyclePolicy, images: &[ImageFacts]) -> Vec<Fate> {
    simulate(policy, images, now()).verdicts.into_iter().map(|verdict| verdict.fate).collect()
}

#[test]
fn an_image_with_two_tags_goes_with_the_rule_that_comes_first() {
    // facts: 25 newer PR images; `latest` is on an old one.
    let mut images: Vec<ImageFacts> = (0..25).map(|at| image(&format!("{at}"), &["pr-x"], at)).collect();
    images.push(image("live", &["pr-1", "latest"], 500));
    let pr = |priority| rule(priority, patterns(&["pr-*"]), Count::MoreThan(20));
    let latest = |priority| rule(priority, patterns(&["latest"]), Count::MoreThan(1));
    assert_eq!(fates(&policy(vec![pr(1), latest(2)]), &images)[25], Fate::Expire(1));
    let shielded = simulate(&policy(vec![latest(1), pr(2)]), &images, now());
    assert_eq!(shielded.verdicts[25].fate, Fate::Keep);
    assert_eq!(shielded.verdicts[25].why, Why::Shielded { by: 1, from: 2 });
    // The protected image still counts: 26 match, 20 stay, of the 6 beyond one is protected.
    assert_eq!(shielded.endangered().count(), 5);
}

#[test]
fn a_list_means_all_of_its_entries() {
    let all = policy(vec![rule(1, patterns(&["latest", "main-*"]), Count::DaysSincePushed(1))]);
    let images = [image("a", &["latest"], 100), image("b", &["latest", "main-1"], 100), image("c", &["main-1"], 100)];
    assert_eq!(fates(&all, &images), [Fate::Keep, Fate::Expire(1), Fate::Keep]);
    assert!(matches!(&lints(&all, &images)[0], Lint::AllOf { rule: 1, entries } if entries.len() == 2));
}

#[test]
fn older_means_strictly_older() {
    let day = policy(vec![rule(1, TagSelection::Untagged, Count::DaysSincePushed(1))]);
    let mut second = image("b", &[], 24);
    second.pushed_at -= SignedDuration::from_secs(1);
    assert_eq!(fates(&day, &[image("a", &[], 24), second]), [Fate::Keep, Fate::Expire(1)]);
}

#[test]
fn storage_classes_do_not_see_each_other() {
    let archive = Rule { action: Action::Archive, ..rule(1, TagSelection::Any, Count::DaysSincePulled(30)) };
    let expire =
        Rule { storage: StorageClass::Archive, ..rule(2, TagSelection::Any, Count::DaysSinceTransitioned(90)) };
    let policy = policy(vec![archive, expire]);
    let days = |days: i64| now() - SignedDuration::from_hours(24 * days);
    let standard =
        |pulled, activated| ImageFacts { pulled_at: pulled, activated_at: activated, ..image("s", &["x"], 24 * 400) };
    let archived =
        |at| ImageFacts { archived_at: Some(at), storage: StorageClass::Archive, ..image("a", &["x"], 24 * 400) };
    let check = |image: ImageFacts, fate| assert_eq!(fates(&policy, &[image]), [fate]);
    check(standard(None, None), Fate::Archive(1));
    check(standard(Some(days(10)), None), Fate::Keep);
    check(standard(Some(days(200)), Some(days(10))), Fate::Keep);
    check(standard(Some(days(200)), Some(days(50))), Fate::Archive(1));
    check(archived(days(91)), Fate::Expire(2));
    check(archived(days(90)), Fate::Keep);
}

#[test]
fn what_the_guide_leaves_open_is_uncertain() {
    let untagged = policy(vec![
        rule(1, TagSelection::Untagged, Count::DaysSincePushed(1)),
        rule(2, TagSelection::Any, Count::MoreThan(1)),
    ]);
    let index = |children| ImageFacts { children, ..image("index", &["v1"], 90) };
    let parts = [image("arm", &[], 91), image("other", &[], 92)];
    // Not read: either untagged image may belong to it.
    let unread = [index(Children::Unknown), parts[0].clone(), parts[1].clone()];
    assert_eq!(fates(&untagged, &unread), [Fate::Keep, Fate::Uncertain(1), Fate::Uncertain(1)]);
    // Read: the other one belongs to nothing.
    let read = [index(Children::Known(vec!["arm".to_owned()])), parts[0].clone(), parts[1].clone()];
    assert_eq!(fates(&untagged, &read), [Fate::Keep, Fate::Uncertain(1), Fate::Expire(1)]);
    // Two images of one time at the limit.
    let count = policy(vec![rule(1, TagSelection::Any, Count::MoreThan(2))]);
    let tied = [image("a", &["x"], 1), image("b", &["x"], 2), image("c", &["x"], 2), image("d", &["x"], 3)];
    let tie = simulate(&count, &tied, now());
    assert_eq!(fates(&count, &tied), [Fate::Keep, Fate::Uncertain(1), Fate::Uncertain(1), Fate::Expire(1)]);
    assert_eq!(tie.verdicts[1].why, Why::Tie(1));
}

#[test]
fn artifacts_go_with_their_subject() {
    let old = policy(vec![rule(1, patterns(&["v*"]), Count::DaysSincePushed(1))]);
    let signature = |subject: &str| ImageFacts { subject: Some(subject.to_owned()), ..image("signature", &[], 1) };
    let subject = image("subject", &["v1"], 50);
    let simulation = simulate(&old, &[subject.clone(), signature("subject")], now());
    assert_eq!(simulation.verdicts[1], Verdict { fate: Fate::Expire(1), why: Why::Follows(1) });
    assert_eq!(fates(&old, &[subject, signature("elsewhere")])[1], Fate::Keep);
}

/// The written rules again, image by image: the first rule that is about an image decides.
mod naive {
    use super::*;

    #[derive(Clone, Copy, PartialEq, Debug)]
    pub(super) struct Reading {
        pub(super) held: bool,
        pub(super) ranked: bool,
        pub(super) ties_go: bool,
    }

    pub(super) fn readings() -> Vec<Reading> {
        let of = |held, ranked| [false, true].map(|ties_go| Reading { held, ranked, ties_go });
        [of(false, true), of(true, true), of(true, false)].concat()
    }

    fn owners<'a>(image: &ImageFacts, all: &'a [ImageFacts]) -> Vec<&'a ImageFacts> {
        let refers = |other: &&ImageFacts| matches!(&other.children, Children::Known(children) if children.contains(&image.digest));
        let mut owners: Vec<&ImageFacts> = all.iter().filter(refers).collect();
        owners.extend(all.iter().filter(|other| image.subject.as_ref() == Some(&other.digest)));
        if owners.is_empty() && image.tags.is_empty() && image.children == Children::None {
            owners.extend(all.iter().filter(|other| other.children == Children::Unknown));
        }
        owners
    }

    fn is_about(rule: &Rule, image: &ImageFacts) -> bool {
        rule.storage == image.storage
            && match &rule.tags {
                TagSelection::Any => true,
                TagSelection::Untagged => image.tags.is_empty(),
                TagSelection::Patterns(list) => list.iter().all(|entry| {
                    let (head, tail) = entry.split_once('*').expect("generated with one star");
                    image
                        .tags
                        .iter()
                        .any(|tag| tag.len() >= head.len() + tail.len() && tag.starts_with(head) && tag.ends_with(tail))
                }),
                TagSelection::Prefixes(list) => {
                    list.iter().all(|prefix| image.tags.iter().any(|tag| tag.starts_with(prefix.as_str())))
                }
            }
    }

    /// The priority of the rule that acts on `image`.
    pub(super) fn act(rules: &[Rule], image: &ImageFacts, all: &[ImageFacts], reading: Reading) -> Option<u32> {
        let is_ranked = |other: &ImageFacts| reading.ranked || owners(other, all).is_empty();
        let own = rules.iter().find(|rule| is_ranked(image) && is_about(rule, image)).filter(|rule| {
            let days = |days: u32, since: Timestamp| now().duration_since(since).as_secs() > i64::from(days) * 86_400;
            match rule.count {
                Count::DaysSincePushed(number) => days(number, image.pushed_at),
                Count::DaysSincePulled(number) => days(number, image.pulled_at.unwrap_or(image.pushed_at)),
                Count::DaysSinceTransitioned(number) => days(number, image.archived_at.unwrap_or(image.pushed_at)),
                Count::MoreThan(most) => {
                    let others = || all.iter().filter(|other| is_about(rule, other) && is_ranked(other));
                    let younger = others().filter(|other| other.pushed_at > image.pushed_at).count();
                    let same = others().filter(|other| other.pushed_at == image.pushed_at).count();
                    younger >= most as usize || (reading.ties_go && younger + same > most as usize)
                }
            }
        });
        let own = own.map(|rule| rule.priority);
        let owners = owners(image, all);
        if !reading.held {
            let subject = all.iter().find(|other| image.subject.as_ref() == Some(&other.digest));
            // A subject has no owner in the generated repositories.
            return own.or_else(|| act(rules, subject?, all, reading));
        }
        match owners.first() {
            None => own,
            Some(first) if owners.iter().all(|owner| act(rules, owner, all, reading).is_some()) => {
                own.or_else(|| act(rules, first, all, reading))
            }
            Some(_) => None,
        }
    }
}

fn selections() -> impl Strategy<Value = TagSelection> {
    let entry = "[ab]{0,2}";
    prop_oneof![
        Just(TagSelection::Any),
        Just(TagSelection::Untagged),
        proptest::collection::vec((entry, entry), 1..3)
            .prop_map(|list| TagSelection::Patterns(list.iter().map(|(a, b)| format!("{a}*{b}")).collect())),
        proptest::collection::vec("[ab]{1,2}", 1..3).prop_map(TagSelection::Prefixes),
    ]
}

fn policies() -> impl Strategy<Value = LifecyclePolicy> {
    let count = prop_oneof![
        (1u32..6).prop_map(Count::MoreThan),
        (1u32..6).prop_map(Count::DaysSincePushed),
        (1u32..6).prop_map(Count::DaysSincePulled),
        (90u32..96).prop_map(Count::DaysSinceTransitioned),
    ];
    let rules =
        (selections(), count, any::<bool>(), "[a-z]{0,3}").prop_map(|(tags, count, archive, description)| Rule {
            description: (!description.is_empty()).then_some(description),
            storage: match count {
                Count::DaysSinceTransitioned(_) => StorageClass::Archive,
                _ => StorageClass::Standard,
            },
            action: match count {
                Count::DaysSincePulled(_) => Action::Archive,
                Count::DaysSinceTransitioned(_) => Action::Expire,
                _ if archive => Action::Archive,
                _ => Action::Expire,
            },
            ..rule(1, tags, count)
        });
    proptest::collection::vec(rules, 1..6).prop_filter_map("ECR would refuse it", |mut rules| {
        rules.sort_by_key(|rule| rule.tags == TagSelection::Any);
        for (at, rule) in (0..).zip(&mut rules) {
            rule.priority = 1 + at * 3;
        }
        LifecyclePolicy::new(rules).ok()
    })
}

fn repositories() -> impl Strategy<Value = Vec<ImageFacts>> {
    let one = (
        proptest::collection::vec("[ab]{1,3}", 0..3),
        0i64..200,
        proptest::option::of(0i64..200),
        any::<bool>(),
        0u8..10,
        proptest::collection::vec(any::<prop::sample::Index>(), 0..3),
    );
    proptest::collection::vec(one, 0..14).prop_map(|drawn| {
        let hours = |hours: i64| now() - SignedDuration::from_hours(hours);
        let digest = |at: usize| format!("sha256:{at}");
        let all = drawn.len();
        let mut images = Vec::new();
        for (at, (tags, pushed, pulled, archived, kind, others)) in drawn.into_iter().enumerate() {
            let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
            let mut image = ImageFacts { pulled_at: pulled.map(hours), ..image(&digest(at), &tags, pushed) };
            if archived && kind < 3 {
                image.storage = StorageClass::Archive;
                image.archived_at = Some(hours(2000 + pushed * 2));
            }
            // Indexes refer forwards and to nothing that has a subject, so that nothing refers to itself.
            match kind {
                6 => image.children = Children::Unknown,
                7 | 8 => {
                    let later = |index: &prop::sample::Index| at + 1 + index.index(all - at);
                    image.children = Children::Known(others.iter().map(|index| digest(later(index))).collect());
                }
                9 if at > 0 => {
                    let subject: &ImageFacts = &images[at - 1];
                    let is_free = !matches!(subject.children, Children::Unknown)
                        && subject.subject.is_none()
                        && !subject.tags.is_empty()
                        && !images.iter().any(|other: &ImageFacts| matches!(&other.children, Children::Known(children) if children.contains(&subject.digest)));
                    image.subject = is_free.then(|| subject.digest.clone());
                }
                _ => (),
            }
            images.push(image);
        }
        images
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn the_evaluator_agrees_with_the_written_rules(policy in policies(), images in repositories()) {
        let action = |priority: u32| policy.rules().iter().find(|rule| rule.priority == priority).expect("a rule").action;
        for (image, fate) in images.iter().zip(fates(&policy, &images)) {
            let acts: Vec<Option<u32>> =
                naive::readings().into_iter().map(|reading| naive::act(policy.rules(), image, &images, reading)).collect();
            let actions: Vec<Option<Action>> = acts.iter().map(|act| act.map(action)).collect();
            let agree = actions.iter().all(|other| *other == actions[0]);
            let is_right = match fate {
                Fate::Keep => agree && acts[0].is_none(),
                Fate::Expire(rule) => agree && acts.contains(&Some(rule)) && actions[0] == Some(Action::Expire),
                Fate::Archive(rule) => agree && acts.contains(&Some(rule)) && actions[0] == Some(Action::Archive),
                Fate::Uncertain(rule) => !agree && acts.contains(&Some(rule)),
            };
            prop_assert!(is_right, "{}: {fate:?}, the readings say {acts:?}", image.digest);
        }
    }

    #[test]
    fn the_canonical_text_is_a_fixed_point(policy in policies()) {
        let text = policy.canonical_json();
        let read = LifecyclePolicy::parse(&text).expect("its own text");
        prop_assert_eq!(read.canonical_json(), text);
        prop_assert!(policy.changes_to(&read).is_empty());
    }

    #[test]
    fn changes_are_empty_exactly_where_the_rules_mean_the_same(a in policies(), b in policies(), images in repositories()) {
        if a.changes_to(&b).is_empty() {
            let kind = |fate: &Fate| std::mem::discriminant(fate);
            let (a, b) = (fates(&a, &images), fates(&b, &images));
            prop_assert!(a.iter().map(kind).eq(b.iter().map(kind)));
        }
        prop_assert_eq!(a.changes_to(&b).is_empty(), b.changes_to(&a).is_empty());
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in ".{0,200}", cut in 0usize..400) {
        let _ = LifecyclePolicy::parse(&text);
        let _ = ImageFacts::parse_describe_images(&text);
        let whole = r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}}]}"#;
        let _ = LifecyclePolicy::parse(whole.get(..cut).unwrap_or(whole));
    }
}

#[test]
fn spelling_and_numbering_make_no_difference() {
    let first = policy(vec![
        rule(1, TagSelection::Prefixes(vec!["pr-".to_owned()]), Count::MoreThan(5)),
        rule(2, TagSelection::Untagged, Count::DaysSincePushed(1)),
    ]);
    let described = Rule { description: Some("x".to_owned()), ..rule(9, patterns(&["pr-*"]), Count::MoreThan(5)) };
    let second = policy(vec![rule(70, TagSelection::Untagged, Count::DaysSincePushed(1)), described]);
    assert_eq!(first.changes_to(&second), []);
    assert_ne!(first.canonical_json(), second.canonical_json());
}

#[test]
fn changes_name_what_was_added_removed_changed_and_moved() {
    let pr = |priority, count| rule(priority, patterns(&["pr-*"]), Count::MoreThan(count));
    let main = |priority| rule(priority, patterns(&["main-*"]), Count::MoreThan(5));
    let any = |priority| rule(priority, TagSelection::Any, Count::MoreThan(500));
    let untagged = |priority| rule(priority, TagSelection::Untagged, Count::DaysSincePushed(1));
    let shown = |a: &LifecyclePolicy, b: &LifecyclePolicy| -> Vec<String> {
        a.changes_to(b).iter().map(ToString::to_string).collect()
    };
    let before = policy(vec![pr(1, 5), main(2), untagged(3)]);
    let after = policy(vec![main(1), pr(2, 5), any(5)]);
    assert_eq!(
        shown(&before, &after),
        [
            "> 1: main-*: expire beyond 5 images",
            "+ 5: any image: expire beyond 500 images",
            "- 3: untagged: expire 1 days after the push",
        ]
    );
    assert_eq!(
        shown(&policy(vec![pr(1, 5)]), &policy(vec![pr(4, 9)])),
        ["~ 4: pr-*: expire beyond 5 images -> pr-*: expire beyond 9 images"]
    );
}

/// A policy document of one rule with these selection members and this action.
fn document(selection: &str, action: &str) -> String {
    format!(r#"{{"rules":[{{"rulePriority":1,"selection":{{{selection}}},"action":{{{action}}}}}]}}"#)
}

fn problems(text: &str) -> Vec<Problem> {
    match LifecyclePolicy::parse(text) {
        Err(Error::Policy(violations)) => violations.into_iter().map(|violation| violation.problem).collect(),
        other => panic!("{other:?} for {text}"),
    }
}

#[test]
fn each_thing_that_ecr_refuses_has_an_error_of_its_own() {
    let expire = r#""type":"expire""#;
    let transition = r#""type":"transition","targetStorageClass":"archive""#;
    let check = |selection: &str, action: &str, expected: Problem| {
        assert_eq!(problems(&document(selection, action)), [expected]);
    };
    let images = r#""countType":"imageCountMoreThan","countNumber":1"#;
    let pushed = r#""countType":"sinceImagePushed","countUnit":"days","countNumber":1"#;
    let any = r#""tagStatus":"any""#;
    let tagged = r#""tagStatus":"tagged""#;
    check(&format!("{tagged},{images}"), expire, Problem::NoTagList);
    check(&format!(r#"{tagged},"tagPatternList":["a"],"tagPrefixList":["a"],{images}"#), expire, Problem::BothTagLists);
    check(&format!(r#"{tagged},"tagPatternList":[],{images}"#), expire, Problem::EmptyTagList);
    check(&format!(r#"{any},"tagPrefixList":["a"],{images}"#), expire, Problem::TagListNotAllowed);
    check(
        &format!(r#"{tagged},"tagPatternList":["*a*b*c*d*"],{images}"#),
        expire,
        Problem::TooManyWildcards { pattern: "*a*b*c*d*".to_owned(), stars: 5 },
    );
    check(
        &format!(r#"{tagged},"tagPatternList":[""],{images}"#),
        expire,
        Problem::TagLength { entry: String::new(), characters: 0 },
    );
    check(
        &format!(r#"{any},"countType":"sinceImagePushed","countNumber":1"#),
        expire,
        Problem::NoUnit { count_type: "sinceImagePushed" },
    );
    check(&format!(r#"{any},"countUnit":"days",{images}"#), expire, Problem::UnitNotAllowed);
    check(&format!(r#"{any},"countType":"imageCountMoreThan","countNumber":0"#), expire, Problem::CountZero);
    let not_allowed = |count_type, action| Problem::ActionNotAllowed { count_type, action };
    let pulled = pushed.replace("Pushed", "Pulled");
    check(&format!("{any},{pulled}"), expire, not_allowed("sinceImagePulled", Action::Expire));
    let transitioned = |days: &str| {
        format!(
            r#"{any},"storageClass":"archive","countType":"sinceImageTransitioned","countUnit":"days","countNumber":{days}"#
        )
    };
    check(&transitioned("90"), transition, not_allowed("sinceImageTransitioned", Action::Archive));
    check(&transitioned("89"), expire, Problem::ArchiveTooShort { days: 89 });
    check(&format!(r#"{any},"storageClass":"archive",{pushed}"#), expire, Problem::StorageNotAllowed);
    check(&transitioned("90").replace(r#""storageClass":"archive","#, ""), expire, Problem::StorageNotAllowed);
    check(&format!("{any},{pushed}"), r#""type":"transition""#, Problem::NoTarget);
    check(&format!("{any},{pushed}"), r#""type":"expire","targetStorageClass":"archive""#, Problem::TargetNotAllowed);
    check(
        &format!("{any},{pushed}"),
        r#""type":"transition","targetStorageClass":"standard""#,
        Problem::TargetStandard,
    );
    assert_eq!(problems(r#"{"rules":[]}"#), [Problem::NoRules]);
    for good in [transitioned("90"), format!("{any},{pushed}"), format!(r#"{any},"storageClass":"standard",{images}"#)]
    {
        LifecyclePolicy::parse(&document(&good, expire)).expect("ECR takes it");
    }
    LifecyclePolicy::parse(&document(&format!("{any},{pulled}"), transition)).expect("ECR takes it");
}

#[test]
fn rules_that_do_not_go_together_are_named_by_index() {
    let check = |rules: Vec<Rule>, rule: usize, problem: Problem| {
        let violations = LifecyclePolicy::new(rules).expect_err("ECR refuses it");
        assert!(violations.contains(&Violation { rule: Some(rule), position: None, problem }), "{violations:?}");
    };
    let pr = |priority| rule(priority, patterns(&["pr-*", "x"]), Count::MoreThan(1));
    let swapped = |priority| rule(priority, patterns(&["x", "pr-*"]), Count::MoreThan(2));
    let untagged = |priority| rule(priority, TagSelection::Untagged, Count::MoreThan(1));
    let any = |priority| rule(priority, TagSelection::Any, Count::MoreThan(1));
    check(vec![untagged(1), pr(1)], 1, Problem::DuplicatePriority { priority: 1, other: 0 });
    check(vec![any(5), pr(9)], 0, Problem::AnyNotLast { other: 1 });
    check(vec![any(5), any(9)], 0, Problem::AnyNotLast { other: 1 });
    check(vec![untagged(5), pr(6), untagged(9)], 2, Problem::SecondUntagged { other: 0 });
    check(vec![pr(5), swapped(9)], 1, Problem::DuplicateTagList { other: 0 });
    check(vec![pr(0)], 0, Problem::PriorityZero);
    // One rule for `any` in each storage class (the user guide's own example).
    let archive = Rule { action: Action::Archive, ..rule(1, TagSelection::Any, Count::DaysSincePulled(30)) };
    let expire =
        Rule { storage: StorageClass::Archive, ..rule(2, TagSelection::Any, Count::DaysSinceTransitioned(365)) };
    policy(vec![archive, expire]);
}

#[test]
fn fifty_rules_and_30720_characters_are_the_limit() {
    let rules = |count: u32| -> Vec<Rule> {
        (1..=count).map(|at| rule(at, patterns(&[&format!("p{at}-*")]), Count::MoreThan(1))).collect()
    };
    let whole = policy(rules(MAX_RULES as u32));
    assert!(matches!(
        LifecyclePolicy::new(rules(51)).expect_err("one too many")[0].problem,
        Problem::TooManyRules { rules: 51 }
    ));
    let padded = |characters: usize| {
        let mut rules = whole.rules().to_vec();
        let overhead = r#""description":"","#.len();
        let missing = characters - whole.canonical_json().chars().count() - overhead;
        rules[0].description = Some("é".repeat(missing));
        LifecyclePolicy::new(rules)
    };
    let largest = padded(MAX_CHARACTERS).expect("as long as allowed");
    let text = largest.canonical_json();
    assert_eq!(text.chars().count(), 30_720);
    assert_eq!(LifecyclePolicy::parse(&text).expect("as long as allowed"), largest);
    assert_eq!(padded(MAX_CHARACTERS + 1).expect_err("too long")[0].problem, Problem::TooLong { characters: 30_721 });
    assert_eq!(problems(&format!("{text} ")), [Problem::TooLong { characters: 30_721 }]);
}

#[test]
fn a_document_that_is_none_is_refused_with_its_place_and_a_hint() {
    let policy = |text: &str| LifecyclePolicy::parse(text).map(|_| ());
    let images = |text: &str| ImageFacts::parse_describe_images(text).map(|_| ());
    let check = |result: Result<(), Error>, place: (usize, usize), says: &str, hint: &str| {
        let error = result.expect_err("no such document");
        let told = error.hint().expect("a hint");
        let Error::Syntax(syntax) = error else { panic!("{error:?}") };
        assert_eq!((syntax.line, syntax.column), place, "{syntax}");
        assert!(syntax.message.contains(says), "{syntax}");
        assert!(told.contains(hint), "{told}");
    };
    check(policy("{\n  \"rules\": [,]}"), (2, 13), "expected value", "a policy document is");
    let one = document(r#""tagStatus":"any","countTyp":"imageCountMoreThan","countNumber":1"#, r#""type":"expire""#);
    check(policy(&one), (1, 69), "rules[0]: unknown field `countTyp`", "did you mean `countType`?");
    check(policy(&one.replace("{\"rulePri", "\n\n {\"rulePri")), (3, 60), "rules[0]", "did you mean `countType`?");
    check(policy(r#"{"rules":[{"rulePriority":-1}]}"#), (1, 28), "invalid value", "a policy document is");
    check(images("[]"), (1, 2), "expected an object with `imageDetails`", "aws ecr describe-images");
    check(images("{\"imageIds\":[]}"), (1, 15), "missing field `imageDetails`", "aws ecr describe-images");
    check(
        images("{\"imageDetails\":[\n{\"imageDigest\":\"sha256:a\",\"imagePushedAt\":\"yesterday\"}]}"),
        (2, 53),
        "expected a time",
        "aws ecr describe-images",
    );
}

#[test]
fn violations_say_where_their_rule_begins() {
    let text = "{\"rules\": [\n  {\"rulePriority\":1,\"selection\":{\"tagStatus\":\"tagged\",\"countType\":\"imageCountMoreThan\",\"countNumber\":0},\"action\":{\"type\":\"expire\"}}]}";
    let Err(Error::Policy(violations)) = LifecyclePolicy::parse(text) else { panic!("accepted") };
    assert_eq!(
        violations[0].to_string(),
        "line 2, column 3: rules[0]: `tagStatus` is `tagged`, but there is neither `tagPatternList` nor `tagPrefixList`"
    );
}

#[test]
fn a_listing_is_whole_and_of_one_repository() {
    let listing = |details: &str, rest: &str| {
        ImageFacts::parse_describe_images(&format!("{{\"imageDetails\":[{details}]{rest}}}"))
    };
    let one = |digest: &str, name: &str| {
        format!(
            r#"{{"imageDigest":"{digest}","repositoryName":"{name}","imagePushedAt":1767225600.5,"imageSizeInBytes":1}}"#
        )
    };
    let images = listing(&one("a", "r"), "").expect("a listing");
    assert_eq!(images[0].pushed_at, "2026-01-01T00:00:00.5Z".parse::<Timestamp>().expect("a time"));
    let refused = |result: Result<Vec<ImageFacts>, Error>| {
        assert!(matches!(result, Err(Error::Listing { .. })), "{result:?}");
    };
    refused(listing(&one("a", "r"), ",\"nextToken\":\"x\""));
    refused(listing(&one("a", "r"), ",\"NextToken\":\"x\""));
    refused(listing(&format!("{},{}", one("a", "r"), one("b", "s")), ""));
    refused(listing(&format!("{},{}", one("a", "r"), one("a", "r")), ""));
}

#[test]
fn traps_are_named() {
    let check = |rules: Vec<Rule>, images: &[ImageFacts], expected: &[Lint]| {
        assert_eq!(lints(&policy(rules), images), expected);
    };
    let index = ImageFacts { children: Children::Unknown, ..image("i", &["v1"], 1) };
    let pr = |priority| rule(priority, patterns(&["pr-*"]), Count::MoreThan(20));
    let narrow = |priority| rule(priority, patterns(&["pr-1-*"]), Count::MoreThan(2));
    check(vec![pr(1), narrow(2)], &[], &[Lint::Unreachable { rule: 2, by: 1 }]);
    check(vec![narrow(1), pr(2)], &[], &[]);
    let age = |priority| rule(priority, TagSelection::Any, Count::DaysSincePushed(60));
    check(vec![age(7)], &[], &[Lint::AgeWithoutShield { rule: 7 }]);
    let latest = [image("l", &["latest"], 1)];
    let moving = Lint::MovingTag { tag: "latest".to_owned(), rule: 1 };
    check(vec![pr(1)], &latest, &[moving]);
    check(vec![rule(1, patterns(&["latest"]), Count::MoreThan(1)), pr(2)], &latest, &[]);
    let untagged = rule(1, TagSelection::Untagged, Count::DaysSincePushed(1));
    check(vec![untagged.clone()], &[index], &[Lint::UntaggedWithIndexes { rule: 1 }]);
    check(vec![untagged], &[], &[]);
}
