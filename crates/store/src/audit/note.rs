//! Signed notes: a text with signatures below it, in the form of C2SP's signed-note, and checkpoints (tlog-checkpoint) in it.
//!
//! ```text
//! remit/0102030405060708/1112131415161718      the store and the history that signed
//! 12345                                         how many entries
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=  the root over them
//!
//! - audit.example.com 5jMS...                   an em dash, the key's name, its number and the signature in base64
//! ```
//!
//! Keys are written as Go's `sumdb/note` writes them: `PRIVATE+KEY+NAME+NUMBER+BASE64` and `NAME+NUMBER+BASE64`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::tree::{Hash, sha256};
use crate::store::StoreIdentity;

const ED25519_ALGORITHM: u8 = 1;
const PRIVATE: &str = "PRIVATE+KEY+";
/// The most signatures of a note that are looked at.
const SIGNATURES_MAX: usize = 100;
/// The longest name of a key, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// The root of a log of some size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log, by its store and history.
    pub origin: String,
    /// How many entries.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

/// A text with signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    /// The text; it ends with a line break.
    pub text: String,
    /// The signatures.
    pub signatures: Vec<Signature>,
}

/// One signature of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The name of the key.
    pub name: String,
    /// The number of the key, which tells those of one name apart.
    pub number: [u8; 4],
    /// The signature itself.
    pub bytes: Vec<u8>,
}

/// A key that signs. What it shows of itself is no secret.
pub struct SigningKey {
    public: VerifyingKey,
    pair: Ed25519KeyPair,
}

/// A key that verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    name: String,
    number: [u8; 4],
    bytes: [u8; 32],
}

/// Why a text is no note, no checkpoint, or no key. It never repeats the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is no signed note.
    #[error("it is no signed note: {0}")]
    Note(&'static str),
    /// It is no checkpoint.
    #[error("it is no checkpoint: {0}")]
    Checkpoint(&'static str),
    /// It is no key.
    #[error("it is no audit key: {0}; `remit audit key` makes one")]
    Key(&'static str),
    /// The operating system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

impl Checkpoint {
    /// What a store signs of a log of that size and root.
    #[must_use]
    pub fn of(identity: StoreIdentity, size: u64, root: Hash) -> Self {
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        let (store, history) = (hex(&identity.store.0), hex(&identity.history.0));
        Self {
            origin: format!("remit/{store}/{history}"),
            size,
            root,
        }
    }

    /// Its text, as it is signed.
    #[must_use]
    pub fn text(&self) -> String {
        let root = STANDARD.encode(self.root.0);
        format!("{}\n{}\n{root}\n", self.origin, self.size)
    }

    /// The checkpoint of a text. Lines after the first three are for others.
    ///
    /// # Errors
    /// [`NoteError::Checkpoint`]
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut lines = text.lines();
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(NoteError::Checkpoint("it has fewer than three lines"));
        };
        let number: u64 = size
            .parse()
            .map_err(|_| NoteError::Checkpoint("its second line is no number"))?;
        let hash = STANDARD.decode(root).ok();
        let hash = hash.and_then(|bytes| bytes.try_into().ok());
        if origin.is_empty() || number.to_string() != size {
            return Err(NoteError::Checkpoint(
                "its number or origin is not as it is written",
            ));
        }
        Ok(Self {
            origin: origin.to_owned(),
            size: number,
            root: Hash(hash.ok_or(NoteError::Checkpoint("its third line is no hash"))?),
        })
    }
}

impl SignedNote {
    /// The note of a text.
    ///
    /// # Errors
    /// [`NoteError::Note`]
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        let (text, below) = note
            .rsplit_once("\n\n")
            .ok_or(NoteError::Note("no empty line parts text and signatures"))?;
        if below.is_empty() || !below.ends_with('\n') {
            return Err(NoteError::Note("it does not end with a signature's line"));
        }
        let mut signatures = Vec::new();
        for line in below.lines().take(SIGNATURES_MAX) {
            signatures.push(Signature::parse(line)?);
        }
        let note = Self {
            text: format!("{text}\n"),
            signatures,
        };
        Ok(note)
    }

    /// Whether one of `keys` signed it: the first one that did.
    #[must_use]
    pub fn signer<'k>(&self, keys: &'k [VerifyingKey]) -> Option<&'k VerifyingKey> {
        let is_signed_by = |key: &&VerifyingKey| {
            self.signatures.iter().any(|signature| {
                signature.name == key.name
                    && signature.number == key.number
                    && key.verifies(self.text.as_bytes(), &signature.bytes)
            })
        };
        keys.iter().find(is_signed_by)
    }

    /// Whether one of `keys` is said to have signed it, and has not.
    #[must_use]
    pub fn is_forged(&self, keys: &[VerifyingKey]) -> bool {
        self.signatures.iter().any(|signature| {
            keys.iter().any(|key| {
                (&signature.name, signature.number) == (&key.name, key.number)
                    && !key.verifies(self.text.as_bytes(), &signature.bytes)
            })
        })
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for signature in &self.signatures {
            let bytes = [signature.number.as_slice(), &signature.bytes].concat();
            writeln!(f, "\u{2014} {} {}", signature.name, STANDARD.encode(bytes))?;
        }
        Ok(())
    }
}

