//! A server in this process, on a port of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use identity::{Authenticator, Caller, PresharedKeys};
use model::{Clock, Operation, RelationshipUpdate, SystemClock, Timestamp};
use ops::write::Write;
use ops::{Node, Settings};
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::{Client, Connection, Transport};
use server::{Authentication, Config, Edge, HttpAddress, Tls, TlsHandle, TraceSettings};
use store::{SqliteStore, Store};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const KEY: &str = "test-key";

/// A clock that stands still.
pub(crate) struct At(pub(crate) Timestamp);

impl Clock for At {
    fn now(&self) -> Timestamp {
        self.0
    }
}

pub(crate) struct Running {
    pub(crate) node: Arc<Node>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) endpoint: String,
    pub(crate) http: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) tls: Option<Arc<TlsHandle>>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), server::ServeError>>,
}

pub(crate) async fn start() -> Running {
    start_on(
        Arc::new(SqliteStore::memory().unwrap()),
        Arc::new(SystemClock),
        None,
    )
    .await
}

pub(crate) async fn start_on(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    tls: Option<Tls>,
) -> Running {
    start_with(store, clock, tls, Settings::default()).await
}

pub(crate) async fn start_with(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    tls: Option<Tls>,
    settings: Settings,
) -> Running {
    let http = HttpAddress::Own("127.0.0.1:0".parse().unwrap());
    let call_max = Duration::from_secs(60);
    start_fully(store, clock, tls, settings, (http, call_max)).await
}

pub(crate) async fn start_as(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    tls: Option<Tls>,
    http_addr: HttpAddress,
    call_max: Duration,
) -> Running {
    let settings = Settings::default();
    start_fully(store, clock, tls, settings, (http_addr, call_max)).await
}

async fn start_fully(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    tls: Option<Tls>,
    settings: Settings,
    (http_addr, call_max): (HttpAddress, Duration),
) -> Running {
    let node = Node::start(Arc::clone(&store), Arc::clone(&clock), settings)
        .await
        .unwrap();
    let authenticator = authenticator(&node, identity::Settings::default(), clock);
    serve(
        node,
        store,
        (tls, None),
        authenticator,
        (http_addr, call_max),
    )
    .await
}

/// A server that judges by rules what proxies ask about.
pub(crate) async fn start_with_rules(edge: Arc<Edge>) -> Running {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::memory().unwrap());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let node = Node::start(Arc::clone(&store), Arc::clone(&clock), Settings::default());
    let node = node.await.unwrap();
    let authenticator = authenticator(&node, identity::Settings::default(), clock);
    let http = HttpAddress::Own("127.0.0.1:0".parse().unwrap());
    let minute = Duration::from_secs(60);
    serve(
        node,
        store,
        (None, Some(edge)),
        authenticator,
        (http, minute),
    )
    .await
}

/// A server that traces calls.
pub(crate) async fn start_traced(traces: TraceSettings) -> Running {
    start_set(|config| config.traces = Some(traces)).await
}

/// A server that is set to more than is usual.
pub(crate) async fn start_set(set: impl FnOnce(&mut Config)) -> Running {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::memory().unwrap());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let node = Node::start(Arc::clone(&store), Arc::clone(&clock), Settings::default());
    let node = node.await.unwrap();
    let authenticator = authenticator(&node, identity::Settings::default(), clock);
    let mut config = Config {
        http_addr: HttpAddress::Own("127.0.0.1:0".parse().unwrap()),
        metrics_addr: Some("127.0.0.1:0".parse().unwrap()),
        ..Config::new(Authentication::Required(authenticator))
    };
    set(&mut config);
    serve_as(node, store, config).await
}

/// What lets in those with a key, and whom `settings` name.
fn authenticator(
    node: &Node,
    settings: identity::Settings,
    clock: Arc<dyn Clock>,
) -> Arc<Authenticator> {
    let keys = PresharedKeys::new([KEY, "other:second-key"]).unwrap();
    Authenticator::new(Some(Arc::new(keys)), node.recorded_keys(), settings, clock)
}

