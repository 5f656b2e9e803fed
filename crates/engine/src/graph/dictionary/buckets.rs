//! From hash to number: a persistent table by linear hashing, which grows by one small bucket at a time.
//!
//! A bucket is a few entries side by side, each a hash and a number in one word; sixteen buckets and where they end lie
//! in one allocation. What leads to it is small enough to stay in the cache, so a search misses once, at the bucket.
//!
//! INVARIANT: an entry is in the bucket that [`Buckets::bucket_of`] names for its hash.

use std::ops::Range;
use std::sync::Arc;

use super::vector::Vector;
use crate::graph::packed;
use crate::graph::tree::allocated;

/// Entries of a bucket, on average.
const BUCKET_ENTRIES: usize = 6;
const PAGE_BUCKETS: usize = 16;
/// Where the buckets end stands first in a page, two ends in a word.
const HEADER_WORDS: usize = PAGE_BUCKETS / 2;

/// Numbers by hash. A clone shares everything.
#[derive(Debug, Clone, Default)]
pub(super) struct Buckets {
    pages: Vector<Page>,
    bucket_count: usize,
    len: usize,
}

#[derive(Debug, Clone)]
struct Page(Arc<[u64]>);

/// The hash in the upper half, the number in the lower.
#[derive(Debug, Clone, Copy)]
struct Entry(u64);

impl Buckets {
    /// A number with that hash, if there is any; nearly always the only one.
    pub(super) fn guess(&self, hash: u32) -> Option<u32> {
        // No way out at the first hit: the processor would guess it wrongly and stop at every cache miss until then.
        let mut guess = None;
        for word in self.bucket(hash) {
            let entry = Entry(*word);
            if entry.hash() == hash {
                guess = Some(entry.ix());
            }
        }
        guess
    }

    /// Every number with that hash.
    pub(super) fn get(&self, hash: u32) -> impl Iterator<Item = u32> {
        self.bucket(hash)
            .iter()
            .map(|word| Entry(*word))
            .filter(move |entry| entry.hash() == hash)
            .map(Entry::ix)
    }

    /// Adds a number.
    ///
    /// # Cost
    /// O(1): one page is copied, or three.
    pub(super) fn insert(&mut self, hash: u32, ix: u32) {
        self.len += 1;
        if self.len > self.bucket_count * BUCKET_ENTRIES {
            self.grow();
        }
        self.put(self.bucket_of(hash), &[Entry::new(hash, ix).0]);
    }

    /// The bytes of all allocations.
    pub(super) fn resident_bytes(&self) -> usize {
        self.pages
            .resident_bytes(|page| allocated(16 + size_of_val(&*page.0)))
    }

    fn bucket(&self, hash: u32) -> &[u64] {
        let bucket = self.bucket_of(hash);
        let page = self.pages.get(bucket / PAGE_BUCKETS);
        page.map_or(&[], |page| {
            // Where the bucket lies is told by the head of the page; where it lies about is known before.
            let about = HEADER_WORDS + bucket % PAGE_BUCKETS * BUCKET_ENTRIES;
            packed::fetch(words(
                &page.0,
                about..page.0.len().min(about + BUCKET_ENTRIES),
            ));
            page.bucket(bucket % PAGE_BUCKETS)
        })
    }

    /// The lowest bits of the hash, one fewer where they name a bucket that is not there yet.
    fn bucket_of(&self, hash: u32) -> usize {
        let Some(last) = self.bucket_count.checked_sub(1) else {
            return 0;
        };
        let mask = usize::MAX.checked_shr(last.leading_zeros());
        let mask = mask.unwrap_or_default();
        let bucket = hash as usize & mask;
        if bucket <= last {
            bucket
        } else {
            bucket & (mask >> 1)
        }
    }

    /// Adds the next bucket, with its half of the one that stood for both so far.
    fn grow(&mut self) {
        let added = self.bucket_count;
        self.bucket_count += 1;
        if added.is_multiple_of(PAGE_BUCKETS) {
            self.pages.push(Page::empty());
        }
        let Some(highest_bit) = added.checked_ilog2() else {
            return;
        };
        let bit = 1 << highest_bit;
        let divided = added - bit;
        let Some(page) = self.pages.get_mut(divided / PAGE_BUCKETS) else {
            return;
        };
        let bucket = divided % PAGE_BUCKETS;
        let (moved, kept): (Vec<u64>, Vec<u64>) = page
            .bucket(bucket)
            .iter()
            .partition(|word| Entry(**word).hash() as usize & bit != 0);
        if !moved.is_empty() {
            *page = page.with(bucket, &kept, &[]);
            self.put(added, &moved);
        }
    }

    fn put(&mut self, bucket: usize, entries: &[u64]) {
        if let Some(page) = self.pages.get_mut(bucket / PAGE_BUCKETS) {
            let bucket = bucket % PAGE_BUCKETS;
            *page = page.with(bucket, page.bucket(bucket), entries);
        }
    }
}

impl Page {
    fn empty() -> Self {
        Self(Arc::new([0; HEADER_WORDS]))
    }

    fn bucket(&self, bucket: usize) -> &[u64] {
        words(&self.0, self.range(bucket))
    }

    /// The words of a bucket.
    fn range(&self, bucket: usize) -> Range<usize> {
        let start = bucket.checked_sub(1).map_or(0, |before| self.end(before));
        HEADER_WORDS + start..HEADER_WORDS + self.end(bucket)
    }

    /// How many entries there are up to the end of a bucket.
    fn end(&self, bucket: usize) -> usize {
        let ends = self.0.get(bucket / 2).copied().unwrap_or_default();
        (ends >> (bucket % 2 * 32)) as u32 as usize
    }

    /// The page with these entries in a bucket.
    fn with(&self, bucket: usize, kept: &[u64], added: &[u64]) -> Self {
        let range = self.range(bucket);
        let len_after = kept.len() + added.len();
        let end = |at: usize| match at < bucket {
            true => self.end(at) as u64,
            false => (self.end(at) + len_after - range.len()) as u64,
        };
        let mut page = Vec::with_capacity(self.0.len() + len_after - range.len());
        page.extend((0..HEADER_WORDS).map(|word| end(word * 2) | end(word * 2 + 1) << 32));
        page.extend_from_slice(words(&self.0, HEADER_WORDS..range.start));
        page.extend_from_slice(kept);
        page.extend_from_slice(added);
        page.extend_from_slice(words(&self.0, range.end..self.0.len()));
        Self(Arc::from(page))
    }
}

impl Entry {
    fn new(hash: u32, ix: u32) -> Self {
        Self(u64::from(hash) << 32 | u64::from(ix))
    }

    fn hash(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn ix(self) -> u32 {
        self.0 as u32
    }
}

fn words(page: &[u64], range: Range<usize>) -> &[u64] {
    page.get(range).unwrap_or_default()
}
