//! A clock that is set forwards and backwards, by hours, under a node that has a file to itself: nobody else's clock tells that it is wrong.
//!
//! What holds all the same: no commit is before another that it follows, an answer is as of its commit's time or later, and so what had expired
//! when a commit was made has expired for every answer from then on, wherever the clock goes. What is judged here is the log that is
//! there in the end: by each answer's token it tells the commit's time, and the node's clock is known before and after each.
//!
//! What is to happen is drawn from a seed; `CLOCK_SEED=n` runs that plan.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use model::{Clock as _, Revision, SystemClock, Timestamp, Token};
use remit_client::proto::authzed::api::v1 as wire;
use store::{LogQuery, SqliteStore, Store as _};
use testkit::rng::Rng;
use tonic::{Code, Status};
use wire::consistency::Requirement;
use wire::relationship_update::Operation;

use crate::asking::{Plain, address_in, eventually, is_allow, may_view, viewer};
use crate::nodes::clock::Clock;
use crate::{REMIT, Served, run, serve_by};

const SCHEMA: &str = "use expiration\ndefinition user {}\ndefinition doc {\n\trelation viewer: user with expiration\n\tpermission view = viewer\n}\n";
const SEED: u64 = 11;
const STEPS: i64 = 1_200;
const MICROS: i64 = 1_000_000;
/// How far the clock is off at most, either way.
const OFF_SECONDS_MAX: i64 = 2 * 3_600;
/// The clock is set to thousandths of a second.
const PRECISION_MICROS: i64 = 1_000;

/// A node whose clock is this far off.
struct Site {
    served: Option<Served>,
    client: Plain,
    clock: Clock,
    off_millis: i64,
    /// The latest that the clock has shown at a commit.
    newest: i64,
}

/// What was answered, with what the node's clock showed before and after.
struct Answer {
    doc: usize,
    is_allowed: bool,
    at: Revision,
    clock: (i64, i64),
}

/// What there was, as the one client saw it, in order.
#[derive(Default)]
struct Seen {
    /// When each document's relationship expires, in microseconds, by its number.
    expires: Vec<i64>,
    /// Commits that were acknowledged: which document, and what the node's clock showed.
    written: BTreeMap<Revision, (usize, (i64, i64))>,
    tokens: Vec<wire::ZedToken>,
    answers: Vec<Answer>,
    /// What was refused, by its cause.
    refused: BTreeMap<&'static str, usize>,
}

fn start(at: &Path, clock: &Clock) -> Served {
    let mut command = Command::new(REMIT);
    clock.give_to(&mut command);
    let keys = ["--preshared-key", "test:open-sesame"];
    serve_by(command, at, "sqlite:remit.db", "127.0.0.1:0", &keys)
}

fn revision(token: Option<&wire::ZedToken>) -> Revision {
    token.unwrap().token.parse::<Token>().unwrap().revision
}

/// A number of that size at most.
fn either_way(rng: &mut Rng, most: i64) -> i64 {
    let count = usize::try_from(2 * most + 1).unwrap();
    i64::try_from(rng.below(count)).unwrap() - most
}

fn seed() -> u64 {
    let asked = std::env::var_os("CLOCK_SEED");
    asked.map_or(SEED, |seed| seed.to_str().unwrap().parse().unwrap())
}

impl Site {
    /// What the node's clock shows.
    fn now(&self) -> i64 {
        SystemClock.now().as_micros() + self.off_millis * 1_000
    }

    fn set(&mut self, off_millis: i64) {
        self.off_millis = off_millis;
        self.clock.set(off_millis);
    }

    /// Ends the node where it stands, and starts it again.
    async fn kill(&mut self, at: &Path) {
        drop(self.served.take());
        self.served = Some(start(at, &self.clock));
        self.client = Plain::connect(address_in(at), None).await.unwrap();
    }

    /// Until the node answers: one whose clock leapt does not know that it is at the head until it has asked again.
    async fn answers(&mut self) {
        let client = &mut self.client;
        eventually("the node answers", async || {
            client.is_allowed("nothing").await.is_ok()
        })
        .await;
    }

