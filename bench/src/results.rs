//! What the commands print, one object a line, and `bench report` reads again.

use serde::{Deserialize, Serialize};

use crate::adversarial::Adversarial;
use crate::beside::Beside;
use crate::in_process::{Commits, InProcess};
use crate::machine::Machine;
use crate::served::{
    DecisionLogs, LookUps, Mixed, Observed, Overload, ServedChecks, Standards, Writes,
};

/// A line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Entry {
    Machine(Machine),
    InProcess(InProcess),
    Commits(Commits),
    Served(ServedChecks),
    LookUps(LookUps),
    Writes(Writes),
    Mixed(Mixed),
    Standards(Standards),
    Observed(Observed),
    DecisionLog(DecisionLogs),
    Overload(Overload),
    Adversarial(Adversarial),
    Peers(Beside),
}

/// What takes the results of a command, each as soon as it is there.
pub(crate) type Results<'a> = dyn FnMut(Entry) -> anyhow::Result<()> + 'a;

/// How many times `other` fits into `one`; nothing where `other` was too little to be measured.
pub(crate) fn ratio(one: f64, other: f64) -> Option<f64> {
    (other > 0.0).then(|| one / other)
}

/// The one in the middle by a measure.
pub(crate) fn median<T>(mut rounds: Vec<T>, by: impl Fn(&T) -> f64) -> Option<T> {
    rounds.sort_by(|one, other| by(one).total_cmp(&by(other)));
    let middle = rounds.len() / 2;
    (middle < rounds.len()).then(|| rounds.swap_remove(middle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_ratio_of_nothing_are_nothing() {
        assert_eq!(median(vec![3.0, 1.0, 2.0], |round| *round), Some(2.0));
        assert_eq!(median(Vec::<f64>::new(), |round| *round), None);
        assert_eq!(ratio(3.0, 2.0), Some(1.5));
        assert_eq!(ratio(3.0, 0.0), None);
    }
}
