//! The decision log: what was decided, for whoever has to account for it, in the form of the decision log events of OPA.
//!
//! [`DecisionLog`] is a [`Recorder`](ops::decisions::Recorder). What it is told is sampled and copied into [`buffer`], on the thread that
//! answers, without a wait; a thread of its own makes events of it ([`event`]) by the rules that were in force then, with what the
//! rules hide left out, and hands them to a queue for each sink ([`sink`]). Every queue is bounded: what does not fit is dropped and
//! counted, and no sink holds up a check, or another sink.
//!
//! [`rules`] reads the file that says what is kept; [`logged`] reads events back, for replaying them.

mod buffer;
mod counters;
mod event;
mod hidden;
mod id;
mod log;
pub mod logged;
mod pump;
mod record;
mod rules;
mod sink;

pub use id::process_id;
pub use log::{DecisionLog, Left, StartError};
pub use rules::{Fault, Rules, RulesError};
