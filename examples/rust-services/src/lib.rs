//! Two services that ask Remit before they do anything.
//!
//! | module | shows |
//! |---|---|
//! | [`web`] | axum: a handler that cannot run without an allow, a list of what may be seen, a write that is read back |
//! | [`grpc`] | tonic: a check before every call, and one of what a message names |
//! | [`start`] | what both binaries are told, and the client that they make of it |

pub mod grpc;
pub mod start;
pub mod web;

/// What was made of `proto/`.
#[expect(
    missing_docs,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::missing_errors_doc,
    reason = "generated code"
)]
pub mod proto {
    tonic::include_proto!("documents.v1");
}

/// The header with the user, which whatever authenticates them before these services sets, and takes from all others.
pub const USER: &str = "x-user";
