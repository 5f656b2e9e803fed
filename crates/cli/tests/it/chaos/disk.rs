//! A disk that is full, cannot be written, fails or is slow, under a server that is asked and written to.
//!
//! `strace` has the system calls of the running server fail as those of a bad disk do.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use testkit::rng::Rng;

use super::Traffic;
use crate::asking::{EVENTUALLY, Plain, address_in, eventually};
use crate::{SCHEMA, Served, run, serve};

/// What a disk does, as `strace` puts it, and whether writes fail of it.
const FAULTS: [(&str, &str, bool); 4] = [
    ("it is full", "pwrite64:error=ENOSPC", true),
    ("it cannot be written", "pwrite64:error=EROFS", true),
    ("writing fails", "pwrite64:error=EIO", true),
    ("it is slow", "fsync,fdatasync:delay_enter=300000", false),
];

/// How long a slow disk takes at least, which is in the fault as microseconds.
const SLOW: Duration = Duration::from_millis(300);

/// A disk of which nobody knows what it holds: the server takes no more commits until it is started anew.
const SYNC_FAILS: &str = "fsync,fdatasync:error=EIO";

const SEED: u64 = 8;

/// The server's system calls fail for as long as this lives.
struct Bad(Child);

impl Bad {
    /// None where processes may not be looked into.
    async fn disk(served: &Served, fault: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let told = folder.path().join("told");
        let child = Command::new("strace")
            .args([
                "-f",
                "-q",
                "-e",
                &format!("trace={}", fault.split(':').next()?),
            ])
            .args(["-e", &format!("inject={fault}"), "-o", "/dev/null"])
            .args(["-p", &served.0.id().to_string()])
            .stderr(fs::File::create(&told).unwrap())
            .stdout(Stdio::null())
            .spawn();
        let mut bad = Self(child.ok()?);
        let threads = format!("/proc/{}/task", served.0.id());
        let is_traced = || {
            fs::read_dir(&threads).unwrap().all(|thread| {
                let status = thread.unwrap().path().join("status");
                // A thread that has ended meanwhile calls nothing any more.
                fs::read_to_string(status).is_ok_and(|it| !it.contains("TracerPid:\t0\n"))
            })
        };
        let begun = Instant::now();
        while !is_traced() {
            if bad.0.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(
                begun.elapsed() < EVENTUALLY,
                "{:?}",
                fs::read_to_string(&told)
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Some(bad)
    }
}

impl Drop for Bad {
    fn drop(&mut self) {
        let ended = Command::new("kill")
            .args(["-INT", &self.0.id().to_string()])
            .status();
        assert!(ended.is_ok_and(|status| status.success()));
        let _waited = self.0.wait();
    }
}

fn start(at: &Path) -> Served {
    serve(at, "sqlite:remit.db")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_disk_stops_writes_alone_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("schema.zed"), SCHEMA).unwrap();
    let served = start(at);
    assert_eq!(run(at, &["schema", "write", "schema.zed"]).0, 0);
    let connect = async || Plain::connect(address_in(at), None).await.unwrap();
    let mut writer = connect().await;
    writer.write("there").await.unwrap();
    let traffic = Traffic::start(connect().await);
    let mut rng = Rng::new(SEED);
    let (mut acknowledged, mut tried) = (BTreeSet::new(), 0);
    let mut faults: Vec<_> = FAULTS.iter().chain(&FAULTS).collect();
    while !faults.is_empty() {
        let (what, fault, has_to_fail) = faults.swap_remove(rng.below(faults.len()));
        let Some(bad) = Bad::disk(&served, fault).await else {
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: a bad disk needs strace and the right to trace"
            );
            return traffic.end().await;
        };
        for _ in 0..3 {
            tried += 1;
            let begun = Instant::now();
            let written = writer.write(&format!("d{tried}")).await;
            assert_eq!(written.is_err(), *has_to_fail, "{what}: {written:?}");
            assert!(
                *has_to_fail || begun.elapsed() >= SLOW,
                "{what}: not at all"
            );
            if written.is_ok() {
                acknowledged.insert(format!("d{tried}"));
            }
        }
        traffic.goes_on().await;
        drop(bad);
        eventually("the disk is good again, and is written", async || {
            tried += 1;
            let name = format!("d{tried}");
            let is_written = writer.write(&name).await.is_ok();
            is_written && acknowledged.insert(name)
        })
        .await;
    }

    let bad = Bad::disk(&served, SYNC_FAILS).await.unwrap();
    assert!(writer.write("lost").await.is_err());
    drop(bad);
    let refused = writer.write("later").await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
    traffic.goes_on().await;
    traffic.end().await;
    drop(served);

    let _served = start(at);
    let mut again = connect().await;
    again.write("again").await.unwrap();
    for name in &acknowledged {
        assert!(
            again.is_allowed(name).await.unwrap(),
            "`{name}` was acknowledged"
        );
    }
    assert!(acknowledged.len() >= FAULTS.len() * 2);
}
