//! Reading scenario files, and the corpus on the naive evaluator and on the engine.

use std::collections::BTreeSet;

use model::{Decision, Limits, SubjectId};
use schema::Schema;
use testkit::{OracleError, oracle};

use super::*;

fn read(text: &str) -> Result<Scenario, ScenarioError> {
    Scenario::read("test.yaml", text, |path| Err(format!("no file `{path}`")))
}

fn error(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

const EVERY_PART: &str = r#"# a comment
now: 2030-01-01T00:00:00Z
schema: |-
  definition user {}

  definition document {
    relation viewer: user
  }
relationships: |
  // a comment

  document:one#viewer@user:ann
    document:two#viewer@user:ann[expiration:2031-01-01T00:00:00Z]
assertions:
  assertFalse: []
  assertTrue:
    - document:one#viewer@user:ann
    - 'document:one#viewer@user:bob with {"day":"friday with a = b"}'
  assertCaveated:
  assertError:
    - 'document:one#viewer@user:bob with {"day":"x = y"} = depth exceeded'
validation:
  document:two#viewer:
    - "[user:* - {user:bob, user:cat[...]}] is <document:one#viewer>/<document:a/b#viewer>"
    - "[group:eng#member[...]]"
  document:one#viewer: []
"#;

#[test]
fn every_part_is_read_with_its_place() {
    let scenario = read(EVERY_PART).unwrap();
    assert_eq!(scenario.now.unwrap().to_string(), "2030-01-01T00:00:00Z");
    assert!(
        scenario
            .schema
            .text
            .starts_with("definition user {}\n\ndefinition document {\n")
    );
    assert_eq!(scenario.schema.position, Position { line: 4, column: 3 });
    let places: Vec<String> = scenario
        .relationships
        .iter()
        .map(|row| format!("{} {}", row.position, row.value.resource))
        .collect();
    assert_eq!(places, ["12:3 document:one", "13:5 document:two"]);
    let assertions: Vec<String> = scenario
        .assertions
        .iter()
        .map(|assertion| {
            let Assertion { question, expected } = &assertion.value;
            format!("{} {question} {expected:?}", assertion.position)
        })
        .collect();
    assert_eq!(
        assertions,
        [
            "17:7 document:one#viewer@user:ann Allowed",
            r#"18:7 document:one#viewer@user:bob with {"day":"friday with a = b"} Allowed"#,
            r#"21:7 document:one#viewer@user:bob with {"day":"x = y"} Error(DepthExceeded)"#,
        ]
    );
}

#[test]
fn expected_subjects_are_read_in_all_their_forms() {
    let scenario = read(EVERY_PART).unwrap();
    let [two, one] = scenario.validations.as_slice() else {
        panic!("{:?}", scenario.validations);
    };
    assert_eq!(one.value.subjects, []);
    let [everybody, set] = two.value.subjects.as_slice() else {
        panic!("{two:?}");
    };
    assert_eq!(everybody.value.subject.to_string(), "user:*");
    assert!(!everybody.value.is_conditional);
    let exceptions: Vec<_> = everybody
        .value
        .exceptions
        .iter()
        .map(|exception| (exception.subject.to_string(), exception.is_conditional))
        .collect();
    assert_eq!(
        exceptions,
        [
            ("user:bob".to_owned(), false),
            ("user:cat".to_owned(), true)
        ]
    );
    let relations: Vec<_> = everybody
        .value
        .relations
        .iter()
        .map(|(object, relation)| format!("{object}#{relation}"))
        .collect();
    assert_eq!(relations, ["document:one#viewer", "document:a/b#viewer"]);
    assert_eq!(set.value.subject.to_string(), "group:eng#member");
    assert!(set.value.is_conditional);
}

#[test]
fn a_schema_file_is_loaded() {
    let text = "schemaFile: ./document.zed\n";
    let scenario = Scenario::read("a.yaml", text, |path| Ok(format!("// {path}"))).unwrap();
    assert_eq!(scenario.schema.text, "// ./document.zed");
    assert_eq!(scenario.schema.file, "./document.zed");
    assert_eq!(
        error(text),
        "test.yaml:1:13: schema file `./document.zed`: no file `./document.zed`"
    );
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    assert_eq!(
        error("now: 2030-01-01T00:00:00Z\n"),
        "test.yaml:1:1: expected one of `schema` and `schemaFile`"
    );
    assert_eq!(
        error("schema: ''\nnow: soon\n"),
        "test.yaml:2:6: `soon` is not an RFC 3339 time such as `2027-01-31T12:00:00Z`"
    );
    assert_eq!(
        error("schema: ''\nrelationships: |-\n\n  doc:a#viewer\n"),
        "test.yaml:4:3: expected `@` in `viewer`, as in `document:readme#viewer@user:ann`"
    );
    assert_eq!(
        error(
            "schema: ''\nrelationships: |-\n  doc:a#viewer@user:ann\n  doc:a#viewer@user:ann[cav]\n"
        ),
        "test.yaml:4:3: relationship `doc:a#viewer@user:ann` already stands in line 3"
    );
    assert_eq!(
        error("schema: ''\nassertions:\n  assertTrue:\n    - doc:a#view@user:ann with day\n"),
        "test.yaml:4:7: caveat context is not JSON: expected value at line 1 column 1"
    );
    assert_eq!(
        error("schema: ''\nassertions:\n  assertError: [doc:a#view@user:ann = boredom]\n"),
        "test.yaml:3:17: expected ` = depth exceeded`, ` = cyclic exclusion` or ` = caveat error` at the end of \
         `doc:a#view@user:ann = boredom`"
    );
    assert_eq!(
        error("schema: ''\nvalidation:\n  doc:a#view: ['user:ann is <doc:a#view>']\n"),
        "test.yaml:3:16: expected `[` in `user:ann is <doc:a#view>`, as in `[user:ann] is <document:readme#viewer>`"
    );
    assert!(error("schema: ''\nassertion: {}\n").starts_with("test.yaml:2:1: "));
    assert!(error("schema: [\n").starts_with("test.yaml:"));
    assert!(error("").starts_with("test.yaml:"));
}

/// A scenario of the corpus with its schema and rows, asked of the oracle.
struct Asked {
    name: String,
    scenario: Scenario,
    schema: Schema,
    rows: Vec<Relationship>,
}

impl Asked {
    fn all() -> Vec<Self> {
        let files = testkit::corpus().unwrap();
        files
            .into_iter()
            .map(|file| {
                let load = |path: &str| {
                    std::fs::read_to_string(file.folder.join(path)).map_err(|e| e.to_string())
                };
                let scenario = Scenario::read(&file.name, &file.text, load)
                    .unwrap_or_else(|error| panic!("{error}"));
                let schema = Schema::compile(&scenario.schema.text)
                    .unwrap_or_else(|error| panic!("{}: {error:?}", file.name));
                let rows = scenario.relationships.iter().map(|row| row.value.clone());
                Self {
                    name: file.name,
                    rows: rows.collect(),
                    schema,
                    scenario,
                }
            })
            .collect()
    }

    fn ask(&self, question: &Question) -> Result<Decision, OracleError> {
        let question = oracle::Question {
            resource: question.resource.clone(),
            member: question.member.clone(),
            subject: question.subject.clone(),
            context: question.context.clone(),
            now: self.scenario.now.unwrap(),
        };
        oracle::check(
            &self.schema,
            &self.rows,
            &question,
            Limits::default().depth_max,
        )
    }

    /// The objects that stand as subjects, without those of a wildcard or a set.
    fn objects(&self) -> BTreeSet<SubjectRef> {
        let subjects = self.rows.iter().map(|row| row.subject.clone());
        subjects
            .filter(|subject| subject.relation.is_none() && subject.id != SubjectId::Wildcard)
            .collect()
    }
}

#[test]
fn the_oracle_agrees_with_every_assertion() {
    let mut faults = Vec::new();
    for asked in Asked::all() {
        assert!(
            !asked.scenario.assertions.is_empty(),
            "{}: asserts nothing",
            asked.name
        );
        for assertion in &asked.scenario.assertions {
            let Assertion { question, expected } = &assertion.value;
            let answer = asked.ask(question);
            let agrees = match expected {
                Expected::Allowed => answer == Ok(Decision::Allowed),
                Expected::Denied => answer == Ok(Decision::Denied),
                Expected::Conditional => matches!(answer, Ok(Decision::Conditional { .. })),
                Expected::Error(ExpectedError::DepthExceeded) => {
                    answer == Err(OracleError::DepthExceeded)
                }
                Expected::Error(ExpectedError::CyclicExclusion) => {
                    answer == Err(OracleError::CyclicExclusion)
                }
                Expected::Error(ExpectedError::Caveat) => {
                    matches!(answer, Err(OracleError::Caveat(_)))
                }
            };
            if !agrees {
                let place = format!("{}:{}", asked.name, assertion.position);
                faults.push(format!(
                    "{place}: {question} is {answer:?}, not {expected:?}"
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_oracle_agrees_with_every_validation() {
    let mut count = 0;
    for asked in Asked::all() {
        for validation in &asked.scenario.validations {
            count += 1;
            agree_on_validation(&asked, validation);
        }
    }
    assert!(count >= 40, "{count} validations");
}

fn agree_on_validation(asked: &Asked, validation: &Located<Validation>) {
    let place = format!("{}:{}", asked.name, validation.position);
    let ask = |subject: &SubjectRef| {
        let answer = asked.ask(&Question {
            resource: validation.value.resource.clone(),
            member: validation.value.member.clone(),
            subject: subject.clone(),
            context: Context::default(),
        });
        answer.unwrap_or_else(|error| panic!("{place}: {subject}: {error:?}"))
    };
    let listed: Vec<&ExpectedSubject> = validation
        .value
        .subjects
        .iter()
        .map(|subject| &subject.value)
        .collect();
    for expected in &listed {
        has_it_as_listed(&place, asked, expected, ask);
    }
    for object in asked.objects() {
        is_listed_if_it_has_it(&place, &listed, &object, &ask(&object));
    }
}

fn has_it_as_listed(
    place: &str,
    asked: &Asked,
    expected: &ExpectedSubject,
    ask: impl Fn(&SubjectRef) -> Decision,
) {
    let subject = &expected.subject;
    let somebody = match subject.id {
        SubjectId::Wildcard => format!("{}:somebody-unheard-of", subject.definition),
        SubjectId::Object(_) => subject.to_string(),
    };
    let decision = ask(&somebody.parse().unwrap());
    assert_ne!(decision, Decision::Denied, "{place}: {subject}");
    let is_conditional = decision != Decision::Allowed;
    assert_eq!(
        is_conditional, expected.is_conditional,
        "{place}: {subject}"
    );
    for (object, relation) in &expected.relations {
        let is_written = asked.rows.iter().any(|row| {
            let is_of_subject = row.subject == *subject
                || row.subject.id == SubjectId::Wildcard
                    && row.subject.definition == subject.definition;
            row.resource == *object && row.relation == *relation && is_of_subject
        });
        assert!(
            is_written,
            "{place}: {subject} is not in {object}#{relation}"
        );
    }
}

/// By its own name or by a wildcard, which names those that it does not mean.
fn is_listed_if_it_has_it(
    place: &str,
    listed: &[&ExpectedSubject],
    object: &SubjectRef,
    decision: &Decision,
) {
    let is_named = listed.iter().any(|expected| expected.subject == *object);
    let is_denied = *decision == Decision::Denied;
    let wildcard = listed.iter().find(|expected| {
        expected.subject.id == SubjectId::Wildcard
            && expected.subject.definition == object.definition
    });
    let Some(wildcard) = wildcard else {
        return assert_ne!(is_denied, is_named, "{place}: {object}");
    };
    let exception = wildcard
        .exceptions
        .iter()
        .find(|exception| exception.subject == *object);
    match exception {
        None => assert!(!is_denied, "{place}: {object}"),
        Some(exception) => {
            assert_ne!(*decision, Decision::Allowed, "{place}: {object}");
            assert_ne!(is_denied, exception.is_conditional, "{place}: {object}");
        }
    }
}

#[test]
fn the_engine_agrees_with_every_scenario() {
    let mut failures = Vec::new();
    for file in testkit::corpus().unwrap() {
        let scenario = Scenario::read(&file.name, &file.text, |path| Err(path.to_owned())).unwrap();
        let stage = Stage::of(&scenario, model::Timestamp::EPOCH).unwrap();
        let found = stage.run().into_iter();
        failures.extend(
            found.map(|failure| format!("{}:{}: {}", file.name, failure.position, failure.message)),
        );
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_scenario_says_what_it_shows_and_when() {
    for file in testkit::corpus().unwrap() {
        assert!(file.text.starts_with("# "), "{}", file.name);
        assert!(file.text.contains("\nnow: "), "{}", file.name);
    }
}

#[test]
fn a_random_case_prints_as_a_scenario_that_says_what_the_oracle_says() {
    for seed in 0..60 {
        let case = testkit::case(seed);
        let mut questions = 0;
        for file in case.to_string().split("---\n") {
            let scenario = read(file).unwrap_or_else(|error| panic!("{error}\n{file}"));
            assert_eq!(scenario.relationships.len(), case.relationships.len());
            let asked = Asked {
                name: format!("seed {seed}"),
                schema: Schema::compile(&scenario.schema.text).unwrap(),
                rows: case.relationships.clone(),
                scenario,
            };
            for assertion in &asked.scenario.assertions {
                questions += 1;
                let Assertion { question, expected } = &assertion.value;
                let is_allowed = asked.ask(question) == Ok(Decision::Allowed);
                let says_allowed = *expected == Expected::Allowed;
                let is_shallow = case.depth_max == Limits::default().depth_max;
                assert!(
                    !is_shallow || is_allowed == says_allowed,
                    "{question}\n{file}"
                );
            }
        }
        assert_eq!(questions, case.questions.len());
    }
}
