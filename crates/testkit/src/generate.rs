//! Random cases: a schema, rows that fit it, and questions about them. A case is a function of its seed alone.
//!
//! Cases are small, so that things meet: few definitions, fewer ids, one set of names for the members of all
//! definitions, one set of parameters for all caveats. The schema is handed over as text, so that the parser is tested
//! too. [`crate::mix`] measures that what is hard does occur.

mod definitions;
mod questions;
mod rows;

use std::fmt;

use model::{Decision, Relationship, Timestamp};
use schema::Schema;

use crate::oracle::{self, OracleError, Question};
use crate::rng::Rng;
use crate::syntax::SchemaTree;

/// A schema, rows and questions.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The text of the schema. It compiles.
    pub schema_text: String,
    /// Rows that fit the schema, no two with the same key.
    pub relationships: Vec<Relationship>,
    /// What is asked. Members exist; subjects and resources need not.
    pub questions: Vec<Question>,
    /// The depth limit that the questions are asked with.
    pub depth_max: u16,
    pub(crate) tree: SchemaTree,
}

/// The case of `seed`.
#[must_use]
pub fn case(seed: u64) -> Case {
    let mut rng = Rng::new(seed);
    let (tree, ids, relationships) = data(&mut rng);
    let questions = questions::questions(&mut rng, &tree, &ids, &relationships);
    let depth_max = if rng.chance(85) {
        model::Limits::default().depth_max
    } else {
        rng.between(1, 8) as u16
    };
    Case::new(tree, relationships, questions, depth_max)
}

/// A case without its questions, which take longest to find.
fn data(rng: &mut Rng) -> (SchemaTree, rows::Ids, Vec<Relationship>) {
    let tree = definitions::schema(rng);
    let ids = rows::Ids::new(rng, &tree);
    let relationships = rows::rows(rng, &tree, &ids);
    (tree, ids, relationships)
}

/// The instant about which expirations and questions lie: 2030-01-01T12:00:00Z.
pub(crate) fn noon() -> Timestamp {
    Timestamp::EPOCH.saturating_add_micros(1_893_499_200_000_000)
}

impl Case {
    pub(crate) fn new(
        tree: SchemaTree,
        relationships: Vec<Relationship>,
        questions: Vec<Question>,
        depth_max: u16,
    ) -> Self {
        Self {
            schema_text: tree.to_string(),
            relationships,
            questions,
            depth_max,
            tree,
        }
    }
}

/// A validation file for each instant that is asked about, with the oracle's answers.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut instants: Vec<Timestamp> = self.questions.iter().map(|asked| asked.now).collect();
        instants.sort();
        instants.dedup();
        for (ix, now) in instants.into_iter().enumerate() {
            if ix > 0 {
                writeln!(f, "---")?;
            }
            self.write_file(f, now)?;
        }
        Ok(())
    }
}

impl Case {
    fn write_file(&self, f: &mut fmt::Formatter<'_>, now: Timestamp) -> fmt::Result {
        writeln!(f, "# depth_max: {}", self.depth_max)?;
        writeln!(f, "now: {now}\nschema: |-")?;
        for line in self.schema_text.lines() {
            writeln!(f, "  {}", line.replace('\t', "  "))?;
        }
        writeln!(f, "relationships: |-")?;
        for row in &self.relationships {
            writeln!(f, "  {row}")?;
        }
        let Ok(schema) = Schema::compile(&self.schema_text) else {
            return writeln!(f, "# the schema does not compile");
        };
        let mut answers: [(&str, Vec<String>); 4] = [
            ("assertTrue", Vec::new()),
            ("assertFalse", Vec::new()),
            ("assertCaveated", Vec::new()),
            ("assertError", Vec::new()),
        ];
        let [allowed, denied, conditional, failed] = &mut answers;
        for question in self.questions.iter().filter(|asked| asked.now == now) {
            let text = question.to_string();
            match oracle::check(&schema, &self.relationships, question, self.depth_max) {
                Ok(Decision::Allowed) => allowed.1.push(text),
                Ok(Decision::Denied) => denied.1.push(text),
                Ok(Decision::Conditional { .. }) => conditional.1.push(text),
                Err(error) => failed.1.push(format!("{text} = {}", kind(&error))),
            }
        }
        writeln!(f, "assertions:")?;
        for (key, texts) in answers.iter().filter(|(_, texts)| !texts.is_empty()) {
            writeln!(f, "  {key}:")?;
            for text in texts {
                writeln!(f, "    - '{}'", text.replace('\'', "''"))?;
            }
        }
        Ok(())
    }
}

fn kind(error: &OracleError) -> &'static str {
    match error {
        OracleError::DepthExceeded => "depth exceeded",
        OracleError::CyclicExclusion => "cyclic exclusion",
        OracleError::Caveat(_) => "caveat error",
    }
}

#[cfg(test)]
mod tests;
