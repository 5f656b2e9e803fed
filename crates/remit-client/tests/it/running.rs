//! A server with a runtime of its own, so that it can be killed with all of its connections, and its store, which stays.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use identity::{Authenticator, PresharedKeys};
use model::{Clock, Revision, SystemClock};
use ops::{Node, Settings};
use remit_client::{Builder, Client, Credentials, Relationship, Write};
use server::{Authentication, Config, Tls};
use store::{LogEntry, LogQuery, SqliteStore, Store};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

pub(crate) const KEY: &str = "test-key";
pub(crate) const SCHEMA: &str = "caveat from_home(ip string) {\n ip == \"10.0.0.1\"\n}\ndefinition user {}\n\
    definition group {\n relation member: user\n}\ndefinition document {\n relation viewer: user | user:* | group#member | \
    user with from_home\n relation banned: user\n permission view = viewer - banned\n}\n";

/// A store, the server over it, and where that is.
pub(crate) struct Site {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) address: SocketAddr,
    tls: Option<Tls>,
    up: Option<Runtime>,
}

impl Site {
    /// A server with an empty store.
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    pub(crate) async fn start_with(tls: Option<Tls>) -> Self {
        Self::start_on(Arc::new(SqliteStore::memory().unwrap()), tls).await
    }

    pub(crate) async fn start_on(store: Arc<dyn Store>, tls: Option<Tls>) -> Self {
        let mut site = Self {
            store,
            address: "127.0.0.1:0".parse().unwrap(),
            tls,
            up: None,
        };
        site.restart().await;
        site
    }

    /// A server with the schema, and a client of it.
    pub(crate) async fn with_schema() -> (Self, Client) {
        let site = Self::start().await;
        let client = site.client();
        site.write_schema(&client).await;
        (site, client)
    }

    pub(crate) async fn write_schema(&self, client: &Client) {
        let request = remit_client::proto::authzed::api::v1::WriteSchemaRequest {
            schema: SCHEMA.to_owned(),
        };
        client.schema().write_schema(request).await.unwrap();
    }

    pub(crate) fn endpoint(&self) -> String {
        self.address.to_string()
    }

    /// How a client of this server is described.
    pub(crate) fn builder(&self) -> Builder {
        builder(&[self.endpoint()])
    }

    pub(crate) fn client(&self) -> Client {
        self.builder().build().unwrap()
    }

    /// Ends the server where it stands, with its connections; the store stays.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.up.take() {
            runtime.shutdown_background();
        }
    }

    /// Starts the server again, at the same address.
    pub(crate) async fn restart(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (tell, told) = oneshot::channel();
        runtime.spawn(serve(
            Arc::clone(&self.store),
            self.address,
            self.tls.clone(),
            tell,
        ));
        self.address = told.await.unwrap();
        self.up = Some(runtime);
    }

    /// All of the log after a revision.
    pub(crate) async fn log_after(&self, after: Revision) -> Vec<LogEntry> {
        let query = LogQuery {
            after,
            entries_max: 1_000_000,
            bytes_max: usize::MAX,
        };
        self.store.log(query).await.unwrap()
    }

    pub(crate) async fn head(&self) -> Revision {
        self.store.head().await.unwrap().revision
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn serve(
    store: Arc<dyn Store>,
    address: SocketAddr,
    tls: Option<Tls>,
    tell: oneshot::Sender<SocketAddr>,
) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let node = Node::start(store, Arc::clone(&clock), Settings::default());
    let node = node.await.unwrap();
    let keys = Arc::new(PresharedKeys::new([KEY, "other:second-key"]).unwrap());
    let settings = identity::Settings::default();
    let authenticator = Authenticator::new(Some(keys), node.recorded_keys(), settings, clock);
    let listening = loop {
        let config = Config {
            grpc_addr: address,
            tls: tls.clone(),
            ..Config::new(Authentication::Required(Arc::clone(&authenticator)))
        };
        match server::listen(Arc::clone(&node), config).await {
            Ok(listening) => break listening,
            // The listener of the one before may not be gone yet.
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    tell.send(listening.address()).unwrap();
    listening.serve(std::future::pending()).await.unwrap();
}

/// How a client of these endpoints is described.
pub(crate) fn builder(endpoints: &[String]) -> Builder {
    Client::builder(endpoints.iter()).credentials(Credentials::key(KEY).unwrap())
}

/// A write that touches these.
pub(crate) fn touch<S: AsRef<str>>(rows: impl IntoIterator<Item = S>) -> Write {
    let rows = rows.into_iter();
    rows.fold(Write::new(), |write, row| {
        write.touch(Relationship::new(row.as_ref()).unwrap())
    })
}

/// Numbers that are the same for the same seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}
