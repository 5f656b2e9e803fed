//! Workloads: data and questions of three kinds of companies, from a seed.
//!
//! Everything is a function of the seed and a number: which rows an entity has can be told without the others, so that a
//! hundred million rows are made one after the other, and a question that is allowed is found by walking rows that are made
//! again.

mod code_hosting;
mod documents;
mod ids;
mod microservices;

use std::io::{self, BufWriter, Write};

use engine::graph::RelationshipParts;
use model::{Context, ObjectRef, Relationship, SubjectRef};
use testkit::rng::Rng;

pub(crate) use code_hosting::CodeHosting;
pub(crate) use documents::Documents;
pub(crate) use microservices::Microservices;

/// What takes the rows.
pub(crate) type Sink<'a> = dyn FnMut(RelationshipParts<'_>) + 'a;

/// Data of a size, and questions about it.
pub(crate) trait Workload: Send + Sync {
    /// Its name, in words.
    fn name(&self) -> &'static str;

    /// The schema of its data.
    fn schema(&self) -> &'static str;

    /// Gives every row, each once.
    fn fill(&self, sink: &mut Sink<'_>);

    /// A question that is allowed by construction.
    fn allowed(&self, draw: &mut Draw) -> Question;

    /// A question about any subject and resource, which is denied nearly always.
    fn any(&self, draw: &mut Draw) -> Question;

    /// A question whose answer is a relationship itself, there or not, if the workload has a relation without sets of subjects.
    fn direct(&self, _draw: &mut Draw) -> Option<Question> {
        None
    }

    /// The relation by which such a subject is given such a resource.
    fn granting_relation(&self) -> &'static str;

    /// A relation between the same that few resources have, if there is one.
    fn sparse_relation(&self) -> Option<&'static str> {
        None
    }
}

/// May this subject do this to that resource?
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Question {
    pub(crate) resource: ObjectRef,
    pub(crate) permission: &'static str,
    pub(crate) subject: SubjectRef,
    pub(crate) context: Context,
}

/// Which of many: all as often, or a few of them most of the time.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Popularity {
    Uniform,
    /// The one in place r with a weight of 1/r.
    Zipf,
}

/// A source of questions.
#[derive(Debug, Clone)]
pub(crate) struct Draw {
    pub(crate) rng: Rng,
    popularity: Popularity,
}

impl Draw {
    pub(crate) fn new(seed: u64, popularity: Popularity) -> Self {
        Self {
            rng: Rng::new(seed),
            popularity,
        }
    }

    /// One of `count`.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank is below 2^53"
    )]
    pub(crate) fn one_of(&mut self, count: u64) -> u64 {
        let drawn = self.rng.next_u64();
        match self.popularity {
            Popularity::Uniform => drawn % count.max(1),
            Popularity::Zipf => {
                let unit = (drawn >> 11) as f64 / (1_u64 << 53) as f64;
                let rank = ((count as f64 + 1.0).ln() * unit).exp() as u64 - 1;
                // Those asked for most lie anywhere in the data.
                rank.wrapping_mul(0x9e37_79b9_7f4a_7c15) % count.max(1)
            }
        }
    }

    /// A question, as often allowed as drawn at random.
    pub(crate) fn question(&mut self, workload: &dyn Workload) -> Question {
        if self.rng.chance(50) {
            workload.allowed(self)
        } else {
            workload.any(self)
        }
    }
}

/// The generator of what belongs to entity `number` of a kind.
fn of_entity(seed: u64, kind: u64, number: u64) -> Rng {
    let mut mixed = Rng::new(seed ^ kind.rotate_left(48));
    Rng::new(mixed.next_u64() ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93))
}

/// Reads what a workload has made, which is right by construction.
#[expect(clippy::expect_used, reason = "a workload with a wrong id is no use")]
pub(crate) fn object(definition: &str, id: &str) -> ObjectRef {
    format!("{definition}:{id}").parse().expect("an object")
}

#[expect(clippy::expect_used, reason = "a workload with a wrong id is no use")]
pub(crate) fn subject(definition: &str, id: &str) -> SubjectRef {
    format!("{definition}:{id}").parse().expect("a subject")
}

/// A row without a condition.
pub(crate) fn row<'a>(
    resource: (&'a str, &'a str),
    relation: &'a str,
    subject: (&'a str, &'a str, Option<&'a str>),
) -> RelationshipParts<'a> {
    RelationshipParts {
        resource_definition: resource.0,
        resource_id: resource.1,
        relation,
        subject_definition: subject.0,
        subject_id: subject.1,
        subject_relation: subject.2,
        caveat: None,
        expires_at: None,
    }
}

/// The relationship that a row is.
#[expect(clippy::expect_used, reason = "a workload with a wrong row is no use")]
pub(crate) fn relationship(row: &RelationshipParts<'_>) -> Relationship {
    let set = row
        .subject_relation
        .map_or_else(String::new, |relation| format!("#{relation}"));
    let text = format!(
        "{}:{}#{}@{}:{}{set}",
        row.resource_definition,
        row.resource_id,
        row.relation,
        row.subject_definition,
        row.subject_id
    );
    let plain: Relationship = text.parse().expect("a relationship");
    Relationship {
        caveat: row.caveat.clone(),
        expires_at: row.expires_at,
        ..plain
    }
}

/// Writes the relationships of `workload` as lines of text, and tells how many there are.
///
/// # Errors
/// When `out` cannot be written to.
pub(crate) fn write_rows(workload: &dyn Workload, out: impl Write) -> io::Result<u64> {
    let mut out = BufWriter::new(out);
    let (mut count, mut failed) = (0, None);
    workload.fill(&mut |row| {
        count += 1;
        if failed.is_none() {
            failed = writeln!(out, "{}", relationship(&row)).err();
        }
    });
    failed.map_or(Ok(()), Err)?;
    out.flush()?;
    Ok(count)
}

/// The workloads by name, of about so many relationships.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    CodeHosting,
    Documents,
    Microservices,
}

impl Kind {
    pub(crate) fn of_size(self, relationships: u64, seed: u64) -> Box<dyn Workload> {
        match self {
            Self::CodeHosting => Box::new(CodeHosting::new(relationships, seed)),
            Self::Documents => Box::new(Documents::new(relationships, seed)),
            Self::Microservices => Box::new(Microservices::new(relationships, seed)),
        }
    }
}

#[cfg(test)]
mod tests;
