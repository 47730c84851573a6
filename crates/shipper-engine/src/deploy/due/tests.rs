use std::collections::BTreeMap;
use std::time::Duration;

use shipper_deploy::{FORMAT, Holder, Kind, Path, RecordId, State};

use super::*;

fn hand(name: &str, inputs: Option<&[&str]>) -> Hand {
    Hand {
        name: name.to_owned(),
        run: vec!["deployer".to_owned()],
        target: None,
        env: BTreeMap::new(),
        pass_env: Vec::new(),
        services: None,
        inputs: inputs.map(|inputs| inputs.iter().map(|&input| input.to_owned()).collect()),
        check: Vec::new(),
        timeout: Duration::from_secs(60),
    }
}

fn environment() -> Environment {
    Environment {
        name: "prod".to_owned(),
        admits_untrusted: false,
        registry: None,
        profile: None,
        region: None,
        ready: None,
        bootstrap: Vec::new(),
        remove: Vec::new(),
        scan: None,
        pass_env: Vec::new(),
        timeout: Duration::from_secs(60),
        targets: vec![hand("one", None), Hand { services: Some(vec!["web".to_owned()]), ..hand("two", None) }],
        after: vec![hand("policies", Some(&["policies/**"])), hand("smoke", None)],
    }
}

fn images(api: &str, web: &str) -> BTreeMap<String, Image> {
    let image = |digest: &str| Image {
        repository: "r".to_owned(),
        reference: format!("h/r@{digest}"),
        digest: digest.to_owned(),
        tag: None,
        key: None,
    };
    BTreeMap::from([("api".to_owned(), image(api)), ("web".to_owned(), image(web))])
}

fn fingerprints(environment: &Environment, files: &str) -> BTreeMap<String, String> {
    hands(environment).map(|hand| (hand.name.clone(), format!("{files}-{}", hand.name))).collect()
}

/// The steps that are due.
fn due(
    base: Option<&Record>,
    images: &BTreeMap<String, Image>,
    fingerprints: &BTreeMap<String, String>,
) -> Vec<String> {
    let environment = environment();
    let unbuilt = BTreeSet::new();
    let context = Context {
        environment: &environment,
        registry: "oci:images",
        images,
        unbuilt: &unbuilt,
        fingerprints,
        base,
        forced: None,
    };
    let steps = steps(&context).expect("every image is there");
    steps.into_iter().filter(|(_, planned)| planned.due).map(|(step, _)| step.name).collect()
}

/// A record of these images whose steps all ended so.
fn record(images: &BTreeMap<String, Image>, outcome: StepOutcome) -> Record {
    let environment = environment();
    let fingerprints = fingerprints(&environment, "f");
    let unbuilt = BTreeSet::new();
    let context = Context {
        environment: &environment,
        registry: "oci:images",
        images,
        unbuilt: &unbuilt,
        fingerprints: &fingerprints,
        base: None,
        forced: None,
    };
    let steps = steps(&context).expect("every image is there").into_iter().map(|(mut step, _)| {
        let images = context.digests(&step.services);
        step.success = Some(Success { fingerprint: step.fingerprint.clone(), images });
        step.outcome = outcome;
        step
    });
    Record {
        format: FORMAT.to_owned(),
        id: RecordId::after(None, "prod", 1),
        state: State::Observed,
        previous: None,
        kind: Kind::Deploy,
        path: Path::Fast,
        began: String::new(),
        written: String::new(),
        actor: None,
        commit: None,
        branch: None,
        restores: None,
        released: false,
        holder: Holder::this(0, Duration::ZERO),
        steps: steps.collect(),
        images: images.clone(),
        observed: BTreeMap::new(),
        failure: Vec::new(),
    }
}

#[test]
fn what_is_due_follows_from_images_files_and_the_last_outcome() {
    let environment = environment();
    let same = fingerprints(&environment, "f");
    let all = ["one", "two", "policies", "smoke"];
    assert_eq!(due(None, &images("1", "1"), &same), all, "the first deployment");
    let done = record(&images("1", "1"), StepOutcome::Ok);
    assert!(due(Some(&done), &images("1", "1"), &same).is_empty(), "the second");
    assert_eq!(due(Some(&done), &images("2", "1"), &same), ["one", "smoke"], "an image that `two` does not deploy");
    assert_eq!(due(Some(&done), &images("1", "2"), &same), ["one", "two", "smoke"]);
    let mut policies = same.clone();
    policies.insert("policies".to_owned(), "other".to_owned());
    assert_eq!(due(Some(&done), &images("1", "1"), &policies), ["policies"], "no target runs");
    let mut infrastructure = same.clone();
    infrastructure.insert("one".to_owned(), "other".to_owned());
    assert_eq!(due(Some(&done), &images("1", "1"), &infrastructure), ["one", "smoke"]);
    for unknown in [StepOutcome::Failed, StepOutcome::Pending] {
        assert_eq!(due(Some(&record(&images("1", "1"), unknown)), &images("1", "1"), &same), all, "{unknown:?}");
    }
    // What was not begun is as it was before.
    let skipped = record(&images("1", "1"), StepOutcome::Skipped);
    assert!(due(Some(&skipped), &images("1", "1"), &same).is_empty());
}

#[test]
fn a_step_without_its_image_is_refused() {
    let environment = environment();
    let fingerprints = fingerprints(&environment, "f");
    let mut images = images("1", "1");
    images.remove("web");
    let nothing = BTreeSet::new();
    let context = Context {
        environment: &environment,
        registry: "oci:images",
        images: &images,
        unbuilt: &nothing,
        fingerprints: &fingerprints,
        base: None,
        forced: None,
    };
    assert!(matches!(steps(&context), Err(Error::NoImageOf { service, .. }) if service == "web"));
}

#[test]
fn what_deploys_an_image_that_is_still_to_be_built_is_due() {
    let environment = environment();
    let fingerprints = fingerprints(&environment, "f");
    let done = record(&images("1", "1"), StepOutcome::Ok);
    let mut images = images("1", "1");
    images.remove("api");
    let context = Context {
        environment: &environment,
        registry: "oci:images",
        images: &images,
        unbuilt: &BTreeSet::from(["api".to_owned()]),
        fingerprints: &fingerprints,
        base: Some(&done),
        forced: None,
    };
    let steps = steps(&context).expect("an image that will be there is no missing one");
    let due: Vec<_> = steps.iter().filter(|(_, step)| step.due).map(|(_, step)| step.why.as_str()).collect();
    assert_eq!(due, ["another image of api", "something is deployed"]);
}
