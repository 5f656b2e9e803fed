//! Files of relationships: text lines, comma-separated values, JSON lines; compressed by gzip if the name says so.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use anyhow::{Context as _, bail};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use model::{CaveatRef, Context, Relationship};
use serde::{Deserialize, Serialize};

use crate::arguments::Format;

/// The longest line that is read, in bytes: a relationship with the largest context fits many times.
const LINE_BYTES_MAX: u64 = 1 << 20;

impl Format {
    /// The form that a file's name says, else text.
    pub(crate) fn of(path: &Path) -> Self {
        let name = path.to_string_lossy();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        if name.ends_with(".csv") {
            Self::Csv
        } else if name.ends_with(".jsonl") || name.ends_with(".ndjson") {
            Self::Jsonl
        } else {
            Self::Text
        }
    }
}

/// Whether the name of a file says that it is compressed.
pub(crate) fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

/// Reads relationships one by one, counting lines for errors.
pub(crate) struct Reader {
    lines: Box<dyn BufRead + Send>,
    format: Format,
    line_number: u64,
    line: Vec<u8>,
    columns: Option<csv::StringRecord>,
    source: String,
}

impl Reader {
    /// Opens `path`; `-` is the standard input. `meter` sees every byte that is read from the file.
    pub(crate) fn open(
        path: &Path,
        format: Format,
        meter: impl Fn(Box<dyn Read + Send>) -> Box<dyn Read + Send>,
    ) -> anyhow::Result<Self> {
        let file: Box<dyn Read + Send> = if path == Path::new("-") {
            Box::new(io::stdin())
        } else {
            Box::new(File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?)
        };
        let file = meter(file);
        let lines: Box<dyn BufRead + Send> = if is_compressed(path) {
            Box::new(BufReader::with_capacity(
                1 << 16,
                MultiGzDecoder::new(BufReader::new(file)),
            ))
        } else {
            Box::new(BufReader::with_capacity(1 << 16, file))
        };
        Ok(Self {
            lines,
            format,
            line_number: 0,
            line: Vec::new(),
            columns: None,
            source: path.display().to_string(),
        })
    }

    /// The number of lines read so far.
    pub(crate) fn line_number(&self) -> u64 {
        self.line_number
    }

    /// The next relationship; none at the end.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Relationship>> {
        while let Some(line) = self.next_line()? {
            let parsed = match self.format {
                Format::Text => line.parse::<Relationship>().map_err(anyhow::Error::from),
                Format::Jsonl => from_json(&line),
                Format::Csv => {
                    let record = csv_record(&line).with_context(|| self.place())?;
                    let Some(columns) = &self.columns else {
                        self.columns = Some(record);
                        continue;
                    };
                    from_csv(columns, &record)
                }
            };
            return parsed.map(Some).with_context(|| self.place());
        }
        Ok(None)
    }

    /// The next line that is neither blank nor a comment; none at the end.
    pub(crate) fn next_line(&mut self) -> anyhow::Result<Option<String>> {
        while self.read_line()? {
            let line = std::str::from_utf8(&self.line)
                .with_context(|| format!("{}: not UTF-8", self.place()))?
                .trim();
            if !(line.is_empty() || line.starts_with("//") || line.starts_with('#')) {
                return Ok(Some(line.to_owned()));
            }
        }
        Ok(None)
    }

    /// Where the last line stands, for errors.
    pub(crate) fn place(&self) -> String {
        format!("`{}`, line {}", self.source, self.line_number)
    }

    /// Passes over the lines up to `line_number`, but for the heading of a table.
    pub(crate) fn skip_to(&mut self, line_number: u64) -> anyhow::Result<()> {
        while self.line_number < line_number && self.read_line()? {
            if self.format == Format::Csv && self.columns.is_none() {
                let line = std::str::from_utf8(&self.line).context("the heading is not UTF-8")?;
                self.columns = Some(csv_record(line.trim())?);
            }
        }
        Ok(())
    }

    fn read_line(&mut self) -> anyhow::Result<bool> {
        self.line.clear();
        let mut limited = (&mut self.lines).take(LINE_BYTES_MAX);
        let bytes = limited.read_until(b'\n', &mut self.line).with_context(|| {
            format!(
                "`{}` cannot be read after line {}",
                self.source, self.line_number
            )
        })?;
        if bytes as u64 == LINE_BYTES_MAX {
            bail!(
                "`{}`, line {}: longer than {LINE_BYTES_MAX} bytes",
                self.source,
                self.line_number + 1
            );
        }
        self.line_number += u64::from(bytes > 0);
        Ok(bytes > 0)
    }
}

