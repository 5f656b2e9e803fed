//! Answers of many messages. The reader's pace is theirs: no message is made before the connection can take it.

use futures_util::stream::{self, BoxStream, StreamExt as _};
use ops::lookup::{Item, Page};
use ops::read::Reading;
use remit_proto::authzed::api::v1 as wire;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::{convert, error};

/// The messages of one answer; after a failure comes none.
pub(super) type Answers<T> = BoxStream<'static, Result<T, Status>>;

/// Relationships read at once for an answer of single ones.
const ROWS_AT_ONCE: usize = 256;
/// Pages that may wait for a slow reader.
const PAGES_WAITING: usize = 16;

/// Relationships one by one, at most `limit` unless it is 0.
pub(super) fn rows(mut reading: Reading, limit: usize) -> Answers<wire::ReadRelationshipsResponse> {
    let mut left = if limit == 0 { usize::MAX } else { limit };
    let mut read = Vec::new().into_iter();
    let read_at = convert::token_to_wire(reading.at());
    let rows = std::iter::from_fn(move || {
        if read.len() == 0 {
            read = reading.next_page(ROWS_AT_ONCE.min(left)).into_iter();
            left -= read.len();
        }
        let relationship = read.next()?;
        Some(Ok(wire::ReadRelationshipsResponse {
            read_at: Some(read_at.clone()),
            after_result_cursor: Some(wire::Cursor {
                token: reading.cursor_after(&relationship),
            }),
            relationship: Some(convert::relationship_to_wire(&relationship)),
        }))
    });
    stream::iter(rows).boxed()
}

/// Relationships in pages. A page takes so long to read that a task of its own does it, and not the connection's.
pub(super) fn pages(
    reading: Reading,
    page_size: usize,
) -> Answers<wire::ExportBulkRelationshipsResponse> {
    let (sender, receiver) = mpsc::channel(PAGES_WAITING);
    tokio::spawn(send_pages(reading, page_size, sender));
    ReceiverStream::new(receiver).boxed()
}

/// Sends relationships in pages until they end or the reader is gone.
async fn send_pages(
    mut reading: Reading,
    page_size: usize,
    sender: mpsc::Sender<Result<wire::ExportBulkRelationshipsResponse, Status>>,
) {
    loop {
        let page = reading.next_page(page_size);
        let Some(last) = page.last() else {
            return;
        };
        let message = wire::ExportBulkRelationshipsResponse {
            after_result_cursor: Some(wire::Cursor {
                token: reading.cursor_after(last),
            }),
            relationships: page.iter().map(convert::relationship_to_wire).collect(),
        };
        if sender.send(Ok(message)).await.is_err() {
            return;
        }
    }
}

/// What a look-up has found, and how it ends.
pub(super) fn found<T: Send + 'static>(
    page: Page,
    to_wire: impl Fn(&Page, &Item, &wire::ZedToken) -> Option<T> + Send + 'static,
) -> Answers<T> {
    let at = convert::token_to_wire(page.at());
    let mut places = 0..;
    let mut end = Some(page.end().map_err(error::status));
    let messages = std::iter::from_fn(move || {
        while let Some(item) = places.next().and_then(|place| page.item(place)) {
            if let Some(message) = to_wire(&page, &item, &at) {
                return Some(Ok(message));
            }
        }
        end.take()?.err().map(Err)
    });
    stream::iter(messages).boxed()
}
