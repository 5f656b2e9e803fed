//! Digests of sets of relationships: whether two stores hold the same.

use std::fmt;

use model::{Relationship, Timestamp};

use crate::store::ScanRow;

/// A digest of a set of relationships, with their caveats and expirations: alike for the same set in whatever order, and kept up
/// with changes without reading the others again. The sum of the BLAKE3 hashes of its relationships, by four lanes of 64 bits:
/// it tells of faults, and is not made to withstand somebody who can choose millions of relationships to deceive it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    lanes: [u64; 4],
    count: u64,
}

impl Digest {
    /// How many relationships it is of.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Takes in a row.
    pub fn add_row(&mut self, row: &ScanRow<'_>) {
        self.add_hash(hash(row));
    }

    /// Takes in a relationship.
    pub fn add(&mut self, relationship: &Relationship) {
        self.add_hash(hash_of(relationship));
    }

    /// Takes out a relationship.
    pub fn remove(&mut self, relationship: &Relationship) {
        self.count = self.count.wrapping_sub(1);
        for (lane, part) in self.lanes.iter_mut().zip(lanes(hash_of(relationship))) {
            *lane = lane.wrapping_sub(part);
        }
    }

    fn add_hash(&mut self, hash: blake3::Hash) {
        self.count = self.count.wrapping_add(1);
        for (lane, part) in self.lanes.iter_mut().zip(lanes(hash)) {
            *lane = lane.wrapping_add(part);
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for lane in self.lanes {
            write!(f, "{lane:016x}")?;
        }
        Ok(())
    }
}

fn lanes(hash: blake3::Hash) -> [u64; 4] {
    let mut lanes = [0; 4];
    let (parts, _) = hash.as_bytes().as_chunks::<8>();
    for (lane, part) in lanes.iter_mut().zip(parts) {
        *lane = u64::from_be_bytes(*part);
    }
    lanes
}

fn hash_of(relationship: &Relationship) -> blake3::Hash {
    let context = relationship
        .caveat
        .as_ref()
        .map(|caveat| (caveat.name.as_str(), caveat.context.to_json()));
    let subject = &relationship.subject;
    hash(&ScanRow {
        resource_definition: relationship.resource.definition.as_str(),
        resource_id: relationship.resource.id.as_str(),
        relation: relationship.relation.as_str(),
        subject_definition: subject.definition.as_str(),
        subject_id: subject.id.as_str(),
        subject_relation: subject
            .relation
            .as_ref()
            .map_or("", |relation| relation.as_str()),
        caveat: context
            .as_ref()
            .map(|(name, context)| (*name, context.as_str())),
        expires_at: relationship.expires_at,
        revision: model::Revision(0),
    })
}

/// Of all but the revision: a relationship is the same whichever commit wrote it.
fn hash(row: &ScanRow<'_>) -> blake3::Hash {
    let (name, context) = row.caveat.unwrap_or_default();
    let mut bytes = Vec::with_capacity(192);
    for text in [
        row.resource_definition,
        row.resource_id,
        row.relation,
        row.subject_definition,
        row.subject_id,
        row.subject_relation,
        name,
        context,
    ] {
        bytes.extend((text.len() as u64).to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    let expires_at = row.expires_at.map(Timestamp::as_micros);
    bytes.push(u8::from(expires_at.is_some()));
    bytes.extend(expires_at.unwrap_or_default().to_be_bytes());
    blake3::hash(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Digest {
        let mut digest = Digest::default();
        texts
            .iter()
            .for_each(|text| digest.add(&text.parse().unwrap()));
        digest
    }

    #[test]
    fn a_digest_is_of_a_set() {
        let (one, other) = ("document:a#viewer@user:ann", "document:b#viewer@user:bob");
        assert_eq!(of(&[one, other]), of(&[other, one]));
        assert_ne!(of(&[one]), of(&[other]));
        assert_ne!(of(&[one, one]), of(&[other, other]));
        let mut less = of(&[one, other]);
        less.remove(&other.parse().unwrap());
        assert_eq!(less, of(&[one]));
        assert_eq!(less.count(), 1);
    }

    #[test]
    fn every_part_counts() {
        let texts = [
            "document:a#viewer@user:ann",
            "documents:a#viewer@user:ann",
            "document:ab#viewer@user:ann",
            "document:a#owner@user:ann",
            "document:a#viewer@users:ann",
            "document:a#viewer@user:*",
            "document:a#viewer@user:ann#all",
            "document:a#viewer@user:ann[hours]",
            "document:a#viewer@user:ann[hours:{\"n\":1}]",
            "document:a#viewer@user:ann[hours:{\"n\":2}]",
            "document:a#viewer@user:ann[expiration:2100-01-01T00:00:00Z]",
            "document:a#viewer@user:ann[expiration:2100-01-01T00:00:01Z]",
        ];
        let all: std::collections::HashSet<String> =
            texts.iter().map(|text| of(&[text]).to_string()).collect();
        assert_eq!(all.len(), texts.len());
    }
}
