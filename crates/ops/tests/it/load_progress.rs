//! What is told of a node's first load.

use std::sync::Arc;

use model::SystemClock;
use ops::{LoadProgress, Node, Settings};
use store::SqliteStore;

use crate::running::start;

#[tokio::test(flavor = "multi_thread")]
async fn a_load_counts_all_that_there_is() {
    let running = start(ops::watch::Settings::default()).await;
    // More than a part that is loaded at once, and no multiple of it.
    let rows: Vec<String> = (0..300)
        .map(|n| format!("+folder:f{n}#viewer@user:ann"))
        .collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    running.write(&rows).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("copy.db");
    running.store.backup(&file, &mut |_| {}).unwrap();

    let store: Arc<dyn store::Store> = Arc::new(SqliteStore::open(&file).unwrap());
    assert_eq!(store.relationship_count().await.unwrap(), Some(300));
    let progress = Arc::new(LoadProgress::default());
    let parts = (store, Arc::new(SystemClock) as _, Settings::default());
    let node = Node::start_telling(parts, &progress).await.unwrap();
    assert!(progress.is_over());
    assert_eq!(progress.relationships(), 300);
    assert!(matches!(progress.expected(), None | Some(300)));
    assert_eq!(node.snapshot().relationship_count(), 300);
    assert!(node.alive().is_ok());
}
