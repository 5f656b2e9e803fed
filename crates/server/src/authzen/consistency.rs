//! How fresh an answer has to be: a header of our own, since the standard is silent.

use http::{HeaderMap, HeaderName};
use ops::Consistency;
use tonic::Status;

const CONSISTENCY: HeaderName = HeaderName::from_static("remit-consistency");

/// What the headers of a request ask for; the newest that the node has, if nothing.
///
/// # Errors
/// InvalidArgument for what is none of the words, and a token that is none of a server's.
pub(super) fn of(headers: &HeaderMap) -> Result<Consistency, Status> {
    let mut given = headers.get_all(CONSISTENCY).iter();
    let text = match (given.next(), given.next()) {
        (None, _) => return Ok(Consistency::MinimizeLatency),
        (Some(text), None) => text.to_str().ok(),
        (Some(_), Some(_)) => None,
    };
    text.and_then(read).ok_or_else(|| {
        Status::invalid_argument(
            "`remit-consistency` is `minimize-latency`, `fully-consistent`, `at-least-as-fresh=TOKEN` or \
             `at-exact-snapshot=TOKEN`, with the `remit-token` of an answer",
        )
    })
}

fn read(text: &str) -> Option<Consistency> {
    match (text.trim(), text.trim().split_once('=')) {
        ("minimize-latency", _) => Some(Consistency::MinimizeLatency),
        ("fully-consistent", _) => Some(Consistency::FullyConsistent),
        (_, Some(("at-least-as-fresh", token))) => {
            token.parse().ok().map(Consistency::AtLeastAsFresh)
        }
        (_, Some(("at-exact-snapshot", token))) => {
            token.parse().ok().map(Consistency::AtExactSnapshot)
        }
        _ => None,
    }
}