/// Writes relationships.
pub(crate) struct Writer {
    out: Out,
    format: Format,
}

enum Out {
    Plain(BufWriter<Box<dyn Write + Send>>),
    Gzip(GzEncoder<BufWriter<Box<dyn Write + Send>>>),
}

impl Writer {
    /// Writes to `file` in `format`; the heading of a table unless the file is gone on with.
    pub(crate) fn new(
        file: Box<dyn Write + Send>,
        format: Format,
        compress: bool,
        is_continued: bool,
    ) -> anyhow::Result<Self> {
        let buffered = BufWriter::with_capacity(1 << 16, file);
        let out = if compress {
            Out::Gzip(GzEncoder::new(buffered, Compression::default()))
        } else {
            Out::Plain(buffered)
        };
        let mut writer = Self { out, format };
        if format == Format::Csv && !is_continued {
            writer.line(&COLUMNS.join(","))?;
        }
        Ok(writer)
    }

    pub(crate) fn write(&mut self, relationship: &Relationship) -> anyhow::Result<()> {
        let line = match self.format {
            Format::Text => relationship.to_string(),
            Format::Jsonl => serde_json::to_string(&Record::from(relationship))?,
            Format::Csv => to_csv(relationship)?,
        };
        self.line(&line)
    }

    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        self.out
            .as_write()
            .flush()
            .context("cannot write the export")
    }

    /// Ends the file. A compressed one is only whole after this.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        let mut plain = match self.out {
            Out::Plain(out) => out,
            Out::Gzip(out) => out.finish().context("cannot write the export")?,
        };
        plain.flush().context("cannot write the export")
    }

    fn line(&mut self, line: &str) -> anyhow::Result<()> {
        writeln!(self.out.as_write(), "{line}").context("cannot write the export")
    }
}

impl Out {
    fn as_write(&mut self) -> &mut dyn Write {
        match self {
            Self::Plain(out) => out,
            Self::Gzip(out) => out,
        }
    }
}

/// A relationship as a JSON line has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    resource: String,
    relation: String,
    subject: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    caveat: Option<CaveatRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaveatRecord {
    name: String,
    #[serde(default)]
    context: serde_json::Map<String, serde_json::Value>,
}

impl From<&Relationship> for Record {
    fn from(relationship: &Relationship) -> Self {
        Self {
            resource: relationship.resource.to_string(),
            relation: relationship.relation.to_string(),
            subject: relationship.subject.to_string(),
            caveat: relationship.caveat.as_ref().map(|caveat| CaveatRecord {
                name: caveat.name.to_string(),
                // A context prints as a JSON object, so this parse cannot fail.
                context: serde_json::from_str(&caveat.context.to_json()).unwrap_or_default(),
            }),
            expires_at: relationship.expires_at.map(|at| at.to_string()),
        }
    }
}

fn from_json(line: &str) -> anyhow::Result<Relationship> {
    let record: Record = serde_json::from_str(line)?;
    let mut relationship = Relationship::new(
        record.resource.parse()?,
        record.relation.parse()?,
        record.subject.parse()?,
    );
    if let Some(caveat) = record.caveat {
        let context = serde_json::Value::Object(caveat.context).to_string();
        relationship.caveat = Some(CaveatRef {
            name: caveat.name.parse()?,
            context: Context::from_json(&context)?,
        });
    }
    relationship.expires_at = record.expires_at.map(|at| at.parse()).transpose()?;
    Ok(relationship)
}

const COLUMNS: [&str; 9] = [
    "resource_type",
    "resource_id",
    "relation",
    "subject_type",
    "subject_id",
    "subject_relation",
    "caveat_name",
    "caveat_context",
    "expires_at",
];

