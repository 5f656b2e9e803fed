//! The way of a node to the store: slow, lossy, cut off at times, and for a broken node not quite true.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use model::{Revision, Timestamp, Token};
use store::{
    CommitError, CommitRequest, Committed, Head, LogEntry, LogError, LogQuery, ScanHeader, ScanRow,
    Store, StoreError, StoreFuture, StoreIdentity, StoredSchema, TokenRefused, TokenVerdict,
    Trimmed,
};
use tokio::sync::watch;

use super::model_store::ModelStore;
use super::world::{Broken, Slot, World, name_of};

pub(crate) struct Link {
    world: Arc<World>,
    node: usize,
    /// The head that was answered last.
    last_head: Mutex<Option<Head>>,
}

impl Link {
    pub(crate) fn new(world: &Arc<World>, node: usize) -> Self {
        Self {
            world: Arc::clone(world),
            node,
            last_head: Mutex::new(None),
        }
    }

    /// Whether the node is broken in this way.
    fn is(&self, broken: Broken) -> bool {
        self.node == 0 && self.world.plan.broken == Some(broken)
    }

    /// Does `work` at the store in some turn, and brings back what came of it, if both ways are open.
    async fn call<T, E: From<StoreError>>(
        &self,
        event: String,
        work: impl FnOnce(&ModelStore) -> Result<T, E>,
    ) -> Result<T, E> {
        let world = &self.world;
        world.resumed(self.node, Slot::Arrival).await;
        let mut dice = world.dice(&format!("{event} of {}", self.node));
        world
            .at(world.turn() + 1 + world.delay(&mut dice), Slot::Store)
            .await;
        let is_reached = !world.loses(self.node, &mut dice);
        let result = is_reached.then(|| work(&world.store(self.node)));
        let under_way = UnderWay::new(world, self.node);
        world
            .at(world.turn() + world.delay(&mut dice), Slot::Arrival)
            .await;
        world.resumed(self.node, Slot::Arrival).await;
        drop(under_way);
        let is_answered = !world.loses(self.node, &mut dice);
        match result {
            Some(result) if is_answered => result,
            Some(_) | None => Err(unavailable().into()),
        }
    }
}

/// Counts an answer for as long as it is under way, or its call is given up.
struct UnderWay<'w> {
    world: &'w World,
    node: usize,
}

impl<'w> UnderWay<'w> {
    fn new(world: &'w World, node: usize) -> Self {
        world.place(node).answers_under_way += 1;
        Self { world, node }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.world.place(self.node).answers_under_way -= 1;
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable {
        detail: "cut off",
        source: "simulated".into(),
    }
}

/// Makes of a page of the log what a node that applies commits wrongly would.
fn distort(entries: &mut Vec<LogEntry>, broken: Broken) {
    let contents = |entry: &mut LogEntry| std::mem::take(&mut entry.changes);
    match broken {
        Broken::SkipsCommits => {
            let skipped = entries.iter_mut().filter(|entry| entry.revision.0 % 5 == 0);
            skipped.for_each(|entry| drop(contents(entry)));
        }
        Broken::LosesEntries => entries.retain(|entry| entry.revision.0 % 50 != 0),
        Broken::AppliesOutOfOrder => {
            let reversed: Vec<_> = entries.iter_mut().rev().map(contents).collect();
            for (entry, changes) in entries.iter_mut().zip(reversed) {
                entry.changes = changes;
            }
        }
        Broken::IgnoresTokens
        | Broken::JoinsHeadQuestions
        | Broken::ServesLostBranch
        | Broken::ClockRunsBack => {}
    }
}

impl Store for Link {
    fn identity(&self) -> StoreIdentity {
        self.world.current_store().identity()
    }

    fn commit(&self, request: CommitRequest) -> StoreFuture<'_, Result<Committed, CommitError>> {
        Box::pin(async move {
            if self.world.place(self.node).has_diverged {
                let detail = "it does not have what it committed".to_owned();
                return Err(StoreError::Diverged { detail }.into());
            }
            let name = name_of(request.provenance.metadata.as_deref()).unwrap_or("schema");
            let event = format!("commit {name}");
            let world = &self.world;
            self.call(event, |store| {
                let committed = store.commit_now(&request)?;
                world.spread(committed.revision);
                Ok(committed)
            })
            .await
        })
    }

    fn head(&self) -> StoreFuture<'_, Result<Head, StoreError>> {
        Box::pin(async {
            let head = self.call("head".to_owned(), ModelStore::head_now).await?;
            let before = self.last_head.lock().unwrap().replace(head);
            Ok(before
                .filter(|_| self.is(Broken::JoinsHeadQuestions))
                .unwrap_or(head))
        })
    }

    fn head_watch(&self) -> watch::Receiver<Revision> {
        self.world.news[self.node].subscribe()
    }

    fn schema(
        &self,
        at: Option<Revision>,
    ) -> StoreFuture<'_, Result<Option<StoredSchema>, LogError>> {
        Box::pin(async move {
            let event = format!("schema {at:?}");
            self.call(event, |store| store.schema_now(at)).await
        })
    }

    fn log(&self, query: LogQuery) -> StoreFuture<'_, Result<Vec<LogEntry>, LogError>> {
        Box::pin(async move {
            let event = format!("log {query:?}");
            let mut entries = self.call(event, |store| store.log_now(query)).await?;
            if let (0, Some(broken)) = (self.node, self.world.plan.broken) {
                distort(&mut entries, broken);
            }
            Ok(entries)
        })
    }

    fn token(&self, revision: Revision) -> StoreFuture<'_, Result<Token, LogError>> {
        Box::pin(async move {
            let event = format!("token {revision}");
            self.call(event, |store| store.token_now(revision)).await
        })
    }

    fn verify(&self, token: Token) -> StoreFuture<'_, Result<TokenVerdict, TokenRefused>> {
        Box::pin(async move {
            let event = format!("verify {token}");
            self.call(event, |store| store.verify_now(token)).await
        })
    }

    fn scan(
        &self,
        sink: &mut dyn FnMut(&ScanHeader, ScanRow<'_>) -> ControlFlow<()>,
    ) -> Result<ScanHeader, StoreError> {
        self.world.store(self.node).scan(sink)
    }

    fn trim(&self, before: Timestamp) -> StoreFuture<'_, Result<Trimmed, StoreError>> {
        Box::pin(async move {
            let event = format!("trim {before}");
            self.call(event, |store| store.trim_now(before)).await
        })
    }

    fn close(&self) -> StoreFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}
