use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::Digest;

fn layer(content: &[u8], created_by: &str) -> Layer {
    Layer {
        descriptor: Descriptor::of(media_type::LAYER_GZIP, content),
        diff_id: Digest::of(&[content, b"diff"].concat()),
        path: PathBuf::from("unused"),
        created_by: created_by.to_owned(),
    }
}

fn amd64() -> ImageBuilder {
    ImageBuilder::new("linux/amd64".parse().unwrap())
}

fn config(image: &Image) -> Value {
    serde_json::from_slice(&image.config_bytes).unwrap()
}

/// A base with the given configuration and as many layers as it has diff ids, in a Docker manifest.
fn base(config: &Value) -> BaseImage {
    let (manifest, config) = base_parts(config);
    BaseImage::new(&manifest, &config).unwrap()
}

fn base_parts(config: &Value) -> (Manifest, Vec<u8>) {
    let config = serde_json::to_vec(config).unwrap();
    let count = serde_json::from_slice::<Value>(&config).unwrap()["rootfs"]["diff_ids"].as_array().map_or(0, Vec::len);
    let layers: Vec<Value> = (0..count)
        .map(|number| {
            let digest = Digest::of(&[u8::try_from(number).unwrap()]).to_string();
            json!({ "mediaType": media_type::DOCKER_LAYER_GZIP, "digest": digest, "size": 1 })
        })
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::DOCKER_MANIFEST,
        "config": Descriptor::of(media_type::DOCKER_CONFIG, &config),
        "layers": layers,
    });
    (Manifest::parse(None, serde_json::to_vec(&manifest).unwrap()).unwrap(), config)
}

fn nginx() -> Value {
    json!({
        "os": "linux", "architecture": "amd64", "created": "2024-05-01T00:00:00.5Z", "author": "a", "container": "c0ffee",
        "config": {
            "User": "nginx", "Env": ["PATH=/bin", "NGINX=1.29"], "Entrypoint": ["/entry.sh"], "Cmd": ["nginx", "-g"],
            "ExposedPorts": {"80/tcp": {}}, "Labels": {"maintainer": "n", "k": "base"}, "StopSignal": "SIGQUIT",
            "OnBuild": ["RUN false"], "Volumes": {"/v": {}}
        },
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(b"1").to_string(), Digest::of(b"2").to_string()]},
        "history": [
            {"created_by": "ADD"}, {"created_by": "ENV", "empty_layer": true}, {"created_by": "RUN"}
        ]
    })
}

#[test]
fn an_image_from_scratch_says_only_what_it_was_given() {
    let image = amd64()
        .layer(layer(b"files", "files"))
        .layer(layer(b"binary", "binary"))
        .entrypoint(["/app"])
        .env("B", "2")
        .env("A", "1=1")
        .user("65532:65532")
        .expose(8080)
        .label("dev.shipper.key", "k")
        .annotation("org.opencontainers.image.version", "1")
        .build()
        .unwrap();
    let ids: Vec<String> = image.layers.iter().map(|layer| layer.diff_id.to_string()).collect();
    let expected = format!(
        concat!(
            r#"{{"architecture":"amd64","config":{{"Entrypoint":["/app"],"Env":["A=1=1","B=2"],"ExposedPorts":{{"8080/tcp":{{}}}},"#,
            r#""Labels":{{"dev.shipper.key":"k"}},"User":"65532:65532"}},"created":"1970-01-01T00:00:00Z","#,
            r#""history":[{{"created":"1970-01-01T00:00:00Z","created_by":"files"}},{{"created":"1970-01-01T00:00:00Z","created_by":"binary"}}],"#,
            r#""os":"linux","rootfs":{{"diff_ids":["{}","{}"],"type":"layers"}}}}"#
        ),
        ids[0], ids[1]
    );
    assert_eq!(String::from_utf8(image.config_bytes.clone()).unwrap(), expected);
    assert_eq!(image.config, Descriptor::of(media_type::IMAGE_CONFIG, expected.as_bytes()));
    let manifest = image.manifest.as_image().unwrap();
    assert_eq!(manifest.config, image.config);
    assert_eq!(manifest.layers, [layer(b"files", "").descriptor, layer(b"binary", "").descriptor]);
    assert_eq!(image.manifest.annotations()["org.opencontainers.image.version"], "1");
    assert_eq!(image.descriptor().platform, Some("linux/amd64".parse().unwrap()));
}

