//! Kubernetes' authorization as relationships: what an API server asks, and what its RBAC manifests say.
//!
//! [`schema`] has the definitions that both speak of, under `kubernetes/`. [`review`] reads a SubjectAccessReview and writes its
//! answer; [`question`] says what has to be asked of the graph for it, and what the answers come to. [`manifest`] reads roles and
//! bindings, [`import`] turns them to relationships, and [`difference`] says what has to be written so that a server has these and
//! no others. Pure: no I/O, no clock.
//!
//! SOURCE: `plugin/pkg/auth/authorizer/rbac` and `pkg/apis/rbac/v1/evaluation_helpers.go` of Kubernetes, for what a rule matches.

pub mod difference;
pub mod id;
pub mod import;
pub mod manifest;
pub mod question;
pub mod review;
pub mod schema;

mod names;
mod rule;
mod selector;
