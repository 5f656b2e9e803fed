//! The tests of the store as its users see it.

mod contract;