    /// Creates a document's relationship, which expires about now by some clock.
    async fn write(&mut self, seen: &mut Seen, rng: &mut Rng) {
        let about = if rng.chance(50) {
            self.now().max(self.newest)
        } else {
            self.now()
        };
        let expires_at = about + either_way(rng, OFF_SECONDS_MAX) * MICROS;
        let doc = seen.expires.len();
        let expires = Some(Timestamp::from_micros(expires_at).unwrap());
        let before = self.now();
        let written = viewer(Operation::Create, &format!("d{doc}"), expires);
        let token = match self.client.commit(written).await {
            Ok(token) => token,
            // Nothing was written, or the next one would find it there.
            Err(status) => return seen.refuse(&status),
        };
        seen.expires.push(expires_at);
        self.newest = self.newest.max(before);
        let at = revision(Some(&token));
        seen.written.insert(at, (doc, (before, self.now())));
        seen.tokens.push(token);
    }

    async fn check(&mut self, seen: &mut Seen, rng: &mut Rng) {
        if seen.tokens.is_empty() {
            return;
        }
        // Mostly of those that were written last.
        let most = seen
            .expires
            .len()
            .min(if rng.chance(70) { 20 } else { usize::MAX });
        let doc = seen.expires.len() - 1 - rng.below(most);
        let freshness = match rng.below(4) {
            0 => Requirement::MinimizeLatency(true),
            1 => Requirement::FullyConsistent(true),
            2 => Requirement::AtLeastAsFresh(rng.pick(&seen.tokens).clone()),
            _ => Requirement::AtExactSnapshot(rng.pick(&seen.tokens).clone()),
        };
        let before = self.now();
        match self
            .client
            .check(may_view(&format!("d{doc}"), Some(freshness)))
            .await
        {
            Ok(answered) => seen.answers.push(Answer {
                doc,
                is_allowed: is_allow(&answered),
                at: revision(answered.checked_at.as_ref()),
                clock: (before, self.now()),
            }),
            Err(status) => seen.refuse(&status),
        }
    }
}

/// Why a node whose clock was set may refuse to answer: it says so, and of nothing else.
fn cause(status: &Status) -> &'static str {
    let known = [
        (Code::Unavailable, "this node has not confirmed for over"),
        (Code::OutOfRange, "invalid revision"),
    ];
    let cause = known
        .into_iter()
        .find(|(code, text)| status.code() == *code && status.message().contains(text));
    cause.unwrap_or_else(|| panic!("{status:?}")).1
}

impl Seen {
    fn refuse(&mut self, status: &Status) {
        *self.refused.entry(cause(status)).or_default() += 1;
    }

    /// Holds every answer to the log that is there in the end.
    fn hold(&self, times: &HashMap<Revision, i64>) -> String {
        self.hold_times(times);
        let first_of = |doc: usize| {
            let mut written = self.written.iter();
            *written.find(|(_, (of, _))| *of == doc).unwrap().0
        };
        let firsts: Vec<_> = (0..self.expires.len()).map(first_of).collect();
        // The least revision of which each document was denied for what its commit's time said.
        let mut denied: HashMap<usize, Revision> = HashMap::new();
        let (mut sure, mut by_clock, mut allowed) = (0, 0, 0);
        for answer in &self.answers {
            let (expires, time) = (self.expires[answer.doc], times[&answer.at]);
            let is_there = firsts[answer.doc] <= answer.at;
            let now = (
                answer.clock.0.max(time) - PRECISION_MICROS,
                answer.clock.1.max(time) + PRECISION_MICROS,
            );
            let told = || {
                format!(
                    "d{}, at {}: now {now:?}, expires {expires}",
                    answer.doc, answer.at
                )
            };
            if !is_there || expires <= now.0 {
                assert!(!answer.is_allowed, "allowed past its time: {}", told());
                sure += usize::from(is_there && expires <= time);
                by_clock += usize::from(is_there && expires > time);
            } else if expires > now.1 {
                assert!(answer.is_allowed, "denied before its time: {}", told());
                allowed += 1;
            }
            if is_there && !answer.is_allowed && expires <= time {
                let least = denied.entry(answer.doc).or_insert(answer.at);
                *least = answer.at.min(*least);
            }
        }
        for answer in self.answers.iter().filter(|answer| answer.is_allowed) {
            let is_later = |least: &Revision| *least <= answer.at;
            assert!(
                !denied.get(&answer.doc).is_some_and(is_later),
                "d{} is back",
                answer.doc
            );
        }
        assert!(
            sure > 20 && by_clock > 0 && allowed > 20,
            "{sure} {by_clock} {allowed}"
        );
        format!(
            "{} commits, {allowed} allowed, {sure} expired when their snapshot was made and {by_clock} by the clock since, refused: {:?}",
            self.written.len(),
            self.refused
        )
    }

