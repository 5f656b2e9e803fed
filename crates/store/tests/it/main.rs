//! The tests of the store as its users see it.

mod contract;
mod crash;
mod medium;
mod open;
mod support;
