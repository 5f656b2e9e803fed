//! Files in the clear that are there while a command works with them, and not after it was interrupted either.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, anyhow, bail};
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{self, Outcome};

/// What there may be beside such a file while it is made, and the file.
const SUFFIXES: [&str; 4] = ["", "-journal", ".partial", ".partial-journal"];

/// Those of this process.
static THERE: Mutex<There> = Mutex::new(There {
    paths: Vec::new(),
    is_over: false,
});

struct There {
    paths: Vec<PathBuf>,
    /// Whether there may be no others any more.
    is_over: bool,
}

/// A file in the clear that is gone when this is.
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    /// `path` with a suffix. What an earlier attempt left there is removed.
    pub(crate) fn beside(path: &Path, suffix: &str) -> anyhow::Result<Self> {
        let path = with(path, suffix);
        {
            let mut there = there();
            if there.is_over {
                bail!("interrupted");
            }
            there.paths.push(path.clone());
        }
        let temporary = Self(path);
        remove(&temporary.0)?;
        Ok(temporary)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // It may have its final name by now. What cannot be removed is when the next attempt cannot either, which tells it.
        let _gone = remove(&self.0);
        there().paths.retain(|path| *path != self.0);
    }
}

/// Does what blocks for long. When the process is asked to stop meanwhile it ends at once, and leaves nothing in the clear.
pub(crate) async fn interruptible(
    work: impl FnOnce() -> anyhow::Result<Outcome> + Send + 'static,
) -> anyhow::Result<Outcome> {
    let listen = |kind| signal(kind).context("signals to stop cannot be listened for");
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let working = tokio::task::spawn_blocking(work);
    tokio::select! {
        done = working => return done.context("the work was given up")?,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // Held to the end: whoever works makes no others.
    let mut there = there();
    there.is_over = true;
    let left = there.paths.iter().try_for_each(|path| remove(path));
    let error = match left {
        Ok(()) => anyhow!("interrupted, and what there was in the clear is removed"),
        Err(error) => error.context("interrupted, and what is in the clear could not be removed"),
    };
    exit::at_once(&error)
}

fn there() -> MutexGuard<'static, There> {
    THERE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes a file and what was made beside it.
fn remove(path: &Path) -> anyhow::Result<()> {
    let mut removed = Ok(());
    for suffix in SUFFIXES {
        let path = with(path, suffix);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let what = format!("cannot remove `{}`", path.display());
                removed = Err(anyhow::Error::from(error).context(what));
            }
        }
    }
    removed
}
