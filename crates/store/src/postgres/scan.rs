//! All rows at one revision, as a binary copy, for a node's first load.

use std::pin::pin;

use deadpool_postgres::Transaction;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_postgres::binary_copy::{BinaryCopyOutRow, BinaryCopyOutStream};
use tokio_postgres::types::{FromSql, Type};

use super::codec::{revision, timestamp};
use super::failure::{Failure, damaged};
use super::read;
use super::shared::{Shared, begin};
use crate::error::StoreError;
use crate::sql::RELATIONSHIP_COLUMNS;
use crate::store::{ScanHeader, ScanRow};

/// Rows that are handed on together.
const PART_ROWS: usize = 512;
/// Parts that wait to be taken in.
pub(super) const PARTS_MAX: usize = 8;

/// What a scan gives, in this order.
pub(super) enum Part {
    Header(Box<ScanHeader>),
    Rows(Vec<BinaryCopyOutRow>),
    /// The last one.
    End(Result<(), StoreError>),
}

/// Sends all rows to `parts`, until nobody takes them.
pub(super) async fn scan(shared: &Shared, parts: mpsc::Sender<Part>) {
    let end = read_all(shared, &parts).await;
    // Nobody waits any more: there is nothing to tell.
    let _ = parts
        .send(Part::End(end.map_err(|failure| failure.error)))
        .await;
}

async fn read_all(shared: &Shared, parts: &mpsc::Sender<Part>) -> Result<(), Failure> {
    let mut client = shared.connection().await?;
    let transaction = begin(&mut client).await?;
    // However long it takes: the one who reads may be slow.
    let unlimited =
        "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";
    transaction.batch_execute(unlimited).await?;
    let header = header(&transaction).await?;
    if parts.send(Part::Header(Box::new(header))).await.is_err() {
        return Ok(());
    }
    let copy = transaction.copy_out(&copy_all()).await?;
    let rows = BinaryCopyOutStream::new(copy, &types());
    let mut chunks = pin!(rows.ready_chunks(PART_ROWS));
    while let Some(chunk) = chunks.next().await {
        let rows = chunk.into_iter().collect::<Result<Vec<_>, _>>()?;
        if parts.send(Part::Rows(rows)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

async fn header(transaction: &Transaction<'_>) -> Result<ScanHeader, StoreError> {
    Ok(ScanHeader {
        head: read::head(transaction).await?,
        schema: read::schema_until(transaction, i64::MAX).await?,
        records: read::records(transaction).await?,
    })
}

/// All rows, in the order in which the table has them.
pub(super) fn copy_all() -> String {
    format!("COPY (SELECT {RELATIONSHIP_COLUMNS} FROM relationship) TO STDOUT (FORMAT binary)")
}

/// The types of [`RELATIONSHIP_COLUMNS`].
pub(super) fn types() -> [Type; 10] {
    let text = || Type::TEXT;
    let number = || Type::INT8;
    [
        text(),
        text(),
        text(),
        text(),
        text(),
        text(),
        text(),
        text(),
        number(),
        number(),
    ]
}

/// A row of the copy, borrowed.
pub(super) fn scan_row(row: &BinaryCopyOutRow) -> Result<ScanRow<'_>, StoreError> {
    fn value<'a, T: FromSql<'a>>(row: &'a BinaryCopyOutRow, at: usize) -> Result<T, StoreError> {
        row.try_get(at).map_err(|error| damaged(&error))
    }
    Ok(ScanRow {
        resource_definition: value(row, 0)?,
        resource_id: value(row, 1)?,
        relation: value(row, 2)?,
        subject_definition: value(row, 3)?,
        subject_id: value(row, 4)?,
        subject_relation: value(row, 5)?,
        caveat: value::<Option<&str>>(row, 6)?.zip(value(row, 7)?),
        expires_at: value::<Option<i64>>(row, 8)?.map(timestamp).transpose()?,
        revision: revision(value(row, 9)?)?,
    })
}
