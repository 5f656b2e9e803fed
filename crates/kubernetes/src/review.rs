//! `SubjectAccessReview` of `authorization.k8s.io/v1`: what an API server asks, and the form of the answer.
//!
//! Members that are not known are passed over: `extra`, `uid` and selectors, which only narrow what is asked, among them.

use model::json::Object;
use serde_json::{Value, json};

use crate::question::Verdict;

/// The version that is spoken.
pub const API_VERSION: &str = "authorization.k8s.io/v1";
/// The kind of what is asked and of the answer.
pub const KIND: &str = "SubjectAccessReview";

/// Who wants to do what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// The user, as its API server knows it; none where it is asked about groups alone.
    pub user: Option<String>,
    /// The groups that the API server says the user is in.
    pub groups: Vec<String>,
    /// What it is about.
    pub about: About,
}

/// What somebody wants to do. A text is empty where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// Something with a resource.
    Resource {
        /// The namespace, if it is in one.
        namespace: String,
        /// To do what.
        verb: String,
        /// The group of the resource; the core group has no name.
        group: String,
        /// The resource.
        resource: String,
        /// A part of it.
        subresource: String,
        /// Which one; without a name all of them.
        name: String,
    },
    /// Something with a path that is no resource.
    Url {
        /// The path.
        path: String,
        /// To do what.
        verb: String,
    },
}

/// Why a request is no review.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReviewError {
    /// Another version is spoken.
    #[error(
        "`apiVersion` is `{version}`, and `{API_VERSION}` is what is answered here: set `subjectAccessReviewVersion: v1`, or \
         `--authorization-webhook-version=v1`"
    )]
    Version {
        /// Which, cut to 64 characters.
        version: String,
    },
    /// It is something else.
    #[error("`kind` is `{kind}`, and a `{KIND}` is what is answered here")]
    Kind {
        /// What, cut to 64 characters.
        kind: String,
    },
    /// A member is not there.
    #[error("`{member}` is missing")]
    Missing {
        /// Which.
        member: &'static str,
    },
    /// A member is of another type.
    #[error("`{member}` is no {expected}")]
    Type {
        /// Which.
        member: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// It is about nothing, or about two things.
    #[error("a review has either `spec.resourceAttributes` or `spec.nonResourceAttributes`")]
    Attributes,
    /// It names nobody.
    #[error("a review names a user or a group")]
    Nobody,
}

impl Review {
    /// Reads a review.
    ///
    /// # Errors
    /// [`ReviewError`] for another version or kind, and for what an API server does not send.
    pub fn read(object: &Object) -> Result<Self, ReviewError> {
        let cut = |text: String| text.chars().take(64).collect();
        let version = text(object, ("apiVersion", "apiVersion"))?;
        if version != API_VERSION {
            return Err(ReviewError::Version {
                version: cut(version),
            });
        }
        let kind = text(object, ("kind", "kind"))?;
        if kind != KIND {
            return Err(ReviewError::Kind { kind: cut(kind) });
        }
        let spec = member(object, ("spec", "spec"))?;
        let spec = spec.ok_or(ReviewError::Missing { member: "spec" })?;
        let user = Some(text(spec, ("user", "spec.user"))?).filter(|user| !user.is_empty());
        let groups = groups(spec)?;
        if user.is_none() && groups.is_empty() {
            return Err(ReviewError::Nobody);
        }
        Ok(Self {
            user,
            groups,
            about: about(spec)?,
        })
    }
}

fn about(spec: &Object) -> Result<About, ReviewError> {
    let resource = member(spec, ("resourceAttributes", "spec.resourceAttributes"))?;
    let url = member(
        spec,
        ("nonResourceAttributes", "spec.nonResourceAttributes"),
    )?;
    match (resource, url) {
        (Some(of), None) => Ok(About::Resource {
            namespace: text(of, ("namespace", "spec.resourceAttributes.namespace"))?,
            verb: text(of, ("verb", "spec.resourceAttributes.verb"))?,
            group: text(of, ("group", "spec.resourceAttributes.group"))?,
            resource: text(of, ("resource", "spec.resourceAttributes.resource"))?,
            subresource: text(of, ("subresource", "spec.resourceAttributes.subresource"))?,
            name: text(of, ("name", "spec.resourceAttributes.name"))?,
        }),
        (None, Some(of)) => Ok(About::Url {
            path: text(of, ("path", "spec.nonResourceAttributes.path"))?,
            verb: text(of, ("verb", "spec.nonResourceAttributes.verb"))?,
        }),
        (Some(_), Some(_)) | (None, None) => Err(ReviewError::Attributes),
    }
}

/// The groups, each once; one without a name is nobody's.
fn groups(spec: &Object) -> Result<Vec<String>, ReviewError> {
    let wrong = || ReviewError::Type {
        member: "spec.groups",
        expected: "list of texts",
    };
    let given = match spec.get("groups") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(given) => given.as_array().ok_or_else(wrong)?,
    };
    let names: Option<Vec<&str>> = given.iter().map(Value::as_str).collect();
    let mut names = names.ok_or_else(wrong)?;
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    names.dedup();
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// The text of a member; what is absent or null is empty.
fn text(of: &Object, (name, path): (&str, &'static str)) -> Result<String, ReviewError> {
    match of.get(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(ReviewError::Type {
                member: path,
                expected: "text",
            })
        }
    }
}

fn member<'a>(
    of: &'a Object,
    (name, path): (&str, &'static str),
) -> Result<Option<&'a Object>, ReviewError> {
    match of.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::String(_)) => {
            Err(ReviewError::Type {
                member: path,
                expected: "object",
            })
        }
    }
}

/// The answer that says what a review came to. What it says is shown to whoever wanted to do it.
#[must_use]
pub fn answer(verdict: &Verdict) -> Value {
    let status = match verdict {
        Verdict::Allowed => json!({ "allowed": true, "reason": "granted by relationships" }),
        Verdict::Denied(ban) => {
            json!({ "allowed": false, "denied": true, "reason": ban.to_string() })
        }
        Verdict::NoOpinion { failure: None } => {
            json!({ "allowed": false, "reason": "no relationship grants this" })
        }
        Verdict::NoOpinion {
            failure: Some(failure),
        } => json!({
            "allowed": false,
            "reason": "no relationship is known to grant this",
            "evaluationError": failure,
        }),
    };
    json!({ "apiVersion": API_VERSION, "kind": KIND, "status": status })
}

#[cfg(test)]
mod tests;