/// A server that lets in those with a key, and whom `settings` name.
pub(crate) async fn start_letting_in(
    settings: identity::Settings,
    tls: Option<Tls>,
) -> (Running, Arc<Authenticator>) {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::memory().unwrap());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let node = Node::start(Arc::clone(&store), Arc::clone(&clock), Settings::default());
    let node = node.await.unwrap();
    let_do(
        &node,
        &["remit/user:alice", "remit/workload:example=2Eorg/web"],
    )
    .await;
    let authenticator = authenticator(&node, settings, clock);
    let http = HttpAddress::Own("127.0.0.1:0".parse().unwrap());
    let minute = Duration::from_secs(60);
    let letting_in = Arc::clone(&authenticator);
    let running = serve(node, store, (tls, None), letting_in, (http, minute)).await;
    (running, authenticator)
}

/// Lets callers write schemas, and watch: they have nothing but what they were given.
async fn let_do(node: &Node, callers: &[&str]) {
    let roles = ["schema_writer", "schema_reader", "watcher"];
    let updates = callers.iter().flat_map(|caller| {
        roles.map(|role| RelationshipUpdate {
            operation: Operation::Touch,
            relationship: format!("remit/system:main#{role}@{caller}")
                .parse()
                .unwrap(),
        })
    });
    let write = Write {
        updates: updates.collect(),
        ..Write::default()
    };
    let anybody = Caller::without_authentication();
    ops::write::write(node, &anybody, write).await.unwrap();
}

/// A server that guards itself by `settings`.
pub(crate) async fn start_guarded(settings: server::overload::Settings) -> Running {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::memory().unwrap());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let node = Node::start(Arc::clone(&store), Arc::clone(&clock), Settings::default());
    let node = node.await.unwrap();
    let authenticator = authenticator(&node, identity::Settings::default(), clock);
    let config = Config {
        http_addr: HttpAddress::Own("127.0.0.1:0".parse().unwrap()),
        metrics_addr: Some("127.0.0.1:0".parse().unwrap()),
        call_max: Duration::from_secs(60),
        overload: settings,
        ..Config::new(Authentication::Required(authenticator))
    };
    serve_as(node, store, config).await
}

async fn serve(
    node: Arc<Node>,
    store: Arc<dyn Store>,
    (tls, edge): (Option<Tls>, Option<Arc<Edge>>),
    authenticator: Arc<Authenticator>,
    (http_addr, call_max): (HttpAddress, Duration),
) -> Running {
    let config = Config {
        http_addr,
        metrics_addr: Some("127.0.0.1:0".parse().unwrap()),
        tls,
        call_max,
        edge,
        ..Config::new(Authentication::Required(authenticator))
    };
    serve_as(node, store, config).await
}

async fn serve_as(node: Arc<Node>, store: Arc<dyn Store>, config: Config) -> Running {
    let listening = server::listen(Arc::clone(&node), config).await.unwrap();
    let endpoint = listening.address().to_string();
    let http = listening.http_address().unwrap();
    let metrics = listening.metrics_address().unwrap();
    let tls = listening.tls();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(listening.serve(async {
        let _asked = stopped.await;
    }));
    Running {
        node,
        store,
        endpoint,
        http,
        metrics,
        tls,
        stop,
        serving,
    }
}

impl Running {
    pub(crate) async fn client(&self) -> Client {
        self.client_with(Some(KEY), Transport::Plaintext).await
    }

    pub(crate) async fn client_with(&self, key: Option<&str>, transport: Transport) -> Client {
        let connection = Connection {
            endpoint: self.endpoint.clone(),
            key: key.map(str::to_owned),
            transport,
            connect_timeout: Duration::from_secs(5),
        };
        Client::connect(&connection).await.unwrap()
    }

    /// A client, if a connection can be had.
    pub(crate) async fn try_client(
        &self,
        transport: Transport,
    ) -> Result<Client, remit_client::ConnectError> {
        let connection = Connection {
            endpoint: self.endpoint.clone(),
            key: Some(KEY.to_owned()),
            transport,
            connect_timeout: Duration::from_secs(5),
        };
        Client::connect(&connection).await
    }

    /// Stops the server and lets go of the store.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap().unwrap();
        self.node.stop();
        self.store.close().await.unwrap();
    }
}

/// Writes a schema that the server takes.
pub(crate) async fn write_schema(client: &Client, schema: &str) {
    let request = wire::WriteSchemaRequest {
        schema: schema.to_owned(),
    };
    client.schema().write_schema(request).await.unwrap();
}
