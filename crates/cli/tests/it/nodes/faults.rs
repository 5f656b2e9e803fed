//! What is to happen in a run, all of it drawn from a seed.

use std::time::Duration;

use testkit::rng::Rng;

use super::cluster::NODES;

/// What happens once or more in each run, besides what the run is about.
pub(super) const FAULTS: [Fault; 6] = [
    Fault::Kill,
    Fault::Pause,
    Fault::HoldBack,
    Fault::LoseAnswers,
    Fault::LoseCommits,
    Fault::RestartDatabase,
];

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
    /// The clock of the node is off, by less than it may be.
    ClockOff,
    /// It is off by more, until the node has noticed.
    ClockJump,
    /// The node is cut off from the database for longer than it may answer then.
    CutOff,
    /// What goes between the node and the database is lost, and both ends wait.
    Unplug,
    /// It is lost for so long that they give up.
    UnplugLong,
}

/// What a run is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// The standby takes over.
    FailOver(Replication),
    /// Clocks run off.
    Clocks,
    /// Nodes may answer for a short while only when they are cut off.
    Staleness,
    /// The way to the database is a network that loses what is sent.
    Network,
}

impl About {
    /// What happens once, half-way, and takes its time.
    fn main_fault(self) -> Fault {
        match self {
            Self::FailOver(replication) => Fault::FailOver(replication),
            Self::Clocks => Fault::ClockJump,
            Self::Staleness => Fault::CutOff,
            Self::Network => Fault::UnplugLong,
        }
    }

    /// What happens at any time.
    fn usual_faults(self) -> Vec<Fault> {
        let own: &[Fault] = match self {
            Self::FailOver(_) | Self::Staleness => &[],
            Self::Clocks => &[Fault::ClockOff; 3],
            Self::Network => &[Fault::Unplug; 3],
        };
        FAULTS.iter().chain(own).copied().collect()
    }

    /// How often.
    fn rounds(self) -> usize {
        match self {
            Self::FailOver(_) => 3,
            Self::Clocks | Self::Staleness | Self::Network => 2,
        }
    }

    /// All that happens in the run.
    pub(super) fn faults(self) -> Vec<Fault> {
        let mut faults = self.usual_faults();
        faults.push(self.main_fault());
        faults
    }
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
    /// Whether a clock that is off is ahead.
    pub(super) is_ahead: bool,
}

impl Step {
    /// So much ahead, or behind.
    pub(super) fn millis(self, off: i64) -> i64 {
        if self.is_ahead { off } else { -off }
    }
}

/// A run.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) about: About,
    pub(super) steps: Vec<Step>,
}

impl Plan {
    /// All faults in some order.
    pub(super) fn draw(seed: u64, about: About) -> Self {
        let mut rng = Rng::new(seed);
        let mut faults: Vec<Fault> = Vec::new();
        for round in 0..about.rounds() {
            let mut left = about.usual_faults();
            if round == about.rounds() / 2 {
                faults.push(about.main_fault());
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
            is_ahead: rng.chance(50),
        });
        Self {
            seed,
            about,
            steps: steps.collect(),
        }
    }
}

fn millis(rng: &mut Rng, low: usize, high: usize) -> Duration {
    Duration::from_millis(rng.between(low, high) as u64)
}
