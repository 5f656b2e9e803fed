//! Events out of a file: lines of JSON, or arrays, compressed or not, as they come.
//!
//! A line that cannot be read is told and passed over: whoever wrote it may have crashed, and what comes after it is on lines of its own.
//! Arrays may go over many lines, so in a file that begins with one the first fault is the end.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use decision_log::logged::{self, Logged};
use flate2::read::MultiGzDecoder;
use serde_json::{Deserializer, Value};

/// What gzip files begin with.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The longest line that is read, in bytes. A record has at most 64 KiB, and each of them becomes six at most.
const LINE_BYTES_MAX: u64 = 4 << 20;

/// One entry: a decision, or why it is none; an error where the file cannot be read on.
type Entry = anyhow::Result<Result<Logged, String>>;

/// Reads the entries of a file, `-` for the standard input.
pub(super) fn open(path: &Path) -> anyhow::Result<Box<dyn Iterator<Item = Entry>>> {
    let shown = path.display().to_string();
    let cannot = || format!("cannot read `{shown}`");
    let raw: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).with_context(cannot)?)
    };
    let mut raw = BufReader::new(raw);
    let begins = raw.fill_buf().with_context(cannot)?;
    let mut reader: Box<dyn BufRead> = if begins.starts_with(&GZIP) {
        Box::new(BufReader::new(MultiGzDecoder::new(raw)))
    } else {
        Box::new(raw)
    };
    let number = skip_space(&mut reader).with_context(cannot)?;
    if reader.fill_buf().with_context(cannot)?.starts_with(b"[") {
        return Ok(Box::new(arrays(reader, shown)));
    }
    Ok(Box::new(Lines {
        reader,
        number,
        shown,
        is_over: false,
    }))
}

/// Skips white space; how many lines that were.
fn skip_space(reader: &mut impl BufRead) -> io::Result<usize> {
    let mut lines = 0;
    loop {
        let bytes = reader.fill_buf()?;
        let count = bytes
            .iter()
            .take_while(|it| it.is_ascii_whitespace())
            .count();
        lines += bytes.iter().take(count).filter(|it| **it == b'\n').count();
        let is_over = count == 0 || count < bytes.len();
        reader.consume(count);
        if is_over {
            return Ok(lines);
        }
    }
}

fn arrays(reader: impl BufRead, shown: String) -> impl Iterator<Item = Entry> {
    let values = Deserializer::from_reader(reader).into_iter::<Value>();
    let mut is_over = false;
    let values = values.map_while(move |value| {
        if is_over {
            return None;
        }
        is_over = value.is_err();
        Some(value.map_err(|error| anyhow!("`{shown}` cannot be read on: {error}")))
    });
    values.flat_map(|value| match value {
        Ok(Value::Array(events)) => events.iter().map(|it| Ok(logged::read(it))).collect(),
        Ok(event) => vec![Ok(logged::read(&event))],
        Err(error) => vec![Err(error)],
    })
}

/// The lines of a file, each of which is an event.
struct Lines<R> {
    reader: R,
    /// That of the line that was read last, from 1.
    number: usize,
    shown: String,
    is_over: bool,
}

impl<R: BufRead> Lines<R> {
    /// The next line, or what is wrong with its length; none at the end.
    fn line(&mut self) -> io::Result<Option<Result<Vec<u8>, String>>> {
        let mut line = Vec::new();
        let mut part = (&mut self.reader).take(LINE_BYTES_MAX);
        if part.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        let is_whole = line.ends_with(b"\n") || (line.len() as u64) < LINE_BYTES_MAX;
        if is_whole {
            return Ok(Some(Ok(line)));
        }
        self.reader.skip_until(b'\n')?;
        let why = format!("line {} has over {LINE_BYTES_MAX} bytes", self.number);
        Ok(Some(Err(why)))
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        while !self.is_over {
            let line = match self.line() {
                Ok(Some(read)) => read,
                Ok(None) => break,
                Err(error) => {
                    self.is_over = true;
                    return Some(Err(anyhow!("`{}` cannot be read on: {error}", self.shown)));
                }
            };
            let line = match line {
                Ok(line) if line.trim_ascii().is_empty() => continue,
                Ok(line) => line,
                Err(why) => return Some(Ok(Err(why))),
            };
            let event = serde_json::from_slice::<Value>(&line)
                .map_err(|error| format!("line {} is no JSON: {error}", self.number))
                .and_then(|event| logged::read(&event));
            return Some(Ok(event));
        }
        None
    }
}
