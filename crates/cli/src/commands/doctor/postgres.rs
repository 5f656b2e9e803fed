//! A database of PostgreSQL: its form, what its server is set to, what the role may do.

use model::{Clock as _, SystemClock};
use store::{PostgresConfig, PostgresReport, PostgresStore, Store as _};

use super::Finding;
use super::store::State;

/// What three nodes and one more during an upgrade take.
const CONNECTIONS_NEEDED: i64 = 24;
/// A standby that is further behind loses that much when it takes over.
const LAG_SECONDS_MAX: f64 = 10.0;

fn now_micros() -> i64 {
    SystemClock.now().as_micros()
}

pub(super) fn look(config: &PostgresConfig, state: &mut State) {
    let format = match PostgresStore::format(config) {
        Ok(format) => format,
        Err(error) => {
            let advice =
                "is it there, and reached from here? Does the role exist, with that password?";
            let finding = Finding::failed("store", &error.into(), advice);
            return state.findings.push(finding);
        }
    };
    if !format.can_be_served() {
        let found = format!(
            "{} has format {}, this version knows {}",
            config.place(),
            format.found,
            format.known
        );
        let advice =
            "as the owner: `remit store migrate`; for a later format run the later version";
        return state.findings.push(Finding::fail("store", found, advice));
    }
    if format.pending() > 0 {
        let found = format!(
            "{} migrations of this version are pending",
            format.pending()
        );
        let advice = "as the owner: `remit store migrate`, while nodes serve";
        state
            .findings
            .push(Finding::warn("store, format", found, advice));
    }
    let found = state_of(config);
    if let Ok((head, count)) = &found {
        state.head = Some(*head);
        state.relationships = *count;
    }
    state.findings.push(opened(config, found, format.found));
    match PostgresStore::examine(config, now_micros) {
        Ok(report) => {
            state.clock = Some((report.clock_ahead_micros, report.clock_asked_for / 2));
            state.findings.extend(settings(&report));
            state.findings.extend(role(&report));
            state.findings.extend(standbys(&report));
        }
        Err(error) => {
            let advice = "the role has to be able to read `pg_stat_activity`, as every role is";
            let finding = Finding::failed("database, settings", &error.into(), advice);
            state.findings.push(finding);
        }
    }
}

/// Opens it as a node does, which verifies the end of the log.
fn state_of(config: &PostgresConfig) -> anyhow::Result<(model::Revision, Option<u64>)> {
    let store = PostgresStore::open(config)?;
    let runtime = tokio::runtime::Handle::current();
    let head = runtime.block_on(store.head())?;
    let count = runtime.block_on(store.relationship_count())?;
    runtime.block_on(store.close())?;
    Ok((head.revision, count))
}

fn opened(
    config: &PostgresConfig,
    state: anyhow::Result<(model::Revision, Option<u64>)>,
    format: i32,
) -> Finding {
    match state {
        Ok((head, count)) => {
            let count = count.map_or_else(
                || "an unknown number of".to_owned(),
                |it| format!("about {it}"),
            );
            let place = config.place();
            let found = format!(
                "{place} is whole at revision {head}, format {format}, {count} relationships"
            );
            Finding::ok("store", found)
        }
        Err(error) => {
            let advice = "damaged: restore the database; else as it says";
            Finding::failed("store", &error, advice)
        }
    }
}