impl Signature {
    fn parse(line: &str) -> Result<Self, NoteError> {
        let wrong = NoteError::Note("a line below the text is no signature");
        let parts = line
            .strip_prefix("\u{2014} ")
            .and_then(|rest| rest.split_once(' '));
        let (name, bytes) = parts.ok_or_else(|| wrong.clone())?;
        let bytes = STANDARD.decode(bytes).map_err(|_| wrong.clone())?;
        let (number, bytes) = bytes.split_first_chunk().ok_or(wrong)?;
        Ok(Self {
            name: name.to_owned(),
            number: *number,
            bytes: bytes.to_vec(),
        })
    }
}

impl SigningKey {
    /// A new key of that name, as a line of a file.
    ///
    /// # Errors
    /// [`NoteError`] if the name is none, or there are no random numbers.
    pub fn fresh_line(name: &str) -> Result<String, NoteError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| NoteError::Random)?;
        let key = Self::of_seed(name, &seed)?;
        let number = key.public.number_text();
        let seed = [[ED25519_ALGORITHM].as_slice(), &seed].concat();
        Ok(format!(
            "{PRIVATE}{name}+{number}+{}",
            STANDARD.encode(seed)
        ))
    }

    /// The key of a line.
    ///
    /// # Errors
    /// [`NoteError::Key`]
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        let rest = line
            .strip_prefix(PRIVATE)
            .ok_or(NoteError::Key("it does not begin with `PRIVATE+KEY+`"))?;
        let (name, number, seed) = parts(rest)?;
        let key = Self::of_seed(name, &seed)?;
        if key.public.number_text() != number {
            return Err(NoteError::Key("its number is not that of the key"));
        }
        Ok(key)
    }

    fn of_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed)
            .map_err(|_| NoteError::Key("its bytes are none of a key"))?;
        let bytes = pair.public_key().as_ref().try_into();
        let bytes = bytes.map_err(|_| NoteError::Key("its bytes are none of a key"))?;
        Ok(Self {
            public: VerifyingKey::new(name, bytes)?,
            pair,
        })
    }

    /// The key that verifies what this one signs.
    #[must_use]
    pub fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// Signs a text, which ends with a line break.
    #[must_use]
    pub fn sign(&self, text: &str) -> SignedNote {
        let signature = self.pair.sign(text.as_bytes());
        SignedNote {
            text: text.to_owned(),
            signatures: vec![Signature {
                name: self.public.name.clone(),
                number: self.public.number,
                bytes: signature.as_ref().to_vec(),
            }],
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public)
    }
}

impl VerifyingKey {
    fn new(name: &str, bytes: [u8; 32]) -> Result<Self, NoteError> {
        let is_plain = |letter: char| letter.is_ascii_graphic() && letter != '+';
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.chars().all(is_plain) {
            return Err(NoteError::Key(
                "a name has 1 to 128 letters, no space and no `+`",
            ));
        }
        let Hash(hash) = sha256(&[name.as_bytes(), b"\n", &[ED25519_ALGORITHM], &bytes]);
        let [a, b, c, d, ..] = hash;
        Ok(Self {
            name: name.to_owned(),
            number: [a, b, c, d],
            bytes,
        })
    }

    /// The key of a line, be it that of a key that verifies or of one that signs.
    ///
    /// # Errors
    /// [`NoteError::Key`]
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        if line.starts_with(PRIVATE) {
            return SigningKey::parse(line).map(|key| key.public);
        }
        let (name, number, bytes) = parts(line)?;
        let key = Self::new(name, bytes)?;
        if key.number_text() != number {
            return Err(NoteError::Key("its number is not that of the key"));
        }
        Ok(key)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn number_text(&self) -> String {
        self.number
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, &self.bytes);
        key.verify(text, signature).is_ok()
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [[ED25519_ALGORITHM].as_slice(), &self.bytes].concat();
        let (name, number) = (&self.name, self.number_text());
        write!(f, "{name}+{number}+{}", STANDARD.encode(bytes))
    }
}