#[test]
fn the_base_shows_through_where_nothing_is_set() {
    let image = amd64().base(base(&nginx())).layer(layer(b"x", "files")).created(86_400).build().unwrap();
    let config = config(&image);
    assert_eq!(config["config"]["User"], "nginx");
    assert_eq!(config["config"]["Cmd"], json!(["nginx", "-g"]));
    assert_eq!(config["config"]["StopSignal"], "SIGQUIT");
    assert_eq!(config["config"]["Volumes"], json!({"/v": {}}));
    assert_eq!(config["created"], "1970-01-02T00:00:00Z");
    for stale in ["author", "container"] {
        assert_eq!(config.get(stale), None);
    }
    assert_eq!(config["config"].get("OnBuild"), None);
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 3);
    assert_eq!(config["history"].as_array().unwrap().len(), 4);
    let manifest = image.manifest.as_image().unwrap();
    assert_eq!(manifest.layers.len(), 3);
    assert!(manifest.layers.iter().all(|layer| layer.media_type == media_type::LAYER_GZIP), "no Docker type is left");
    assert_eq!(image.base_layers.len(), 2);
}

#[test]
fn the_builder_wins_over_the_base() {
    let image = amd64()
        .base(base(&nginx()))
        .entrypoint(["/app"])
        .env("NGINX", "2")
        .env("AAA", "3")
        .label("k", "mine")
        .expose(443)
        .workdir("/w")
        .build()
        .unwrap();
    let config = config(&image)["config"].clone();
    assert_eq!(config["Entrypoint"], json!(["/app"]));
    assert_eq!(config.get("Cmd"), None, "the command belonged to the old entrypoint");
    assert_eq!(config["Env"], json!(["PATH=/bin", "NGINX=2", "AAA=3"]));
    assert_eq!(config["Labels"], json!({"k": "mine", "maintainer": "n"}));
    assert_eq!(config["ExposedPorts"], json!({"80/tcp": {}, "443/tcp": {}}));
    assert_eq!(config["WorkingDir"], "/w");
    let both = amd64().base(base(&nginx())).entrypoint(["/app"]).cmd(["serve"]).build().unwrap();
    assert_eq!(self::config(&both)["config"]["Cmd"], json!(["serve"]));
}

#[test]
fn a_base_for_another_platform_is_refused() {
    let check = |platform: &str, config: Value, fits: bool| {
        let built = ImageBuilder::new(platform.parse().unwrap()).base(base(&config)).build();
        match built {
            Ok(_) => assert!(fits, "{platform} {config}"),
            Err(Error::BasePlatform { .. }) => assert!(!fits, "{platform} {config}"),
            Err(error) => panic!("{error}"),
        }
    };
    let of = |architecture: &str, variant: Option<&str>| {
        let mut config = nginx();
        config["architecture"] = architecture.into();
        if let Some(variant) = variant {
            config["variant"] = variant.into();
        }
        config
    };
    check("linux/amd64", of("amd64", None), true);
    check("linux/amd64", of("arm64", None), false);
    check("linux/arm64", of("arm64", Some("v8")), true);
    check("linux/arm/v6", of("arm", Some("v7")), false);
    let image = ImageBuilder::new("linux/arm64".parse().unwrap()).base(base(&of("arm64", Some("v8")))).build().unwrap();
    assert_eq!(config(&image)["variant"], "v8");
}

#[test]
fn a_base_that_contradicts_itself_is_refused() {
    let check = |mutate: &dyn Fn(&mut Value)| {
        let mut config = nginx();
        mutate(&mut config);
        let (manifest, _) = base_parts(&nginx());
        // The manifest names this configuration, but still has two layers.
        let mut document: Value = serde_json::from_slice(manifest.bytes()).unwrap();
        let config = serde_json::to_vec(&config).unwrap();
        document["config"] = serde_json::to_value(Descriptor::of(media_type::DOCKER_CONFIG, &config)).unwrap();
        let manifest = Manifest::parse(None, serde_json::to_vec(&document).unwrap()).unwrap();
        let error = BaseImage::new(&manifest, &config).unwrap_err();
        assert!(matches!(error, Error::InvalidBase { .. }), "{error}");
    };
    check(&|config| config["rootfs"]["diff_ids"] = json!([]));
    check(&|config| config["rootfs"] = Value::Null);
    check(&|config| config["os"] = json!(""));
    check(&|config| config["architecture"] = json!(7));
    check(&|config| *config = json!([]));
    let (manifest, _) = base_parts(&nginx());
    assert!(matches!(BaseImage::new(&manifest, b"{}").unwrap_err(), Error::DigestMismatch { .. }));
    let index = index(&[manifest.descriptor()], &BTreeMap::new()).unwrap();
    assert!(matches!(BaseImage::new(&index, b"{}").unwrap_err(), Error::InvalidBase { .. }));
    let artifact = artifact("a/b", &[], None, &BTreeMap::new()).unwrap();
    assert!(matches!(BaseImage::new(&artifact.manifest, b"{}").unwrap_err(), Error::InvalidBase { .. }));
    let mut config = nginx();
    config["config"] = json!("text");
    let error = amd64().base(base(&config)).build().unwrap_err();
    assert!(matches!(error, Error::InvalidBase { .. }), "{error}");
}

