//! Ids of decisions: UUIDs of version 7, random enough to be sampled by.

use std::cell::Cell;

use model::Timestamp;

thread_local! {
    /// The state of this thread's generator; zero before it has one.
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// The next number of this thread, which no caller can foresee the start of.
fn next() -> u64 {
    STATE.with(|state| {
        let mut seed = state.get();
        while seed == 0 {
            // Without entropy ids still differ between threads: the address of the state does.
            seed = getrandom::u64().unwrap_or(std::ptr::from_ref(state).addr() as u64);
        }
        let seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(seed);
        mixed(seed)
    })
}

/// A number of which every bit depends on all of `number`.
///
/// # Source
/// The finalizer of SplitMix64.
pub(crate) fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The id of a decision that is made now.
pub(crate) fn made(at: Timestamp) -> [u8; 16] {
    let millis = u64::try_from(at.as_micros().div_euclid(1_000)).unwrap_or(0);
    let (high, low) = (next(), next());
    let head = (millis << 16) | 0x7000 | (high & 0x0fff);
    let tail = (0b10 << 62) | (low >> 2);
    ((u128::from(head) << 64) | u128::from(tail)).to_be_bytes()
}

/// A random name for this process: what events of one node have in common.
#[must_use]
pub fn process_id() -> String {
    format!("{:016x}{:016x}", next(), next())
}

/// The text of an id.
pub(crate) fn text(id: [u8; 16]) -> String {
    let digits = format!("{:032x}", u128::from_be_bytes(id));
    let mut text = String::with_capacity(36);
    for (place, digit) in digits.chars().enumerate() {
        if matches!(place, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_version_7_in_order_of_time_and_all_different() {
        let at = Timestamp::from_micros(1_700_000_000_123_456).unwrap();
        let one = text(made(at));
        assert_eq!(&one[..8], "018bcfe5", "{one}");
        assert_eq!((one.len(), &one[14..15]), (36, "7"), "{one}");
        assert!(matches!(&one[19..20], "8" | "9" | "a" | "b"), "{one}");
        let later = text(made(at.saturating_add_micros(1_000)));
        assert!(one < later);
        let many: std::collections::HashSet<_> = (0..10_000).map(|_| made(at)).collect();
        assert_eq!(many.len(), 10_000);
    }
}
