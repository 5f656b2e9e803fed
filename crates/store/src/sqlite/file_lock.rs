//! The lock that keeps a second process out of a store.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

/// A lock on a file of its own beside the store, which the operating system gives back however the process ends. SQLite's
/// own exclusive mode would keep `sqlite3` and backup tools out as well.
#[derive(Debug)]
pub(super) struct FileLock(File);

impl FileLock {
    /// Takes the lock; none if somebody else holds it.
    ///
    /// # Errors
    /// When the file cannot be made or locked.
    pub(super) fn take(path: &Path) -> io::Result<Option<Self>> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing the file is not enough: a process that is being started has it open too until it runs its program.
        if let Err(error) = self.0.unlock() {
            tracing::error!(%error, "the lock of the store cannot be given back");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FileLock;

    #[test]
    fn one_holds_it_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = FileLock::take(&path).unwrap();
        assert!(held.is_some());
        assert!(FileLock::take(&path).unwrap().is_none());
        drop(held);
        assert!(FileLock::take(&path).unwrap().is_some());
    }

    /// A process that is being started holds every open file of this one for a moment.
    #[test]
    fn it_is_given_back_though_the_file_is_open_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = FileLock::take(&path).unwrap().unwrap();
        let elsewhere = held.0.try_clone().unwrap();
        drop(held);
        assert!(FileLock::take(&path).unwrap().is_some());
        drop(elsewhere);
    }
}
