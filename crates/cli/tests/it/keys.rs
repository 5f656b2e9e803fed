//! Keys in a file, which are rotated while the server serves.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::{run, serve_with};

#[test]
fn keys_of_a_file_are_read_again_on_a_hangup() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let file = at.join("keys");
    std::fs::write(&file, "test:open-sesame\n").unwrap();
    let keys = ["--preshared-key-file", file.to_str().unwrap()];
    let served = serve_with(at, "memory:", "127.0.0.1:0", &keys);
    let ask = |key| run(at, &["schema", "read", "--token", key]).2;
    assert!(!ask("open-sesame").contains("preshared key"));
    assert!(ask("another").contains("preshared key"));

    let hang_up = || {
        let process = served.0.id().to_string();
        let sent = Command::new("kill").args(["-HUP", &process]).status();
        assert!(sent.unwrap().success());
    };
    std::fs::write(&file, "test:another\n").unwrap();
    hang_up();
    let begun = Instant::now();
    while ask("another").contains("preshared key") {
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
    assert!(ask("open-sesame").contains("preshared key"));

    // What is no file of keys leaves them as they are.
    std::fs::write(&file, "").unwrap();
    hang_up();
    for _ in 0..30 {
        assert!(!ask("another").contains("preshared key"));
    }
}
