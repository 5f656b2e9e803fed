//! Tokens, and the histories that they belong to.

use model::{HistoryId, StoreId, Token};

use super::*;
use crate::error::{LogError, TokenRefused};
use crate::store::TokenVerdict;

pub(super) fn a_token_is_good_for_its_commit_alone(harness: &dyn Harness) {
    let store = &*harness.make();
    let verify = |token| block_on(store.verify(token));
    let empty = block_on(store.token(Revision(0))).unwrap();
    assert_eq!(verify(empty).unwrap(), TokenVerdict::Known(Revision(0)));
    commit(store, vec![create("document:one#viewer@user:ann")]);
    let committed = commit(store, vec![create("document:two#viewer@user:ann")]);
    let token = store.identity().token(committed.revision, &committed.hash);
    assert_eq!(block_on(store.token(committed.revision)).unwrap(), token);
    assert_eq!(verify(token).unwrap(), TokenVerdict::Known(Revision(2)));
    assert_eq!(verify(empty).unwrap(), TokenVerdict::Known(Revision(0)));

    assert!(matches!(
        block_on(store.token(Revision(3))),
        Err(LogError::BeyondHead { head: Revision(2) })
    ));
    let beyond = Token {
        revision: Revision(3),
        ..token
    };
    assert!(matches!(
        verify(beyond),
        Err(TokenRefused::BeyondHead { head: Revision(2) })
    ));
    let farthest = Token {
        revision: Revision(u64::MAX),
        ..token
    };
    assert!(matches!(
        verify(farthest),
        Err(TokenRefused::BeyondHead { .. })
    ));
    let moved = Token {
        revision: Revision(1),
        ..token
    };
    assert!(matches!(
        verify(moved),
        Err(TokenRefused::HashMismatch {
            revision: Revision(1)
        })
    ));
    let forged = Token {
        hash: [0; 8],
        ..token
    };
    assert!(matches!(
        verify(forged),
        Err(TokenRefused::HashMismatch {
            revision: Revision(2)
        })
    ));
    let foreign = Token {
        store: StoreId([0; 8]),
        ..token
    };
    assert!(matches!(verify(foreign), Err(TokenRefused::OtherStore)));
    let restored = Token {
        history: HistoryId([0; 8]),
        ..token
    };
    assert!(matches!(verify(restored), Err(TokenRefused::OtherHistory)));
}

pub(super) fn a_backup_is_equal_and_has_another_history(harness: &dyn Harness) {
    let store = &*harness.make();
    commit(
        store,
        vec![ChangeRequest::Schema("definition user {}".to_owned())],
    );
    commit(
        store,
        (0..500)
            .map(|step| create(&format!("document:d{step}#viewer@user:ann")))
            .collect(),
    );
    let Some(copy) = harness.copy(store) else {
        return;
    };
    let copy = &*copy;
    assert_eq!(rows(copy), rows(store));
    assert_eq!(
        (head(copy), log_after(copy, 0)),
        (head(store), log_after(store, 0))
    );
    assert_eq!(copy.identity().store, store.identity().store);
    assert_ne!(copy.identity().history, store.identity().history);
    let token = block_on(store.token(Revision(2))).unwrap();
    assert!(matches!(
        block_on(copy.verify(token)),
        Err(TokenRefused::OtherHistory)
    ));
    commit(copy, vec![create("document:new#viewer@user:ann")]);
    assert_eq!(
        head(store).revision,
        Revision(2),
        "the original does not change with the copy"
    );
}
