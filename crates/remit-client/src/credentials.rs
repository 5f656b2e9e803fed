//! What a call shows to the server: a key or token that stays, one in a file that changes, or one that is asked for.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;

use crate::error::{Error, ErrorKind};

/// A file that is larger is no key or token.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// How long a file is taken to be as it was.
const FILE_TRUSTED: Duration = Duration::from_secs(1);

/// What calls are made with. Its text shows nothing of the secret.
#[derive(Clone)]
pub struct Credentials(Source);

#[derive(Clone)]
enum Source {
    None,
    Fixed(HeaderValue),
    File(Arc<File>),
    Callback(Callback),
}

type Secret = Result<String, Box<dyn std::error::Error + Send + Sync>>;
type Callback = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Secret> + Send>> + Send + Sync>;

struct File {
    path: PathBuf,
    read: Mutex<Read>,
}

struct Read {
    header: HeaderValue,
    at: Instant,
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The key has characters that cannot be sent, or none at all.
    #[error("the key or token is empty or has characters that a header cannot carry")]
    Unsendable,
    /// The file cannot be read.
    #[error("cannot read the key or token in `{path}`")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Credentials {
    /// None: for a server that asks for none.
    #[must_use]
    pub fn none() -> Self {
        Self(Source::None)
    }

    /// A preshared key, or a token that outlives the client.
    ///
    /// # Errors
    /// [`CredentialsError::Unsendable`] for what a header cannot carry.
    pub fn key(key: &str) -> Result<Self, CredentialsError> {
        Ok(Self(Source::Fixed(bearer(key)?)))
    }

    /// What the file says, which is read again at most once a second while calls are made, and when a server refuses what it said.
    /// While it cannot be read, calls go on with what it said last.
    ///
    /// # Errors
    /// [`CredentialsError`] if it cannot be read now.
    pub fn file(path: impl AsRef<Path>) -> Result<Self, CredentialsError> {
        let path = path.as_ref().to_owned();
        let header = read(&path)?;
        let at = Instant::now();
        let read = Mutex::new(Read { header, at });
        Ok(Self(Source::File(Arc::new(File { path, read }))))
    }

    /// What the function says, asked before each attempt: it should keep what it has for as long as that is good.
    pub fn callback<F, Answer>(ask: F) -> Self
    where
        F: Fn() -> Answer + Send + Sync + 'static,
        Answer: Future<Output = Secret> + Send + 'static,
    {
        Self(Source::Callback(Arc::new(move || Box::pin(ask()))))
    }

    /// The header to send, if any.
    pub(crate) async fn header(&self) -> Result<Option<HeaderValue>, Error> {
        match &self.0 {
            Source::None => Ok(None),
            Source::Fixed(header) => Ok(Some(header.clone())),
            Source::File(file) => Ok(Some(File::header(file).await)),
            Source::Callback(ask) => {
                let failed = |what: &str| {
                    let message = format!("there is no credential to call with: {what}");
                    Error::new(ErrorKind::Credential, message)
                };
                let secret = ask().await.map_err(|error| failed(&error.to_string()))?;
                let header = bearer(&secret).map_err(|error| failed(&error.to_string()))?;
                Ok(Some(header))
            }
        }
    }

    /// Whether there is another to try after the server refused one.
    pub(crate) async fn renew(&self) -> bool {
        match &self.0 {
            Source::None | Source::Fixed(_) => false,
            Source::File(file) => File::renew(file).await,
            Source::Callback(_) => true,
        }
    }
}

impl File {
    async fn header(file: &Arc<Self>) -> HeaderValue {
        {
            let mut read = file.read.lock().unwrap_or_else(PoisonError::into_inner);
            if read.at.elapsed() < FILE_TRUSTED {
                return read.header.clone();
            }
            // Those who come meanwhile go on with what is there.
            read.at = Instant::now();
        }
        Self::renew(file).await;
        let read = file.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.header.clone()
    }

    /// Reads the file; whether it says something else now.
    async fn renew(file: &Arc<Self>) -> bool {
        let path = file.path.clone();
        let Ok(Ok(header)) = tokio::task::spawn_blocking(move || read(&path)).await else {
            return false;
        };
        let mut read = file.read.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = read.header != header;
        *read = Read {
            header,
            at: Instant::now(),
        };
        is_new
    }
}

fn read(path: &Path) -> Result<HeaderValue, CredentialsError> {
    use std::io::Read as _;
    let failed = |source| CredentialsError::File {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(failed)?;
    bearer(text.trim())
}

fn bearer(secret: &str) -> Result<HeaderValue, CredentialsError> {
    if secret.is_empty() {
        return Err(CredentialsError::Unsendable);
    }
    let header = HeaderValue::try_from(format!("Bearer {secret}"));
    let mut header = header.map_err(|_| CredentialsError::Unsendable)?;
    header.set_sensitive(true);
    Ok(header)
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Source::None => "Credentials::none()",
            Source::Fixed(_) => "Credentials::key(..)",
            Source::File(_) => "Credentials::file(..)",
            Source::Callback(_) => "Credentials::callback(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_to_be_sendable_and_is_never_shown() {
        for wrong in ["", "a\nb", "a\u{7f}"] {
            assert!(Credentials::key(wrong).is_err(), "{wrong:?}");
        }
        let credentials = Credentials::key("secret").unwrap();
        assert!(!format!("{credentials:?}").contains("secret"));
        let missing = Credentials::file("/nonexistent/key").unwrap_err();
        assert!(missing.to_string().contains("/nonexistent/key"));
    }

    #[tokio::test]
    async fn a_file_is_read_again_when_it_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "one\n").unwrap();
        let credentials = Credentials::file(&path).unwrap();
        let header = credentials.header().await.unwrap().unwrap();
        assert_eq!(header, "Bearer one");
        assert!(!credentials.renew().await);
        std::fs::write(&path, "two\n").unwrap();
        assert!(credentials.renew().await);
        let header = credentials.header().await.unwrap().unwrap();
        assert_eq!(header, "Bearer two");
        // What cannot be read leaves what was there.
        std::fs::remove_file(&path).unwrap();
        assert!(!credentials.renew().await);
        assert!(credentials.header().await.unwrap().is_some());
    }
}
