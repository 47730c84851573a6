//! Lifecycle policies: kept as they are put, and evaluated for previews.
//!
//! The evaluation is image by image: the first rule that is about an image decides. It is written apart from the one in
//! `shipper-ecr`, so that each is a test of the other.

use serde_json::{Value, json};

use super::super::{Answer, lock, refused};
use super::Call;
use super::images::Listed;

impl Call<'_> {
    pub(super) fn lifecycle_policy(&self) -> Answer {
        if let Err(answer) = self.exists() {
            return answer;
        }
        match &lock(&self.inner.ecr).about(self.repository()).lifecycle {
            Some(text) => Answer::Json(
                json!({"repositoryName": self.repository(), "lifecyclePolicyText": text, "lastEvaluatedAt": 0}),
            ),
            None => refused("LifecyclePolicyNotFoundException", "Lifecycle policy does not exist"),
        }
    }

    pub(super) fn put_lifecycle_policy(&self) -> Answer {
        if let Err(answer) = self.exists() {
            return answer;
        }
        let text = self.text("lifecyclePolicyText").to_owned();
        let rules =
            serde_json::from_str::<Value>(&text).ok().map(|policy| policy["rules"].as_array().map_or(0, Vec::len));
        if !rules.is_some_and(|rules| (1..=50).contains(&rules)) || text.chars().count() > 30_720 {
            return refused("InvalidParameterException", "Invalid parameter at 'LifecyclePolicyText'");
        }
        lock(&self.inner.ecr).about(self.repository()).lifecycle = Some(text.clone());
        Answer::Json(json!({"repositoryName": self.repository(), "lifecyclePolicyText": text}))
    }

    pub(super) fn start_preview(&self) -> Answer {
        if let Err(answer) = self.exists() {
            return answer;
        }
        let given = self.parameters["lifecyclePolicyText"].as_str().map(str::to_owned);
        let current = lock(&self.inner.ecr).about(self.repository()).lifecycle.clone();
        let Some(text) = given.or(current) else {
            return refused("LifecyclePolicyNotFoundException", "Lifecycle policy does not exist");
        };
        let images = self.listed();
        let mut state = lock(&self.inner.ecr);
        let now = state.now();
        let rules = sorted_rules(&text);
        let results: Vec<Value> = images
            .iter()
            .filter_map(|image| {
                let rule = expired_by(&rules, image, &images, now)?;
                Some(json!({
                    "imageDigest": image.digest, "imageTags": image.tags, "imagePushedAt": image.pushed_at,
                    "action": {"type": "EXPIRE"}, "appliedRulePriority": rule, "storageClass": "STANDARD",
                }))
            })
            .collect();
        state.about(self.repository()).preview = Some(json!({"text": text, "results": results, "polls": 1}));
        Answer::Json(json!({"repositoryName": self.repository(), "lifecyclePolicyText": text, "status": "IN_PROGRESS"}))
    }

    /// In progress at the first look, complete at the second.
    pub(super) fn preview(&self) -> Answer {
        let mut state = lock(&self.inner.ecr);
        let Some(preview) = state.about(self.repository()).preview.as_mut() else {
            return refused("LifecyclePolicyPreviewNotFoundException", "There is no dry run");
        };
        if preview["polls"] == 1 {
            preview["polls"] = json!(0);
            return Answer::Json(json!({"status": "IN_PROGRESS", "lifecyclePolicyText": preview["text"]}));
        }
        let all = preview["results"].as_array().cloned().unwrap_or_default();
        let text = preview["text"].clone();
        drop(state);
        let (page, next) = self.page(&all, 100);
        Answer::Json(json!({
            "status": "COMPLETE", "lifecyclePolicyText": text, "previewResults": page, "nextToken": next,
            "summary": {"expiringImageTotalCount": all.len()},
        }))
    }
}

fn sorted_rules(text: &str) -> Vec<Value> {
    let policy: Value = serde_json::from_str(text).unwrap_or_default();
    let mut rules = policy["rules"].as_array().cloned().unwrap_or_default();
    rules.sort_by_key(|rule| rule["rulePriority"].as_u64());
    rules
}

/// `*` matches any text, everything else itself.
fn matches(pattern: &str, tag: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == tag,
        Some((head, rest)) => tag
            .strip_prefix(head)
            .is_some_and(|tail| (0..=tail.len()).any(|at| tail.get(at..).is_some_and(|tail| matches(rest, tail)))),
    }
}

fn is_about(rule: &Value, image: &Listed) -> bool {
    let selection = &rule["selection"];
    let all = |list: &Value, fits: &dyn Fn(&str, &str) -> bool| {
        let entries: Vec<&str> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        entries.iter().all(|entry| image.tags.iter().any(|tag| fits(entry, tag)))
    };
    match selection["tagStatus"].as_str() {
        Some("any") => true,
        Some("untagged") => image.tags.is_empty(),
        _ => {
            all(&selection["tagPatternList"], &matches)
                && all(&selection["tagPrefixList"], &|prefix, tag| tag.starts_with(prefix))
        }
    }
}

/// Priority of the rule that deletes `image`. What an index or artifact refers to is held as long as that is.
fn expired_by(rules: &[Value], image: &Listed, all: &[Listed], now: i64) -> Option<u64> {
    let holder = all.iter().find(|other| other.children.contains(&image.digest));
    let subject = image.subject.as_ref().and_then(|subject| all.iter().find(|other| other.digest == *subject));
    if let Some(owner) = holder.or(subject) {
        return expired_by(rules, owner, all, now);
    }
    let rule = rules.iter().find(|rule| is_about(rule, image))?;
    let number = rule["selection"]["countNumber"].as_i64()?;
    let acts = match rule["selection"]["countType"].as_str()? {
        "imageCountMoreThan" => {
            let younger = all.iter().filter(|other| is_about(rule, other) && other.pushed_at > image.pushed_at).count();
            i64::try_from(younger).ok()? >= number
        }
        "sinceImagePushed" => now - image.pushed_at > number * 86_400,
        _ => false,
    };
    if acts { rule["rulePriority"].as_u64() } else { None }
}
