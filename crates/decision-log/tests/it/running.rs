//! A node that tells what it decides to a log, by rules that the test writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use decision_log::{DecisionLog, Left, Rules};
use identity::Caller;
use model::{Context, Operation, RelationshipUpdate, SystemClock};
use ops::check::{self, Question};
use ops::decisions::Recorder;
use ops::write::Write;
use ops::{Consistency, Error, Node, Settings};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use serde_json::Value;
use store::SqliteStore;
use tempfile::TempDir;

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

const SCHEMA: &str = "caveat is_office(ip string, floor int) {\n ip == \"office\" && floor < 3\n}\ndefinition user {}\n\
     definition doc {\n relation viewer: user | user:* | user with is_office\n permission view = viewer\n}\n";

pub(crate) struct Running {
    pub(crate) node: Arc<Node>,
    pub(crate) log: Arc<DecisionLog>,
    pub(crate) folder: TempDir,
}

pub(crate) fn rules(folder: &Path, text: &str) -> Rules {
    let file = folder.join("rules.toml");
    std::fs::write(&file, text).unwrap();
    Rules::read(&file).unwrap_or_else(|error| panic!("{error}"))
}

/// A node with some relationships, whose log goes where `text` says.
pub(crate) async fn start(text: &str) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let rules = rules(folder.path(), text);
    let labels = BTreeMap::from([("id".to_owned(), "node-1".to_owned())]);
    let log = DecisionLog::start(rules, labels).unwrap();
    let settings = Settings {
        decisions: Some(Arc::clone(&log) as Arc<dyn Recorder>),
        ..Settings::default()
    };
    let store = Arc::new(SqliteStore::memory().unwrap());
    let node = Node::start(store, Arc::new(SystemClock), settings);
    let node = node.await.unwrap();
    let anybody = Caller::without_authentication();
    ops::schema::write(&node, &anybody, SCHEMA).await.unwrap();
    let rows = [
        "doc:a#viewer@user:ann",
        "doc:b#viewer@user:bob[is_office]",
        "doc:open#viewer@user:*",
    ];
    let updates = rows.map(|row| RelationshipUpdate {
        operation: Operation::Touch,
        relationship: row.parse().unwrap(),
    });
    let write = Write {
        updates: updates.to_vec(),
        ..Write::default()
    };
    ops::write::write(&node, &anybody, write).await.unwrap();
    Running { node, log, folder }
}

pub(crate) fn question(resource: &str, permission: &str, subject: &str, context: &str) -> Question {
    Question {
        resource: resource.parse().unwrap(),
        permission: permission.to_owned(),
        subject: subject.parse().unwrap(),
        context: Context::from_json(context).unwrap(),
    }
}

impl Running {
    pub(crate) async fn ask(&self, question: &Question) -> Result<(), Error> {
        let anybody = Caller::without_authentication();
        self.ask_as(&anybody, question).await
    }

    pub(crate) async fn ask_as(&self, caller: &Caller, question: &Question) -> Result<(), Error> {
        let newest = Consistency::MinimizeLatency;
        let answered = check::check(&self.node, caller, newest, question).await;
        answered.map(|answered| drop(answered.answer))
    }

    /// Asks about `doc:n0`, `doc:n1` and so on.
    pub(crate) async fn ask_numbered(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            let question = question(&format!("doc:n{number}"), "view", "user:ann", "{}");
            self.ask(&question).await.unwrap();
        }
    }

    /// The lines of the log, which is stopped for it.
    pub(crate) async fn events(&self) -> Vec<Value> {
        let left = self.stop(PATIENCE).await;
        assert_eq!(left, []);
        lines(&self.folder.path().join("log"))
    }

    pub(crate) async fn stop(&self, within: Duration) -> Vec<Left> {
        self.node.stop();
        let log = Arc::clone(&self.log);
        let stopping = tokio::task::spawn_blocking(move || log.stop(within));
        stopping.await.unwrap()
    }

    /// The metrics of the log, as text.
    pub(crate) fn told(&self) -> String {
        let mut registry = Registry::default();
        self.log.register(&mut registry);
        let mut told = String::new();
        text::encode(&mut told, &registry).unwrap();
        told
    }

    /// The number behind a metric, by the beginning of its line; 0 if it is not there.
    pub(crate) fn metric(&self, begin: &str) -> f64 {
        let told = self.told();
        let line = told.lines().find(|line| line.starts_with(begin));
        line.map_or(0.0, |line| {
            line.rsplit(' ').next().unwrap().parse().unwrap()
        })
    }

    /// Waits until a metric has come to a number.
    pub(crate) async fn metric_comes_to(&self, begin: &str, number: f64) {
        let since = Instant::now();
        while self.metric(begin) < number {
            assert!(
                since.elapsed() < PATIENCE,
                "{begin}: {}",
                self.metric(begin)
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub(crate) fn lines(file: &PathBuf) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The resources of events, in their order.
pub(crate) fn resources(events: &[Value]) -> Vec<String> {
    let resource = |event: &Value| event["input"]["resource"].as_str().unwrap().to_owned();
    events.iter().map(resource).collect()
}

pub(crate) fn numbered(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("doc:n{number}")).collect()
}
