//! No text makes the reading of cursors panic; what is accepted is what is given out, to the letter, for its query alone.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use model::{CommitHash, HistoryId, Revision, StoreId, Timestamp, Token};
use ops::{Cursor, Reason};

/// Where the digest of the query stands in a cursor: after a version, a token and an instant.
const QUERY_AT: std::ops::Range<usize> = 53..69;

fuzz_target!(|input: (&[u8], [u64; 3], i64, &str)| {
    let (data, [store, history, revision], now, after) = input;
    if let Ok(text) = std::str::from_utf8(data) {
        accepts_only_its_own(text, [0; 16]);
    }
    let query: [u8; 16] = match data.get(QUERY_AT).map(TryInto::try_into) {
        Some(Ok(query)) => query,
        Some(Err(_)) | None => [0; 16],
    };
    accepts_only_its_own(&STANDARD.encode(data), query);

    let Ok(now) = Timestamp::from_micros(now) else {
        return;
    };
    let given = Cursor {
        token: Token {
            store: StoreId(store.to_be_bytes()),
            history: HistoryId(history.to_be_bytes()),
            revision: Revision(revision),
            hash: CommitHash([7; 32]).short(),
        },
        now,
        query,
        after: after.to_owned(),
    };
    let mut bytes = STANDARD.decode(given.encode()).expect("a cursor is base64");
    assert_eq!(Cursor::decode(&given.encode(), query).expect("it was given out"), given);
    let other = Cursor::digest("another", after);
    let refused = Cursor::decode(&given.encode(), other).expect_err("it is of another query");
    assert_eq!(refused.reason, Some(Reason::InvalidCursor));
    // One that somebody has tampered with.
    if let [from, to, ..] = *data {
        let ix = usize::from(from) % bytes.len();
        bytes[ix] = to;
        accepts_only_its_own(&STANDARD.encode(&bytes), query);
        bytes.truncate(ix);
        accepts_only_its_own(&STANDARD.encode(&bytes), query);
    }
});

fn accepts_only_its_own(text: &str, query: [u8; 16]) {
    match Cursor::decode(text, query) {
        Ok(cursor) => assert_eq!((cursor.encode().as_str(), cursor.query), (text, query)),
        Err(error) => assert_eq!(error.reason, Some(Reason::InvalidCursor)),
    }
}