    /// A commit's time is what the clock shows, or that of the newest commit before it where the clock is behind that.
    fn hold_times(&self, times: &HashMap<Revision, i64>) {
        for (of, (doc, clock)) in &self.written {
            let before = times.iter().filter(|(revision, _)| *revision < of);
            let newest = before.map(|(_, time)| *time).max().unwrap_or(0);
            let least = clock.0.max(newest) - PRECISION_MICROS;
            let most = clock.1.max(newest) + PRECISION_MICROS;
            let time = times[of];
            assert!(
                time >= newest && (least..=most).contains(&time),
                "d{doc}: {time}, {clock:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_brings_nothing_back_that_had_expired() {
    let Some(clock) = Clock::is_there().then(Clock::new).flatten() else {
        return;
    };
    let (folder, mut rng) = (tempfile::tempdir().unwrap(), Rng::new(seed()));
    let at = folder.path();
    let served = start(at, &clock);
    std::fs::write(at.join("schema.zed"), SCHEMA).unwrap();
    assert_eq!(run(at, &["schema", "write", "schema.zed"]).0, 0);
    let mut site = Site {
        served: Some(served),
        client: Plain::connect(address_in(at), None).await.unwrap(),
        clock,
        off_millis: 0,
        newest: 0,
    };
    let mut seen = Seen::default();
    for step in 0..STEPS {
        match rng.below(100) {
            0..3 => {
                // Further and further, or the first leap would be before all others, and its commit's time that of all.
                let reach = 60 + OFF_SECONDS_MAX * step / STEPS;
                site.set(1_000 * either_way(&mut rng, reach));
                if rng.chance(80) {
                    site.answers().await;
                }
                // Before a commit is made by this clock.
                for _ in 0..20 {
                    site.check(&mut seen, &mut rng).await;
                }
            }
            3..20 => site.write(&mut seen, &mut rng).await,
            _ => site.check(&mut seen, &mut rng).await,
        }
        if step == STEPS / 2 {
            // It comes back behind its newest commit.
            site.set(-OFF_SECONDS_MAX * 1_000);
            site.kill(at).await;
        }
    }
    // Whatever it was set to, it answers again by itself.
    site.set(0);
    site.answers().await;
    drop(site);

    let store = Arc::new(SqliteStore::open(&at.join("remit.db")).unwrap());
    let query = LogQuery {
        after: Revision::default(),
        entries_max: 1_000_000,
        bytes_max: usize::MAX,
    };
    let log = store.log(query).await.unwrap();
    store.close().await.unwrap();
    let times: Vec<_> = log.iter().map(|it| it.time.as_micros()).collect();
    assert!(
        times.is_sorted(),
        "a commit is before another that it follows"
    );
    let times = log
        .iter()
        .map(|it| (it.revision, it.time.as_micros()))
        .collect();
    let told = seen.hold(&times);
    // Not by a macro, whose output a test that passes keeps to itself.
    let _ = std::io::Write::write_all(
        &mut std::io::stderr(),
        format!("seed {}: {told}\n", seed()).as_bytes(),
    );
}