fn csv_record(line: &str) -> anyhow::Result<csv::StringRecord> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(line.as_bytes());
    let mut record = csv::StringRecord::new();
    reader
        .read_record(&mut record)
        .context("not comma-separated values")?;
    Ok(record)
}

fn from_csv(
    columns: &csv::StringRecord,
    record: &csv::StringRecord,
) -> anyhow::Result<Relationship> {
    if let Some(unknown) = columns.iter().find(|column| !COLUMNS.contains(column)) {
        bail!("column `{unknown}` is not one of {}", COLUMNS.join(", "));
    }
    let field = |name: &str| {
        let place = columns.iter().position(|column| column == name)?;
        record.get(place).filter(|value| !value.is_empty())
    };
    let required =
        |name: &'static str| field(name).with_context(|| format!("column `{name}` is empty"));
    let resource = format!(
        "{}:{}",
        required("resource_type")?,
        required("resource_id")?
    );
    let mut subject = format!("{}:{}", required("subject_type")?, required("subject_id")?);
    if let Some(relation) = field("subject_relation") {
        subject = format!("{subject}#{relation}");
    }
    let mut relationship = Relationship::new(
        resource.parse()?,
        required("relation")?.parse()?,
        subject.parse()?,
    );
    if let Some(name) = field("caveat_name") {
        let context = field("caveat_context")
            .map(Context::from_json)
            .transpose()?
            .unwrap_or_default();
        relationship.caveat = Some(CaveatRef {
            name: name.parse()?,
            context,
        });
    }
    relationship.expires_at = field("expires_at").map(str::parse).transpose()?;
    Ok(relationship)
}

fn to_csv(relationship: &Relationship) -> anyhow::Result<String> {
    let (resource, subject) = (&relationship.resource, &relationship.subject);
    let relation = subject
        .relation
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let caveat = relationship.caveat.as_ref();
    let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
    writer.write_record([
        resource.definition.as_str(),
        resource.id.as_str(),
        relationship.relation.as_str(),
        subject.definition.as_str(),
        subject.id.as_str(),
        &relation,
        caveat.map_or("", |caveat| caveat.name.as_str()),
        &caveat
            .map(|caveat| caveat.context.to_json())
            .unwrap_or_default(),
        &relationship
            .expires_at
            .map(|at| at.to_string())
            .unwrap_or_default(),
    ])?;
    let bytes = writer
        .into_inner()
        .context("cannot write comma-separated values")?;
    Ok(String::from_utf8(bytes)?.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [&str; 3] = [
        "document:readme#viewer@user:ann",
        "document:readme#viewer@group:eng#member[expiration:2027-01-31T00:00:00Z]",
        r#"document:readme#viewer@user:*[cav:{"a":"x,\"y\"","b":[1,true]}]"#,
    ];

    #[test]
    fn every_form_reads_back_what_it_wrote() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.txt", "a.csv", "a.jsonl", "a.txt.gz", "a.csv.gz"] {
            let path = dir.path().join(name);
            let format = Format::of(&path);
            let file = Box::new(File::create(&path).unwrap());
            let mut writer = Writer::new(file, format, is_compressed(&path), false).unwrap();
            for line in LINES {
                writer.write(&line.parse().unwrap()).unwrap();
            }
            writer.finish().unwrap();
            let mut reader = Reader::open(&path, format, |file| file).unwrap();
            let mut read = Vec::new();
            while let Some(relationship) = reader.next().unwrap() {
                read.push(relationship.to_string());
            }
            assert_eq!(read, LINES, "{name}");
        }
    }

    #[test]
    fn an_error_names_file_and_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bad.txt");
        std::fs::write(&path, b"document:a#viewer@user:x\n\n\xff\xfe\n").unwrap();
        let mut reader = Reader::open(&path, Format::Text, |file| file).unwrap();
        assert!(reader.next().unwrap().is_some());
        let error = format!("{:#}", reader.next().unwrap_err());
        assert!(error.contains("bad.txt`, line 3: not UTF-8"), "{error}");
    }
}
