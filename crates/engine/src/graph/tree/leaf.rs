//! One leaf: up to [`BYTES_MAX`] bytes of edges, ascending, in one allocation, searched without being unpacked.
//!
//! ```text
//! header (18 bytes) | keys: key - key_min | ends: end of each key's values | values: value - value_min
//! ```
//! Keys stand once, however many values they have. The ends are left out where every key has equally many values, the
//! keys where they are consecutive; so a class of one subject a resource costs little more than the subject. A long
//! list is simply a row of leaves with one key each.
//!
//! INVARIANT: a leaf is never empty; its edges and the places in `annotations` are strictly ascending.

use std::ops::Range;
use std::sync::Arc;

use super::{EdgeAction, EdgeChange, allocated, edge_of, key_of, value_of};
use crate::graph::Annotation;
use crate::graph::packed::{self, Packed};

/// The largest leaf: with the two counters before it, it fills 1,024 bytes.
pub(super) const BYTES_MAX: usize = 1_008;
/// A leaf below this is merged with a neighbour if both together stay well below [`BYTES_MAX`].
const BYTES_SMALL: usize = 256;
const BYTES_MERGED_MAX: usize = 768;
const HEADER_BYTES: usize = 18;

/// An edge with its annotation, unpacked.
pub(super) type Edge = (u64, Option<Annotation>);

#[derive(Debug, Clone)]
pub(super) struct Leaf {
    bytes: Arc<[u8]>,
    annotations: Option<Arc<Vec<(u16, Annotation)>>>,
}

/// A leaf taken apart for reading.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeafView<'t> {
    key_min: u32,
    key_span: u32,
    value_min: u32,
    key_count: usize,
    keys: Packed<'t>,
    /// Values of each key where that is one number; `ends` then holds nothing.
    group_len: usize,
    ends: Packed<'t>,
    values: Packed<'t>,
    annotations: &'t [(u16, Annotation)],
}

impl Leaf {
    pub(super) fn view(&self) -> LeafView<'_> {
        let annotations = self.annotations.as_deref().map_or(&[][..], Vec::as_slice);
        LeafView::parse(&self.bytes, annotations).unwrap_or(LeafView::EMPTY)
    }

    /// As [`Self::view`], for a search within a leaf that is in no cache, most likely.
    pub(super) fn fetched(&self) -> LeafView<'_> {
        self.fetch();
        self.view()
    }

    pub(super) fn fetch(&self) {
        packed::fetch(&self.bytes);
    }

    pub(super) fn ptr_eq(&self, other: &Self) -> bool {
        let same_annotations = match (&self.annotations, &other.annotations) {
            (Some(left), Some(right)) => Arc::ptr_eq(left, right),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        same_annotations && Arc::ptr_eq(&self.bytes, &other.bytes)
    }

    pub(super) fn may_merge(&self, other: &Self) -> bool {
        let (left, right) = (self.bytes.len(), other.bytes.len());
        left.min(right) < BYTES_SMALL && left + right <= BYTES_MERGED_MAX
    }

    pub(super) fn annotated_count(&self) -> usize {
        self.annotations.as_ref().map_or(0, |list| list.len())
    }

    #[cfg(test)]
    pub(super) fn packed_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// What the leaf takes, without what annotations refer to.
    pub(super) fn resident_bytes(&self) -> usize {
        let (list, entries) = self.annotations.as_ref().map_or((0, 0), |list| {
            let entry_bytes = size_of::<(u16, Annotation)>();
            (
                16 + size_of::<Vec<(u16, Annotation)>>(),
                list.capacity() * entry_bytes,
            )
        });
        allocated(16 + self.bytes.len()) + allocated(list) + allocated(entries)
    }

    /// Packs `edges`, which are not empty and fit, by way of `scratch`.
    fn pack(edges: &[Edge], measure: &Measure, scratch: &mut Vec<u8>) -> Self {
        measure.write_header(scratch);
        let (key_width, end_width) = (measure.key_width(), measure.end_width());
        let value_width = measure.value_width();
        let mut key_before = None;
        for (edge, _) in edges {
            let key = key_of(*edge);
            if key_before.replace(key) != Some(key) {
                packed::push(scratch, key - measure.key_min, key_width);
            }
        }
        if end_width > 0 {
            for (place, (edge, _)) in edges.iter().enumerate() {
                let next = edges.get(place + 1).map(|(next, _)| key_of(*next));
                if next != Some(key_of(*edge)) {
                    packed::push(scratch, place as u32 + 1, end_width);
                }
            }
        }
        for (edge, _) in edges {
            let offset = value_of(*edge) - measure.value_min;
            packed::push(scratch, offset, value_width);
        }
        let annotations: Vec<(u16, Annotation)> = edges
            .iter()
            .enumerate()
            .filter_map(|(place, (_, annotation))| Some((place as u16, annotation.clone()?)))
            .collect();
        Self {
            bytes: Arc::from(scratch.as_slice()),
            annotations: (!annotations.is_empty()).then(|| Arc::new(annotations)),
        }
    }
}

