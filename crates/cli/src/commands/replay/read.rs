//! Events out of a file: lines of JSON or arrays, compressed or not, as they come.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use decision_log::logged::{self, Logged};
use flate2::read::MultiGzDecoder;
use serde_json::{Deserializer, Value};

/// What gzip files begin with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// One entry: a decision, or why it is none; an error where the file cannot be read on.
type Entry = anyhow::Result<Result<Logged, String>>;

/// Reads the entries of a file, `-` for the standard input.
pub(super) fn open(path: &Path) -> anyhow::Result<impl Iterator<Item = Entry> + use<>> {
    let shown = path.display().to_string();
    let raw: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).with_context(|| format!("cannot read `{shown}`"))?)
    };
    let mut raw = BufReader::new(raw);
    let begins = raw
        .fill_buf()
        .with_context(|| format!("cannot read `{shown}`"))?;
    let reader: Box<dyn Read> = if begins.starts_with(&GZIP) {
        Box::new(BufReader::new(MultiGzDecoder::new(raw)))
    } else {
        Box::new(raw)
    };
    let values = Deserializer::from_reader(reader).into_iter::<Value>();
    let mut is_over = false;
    let values = values.map_while(move |value| {
        if is_over {
            return None;
        }
        is_over = value.is_err();
        Some(value.map_err(|error| anyhow!("`{shown}` cannot be read on: {error}")))
    });
    Ok(values.flat_map(|value| match value {
        Ok(Value::Array(events)) => events.iter().map(|it| Ok(logged::read(it))).collect(),
        Ok(event) => vec![Ok(logged::read(&event))],
        Err(error) => vec![Err(error)],
    }))
}