#[test]
fn a_history_that_does_not_account_for_the_layers_is_replaced() {
    for broken in [json!(null), json!([]), json!([{"created_by": "one"}]), json!("text")] {
        let mut config = nginx();
        config["history"] = broken;
        let image = amd64().base(base(&config)).layer(layer(b"x", "files")).build().unwrap();
        let history = self::config(&image)["history"].clone();
        let entries: Vec<&str> =
            history.as_array().unwrap().iter().map(|entry| entry["created_by"].as_str().unwrap()).collect();
        assert_eq!(entries, ["base image", "base image", "files"]);
    }
}

#[test]
fn key_order_of_the_base_does_not_count() {
    let text = serde_json::to_string(&nginx()).unwrap();
    let reversed = format!(
        "{{{}}}",
        nginx()
            .as_object()
            .unwrap()
            .iter()
            .rev()
            .map(|(key, value)| format!("{key:?}:{value}"))
            .collect::<Vec<_>>()
            .join(",")
    );
    assert_ne!(text, reversed);
    let build = |text: &str| {
        let descriptor = Descriptor::of(media_type::IMAGE_CONFIG, text.as_bytes());
        let layer = |byte| Descriptor::of(media_type::LAYER_GZIP, &[byte]);
        let manifest = Manifest::image(&ImageManifest::new(descriptor, vec![layer(0), layer(1)])).unwrap();
        amd64().base(BaseImage::new(&manifest, text.as_bytes()).unwrap()).build().unwrap().manifest.digest().clone()
    };
    assert_eq!(build(&text), build(&reversed));
}

#[test]
fn wrong_options_are_refused() {
    for name in ["", "A=B", "A\0"] {
        assert!(matches!(amd64().env(name, "x").build().unwrap_err(), Error::Options { .. }), "{name:?}");
    }
    assert!(matches!(amd64().created(u64::MAX).build().unwrap_err(), Error::Options { .. }));
    assert!(matches!(amd64().created(1 << 40).build().unwrap_err(), Error::Options { .. }));
}

#[test]
fn an_index_is_sorted_by_platform() {
    let child = |platform: &str, content: &[u8]| {
        Descriptor::of(media_type::IMAGE_MANIFEST, content).with_platform(platform.parse().unwrap())
    };
    let (arm, amd) = (child("linux/arm64", b"1"), child("linux/amd64", b"2"));
    let other = Descriptor::of(media_type::IMAGE_MANIFEST, b"3");
    let annotations = BTreeMap::from([("dev.shipper.key".to_owned(), "k".to_owned())]);
    let one = index(&[other.clone(), arm.clone(), amd.clone()], &annotations).unwrap();
    let two = index(&[amd.clone(), other.clone(), arm.clone()], &annotations).unwrap();
    assert_eq!(one, two);
    assert_eq!(one.as_index().unwrap().manifests, [amd, arm, other]);
    assert_eq!(one.annotations(), &annotations);
}

#[test]
fn an_artifact_names_its_subject_and_carries_no_blob_twice() {
    let subject = Descriptor::of(media_type::IMAGE_MANIFEST, b"image").with_platform("linux/amd64".parse().unwrap());
    let layers: [(&str, &[u8]); 3] = [("a/b", b"one"), ("a/c", b"one"), ("a/b", b"{}")];
    let artifact =
        artifact("application/vnd.shipper.inputs.v1", &layers, Some(subject.clone()), &BTreeMap::new()).unwrap();
    assert_eq!(artifact.manifest.artifact_type(), Some("application/vnd.shipper.inputs.v1"));
    let stated = artifact.manifest.subject().unwrap();
    assert_eq!((&stated.digest, &stated.platform), (&subject.digest, &None));
    assert_eq!(artifact.manifest.as_image().unwrap().layers.len(), 3);
    let digests: Vec<&Digest> = artifact.blobs.iter().map(|(blob, _)| &blob.digest).collect();
    assert_eq!(digests, [&Digest::of(b"{}"), &Digest::of(b"one")]);
    for (descriptor, bytes) in &artifact.blobs {
        assert!(descriptor.digest.matches(bytes) && descriptor.size == bytes.len() as u64);
    }
    let empty = self::artifact("a/b", &[], None, &BTreeMap::new()).unwrap();
    assert_eq!(empty.manifest.as_image().unwrap().layers, [Descriptor::of(media_type::EMPTY, b"{}")]);
}
