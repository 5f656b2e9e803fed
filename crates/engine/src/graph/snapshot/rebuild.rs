//! A snapshot without the ids that are of no more use: dictionaries only ever grow, so a graph that is rewritten again
//! and again would grow for ever.
//!
//! An id is dead when no edge has it as an end. Those that live keep their order when they are numbered anew, so every
//! tree is written again from the front to the back, without being sorted.

use std::sync::Arc;

use schema::{DefinitionIx, SubjectKind};

use super::Snapshot;
use crate::graph::Dictionary;

/// How many ids of a definition are dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadIds {
    /// The definition.
    pub definition: DefinitionIx,
    /// How many of its ids no edge has as an end.
    pub dead_count: usize,
    /// How many ids it has.
    pub id_count: usize,
}

/// Which numbers of one dictionary are an end of an edge.
#[derive(Debug, Clone)]
struct Live {
    bits: Vec<u64>,
}

/// A dictionary without its dead ids, and the new number of each one that lives, by its old one.
#[derive(Debug)]
struct Renumbered {
    ids: Arc<Dictionary>,
    numbers: Vec<u32>,
}

impl Snapshot {
    /// How many ids of each definition are dead.
    ///
    /// # Cost
    /// O(ids and leaves), with one bit an id; no locks.
    #[must_use]
    pub fn dead_ids(&self) -> Vec<DeadIds> {
        let live = self.live_ids();
        let definitions = self.schema.definitions().zip(&self.dictionaries).zip(&live);
        definitions
            .map(|(((definition, _), ids), live)| DeadIds {
                definition,
                dead_count: ids.len() - live.count(),
                id_count: ids.len(),
            })
            .collect()
    }

    /// The same graph, as of the same revision, without the dead ids of `definitions`; the others are shared.
    ///
    /// The numbers of objects mean nothing beyond either of the two, so [`Self::diff`] is not for a snapshot before and
    /// one after it.
    ///
    /// # Cost
    /// O(ids of `definitions` and edges that end at them); both generations are in memory until the old one is dropped.
    #[must_use]
    pub fn without_dead_ids(&self, definitions: &[DefinitionIx]) -> Self {
        let live = self.live_ids();
        let renumbered: Vec<Option<Renumbered>> = self
            .schema
            .definitions()
            .zip(self.dictionaries.iter().zip(&live))
            .map(|((definition, _), (ids, live))| {
                definitions.contains(&definition).then(|| {
                    let (ids, numbers) = ids.compacted(|ix| live.contains(ix));
                    Renumbered {
                        ids: Arc::new(ids),
                        numbers,
                    }
                })
            })
            .collect();
        let of = |definition: DefinitionIx| {
            let renumbered = renumbered.get(definition.0 as usize);
            renumbered.and_then(Option::as_ref)
        };
        let mut next = self.clone();
        for (slot, renumbered) in next.dictionaries.iter_mut().zip(&renumbered) {
            if let Some(renumbered) = renumbered {
                *slot = Arc::clone(&renumbered.ids);
            }
        }
        for ((_, key), slot) in self.layout.classes().zip(&mut next.classes) {
            let resources = of(self.schema.member(key.relation).definition);
            let subjects = of(key.definition).filter(|_| key.kind != SubjectKind::Wildcard);
            if resources.is_some() || subjects.is_some() {
                let class = slot.renumbered(
                    |resource| number(resources, resource),
                    |subject| number(subjects, subject),
                );
                *slot = Arc::new(class);
            }
        }
        next
    }

    fn live_ids(&self) -> Vec<Live> {
        let mut live: Vec<Live> = self
            .dictionaries
            .iter()
            .map(|ids| Live::none_of(ids.len()))
            .collect();
        for ((_, key), class) in self.layout.classes().zip(&self.classes) {
            let definition = self.schema.member(key.relation).definition;
            if let Some(live) = live.get_mut(definition.0 as usize) {
                class.forward().keys().for_each(|ix| live.add(ix));
            }
            if let Some(live) = live.get_mut(key.definition.0 as usize) {
                class.reverse().keys().for_each(|ix| live.add(ix));
            }
        }
        live
    }
}

/// The number of an object that lives; the same as before in a dictionary that was left as it is.
fn number(renumbered: Option<&Renumbered>, ix: u32) -> u32 {
    let number = renumbered.and_then(|renumbered| renumbered.numbers.get(ix as usize));
    number.copied().unwrap_or(ix)
}

impl Live {
    fn none_of(id_count: usize) -> Self {
        Self {
            bits: vec![0; id_count.div_ceil(64)],
        }
    }

    fn add(&mut self, ix: u32) {
        if let Some(word) = self.bits.get_mut(ix as usize / 64) {
            *word |= 1 << (ix % 64);
        }
    }

    fn contains(&self, ix: u32) -> bool {
        let word = self.bits.get(ix as usize / 64);
        word.is_some_and(|word| word & (1 << (ix % 64)) != 0)
    }

    fn count(&self) -> usize {
        self.bits
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }
}
