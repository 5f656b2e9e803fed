//! The copy on disk that a replica begins with: the pieces of a state, as they came over the wire, under one checksum.
//!
//! ```text
//! file  = "remit.replica.1\n" frame* checksum:32          frame = length:u32be bytes (a ReadStateResponse)
//! ```
//!
//! It is written whole beside its path and renamed there, so that a crash leaves the one before. It is trusted only if every byte
//! is under its checksum, and then only for what it says that it is: whether the server's log goes on from there is for the server
//! to say. Another form has another first line. A file beside it keeps a second replica away from it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ops::replica::{Header, State};
use prost::Message as _;
use remit_proto::remit::v1::ReadStateResponse;
use remit_proto::remit::v1::read_state_response::Part as Piece;
use store::ScanHeader;

use super::pieces::{Assembly, PieceError, Sink, header_of, piece_of};
use crate::FollowError;

const FIRST_LINE: &[u8] = b"remit.replica.1\n";
const CHECKSUM_BYTES: u64 = 32;
/// No piece is longer: one row with the largest context fills a block, and so does the largest schema.
const FRAME_BYTES_MAX: u32 = 64 << 20;

/// The place of a cache, which this process alone has.
#[derive(Debug)]
pub(crate) struct Cache {
    path: PathBuf,
    /// Held while it is written.
    writing: Mutex<()>,
    /// Held for as long as this lives.
    _lock: File,
}

/// A cache whose every byte is under its checksum.
#[derive(Debug)]
pub(crate) struct Cached {
    path: PathBuf,
    /// What it is of.
    pub(crate) header: Header,
}

/// Why a file is no cache that can be trusted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("it is not in the form that this version writes")]
    Form,
    #[error("it is torn or was altered: its checksum differs")]
    Checksum,
    #[error("it holds a message that is none: {0}")]
    Message(#[from] prost::DecodeError),
    #[error(transparent)]
    Piece(#[from] PieceError),
}

impl Cache {
    /// Takes the place.
    ///
    /// # Errors
    /// [`FollowError::CacheInUse`] if another replica has it, [`FollowError::Cache`] if it cannot be written there.
    pub(crate) fn take(path: &Path) -> Result<Self, FollowError> {
        let failed = |source| FollowError::Cache {
            path: path.to_owned(),
            source,
        };
        let lock = private()
            .create(true)
            .truncate(false)
            .open(beside(path, ".lock"));
        let lock = lock.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                writing: Mutex::new(()),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(FollowError::CacheInUse {
                path: path.to_owned(),
            }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// What is there, if it can be trusted. What cannot is told in the log, and written over at the next time.
    pub(crate) fn open(&self) -> Option<Cached> {
        match verify(&self.path) {
            Ok(header) => Some(Cached {
                path: self.path.clone(),
                header,
            }),
            Err(CacheError::Io(error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let path = self.path.display();
                tracing::warn!(%path, %error, "the cache of the replica is not used");
                None
            }
        }
    }

    /// Writes the state in place of what is there.
    ///
    /// # Errors
    /// [`io::Error`]; what was there is there still.
    pub(crate) fn write(&self, state: &State) -> io::Result<()> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let partial = beside(&self.path, ".partial");
        let written = self.write_by_way_of(&partial, state);
        if written.is_err() {
            // It may be half of everything, on a disk that may be full.
            let _absent = fs::remove_file(&partial);
        }
        written
    }

    fn write_by_way_of(&self, partial: &Path, state: &State) -> io::Result<()> {
        // Whatever is there is of a process that was killed, or of somebody else: it is neither written to nor followed.
        match fs::remove_file(partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let file = private().create_new(true).open(partial)?;
        let mut writer = Summed {
            inner: BufWriter::new(file),
            hasher: blake3::Hasher::new(),
        };
        writer.write_all(FIRST_LINE)?;
        let mut failed = None;
        let _is_whole = state.tell(
            &mut |part| match write_frame(&mut writer, &piece_of(part)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            },
        );
        if let Some(error) = failed {
            return Err(error);
        }
        let Summed { mut inner, hasher } = writer;
        inner.write_all(hasher.finalize().as_bytes())?;
        let file = inner.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(partial, &self.path)?;
        // The name is durable with its folder.
        match self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            Some(folder) => File::open(folder)?.sync_all(),
            None => File::open(".")?.sync_all(),
        }
    }
}

impl Cached {
    /// Hands out what it holds.
    ///
    /// # Errors
    /// [`CacheError`] if it is not what it was.
    pub(crate) fn scan(&self, sink: &mut Sink<'_>) -> Result<ScanHeader, CacheError> {
        let mut reader = BufReader::new(File::open(&self.path)?);
        read_first_line(&mut reader)?;
        let mut assembly = Assembly::of(self.header.identity);
        loop {
            let piece = read_frame(&mut reader)?;
            if assembly.take(piece, sink)?.is_break() {
                let has_enough = !assembly.is_whole();
                return Ok(assembly.finish(has_enough)?);
            }
        }
    }
}

/// Reads all of the file, and what it is of.
fn verify(path: &Path) -> Result<Header, CacheError> {
    let file = File::open(path)?;
    let covered = file.metadata()?.len().checked_sub(CHECKSUM_BYTES);
    let covered = covered.ok_or(CacheError::Form)?;
    let mut reader = BufReader::new(file).take(covered);
    read_first_line(&mut reader)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(FIRST_LINE);
    io::copy(&mut reader, &mut hasher)?;
    let mut checksum = [0; CHECKSUM_BYTES as usize];
    reader.into_inner().read_exact(&mut checksum)?;
    if *hasher.finalize().as_bytes() != checksum {
        return Err(CacheError::Checksum);
    }
    let mut reader = BufReader::new(File::open(path)?);
    read_first_line(&mut reader)?;
    match read_frame(&mut reader)?.part {
        Some(Piece::Header(header)) => Ok(header_of(header)?),
        Some(Piece::Block(_) | Piece::End(_)) | None => Err(PieceError::Order.into()),
    }
}

fn read_first_line(reader: &mut impl Read) -> Result<(), CacheError> {
    let mut line = [0; FIRST_LINE.len()];
    match reader.read_exact(&mut line) {
        Ok(()) if line == FIRST_LINE => Ok(()),
        Ok(()) => Err(CacheError::Form),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(CacheError::Form),
        Err(error) => Err(error.into()),
    }
}

fn write_frame(writer: &mut impl Write, piece: &ReadStateResponse) -> io::Result<()> {
    let bytes = piece.encode_to_vec();
    let length = u32::try_from(bytes.len())
        .ok()
        .filter(|length| *length <= FRAME_BYTES_MAX);
    let length = length.ok_or_else(|| io::Error::other("a piece of the state is too long"))?;
    writer.write_all(&length.to_be_bytes())?;
    writer.write_all(&bytes)
}

fn read_frame(reader: &mut impl Read) -> Result<ReadStateResponse, CacheError> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > FRAME_BYTES_MAX {
        return Err(CacheError::Form);
    }
    let mut bytes = vec![0; length as usize];
    reader.read_exact(&mut bytes)?;
    Ok(ReadStateResponse::decode(bytes.as_slice())?)
}

/// A writer that sums up what it writes.
struct Summed<W> {
    inner: W,
    hasher: blake3::Hasher,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// How files are opened that nobody else is to read: they hold all relationships.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
