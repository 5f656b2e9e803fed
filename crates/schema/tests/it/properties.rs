//! What holds of every text: no panic, one form, one meaning.

use proptest::prelude::*;
use schema::{Schema, diagnose, format};

use crate::shape::shape;

const EXAMPLES: [&str; 8] = [
    "use expiration\nuse self\n\n// who\ndefinition user {}\n\ndefinition group {\n\trelation member: user | group#member\n}\n\n\
     caveat on_day(allowed list<string>, day string) {\n\tday in allowed // always\n}\n\n/** a document */\ndefinition document {\n\
     \trelation parent: document\n\trelation viewer: user | user:* with on_day | group#member with on_day and expiration // v\n\
     \t// banned\n\trelation banned: user\n\n\tpermission view = (viewer + parent->view + self) - banned & viewer\n\
     \tpermission all: user = parent.all(view) - (viewer - banned) + nil\n}\n",
    "use partial\npartial base {\n relation owner: user\n permission own = owner\n}\ndefinition user {}\ndefinition acme/doc { ...base; relation viewer: user; }",
    "definition user {}\n\n\n/* block\n   comment */\ndefinition doc {\n  relation aaa: user; relation bbb: user;\n\n  permission ccc = /* inline */ aaa\n  // last\n}\n// end",
    "definition user { // a\n /* b */ relation aaa: user; /* c */ relation bbb: user // d\n ; // e\n permission ccc = aaa /* f */ ; /* g */ }\n/* h */ definition /* i */ doc { /* j */ ; /* k */ }",
    "/*/ x */ /*** x ***/\ndefinition user {\n /* **x ***/\n relation aaa: user\n}//",
    "definition user {\n // x\n/*\n y\n]*/;\n// z\n relation aaa: user\n}",
    "caveat ccc(sss string) { /* } */ sss == r\"a\\\" || /* \n don't */ sss == '/*}' // }\n}\ndefinition user {}",
    "caveat ccc(mmm map<any>) {\n mmm == {\"a\": {\"b\": \"}\"}}\n}\ndefinition user {}\n",
];

#[test]
fn formatting_keeps_the_meaning_and_the_comments() {
    for text in EXAMPLES {
        let before = Schema::compile(text).unwrap();
        let formatted = format(text).unwrap();
        let after = Schema::compile(&formatted)
            .unwrap_or_else(|e| panic!("{}", e.render("formatted", &formatted)));
        assert_eq!(shape(&before), shape(&after), "{formatted}");
        assert_eq!(format(&formatted).unwrap(), formatted, "formatting twice");
        assert_eq!(
            text.matches("//").count(),
            formatted.matches("//").count(),
            "{formatted}"
        );
        assert_eq!(
            text.matches("/*").count(),
            formatted.matches("/*").count(),
            "{formatted}"
        );
    }
}

#[test]
fn what_is_read_back_means_the_same() {
    for text in EXAMPLES {
        let schema = Schema::compile(text).unwrap();
        let back = schema.to_text();
        let again =
            Schema::compile(&back).unwrap_or_else(|e| panic!("{}", e.render("read back", &back)));
        assert_eq!(shape(&schema), shape(&again), "{back}");
        assert_eq!(again.to_text(), back);
    }
}

#[test]
fn depth_and_length_are_limited() {
    let nested = format!(
        "definition user {{\n permission aaa = {}nil{}\n}}",
        "(".repeat(100_000),
        ")".repeat(100_000)
    );
    assert!(
        Schema::compile(&nested)
            .unwrap_err()
            .to_string()
            .contains("nested deeper than 64 levels")
    );
    let long = format!(
        "definition user {{\n permission aaa = nil{}\n}}",
        " - nil".repeat(100_000)
    );
    assert!(
        Schema::compile(&long)
            .unwrap_err()
            .to_string()
            .contains("more than 64 exclusions in a row")
    );
    let wide = format!(
        "definition user {{\n permission aaa = nil{}\n}}",
        " + nil".repeat(100_000)
    );
    assert!(Schema::compile(&wide).is_ok());
    let types = format!(
        "caveat ccc(aaa {}int{}) {{\n true\n}}",
        "list<".repeat(10_000),
        ">".repeat(10_000)
    );
    assert!(Schema::compile(&types).is_err());
    let large = "/".repeat(schema::TEXT_BYTES_MAX + 1);
    assert!(
        Schema::compile(&large)
            .unwrap_err()
            .to_string()
            .contains("at most 4194304 are allowed")
    );
}

