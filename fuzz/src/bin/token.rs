//! No text makes the reading of tokens panic; what is accepted is what is given out, to the letter.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use model::Token;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        accepts_only_its_own(text);
    }
    accepts_only_its_own(&STANDARD.encode(data));
    // With the version that the first byte has to be.
    accepts_only_its_own(&STANDARD.encode([&[1], data].concat()));
});

fn accepts_only_its_own(text: &str) {
    if let Ok(token) = text.parse::<Token>() {
        assert_eq!(token.to_string(), text);
        assert_eq!(token.to_string().parse::<Token>(), Ok(token));
    }
}
