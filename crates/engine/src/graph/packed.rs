//! Arrays of small numbers, each as many bytes wide as the largest needs, searched where they lie.
//!
//! A width of 0 is the array 0, 1, 2, ..: the consecutive keys of a leaf that has no gap then take no room at all.

/// The first step away from a guess, in elements.
const STEP_MIN: usize = 4;

/// An array of numbers of `width` bytes each, little-endian. Reads past the end give 0.
#[derive(Debug, Clone, Copy)]
pub(in crate::graph) struct Packed<'b> {
    bytes: &'b [u8],
    width: u8,
}

/// The fewest bytes, at least one, that hold `number`.
pub(in crate::graph) fn width_of(number: u32) -> u8 {
    match number {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xff_ffff => 3,
        0x100_0000.. => 4,
    }
}

/// Appends the lowest `width` bytes of `number`.
pub(in crate::graph) fn push(bytes: &mut Vec<u8>, number: u32, width: u8) {
    let [b0, b1, b2, b3] = number.to_le_bytes();
    match width {
        0 => {}
        1 => bytes.push(b0),
        2 => bytes.extend_from_slice(&[b0, b1]),
        3 => bytes.extend_from_slice(&[b0, b1, b2]),
        _ => bytes.extend_from_slice(&[b0, b1, b2, b3]),
    }
}

/// Reads an item of every cache line, for a search that would otherwise wait for one after the other: the processor
/// fetches all of them at once.
#[inline]
pub(in crate::graph) fn fetch<T: Copy>(items: &[T]) {
    const LINE_BYTES: usize = 64;
    for item in items.iter().step_by((LINE_BYTES / size_of::<T>()).max(1)) {
        std::hint::black_box(*item);
    }
}

impl Packed<'static> {
    pub(in crate::graph) const NOTHING: Self = Self {
        bytes: &[],
        width: 1,
    };
}

impl<'b> Packed<'b> {
    pub(in crate::graph) fn new(bytes: &'b [u8], width: u8) -> Self {
        Self { bytes, width }
    }

    pub(in crate::graph) fn get(&self, ix: usize) -> u32 {
        match self.width {
            0 => ix as u32,
            1 => self.element::<1>(ix),
            2 => self.element::<2>(ix),
            3 => self.element::<3>(ix),
            _ => self.element::<4>(ix),
        }
    }

    /// The first place in `from..to`, an ascending part, whose number is at least `number`; `to` if there is none.
    pub(in crate::graph) fn lower_bound(&self, from: usize, to: usize, number: u32) -> usize {
        match self.width {
            0 => (number as usize).clamp(from, to),
            1 => self.search::<1>(from, to, number),
            2 => self.search::<2>(from, to, number),
            3 => self.search::<3>(from, to, number),
            _ => self.search::<4>(from, to, number),
        }
    }

    /// As [`Self::lower_bound`] of the first `len` numbers, which go from 0 to `span`: begins where the number would be
    /// if they were spread evenly, as hashes are and dense keys nearly, and so touches one or two cache lines.
    pub(in crate::graph) fn lower_bound_even(&self, len: usize, span: u32, number: u32) -> usize {
        if self.width == 0 || len <= STEP_MIN {
            return self.lower_bound(0, len, number);
        }
        if number > span {
            return len;
        }
        let guess = (u64::from(number) * (len as u64 - 1) / u64::from(span.max(1))) as usize;
        let mut step = STEP_MIN;
        if self.get(guess) < number {
            let mut from = guess;
            while from + step < len && self.get(from + step) < number {
                from += step;
                step *= 2;
            }
            return self.lower_bound(from + 1, len.min(from + step), number);
        }
        let mut to = guess;
        while to >= step && self.get(to - step) >= number {
            to -= step;
            step *= 2;
        }
        self.lower_bound(to.saturating_sub(step), to, number)
    }

    fn element<const WIDTH: usize>(&self, ix: usize) -> u32 {
        let (elements, _) = self.bytes.as_chunks::<WIDTH>();
        elements.get(ix).map_or(0, little_endian)
    }

    fn search<const WIDTH: usize>(&self, from: usize, to: usize, number: u32) -> usize {
        let (elements, _) = self.bytes.as_chunks::<WIDTH>();
        let part = elements.get(from..to).unwrap_or_default();
        from + part.partition_point(|element| little_endian(element) < number)
    }
}

fn little_endian<const WIDTH: usize>(bytes: &[u8; WIDTH]) -> u32 {
    let mut number = 0;
    for (place, byte) in bytes.iter().enumerate() {
        number |= u32::from(*byte) << (8 * place);
    }
    number
}
