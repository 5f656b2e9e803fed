//! A node over a store in memory, with a clock that is set by hand, and what its watches tell as lines of text.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use identity::Caller;
use model::{Clock, Operation, RelationshipUpdate, Timestamp, Token};
use ops::watch::{Event, Request, Start, Watching};
use ops::write::Write;
use ops::{Error, Node, Settings, watch};
use store::{SqliteStore, Store};

pub(crate) const SCHEMA: &str = "use expiration\ncaveat hour(now int) {\n now < 10\n}\ndefinition user {}\ndefinition doc {\n \
     relation viewer: user | user with hour | user with expiration\n}\ndefinition folder {\n relation viewer: user\n}\n";

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A clock that is set by hand, in microseconds since the epoch.
#[derive(Debug)]
pub(crate) struct Hand(AtomicI64);

impl Hand {
    pub(crate) fn at(micros: i64) -> Self {
        Self(AtomicI64::new(micros))
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

pub(crate) struct Running {
    pub(crate) node: Arc<Node>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<Hand>,
}

/// A node with a schema, at revision 1.
pub(crate) async fn start(settings: watch::Settings) -> Running {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::memory().unwrap());
    let clock = Arc::new(Hand(AtomicI64::new(1_000_000)));
    let settings = Settings {
        watch: settings,
        staleness_max: Duration::from_secs(1_000_000),
        ..Settings::default()
    };
    let node = Node::start(Arc::clone(&store), Arc::clone(&clock) as _, settings);
    let node = node.await.unwrap();
    ops::schema::write(&node, &caller(), SCHEMA).await.unwrap();
    Running { node, store, clock }
}

pub(crate) fn caller() -> Caller {
    Caller::without_authentication()
}

impl Running {
    /// Commits lines of `+relationship` and `-relationship`, and gives the token.
    pub(crate) async fn write(&self, lines: &[&str]) -> Token {
        self.write_with(lines, None).await
    }

    pub(crate) async fn write_with(&self, lines: &[&str], metadata: Option<&str>) -> Token {
        let updates = lines.iter().map(|line| RelationshipUpdate {
            operation: match line.split_at(1).0 {
                "+" => Operation::Touch,
                "*" => Operation::Create,
                _ => Operation::Delete,
            },
            relationship: line.split_at(1).1.parse().unwrap(),
        });
        let write = Write {
            updates: updates.collect(),
            metadata: metadata.map(str::to_owned),
            ..Write::default()
        };
        ops::write::write(&self.node, &caller(), write)
            .await
            .unwrap()
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock
            .0
            .fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    pub(crate) async fn watch(&self, request: Request) -> Result<Watching, Error> {
        watch::watch(&self.node, &caller(), request).await
    }

    pub(crate) async fn watch_from(&self, start: Start) -> Watching {
        let request = Request {
            start,
            ..Request::default()
        };
        self.watch(request).await.unwrap()
    }
}

/// The next event, or the error that ends the watch.
pub(crate) async fn next(watching: &mut Watching) -> Result<Event, Error> {
    let next = tokio::time::timeout(PATIENCE, watching.next()).await;
    next.expect("a watch is silent").expect("a watch has ended")
}

pub(crate) async fn next_text(watching: &mut Watching) -> String {
    text(&next(watching).await.unwrap())
}

/// The events up to the first that carries `token`, with what follows it at that token.
pub(crate) async fn until(watching: &mut Watching, token: Token) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        events.push(next(watching).await.unwrap());
        if events.last().unwrap().through() == token {
            return events;
        }
    }
}

/// Asks again and again until the answer is there.
pub(crate) async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            match ask().await {
                Some(answer) => return answer,
                None => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .expect("what was waited for did not come")
}

pub(crate) fn text(event: &Event) -> String {
    let revision = event.through().revision;
    match event {
        Event::SchemaUpdated { .. } => format!("{revision} schema"),
        Event::Checkpoint { .. } => format!("{revision} checkpoint"),
        Event::Updates(updates) => {
            let rows = updates.updates().iter().map(|update| {
                let sign = match update.operation {
                    Operation::Touch => "+",
                    Operation::Delete => "-",
                    Operation::Create => "*",
                };
                format!(" {sign}{}", update.relationship)
            });
            let rows: String = rows.collect();
            let metadata = updates.metadata().unwrap_or_default();
            format!("{revision}{rows}{metadata}")
        }
    }
}
