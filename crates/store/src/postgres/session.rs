//! A connection with the statements that it has prepared.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio_postgres::{Client, Error, Row, Statement};

use super::codec::Parameter;
use super::{audit, group, write};

/// Statements that are kept beside the fixed ones: the usual patterns of deletions and preconditions.
const STATEMENTS_MAX: usize = 128;

/// A connection. Calls that are made at once are sent at once, in the order in which they are first polled.
pub(super) struct Session {
    pub(super) client: Client,
    /// What every group needs. These are prepared from the start: who sends one has it sent before what is sent next, and so a
    /// `COMMIT` can travel right behind them.
    pub(super) fixed: Fixed,
    statements: Mutex<HashMap<String, Statement>>,
}

/// The statements of every group.
pub(super) struct Fixed {
    pub(super) lock: Statement,
    pub(super) find: Statement,
    pub(super) hashes: Statement,
    pub(super) replayed: Statement,
    pub(super) insert: Statement,
    pub(super) replace: Statement,
    pub(super) delete: Statement,
    pub(super) log: Statement,
    pub(super) audit: Statement,
    pub(super) head: Statement,
}

impl Session {
    pub(super) async fn new(client: Client) -> Result<Self, Error> {
        let (lock, find, hashes, replayed, insert, replace, delete, log, audit, head) = tokio::try_join!(
            client.prepare(group::LOCK),
            client.prepare(group::FIND),
            client.prepare(group::HASHES),
            client.prepare(group::REPLAYED),
            client.prepare(write::INSERT),
            client.prepare(write::REPLACE),
            client.prepare(write::DELETE),
            client.prepare(write::LOG),
            client.prepare(audit::APPEND),
            client.prepare(write::HEAD),
        )?;
        Ok(Self {
            client,
            fixed: Fixed {
                lock,
                find,
                hashes,
                replayed,
                insert,
                replace,
                delete,
                log,
                audit,
                head,
            },
            statements: Mutex::default(),
        })
    }

    pub(super) async fn query(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Error> {
        let statement = self.prepared(sql).await?;
        self.client.query(&statement, parameters).await
    }

    pub(super) async fn query_first(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Option<Row>, Error> {
        Ok(self.query(sql, parameters).await?.into_iter().next())
    }

    pub(super) async fn execute(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<u64, Error> {
        let statement = self.prepared(sql).await?;
        self.client.execute(&statement, parameters).await
    }

    async fn prepared(&self, sql: &str) -> Result<Statement, Error> {
        let kept = |statements: &Mutex<HashMap<String, Statement>>| {
            let statements = statements.lock().unwrap_or_else(PoisonError::into_inner);
            statements.get(sql).cloned()
        };
        if let Some(statement) = kept(&self.statements) {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        let mut statements = self
            .statements
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if statements.len() >= STATEMENTS_MAX {
            statements.clear();
        }
        statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}
