//! What is wrong with a file of rules is told, with its place.

use decision_log::Rules;

fn faults(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.toml");
    std::fs::write(&file, text).unwrap();
    let told = Rules::read(&file).unwrap_err().to_string();
    told.replace(&format!("{}:", file.display()), "")
}

#[test]
fn every_fault_is_told_with_its_place() {
    let text = "[labels]\nid = \"x\"\n[defaults]\nsample = 1.5\nmask = [\"/input/subjekt\"]\n[[rule]]\nprotocol = [\"smtp\"]\n\
                sample = -1\n[buffer]\nbytes_max = 1\n[[sink]]\nfile = \"a\"\nhttp = \"https://b\"\n[[sink]]\n\
                http = \"http://logs.example.com/logs\"\n[[sink]]\nhttp = \"https://user:secret@logs.example.com\"\n\
                [[sink]]\nfile = \"a\"\nfiles_max = 5000\n[[sink]]\nname = \"a b\"\notlp = \"nothing\"\n";
    let told = faults(text);
    let expected = [
        "2:6: the label `id` is given by the server",
        "4:10: `sample` is a part of all, from 0 to 1",
        "5:9: `/input/subjekt` is no part of an event that can be hidden",
        "7:13: `smtp` is no protocol",
        "8:10: `sample` is a part of all",
        "10:13: `bytes_max` is at least 65536",
        "11:1: a sink has one of `file`, `http` and `otlp`",
        "15:8: what is decided about people is sent over `https`",
        "17:8: a URL holds no credential",
        "20:13: `files_max` is at least 0 and less than 1001",
        "23:8: expected a URL",
    ];
    for fault in expected {
        assert!(told.contains(fault), "{fault} in\n{told}");
    }
    assert!(!told.contains("secret"), "{told}");
}

#[test]
fn what_is_no_file_of_rules_is_refused() {
    let told = faults("[defaults]\nsampel = 1\n[[sink]]\nfile = \"a\"\n");
    assert!(told.starts_with("2:1: unknown field `sampel`"), "{told}");
    let told = faults("[defaults\n");
    assert!(told.starts_with("1:"), "{told}");
    assert!(faults("").contains("there are 0 sinks: expected 1 to 8"));
    let twice = "[[sink]]\nname = \"x\"\nfile = \"a\"\n[[sink]]\nname = \"x\"\nfile = \"b\"\n";
    assert!(faults(twice).contains("two sinks are called `x`"));
    let salt = "salt_file = \"nowhere\"\n[[sink]]\nfile = \"a\"\n";
    assert!(faults(salt).contains("cannot read"));
    let missing = Rules::read(std::path::Path::new("/nonexistent/rules.toml")).unwrap_err();
    assert!(
        missing
            .to_string()
            .contains("cannot read `/nonexistent/rules.toml`")
    );
}