/// Packs ascending `edges` into as few leaves as hold them; the last two are made alike in size.
pub(super) fn pack_all(
    edges: &[Edge],
    scratch: &mut Vec<u8>,
    mut found: impl FnMut(&[Edge], Leaf),
) {
    let mut rest = edges;
    while !rest.is_empty() {
        let mut head = rest;
        let mut measure = Measure::of(rest);
        if !measure.fits() {
            (head, measure) = fitting(rest);
            let (_, tail) = rest.split_at(head.len());
            if tail.len() <= head.len() {
                let (left, right) = rest.split_at(rest.len() / 2);
                let halves = (Measure::of(left), Measure::of(right));
                if halves.0.fits() && halves.1.fits() {
                    (head, measure) = (left, halves.0);
                }
            }
        }
        found(head, Leaf::pack(head, &measure, scratch));
        (_, rest) = rest.split_at(head.len());
    }
}

/// The longest part at the front of `edges` that one leaf holds.
fn fitting(edges: &[Edge]) -> (&[Edge], Measure) {
    let mut measure = Measure::default();
    for (count, (edge, _)) in edges.iter().enumerate() {
        let before = measure;
        measure.add(*edge);
        if !measure.fits() {
            return (edges.split_at(count).0, before);
        }
    }
    (edges, measure)
}

/// What the size of a leaf follows from, kept up edge by edge.
#[derive(Debug, Clone, Copy, Default)]
struct Measure {
    key_min: u32,
    key_max: u32,
    value_min: u32,
    value_max: u32,
    key_count: usize,
    edge_count: usize,
    /// Values of the present key, and of each key before it as long as those are alike.
    group_len: usize,
    group_len_before: Option<usize>,
    groups_differ: bool,
}

impl Measure {
    /// The measure of `edges`; of some too many to fit, if they are more than any leaf holds.
    fn of(edges: &[Edge]) -> Self {
        let mut measure = Self::default();
        for (edge, _) in edges.iter().take(BYTES_MAX) {
            measure.add(*edge);
        }
        measure
    }

    fn fits(&self) -> bool {
        self.bytes() <= BYTES_MAX
    }

    fn add(&mut self, edge: u64) {
        let (key, value) = (key_of(edge), value_of(edge));
        if self.edge_count == 0 {
            (self.key_min, self.value_min, self.value_max) = (key, value, value);
        }
        if self.edge_count == 0 || key != self.key_max {
            if self.edge_count > 0 {
                let before = *self.group_len_before.get_or_insert(self.group_len);
                self.groups_differ |= before != self.group_len;
            }
            self.group_len = 0;
            self.key_count += 1;
            self.key_max = key;
        }
        self.value_min = self.value_min.min(value);
        self.value_max = self.value_max.max(value);
        self.group_len += 1;
        self.edge_count += 1;
    }

    fn key_width(&self) -> u8 {
        let span = self.key_max - self.key_min;
        if span as usize + 1 == self.key_count {
            return 0;
        }
        packed::width_of(span)
    }

    fn value_width(&self) -> u8 {
        packed::width_of(self.value_max - self.value_min)
    }

    fn end_width(&self) -> u8 {
        let alike = !self.groups_differ
            && self
                .group_len_before
                .is_none_or(|before| before == self.group_len);
        if alike {
            return 0;
        }
        packed::width_of(self.edge_count as u32)
    }

    fn bytes(&self) -> usize {
        HEADER_BYTES
            + self.key_count * usize::from(self.key_width() + self.end_width())
            + self.edge_count * usize::from(self.value_width())
    }

    fn write_header(&self, bytes: &mut Vec<u8>) {
        bytes.clear();
        bytes.extend(self.key_min.to_le_bytes());
        bytes.extend((self.key_max - self.key_min).to_le_bytes());
        bytes.extend(self.value_min.to_le_bytes());
        bytes.extend((self.key_count as u16).to_le_bytes());
        let group_len = if self.end_width() == 0 {
            self.group_len
        } else {
            0
        };
        bytes.extend((group_len as u16).to_le_bytes());
        bytes.extend([self.key_width() | self.value_width() << 4, self.end_width()]);
    }
}

