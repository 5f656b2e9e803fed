//! The decision log of a server: started before the node, which tells it what it decides, and stopped after it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use decision_log::{DecisionLog, Rules};
use ops::decisions::Recorder;
use store::Store;

/// How long the log may take to end beyond the grace of calls, at least.
const STOP_WAIT_MIN: Duration = Duration::from_secs(1);

/// Starts the log that `file` describes; none without a file.
pub(super) fn start(
    file: Option<&Path>,
    store: &dyn Store,
) -> anyhow::Result<Option<Arc<DecisionLog>>> {
    let Some(file) = file else {
        return Ok(None);
    };
    let rules = read(file)?;
    let hexadecimal =
        |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    let labels = BTreeMap::from([
        ("id".to_owned(), decision_log::process_id()),
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("store".to_owned(), hexadecimal(&store.identity().store.0)),
    ]);
    let log = DecisionLog::start(rules, labels)?;
    tracing::info!(file = %file.display(), "decisions are logged");
    Ok(Some(log))
}

/// The rules of a file.
pub(crate) fn read(file: &Path) -> anyhow::Result<Rules> {
    Rules::read(file).with_context(|| {
        format!(
            "`{}` is no file of rules for a decision log",
            file.display()
        )
    })
}

/// The log, as what the node tells of its decisions.
pub(super) fn recorder(log: Option<&Arc<DecisionLog>>) -> Option<Arc<dyn Recorder>> {
    log.map(|log| Arc::clone(log) as Arc<dyn Recorder>)
}

/// Takes other rules.
pub(super) fn replace(log: &DecisionLog, file: &Path) -> anyhow::Result<()> {
    if !log.replace(read(file)?) {
        tracing::warn!(
            "the sinks and the buffer of the decision log stay as they are until the server is started again"
        );
    }
    Ok(())
}

/// Lets the sinks take what waits, within the grace, and tells what they have not taken.
pub(super) async fn stop(log: Arc<DecisionLog>, grace: Duration) {
    let within = grace.max(STOP_WAIT_MIN);
    let stopping = tokio::task::spawn_blocking(move || log.stop(within));
    for left in stopping.await.unwrap_or_default() {
        let (sink, events) = (left.sink, left.events);
        tracing::warn!(
            sink,
            events,
            "a sink of the decision log had not taken these events when the server stopped"
        );
    }
}
