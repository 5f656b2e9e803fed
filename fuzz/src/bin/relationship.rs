//! No text makes the relationship form panic, and what parses prints back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::Relationship;

fuzz_target!(|text: &str| {
    if let Ok(relationship) = text.parse::<Relationship>() {
        assert_eq!(relationship.to_string().parse::<Relationship>(), Ok(relationship));
    }
});
