//! `remit replay`: what a decision log says was decided, decided once more.

mod read;

use anyhow::bail;
use decision_log::logged::{Logged, Replay as Asked, Told};
use futures_util::StreamExt as _;
use indicatif::ProgressBar;
use remit_client::Client;
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::authzed::api::v1::check_permission_response::Permissionship;
use remit_client::proto::remit::v1::{Outcome as WireOutcome, ReplayRequest, ReplayResponse};
use serde_json::json;
use server::convert;
use tonic::Code;

use crate::arguments::Replay;
use crate::client;
use crate::exit::Outcome;
use crate::output;

/// What became of replaying a decision.
enum Replayed {
    Same,
    Different(Told),
    /// Why not.
    Cannot(String),
}

/// How many decisions came out how.
#[derive(Default)]
struct Tally {
    same: usize,
    different: usize,
    cannot: usize,
    /// Events of something else, or none at all, such as a line that was cut off.
    unread: usize,
}

/// What is no decision.
#[derive(Default)]
struct Unread {
    count: usize,
    /// Why the first one is none.
    first: Option<String>,
}

impl Unread {
    fn note(&mut self, why: String) {
        self.count += 1;
        self.first.get_or_insert(why);
    }
}

pub(crate) async fn run(replay: Replay) -> anyhow::Result<Outcome> {
    let mut events = read::open(&replay.file)?;
    let client = client::connect(&replay.connection).await?;
    let bar = ProgressBar::new_spinner();
    let mut tally = Tally::default();
    let in_flight = usize::from(replay.in_flight);
    let mut unread = Unread::default();
    let logged = std::iter::from_fn(|| {
        loop {
            match events.next()? {
                Ok(Ok(logged)) => return Some(Ok(logged)),
                Ok(Err(why)) => unread.note(why),
                Err(error) => return Some(Err(error)),
            }
        }
    });
    // In the order of the file, some ahead of what is printed.
    let mut replayed = futures_util::stream::iter(logged)
        .map(|logged| async {
            let logged = logged?;
            let replayed = once_more(&client, &logged, replay.against_current).await?;
            anyhow::Ok((logged, replayed))
        })
        .buffered(in_flight);
    while let Some(done) = replayed.next().await {
        let (logged, result) = done?;
        bar.inc(1);
        tally.note(&result);
        let is_told = replay.all || matches!(result, Replayed::Different(_));
        if is_told {
            bar.suspend(|| tell(&replay, &logged, &result))?;
        }
    }
    drop(replayed);
    bar.finish_and_clear();
    tally.unread = unread.count;
    if let Some(first) = unread.first {
        eprintln!(
            "{} entries are no decisions; the first: {first}",
            tally.unread
        );
    }
    tally.tell(&replay)?;
    Ok(tally.outcome())
}

async fn once_more(client: &Client, logged: &Logged, is_now: bool) -> anyhow::Result<Replayed> {
    let asked = match &logged.replay {
        Ok(asked) => asked,
        Err(why) => return Ok(Replayed::Cannot(why.clone())),
    };
    let told = if is_now {
        current(client, asked).await
    } else {
        exact(client, asked).await
    };
    match told {
        Ok(told) if is_same(&told, &logged.told, is_now) => Ok(Replayed::Same),
        Ok(told) => Ok(Replayed::Different(told)),
        // Nothing is wrong with the server: what it takes is no longer there, or was never of this store.
        Err(status) if is_of_the_event(status.code()) => {
            Ok(Replayed::Cannot(status.message().to_owned()))
        }
        Err(status) => bail!(client::refused(&status)),
    }
}

/// Whether a failure is one of what was to be replayed.
fn is_of_the_event(code: Code) -> bool {
    matches!(
        code,
        Code::OutOfRange | Code::InvalidArgument | Code::PermissionDenied
    )
}

/// Whether two answers are alike. Now, neither a lock nor the cause of a failure need be the same, as long as the answer is.
fn is_same(one: &Told, other: &Told, is_now: bool) -> bool {
    (&one.decision, &one.missing) == (&other.decision, &other.missing)
        && (is_now || (one.is_locked, &one.error) == (other.is_locked, &other.error))
}

