//! Two routes for one request, of which neither is the narrower, are a fault: nobody could say which of them is meant.

use super::reader::Reader;
use super::route::Matched;
use crate::route::Route;
use crate::rules::Entry;
use crate::template::Cover;

/// Tells of every pair that is not to be told apart.
pub(super) fn refuse(matches: &[Matched], routes: &[Route], reader: &mut Reader) {
    let mut sorted: Vec<&Matched> = matches.iter().collect();
    sorted.sort_by(|left, right| left.entry.host.cmp(&right.entry.host));
    // Of two patterns of hosts that are not the same one is narrower, or they match nothing together.
    for same_host in sorted.chunk_by(|left, right| left.entry.host == right.entry.host) {
        for (ix, right) in same_host.iter().enumerate() {
            for left in same_host.iter().take(ix) {
                if !is_ambiguous(&left.entry, &right.entry) {
                    continue;
                }
                let (first, second) = match left.at <= right.at {
                    true => (left, right),
                    false => (right, left),
                };
                let of = |matched: &Matched| {
                    let route = routes.get(matched.entry.route);
                    route.map_or("", |route| route.name.as_str()).to_owned()
                };
                let (name, other) = (of(second), of(first));
                let line = first.at.line;
                reader.fault(
                    second.at,
                    format!(
                        "`{}` of route `{name}` and `{}` of route `{other}` (line {line}) match the same requests, and neither is \
                         narrower: make one of them narrower, or their methods different",
                        second.entry.path, first.entry.path
                    ),
                );
            }
        }
    }
}

fn is_ambiguous(left: &Entry, right: &Entry) -> bool {
    match left.path.cover(&right.path) {
        Cover::Apart | Cover::Narrower | Cover::Wider => false,
        Cover::Across => have_one_method(left, right),
        Cover::Same => have_one_method(left, right) && !is_one_narrower(left, right),
    }
}

fn have_one_method(left: &Entry, right: &Entry) -> bool {
    match (&left.methods, &right.methods) {
        (None, _) | (_, None) => true,
        (Some(left), Some(_)) => left.iter().any(|method| right.is_for(method)),
    }
}

fn is_one_narrower(left: &Entry, right: &Entry) -> bool {
    match (&left.methods, &right.methods) {
        (None, None) => false,
        (None, Some(_)) | (Some(_), None) => true,
        (Some(of_left), Some(of_right)) => {
            of_left.len() != of_right.len()
                && (of_left.iter().all(|it| right.is_for(it))
                    || of_right.iter().all(|it| left.is_for(it)))
        }
    }
}