impl<'t> LeafView<'t> {
    pub(super) const EMPTY: LeafView<'static> = LeafView {
        key_min: 0,
        key_span: 0,
        value_min: 0,
        key_count: 0,
        keys: Packed::NOTHING,
        group_len: 0,
        ends: Packed::NOTHING,
        values: Packed::NOTHING,
        annotations: &[],
    };

    fn parse(bytes: &'t [u8], annotations: &'t [(u16, Annotation)]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let (words, [widths, end_width]) = header.as_chunks::<4>() else {
            return None;
        };
        let [key_min, key_span, value_min, [kc0, kc1, gl0, gl1]] = *words else {
            return None;
        };
        let (key_width, value_width, end_width) = (widths & 0xf, widths >> 4, *end_width);
        let key_count = usize::from(u16::from_le_bytes([kc0, kc1]));
        let (keys, rest) = rest.split_at_checked(key_count * usize::from(key_width))?;
        let (ends, values) = rest.split_at_checked(key_count * usize::from(end_width))?;
        Some(Self {
            key_min: u32::from_le_bytes(key_min),
            key_span: u32::from_le_bytes(key_span),
            value_min: u32::from_le_bytes(value_min),
            key_count,
            keys: Packed::new(keys, key_width),
            group_len: usize::from(u16::from_le_bytes([gl0, gl1])),
            ends: Packed::new(ends, end_width),
            values: Packed::new(values, value_width),
            annotations,
        })
    }

    pub(super) fn key_count(&self) -> usize {
        self.key_count
    }

    pub(super) fn key(&self, key_ix: usize) -> u32 {
        self.key_min + self.keys.get(key_ix)
    }

    pub(super) fn value(&self, place: usize) -> u32 {
        self.value_min + self.values.get(place)
    }

    pub(super) fn annotation(&self, place: usize) -> Option<&'t Annotation> {
        if self.annotations.is_empty() {
            return None;
        }
        let found = self
            .annotations
            .binary_search_by_key(&place, |(at, _)| usize::from(*at))
            .ok()?;
        self.annotations
            .get(found)
            .map(|(_, annotation)| annotation)
    }

    /// The places of the values of the key at `key_ix`.
    pub(super) fn group(&self, key_ix: usize) -> Range<usize> {
        self.end(key_ix)..self.end(key_ix + 1)
    }

    /// The places of the values of `key`; empty, at the place where they would be, if it has none.
    pub(super) fn group_of(&self, key: u32) -> Range<usize> {
        let Some(offset) = key.checked_sub(self.key_min) else {
            return 0..0;
        };
        let key_ix = self
            .keys
            .lower_bound_even(self.key_count, self.key_span, offset);
        if key_ix < self.key_count && self.keys.get(key_ix) == offset {
            return self.group(key_ix);
        }
        let place = self.end(key_ix);
        place..place
    }

    /// The first place in `group`, the values of one key, with at least `value`.
    pub(super) fn lower_bound(&self, group: Range<usize>, value: u32) -> usize {
        match value.checked_sub(self.value_min) {
            Some(offset) => self.values.lower_bound(group.start, group.end, offset),
            None => group.start,
        }
    }

    /// Every edge with its annotation.
    pub(super) fn edges(self) -> impl Iterator<Item = (u64, Option<&'t Annotation>)> {
        let mut annotations = self.annotations.iter().peekable();
        (0..self.key_count)
            .flat_map(move |key_ix| {
                let key = self.key(key_ix);
                self.group(key_ix).map(move |place| (key, place))
            })
            .map(move |(key, place)| {
                let annotation = annotations
                    .next_if(|(at, _)| usize::from(*at) == place)
                    .map(|(_, annotation)| annotation);
                (edge_of(key, self.value(place)), annotation)
            })
    }

    /// Where the values of the keys before `key_ix` end.
    fn end(&self, key_ix: usize) -> usize {
        match (self.group_len, key_ix.checked_sub(1)) {
            (_, None) => 0,
            (0, Some(before)) => self.ends.get(before) as usize,
            (group_len, Some(_)) => key_ix * group_len,
        }
    }
}

/// Puts the edges of `leaf` with `changes` made to them into `edges`; false if nothing changes.
pub(super) fn merge(leaf: &Leaf, changes: &[EdgeChange], edges: &mut Vec<Edge>) -> bool {
    let mut changed = false;
    let mut changes = changes.iter().peekable();
    for (edge, annotation) in leaf.view().edges() {
        while let Some(change) = changes.next_if(|change| change.edge() < edge) {
            changed |= insert(change, edges);
        }
        match changes
            .next_if(|change| change.edge() == edge)
            .map(|change| &change.action)
        {
            None => edges.push((edge, annotation.cloned())),
            Some(EdgeAction::Remove) => changed = true,
            Some(EdgeAction::Insert(replacement)) => {
                changed |= replacement.as_ref() != annotation;
                edges.push((edge, replacement.clone()));
            }
        }
    }
    for change in changes {
        changed |= insert(change, edges);
    }
    changed
}

/// Puts an edge that is not there yet into `edges`; false if `change` removes.
pub(super) fn insert(change: &EdgeChange, edges: &mut Vec<Edge>) -> bool {
    match &change.action {
        EdgeAction::Insert(annotation) => {
            edges.push((change.edge(), annotation.clone()));
            true
        }
        EdgeAction::Remove => false,
    }
}