fn settings(report: &PostgresReport) -> Vec<Finding> {
    let mut findings = Vec::new();
    if report.fsync && report.full_page_writes {
        let found = format!(
            "PostgreSQL {}, fsync and full_page_writes are on",
            report.version / 10_000
        );
        findings.push(Finding::ok("database, durable", found));
    } else {
        let found = "fsync or full_page_writes is off";
        let advice = "acknowledged commits are lost with the machine: turn both on";
        findings.push(Finding::fail("database, durable", found, advice));
    }
    if matches!(report.synchronous_commit.as_str(), "off" | "local") {
        let found = format!("synchronous_commit is {}", report.synchronous_commit);
        let advice = "a node turns it on for its own commits; turn it on for the role all the same";
        findings.push(Finding::warn("database, acknowledged", found, advice));
    }
    if report.is_standby || report.is_read_only {
        let advice = "name the primary in the URL, or all hosts: the one that takes writes is used";
        let found = "a standby, or read-only: it takes no commits";
        findings.push(Finding::fail("database, writable", found, advice));
    }
    let free = report.connections_max.saturating_sub(report.connections);
    let found = format!(
        "{} of {} connections are used",
        report.connections, report.connections_max
    );
    findings.push(if report.connections_max < CONNECTIONS_NEEDED {
        let advice = "raise max_connections: three nodes and one more during an upgrade take 24";
        Finding::warn("database, connections", found, advice)
    } else if free < 6 {
        let advice = "a node takes 6: raise max_connections, or see who has them";
        Finding::fail("database, connections", found, advice)
    } else {
        Finding::ok("database, connections", found)
    });
    findings.push(if report.is_remote && !report.is_encrypted {
        let found = "the connection comes over a network and is not encrypted";
        let advice = "leave `sslmode=disable` away, unless something else encrypts";
        Finding::warn("database, encryption", found, advice)
    } else if report.is_encrypted {
        Finding::ok("database, encryption", "the connection is encrypted")
    } else {
        Finding::ok(
            "database, encryption",
            "the connection stays on this machine",
        )
    });
    let found = format!(
        "{} MiB, of which the log of commits takes {} MiB and the audit log {} MiB",
        report.database_bytes >> 20,
        report.log_bytes >> 20,
        report.audit_bytes >> 20
    );
    findings.push(Finding::ok("database, size", found));
    findings
}

fn role(report: &PostgresReport) -> Vec<Finding> {
    let mut findings = Vec::new();
    if report.is_superuser {
        let advice = "serve as a role of its own: `remit store migrate --serving-role ROLE`";
        let found = "the role is a superuser";
        findings.push(Finding::warn("database, role", found, advice));
    } else if report.owns_tables {
        let found = "the role owns the tables, and could change them";
        let advice = "serve as another role: `remit store migrate --serving-role ROLE`";
        findings.push(Finding::warn("database, role", found, advice));
    } else if report.rights_missing.is_empty() {
        let found = "the role reads and commits, and can change no table";
        findings.push(Finding::ok("database, role", found));
    }
    if !report.rights_missing.is_empty() {
        let missing = report.rights_missing.join(", ");
        let found =
            format!("the role lacks rights without which commits or housekeeping fail: {missing}");
        let advice = "as the owner: `remit store migrate --serving-role ROLE`";
        findings.push(Finding::fail("database, rights", found, advice));
    }
    findings
}

fn standbys(report: &PostgresReport) -> Vec<Finding> {
    const CHECK: &str = "database, standbys";
    if report.standbys.is_empty() {
        let found = "none is connected, or the role may not see them";
        let finding = if report.synchronous_standbys.is_empty() {
            Finding::skipped(CHECK, found)
        } else {
            let advice = "commits wait for the standbys of synchronous_standby_names: see that they are there";
            Finding::warn(CHECK, found, advice)
        };
        return vec![finding];
    }
    let of_standby = |standby: &store::PostgresStandby| {
        let kind = if standby.is_synchronous {
            "synchronous"
        } else {
            "not waited for"
        };
        let lag = standby.lag_seconds.unwrap_or_default();
        let found = format!("`{}`, {kind}, is {lag:.1} s behind", standby.name);
        if lag > LAG_SECONDS_MAX {
            let advice =
                "a failover to it would lose what it has not: look at it and the way to it";
            Finding::warn(CHECK, found, advice)
        } else {
            Finding::ok(CHECK, found)
        }
    };
    report.standbys.iter().map(of_standby).collect()
}
