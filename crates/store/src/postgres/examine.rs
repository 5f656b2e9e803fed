//! What a server of PostgreSQL is set to, and what this role may do there: for who wants to know whether all is well. Nothing is
//! changed, and what the role may not see is left out.

use std::time::{Duration, Instant};

use tokio_postgres::{Client, Row};

use super::codec::column;
use super::config::PostgresConfig;
use super::connect::{Purpose, connect};
use super::failure::Failure;
use super::open::PostgresOpenError;
use super::rights;
use crate::error::StoreError;

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct PostgresReport {
    /// The version of the server, as `160004`.
    pub version: i32,
    /// Whether it is a standby.
    pub is_standby: bool,
    /// Whether transactions of this role can write at all.
    pub is_read_only: bool,
    /// `fsync`.
    pub fsync: bool,
    /// `full_page_writes`.
    pub full_page_writes: bool,
    /// `synchronous_commit`, as the role has it.
    pub synchronous_commit: String,
    /// `synchronous_standby_names`; empty where a commit waits for no standby.
    pub synchronous_standbys: String,
    /// Connections that the server lets ordinary roles have.
    pub connections_max: i64,
    /// Connections that there are.
    pub connections: i64,
    /// Whether the role may do everything.
    pub is_superuser: bool,
    /// Whether the role owns the tables, or could take them: it can change them then.
    pub owns_tables: bool,
    /// What the role has not of the rights that serving takes, such as `INSERT on log_entry`.
    pub rights_missing: Vec<String>,
    /// Whether this connection is encrypted.
    pub is_encrypted: bool,
    /// Whether this connection comes over a network.
    pub is_remote: bool,
    /// The standbys that are connected, as far as the role may see them.
    pub standbys: Vec<PostgresStandby>,
    /// The size of the database, in bytes.
    pub database_bytes: i64,
    /// The size of the log of commits in it, in bytes.
    pub log_bytes: i64,
    /// The size of the audit log in it, in bytes.
    pub audit_bytes: i64,
    /// How far the clock of the server is ahead of this machine's, in microseconds; as the middle of the question has it.
    pub clock_ahead_micros: i64,
    /// How long the question took: the offset is known to half of it.
    pub clock_asked_for: Duration,
}

/// A standby.
#[derive(Debug, Clone, PartialEq)]
pub struct PostgresStandby {
    /// What it is called.
    pub name: String,
    /// Whether commits wait for it.
    pub is_synchronous: bool,
    /// How far behind it is with what it can answer from, in seconds; none where that is not told.
    pub lag_seconds: Option<f64>,
}

const SERVER: &str = "SELECT current_setting('server_version_num')::int, pg_is_in_recovery(), \
     current_setting('transaction_read_only')::bool, current_setting('fsync')::bool, \
     current_setting('full_page_writes')::bool, current_setting('synchronous_commit'), \
     current_setting('synchronous_standby_names'), \
     current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint, \
     (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), \
     current_setting('is_superuser')::bool, \
     coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false), \
     inet_client_addr() IS NOT NULL AND host(inet_client_addr()) NOT IN ('127.0.0.1', '::1'), \
     pg_database_size(current_database())";

const TABLES: &str = "SELECT coalesce(bool_or(pg_has_role(c.relowner, 'USAGE')), false), \
     coalesce(sum(CASE c.relname WHEN 'log_entry' THEN pg_total_relation_size(c.oid) END), 0)::bigint, \
     coalesce(sum(CASE WHEN c.relname IN ('audit_entry', 'audit_node', 'audit_checkpoint') THEN pg_total_relation_size(c.oid) END), 0)::bigint \
     FROM pg_class c WHERE c.relnamespace = 'remit'::regnamespace AND c.relkind = 'r'";

const STANDBYS: &str = "SELECT coalesce(application_name, ''), coalesce(sync_state, '') IN ('sync', 'quorum'), \
     extract(epoch FROM replay_lag)::float8 FROM pg_stat_replication";

const CLOCK: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// Asks for all of it. `now` is this machine's clock, in microseconds.
pub(super) async fn examine(
    config: &PostgresConfig,
    now: fn() -> i64,
) -> Result<PostgresReport, PostgresOpenError> {
    let asked = async {
        let client = connect(config, Purpose::News, None).await?;
        Ok::<_, Failure>(report(&client, now).await?)
    };
    let asked = asked.await;
    asked.map_err(|failure| PostgresOpenError::failed(&config.place(), failure))
}

async fn report(client: &Client, now: fn() -> i64) -> Result<PostgresReport, StoreError> {
    let server = client.query_one(SERVER, &[]).await?;
    let tables = client.query_one(TABLES, &[]).await?;
    let missing = client.query_one(&rights::missing(), &[]).await?;
    let standbys = client.query(STANDBYS, &[]).await?;
    let (before, begun) = (now(), Instant::now());
    let clock = client.query_one(CLOCK, &[]).await?;
    let clock_asked_for = begun.elapsed();
    let half = i64::try_from(clock_asked_for.as_micros() / 2).unwrap_or(i64::MAX);
    let there: i64 = column(&clock, 0)?;
    Ok(PostgresReport {
        version: column(&server, 0)?,
        is_standby: column(&server, 1)?,
        is_read_only: column(&server, 2)?,
        fsync: column(&server, 3)?,
        full_page_writes: column(&server, 4)?,
        synchronous_commit: column(&server, 5)?,
        synchronous_standbys: column(&server, 6)?,
        connections_max: column(&server, 7)?,
        connections: column(&server, 8)?,
        is_superuser: column(&server, 9)?,
        is_encrypted: column(&server, 10)?,
        is_remote: column(&server, 11)?,
        database_bytes: column(&server, 12)?,
        owns_tables: column(&tables, 0)?,
        log_bytes: column(&tables, 1)?,
        audit_bytes: column(&tables, 2)?,
        rights_missing: column(&missing, 0)?,
        standbys: standbys.iter().map(standby).collect::<Result<_, _>>()?,
        clock_ahead_micros: there.saturating_sub(before.saturating_add(half)),
        clock_asked_for,
    })
}

fn standby(row: &Row) -> Result<PostgresStandby, StoreError> {
    Ok(PostgresStandby {
        name: column(row, 0)?,
        is_synchronous: column(row, 1)?,
        lag_seconds: column(row, 2)?,
    })
}
