//! No file of rules and no request makes the edge panic; nothing passes that no route is for, and no answer is an allow of itself.
#![no_main]

use edge::{Answer, Fact, Facts, Rules};
use libfuzzer_sys::fuzz_target;
use model::Value;

struct Request<'a> {
    method: &'a str,
    host: &'a str,
    target: &'a str,
}

impl Facts for Request<'_> {
    fn method(&self) -> &str {
        self.method
    }

    fn host(&self) -> &str {
        self.host
    }

    fn target(&self) -> &str {
        self.target
    }

    fn header(&self, name: &str) -> Option<String> {
        Some(format!("{name}{}", self.target))
    }

    fn fact(&self, of: Fact<'_>) -> Option<Value> {
        match of {
            Fact::Address | Fact::Principal => Some(Value::String(self.host.to_owned())),
            Fact::Claims { .. } | Fact::Extensions | Fact::RouteMetadata => None,
        }
    }
}

fuzz_target!(|input: (&str, &str, &str, &str)| {
    let (text, method, host, target) = input;
    let Ok(rules) = Rules::read("fuzzed", text) else {
        return;
    };
    let request = Request { method, host, target };
    let Ok(found) = rules.find(&request) else {
        return;
    };
    let asked = found.ask(&request, None);
    let is_asked = asked.to_answer().is_some();
    let count = asked.questions().len();
    let verdict = asked.verdict(&vec![Answer::Failed; count]);
    // In a mode that enforces what is asked has to be answered.
    assert!(!is_asked || !verdict.allows() || text.contains("shadow"));
});