/// Name, number and bytes of a key's line.
fn parts(line: &str) -> Result<(&str, &str, [u8; 32]), NoteError> {
    let mut parts = line.splitn(3, '+');
    let (Some(name), Some(number), Some(bytes)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NoteError::Key("it has fewer than three parts"));
    };
    let bytes = STANDARD.decode(bytes);
    let bytes = bytes.map_err(|_| NoteError::Key("its last part is no base64"))?;
    match bytes.split_first() {
        Some((&ED25519_ALGORITHM, key)) => match key.try_into() {
            Ok(key) => Ok((name, number, key)),
            Err(_) => Err(NoteError::Key("it does not have 32 bytes")),
        },
        Some(_) | None => Err(NoteError::Key("it is not of Ed25519")),
    }
}

/// The keys of a file's lines: the first signs. Empty lines, and those that begin with `#`, are for people.
///
/// # Errors
/// [`NoteError`] for a line that is none, and for a file without keys.
pub fn signing_keys(text: &str) -> Result<Vec<SigningKey>, NoteError> {
    let keys: Vec<_> = lines(text)
        .map(SigningKey::parse)
        .collect::<Result<_, _>>()?;
    if keys.is_empty() {
        return Err(NoteError::Key("there is none in the file"));
    }
    Ok(keys)
}

/// As [`signing_keys`], of keys that verify; those that sign are taken for them.
///
/// # Errors
/// [`NoteError`] for a line that is no key.
pub fn verifying_keys(text: &str) -> Result<Vec<VerifyingKey>, NoteError> {
    lines(text).map(VerifyingKey::parse).collect()
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Go's `golang.org/x/mod/sumdb/note`.
    const PRIVATE_KEY: &str =
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const PUBLIC_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn notes_are_those_of_the_published_example() {
        let key = SigningKey::parse(PRIVATE_KEY).unwrap();
        assert_eq!(key.public().to_string(), PUBLIC_KEY);
        let note = SignedNote::parse(NOTE).unwrap();
        assert_eq!(note.to_string(), NOTE);
        assert_eq!(key.sign(&note.text), note);
        let keys = [VerifyingKey::parse(PUBLIC_KEY).unwrap()];
        assert_eq!(note.signer(&keys), keys.first());
        assert!(!note.is_forged(&keys));
    }

    #[test]
    fn any_other_byte_of_a_note_is_no_longer_signed() {
        let keys = [VerifyingKey::parse(PUBLIC_KEY).unwrap()];
        for at in 0..NOTE.len() {
            let mut bytes = NOTE.as_bytes().to_vec();
            bytes[at] ^= 1;
            let note = String::from_utf8(bytes).ok();
            let note = note.and_then(|text| SignedNote::parse(&text).ok());
            assert!(note.is_none_or(|note| note.signer(&keys).is_none()), "{at}");
        }
    }

    #[test]
    fn a_checkpoint_round_trips_and_nothing_else_is_one() {
        let checkpoint = Checkpoint {
            origin: "remit/01/02".to_owned(),
            size: 12,
            root: Hash([7; 32]),
        };
        assert_eq!(Checkpoint::parse(&checkpoint.text()), Ok(checkpoint));
        for text in [
            "",
            "a\n1\n",
            "a\n01\nAAAA\n",
            "a\n1\nAAAA\n",
            "a\n-1\nAAAA\n",
        ] {
            assert!(Checkpoint::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_are_fresh_and_read_back_and_bad_ones_are_not_repeated() {
        let line = SigningKey::fresh_line("audit.example.com").unwrap();
        assert_ne!(line, SigningKey::fresh_line("audit.example.com").unwrap());
        let key = SigningKey::parse(&line).unwrap();
        let shown = format!("{key:?}");
        assert!(!line.contains(shown.rsplit('+').next().unwrap()));
        assert_eq!(VerifyingKey::parse(&line).unwrap(), *key.public());
        let file = format!("# of May\n\n{line}\n");
        assert_eq!(signing_keys(&file).unwrap().len(), 1);
        assert!(signing_keys("# none\n").is_err());
        assert!(SigningKey::fresh_line("a b").is_err());
        for wrong in [
            "secret",
            "PRIVATE+KEY+a+00000000+secret",
            &line.replace("audit", "other"),
        ] {
            let told = SigningKey::parse(wrong).unwrap_err().to_string();
            assert!(
                !told.contains("secret") && !told.contains("other"),
                "{told}"
            );
        }
    }
}
