//! Files that are encrypted, in the format of age: to public keys, so that who makes a backup cannot read those of yesterday, or with a
//! passphrase. Both directions stream, and what was cut short or changed on the way does not open.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::iter;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::str::FromStr;

use age::secrecy::{ExposeSecret as _, SecretString};
use age::{DecryptError, Decryptor, Encryptor, Identity, Recipient, scrypt, x25519};
use anyhow::{Context as _, anyhow, bail};
use indicatif::ProgressBar;

/// With what each of them begins.
const MAGIC: &[u8] = b"age-encryption.org/v1";
/// Bytes that are carried over at once.
const BUFFER_BYTES: usize = 256 << 10;
/// No file of keys or of a passphrase is larger.
const KEY_BYTES_MAX: u64 = 64 << 10;
/// How much work a passphrase may ask for: memory of 4 GiB. What is more is refused, and not tried.
const WORK_FACTOR_MAX: u8 = 22;

/// What a file is encrypted to.
pub(crate) enum Seal {
    /// Whoever has a secret key of these.
    Recipients(Vec<x25519::Recipient>),
    /// Whoever knows this.
    Passphrase(SecretString),
}

/// What a file is opened with.
pub(crate) enum Unseal {
    /// One of these.
    Identities(Vec<x25519::Identity>),
    /// This.
    Passphrase(SecretString),
}

impl Seal {
    /// To the recipients of a file, one a line.
    pub(crate) fn to_recipients(path: &Path) -> anyhow::Result<Self> {
        let found = keys::<x25519::Recipient>(path, "a recipient, such as `age1...`")?;
        Ok(Self::Recipients(found))
    }

    pub(crate) fn with_passphrase(path: &Path) -> anyhow::Result<Self> {
        passphrase(path).map(Self::Passphrase)
    }

    fn encryptor(&self) -> anyhow::Result<Encryptor> {
        Ok(match self {
            Self::Passphrase(passphrase) => Encryptor::with_user_passphrase(passphrase.clone()),
            Self::Recipients(recipients) => {
                let recipients = recipients.iter().map(|it| it as &dyn Recipient);
                Encryptor::with_recipients(recipients)?
            }
        })
    }
}

impl Unseal {
    pub(crate) fn with_identities(path: &Path) -> anyhow::Result<Self> {
        let found = keys::<x25519::Identity>(path, "a secret key of `remit backup key`")?;
        Ok(Self::Identities(found))
    }

    pub(crate) fn with_passphrase(path: &Path) -> anyhow::Result<Self> {
        passphrase(path).map(Self::Passphrase)
    }

    fn reader<R: Read>(&self, decryptor: Decryptor<R>) -> Result<impl Read + use<R>, DecryptError> {
        match self {
            Self::Identities(identities) => {
                decryptor.decrypt(identities.iter().map(|it| it as &dyn Identity))
            }
            Self::Passphrase(passphrase) => {
                let mut identity = scrypt::Identity::new(passphrase.clone());
                identity.set_max_work_factor(WORK_FACTOR_MAX);
                decryptor.decrypt(iter::once(&identity as &dyn Identity))
            }
        }
    }
}

/// Whether a file is encrypted.
pub(crate) fn is_sealed(path: &Path) -> io::Result<bool> {
    let mut begin = Vec::with_capacity(MAGIC.len());
    File::open(path)?
        .take(MAGIC.len() as u64)
        .read_to_end(&mut begin)?;
    Ok(begin == MAGIC)
}

/// Writes `clear`, encrypted, to a new file that its owner alone may read, and has it on the disk.
pub(crate) fn seal(clear: &Path, to: &Path, seal: &Seal, bar: &ProgressBar) -> anyhow::Result<()> {
    let cannot = || format!("cannot write `{}`", to.display());
    let mut from = File::open(clear)?;
    bar.set_length(from.metadata()?.len());
    let out = BufWriter::with_capacity(BUFFER_BYTES, private(to).with_context(cannot)?);
    let mut writer = seal.encryptor()?.wrap_output(out).with_context(cannot)?;
    carry(&mut from, &mut writer, bar).with_context(cannot)?;
    let out = writer.finish().with_context(cannot)?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error);
    file.and_then(|file| file.sync_all()).with_context(cannot)
}

