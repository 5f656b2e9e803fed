//! No text makes the forms of relationships and of questions panic, and what parses as a relationship prints back.
#![no_main]

use engine::scenario::Question;
use libfuzzer_sys::fuzz_target;
use model::Relationship;

fuzz_target!(|text: &str| {
    if let Ok(relationship) = text.parse::<Relationship>() {
        assert_eq!(relationship.to_string().parse::<Relationship>(), Ok(relationship));
    }
    if let Ok(question) = text.parse::<Question>() {
        let (resource, member, subject) = (&question.resource, &question.member, &question.subject);
        let context = question.context.to_json();
        let back = format!("{resource}#{member}@{subject} with {context}");
        assert_eq!(back.parse::<Question>(), Ok(question));
    }
});
