//! What is to happen in a run, all of it drawn from a seed.

use std::time::Duration;

use testkit::rng::Rng;

use super::cluster::NODES;

/// What happens once or more in each run, besides that the standby takes over.
pub(super) const FAULTS: [Fault; 6] = [
    Fault::Kill,
    Fault::Pause,
    Fault::HoldBack,
    Fault::LoseAnswers,
    Fault::LoseCommits,
    Fault::RestartDatabase,
];
/// How often each of them does.
const ROUNDS: usize = 3;

/// Something that breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// The node is killed, and started again.
    Kill,
    /// The node stands still, and goes on.
    Pause,
    /// What goes between the node and the database is held back, and let through.
    HoldBack,
    /// The node's commits get there, their answers do not get back, and the connections are cut.
    LoseAnswers,
    /// Its commits do not get there, and the connections are cut.
    LoseCommits,
    /// PostgreSQL is killed, and started again.
    RestartDatabase,
    /// PostgreSQL is killed, and the standby takes over.
    FailOver(Replication),
}

/// What the standby has when it takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Replication {
    /// All that was acknowledged, since the primary waits for it with each commit.
    Synchronous,
    /// All, since the primary is cut off from the nodes first, and then the standby is waited for.
    Awaited,
    /// Not the newest commits.
    Lagging,
}

/// A fault and its time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// How long after the fault before it.
    pub(super) after: Duration,
    pub(super) fault: Fault,
    pub(super) node: usize,
    pub(super) lasts: Duration,
}

/// A run.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) replication: Replication,
    pub(super) steps: Vec<Step>,
}

impl Plan {
    /// All faults in some order; the standby takes over half-way.
    pub(super) fn draw(seed: u64, replication: Replication) -> Self {
        let mut rng = Rng::new(seed);
        let mut faults: Vec<Fault> = Vec::new();
        for round in 0..ROUNDS {
            let mut left = FAULTS.to_vec();
            if round == ROUNDS / 2 {
                faults.push(Fault::FailOver(replication));
            }
            while !left.is_empty() {
                faults.push(left.swap_remove(rng.below(left.len())));
            }
        }
        let steps = faults.into_iter().map(|fault| Step {
            after: millis(&mut rng, 300, 1_200),
            fault,
            node: rng.below(NODES),
            lasts: match rng.chance(20) {
                // Longer than the database lets a transaction stand still.
                true => millis(&mut rng, 2_000, 7_000),
                false => millis(&mut rng, 200, 900),
            },
        });
        Self {
            seed,
            replication,
            steps: steps.collect(),
        }
    }
}

fn millis(rng: &mut Rng, low: usize, high: usize) -> Duration {
    Duration::from_millis(rng.between(low, high) as u64)
}
