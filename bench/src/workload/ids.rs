//! Ids as companies have them.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::of_entity;

const FIRST: [&str; 32] = [
    "ada",
    "alan",
    "barbara",
    "charles",
    "christopher",
    "donald",
    "dorothy",
    "edsger",
    "emmy",
    "frances",
    "grace",
    "hedy",
    "ivan",
    "jean",
    "john",
    "katherine",
    "ken",
    "leslie",
    "lise",
    "margaret",
    "marie",
    "maurice",
    "niklaus",
    "ole",
    "peter",
    "radia",
    "robin",
    "rosalind",
    "sophie",
    "tony",
    "vint",
    "whitfield",
];

const WORDS: [&str; 32] = [
    "accounts",
    "api",
    "audit",
    "billing",
    "catalog",
    "checkout",
    "config",
    "delivery",
    "device",
    "event",
    "feed",
    "fraud",
    "gateway",
    "identity",
    "index",
    "inventory",
    "invoice",
    "ledger",
    "mail",
    "media",
    "metrics",
    "notify",
    "orders",
    "payments",
    "policy",
    "pricing",
    "queue",
    "search",
    "session",
    "storage",
    "stream",
    "user",
];

/// A random UUID.
pub(super) fn uuid(seed: u64, kind: u64, number: u64) -> String {
    let mut rng = of_entity(seed, kind, number);
    let (high, low) = (rng.next_u64(), rng.next_u64());
    let mut text = String::with_capacity(36);
    let written = write!(
        text,
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | (low >> 50),
        low & 0xffff_ffff_ffff
    );
    debug_assert!(written.is_ok());
    text
}

/// An e-mail address, in base64: an id has neither `@` nor `.`.
pub(super) fn email(number: u64) -> String {
    let first = word(&FIRST, number);
    URL_SAFE_NO_PAD.encode(format!("{first}.{number}@example.com"))
}

/// A name of words and a number.
pub(super) fn name(number: u64) -> String {
    let (one, other) = (word(&WORDS, number), word(&WORDS, number / 32 + 7));
    format!("{one}-{other}-{number}")
}

pub(super) fn word_of(number: u64) -> &'static str {
    word(&WORDS, number)
}

fn word(words: &[&'static str; 32], number: u64) -> &'static str {
    words.get((number % 32) as usize).copied().unwrap_or("")
}
