//! The task that listens to the server: it wakes who follows the log, and connects again where the server is silent.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use super::Pace;
use super::connection::{CallError, Connection};
use super::followed::Followed;
use super::health::Notes;
use super::pieces::{head_of, identity_of};

/// The wait after the first failure; it doubles with each further one.
const WAIT_MIN: Duration = Duration::from_millis(100);

/// Listens until it is dropped.
pub(crate) async fn run(
    connection: Arc<Connection>,
    followed: Arc<Followed>,
    notes: Arc<Notes>,
    pace: Pace,
) {
    let mut wait = WAIT_MIN;
    loop {
        let mut has_heard = false;
        let Err(error) = listen(&connection, &followed, &notes, (&pace, &mut has_heard)).await;
        let trouble = error.to_string();
        tracing::warn!(
            error = trouble,
            "the server is not heard of; connecting again"
        );
        notes.interrupted(trouble);
        connection.renew();
        if has_heard {
            wait = WAIT_MIN;
        }
        tokio::time::sleep(jittered(wait)).await;
        wait = (wait * 2).min(pace.wait_max);
    }
}

async fn listen(
    connection: &Connection,
    followed: &Followed,
    notes: &Notes,
    (pace, has_heard): (&Pace, &mut bool),
) -> Result<Infallible, CallError> {
    let mut news = connection.news().await?;
    loop {
        let told = tokio::time::timeout(pace.silence_max, news.message()).await;
        let told = told.map_err(|_| CallError::TimedOut(pace.silence_max))??;
        let Some(told) = told else {
            return Err(CallError::Page("the server ended its news"));
        };
        let head = head_of(told.head)?;
        let is_same = followed.same(identity_of(told.identity)?).is_ok();
        notes.heard(head.revision);
        if !std::mem::replace(has_heard, true) || !is_same {
            // Whatever was missed; and where it is another store, whoever follows the log is to find out.
            followed.wake_anyway();
        }
        followed.wake(head.revision);
    }
}

/// A wait of half to all of that, so that replicas of one server do not all come back at once.
pub(crate) fn jittered(wait: Duration) -> Duration {
    let mut bytes = [0; 4];
    // Without randomness all wait alike, which is slower and not wrong.
    let _none = getrandom::fill(&mut bytes);
    let part = f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX);
    wait.mul_f64(0.5 + part / 2.0)
}
