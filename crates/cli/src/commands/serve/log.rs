//! The log of a server, on stderr: lines for people, or lines of JSON.
//!
//! What callers send may come up in a line, and may hold anything. A line stays one line, and no terminal is told what to do: JSON
//! escapes by itself, and what is for people passes [`Escaping`].

use std::io::{self, IsTerminal as _, Write};

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::arguments::LogFormat;

/// Replaces the filter of the log.
pub(super) type SetLog = Box<dyn Fn(EnvFilter) -> anyhow::Result<()> + Send>;

/// Starts the log; gives what replaces its filter.
///
/// # Errors
/// For a filter that is none.
pub(super) fn start(filter: &str, format: LogFormat) -> anyhow::Result<SetLog> {
    let parsed = EnvFilter::try_new(filter);
    let parsed = parsed.with_context(|| format!("`{filter}` is no log filter"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(parsed);
    Ok(match format {
        LogFormat::Text => {
            let is_terminal = io::stderr().is_terminal();
            let lines = Lines {
                has_colours: is_terminal,
            };
            let builder = builder.with_ansi(is_terminal).with_writer(lines);
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            builder.init();
            Box::new(move |filter| Ok(handle.reload(filter)?))
        }
        LogFormat::Json => {
            let builder = builder
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .with_writer(io::stderr)
                .with_filter_reloading();
            let handle = builder.reload_handle();
            builder.init();
            Box::new(move |filter| Ok(handle.reload(filter)?))
        }
    })
}

/// Where lines for people go.
struct Lines {
    has_colours: bool,
}

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Escaping<io::Stderr>;

    fn make_writer(&'w self) -> Self::Writer {
        Escaping {
            to: io::stderr(),
            has_colours: self.has_colours,
        }
    }
}

/// Writes each line, which comes whole, without a character in it that controls what shows it.
struct Escaping<W> {
    to: W,
    /// Whether the escape character is let through: the lines have colours, and what is in them was escaped before.
    has_colours: bool,
}

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let (text, end) = match text.strip_suffix('\n') {
            Some(text) => (text, "\n"),
            None => (&*text, ""),
        };
        let mut escaped = String::with_capacity(line.len());
        for character in text.chars() {
            let is_colour = character == '\u{1b}' && self.has_colours;
            if character.is_control() && !is_colour {
                escaped.extend(character.escape_default());
            } else {
                escaped.push(character);
            }
        }
        escaped.push_str(end);
        self.to.write_all(escaped.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn escaped(line: &str, has_colours: bool) -> String {
        let mut to = Vec::new();
        let mut writer = Escaping {
            to: &mut to,
            has_colours,
        };
        writer.write_all(line.as_bytes()).unwrap();
        String::from_utf8(to).unwrap()
    }

    #[test]
    fn a_line_stays_one_line_and_controls_nothing() {
        let evil = "a\nERROR forged\r\u{1b}[31mred\u{9b}1m\u{0}\n";
        let line = escaped(evil, false);
        assert_eq!(line, "a\\nERROR forged\\r\\u{1b}[31mred\\u{9b}1m\\u{0}\n");
        assert_eq!(
            escaped("\u{1b}[2mx\u{1b}[0m\n", true),
            "\u{1b}[2mx\u{1b}[0m\n"
        );
        assert_eq!(escaped("né\n", false), "né\n");
    }

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// As the log writes what a caller sent, in whichever way a line may name it.
    #[test]
    fn what_callers_send_forges_no_line() {
        let evil = "x\n2026-01-01T00:00:00Z ERROR forged \u{1b}[31m";
        let told = |kept: &Kept| String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let say = || {
            tracing::warn!(error = %evil, "displayed");
            tracing::warn!(caller = evil, "named");
            tracing::warn!(cause = ?evil, "shown");
            tracing::warn!("{evil}");
        };
        let (text, json) = (Kept::default(), Kept::default());
        let writer = text.clone();
        let lines = move || Escaping {
            to: writer.clone(),
            has_colours: false,
        };
        let people = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(lines);
        tracing::subscriber::with_default(people.finish(), say);
        let writer = json.clone();
        let programs = tracing_subscriber::fmt().json().flatten_event(true);
        let programs = programs.with_writer(move || writer.clone());
        tracing::subscriber::with_default(programs.finish(), say);
        for kept in [&text, &json] {
            let told = told(kept);
            assert_eq!(told.lines().count(), 4, "{told}");
            assert!(!told.contains('\u{1b}'), "{told}");
        }
        for line in told(&json).lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let at = line["timestamp"].as_str().unwrap();
            assert!(at.ends_with('Z'), "{at}");
            assert!(
                line["message"].is_string() && line["fields"].is_null(),
                "{line}"
            );
        }
        assert!(told(&json).contains("\"caller\":\"x\\n2026"));
    }
}
