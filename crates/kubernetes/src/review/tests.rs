//! Reviews as they are read, and their answers.

use super::*;
use crate::question::Ban;

fn read(body: &Value) -> Result<Review, ReviewError> {
    Review::read(body.as_object().unwrap())
}

fn review(spec: &Value) -> Value {
    json!({ "apiVersion": API_VERSION, "kind": KIND, "spec": spec, "status": { "allowed": false } })
}

#[test]
fn what_is_absent_is_empty_and_what_is_unknown_is_passed_over() {
    let spec = json!({
        "user": "ann", "groups": ["eng", "", "eng", "admins"], "uid": "u1", "extra": {"scopes": ["a"]},
        "resourceAttributes": {
            "verb": "list", "resource": "pods", "namespace": null, "version": "v1",
            "labelSelector": {"rawSelector": "a=b"},
        },
    });
    assert_eq!(
        read(&review(&spec)).unwrap(),
        Review {
            user: Some("ann".to_owned()),
            groups: vec!["admins".to_owned(), "eng".to_owned()],
            about: About::Resource {
                namespace: String::new(),
                verb: "list".to_owned(),
                group: String::new(),
                resource: "pods".to_owned(),
                subresource: String::new(),
                name: String::new(),
            },
        }
    );
}

#[test]
fn what_is_no_review_says_why() {
    let of_url = json!({ "path": "/readyz", "verb": "get" });
    let mut other_version = review(&json!({ "user": "ann", "nonResourceAttributes": of_url }));
    assert!(read(&other_version).is_ok());
    other_version["apiVersion"] = json!("authorization.k8s.io/v1beta1");
    let mut other_kind = review(&json!({}));
    other_kind["kind"] = json!("LocalSubjectAccessReview");
    for (body, part) in [
        (other_version, "subjectAccessReviewVersion: v1"),
        (other_kind, "`kind` is `LocalSubjectAccessReview`"),
        (json!({}), "`apiVersion` is ``"),
        (
            json!({ "apiVersion": API_VERSION, "kind": KIND }),
            "`spec` is missing",
        ),
        (
            json!({ "apiVersion": API_VERSION, "kind": KIND, "spec": [] }),
            "`spec` is no object",
        ),
        (
            review(&json!({ "nonResourceAttributes": of_url })),
            "names a user or a group",
        ),
        (
            review(&json!({ "user": 7, "nonResourceAttributes": of_url })),
            "`spec.user` is no text",
        ),
        (
            review(&json!({ "user": "a", "groups": "eng", "nonResourceAttributes": of_url })),
            "`spec.groups` is no list of texts",
        ),
        (
            review(&json!({ "user": "a", "groups": [1], "nonResourceAttributes": of_url })),
            "`spec.groups` is no list of texts",
        ),
        (review(&json!({ "user": "a" })), "has either"),
        (
            review(
                &json!({ "user": "a", "resourceAttributes": {}, "nonResourceAttributes": of_url }),
            ),
            "has either",
        ),
        (
            review(&json!({ "user": "a", "nonResourceAttributes": { "path": ["/"] } })),
            "`spec.nonResourceAttributes.path` is no text",
        ),
    ] {
        let told = read(&body).unwrap_err().to_string();
        assert!(told.contains(part), "{body}: {told}");
    }
}

#[test]
fn an_answer_is_never_both() {
    let status = |verdict| answer(&verdict)["status"].clone();
    assert_eq!(status(Verdict::Allowed)["allowed"], true);
    assert_eq!(
        status(Verdict::Denied(Ban::Locked)),
        json!({ "allowed": false, "denied": true, "reason": "the user or a group of it is locked" })
    );
    let failed = status(Verdict::NoOpinion {
        failure: Some("max depth exceeded".to_owned()),
    });
    assert_eq!(failed["evaluationError"], "max depth exceeded");
    assert_eq!(
        (&failed["allowed"], failed.get("denied")),
        (&json!(false), None)
    );
    assert_eq!(answer(&Verdict::Allowed)["kind"], KIND);
}
