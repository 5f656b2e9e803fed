//! What is hidden shows nowhere in an event.

use identity::{Caller, Origin};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::running::{question, start};

/// Parts that can be hidden, and the texts of the question below that must not show then.
const PARTS: [(&str, &[usize]); 8] = [
    ("/input/resource", &[0]),
    ("/input/subject", &[1]),
    ("/input/context", &[2, 3]),
    ("/input/context/ip", &[2]),
    ("/input/context/nested/who", &[3]),
    ("/request_context", &[4]),
    ("/input/context/people/1/someone", &[5]),
    // No index: all of the list.
    ("/input/context/people/someone", &[5]),
];

fn texts() -> impl Strategy<Value = [String; 6]> {
    // Long enough not to be part of an event by chance, and in places a part of each other.
    // None has the name of a member in it: those are hidden with what they are of.
    let text = "[a-c0-9_]{6,9}".prop_map(|text| format!("zq{text}"));
    (prop::array::uniform6(text), prop::bool::ANY).prop_map(|(mut texts, is_alike)| {
        if is_alike {
            texts[4] = format!("req-{}-{}", texts[1], texts[0]);
            texts[2] = format!("at-{}", texts[1]);
        }
        texts
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_hidden_text_is_in_an_event(
        texts in texts(),
        chosen in prop::collection::vec(prop::bool::ANY, PARTS.len()),
        way in prop::sample::select(vec!["erase", "mask", "mask_with = \"stars\"\nmask"]),
    ) {
        let parts: Vec<_> = PARTS.iter().zip(&chosen).filter(|(_, is)| **is).map(|(part, _)| part).collect();
        let listed = parts.iter().map(|(pointer, _)| format!("{pointer:?}")).collect::<Vec<_>>().join(", ");
        let rules = format!("[defaults]\ncontext = \"keep\"\n{way} = [{listed}]\n[[sink]]\nfile = \"log\"\n");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let event = runtime.block_on(async {
            let running = start(&rules).await;
            let people = json!([{ "someone": "ann" }, { "someone": texts[5] }]);
            let context = json!({ "ip": texts[2], "nested": { "who": texts[3] }, "floor": 1, "people": people });
            let asked = question(&format!("doc:{}", texts[0]), "view", &format!("user:{}", texts[1]), &context.to_string());
            let caller = Caller::without_authentication().from_origin(Origin {
                protocol: "authzed",
                request_id: texts[4].clone(),
                trace: None,
            });
            running.ask_as(&caller, &asked).await.unwrap();
            running.events().await.remove(0)
        });
        let line = event.to_string();
        for (pointer, hidden) in &parts {
            for text in hidden.iter().map(|hidden| &texts[*hidden]) {
                prop_assert!(!line.contains(text.as_str()), "{pointer}: {text} in {line}");
            }
            let lists = [&event["erased"], &event["masked"]];
            let is_listed = |list: &Value| {
                let listed = list.as_array().into_iter().flatten().filter_map(Value::as_str);
                listed.into_iter().any(|it| pointer.starts_with(it))
            };
            prop_assert!(lists.into_iter().any(is_listed), "{pointer} in {line}");
        }
        // What is not hidden is there, unless it shows what is.
        let all: Vec<usize> = parts.iter().flat_map(|(_, hidden)| hidden.iter().copied()).collect();
        for (number, text) in texts.iter().enumerate().filter(|(number, _)| !all.contains(number)) {
            let shows = all.iter().any(|hidden| text.contains(texts[*hidden].as_str()));
            let of_context = [2, 3, 5].contains(&number);
            let is_near = of_context && all.iter().any(|hidden| texts[2].contains(texts[*hidden].as_str()));
            prop_assert!(shows || is_near || line.contains(text.as_str()), "{text} not in {line}");
        }
        let needed = parts.iter().any(|(pointer, _)| *pointer != "/request_context");
        if needed {
            prop_assert_eq!(&event["custom"]["replay"]["possible"], false);
        }
    }
}

/// The part of the context that an event shows, and what it says is hidden of it.
async fn shown(ways: &str, context: &Value) -> (Value, Value, Value) {
    let rules = format!("[defaults]\ncontext = \"keep\"\n{ways}\n[[sink]]\nfile = \"log\"\n");
    let running = start(&rules).await;
    let asked = question("doc:a", "view", "user:ann", &context.to_string());
    running.ask(&asked).await.unwrap();
    let mut event = running.events().await.remove(0);
    (
        event["input"]["context"].take(),
        event["erased"].take(),
        event["masked"].take(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_a_list_is_hidden_by_its_index_and_else_with_the_list() {
    let context = json!({
        "ips": ["zq-first", "zq-second", "zq-third"],
        "people": [{ "who": "zq-ann", "floor": 1 }, { "who": "zq-bob", "floor": 2 }],
    });
    // What is left out keeps its place.
    let erase = "erase = [\"/input/context/ips/1\", \"/input/context/people/0/who\"]";
    let (told, erased, _) = shown(erase, &context).await;
    let expected = json!({
        "ips": ["zq-first", null, "zq-third"],
        "people": [{ "floor": 1 }, { "who": "zq-bob", "floor": 2 }],
    });
    assert_eq!(told, expected);
    assert_eq!(
        erased,
        json!(["/input/context/ips/1", "/input/context/people/0/who"])
    );
    let stars =
        "mask_with = \"stars\"\nmask = [\"/input/context/ips/2\", \"/input/context/people/1/who\"]";
    let (told, _, masked) = shown(stars, &context).await;
    let expected = json!({
        "ips": ["zq-first", "zq-second", "***"],
        "people": [{ "who": "zq-ann", "floor": 1 }, { "who": "***", "floor": 2 }],
    });
    assert_eq!(told, expected);
    assert_eq!(
        masked,
        json!(["/input/context/ips/2", "/input/context/people/1/who"])
    );
    // A name, an index that JSON pointers do not have, and one beyond the end.
    for name in ["who", "01", "-", "+1", "7", "99999999999999999999"] {
        let stars = format!("mask_with = \"stars\"\nmask = [\"/input/context/people/{name}/who\"]");
        let (told, _, masked) = shown(&stars, &context).await;
        assert_eq!(told["people"], "***", "{name}");
        assert_eq!(told["ips"], context["ips"], "{name}");
        assert_eq!(masked, json!(["/input/context/people"]), "{name}");
        let erase = format!("erase = [\"/input/context/people/{name}\"]");
        let (told, erased, _) = shown(&erase, &context).await;
        assert_eq!(told, json!({ "ips": context["ips"] }), "{name}");
        assert_eq!(erased, json!(["/input/context/people"]), "{name}");
    }
}

/// Whatever a request calls a permission.
#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_shows_what_is_hidden_is_hidden_with_it() {
    let running =
        start("[defaults]\nerase = [\"/input/subject\"]\n[[sink]]\nfile = \"log\"\n").await;
    let asked = question("doc:a", "for-zoe-1234", "user:zoe-1234", "{}");
    running.ask(&asked).await.unwrap_err();
    let event = running.events().await.remove(0);
    assert!(!event.to_string().contains("zoe-1234"), "{event}");
    assert_eq!(event["masked"], json!(["/input/permission"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_is_left_out_unless_a_rule_keeps_it() {
    let running = start("[[sink]]\nfile = \"log\"\n").await;
    let asked = question(
        "doc:b",
        "view",
        "user:bob",
        "{\"ip\": \"203.0.113.9\", \"floor\": 1}",
    );
    running.ask(&asked).await.unwrap();
    let event = running.events().await.remove(0);
    assert!(!event.to_string().contains("203.0.113.9"), "{event}");
    assert_eq!(event["erased"], json!(["/input/context"]));
    let replay = json!({ "possible": false, "why": ["`/input/context` is left out"] });
    assert_eq!(event["custom"]["replay"], replay);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_id_is_the_same_under_one_salt_and_another_without_it() {
    let mut masked = Vec::new();
    for salt in ["0123456789abcdef", "0123456789abcdef", "fedcba9876543210"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("salt");
        std::fs::write(&file, salt).unwrap();
        let text = format!(
            "salt_file = {file:?}\n[defaults]\nmask = [\"/input/subject\", \"/input/caller\"]\n[[sink]]\nfile = \"log\"\n"
        );
        let running = start(&text).await;
        running
            .ask(&question("doc:a", "view", "user:ann", "{}"))
            .await
            .unwrap();
        let event = running.events().await.remove(0);
        assert!(!event.to_string().contains("anonymous"), "{event}");
        assert_eq!(
            event["masked"],
            json!(["/input/subject", "/input/caller", "/requested_by"])
        );
        masked.push(event["input"]["subject"].as_str().unwrap().to_owned());
    }
    assert!(
        masked[0].starts_with("user:~") && masked[0].len() == 38,
        "{masked:?}"
    );
    assert_eq!(masked[0], masked[1]);
    assert_ne!(masked[0], masked[2]);
}
