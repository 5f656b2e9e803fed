//! The first load: one thread scans the store, another builds the graph.
//!
//! Rows go from one to the other in chunks; before a chunk's rows are put in, what they read of the dictionaries is fetched
//! for all of them at once.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, ScopedJoinHandle};

use engine::graph::{Loader, RelationshipParts};
use model::{CaveatName, CaveatRef, Context, Revision, Timestamp};
use store::{ScanHeader, ScanRow, Store};

use super::{FollowError, compile, note_record};
use crate::error::{Error, Kind};
use crate::load_progress::LoadProgress;
use crate::node::Published;
use crate::records::Records;

/// Rows of a chunk: what they read in the dictionaries fits the cache of a core.
const CHUNK_ROWS: usize = 128;
/// Chunks that may wait to be put in, some 10 KiB each.
const CHUNKS_WAITING: usize = 64;

/// Loads the head of `store`, and counts that in `progress`.
///
/// # Errors
/// [`Kind::Unavailable`] if the store cannot be read, or holds what this version does not know.
pub(crate) async fn load(
    store: &Arc<dyn Store>,
    progress: &Arc<LoadProgress>,
) -> Result<Published, Error> {
    progress.begin();
    let counting = tokio::spawn(count(Arc::clone(store), Arc::clone(progress)));
    let (loaded_from, counted) = (Arc::clone(store), Arc::clone(progress));
    let loaded = tokio::task::spawn_blocking(move || load_blocking(&*loaded_from, &counted)).await;
    // What is loaded need not be counted any more.
    counting.abort();
    loaded.unwrap_or(Err(FollowError::Task)).map_err(|error| {
        Error::new(
            Kind::Unavailable,
            format!("the store cannot be loaded: {error}"),
        )
        .caused_by(error)
    })
}

/// Notes how many relationships there are, beside the load. Where the store cannot tell, that is told nobody: it is no
/// reason not to load.
async fn count(store: Arc<dyn Store>, progress: Arc<LoadProgress>) {
    if let Ok(Some(count)) = store.relationship_count().await {
        progress.expect(count);
    }
}

fn load_blocking(store: &dyn Store, progress: &LoadProgress) -> Result<Published, FollowError> {
    let (header, loader) = thread::scope(|scope| {
        let mut building: Option<Building<'_>> = None;
        let header = store.scan(&mut |header, row| {
            let building = building.get_or_insert_with(|| {
                let (sender, receiver) = sync_channel(CHUNKS_WAITING);
                let header = header.clone();
                Building {
                    chunk: Chunk::default(),
                    sender,
                    loader: scope.spawn(move || build(&header, &receiver)),
                }
            });
            building.take(&row, progress)
        });
        // Why rows were not taken comes before what the store says.
        let loader = building.map(|building| building.finish(progress));
        let loader = loader.transpose()?;
        Ok::<_, FollowError>((header?, loader))
    })?;
    let loader = match loader {
        Some(loader) => loader,
        None => loader_of(&header)?,
    };
    let head = header.head;
    let mut records = Records::default();
    for record in &header.records {
        note_record(&mut records, &record.key, Some(&record.value))?;
    }
    Ok(Published {
        snapshot: Arc::new(loader.finish(head.revision, head.time)),
        hash: head.hash,
        schema_revision: head.schema_revision,
        records,
    })
}

/// The thread that builds, and the chunk that is being filled for it.
struct Building<'s> {
    chunk: Chunk,
    sender: SyncSender<Chunk>,
    loader: ScopedJoinHandle<'s, Result<Loader, FollowError>>,
}

impl Building<'_> {
    /// Takes a row; breaks once the thread that builds has failed.
    fn take(&mut self, row: &ScanRow<'_>, progress: &LoadProgress) -> ControlFlow<()> {
        self.chunk.push(row);
        if self.chunk.rows.len() < CHUNK_ROWS {
            return ControlFlow::Continue(());
        }
        progress.add(CHUNK_ROWS);
        match self.sender.send(std::mem::take(&mut self.chunk)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    fn finish(self, progress: &LoadProgress) -> Result<Loader, FollowError> {
        progress.add(self.chunk.rows.len());
        // If nobody takes it, the thread tells why.
        let _failed = self.sender.send(self.chunk);
        drop(self.sender);
        self.loader.join().unwrap_or(Err(FollowError::Task))
    }
}

/// Rows as the store has them: their texts one after the other, and where each ends.
#[derive(Debug, Default)]
struct Chunk {
    text: String,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    /// Of the definition, the id and the relation of the resource, and those of the subject; then of the caveat's name and
    /// its context.
    ends: [usize; 8],
    has_caveat: bool,
    expires_at: Option<Timestamp>,
    revision: Revision,
}

impl Chunk {
    fn push(&mut self, row: &ScanRow<'_>) {
        let (caveat, context) = row.caveat.unwrap_or_default();
        let texts = [
            row.resource_definition,
            row.resource_id,
            row.relation,
            row.subject_definition,
            row.subject_id,
            row.subject_relation,
            caveat,
            context,
        ];
        let ends = texts.map(|text| {
            self.text.push_str(text);
            self.text.len()
        });
        self.rows.push(Row {
            ends,
            has_caveat: row.caveat.is_some(),
            expires_at: row.expires_at,
            revision: row.revision,
        });
    }

    fn rows(&self) -> impl Iterator<Item = ScanRow<'_>> {
        let mut begin = 0;
        self.rows.iter().map(move |row| {
            let [
                resource_definition,
                resource_id,
                relation,
                subject_definition,
                subject_id,
                subject_relation,
                caveat,
                context,
            ] = row.ends.map(|end| {
                let text = self.text.get(begin..end).unwrap_or_default();
                begin = end;
                text
            });
            ScanRow {
                resource_definition,
                resource_id,
                relation,
                subject_definition,
                subject_id,
                subject_relation,
                caveat: row.has_caveat.then_some((caveat, context)),
                expires_at: row.expires_at,
                revision: row.revision,
            }
        })
    }
}

/// The loader of all chunks that come.
fn build(header: &ScanHeader, chunks: &Receiver<Chunk>) -> Result<Loader, FollowError> {
    let mut loader = loader_of(header)?;
    for chunk in chunks {
        loader.fetch(chunk.rows().flat_map(|row| {
            [
                (row.resource_definition, row.resource_id),
                (row.subject_definition, row.subject_id),
            ]
        }));
        for row in chunk.rows() {
            push(&mut loader, row)?;
        }
    }
    Ok(loader)
}

fn loader_of(header: &ScanHeader) -> Result<Loader, FollowError> {
    let text = header
        .schema
        .as_ref()
        .map_or("", |schema| schema.text.as_str());
    Ok(Loader::new(compile(text, header.head.schema_revision)?))
}

fn push(loader: &mut Loader, row: ScanRow<'_>) -> Result<(), FollowError> {
    let caveat = match row.caveat {
        None => None,
        Some((name, context)) => Some(CaveatRef {
            name: CaveatName::new(name).map_err(|error| FollowError::Row(error.to_string()))?,
            context: Context::from_json(context)
                .map_err(|error| FollowError::Row(error.to_string()))?,
        }),
    };
    let parts = RelationshipParts {
        resource_definition: row.resource_definition,
        resource_id: row.resource_id,
        relation: row.relation,
        subject_definition: row.subject_definition,
        subject_id: row.subject_id,
        subject_relation: Some(row.subject_relation).filter(|relation| !relation.is_empty()),
        caveat,
        expires_at: row.expires_at,
    };
    loader.push(parts).map_err(|source| FollowError::Apply {
        revision: row.revision,
        source,
    })
}