#[test]
fn an_error_shows_the_line_and_a_way_out() {
    let text = "definition user {}\n\ndefinition doc {\n\trelation viewer: user\n\tpermission view = viwer\n}\n";
    let error = Schema::compile(text).unwrap_err();
    expect_test::expect![[r#"
        relation/permission `viwer` not found under definition `doc`
         --> doc.zed:5:20
          |
        5 | 	permission view = viwer
          | 	                  ^^^^^
        help: did you mean `viewer`?"#]]
    .assert_eq(&error.render("doc.zed", text));
    let error = Schema::compile("definition user { relation aaa: user }").unwrap_err();
    assert_eq!(
        error.hint(),
        Some("a statement ends at a newline or with `;`")
    );
    let text = "definition user {}\ndefinition doc {\n relation aaa: user with expiration\n}";
    assert_eq!(
        Schema::compile(text).unwrap_err().hint(),
        Some("`use expiration` is missing at the top of the schema")
    );
}

#[test]
fn a_wildcard_left_of_an_arrow_is_refused_however_it_gets_there() {
    let text = "definition user {}\ndefinition group {\n relation parent: user:*\n permission everyone = parent\n}\n\
                definition doc {\n relation parent: group#everyone\n permission view = parent->everyone\n}\n";
    let error = Schema::compile(text).unwrap_err().to_string();
    assert!(
        error.contains("wildcard relations cannot be used on the left side of arrows"),
        "{error}"
    );
}

/// Pieces that schemas are made of, so that random texts get past the first line.
const PIECES: [&str; 44] = [
    "definition",
    "caveat",
    "relation",
    "permission",
    "nil",
    "with",
    "use",
    "expiration",
    "partial",
    "self",
    "import",
    "user",
    "doc",
    "aaa",
    "bbb",
    "{",
    "}",
    "(",
    ")",
    "|",
    "+",
    "-",
    "&",
    "->",
    ".any(",
    ".all(",
    "#",
    ":",
    ":*",
    "...",
    "=",
    ";",
    "\n",
    " ",
    "//x\n",
    "/*",
    "*/",
    "\"s\"",
    "'''",
    "<",
    ">",
    ",",
    "int",
    "é",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn token_soup_never_panics(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..60)) {
        let text = pieces.join(" ");
        check(&text)?;
    }

    #[test]
    fn mutations_never_panic(which in 0..EXAMPLES.len(), cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), prop::sample::select(&PIECES[..])), 1..4)) {
        let mut chars: Vec<char> = EXAMPLES[which].chars().collect();
        for (from, to, piece) in cuts {
            let (from, to) = (from.index(chars.len() + 1), to.index(chars.len() + 1));
            let (from, to) = (from.min(to), from.max(to).min(from.min(to) + 12));
            chars.splice(from..to, piece.chars());
        }
        let text: String = chars.into_iter().collect();
        check(&text)?;
    }

    #[test]
    fn any_text_never_panics(text in "\\PC{0,200}") {
        check(&text)?;
    }
}

fn check(text: &str) -> Result<(), TestCaseError> {
    let compiled = Schema::compile(text);
    let faults = diagnose(text);
    prop_assert_eq!(compiled.as_ref().err(), faults.first());
    for fault in &faults {
        prop_assert!(!fault.render("x", text).is_empty());
    }
    if let Ok(formatted) = format(text) {
        prop_assert_eq!(&format(&formatted).unwrap(), &formatted);
        if let Ok(schema) = &compiled {
            let again = Schema::compile(&formatted).unwrap();
            prop_assert_eq!(shape(schema), shape(&again), "{}", formatted);
            let back = schema.to_text();
            let again = Schema::compile(&back).unwrap();
            prop_assert_eq!(shape(schema), shape(&again), "{}", back);
        }
    }
    Ok(())
}