async fn exact(client: &Client, asked: &Asked) -> Result<Told, tonic::Status> {
    let (seconds, nanos) = asked.now.as_seconds();
    let request = ReplayRequest {
        at: Some(wire::ZedToken {
            token: asked.at.to_string(),
        }),
        now: Some(prost_types::Timestamp { seconds, nanos }),
        resource: Some(convert::object_to_wire(&asked.resource)),
        permission: asked.permission.clone(),
        subject: Some(convert::subject_to_wire(&asked.subject)),
        context: (!asked.context.is_empty()).then(|| convert::context_to_wire(&asked.context)),
        locks_at: asked.locks_at,
    };
    let response = client.explain().replay(request).await?;
    Ok(told(response.into_inner()))
}

fn told(response: ReplayResponse) -> Told {
    let decision = match response.outcome() {
        WireOutcome::Yes => "allowed",
        WireOutcome::No => "denied",
        WireOutcome::Conditional => "conditional",
        WireOutcome::Error | WireOutcome::Unspecified => "error",
    };
    Told {
        decision: decision.to_owned(),
        missing: response.missing_context,
        is_locked: response.locked,
        error: (response.error_kind, response.error_reason),
    }
}

/// What would be decided now.
async fn current(client: &Client, asked: &Asked) -> Result<Told, tonic::Status> {
    let request = wire::CheckPermissionRequest {
        consistency: None,
        resource: Some(convert::object_to_wire(&asked.resource)),
        permission: asked.permission.clone(),
        subject: Some(convert::subject_to_wire(&asked.subject)),
        context: (!asked.context.is_empty()).then(|| convert::context_to_wire(&asked.context)),
        with_tracing: false,
    };
    let mut told = Told::default();
    match client.permissions().check_permission(request).await {
        Ok(response) => {
            let response = response.into_inner();
            let decision = match response.permissionship() {
                Permissionship::HasPermission => "allowed",
                Permissionship::NoPermission => "denied",
                Permissionship::ConditionalPermission => "conditional",
                Permissionship::Unspecified => "error",
            };
            told.decision = decision.to_owned();
            let missing = response.partial_caveat_info;
            told.missing = missing.map_or_else(Vec::new, |it| it.missing_required_context);
        }
        // A definition or a permission that is gone.
        Err(status) if status.code() == Code::FailedPrecondition => {
            told.decision = "error".to_owned();
            told.error = ("FailedPrecondition".to_owned(), status.message().to_owned());
        }
        Err(status) => return Err(status),
    }
    Ok(told)
}

fn tell(replay: &Replay, logged: &Logged, replayed: &Replayed) -> anyhow::Result<()> {
    let (word, detail) = match replayed {
        Replayed::Same => ("same", in_words(&logged.told)),
        Replayed::Different(now) => {
            let detail = format!("{}, replayed {}", in_words(&logged.told), in_words(now));
            ("different", detail)
        }
        Replayed::Cannot(why) => ("cannot", why.clone()),
    };
    let question = logged
        .replay
        .as_ref()
        .map(|asked| format!("{}#{}@{}", asked.resource, asked.permission, asked.subject));
    let question = question.unwrap_or_default();
    if replay.connection.json {
        return output::json(&json!({
            "decision_id": logged.id, "question": question, "outcome": word, "detail": detail,
        }));
    }
    output::line(&format!("{word:<10} {} {question}: {detail}", logged.id))
}

fn in_words(told: &Told) -> String {
    let mut text = told.decision.clone();
    if told.is_locked {
        text.push_str(" (locked)");
    }
    if !told.missing.is_empty() {
        text.push_str(&format!(" (without {})", told.missing.join(", ")));
    }
    let (kind, reason) = &told.error;
    if !kind.is_empty() {
        text.push_str(&format!(" ({kind} {reason})"));
    }
    text
}

impl Tally {
    fn note(&mut self, replayed: &Replayed) {
        match replayed {
            Replayed::Same => self.same += 1,
            Replayed::Different(_) => self.different += 1,
            Replayed::Cannot(_) => self.cannot += 1,
        }
    }

    fn tell(&self, replay: &Replay) -> anyhow::Result<()> {
        let Self {
            same,
            different,
            cannot,
            unread,
        } = self;
        if replay.connection.json {
            let counts =
                json!({ "same": same, "different": different, "cannot": cannot, "unread": unread });
            return output::json(&json!({ "summary": counts }));
        }
        output::line(&format!(
            "{same} same, {different} different, {cannot} cannot be replayed"
        ))
    }

    fn outcome(&self) -> Outcome {
        match (self.different, self.same) {
            (0, 0) => Outcome::Conditional,
            (0, _) => Outcome::Success,
            (_, _) => Outcome::Negative,
        }
    }
}
