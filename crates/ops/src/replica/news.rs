//! Telling a replica that there is more: the newest commit only, whatever it missed.

use std::convert::Infallible;
use std::sync::Arc;

use identity::Caller;
use store::Head;
use tokio::time::Instant;

use super::admit;
use crate::error::{Error, Kind};
use crate::node::Node;
use crate::streaming::{Feeding, Streaming};

/// News that may wait for a reader: the next ones say all that they do.
const WAITING_MAX: usize = 1;

/// The newest commit that the node has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct News {
    /// The commit.
    pub head: Head,
}

/// Tells of the newest commit that the node has: now, whenever there is a newer one, and at each heartbeat.
///
/// # Errors
/// [`Kind::Forbidden`] for a caller that may not, also later; [`Kind::Overloaded`] past the replicas that a node may have, and for one
/// that does not read; [`Kind::Unavailable`] once the node stops.
pub async fn news(node: &Arc<Node>, caller: &Caller) -> Result<Streaming<News>, Error> {
    admit(node, caller)?;
    let place = node.replicas().follower()?;
    let (feeding, news) = Streaming::new(WAITING_MAX, node.replicas().settings.stall_max);
    let (node, caller) = (Arc::clone(node), caller.clone());
    tokio::spawn(async move {
        let _place = place;
        let mut ending = node.watches().ending();
        let ended = tokio::select! {
            () = feeding.closed() => return,
            _ = ending.wait_for(|is_ending| *is_ending) => {
                Error::new(Kind::Unavailable, "the server is stopping; follow another node")
            }
            Err(error) = tell(&node, &caller, &feeding) => error,
        };
        feeding.fail(ended);
    });
    Ok(news)
}

async fn tell(node: &Node, caller: &Caller, feeding: &Feeding<News>) -> Result<Infallible, Error> {
    let settings = node.replicas().settings.clone();
    let mut revision = node.revision.subscribe();
    loop {
        revision.mark_unchanged();
        // What was taken from the caller meanwhile ends it, and so does what befell the node.
        admit(node, caller)?;
        let head = node.current.load().head();
        feeding.send(News { head }).await?;
        // Where one commit comes after the other, many are told of at once; one that comes alone is told of at once.
        let next = Instant::now() + settings.pause;
        let _is_news = tokio::time::timeout(settings.heartbeat, revision.changed()).await;
        tokio::time::sleep_until(next).await;
    }
}
