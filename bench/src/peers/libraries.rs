//! The peers that are libraries, in this process and in turn with Remit's engine in it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::casbin::{self, Casbin};
use super::cedar::{self, Cedar};
use super::{Asked, Beside, Peer, Peers, Round, cost};
use crate::machine::Process;
use crate::served::load::{LATENCY_MAX, histogram};
use crate::workload::Question;

/// Distinct questions.
const ASKED: usize = 20_000;
/// Questions whose answers are compared before anything is measured.
const COMPARED: usize = 2_000;
/// As many for Casbin, which takes milliseconds for one.
const COMPARED_CASBIN: usize = 500;

/// A peer with its questions.
struct Library<'a> {
    peer: &'static str,
    how: &'static str,
    questions: Vec<&'a Question>,
    compared: usize,
    answer: Box<dyn Fn(usize) -> anyhow::Result<bool> + 'a>,
}

/// Measures whichever of them are asked for.
pub(super) async fn measure(peers: &Peers, asked: &Asked) -> anyhow::Result<Vec<Beside>> {
    let mut found = Vec::new();
    if peers.peer.contains(&Peer::Cedar) {
        let questions: Vec<_> = asked.questions.iter().take(ASKED).collect();
        let slices = questions.iter().map(|asking| asked.rows.slice(asking));
        let cedar = Cedar::new(questions.iter().copied().zip(slices))?;
        let library = Library {
            peer: "Cedar",
            how: cedar::HOW,
            questions,
            compared: COMPARED,
            answer: Box::new(move |ix| cedar.answer(ix)),
        };
        found.push(library.measure(peers, asked)?);
    }
    if peers.peer.contains(&Peer::Casbin) {
        let all = asked.questions.iter().take(ASKED);
        let questions: Vec<_> = all
            .filter(|asking| is_unconditional(asked, asking))
            .collect();
        let casbin = Casbin::new(&asked.rows, questions.iter().copied()).await?;
        let library = Library {
            peer: "Casbin",
            how: casbin::HOW,
            questions,
            compared: COMPARED_CASBIN,
            answer: Box::new(move |ix| casbin.answer(ix)),
        };
        found.push(library.measure(peers, asked)?);
    }
    Ok(found)
}

/// No row with a condition bears on it.
fn is_unconditional(asked: &Asked, question: &Question) -> bool {
    let slice = asked.rows.slice(question);
    !slice.is.iter().any(|set| slice.grants.contains_key(set))
}

impl Library<'_> {
    #[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
    fn measure(&self, peers: &Peers, asked: &Asked) -> anyhow::Result<Beside> {
        let compared = self.compared.min(self.questions.len());
        let answers = (0..compared).map(|ix| (self.answer)(ix));
        let answers = answers.collect::<anyhow::Result<Vec<_>>>()?;
        asked.agree(self.peer, self.questions.iter().copied(), &answers)?;
        let own = |ix: usize| {
            let question = self.questions.get(ix).context("no such question")?;
            Ok(asked.answer(question))
        };
        let duration = peers.setup.round_length();
        let round = |answer: &dyn Fn(usize) -> anyhow::Result<bool>| {
            round(duration, self.questions.len(), answer)
        };
        round(&own)?;
        round(&self.answer)?;
        let (mut of_remit, mut of_other) = (Vec::new(), Vec::new());
        for _ in 0..peers.setup.rounds {
            of_remit.push(round(&own)?);
            of_other.push(round(&self.answer)?);
        }
        let (remit, other) = (cost(of_remit, 1)?, cost(of_other, 1)?);
        let of_all = ASKED.min(asked.questions.len());
        Ok(Beside {
            asked_share: self.questions.len() as f64 / of_all as f64,
            compared,
            ..asked.beside(self.peer, self.how, remit, other)
        })
    }
}

/// Asks one question after the other on this thread.
#[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
fn round(
    duration: Duration,
    questions: usize,
    answer: &dyn Fn(usize) -> anyhow::Result<bool>,
) -> anyhow::Result<Round> {
    let process = Process::own();
    let before = process.cpu_seconds()?;
    let mut latencies = histogram()?;
    let started = Instant::now();
    let mut begun = started;
    for ix in (0..questions).cycle() {
        let _ = black_box(answer(black_box(ix))?);
        let answered = Instant::now();
        let nanoseconds = u64::try_from(answered.duration_since(begun).as_nanos())?;
        latencies.record(nanoseconds.min(LATENCY_MAX))?;
        begun = answered;
        if answered.duration_since(started) >= duration {
            break;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let cpu = process.cpu_seconds()? - before;
    let count = latencies.len() as f64;
    Ok(Round {
        calls_per_second: count / seconds,
        p50_microseconds: latencies.value_at_quantile(0.5) as f64 / 1_000.0,
        cpu_microseconds: cpu * 1e6 / count,
    })
}
