//! Policy documents: text to rules with positions, rules to canonical text.
//!
//! Invariant: `canonical(parse(canonical(policy)))` is `canonical(policy)`, byte for byte.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::check::{Problem, Violation};
use super::model::{Action, Count, LifecyclePolicy, MAX_CHARACTERS, Rule, StorageClass, TagSelection};
use crate::error::{Error, Syntax};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `rules`")]
struct Document<'a> {
    #[serde(borrow)]
    rules: Vec<&'a RawValue>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RuleText {
    rule_priority: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    selection: SelectionText,
    action: ActionText,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SelectionText {
    tag_status: TagStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag_pattern_list: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag_prefix_list: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_class: Option<StorageText>,
    count_type: CountType,
    #[serde(skip_serializing_if = "Option::is_none")]
    count_unit: Option<CountUnit>,
    count_number: u32,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ActionText {
    r#type: ActionType,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_storage_class: Option<StorageText>,
}

#[derive(Deserialize, Serialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum TagStatus {
    Tagged,
    Untagged,
    Any,
}

#[derive(Deserialize, Serialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum StorageText {
    Standard,
    Archive,
}

#[derive(Deserialize, Serialize, Clone, Copy)]
#[serde(rename_all = "camelCase")]
enum CountType {
    ImageCountMoreThan,
    SinceImagePushed,
    SinceImagePulled,
    SinceImageTransitioned,
}

#[derive(Deserialize, Serialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum CountUnit {
    Days,
}

#[derive(Deserialize, Serialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum ActionType {
    Expire,
    Transition,
}

impl LifecyclePolicy {
    /// Reads a policy document.
    ///
    /// # Errors
    /// [`Error::Syntax`] for a text that is not JSON, an unknown key or value, or a value of another kind, with line and
    /// column; [`Error::Policy`] with everything that ECR would refuse.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let document: Document<'_> =
            serde_json::from_str(text).map_err(|error| Error::Syntax(policy_syntax(&error)))?;
        let (mut rules, mut starts, mut violations) = (Vec::new(), Vec::new(), Vec::new());
        for (at, raw) in document.rules.iter().enumerate() {
            let start = position(text, raw.get());
            let read: RuleText = serde_json::from_str(raw.get())
                .map_err(|error| Error::Syntax(policy_syntax(&error).below(at, start)))?;
            violations.extend(read.violations().into_iter().map(|problem| Violation::at(at, problem)));
            rules.push(read.rule());
            starts.push(start);
        }
        let length = text.chars().count();
        if length > MAX_CHARACTERS {
            violations.push(Violation::too_long(length));
        }
        let policy = match Self::new(rules) {
            Ok(policy) if violations.is_empty() => return Ok(policy),
            Ok(_) => Vec::new(),
            Err(found) => found,
        };
        // What the text lacks has stood in for as something else: its consequences are not told as well.
        let told: Vec<Option<usize>> = violations.iter().map(|violation| violation.rule).collect();
        violations.extend(policy.into_iter().filter(|violation| !told.contains(&violation.rule)));
        for violation in &mut violations {
            violation.position = violation.rule.and_then(|rule| starts.get(rule).copied());
        }
        violations.sort_by_key(|violation| violation.rule);
        Err(Error::Policy(violations))
    }

    /// The one text of this policy: rules by priority, fixed order of keys, lists sorted and without repetition, no
    /// default and no blank written.
    #[must_use]
    pub fn canonical_json(&self) -> String {
        #[derive(Serialize)]
        struct Canonical {
            rules: Vec<RuleText>,
        }
        let rules = self.rules().iter().map(RuleText::of).collect();
        serde_json::to_string(&Canonical { rules }).expect("because all keys are texts")
    }
}

