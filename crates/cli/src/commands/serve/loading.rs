//! What whoever started a server is told until it is ready: a bar at a terminal, else a line of the log now and then.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use ops::{LoadProgress, Node};
use tokio::task::JoinHandle;

/// How long a load takes that nobody needs to be told of.
const QUICK: Duration = Duration::from_millis(500);
/// How often a bar moves.
const MOVE_EVERY: Duration = Duration::from_millis(100);
/// How often the log tells.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// How often a node that is loaded is asked whether it is ready.
const READY_EVERY: Duration = Duration::from_millis(20);
/// After how long it is told what it waits for.
const READY_SOON: Duration = Duration::from_secs(5);

/// Tells of a load until it is dropped.
pub(super) struct Telling(JoinHandle<()>);

impl Telling {
    pub(super) fn of(progress: Arc<LoadProgress>) -> Self {
        let telling = async move {
            if std::io::stderr().is_terminal() {
                show(&progress).await;
            } else {
                say(&progress).await;
            }
        };
        Self(tokio::spawn(telling))
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        // The bar goes with the task.
        self.0.abort();
    }
}

async fn show(progress: &LoadProgress) {
    tokio::time::sleep(QUICK).await;
    let bar = ProgressBar::no_length().with_finish(ProgressFinish::AndClear);
    if let Ok(style) =
        ProgressStyle::with_template("loading {wide_bar} {human_pos} of {human_len} ({elapsed})")
    {
        bar.set_style(style);
    }
    loop {
        if let Some(expected) = progress.expected() {
            bar.set_length(expected.max(progress.relationships()));
        }
        bar.set_position(progress.relationships());
        bar.tick();
        tokio::time::sleep(MOVE_EVERY).await;
    }
}

async fn say(progress: &LoadProgress) {
    loop {
        tokio::time::sleep(SAY_EVERY).await;
        tracing::info!("{progress}");
    }
}

/// Waits until a node that is loaded may answer; says what keeps it from that if it takes long.
pub(super) async fn until_ready(node: &Node) {
    let mut waited = Duration::ZERO;
    while let Err(error) = node.ready() {
        if waited == READY_SOON {
            tracing::warn!(why = error.message, "loaded, and not ready yet");
        }
        tokio::time::sleep(READY_EVERY).await;
        waited = waited.saturating_add(READY_EVERY);
    }
}
