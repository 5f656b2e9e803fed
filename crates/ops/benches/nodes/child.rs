//! A node in a process of its own, and what is asked of it there; counted from one line of the standard input to the next.

use std::fs;
use std::io::stdin;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use identity::Caller;
use model::{Clock as _, Context, Decision, SystemClock, Timestamp, Token};
use ops::check::Question;
use ops::write::Write;
use ops::{Consistency, Node};
use tokio::runtime::Handle;

use crate::{millis_at, open, row, say, start};

/// What the process is started with.
pub(crate) const ARGUMENT: &str = "node";
/// Line: tell what was counted since the last one.
pub(crate) const TELL: &str = "tell";
/// Of so many checks of a loop one is timed.
const TIMED: u64 = 16;
/// Objects that are asked about.
const ASKED: u64 = 100_000;

/// What is asked of the node.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Load {
    /// One check after the other.
    Checks,
    /// So many checks a second, each when it is due.
    ChecksAtRate(u32),
    /// So many writers, each one commit after the other.
    Writers(u64),
}

impl FromStr for Load {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.split_once('=') {
            None => Self::Checks,
            Some(("writers", count)) => Self::Writers(count.parse()?),
            Some((_, rate)) => Self::ChecksAtRate(rate.parse()?),
        })
    }
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Checks => f.write_str("checks"),
            Self::ChecksAtRate(rate) => write!(f, "rate={rate}"),
            Self::Writers(count) => write!(f, "writers={count}"),
        }
    }
}

/// What a node tells: numbers on a line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    /// Calls a second, and the processor time of all the process for each, in microseconds.
    pub(crate) rate: f64,
    pub(crate) cpu_us: f64,
    /// How long calls took, and how long the node was behind, in milliseconds: half of them, and all but one of a hundred.
    pub(crate) took_ms: [f64; 2],
    pub(crate) lag_ms: [f64; 2],
}

impl FromStr for Told {
    type Err = std::num::ParseFloatError;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let numbers: Result<Vec<f64>, _> = line.split_whitespace().map(str::parse).collect();
        let numbers = numbers?;
        let at = |place: usize| numbers.get(place).copied().unwrap_or(f64::NAN);
        Ok(Self {
            rate: at(0),
            cpu_us: at(1),
            took_ms: [at(2), at(3)],
            lag_ms: [at(4), at(5)],
        })
    }
}

#[derive(Default)]
struct Counts {
    calls: AtomicU64,
    took: Mutex<Vec<Duration>>,
    lags: Mutex<Vec<Duration>>,
}

/// Runs the node until the standard input ends. Its lines are tokens, each with the instant at which it was acknowledged, and
/// [`TELL`].
pub(crate) fn run(url: &str, load: Load) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let node = runtime.block_on(start(open(&url.parse().unwrap())));
    let counts = Arc::new(Counts::default());
    ask(&runtime, &node, load, &counts);
    say("ready");
    let (mut begun, mut cpu) = (Instant::now(), cpu_time());
    for line in stdin().lines() {
        let line = line.unwrap();
        if line == TELL {
            tell(&counts, begun.elapsed(), cpu_time() - cpu);
            (begun, cpu) = (Instant::now(), cpu_time());
        } else {
            let (token, acknowledged) = line.split_once(' ').unwrap();
            let token: Token = token.parse().unwrap();
            let acknowledged = Timestamp::from_micros(acknowledged.parse().unwrap()).unwrap();
            let (node, counts) = (Arc::clone(&node), Arc::clone(&counts));
            runtime.spawn(async move {
                let seen = node.view(Consistency::AtLeastAsFresh(token)).await;
                seen.unwrap();
                let lag = SystemClock.now().as_micros() - acknowledged.as_micros();
                let lag = Duration::from_micros(u64::try_from(lag).unwrap_or_default());
                held(&counts.lags).push(lag);
            });
        }
    }
    // With all that is still asked.
    std::process::exit(0);
}

