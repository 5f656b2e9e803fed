//! Lines of JSON in a file, of which another is begun when it has grown.
//!
//! The file is this process's alone (0600). It is opened again when somebody moved it away. A batch that could not be written whole is
//! cut off again, so that no half of a line stays, and is tried again: a full disk loses what the queue cannot hold, and nothing else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::{Deliver, Made, SinkError};
use crate::rules::SinkKind;

#[derive(Debug)]
pub(super) struct FileSink {
    path: PathBuf,
    rotate_bytes: u64,
    files_max: u32,
    sync: bool,
    open: Option<(File, u64)>,
}

impl FileSink {
    pub(super) fn open(kind: &SinkKind) -> io::Result<Self> {
        let SinkKind::File {
            path,
            rotate_bytes,
            files_max,
            sync,
        } = kind
        else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        let open = opened(path).map_err(|error| {
            let message = format!("cannot open `{}`: {error}", path.display());
            io::Error::new(error.kind(), message)
        })?;
        Ok(Self {
            path: path.clone(),
            rotate_bytes: *rotate_bytes,
            files_max: *files_max,
            sync: *sync,
            open: Some(open),
        })
    }

    /// Whether the open file is still the one that its path leads to.
    fn is_there(&self) -> bool {
        let Some((file, _)) = &self.open else {
            return false;
        };
        match (file.metadata(), fs::metadata(&self.path)) {
            (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
            (_, _) => false,
        }
    }

    /// Begins another file; the old ones are `PATH.1`, the youngest, and so on.
    fn rotate(&mut self) -> io::Result<()> {
        self.open = None;
        let numbered = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        if self.files_max == 0 {
            fs::remove_file(&self.path)?;
        } else {
            for number in (1..self.files_max).rev() {
                match fs::rename(numbered(number), numbered(number + 1)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    Ok(()) | Err(_) => {}
                }
            }
            fs::rename(&self.path, numbered(1))?;
        }
        self.open = Some(opened(&self.path)?);
        Ok(())
    }

    fn write(&mut self, batch: &[u8]) -> io::Result<()> {
        if !self.is_there() {
            self.open = None;
            self.open = Some(opened(&self.path)?);
        }
        let grown = self.open.as_ref().map_or(0, |(_, length)| *length);
        if grown > 0 && grown.saturating_add(batch.len() as u64) > self.rotate_bytes {
            self.rotate()?;
        }
        let sync = self.sync;
        let Some((file, length)) = &mut self.open else {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        };
        let written = file.write_all(batch);
        let written = written.and_then(|()| if sync { file.sync_data() } else { Ok(()) });
        match written {
            Ok(()) => {
                *length += batch.len() as u64;
                Ok(())
            }
            Err(error) => {
                if file.set_len(*length).is_err() {
                    // Half a line stays, which is ended when the file is opened again.
                    self.open = None;
                }
                Err(error)
            }
        }
    }
}

/// Opens a file for appending, with its length. A line that a crash cut off is ended, so that the next one is read on its own.
fn opened(path: &Path) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .read(true)
        .mode(0o600)
        .open(path)?;
    let length = file.metadata()?.len();
    if length > 0 {
        use std::os::unix::fs::FileExt as _;
        let mut last = [0];
        file.read_exact_at(&mut last, length - 1)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            return Ok((file, length + 1));
        }
    }
    Ok((file, length))
}

impl Deliver for FileSink {
    fn deliver(&mut self, batch: &[Made]) -> Result<usize, SinkError> {
        let lines: Vec<u8> = batch
            .iter()
            .flat_map(|event| event.line.iter().copied())
            .collect();
        self.write(&lines)?;
        Ok(0)
    }
}
