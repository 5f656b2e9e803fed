//! The schema language against what a live peer answered, and against itself.

mod properties;
mod wire;