/// Writes what is in `sealed` to a new file that its owner alone may read. Of a file that was cut short or changed nothing is left.
pub(crate) fn unseal(
    sealed: &Path,
    to: &Path,
    unseal: &Unseal,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let shown = sealed.display();
    let file = File::open(sealed).with_context(|| format!("cannot read `{shown}`"))?;
    bar.set_length(file.metadata()?.len());
    let decryptor = Decryptor::new_buffered(BufReader::with_capacity(BUFFER_BYTES, file))
        .map_err(|error| refused(sealed, &error))?;
    match (decryptor.is_scrypt(), unseal) {
        (true, Unseal::Identities(_)) => {
            bail!("`{shown}` is encrypted with a passphrase: give `--passphrase-file`")
        }
        (false, Unseal::Passphrase(_)) => {
            bail!("`{shown}` is encrypted to keys: give `--identity-file`")
        }
        (true, Unseal::Passphrase(_)) | (false, Unseal::Identities(_)) => {}
    }
    let mut reader = unseal
        .reader(decryptor)
        .map_err(|error| refused(sealed, &error))?;
    let mut out = private(to).with_context(|| format!("cannot write `{}`", to.display()))?;
    carry(&mut reader, &mut out, bar).with_context(|| {
        format!("`{shown}` cannot be opened: it is damaged or cut short, or the disk is full")
    })
}

fn refused(sealed: &Path, error: &DecryptError) -> anyhow::Error {
    let shown = sealed.display();
    if matches!(error, DecryptError::NoMatchingKeys) {
        return anyhow!("`{shown}` is encrypted to other keys than these");
    }
    let is_key = matches!(
        error,
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed
    );
    if is_key {
        return anyhow!(
            "`{shown}` does not open: the key or the passphrase is another, or the file is damaged"
        );
    }
    anyhow!("`{shown}` is damaged, or was made by something else: {error}")
}

fn carry(from: &mut impl Read, to: &mut impl Write, bar: &ProgressBar) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = from.read(&mut buffer)?;
        let Some(part) = buffer.get(..count).filter(|part| !part.is_empty()) else {
            return to.flush();
        };
        to.write_all(part)?;
        bar.inc(count as u64);
    }
}

/// A new file that its owner alone may read.
pub(crate) fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(path)
}

/// A new secret key, as a file has it, and what to encrypt to for it.
pub(crate) fn new_key() -> (String, String) {
    let identity = x25519::Identity::generate();
    let recipient = identity.to_public().to_string();
    let secret = identity.to_string();
    let text = format!("# public key: {recipient}\n{}\n", secret.expose_secret());
    (text, recipient)
}

/// The keys in a file, one a line, with comments between them. What is no key is not repeated: it may be a secret.
fn keys<T: FromStr>(path: &Path, what: &str) -> anyhow::Result<Vec<T>> {
    let shown = path.display();
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text(path)?.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = line.parse();
        found.push(key.map_err(|_| anyhow!("`{shown}`, line {number}: expected {what}"))?);
    }
    if found.is_empty() {
        bail!("`{shown}` holds nothing: expected {what}");
    }
    Ok(found)
}

fn passphrase(path: &Path) -> anyhow::Result<SecretString> {
    let text = text(path)?;
    let passphrase = text.trim_end_matches(['\r', '\n']);
    if passphrase.is_empty() {
        bail!("`{}` holds no passphrase", path.display());
    }
    Ok(SecretString::from(passphrase.to_owned()))
}

fn text(path: &Path) -> anyhow::Result<String> {
    let cannot = || format!("cannot read `{}`", path.display());
    let mut text = String::new();
    let file = File::open(path).with_context(cannot)?;
    file.take(KEY_BYTES_MAX)
        .read_to_string(&mut text)
        .with_context(cannot)?;
    Ok(text)
}
