//! The file of rules: TOML, read whole with every fault that it has, or not at all.
//!
//! A part to hide that no event has is a fault: a slip of the pen must not leave in the log what was to be kept out of it.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::matching::{Matching, PROTOCOLS, Word};
use super::settings::{BufferSettings, HttpSettings, SinkKind, SinkSettings};
use super::{Fault, Hides, Keep, Rules, RulesError, SampleBy, Treatment};
use crate::hidden::Salt;

/// The largest file, in bytes.
const FILE_BYTES_MAX: usize = 1 << 20;
/// Rules in a file: each decision is held against them, one after the other.
const RULES_MAX: usize = 256;
const SINKS_MAX: usize = 8;
const LABELS_MAX: usize = 32;
/// A label's name or value, in bytes.
const LABEL_BYTES_MAX: usize = 256;
/// The shortest salt, in bytes.
const SALT_BYTES_MIN: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    labels: BTreeMap<String, Spanned<String>>,
    salt_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    defaults: Defaults,
    #[serde(default)]
    rule: Vec<Spanned<Rule>>,
    #[serde(default)]
    buffer: Buffer,
    #[serde(default)]
    sink: Vec<Spanned<Sink>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Defaults {
    sample: Option<Spanned<f64>>,
    sample_by: Option<SampleBy>,
    context: Option<ContextWord>,
    #[serde(default)]
    erase: Vec<Spanned<String>>,
    #[serde(default)]
    mask: Vec<Spanned<String>>,
    mask_with: Option<MaskWith>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    definition: Option<Names>,
    permission: Option<Names>,
    decision: Option<Vec<Word>>,
    caller: Option<Names>,
    protocol: Option<Vec<Spanned<String>>>,
    sample: Option<Spanned<f64>>,
    sample_by: Option<SampleBy>,
    context: Option<ContextWord>,
    erase: Option<Vec<Spanned<String>>>,
    mask: Option<Vec<Spanned<String>>>,
    mask_with: Option<MaskWith>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum ContextWord {
    Keep,
    Erase,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum MaskWith {
    Hash,
    Stars,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Buffer {
    bytes_max: Option<Spanned<usize>>,
    events_max: Option<Spanned<usize>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sink {
    name: Option<Spanned<String>>,
    file: Option<PathBuf>,
    http: Option<Spanned<String>>,
    otlp: Option<Spanned<String>>,
    rotate_bytes: Option<Spanned<u64>>,
    files_max: Option<Spanned<u32>>,
    sync: Option<bool>,
    bearer_token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    allow_plaintext: bool,
    timeout_seconds: Option<Spanned<u64>>,
    batch_bytes_max: Option<Spanned<usize>>,
    batch_events_max: Option<Spanned<usize>>,
    flush_milliseconds: Option<Spanned<u64>>,
    queue_bytes_max: Option<Spanned<usize>>,
    queue_events_max: Option<Spanned<usize>>,
}

/// What reads, and the faults that it has found.
struct Reader<'a> {
    text: &'a str,
    folder: &'a Path,
    faults: Vec<Fault>,
    files: Vec<PathBuf>,
}

pub(super) fn read(file: &Path) -> Result<Rules, RulesError> {
    let bytes = fs::read(file).map_err(|source| RulesError::Unreadable {
        file: file.to_owned(),
        source,
    })?;
    let text = String::from_utf8_lossy(&bytes);
    let mut reader = Reader {
        text: &text,
        folder: file.parent().unwrap_or(Path::new("")),
        faults: Vec::new(),
        files: vec![file.to_owned()],
    };
    let rules = reader.rules();
    reader.faults.sort();
    match rules {
        Some(rules) if reader.faults.is_empty() => Ok(rules),
        Some(_) | None => Err(RulesError::Faults {
            file: file.to_owned(),
            faults: reader.faults,
        }),
    }
}

impl Reader<'_> {
    fn fault(&mut self, span: Range<usize>, message: impl Into<String>) {
        let before = self.text.get(..span.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|it| *it != '\n').count() + 1;
        let message = message.into();
        self.faults.push(Fault {
            line,
            column,
            message,
        });
    }

    fn rules(&mut self) -> Option<Rules> {
        if self.text.len() > FILE_BYTES_MAX {
            let bytes = self.text.len();
            self.fault(
                0..0,
                format!("the file has {bytes} bytes, at most {FILE_BYTES_MAX} are read"),
            );
            return None;
        }
        let file: File = match toml::from_str(self.text) {
            Ok(file) => file,
            Err(error) => {
                self.fault(error.span().unwrap_or(0..0), error.message());
                return None;
            }
        };
        self.count("rules", file.rule.len(), RULES_MAX);
        self.count("labels", file.labels.len(), LABELS_MAX);
        if file.sink.is_empty() || file.sink.len() > SINKS_MAX {
            let count = file.sink.len();
            self.fault(
                0..0,
                format!("there are {count} sinks: expected 1 to {SINKS_MAX} of `[[sink]]`"),
            );
        }
        let labels = self.labels(file.labels);
        let otherwise = self.keep(&file.defaults);
        let rules: Vec<_> = file
            .rule
            .into_iter()
            .map(|rule| self.rule(rule.into_inner(), &file.defaults))
            .collect();
        let mut sinks: Vec<SinkSettings> = Vec::new();
        for (number, sink) in (1..).zip(file.sink) {
            let at = sink.span();
            let Some(sink) = self.sink(number, at.clone(), sink.into_inner()) else {
                continue;
            };
            if sinks.iter().any(|other| other.name == sink.name) {
                self.fault(
                    at,
                    format!("two sinks are called `{}`; give them a `name`", sink.name),
                );
            }
            sinks.push(sink);
        }
        let salt = self.salt(file.salt_file);
        let buffer = BufferSettings {
            bytes_max: self.limit(
                "bytes_max",
                file.buffer.bytes_max,
                16 << 20,
                64 << 10..4 << 30,
            ),
            events_max: self.limit(
                "events_max",
                file.buffer.events_max,
                1_000_000,
                1..100_000_001,
            ),
        };
        Some(Rules {
            labels,
            rules,
            otherwise,
            buffer,
            sinks,
            salt,
            files: std::mem::take(&mut self.files),
        })
    }

    fn count(&mut self, what: &str, count: usize, count_max: usize) {
        if count > count_max {
            self.fault(
                0..0,
                format!("there are {count} {what}: expected at most {count_max}"),
            );
        }
    }

    fn labels(&mut self, labels: BTreeMap<String, Spanned<String>>) -> BTreeMap<String, String> {
        let mut read = BTreeMap::new();
        for (name, value) in labels {
            let is_own = matches!(name.as_str(), "id" | "version" | "store");
            if is_own {
                self.fault(
                    value.span(),
                    format!("the label `{name}` is given by the server"),
                );
            }
            if name.len() > LABEL_BYTES_MAX || value.get_ref().len() > LABEL_BYTES_MAX {
                self.fault(
                    value.span(),
                    format!("a label has at most {LABEL_BYTES_MAX} bytes"),
                );
            }
            read.insert(name, value.into_inner());
        }
        read
    }

    fn rule(&mut self, rule: Rule, defaults: &Defaults) -> (Matching, Keep) {
        let many = |names: Names| match names {
            Names::One(name) => vec![name],
            Names::Many(names) => names,
        };
        let protocols = rule.protocol.map(|listed| {
            let mut names = Vec::new();
            for name in listed {
                if !PROTOCOLS.contains(&name.get_ref().as_str()) {
                    let known = PROTOCOLS.join("`, `");
                    self.fault(
                        name.span(),
                        format!("`{}` is no protocol; there are `{known}`", name.get_ref()),
                    );
                }
                names.push(name.into_inner());
            }
            names
        });
        let matching = Matching {
            definitions: rule.definition.map(many),
            permissions: rule.permission.map(many),
            decisions: rule.decision,
            callers: rule.caller.map(many),
            protocols,
        };
        // What a rule does not say is as in the defaults.
        let said = Defaults {
            sample: rule.sample.or_else(|| defaults.sample.clone()),
            sample_by: rule.sample_by.or(defaults.sample_by),
            context: rule.context.or(defaults.context),
            erase: rule.erase.unwrap_or_else(|| defaults.erase.clone()),
            mask: rule.mask.unwrap_or_else(|| defaults.mask.clone()),
            mask_with: rule.mask_with.or(defaults.mask_with),
        };
        (matching, self.keep(&said))
    }

    fn keep(&mut self, said: &Defaults) -> Keep {
        let sample = said.sample.as_ref().map_or(1.0, |sample| *sample.get_ref());
        if let Some(given) = &said.sample
            && !(0.0..=1.0).contains(&sample)
        {
            self.fault(given.span(), "`sample` is a part of all, from 0 to 1");
        }
        let masked = match said.mask_with.unwrap_or(MaskWith::Hash) {
            MaskWith::Hash => Treatment::Hash,
            MaskWith::Stars => Treatment::Stars,
        };
        let mut hides = Hides::default();
        let listed = said.erase.iter().map(|it| (it, Treatment::Erase));
        // What is both is erased.
        for (pointer, treatment) in said.mask.iter().map(|it| (it, masked)).chain(listed) {
            if let Err(message) = hides.add(pointer.get_ref(), treatment) {
                self.fault(pointer.span(), message);
            }
        }
        Keep {
            // PANIC: a float that is no number of that type is the nearest, by a cast.
            threshold: (sample * 4_294_967_296.0) as u64,
            by: said.sample_by.unwrap_or(SampleBy::Decision),
            context: said.context == Some(ContextWord::Keep),
            hides,
        }
    }

    fn sink(&mut self, number: usize, at: Range<usize>, sink: Sink) -> Option<SinkSettings> {
        let queue_bytes_max = self.limit(
            "queue_bytes_max",
            sink.queue_bytes_max.clone(),
            64 << 20,
            64 << 10..16 << 30,
        );
        let queue_events_max = self.limit(
            "queue_events_max",
            sink.queue_events_max.clone(),
            1_000_000,
            1..100_000_001,
        );
        let name = sink
            .name
            .as_ref()
            .map(|name| (name.get_ref().clone(), name.span()));
        let (word, kind) = match (&sink.file, &sink.http, &sink.otlp) {
            (Some(path), None, None) => ("file", self.file(path, &sink, at)?),
            (None, Some(url), None) => {
                let (url, span) = (url.get_ref().clone(), url.span());
                ("http", SinkKind::Http(self.http(&url, span, &sink)?))
            }
            (None, None, Some(url)) => {
                let (url, span) = (url.get_ref().clone(), url.span());
                ("otlp", SinkKind::Otlp(self.http(&url, span, &sink)?))
            }
            (_, _, _) => {
                self.fault(at, "a sink has one of `file`, `http` and `otlp`");
                return None;
            }
        };
        let name = match name {
            None => format!("{word}-{number}"),
            Some((name, span)) => {
                let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
                if !(1..=64).contains(&name.len()) || !name.bytes().all(is_good) {
                    self.fault(
                        span,
                        "a sink's name has 1 to 64 letters, digits, `-`, `_` and `.`",
                    );
                }
                name
            }
        };
        Some(SinkSettings {
            name,
            queue_bytes_max,
            queue_events_max,
            kind,
        })
    }

    fn file(&mut self, path: &Path, sink: &Sink, at: Range<usize>) -> Option<SinkKind> {
        let of_servers = sink.bearer_token_file.is_some()
            || sink.ca_file.is_some()
            || sink.timeout_seconds.is_some()
            || sink.batch_bytes_max.is_some()
            || sink.batch_events_max.is_some()
            || sink.flush_milliseconds.is_some();
        if of_servers {
            self.fault(
                at,
                "a file has neither a token nor authorities, a timeout or batches",
            );
            return None;
        }
        Some(SinkKind::File {
            path: self.folder.join(path),
            rotate_bytes: self.limit(
                "rotate_bytes",
                sink.rotate_bytes.clone(),
                100 << 20,
                4 << 10..1 << 40,
            ),
            files_max: self.limit("files_max", sink.files_max.clone(), 10, 0..1_001),
            sync: sink.sync.unwrap_or(false),
        })
    }

    fn http(&mut self, url: &str, at: Range<usize>, sink: &Sink) -> Option<HttpSettings> {
        if sink.rotate_bytes.is_some() || sink.files_max.is_some() || sink.sync.is_some() {
            self.fault(at, "only a file is rotated and made durable");
            return None;
        }
        let parsed: Option<http::Uri> = url.parse().ok();
        let parsed = parsed.filter(|url| url.host().is_some());
        let Some(uri) = parsed.filter(|url| matches!(url.scheme_str(), Some("http" | "https")))
        else {
            self.fault(at, "expected a URL such as `https://logs.example.com/logs`");
            return None;
        };
        if uri.authority().is_some_and(|it| it.as_str().contains('@')) {
            self.fault(at, "a URL holds no credential; name a `bearer_token_file`");
            return None;
        }
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let address = host.parse::<std::net::IpAddr>();
        let is_near = host == "localhost" || address.is_ok_and(|it| it.is_loopback());
        if uri.scheme_str() == Some("http") && !is_near && !sink.allow_plaintext {
            self.fault(at, "what is decided about people is sent over `https`; or set `allow_plaintext = true`");
            return None;
        }
        Some(HttpSettings {
            url: uri,
            bearer_token_file: sink
                .bearer_token_file
                .as_ref()
                .map(|it| self.folder.join(it)),
            ca_file: sink.ca_file.as_ref().map(|it| self.folder.join(it)),
            timeout: Duration::from_secs(self.limit(
                "timeout_seconds",
                sink.timeout_seconds.clone(),
                10,
                1..601,
            )),
            batch_bytes_max: self.limit(
                "batch_bytes_max",
                sink.batch_bytes_max.clone(),
                1 << 20,
                1 << 10..64 << 20,
            ),
            batch_events_max: self.limit(
                "batch_events_max",
                sink.batch_events_max.clone(),
                5_000,
                1..1_000_001,
            ),
            flush: Duration::from_millis(self.limit(
                "flush_milliseconds",
                sink.flush_milliseconds.clone(),
                1_000,
                1..600_001,
            )),
        })
    }

    /// What was given, if it is among what there may be.
    fn limit<T: Copy + PartialOrd + std::fmt::Display>(
        &mut self,
        name: &str,
        given: Option<Spanned<T>>,
        default: T,
        range: Range<T>,
    ) -> T {
        let Some(given) = given else {
            return default;
        };
        if !range.contains(given.get_ref()) {
            let (from, to) = (range.start, range.end);
            self.fault(
                given.span(),
                format!("`{name}` is at least {from} and less than {to}"),
            );
        }
        given.into_inner()
    }

    fn salt(&mut self, file: Option<Spanned<PathBuf>>) -> Salt {
        let Some(file) = file else {
            return Salt::of_process();
        };
        let path = self.folder.join(file.get_ref());
        self.files.push(path.clone());
        match fs::read(&path) {
            Ok(bytes) if bytes.len() >= SALT_BYTES_MIN => return Salt::of(&bytes),
            Ok(_) => self.fault(
                file.span(),
                format!("a salt has at least {SALT_BYTES_MIN} bytes"),
            ),
            Err(error) => {
                self.fault(
                    file.span(),
                    format!("cannot read `{}`: {error}", path.display()),
                );
            }
        }
        Salt::of_process()
    }
}

impl Hides {
    /// Takes in what becomes of the part that a JSON pointer names.
    fn add(&mut self, pointer: &str, treatment: Treatment) -> Result<(), String> {
        let part = match pointer {
            "/input/resource" => &mut self.resource,
            "/input/subject" => &mut self.subject,
            "/input/caller" | "/requested_by" => &mut self.caller,
            "/request_context" => &mut self.request,
            "/trace_id" | "/span_id" => &mut self.trace,
            _ => {
                let names = pointer.strip_prefix("/input/context");
                let names = names.and_then(|rest| match rest.strip_prefix('/') {
                    Some(names) => Some(names.split('/').map(unescaped).collect()),
                    None => rest.is_empty().then(Vec::new),
                });
                let Some(names) = names else {
                    return Err(format!(
                        "`{pointer}` is no part of an event that can be hidden; there are `/input/resource`, `/input/subject`, \
                         `/input/caller`, `/input/context` with what is below it, `/requested_by`, `/request_context` and `/trace_id`"
                    ));
                };
                self.context.push((names, treatment));
                return Ok(());
            }
        };
        *part = treatment;
        Ok(())
    }
}

/// A name in a JSON pointer.
fn unescaped(name: &str) -> String {
    name.replace("~1", "/").replace("~0", "~")
}