impl RuleText {
    /// What the document says that has no place in a [`Rule`].
    fn violations(&self) -> Vec<Problem> {
        let selection = &self.selection;
        let mut found = Vec::new();
        match (selection.tag_status, &selection.tag_pattern_list, &selection.tag_prefix_list) {
            (TagStatus::Tagged, Some(_), Some(_)) => found.push(Problem::BothTagLists),
            (TagStatus::Tagged, None, None) => found.push(Problem::NoTagList),
            (TagStatus::Untagged | TagStatus::Any, None, None) | (TagStatus::Tagged, ..) => (),
            (TagStatus::Untagged | TagStatus::Any, ..) => found.push(Problem::TagListNotAllowed),
        }
        match (self.count(), selection.count_unit) {
            (Count::MoreThan(_), Some(_)) => found.push(Problem::UnitNotAllowed),
            (Count::MoreThan(_), None) | (_, Some(_)) => (),
            (count, None) => found.push(Problem::NoUnit { count_type: count.type_name() }),
        }
        match (self.action.r#type, self.action.target_storage_class) {
            (ActionType::Expire, Some(_)) => found.push(Problem::TargetNotAllowed),
            (ActionType::Transition, None) => found.push(Problem::NoTarget),
            (ActionType::Transition, Some(StorageText::Standard)) => found.push(Problem::TargetStandard),
            (ActionType::Expire, None) | (ActionType::Transition, Some(StorageText::Archive)) => (),
        }
        found
    }

    fn count(&self) -> Count {
        let number = self.selection.count_number;
        match self.selection.count_type {
            CountType::ImageCountMoreThan => Count::MoreThan(number),
            CountType::SinceImagePushed => Count::DaysSincePushed(number),
            CountType::SinceImagePulled => Count::DaysSincePulled(number),
            CountType::SinceImageTransitioned => Count::DaysSinceTransitioned(number),
        }
    }

    fn rule(self) -> Rule {
        let count = self.count();
        let selection = self.selection;
        let tags = match (selection.tag_status, selection.tag_pattern_list, selection.tag_prefix_list) {
            (TagStatus::Any, ..) => TagSelection::Any,
            (TagStatus::Untagged, ..) => TagSelection::Untagged,
            (TagStatus::Tagged, Some(patterns), _) => TagSelection::Patterns(patterns),
            (TagStatus::Tagged, None, prefixes) => TagSelection::Prefixes(prefixes.unwrap_or_default()),
        };
        Rule {
            priority: self.rule_priority,
            description: self.description,
            tags,
            storage: match selection.storage_class {
                Some(StorageText::Archive) => StorageClass::Archive,
                Some(StorageText::Standard) | None => StorageClass::Standard,
            },
            count,
            action: match self.action.r#type {
                ActionType::Expire => Action::Expire,
                ActionType::Transition => Action::Archive,
            },
        }
    }

    fn of(rule: &Rule) -> Self {
        let list = |entries: &[String]| {
            let mut entries = entries.to_vec();
            entries.sort_unstable();
            entries.dedup();
            Some(entries)
        };
        let (tag_status, tag_pattern_list, tag_prefix_list) = match &rule.tags {
            TagSelection::Any => (TagStatus::Any, None, None),
            TagSelection::Untagged => (TagStatus::Untagged, None, None),
            TagSelection::Patterns(patterns) => (TagStatus::Tagged, list(patterns), None),
            TagSelection::Prefixes(prefixes) => (TagStatus::Tagged, None, list(prefixes)),
        };
        let (count_type, count_unit) = match rule.count {
            Count::MoreThan(_) => (CountType::ImageCountMoreThan, None),
            Count::DaysSincePushed(_) => (CountType::SinceImagePushed, Some(CountUnit::Days)),
            Count::DaysSincePulled(_) => (CountType::SinceImagePulled, Some(CountUnit::Days)),
            Count::DaysSinceTransitioned(_) => (CountType::SinceImageTransitioned, Some(CountUnit::Days)),
        };
        let (r#type, target_storage_class) = match rule.action {
            Action::Expire => (ActionType::Expire, None),
            Action::Archive => (ActionType::Transition, Some(StorageText::Archive)),
        };
        Self {
            rule_priority: rule.priority,
            description: rule.description.clone(),
            selection: SelectionText {
                tag_status,
                tag_pattern_list,
                tag_prefix_list,
                storage_class: (rule.storage == StorageClass::Archive).then_some(StorageText::Archive),
                count_type,
                count_unit,
                count_number: rule.count.number(),
            },
            action: ActionText { r#type, target_storage_class },
        }
    }
}

fn policy_syntax(error: &serde_json::Error) -> Syntax {
    Syntax::new(error, "a policy document is {\"rules\":[{\"rulePriority\":1,\"selection\":{..},\"action\":{..}}]}")
}

/// Line and column (in bytes), both from 1, at which `part` begins in the text that it was cut from.
fn position(text: &str, part: &str) -> (usize, usize) {
    let offset = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize).min(text.len());
    let before = &text.as_bytes()[..offset];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    (line, column)
}
