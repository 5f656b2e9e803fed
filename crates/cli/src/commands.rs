//! The commands, one file each: read the arguments, ask, print.

pub(crate) mod access;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod bulk_check;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod edge;
pub(crate) mod expand;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod kubernetes;
pub(crate) mod lookup;
pub(crate) mod node;
pub(crate) mod relationship;
pub(crate) mod replay;
pub(crate) mod restore;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod store;
pub(crate) mod token;
pub(crate) mod validate;
pub(crate) mod watch;
