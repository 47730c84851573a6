//! The image configuration: what a base says, overlaid with what a builder says.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::ImageBuilder;
use super::base::{BaseImage, invalid};
use crate::Error;

/// The configuration as JSON with sorted keys.
pub(super) fn render(image: &ImageBuilder) -> Result<Vec<u8>, Error> {
    let base = image.base.as_ref();
    if let Some(base) = base.filter(|base| !base.platform().matches(&image.platform)) {
        return Err(Error::BasePlatform { wanted: image.platform.to_string(), found: base.platform().to_string() });
    }
    let created = timestamp(image.created)?;
    let mut document = base.map(|base| base.config().clone()).unwrap_or_default();
    // What Docker notes about the build of the base; it says nothing about this image.
    for stale in
        ["container", "container_config", "docker_version", "id", "parent", "author", "moby.buildkit.buildinfo.v1"]
    {
        document.remove(stale);
    }
    document.insert("created".into(), created.clone().into());
    document.insert("architecture".into(), image.platform.architecture.clone().into());
    document.insert("os".into(), image.platform.os.clone().into());
    match image.platform.variant.clone().or_else(|| base.and_then(|base| base.platform().variant.clone())) {
        Some(variant) => document.insert("variant".into(), variant.into()),
        None => document.remove("variant"),
    };
    document.insert("config".into(), execution(image)?.into());
    let mut diff_ids = base.map_or_else(|| Ok(Vec::new()), BaseImage::diff_ids)?;
    diff_ids.extend(image.layers.iter().map(|layer| Value::from(layer.diff_id.to_string())));
    document.insert("rootfs".into(), json!({ "type": "layers", "diff_ids": diff_ids }));
    document.insert("history".into(), history(image, &created).into());
    let bytes = serde_json::to_vec(&sorted(document.into()));
    Ok(bytes.expect("because a JSON value always serialises"))
}

/// The `config` object: how a container is started.
fn execution(image: &ImageBuilder) -> Result<Map<String, Value>, Error> {
    let mut config = match image.base.as_ref().and_then(|base| base.config().get("config")) {
        Some(Value::Object(config)) => config.clone(),
        Some(Value::Null) | None => Map::new(),
        Some(_) => return Err(invalid("`config` of its configuration is not an object")),
    };
    // The id of the layers' parent, and instructions that only a Dockerfile on top would run.
    for stale in ["Image", "OnBuild", "Hostname", "Domainname", "ArgsEscaped"] {
        config.remove(stale);
    }
    if let Some(argv) = &image.entrypoint {
        config.insert("Entrypoint".into(), argv.clone().into());
        config.remove("Cmd");
    }
    if let Some(argv) = &image.cmd {
        config.insert("Cmd".into(), argv.clone().into());
    }
    if let Some(user) = &image.user {
        config.insert("User".into(), user.clone().into());
    }
    if let Some(path) = &image.workdir {
        config.insert("WorkingDir".into(), path.clone().into());
    }
    environment(&mut config, &image.env)?;
    merge_object(&mut config, "ExposedPorts", image.expose.iter().map(|port| (port.clone(), json!({}))));
    let labels = image.labels.iter().map(|(name, value)| (name.clone(), value.clone().into()));
    merge_object(&mut config, "Labels", labels);
    Ok(config)
}

/// Variables keep the place they have in the base; new ones follow, sorted by name.
fn environment(config: &mut Map<String, Value>, env: &BTreeMap<String, String>) -> Result<(), Error> {
    if let Some(name) = env.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
        let reason = format!("`{}` is not the name of an environment variable", crate::error::shown(name));
        return Err(Error::Options { reason });
    }
    let mut merged: Vec<String> = match config.get("Env") {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    for (name, value) in env {
        let line = format!("{name}={value}");
        let same_name = |old: &&mut String| old.split_once('=').map_or(old.as_str(), |(old, _)| old) == name;
        match merged.iter_mut().find(same_name) {
            Some(old) => *old = line,
            None => merged.push(line),
        }
    }
    if merged.is_empty() {
        config.remove("Env");
    } else {
        config.insert("Env".into(), merged.into());
    }
    Ok(())
}

fn merge_object(config: &mut Map<String, Value>, key: &str, new: impl Iterator<Item = (String, Value)>) {
    let mut merged = match config.remove(key) {
        Some(Value::Object(old)) => old,
        _ => Map::new(),
    };
    merged.extend(new);
    if !merged.is_empty() {
        config.insert(key.into(), merged.into());
    }
}

/// The base's history and one entry for each new layer. A base whose history does not account for its layers gets plain
/// entries: tools refuse an image where the numbers differ.
fn history(image: &ImageBuilder, created: &str) -> Vec<Value> {
    let mut history = Vec::new();
    if let Some(base) = &image.base {
        if let Some(Value::Array(entries)) = base.config().get("history") {
            history.clone_from(entries);
        }
        let is_layer = |entry: &&Value| entry.get("empty_layer").and_then(Value::as_bool) != Some(true);
        if history.iter().filter(is_layer).count() != base.layers().len() {
            history = vec![json!({ "created": created, "created_by": "base image" }); base.layers().len()];
        }
    }
    history.extend(image.layers.iter().map(|layer| json!({ "created": created, "created_by": layer.created_by })));
    history
}

/// RFC 3339 in UTC, such as `1970-01-01T00:00:00Z`.
fn timestamp(seconds: u64) -> Result<String, Error> {
    let timestamp = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let timestamp = timestamp.ok_or_else(|| Error::Options {
        reason: format!("{seconds} s since the Unix epoch is not a time of creation; the year 9999 is the last"),
    })?;
    Ok(timestamp.to_string())
}

/// The same value with the keys of every object in order, whichever map serde_json was compiled with.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<String, Value> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(ordered.into_iter().collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        other => other,
    }
}
