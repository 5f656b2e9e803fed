//! For tests only: what the right answers are, and questions that are hard to answer.
//!
//! [`oracle`] states the semantics; [`generate`] makes random cases, [`shrink`] makes failing ones small, and [`mix`]
//! measures what they contain. [`corpus`] finds the scenario files, [`postgres`] starts servers. Knows the model and the schema and never the engine, so that it agrees with no fault of
//! the engine by construction.
//!
//! ```text
//! let case = generate::case(seed);
//! let schema = Schema::compile(&case.schema_text)?;
//! for question in &case.questions {
//!     let right = oracle::check(&schema, &case.relationships, question, case.depth_max);
//! }
//! ```

pub mod corpus;
pub mod generate;
pub mod history;
pub mod mix;
pub mod oracle;
pub mod postgres;
pub mod rng;
mod shrink;
mod syntax;

pub use corpus::{ScenarioFile, corpus};
pub use generate::{Case, case};
pub use oracle::{OracleError, Question};
pub use shrink::shrink;
