//! What is signed for the day on which nothing can be asked.

use expect_test::expect;
use governance::RecordError;
use governance::break_glass::{Claim, Eligibility, OfflineActivation, OfflineError};
use model::{HistoryId, Revision, StoreId, Token};

use crate::world::{TWO_STEPS, clock, entitlement, person};

fn claim() -> Claim {
    Claim {
        id: "drill-1".parse().unwrap(),
        holder: person("fin"),
        resource: "database:prod-1".parse().unwrap(),
        permission: "administer".parse().unwrap(),
        reason: "the region is cut off".to_owned(),
    }
}

fn eligibility() -> Eligibility {
    Eligibility {
        entitlement: "db".parse().unwrap(),
        version: entitlement(TWO_STEPS).version(),
        committed: Token {
            store: StoreId(*b"storeid1"),
            history: HistoryId(*b"history1"),
            revision: Revision(7),
            hash: [1; 8],
        },
    }
}

fn activation() -> OfflineActivation {
    OfflineActivation::new(claim(), eligibility(), clock("0:00"), clock("1:00")).unwrap()
}

#[test]
fn it_is_good_for_an_hour_at_most_and_says_why() {
    let new = |claim: Claim, from: &str, to: &str| {
        OfflineActivation::new(claim, eligibility(), clock(from), clock(to)).map(|_| ())
    };
    assert_eq!(new(claim(), "0:00", "1:00"), Ok(()));
    assert_eq!(new(claim(), "0:00", "1:01"), Err(OfflineError::TooLong));
    assert_eq!(new(claim(), "0:00", "0:00"), Err(OfflineError::Backwards));
    for reason in [" ".to_owned(), "x".repeat(2_001)] {
        assert_eq!(
            new(Claim { reason, ..claim() }, "0:00", "1:00"),
            Err(OfflineError::Reason)
        );
    }
}

#[test]
fn it_lets_its_holder_alone_do_what_it_says_in_its_time() {
    let activation = activation();
    let lets = |who: &str, permission: &str, resource: &str, at: &str| {
        activation.lets(
            &person(who),
            &permission.parse().unwrap(),
            &resource.parse().unwrap(),
            clock(at),
        )
    };
    assert!(lets("fin", "administer", "database:prod-1", "0:00"));
    assert!(lets("fin", "administer", "database:prod-1", "0:59"));
    assert!(!lets("fin", "administer", "database:prod-1", "1:00"));
    assert!(!lets("ann", "administer", "database:prod-1", "0:30"));
    assert!(!lets("fin", "own", "database:prod-1", "0:30"));
    assert!(!lets("fin", "administer", "database:prod-2", "0:30"));
}

#[test]
fn what_is_signed_has_every_part_with_its_length() {
    let signed = activation().to_signed_bytes();
    let text: String = signed
        .iter()
        .flat_map(|byte| byte.escape_ascii().map(char::from))
        .collect();
    expect![[r#"remit offline activation 1\x00\x00\x00\x00\x00\x00\x00\x00\x07drill-1\x00\x00\x00\x00\x00\x00\x00\x08user:fin\x00\x00\x00\x00\x00\x00\x00\x0fdatabase:prod-1\x00\x00\x00\x00\x00\x00\x00\nadminister\x00\x00\x00\x00\x00\x00\x00\x02db\x00\x00\x00\x00\x00\x00\x00@94ebbbe66307e4d04fae6ab040ece88448cdcbafc8688ce5bc304464764cb6ed\x00\x00\x00\x00\x00\x00\x00,AXN0b3JlaWQxaGlzdG9yeTEAAAAAAAAABwEBAQEBAQEB\x00\x00\x00\x00\x00\x00\x00\x101798761600000000\x00\x00\x00\x00\x00\x00\x00\x101798765200000000\x00\x00\x00\x00\x00\x00\x00\x15the region is cut off"#]].assert_eq(&text);
    let other = [
        Claim {
            id: "drill-2".parse().unwrap(),
            ..claim()
        },
        Claim {
            holder: person("ann"),
            ..claim()
        },
        Claim {
            resource: "database:prod-2".parse().unwrap(),
            ..claim()
        },
        Claim {
            permission: "own".parse().unwrap(),
            ..claim()
        },
        Claim {
            reason: "another".to_owned(),
            ..claim()
        },
    ];
    let mut all = vec![signed];
    for claim in other {
        let activation = OfflineActivation::new(claim, eligibility(), clock("0:00"), clock("1:00"));
        all.push(activation.unwrap().to_signed_bytes());
    }
    let at = |from, to| {
        OfflineActivation::new(claim(), eligibility(), clock(from), clock(to))
            .unwrap()
            .to_signed_bytes()
    };
    all.extend([at("0:01", "1:00"), at("0:00", "0:59")]);
    let later = Eligibility {
        committed: Token {
            revision: Revision(8),
            ..eligibility().committed
        },
        ..eligibility()
    };
    let later = OfflineActivation::new(claim(), later, clock("0:00"), clock("1:00"));
    all.push(later.unwrap().to_signed_bytes());
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn its_record_is_read_back_and_held_to_its_rules() {
    let activation = activation();
    let json = activation.to_json();
    assert_eq!(OfflineActivation::from_json(&json).unwrap(), activation);
    let longer = json.replace("2027-01-01T01:00:00Z", "2027-01-01T01:00:01Z");
    assert_ne!(longer, json);
    assert!(matches!(
        OfflineActivation::from_json(&longer),
        Err(RecordError::Broken(_))
    ));
}
