//! A store as large as they get: what it takes on the disk, and what a node's first load takes of memory and time. The rows come
//! by statements of the server's own, in the order of their key, as from a dump; by commits of this store they would take hours.

use std::fs;
use std::time::Instant;

use store::{ChangeRequest, PostgresConfig};
use testkit::postgres::Server;

use crate::{SCHEMA, commit, open, say, start};

/// Rows of one statement.
const STEP: u64 = 1_000_000;

/// Fills the store of `config` with `rows` relationships, and loads them.
pub(crate) async fn measure(server: &Server, url: &str, config: &PostgresConfig, rows: u64) {
    let store = open(config);
    let revision = commit(&store, vec![ChangeRequest::Schema(SCHEMA.to_owned())], 0).await;
    store.close().await.unwrap();
    let begun = Instant::now();
    for first in (0..rows).step_by(usize::try_from(STEP).unwrap()) {
        server.query(url, &insert(revision, first, rows.min(first + STEP)));
        if (first / STEP).is_multiple_of(10) {
            let rate = (first + STEP) as f64 / begun.elapsed().as_secs_f64();
            say(&format!(
                "{first} relationships and more, {rate:.0} a second"
            ));
        }
    }
    let size = |what: &str| {
        let asked =
            format!("SELECT {what}('remit.relationship') / count(*) FROM remit.relationship");
        server.query(url, &asked)
    };
    say(&format!(
        "{rows} relationships: {} bytes each in the table, {} with its indices",
        size("pg_table_size"),
        size("pg_total_relation_size")
    ));
    let (before, begun) = (memory_mib("VmRSS:"), Instant::now());
    let node = start(open(config)).await;
    let seconds = begun.elapsed().as_secs_f64();
    let count = node.snapshot().relationship_count();
    assert_eq!(count as u64, rows, "all are loaded");
    say(&format!(
        "first load: {:.0} relationships a second, {seconds:.0} s; memory {before} MiB before, at most {} MiB during, {} MiB after",
        count as f64 / seconds,
        memory_mib("VmHWM:"),
        memory_mib("VmRSS:")
    ));
    node.stop();
}

/// Documents with UUIDs of version 7, which are made in their order, and users with e-mail addresses in base64.
fn insert(revision: u64, first: u64, end: u64) -> String {
    format!(
        "INSERT INTO remit.relationship
         SELECT {revision}, NULL, 'document',
             substr(ms, 1, 8) || '-' || substr(ms, 9, 4) || '-7' || substr(random, 1, 3) || '-8' || substr(random, 4, 3) || '-' ||
                 lpad(to_hex(number), 12, '0'),
             'viewer', 'user', 'ZW1wbG95ZWUtMDAw' || lpad((number % 50000)::text, 6, '0') || 'QGhhcmJvdXI', '', NULL, NULL
         FROM (
             SELECT number, lpad(to_hex(1790000000000 + number / 100), 12, '0') AS ms, md5(number::text) AS random
             FROM generate_series({first}::bigint, {end}::bigint - 1) AS number
             ORDER BY ms, random
         ) AS numbered"
    )
}

/// Memory of this process, by its name in `/proc/self/status`.
fn memory_mib(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib: u64 = line
        .unwrap()
        .trim()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    kib >> 10
}
