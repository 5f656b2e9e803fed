//! No text makes the schema language panic, and what compiles means the same after each printer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use schema::{Schema, diff, format};

fuzz_target!(|text: &str| {
    let compiled = Schema::compile(text);
    if let Err(error) = &compiled {
        assert!(!error.render("fuzzed", text).is_empty());
    }
    let Ok(formatted) = format(text) else {
        return;
    };
    assert_eq!(format(&formatted).as_ref(), Ok(&formatted));
    if let Ok(schema) = compiled {
        assert!(diff(&schema, &Schema::compile(&formatted).expect("formatted text compiles")).is_empty());
        assert!(diff(&schema, &Schema::compile(&schema.to_text()).expect("printed text compiles")).is_empty());
    }
});
