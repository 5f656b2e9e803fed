//! What a node is set to.

use std::sync::Arc;
use std::time::Duration;

use model::Limits;

use crate::decisions::Recorder;
use crate::{replica, watch};

/// What a node is set to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The limits of requests.
    pub limits: Limits,
    /// How long a node answers `minimize_latency` without having confirmed that it reached the store's head.
    pub staleness_max: Duration,
    /// How long a snapshot can be asked for exactly after it was replaced.
    pub snapshots_retained: Duration,
    /// How long a request waits for a revision.
    pub wait_max: Duration,
    /// The watches.
    pub watch: watch::Settings,
    /// The replicas that follow the node.
    pub replica: replica::Settings,
    /// Who keeps a record of what is decided; none for nobody.
    pub decisions: Option<Arc<dyn Recorder>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            staleness_max: Duration::from_secs(5 * 60),
            snapshots_retained: Duration::from_secs(10 * 60),
            wait_max: Duration::from_secs(30),
            watch: watch::Settings::default(),
            replica: replica::Settings::default(),
            decisions: None,
        }
    }
}
