//! CloudFormation: stacks whose states a test scripts, and exports in pages.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use super::query::escape;
use super::{ACCOUNT, Answer, Inner, REGION, lock, refused};

/// Exports in one answer of the real service.
const PAGE: usize = 100;

#[derive(Default)]
pub(super) struct Stacks {
    stacks: BTreeMap<String, Stack>,
    pub(super) exports: Vec<(String, String)>,
}

struct Stack {
    states: VecDeque<String>,
    outputs: Vec<(String, String)>,
}

impl Stacks {
    pub(super) fn set(&mut self, name: &str, states: &[&str], outputs: &[(&str, &str)]) {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let stack = Stack {
            states: states.iter().map(|state| (*state).to_owned()).collect(),
            outputs: outputs.iter().map(owned).collect(),
        };
        self.stacks.insert(name.to_owned(), stack);
    }

    fn describe(&mut self, name: &str) -> Answer {
        let Some(stack) = self.stacks.get_mut(name) else {
            return refused("ValidationError", format!("Stack with id {name} does not exist"));
        };
        let state = if stack.states.len() > 1 { stack.states.pop_front() } else { stack.states.front().cloned() };
        let outputs: String = stack
            .outputs
            .iter()
            .map(|(key, value)| {
                format!(
                    "<member><OutputKey>{}</OutputKey><OutputValue>{}</OutputValue></member>",
                    escape(key),
                    escape(value)
                )
            })
            .collect();
        Answer::Xml(format!(
            "<DescribeStacksResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><DescribeStacksResult>\
             <Stacks><member><StackName>{0}</StackName>\
             <StackId>arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{0}/1</StackId>\
             <CreationTime>2026-01-01T00:00:00Z</CreationTime><StackStatus>{1}</StackStatus>\
             <Outputs>{outputs}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>",
            escape(name),
            escape(&state.unwrap_or_default())
        ))
    }

    fn list_exports(&self, token: &str) -> Answer {
        let from = token.parse().unwrap_or(0).min(self.exports.len());
        let until = (from + PAGE).min(self.exports.len());
        let members: String = self.exports[from..until]
            .iter()
            .map(|(name, value)| {
                format!("<member><Name>{}</Name><Value>{}</Value></member>", escape(name), escape(value))
            })
            .collect();
        let next = if until < self.exports.len() { format!("<NextToken>{until}</NextToken>") } else { String::new() };
        Answer::Xml(format!(
            "<ListExportsResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><ListExportsResult>\
             <Exports>{members}</Exports>{next}</ListExportsResult></ListExportsResponse>"
        ))
    }
}

pub(super) fn answer(inner: &Inner, operation: &str, parameters: &Value) -> Answer {
    let text = |name: &str| parameters[name].as_str().unwrap_or_default();
    match operation {
        "DescribeStacks" if !text("StackName").is_empty() => lock(&inner.stacks).describe(text("StackName")),
        "ListExports" => lock(&inner.stacks).list_exports(text("NextToken")),
        _ => refused("InvalidAction", operation),
    }
}
