//! What an entry keeps, and what is left of it once parts were removed.

use super::body::Salts;
use super::*;

fn parts() -> Vec<Part> {
    let text = |text: &str| Some(text.to_owned());
    vec![
        Part::Actor("remit/user:ann".to_owned()),
        Part::Reason(text("TICKET-1")),
        Part::Metadata(None),
        Part::Origin(text("127.0.0.1:9")),
        Part::Schema {
            before: None,
            after: "definition user {}".to_owned(),
        },
        Part::Record {
            kind: "lock".to_owned(),
            key: "user:bob".to_owned(),
            before: Some(RecordValue::Bytes(32)),
            after: Some(RecordValue::Text("lost".to_owned())),
        },
        Part::Relationship {
            before: None,
            after: text("document:one#viewer@user:bob"),
        },
        Part::Erased(vec![ErasedParts {
            index: 300,
            parts: vec![0, 4, 70_000],
        }]),
    ]
}

fn header() -> Header {
    Header {
        index: 7,
        revision: Revision(9),
        time: Timestamp::from_seconds(1_700_000_000, 0).unwrap(),
        store: StoreId([1; 8]),
        history: HistoryId([2; 8]),
        kind: Kind::Erasure,
        part_count: 8,
    }
}

fn whole() -> Body {
    Body::Whole {
        seed: [9; 32],
        parts: parts(),
    }
}

/// Whoever verifies an old export has to come to the same hashes.
#[test]
fn the_leaf_is_fixed_for_good() {
    let entry = Entry::new(header(), &whole());
    assert_eq!(entry.header.len(), HEADER_BYTES);
    assert_eq!(
        entry.leaf.to_string(),
        "b78aeb32248a51a349c45cb3d87d64e1957ee5cd6f45b6ee4f517120487227ab"
    );
}

#[test]
fn an_entry_round_trips() {
    assert_eq!(Header::decode(&header().encode()), Ok(header()));
    for kind in Kind::ALL {
        let header = Header { kind, ..header() };
        assert_eq!(Header::decode(&header.encode()), Ok(header));
        assert_eq!(Kind::of_name(kind.name()), Some(kind));
    }
    let pieces = whole().without(&[0, 6]).unwrap();
    for body in [whole(), pieces] {
        assert_eq!(Body::decode(&body.encode()), Ok(body.clone()));
        assert_eq!(body.count(), 8);
    }
}

#[test]
fn what_is_removed_leaves_the_leaf_and_nothing_to_guess_it_by() {
    let entry = Entry::new(header(), &whole());
    let rest = whole().without(&[0, 6]).unwrap();
    assert_eq!(leaf(&entry.header, &rest), entry.leaf);
    assert_eq!(rest.erased().collect::<Vec<_>>(), [0, 6]);
    let kept: Vec<u32> = rest.parts().map(|(number, _)| number).collect();
    assert_eq!(kept, [1, 2, 3, 4, 5, 7]);
    let bytes = rest.encode();
    let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    assert!(!holds(b"remit/user:ann") && !holds(b"document:one"));
    // Neither the seed nor the salt that it would give.
    assert!(!holds(&[9; 32]) && !holds(&Salts::of(&[9; 32]).salt(0)));
    assert!(holds(&Salts::of(&[9; 32]).salt(1)));
    // Once more, and more of it.
    let less = rest.clone().without(&[0, 1]).unwrap();
    assert_eq!(leaf(&entry.header, &less), entry.leaf);
    assert_eq!(less.erased().collect::<Vec<_>>(), [0, 1, 6]);
    assert_eq!(rest.without(&[8]), Err(EntryError::NoSuchPart(8)));
}

#[test]
fn every_byte_of_an_entry_is_in_its_leaf() {
    let entry = Entry::new(header(), &whole());
    for body in [whole(), whole().without(&[2, 6]).unwrap()] {
        let bytes = body.encode();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut other = bytes.clone();
                other[at] ^= 1 << bit;
                // Lengths that are not in their shortest form say the same in other bytes.
                if let Ok(read) = Body::decode(&other)
                    && read.encode() == other
                {
                    assert_ne!(leaf(&entry.header, &read), entry.leaf, "{at} {bit}");
                }
            }
        }
    }
    for at in 0..entry.header.len() {
        let mut other = entry.header.clone();
        other[at] ^= 1;
        assert_ne!(leaf(&other, &whole()), entry.leaf);
    }
}

#[test]
fn a_value_that_is_no_text_is_not_shown() {
    assert_eq!(
        RecordValue::of(b"lost"),
        RecordValue::Text("lost".to_owned())
    );
    assert_eq!(RecordValue::of(b""), RecordValue::Text(String::new()));
    for hidden in [&b"\xff\xfe"[..], b"a\x01b"] {
        assert_eq!(
            RecordValue::of(hidden),
            RecordValue::Bytes(hidden.len() as u64)
        );
    }
}
