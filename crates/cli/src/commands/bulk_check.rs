//! `remit bulk-check`: the questions of a file, in their order, a batch at a time.

use anyhow::{Context as _, bail};
use engine::scenario::Question;
use indicatif::ProgressBar;
use model::Context;
use remit_client::Client;
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::authzed::api::v1::check_bulk_permissions_pair::Response;
use remit_client::proto::authzed::api::v1::check_permission_response::Permissionship;
use serde::Deserialize;
use serde_json::json;
use server::convert;

use crate::arguments::{Answer, BulkCheck, Format};
use crate::client;
use crate::exit::Outcome;
use crate::output;
use crate::records::Reader;

/// A question as a line of JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    resource: String,
    permission: String,
    subject: String,
    #[serde(default)]
    context: Option<serde_json::Value>,
}

/// A line of the file: its question, or what is wrong with it.
struct Asked {
    text: String,
    question: Result<Question, String>,
}

/// How many questions were answered how.
#[derive(Default)]
struct Tally {
    allowed: usize,
    denied: usize,
    conditional: usize,
    failed: usize,
}

pub(crate) async fn run(bulk: BulkCheck) -> anyhow::Result<Outcome> {
    let asked = read(&bulk)?;
    let client = client::connect(&bulk.connection).await?;
    let bar = ProgressBar::new(asked.len() as u64);
    let mut tally = Tally::default();
    for batch in asked.chunks(bulk.batch as usize) {
        let mut answers = ask(&client, &bulk, batch).await?.into_iter();
        for asked in batch {
            let (answer, detail) = match &asked.question {
                Ok(_) => answers.next().context("the server left a question out")?,
                Err(wrong) => (Answer::Error, wrong.clone()),
            };
            tally.note(answer);
            if bulk.only.is_empty() || bulk.only.contains(&answer) {
                bar.suspend(|| tell(&bulk, asked, answer, &detail))?;
            }
        }
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    let Tally {
        allowed,
        denied,
        conditional,
        failed,
    } = tally;
    eprintln!("{allowed} allowed, {denied} denied, {conditional} conditional, {failed} failed");
    if failed > 0 {
        bail!("{failed} of {} questions have no answer", asked.len());
    }
    Ok(match (denied, conditional) {
        (0, 0) => Outcome::Success,
        (0, _) => Outcome::Conditional,
        (_, _) => Outcome::Negative,
    })
}

/// Reads every question before any is sent; a line that is none ends it all, or with `--keep-going` is told in its place.
fn read(bulk: &BulkCheck) -> anyhow::Result<Vec<Asked>> {
    let format = bulk.format.unwrap_or_else(|| Format::of(&bulk.file));
    let is_json = match format {
        Format::Jsonl => true,
        Format::Text => false,
        Format::Csv => bail!("questions are text or JSON lines, not CSV"),
    };
    let mut reader = Reader::open(&bulk.file, format, |file| file)?;
    let mut asked = Vec::new();
    while let Some(text) = reader.next_line()? {
        let question = if is_json {
            from_json(&text)
        } else {
            text.parse().map_err(anyhow::Error::from)
        };
        let question = match question {
            Err(wrong) if !bulk.keep_going => return Err(wrong.context(reader.place())),
            Err(wrong) => Err(format!("{}: {wrong:#}", reader.place())),
            Ok(question) => Ok(question),
        };
        asked.push(Asked { text, question });
    }
    Ok(asked)
}

fn from_json(text: &str) -> anyhow::Result<Question> {
    let line: Line = serde_json::from_str(text)?;
    let context = line
        .context
        .map(|context| Context::from_json(&context.to_string()));
    Ok(Question {
        resource: line.resource.parse()?,
        member: line.permission.parse()?,
        subject: line.subject.parse()?,
        context: context.transpose()?.unwrap_or_default(),
    })
}

/// The answers to those of a batch that are questions, with what there is to say of each.
async fn ask(
    client: &Client,
    bulk: &BulkCheck,
    batch: &[Asked],
) -> anyhow::Result<Vec<(Answer, String)>> {
    let questions = batch
        .iter()
        .filter_map(|asked| asked.question.as_ref().ok());
    let items = questions.map(|question| wire::CheckBulkPermissionsRequestItem {
        resource: Some(convert::object_to_wire(&question.resource)),
        permission: question.member.to_string(),
        subject: Some(convert::subject_to_wire(&question.subject)),
        context: (!question.context.is_empty())
            .then(|| convert::context_to_wire(&question.context)),
    });
    let request = wire::CheckBulkPermissionsRequest {
        consistency: Some(bulk.freshness.consistency.clone()),
        items: items.collect(),
        with_tracing: false,
    };
    let response = client.permissions().check_bulk_permissions(request).await;
    let pairs = response
        .map_err(|status| client::refused(&status))?
        .into_inner()
        .pairs;
    Ok(pairs
        .into_iter()
        .map(|pair| answer(pair.response))
        .collect())
}

fn answer(response: Option<Response>) -> (Answer, String) {
    match response {
        Some(Response::Item(item)) => match item.permissionship() {
            Permissionship::HasPermission => (Answer::Allowed, String::new()),
            Permissionship::NoPermission => (Answer::Denied, String::new()),
            Permissionship::ConditionalPermission => {
                let info = item.partial_caveat_info.unwrap_or_default();
                (
                    Answer::Conditional,
                    info.missing_required_context.join(", "),
                )
            }
            Permissionship::Unspecified => (Answer::Error, "the server sent no answer".to_owned()),
        },
        Some(Response::Error(error)) => (Answer::Error, error.message),
        None => (Answer::Error, "the server sent no answer".to_owned()),
    }
}

fn tell(bulk: &BulkCheck, asked: &Asked, answer: Answer, detail: &str) -> anyhow::Result<()> {
    let word = answer.word();
    if bulk.connection.json {
        return output::json(&json!({ "question": asked.text, "answer": word, "detail": detail }));
    }
    let detail = if detail.is_empty() {
        String::new()
    } else {
        format!(" ({detail})")
    };
    output::line(&format!("{word:<11} {}{detail}", asked.text))
}

impl Tally {
    fn note(&mut self, answer: Answer) {
        let count = match answer {
            Answer::Allowed => &mut self.allowed,
            Answer::Denied => &mut self.denied,
            Answer::Conditional => &mut self.conditional,
            Answer::Error => &mut self.failed,
        };
        *count += 1;
    }
}
