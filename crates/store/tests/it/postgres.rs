//! The contract on PostgreSQL, and what is its own: nodes that share it, connections that fail, its forms.

use std::sync::{Arc, Mutex};

use store::contract::{Harness, run};
use store::{PostgresConfig, PostgresStore, Store, StoreIdentity};
use testkit::postgres::Server;

#[test]
fn a_store_in_postgresql_keeps_the_contract() {
    let server = Server::start(&["fsync=off"]);
    run(&Databases {
        server: &server,
        made: Mutex::default(),
    });
}

fn config(url: &str) -> PostgresConfig {
    url.parse().unwrap()
}

struct Databases<'a> {
    server: &'a Server,
    made: Mutex<Vec<(StoreIdentity, String)>>,
}

impl Harness for Databases<'_> {
    fn make(&self) -> Arc<dyn Store> {
        let url = self.server.database();
        PostgresStore::migrate(&config(&url), None).unwrap();
        let store = PostgresStore::open(&config(&url)).unwrap();
        self.made.lock().unwrap().push((store.identity(), url));
        Arc::new(store)
    }

    fn reopen(&self, store: Arc<dyn Store>) -> Option<Arc<dyn Store>> {
        let identity = store.identity();
        drop(store);
        let made = self.made.lock().unwrap();
        let (_, url) = made.iter().find(|(made, _)| *made == identity).unwrap();
        Some(Arc::new(PostgresStore::open(&config(url)).unwrap()))
    }

    fn copy(&self, _: &dyn Store) -> Option<Arc<dyn Store>> {
        None
    }
}
