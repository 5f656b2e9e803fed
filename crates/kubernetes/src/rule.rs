//! What a rule permits, as the values that are written with its relationships.

use std::collections::BTreeMap;

use model::{Context, Value};

use crate::manifest::Rule;

/// The most bytes of JSON that one relationship's values have here: less than what a server takes by default.
pub(crate) const CONTEXT_BYTES_MAX: usize = 20_000;

/// A part of a rule that one relationship holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    /// Of resources.
    Resources(Context),
    /// Of paths that are no resources.
    Urls(Context),
}

/// A list of one value that is longer than what a relationship may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a rule has one value of more than {CONTEXT_BYTES_MAX} bytes")]
pub struct RuleTooLong;

/// The parts of a rule. A rule permits every pair of what its lists name, so the halves of one list, each with the other lists,
/// permit together what the whole does.
///
/// # Errors
/// [`RuleTooLong`] where no list can be cut further.
pub(crate) fn parts(rule: &Rule) -> Result<Vec<Part>, RuleTooLong> {
    let is_of_urls = !rule.non_resource_urls.is_empty();
    let lists = if is_of_urls {
        of_urls(rule)
    } else {
        of_resources(rule)
    };
    let mut contexts = Vec::new();
    cut(lists, &mut contexts)?;
    let parts = contexts.into_iter();
    Ok(parts
        .map(if is_of_urls {
            Part::Urls
        } else {
            Part::Resources
        })
        .collect())
}

type Lists = Vec<(&'static str, Vec<String>)>;

fn of_resources(rule: &Rule) -> Lists {
    vec![
        ("verbs", rule.verbs.clone()),
        ("groups", rule.api_groups.clone()),
        ("resources", rule.resources.clone()),
        ("names", rule.resource_names.clone()),
    ]
}

/// A path that ends with `*` stands for all that begin with what is before its stars.
fn of_urls(rule: &Rule) -> Lists {
    let urls = rule.non_resource_urls.iter();
    let (prefixes, paths): (Vec<_>, Vec<_>) = urls.partition(|url| url.ends_with('*'));
    let prefixes = prefixes.into_iter().map(|url| url.trim_end_matches('*'));
    vec![
        ("verbs", rule.verbs.clone()),
        ("paths", paths.into_iter().cloned().collect()),
        ("prefixes", prefixes.map(str::to_owned).collect()),
    ]
}

fn cut(lists: Lists, into: &mut Vec<Context>) -> Result<(), RuleTooLong> {
    let context = context(&lists);
    if context.to_json().len() <= CONTEXT_BYTES_MAX {
        into.push(context);
        return Ok(());
    }
    // Paths and prefixes are of one list: where one of them is cut, the other goes with one half alone.
    let longest = lists.iter().enumerate();
    let longest = longest.max_by_key(|(_, (_, list))| list.iter().map(String::len).sum::<usize>());
    let Some((ix, (name, list))) = longest else {
        return Err(RuleTooLong);
    };
    if list.len() < 2 {
        return Err(RuleTooLong);
    }
    let (left, right) = list.split_at(list.len() / 2);
    let is_path = |name: &str| matches!(name, "paths" | "prefixes");
    for (half, is_first) in [(left, true), (right, false)] {
        let each = lists.iter().enumerate();
        let lists = each.map(|(other, (other_name, list))| {
            let list = if other == ix {
                half.to_vec()
            } else if is_path(name) && is_path(other_name) && !is_first {
                Vec::new()
            } else {
                list.clone()
            };
            (*other_name, list)
        });
        cut(lists.collect(), into)?;
    }
    Ok(())
}

fn context(lists: &Lists) -> Context {
    let values = lists.iter().map(|(name, list)| {
        let list = list.iter().cloned().map(Value::String).collect();
        ((*name).to_owned(), Value::List(list))
    });
    Context::new(values.collect::<BTreeMap<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(prefix: &str, count: usize) -> Vec<String> {
        (0..count).map(|n| format!("{prefix}-{n:06}")).collect()
    }

    fn rule(resources: Vec<String>, names: Vec<String>) -> Rule {
        Rule {
            verbs: vec!["get".to_owned()],
            api_groups: vec![String::new()],
            resources,
            resource_names: names,
            ..Rule::default()
        }
    }

    fn list(context: &Context, name: &str) -> Vec<String> {
        let Some(Value::List(list)) = context.value(name) else {
            panic!("no {name}");
        };
        let texts = list.iter().map(|value| {
            let Value::String(text) = value else {
                panic!("{value:?}");
            };
            text.clone()
        });
        texts.collect()
    }

    #[test]
    fn a_long_rule_is_cut_and_permits_the_same() {
        let whole = rule(many("resource", 900), many("name", 1_100));
        let mut pairs = Vec::new();
        for part in parts(&whole).unwrap() {
            let Part::Resources(context) = part else {
                panic!("of paths");
            };
            assert!(context.to_json().len() <= CONTEXT_BYTES_MAX);
            let names = list(&context, "names");
            // None would be all.
            assert!(!names.is_empty());
            for resource in list(&context, "resources") {
                pairs.extend(names.iter().map(|name| (resource.clone(), name.clone())));
            }
        }
        let count = pairs.len();
        pairs.sort();
        pairs.dedup();
        assert_eq!((pairs.len(), count), (900 * 1_100, 900 * 1_100));
        let one = rule(vec!["x".repeat(CONTEXT_BYTES_MAX)], Vec::new());
        assert_eq!(parts(&one), Err(RuleTooLong));
    }

    #[test]
    fn paths_are_cut_and_none_is_lost() {
        let mut urls = many("/path", 2_000);
        urls.extend(many("/prefix", 2_000).into_iter().map(|url| url + "**"));
        let whole = Rule {
            verbs: vec!["get".to_owned()],
            non_resource_urls: urls,
            ..Rule::default()
        };
        let (mut paths, mut prefixes) = (Vec::new(), Vec::new());
        for part in parts(&whole).unwrap() {
            let Part::Urls(context) = part else {
                panic!("of resources");
            };
            paths.extend(list(&context, "paths"));
            prefixes.extend(list(&context, "prefixes"));
        }
        for (found, expected) in [(&mut paths, "/path"), (&mut prefixes, "/prefix")] {
            found.sort();
            found.dedup();
            assert_eq!(*found, many(expected, 2_000));
        }
    }
}
