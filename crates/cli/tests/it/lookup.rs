//! Look-ups, and many questions at once.

use serde_json::Value;

use crate::{SCHEMA, run, serve};

#[test]
fn what_is_found_is_printed_in_pages_and_with_reasons() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(
        at.join("schema.zed"),
        SCHEMA.replace("viewer: user", "viewer: user | user:*"),
    )
    .unwrap();
    let _served = serve(at, "memory:");
    assert_eq!(run(at, &["schema", "write", "schema.zed"]).0, 0);
    let rows = [
        "doc:a#viewer@user:ann",
        "doc:b#viewer@user:ann",
        "doc:c#viewer@user:ann",
        "doc:c#viewer@user:*",
    ];
    assert_eq!(
        run(at, &[&["relationship", "write"], &rows[..]].concat()).0,
        0
    );

    let look_up = ["lookup", "resources", "doc", "view", "user:ann"];
    assert_eq!(
        run(at, &look_up),
        (0, "a\nb\nc\n".to_owned(), String::new())
    );
    let (code, first, told) = run(at, &[&look_up[..], &["--limit", "2"]].concat());
    assert_eq!((code, first.as_str()), (0, "a\nb\n"));
    let cursor = told.trim().strip_prefix("go on with --cursor ").unwrap();
    let rest = run(
        at,
        &[&look_up[..], &["--limit", "2", "--cursor", cursor]].concat(),
    );
    assert_eq!(rest, (0, "c\n".to_owned(), String::new()));
    let all = run(at, &[&look_up[..], &["--limit", "1", "--all"]].concat());
    assert_eq!(all.1, "a\nb\nc\n");
    let (_, explained, _) = run(at, &[&look_up[..], &["--limit", "1", "--explain"]].concat());
    assert!(
        explained.contains("  ✓ doc:a#view\n") && explained.contains("doc:a#viewer@user:ann"),
        "{explained}"
    );
    let (_, json, _) = run(at, &[&look_up[..], &["--json"]].concat());
    let first: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(
        (first["id"].as_str(), first["permission"].as_str()),
        (Some("a"), Some("allowed"))
    );

    let subjects = run(at, &["lookup", "subjects", "doc:c", "view", "user"]);
    assert_eq!(subjects.1, "* everybody\nann\n");
    let subjects = run(
        at,
        &[
            "lookup",
            "subjects",
            "doc:c",
            "view",
            "user",
            "--without-everybody",
        ],
    );
    assert_eq!(subjects.1, "ann\n");
    let (code, _, told) = run(at, &["lookup", "resources", "doc", "nosuch", "user:ann"]);
    assert_eq!(code, 4);
    assert!(
        told.contains("ERROR_REASON_UNKNOWN_RELATION_OR_PERMISSION"),
        "{told}"
    );
}

#[test]
fn the_questions_of_a_file_are_answered_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("schema.zed"), SCHEMA).unwrap();
    let _served = serve(at, "memory:");
    assert_eq!(run(at, &["schema", "write", "schema.zed"]).0, 0);
    assert_eq!(
        run(at, &["relationship", "write", "doc:a#viewer@user:ann"]).0,
        0
    );
    let questions =
        "// who may\ndoc:a#view@user:ann\n\ndoc:b#view@user:ann with {\"day\":\"friday\"}\n";
    std::fs::write(at.join("questions.txt"), questions).unwrap();
    let (code, answers, summary) = run(at, &["bulk-check", "questions.txt", "--batch", "1"]);
    assert_eq!(code, 1);
    assert_eq!(
        answers,
        "allowed     doc:a#view@user:ann\ndenied      doc:b#view@user:ann with {\"day\":\"friday\"}\n"
    );
    assert!(
        summary.contains("1 allowed, 1 denied, 0 conditional, 0 failed"),
        "{summary}"
    );
    let (code, denied, _) = run(
        at,
        &["bulk-check", "questions.txt", "--only", "denied", "--json"],
    );
    let line: Value = serde_json::from_str(denied.trim()).unwrap();
    assert_eq!((code, line["answer"].as_str()), (1, Some("denied")));

    let lines =
        "{\"resource\":\"doc:a\",\"permission\":\"view\",\"subject\":\"user:ann\"}\nnonsense\n";
    std::fs::write(at.join("questions.jsonl"), lines).unwrap();
    let (code, answers, told) = run(at, &["bulk-check", "questions.jsonl"]);
    assert_eq!((code, answers.as_str()), (4, ""));
    assert!(told.contains("`questions.jsonl`, line 2"), "{told}");
    let (code, answers, _) = run(at, &["bulk-check", "questions.jsonl", "--keep-going"]);
    assert_eq!(code, 4);
    assert!(
        answers.starts_with("allowed ") && answers.contains("error       nonsense"),
        "{answers}"
    );
}
