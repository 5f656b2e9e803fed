//! No text makes the schema language panic, and what compiles means the same after each printer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use schema::{Schema, diagnose, format};

fuzz_target!(|text: &str| {
    let compiled = Schema::compile(text);
    let faults = diagnose(text);
    assert_eq!(compiled.as_ref().err(), faults.first());
    for fault in faults {
        assert!(!fault.render("fuzzed", text).is_empty());
    }
    let Ok(formatted) = format(text) else {
        return;
    };
    assert_eq!(format(&formatted).as_ref(), Ok(&formatted));
    if let Ok(schema) = compiled {
        let back = schema.to_text();
        assert_eq!(Schema::compile(&formatted).expect("formatted text compiles").to_text(), back);
        assert_eq!(Schema::compile(&back).expect("printed text compiles").to_text(), back);
    }
});
