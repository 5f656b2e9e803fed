//! PostgreSQL, beside what pgbench gets from the same server with one durable insert a transaction.

use std::sync::Arc;

use store::{PostgresConfig, PostgresStore, Store};
use testkit::postgres::Server;

use crate::load::{ROWS, import, read, say, single_commits};

const SECONDS: u32 = 2;
const ROUNDS: usize = 5;

pub(crate) fn run() {
    let server = Server::start(&[]);
    let (url, store) = open(&server);
    import(&*store);
    let sizes = "SELECT pg_total_relation_size('remit.relationship'), pg_total_relation_size('remit.log_entry')";
    let sizes = server.query(&url, sizes);
    let bytes: Vec<u64> = sizes
        .split('|')
        .map(|bytes| bytes.trim().parse::<u64>().unwrap() / ROWS)
        .collect();
    say(&format!(
        "bytes a relationship, in the table with its indices and in the log: {bytes:?}"
    ));
    read(&*store);
    for writers in [1, 16, 64] {
        let (url, store) = open(&server);
        server.query(&url, "CREATE TABLE bench (one bigint, two text)");
        let insert =
            "INSERT INTO bench VALUES (1, 'document/doc-0000001#viewer@user/employee-00001');";
        // A shared disk changes by the second: in turn, and each round against its own neighbour.
        let mut rounds: Vec<(f64, f64)> = (0..ROUNDS)
            .map(|_| {
                let floor = server.insert_rate(&url, insert, writers, SECONDS);
                (single_commits(&store, writers) / floor, floor)
            })
            .collect();
        rounds.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (ratio, floor) = rounds.get(ROUNDS / 2).unwrap();
        say(&format!(
            "pgbench with {writers} clients: {floor:.0} inserts a second; {ratio:.2} times as many commits (median of {ROUNDS})"
        ));
    }
}

fn open(server: &Server) -> (String, Arc<dyn Store>) {
    let url = server.database();
    let config: PostgresConfig = url.parse().unwrap();
    PostgresStore::migrate(&config, None).unwrap();
    (url, Arc::new(PostgresStore::open(&config).unwrap()))
}
