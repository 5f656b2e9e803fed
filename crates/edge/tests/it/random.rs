//! Random paths, templates and files: matching is as a naive matcher has it, and nothing panics or passes by accident.

use edge::path::Segments;
use edge::template::{Cover, Template};
use edge::{Rules, Verdict};
use proptest::prelude::*;

use crate::request::request;

/// Templates over few letters, so that they meet.
fn template() -> impl Strategy<Value = String> {
    let part = prop_oneof![Just("a"), Just("b"), Just("{}")];
    let end = prop_oneof![3 => Just(""), 1 => Just("/"), 1 => Just("/{rest...}")];
    (prop::collection::vec(part, 1..4), end).prop_map(|(parts, end)| {
        let named = parts.iter().enumerate().map(|(ix, part)| match *part {
            "{}" => format!("/{{p{ix}}}"),
            literal => format!("/{literal}"),
        });
        named.collect::<String>() + end
    })
}

fn path() -> impl Strategy<Value = String> {
    let segment = prop_oneof![Just("a"), Just("b"), Just("%61"), Just("c%2Fd")];
    let end = prop_oneof![3 => Just(""), 1 => Just("/")];
    (prop::collection::vec(segment, 1..5), end)
        .prop_map(|(segments, end)| format!("/{}{end}", segments.join("/")))
}

/// Whether a template matches, by its text alone.
fn naive(template: &str, path: &str) -> bool {
    let decoded = path.replace("%61", "a");
    let want: Vec<&str> = template[1..].split('/').collect();
    let have: Vec<&str> = decoded[1..].split('/').collect();
    let rest = want.last().is_some_and(|it| it.ends_with("...}"));
    let fixed = want.len() - usize::from(rest);
    let long_enough = if rest {
        have.len() > fixed
    } else {
        have.len() == fixed
    };
    let is_rest_plain = !rest || !have[fixed.min(have.len())..].concat().contains("%2F");
    long_enough
        && is_rest_plain
        && want.iter().take(fixed).zip(&have).all(|(want, have)| {
            if want.starts_with('{') {
                !have.is_empty()
            } else {
                want == have
            }
        })
}

proptest! {
    #[test]
    fn templates_match_as_a_naive_matcher_does(template in template(), path in path()) {
        let read = Template::read(&template).unwrap();
        let segments = Segments::read(&path).unwrap();
        prop_assert_eq!(read.matched(&segments).is_some(), naive(&template, &path));
        prop_assert_eq!(read.to_string(), template);
    }

    #[test]
    fn covers_are_what_paths_show(left in template(), right in template(), paths in prop::collection::vec(path(), 60)) {
        let (first, second) = (Template::read(&left).unwrap(), Template::read(&right).unwrap());
        let cover = first.cover(&second);
        // An encoded slash keeps a path from what is left, which makes that only narrower.
        for path in paths.iter().filter(|path| !path.contains("%2F")) {
            let segments = Segments::read(path).unwrap();
            let (of_first, of_second) = (first.matched(&segments).is_some(), second.matched(&segments).is_some());
            let is_right = match cover {
                Cover::Apart => !(of_first && of_second),
                Cover::Same => of_first == of_second,
                Cover::Narrower => !of_first || of_second,
                Cover::Wider => !of_second || of_first,
                Cover::Across => true,
            };
            prop_assert!(is_right, "{left} is {cover:?} to {right}, but {path}: {of_first} {of_second}");
        }
    }

    #[test]
    fn a_path_that_is_read_has_nothing_left_to_decode_or_resolve(path in "/[a-c./%25e;\\\\ ]{0,12}") {
        if let Ok(segments) = Segments::read(&path) {
            for segment in segments.as_slice() {
                for part in segment.split('/') {
                    prop_assert!(!matches!(part.split(';').next(), Some("." | "..")), "{path}");
                }
                prop_assert!(!segment.contains('\\'), "{path}");
            }
        }
    }

    #[test]
    fn no_text_makes_reading_panic(text in "(\\PC|\n|\t){0,200}") {
        let _read = Rules::read("r", &text);
    }

    #[test]
    fn no_request_makes_judging_panic_or_passes_without_a_route(method in "\\PC{0,6}", host in "\\PC{0,12}", target in "\\PC{0,24}") {
        let text = "routes: [{name: a, host: a.org, path: \"/x/{id}\", checks: [{resource: \"todo:${params.id}\", permission: view, subject: \"user:${claims.sub}\"}]}]";
        let rules = Rules::read("r", text).unwrap();
        let mut asked = request("GET /");
        (asked.method, asked.host, asked.target) = (method, host, target);
        let verdict = match rules.find(&asked) {
            Ok(found) => found.ask(&asked, None).verdict(&[]),
            Err(unmatched) => Verdict::unmatched(unmatched),
        };
        prop_assert!(!verdict.allows());
    }
}
