//! One, two and three nodes, each a process, on one database.
//!
//! All share the machine, and so its processors: what a call costs, and how far nodes are behind, tells more than their sum.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use identity::Caller;
use model::{Clock as _, SystemClock};
use ops::Node;
use ops::write::Write;

use crate::child::{ARGUMENT, Load, TELL, Told};
use crate::{open, row, say, start};

const NODES_MAX: usize = 3;
const SPAN: Duration = Duration::from_secs(4);
/// What one node more, in this process, commits a second; the others tell how far they are behind.
const COMMITS: u32 = 200;
/// Where other nodes write as fast as they can, it only probes.
const PROBES: u32 = 50;
const WRITERS: u64 = 16;
const CHECKS: u32 = 1_000;

/// Measures all of it on the database of `url`.
pub(crate) async fn measure(url: &str) {
    let mut writer = Writer {
        node: start(open(&url.parse().unwrap())).await,
        written: u64::MAX / 4,
    };
    say(&format!(
        "\nchecks, one after the other at each node, while {COMMITS} commits a second are made\n\
         nodes   checks a second of each   CPU a check   lag p50, p99"
    ));
    for count in 1..=NODES_MAX {
        let mut nodes = start_all(url, Load::Checks, count);
        for told in writer.write_for(SPAN, COMMITS, &mut nodes).await {
            say(&format!(
                "{count:>5} {:>25.0} {:>10.2} us {:>9.2}, {:.2} ms",
                told.rate, told.cpu_us, told.lag_ms[0], told.lag_ms[1]
            ));
        }
    }
    say(&format!(
        "\nwrites of one relationship, {WRITERS} writers at each node\n\
         nodes   commits a second of each   of all   CPU a commit   write p50, p99        lag p50, p99"
    ));
    for count in 1..=NODES_MAX {
        let mut nodes = start_all(url, Load::Writers(WRITERS), count);
        let all = writer.write_for(SPAN, PROBES, &mut nodes).await;
        let sum: f64 = all.iter().map(|told| told.rate).sum();
        for told in all {
            say(&format!(
                "{count:>5} {:>26.0} {sum:>8.0} {:>11.0} us {:>9.2}, {:.2} ms {:>9.2}, {:.2} ms",
                told.rate,
                told.cpu_us,
                told.took_ms[0],
                told.took_ms[1],
                told.lag_ms[0],
                told.lag_ms[1]
            ));
        }
    }
    join(url, &mut writer).await;
    writer.node.stop();
}

/// A third node starts beside two that answer.
async fn join(url: &str, writer: &mut Writer) {
    say(&format!(
        "\n{CHECKS} checks a second at each of two nodes, and {COMMITS} commits a second, while a third node starts\n\
         when                  check p50, p99        lag p50, p99"
    ));
    let mut nodes = start_all(url, Load::ChecksAtRate(CHECKS), 2);
    let before = writer.write_for(SPAN, COMMITS, &mut nodes).await;
    let own_url = url.to_owned();
    let third = std::thread::spawn(move || {
        let begun = Instant::now();
        let third = start_all(&own_url, Load::ChecksAtRate(CHECKS), 1);
        (third, begun.elapsed())
    });
    let goes_on = || !third.is_finished();
    let meanwhile = writer.write_while(goes_on, COMMITS, &mut nodes).await;
    let (third, took) = third.join().unwrap();
    nodes.extend(third);
    let after = writer.write_for(SPAN, COMMITS, &mut nodes).await;
    for (when, all) in [
        ("before", before),
        ("while it starts", meanwhile),
        ("after", after),
    ] {
        for told in all {
            say(&format!(
                "{when:<16} {:>12.3}, {:.3} ms {:>9.2}, {:.2} ms",
                told.took_ms[0], told.took_ms[1], told.lag_ms[0], told.lag_ms[1]
            ));
        }
    }
    say(&format!("it was ready after {:.2} s", took.as_secs_f64()));
}

/// The node of this process.
struct Writer {
    node: Arc<Node>,
    written: u64,
}

impl Writer {
    async fn write_for(&mut self, span: Duration, rate: u32, nodes: &mut [Process]) -> Vec<Told> {
        let begun = Instant::now();
        self.write_while(|| begun.elapsed() < span, rate, nodes)
            .await
    }

    /// Commits at a rate and tells the nodes of each; what they counted meanwhile.
    async fn write_while(
        &mut self,
        goes_on: impl Fn() -> bool,
        rate: u32,
        nodes: &mut [Process],
    ) -> Vec<Told> {
        let caller = Caller::without_authentication();
        // What was before does not count.
        let _ = tell(nodes);
        let mut turns = tokio::time::interval(Duration::from_secs(1) / rate);
        while goes_on() {
            turns.tick().await;
            self.written += 1;
            let write = Write {
                updates: vec![row(self.written)],
                ..Write::default()
            };
            let token = ops::write::write(&self.node, &caller, write).await.unwrap();
            let line = format!("{token} {}\n", SystemClock.now().as_micros());
            for node in nodes.iter_mut() {
                node.input.write_all(line.as_bytes()).unwrap();
            }
        }
        tell(nodes)
    }
}

/// A node in a process of its own, which ends with the value.
struct Process {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// Starts nodes side by side, until they are ready.
fn start_all(url: &str, load: Load, count: usize) -> Vec<Process> {
    let mut nodes: Vec<Process> = (0..count).map(|_| Process::start(url, load)).collect();
    for node in &mut nodes {
        assert_eq!(node.line(), "ready");
    }
    nodes
}

fn tell(nodes: &mut [Process]) -> Vec<Told> {
    for node in nodes.iter_mut() {
        writeln!(node.input, "{TELL}").unwrap();
    }
    let told = nodes.iter_mut().map(|node| node.line().parse().unwrap());
    told.collect()
}

impl Process {
    fn start(url: &str, load: Load) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([ARGUMENT, url, &load.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (process.stdin.take(), process.stdout.take());
        Self {
            input: input.unwrap(),
            output: BufReader::new(output.unwrap()),
            process,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
