//! A server in this process, which can be stopped and started again on its port, and a replica of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use identity::{Authenticator, Caller, PresharedKeys};
use model::{Decision, Operation, RelationshipUpdate, SystemClock, Token};
use ops::replica::Settings as ReplicaSettings;
use ops::{Node, lock};
use remit_embedded::{
    Consistency, Context, Engine, Error, Follow, Pace, Question, Replica, Server, Settings,
    Transport, Write,
};
use server::{Authentication, Config, ServeError};
use store::{SqliteStore, Store};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const SCHEMA: &str = "use expiration\ncaveat hour(now int) {\n now < 10\n}\ndefinition user {}\ndefinition group {\n \
    relation member: user | group#member\n}\ndefinition doc {\n relation viewer: user | user:* | user with hour | user with \
    expiration | group#member\n relation banned: user\n permission view = viewer - banned\n}\n";

/// The key of who may replicate, and of who may not.
pub(crate) const REPLICA_KEY: &str = "key-of-a-replica";
pub(crate) const OTHER_KEY: &str = "key-of-another";

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A server over a file.
pub(crate) struct Running {
    pub(crate) node: Arc<Node>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) address: SocketAddr,
    pub(crate) folder: Arc<tempfile::TempDir>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), ServeError>>,
}

/// A server that was stopped.
pub(crate) struct Stopped {
    pub(crate) address: SocketAddr,
    pub(crate) folder: Arc<tempfile::TempDir>,
}

/// A server with a schema, on which `ops` is the administrator and `replica` may replicate.
pub(crate) async fn start() -> Running {
    let stopped = Stopped {
        address: "127.0.0.1:0".parse().unwrap(),
        folder: Arc::new(tempfile::tempdir().unwrap()),
    };
    let running = stopped.start().await;
    ops::schema::write(&running.node, &anybody(), SCHEMA)
        .await
        .unwrap();
    running
        .write(&[
            "+remit/system:main#administrator@remit/key:ops",
            "+remit/system:main#replicator@remit/key:replica",
        ])
        .await;
    running
}

pub(crate) fn anybody() -> Caller {
    Caller::without_authentication()
}

impl Stopped {
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("remit.db")
    }

    pub(crate) async fn start(&self) -> Running {
        self.start_with(ReplicaSettings::default()).await
    }

    /// Starts the server again, on its port and on what the file holds now.
    pub(crate) async fn start_with(&self, replica: ReplicaSettings) -> Running {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&self.store()).unwrap());
        let settings = Settings {
            replica,
            ..Settings::default()
        };
        let clock = Arc::new(SystemClock);
        let node = Node::start(Arc::clone(&store), Arc::clone(&clock) as _, settings);
        let node = node.await.unwrap();
        let keys = [
            "ops:key-of-ops".to_owned(),
            format!("replica:{REPLICA_KEY}"),
            format!("other:{OTHER_KEY}"),
        ];
        let keys = PresharedKeys::new(keys.iter().map(String::as_str)).unwrap();
        let settings = identity::Settings::default();
        let keys = Some(Arc::new(keys));
        let door = Authenticator::new(keys, node.recorded_keys(), settings, clock);
        let config = Config {
            grpc_addr: self.address,
            shutdown_grace: Duration::from_millis(200),
            ..Config::new(Authentication::Required(door))
        };
        let listening = server::listen(Arc::clone(&node), config).await.unwrap();
        let address = listening.address();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(listening.serve(async {
            let _asked = stopped.await;
        }));
        Running {
            node,
            store,
            address,
            folder: Arc::clone(&self.folder),
            stop,
            serving,
        }
    }
}

impl Running {
    pub(crate) fn server(&self, key: &str) -> Server {
        Server {
            endpoint: self.address.to_string(),
            key: Some(key.to_owned()),
            transport: Transport::Plaintext,
        }
    }

    /// How the tests follow: with little patience.
    pub(crate) fn follow(&self) -> Follow {
        Follow {
            pace: Pace {
                connect_max: Duration::from_secs(2),
                call_max: Duration::from_secs(5),
                start_max: Duration::from_secs(20),
                silence_max: Duration::from_secs(2),
                wait_max: Duration::from_millis(200),
                cache_every: Duration::from_millis(50),
                compare_every: None,
            },
            ..Follow::from(self.server(REPLICA_KEY))
        }
    }

    pub(crate) fn cached(&self) -> Follow {
        Follow {
            cache: Some(self.cache()),
            ..self.follow()
        }
    }

    pub(crate) fn cache(&self) -> PathBuf {
        cache_in(self.folder.path())
    }

    pub(crate) async fn replica(&self) -> Replica {
        Engine::follow(self.follow()).await.unwrap()
    }

    /// Commits lines of `+relationship` and `-relationship`, and gives the token.
    pub(crate) async fn write(&self, lines: &[&str]) -> Token {
        let updates = lines.iter().map(|line| RelationshipUpdate {
            operation: match line.split_at(1).0 {
                "+" => Operation::Touch,
                _ => Operation::Delete,
            },
            relationship: line.split_at(1).1.parse().unwrap(),
        });
        let write = Write {
            updates: updates.collect(),
            ..Write::default()
        };
        ops::write::write(&self.node, &anybody(), write)
            .await
            .unwrap()
    }

    pub(crate) async fn lock(&self, subject: &str) -> Token {
        let subject = subject.parse().unwrap();
        lock::lock(&self.node, &anybody(), &subject, "left")
            .await
            .unwrap()
    }

    /// Stops the server; streams are cut off.
    pub(crate) async fn stop(self) -> Stopped {
        let _ended = self.stop.send(());
        self.serving.await.unwrap().unwrap();
        self.node.stop();
        self.store.close().await.unwrap();
        Stopped {
            address: self.address,
            folder: self.folder,
        }
    }
}

pub(crate) fn cache_in(folder: &Path) -> PathBuf {
    folder.join("replica.cache")
}

pub(crate) fn question(resource: &str, subject: &str) -> Question {
    Question {
        resource: resource.parse().unwrap(),
        permission: "view".to_owned(),
        subject: subject.parse().unwrap(),
        context: Context::default(),
    }
}

pub(crate) async fn view(
    engine: &Engine,
    consistency: Consistency,
    resource: &str,
    subject: &str,
) -> Result<Decision, Error> {
    let answered = engine
        .check(consistency, &question(resource, subject))
        .await;
    answered.map(|answered| answered.answer)
}

/// Asks again and again until the answer is there.
pub(crate) async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            match ask().await {
                Some(answer) => return answer,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .expect("what was waited for did not come")
}