fn ask(runtime: &tokio::runtime::Runtime, node: &Arc<Node>, load: Load, counts: &Arc<Counts>) {
    let (node, counts) = (Arc::clone(node), Arc::clone(counts));
    match load {
        Load::Checks => {
            let handle = runtime.handle().clone();
            std::thread::spawn(move || check_on_and_on(&handle, &node, &counts));
        }
        Load::ChecksAtRate(rate) => {
            let handle = runtime.handle().clone();
            std::thread::spawn(move || check_when_due(&handle, &node, rate, &counts));
        }
        Load::Writers(writers) => {
            for writer in 0..writers {
                let (node, counts) = (Arc::clone(&node), Arc::clone(&counts));
                runtime.spawn(write_on_and_on(node, writer, counts));
            }
        }
    }
}

fn check_on_and_on(handle: &Handle, node: &Node, counts: &Counts) {
    let questions: Vec<Question> = (0..ASKED).map(question).collect();
    for (number, question) in (0..).zip(questions.iter().cycle()) {
        let begun = Instant::now();
        handle.block_on(check(node, question));
        counts.calls.fetch_add(1, Ordering::Relaxed);
        if number % TIMED == 0 {
            held(&counts.took).push(begun.elapsed());
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the runtime's own timer is exact to a millisecond"
)]
fn check_when_due(handle: &Handle, node: &Node, rate: u32, counts: &Counts) {
    let mut due = Instant::now();
    for number in 0.. {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        handle.block_on(check(node, &question(number % ASKED)));
        counts.calls.fetch_add(1, Ordering::Relaxed);
        held(&counts.took).push(due.elapsed());
        due += Duration::from_secs(1) / rate;
    }
}

async fn write_on_and_on(node: Arc<Node>, writer: u64, counts: Arc<Counts>) {
    let caller = Caller::without_authentication();
    // Of no other process or writer.
    let first = u64::from(std::process::id()) << 40 | writer << 32;
    for number in first.. {
        let write = Write {
            updates: vec![row(number)],
            ..Write::default()
        };
        let begun = Instant::now();
        ops::write::write(&node, &caller, write).await.unwrap();
        counts.calls.fetch_add(1, Ordering::Relaxed);
        held(&counts.took).push(begun.elapsed());
    }
}

/// One that is answered with yes.
fn question(number: u64) -> Question {
    let relationship = row(number).relationship;
    Question {
        resource: relationship.resource,
        permission: "viewer".to_owned(),
        subject: relationship.subject,
        context: Context::default(),
    }
}

async fn check(node: &Node, question: &Question) {
    let caller = Caller::without_authentication();
    let answered = ops::check::check(node, &caller, Consistency::MinimizeLatency, question).await;
    assert_eq!(answered.unwrap().answer, Decision::Allowed);
}

fn tell(counts: &Counts, passed: Duration, cpu: Duration) {
    let calls = counts.calls.swap(0, Ordering::Relaxed) as f64;
    let mut took = std::mem::take(&mut *held(&counts.took));
    let mut lags = std::mem::take(&mut *held(&counts.lags));
    say(&format!(
        "{} {} {} {} {} {}",
        calls / passed.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / calls,
        millis_at(&mut took, 0.5),
        millis_at(&mut took, 0.99),
        millis_at(&mut lags, 0.5),
        millis_at(&mut lags, 0.99),
    ));
}

/// What all threads of this process have used.
fn cpu_time() -> Duration {
    /// What Linux counts in, on every machine.
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // After the name, which ends with the last parenthesis: the 12th and the 13th are user and system.
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let times = rest.split_whitespace().skip(11).take(2);
    TICK * times.map(|time| time.parse::<u32>().unwrap()).sum()
}

fn held<T>(values: &Mutex<T>) -> MutexGuard<'_, T> {
    values.lock().unwrap_or_else(PoisonError::into_inner)
}
