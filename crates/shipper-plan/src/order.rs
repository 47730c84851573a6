//! Dependency order: what is needed comes first, and equal rank is sorted by name.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Error;

/// All of `needs`, those first that others need; among equals by name.
///
/// `needs` maps each service to the services it is built on; every name in a value is also a key.
///
/// # Errors
/// [`Error::Cycle`] with the services of one cycle.
pub fn in_order(needs: &BTreeMap<String, BTreeSet<String>>) -> Result<Vec<String>, Error> {
    let mut waiting: BTreeMap<&String, BTreeSet<&String>> =
        needs.iter().map(|(name, on)| (name, on.iter().filter(|on| needs.contains_key(*on)).collect())).collect();
    let mut order: Vec<String> = Vec::with_capacity(needs.len());
    while !waiting.is_empty() {
        let ready: Vec<&String> = waiting.iter().filter(|(_, on)| on.is_empty()).map(|(name, _)| *name).collect();
        if ready.is_empty() {
            return Err(Error::Cycle { cycle: cycle(&waiting) });
        }
        for name in ready {
            waiting.remove(name);
            waiting.values_mut().for_each(|on| {
                on.remove(name);
            });
            order.push(name.clone());
        }
    }
    Ok(order)
}

/// One cycle of a graph in which every service waits for another: follows first needs until a name comes again.
fn cycle(waiting: &BTreeMap<&String, BTreeSet<&String>>) -> Vec<String> {
    let mut path: Vec<&String> = Vec::new();
    let mut next = waiting.keys().next().copied();
    while let Some(name) = next {
        let seen = path.iter().position(|earlier| *earlier == name);
        path.push(name);
        if let Some(start) = seen {
            return path[start..].iter().map(|name| (*name).clone()).collect();
        }
        next = waiting.get(name).and_then(|on| on.first().copied());
    }
    path.into_iter().cloned().collect()
}

/// `selected` and everything that they are built on, directly or not. All services where `selected` is empty.
///
/// # Errors
/// [`Error::NoSuchService`] for a selected name that does not exist.
pub fn with_needs(needs: &BTreeMap<String, BTreeSet<String>>, selected: &[String]) -> Result<BTreeSet<String>, Error> {
    if selected.is_empty() {
        return Ok(needs.keys().cloned().collect());
    }
    let mut wanted = BTreeSet::new();
    let mut open: Vec<&String> = selected.iter().collect();
    while let Some(name) = open.pop() {
        let Some(on) = needs.get(name) else {
            return Err(Error::NoSuchService { name: name.clone(), known: needs.keys().cloned().collect() });
        };
        if wanted.insert(name.clone()) {
            open.extend(on);
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &[&str])]) -> BTreeMap<String, BTreeSet<String>> {
        edges.iter().map(|(name, on)| ((*name).to_owned(), on.iter().map(|on| (*on).to_owned()).collect())).collect()
    }

    #[test]
    fn what_is_needed_comes_first() {
        let graph = graph(&[("api", &["base"]), ("base", &[]), ("docs", &[]), ("web", &["api", "base"])]);
        assert_eq!(in_order(&graph).expect("no cycle"), ["base", "docs", "api", "web"]);
        assert_eq!(with_needs(&graph, &["api".to_owned()]).expect("exists").len(), 2);
        assert_eq!(with_needs(&graph, &[]).expect("all").len(), 4);
    }

    #[test]
    fn a_cycle_is_shown_without_what_only_leads_to_it() {
        let graph = graph(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"]), ("d", &[])]);
        let error = in_order(&graph).expect_err("a cycle");
        assert_eq!(error.to_string(), "order the services: b -> c -> b is a cycle");
    }
}
