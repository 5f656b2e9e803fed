//! The sink that is a file: rotated, moved away, on a disk that is full.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::running::{PATIENCE, lines, numbered, resources, start};

const DELIVERED: &str = "remit_decision_log_delivered_total{sink=\"near\"}";

#[tokio::test]
async fn a_file_is_rotated_and_the_oldest_goes() {
    let text = "[[sink]]\nname = \"near\"\nfile = \"log\"\nrotate_bytes = 4096\nfiles_max = 2\nsync = true\n";
    let running = start(text).await;
    let mut asked = 0;
    while asked < 60 {
        running.ask_numbered(asked..asked + 5).await;
        asked += 5;
        running.metric_comes_to(DELIVERED, asked as f64).await;
    }
    assert_eq!(running.stop(PATIENCE).await, []);
    let at = |name: &str| running.folder.path().join(name);
    assert!(!at("log.3").exists());
    let mut kept = Vec::new();
    for name in ["log.2", "log.1", "log"] {
        let metadata = std::fs::metadata(at(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert!(metadata.len() <= 4096, "{name}: {}", metadata.len());
        kept.extend(resources(&lines(&at(name))));
    }
    assert_eq!(kept, numbered(60 - kept.len()..60));
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_begun_again_and_half_a_line_stays_alone() {
    let running = start("[[sink]]\nname = \"near\"\nfile = \"log\"\n").await;
    let at = |name: &str| running.folder.path().join(name);
    running.ask_numbered(0..3).await;
    running.metric_comes_to(DELIVERED, 3.0).await;
    std::fs::rename(at("log"), at("moved")).unwrap();
    running.ask_numbered(3..6).await;
    running.metric_comes_to(DELIVERED, 6.0).await;
    std::fs::rename(at("log"), at("moved-too")).unwrap();
    // As a crash of whoever wrote it leaves it.
    std::fs::write(at("log"), "{\"half\": ").unwrap();
    running.ask_numbered(6..9).await;
    assert_eq!(running.stop(PATIENCE).await, []);
    assert_eq!(resources(&lines(&at("moved"))), numbered(0..3));
    assert_eq!(resources(&lines(&at("moved-too"))), numbered(3..6));
    let text = std::fs::read_to_string(at("log")).unwrap();
    let rest = text.strip_prefix("{\"half\": \n").unwrap();
    assert_eq!(rest.lines().count(), 3);
}

/// A file system of 128 KiB, which goes with it.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=128k", "tmpfs"])
            .arg(folder.path())
            .output();
        let is_mounted = mount.is_ok_and(|mount| mount.status.success());
        is_mounted.then_some(Self(folder))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_loses_no_line_that_fits_the_queue_and_leaves_no_half() {
    let Some(small) = Small::mount() else {
        eprintln!("SKIPPED: no file system can be mounted here, so no disk is full");
        return;
    };
    let filler = small.0.path().join("filler");
    std::fs::write(&filler, vec![0_u8; 104 << 10]).unwrap();
    let file = small.0.path().join("log");
    let running = start(&format!("[[sink]]\nname = \"near\"\nfile = {file:?}\n")).await;
    running.ask_numbered(0..100).await;
    running
        .metric_comes_to("remit_decision_log_sink_failures_total{sink=\"near\"}", 1.0)
        .await;
    let whole = resources(&lines(&file));
    assert!(whole.len() < 100);
    std::fs::remove_file(&filler).unwrap();
    running.metric_comes_to(DELIVERED, 100.0).await;
    assert_eq!(running.stop(PATIENCE).await, []);
    assert_eq!(resources(&lines(&file)), numbered(0..100));
    assert_eq!(running.metric("remit_decision_log_dropped_total"), 0.0);
}
