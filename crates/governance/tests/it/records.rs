//! Records: what is kept is read back as it was, and what is not understood is refused.

use expect_test::{Expect, expect};
use governance::{AccessRequest, Entitlement, Event, Holding, RecordError};

use crate::world::{Story, TWO_STEPS, access, entitlement, extend, person};

fn told(json: &str) -> String {
    match AccessRequest::from_json(json) {
        Ok(_) => "read".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn check(from: &str, to: &str, expected: Expect) {
    let mut story = Story::active();
    story.does("2:00", &extend("ann", "3h"));
    let json = story.request().to_json();
    let changed = json.replacen(from, to, 1);
    assert_ne!(changed, json, "{from}");
    expected.assert_eq(&told(&changed));
}

#[test]
fn the_form_of_records() {
    let mut story = Story::active();
    story.does("2:00", &extend("ann", "3h"));
    let json: serde_json::Value = serde_json::from_str(&story.request().to_json()).unwrap();
    expect![[r#"
        {
          "access_request": {
            "approval": {
              "decisions": [
                {
                  "at": "2027-01-01T01:00:00Z",
                  "by": "user:bob",
                  "fallen_at": null,
                  "narrowed": null,
                  "note": "",
                  "step": 0
                },
                {
                  "at": "2027-01-01T01:00:00Z",
                  "by": "user:cam",
                  "fallen_at": null,
                  "narrowed": null,
                  "note": "",
                  "step": 1
                },
                {
                  "at": "2027-01-01T01:00:00Z",
                  "by": "user:dee",
                  "fallen_at": null,
                  "narrowed": null,
                  "note": "",
                  "step": 1
                }
              ],
              "escalated": false,
              "opened_at": "2027-01-01T00:00:00Z",
              "reminded": 0,
              "until": "2027-01-02T00:00:00Z"
            },
            "asked": {
              "access": [
                "database:prod-1#admin"
              ],
              "length": "4h",
              "starts_at": null
            },
            "beneficiary": "user:ann",
            "changed_at": "2027-01-01T02:00:00Z",
            "granted": {
              "access": [
                "database:prod-1#admin"
              ],
              "length": "4h",
              "starts_at": null
            },
            "history": [
              {
                "at": "2027-01-01T00:00:00Z",
                "by": "user:ann",
                "event": "submit",
                "note": "the index is broken",
                "state": "pending"
              },
              {
                "at": "2027-01-01T01:00:00Z",
                "by": "user:bob",
                "event": "approve",
                "note": "",
                "state": "pending"
              },
              {
                "at": "2027-01-01T01:00:00Z",
                "by": "user:cam",
                "event": "approve",
                "note": "",
                "state": "pending"
              },
              {
                "at": "2027-01-01T01:00:00Z",
                "by": "user:dee",
                "event": "approve",
                "note": "",
                "state": "approved"
              },
              {
                "at": "2027-01-01T01:00:00Z",
                "by": null,
                "event": "activate",
                "note": "",
                "state": "active"
              },
              {
                "at": "2027-01-01T02:00:00Z",
                "by": "user:ann",
                "event": "extend",
                "note": "it takes longer",
                "state": "active"
              }
            ],
            "id": "r1",
            "kind": "ordinary",
            "pinned": {
              "activation": {
                "by_holder": false,
                "window": "2h"
              },
              "ahead": "7d",
              "break_glass": {
                "duration_max": "1h",
                "holders": [
                  "resource#oncall"
                ],
                "review": "3d"
              },
              "definition": "database",
              "description": "",
              "duration_default": "4h",
              "duration_max": "12h",
              "eligible": [
                "resource#oncall",
                "team:payments#member"
              ],
              "escalation": {
                "after": "20h",
                "to": [
                  "resource#owner",
                  "user:zoe"
                ]
              },
              "extension": {
                "automatic": 2,
                "each": "2h"
              },
              "for_others": true,
              "ids": {
                "among": [
                  "prod-*"
                ]
              },
              "name": "db",
              "owners": [
                "resource#owner"
              ],
              "pending": "1d",
              "permission": "administer",
              "reason_required": true,
              "relations": [
                "admin"
              ],
              "reminders": [
                "12h",
                "18h"
              ],
              "risk": "medium",
              "steps": [
                {
                  "approvers": [
                    "team:payments#lead",
                    "user:zoe"
                  ],
                  "name": "lead",
                  "need": 1
                },
                {
                  "approvers": [
                    "resource#approver",
                    "user:zoe"
                  ],
                  "name": "owners",
                  "need": 2
                }
              ],
              "subjects": [
                "group#member",
                "user"
              ],
              "ticket": {
                "pattern": "OPS-[0-9]+",
                "required": false
              },
              "warning": "15m"
            },
            "reason": "the index is broken",
            "requester": "user:ann",
            "state": {
              "active": {
                "automatic": 0,
                "by_decision": false,
                "extension": {
                  "length": "3h",
                  "round": {
                    "decisions": [],
                    "escalated": false,
                    "opened_at": "2027-01-01T02:00:00Z",
                    "reminded": 0,
                    "until": "2027-01-01T05:00:00Z"
                  }
                },
                "since": "2027-01-01T01:00:00Z",
                "until": "2027-01-01T05:00:00Z",
                "warned": false
              }
            },
            "submitted_at": "2027-01-01T00:00:00Z",
            "ticket": null
          },
          "version": 1
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&json).unwrap());
    let read = AccessRequest::from_json(&story.request().to_json()).unwrap();
    assert_eq!(&read, story.request());
}

#[test]
fn what_is_not_understood_is_refused() {
    check(
        "\"version\":1",
        "\"version\":2",
        expect![
            "a record of version 2, this program reads version 1: it was written by a later one"
        ],
    );
    check(
        "\"version\":1,",
        "",
        expect!["no record: missing field `version` at line 1 column 2522"],
    );
    check(
        "\"version\":1,",
        "\"version\":1,\"version\":1,",
        expect!["no record: duplicate field `version` at line 1 column 22"],
    );
    check(
        "{\"version\"",
        "{\"extra\":0,\"version\"",
        expect!["no record: `extra` is not known here, or stands twice at line 1 column 8"],
    );
    check(
        "\"access_request\"",
        "\"holding\"",
        expect!["no record: `holding` is not known here, or stands twice at line 1 column 22"],
    );
    check(
        "\"requester\"",
        "\"color\":1,\"requester\"",
        expect![
            "no record: unknown field `color`, expected one of `id`, `requester`, `beneficiary`, `pinned`, `kind`, `reason`, `ticket`, `asked`, `granted`, `submitted_at`, `changed_at`, `approval`, `state`, `history` at line 1 column 48"
        ],
    );
    check(
        "\"requester\":\"user:ann\",",
        "",
        expect!["no record: missing field `requester` at line 1 column 2510"],
    );
    check(
        "\"requester\":\"user:ann\"",
        "\"requester\":\"ann\"",
        expect![
            "no record: expected `:` in `ann`, as in `document:readme#viewer@user:ann` at line 1 column 58"
        ],
    );
    check(
        "\"asked\":{",
        "\"asked\":{\"x\":1,",
        expect![
            "no record: unknown field `x`, expected one of `access`, `length`, `starts_at` at line 1 column 1027"
        ],
    );
    check(
        "\"active\":{",
        "\"active\":{\"x\":1,",
        expect![
            "no record: unknown field `x`, expected one of `since`, `until`, `automatic`, `by_decision`, `warned`, `extension` at line 1 column 1683"
        ],
    );
    check(
        "\"risk\":",
        "\"x\":1,\"risk\":",
        expect![
            "no record: unknown field `x`, expected one of `name`, `description`, `risk`, `definition`, `ids`, `permission`, `relations`, `subjects`, `eligible`, `for_others`, `owners`, `reason_required`, `ticket`, `duration_default`, `duration_max`, `pending`, `ahead`, `activation`, `extension`, `steps`, `reminders`, `escalation`, `warning`, `break_glass` at line 1 column 131"
        ],
    );
    check(
        "\"4h\"",
        "\"4 hours\"",
        expect![
            "no record: `4 hours` is no length of time such as `30m`, `8h` or `1d12h` at line 1 column 480"
        ],
    );
    check(
        "\"access\":[\"database:prod-1#admin\"]",
        "\"access\":[\"database:prod-1#admin\",\"database:prod-1#admin\"]",
        expect!["no record: `database:prod-1#admin` stands twice at line 1 column 1082"],
    );
    expect!["a record has 1048577 bytes, at most 1048576 are read"]
        .assert_eq(&told(&" ".repeat((1 << 20) + 1)));
    expect![
        "no record: invalid length 0, expected struct OfVersion with 1 element at line 1 column 2"
    ]
    .assert_eq(&told("[]"));
}

#[test]
fn what_breaks_a_rule_is_refused() {
    check(
        "\"granted\":{\"access\":[\"database:prod-1#admin\"]",
        "\"granted\":{\"access\":[\"database:prod-2#admin\"]",
        expect!["a record that breaks a rule: what was granted is within what was asked"],
    );
    check(
        "\"granted\":{\"access\":[\"database:prod-1#admin\"]",
        "\"granted\":{\"access\":[]",
        expect!["a record that breaks a rule: a request is for something"],
    );
    check(
        "\"until\":\"2027-01-01T05:00:00Z\"",
        "\"until\":\"2027-01-01T13:00:01Z\"",
        expect![
            "a record that breaks a rule: a grant is no longer than the entitlement lets it be"
        ],
    );
    check(
        "\"duration_max\":\"12h\"",
        "\"duration_max\":\"3h\"",
        expect![
            "a record that breaks a rule: `duration/default`: `duration/default` is 4h, longer than the maximum, 3h"
        ],
    );
    check(
        "\"beneficiary\":\"user:ann\"",
        "\"beneficiary\":\"team:x\"",
        expect!["a record that breaks a rule: the beneficiary is one that the entitlement takes"],
    );
    check(
        "\"state\":{\"active\"",
        "\"state\":{\"suspended\"",
        expect!["a record that breaks a rule: the last entry of the history led to the state"],
    );
}

#[test]
fn entitlements_of_records_are_held_to_their_rules() {
    let json = entitlement(TWO_STEPS).to_json();
    assert_eq!(
        Entitlement::from_json(&json).unwrap(),
        entitlement(TWO_STEPS)
    );
    let wrong = json.replacen("\"need\":1", "\"need\":0", 1);
    expect!["a record that breaks a rule: `steps/0/need`: `need` is 0: expected 1 to 10"]
        .assert_eq(&Entitlement::from_json(&wrong).unwrap_err().to_string());
}

#[test]
fn reasons_of_records_stand_by_request_each_once() {
    let relationship = access(&["database:prod-1#admin"])
        .pop_first()
        .unwrap()
        .of(&person("ann").into());
    let holding = Holding::new(relationship);
    let json = holding.to_json();
    expect![[r#"{"version":1,"holding":{"relationship":"database:prod-1#admin@user:ann","held":"absent","reasons":[]}}"#]].assert_eq(&json);
    assert_eq!(Holding::from_json(&json).unwrap(), holding);
    let reason =
        r#"{"request":"r1","until":"2027-01-01T05:00:00Z","suspended":false,"break_glass":false}"#;
    let one = json.replace("[]", &format!("[{reason}]"));
    assert_eq!(Holding::from_json(&one).unwrap().reasons().len(), 1);
    let twice = json.replace("[]", &format!("[{reason},{reason}]"));
    assert!(matches!(
        Holding::from_json(&twice),
        Err(RecordError::Broken(_))
    ));
    let expiring = json.replace("user:ann", "user:ann[expiration:2027-01-01T05:00:00Z]");
    assert!(matches!(
        Holding::from_json(&expiring),
        Err(RecordError::Json(_))
    ));
}

#[test]
fn a_note_that_is_too_long_is_refused() {
    let mut story = Story::active();
    let by = person("cam");
    let revoke = |bytes: usize| Event::Revoke {
        by: governance::Actor::Person(by.clone()),
        reason: "x".repeat(bytes),
    };
    assert_eq!(
        story.refuses("2:00", &revoke(2_001)),
        governance::Refusal::ReasonTooLong { bytes: 2_001 }
    );
    story.does("2:00", &revoke(2_000));
}
