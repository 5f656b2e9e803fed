//! What commands print: tables for people, JSON for programs.

use std::io::{self, Write as _};

use anyhow::Context as _;
use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use serde_json::{Value as Json, json};

/// Prints a line.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    writeln!(io::stdout().lock(), "{text}").context("cannot write to the standard output")
}

/// Prints a text that ends its own lines.
pub(crate) fn text(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot write to the standard output")
}

/// Prints a value as one line of JSON.
pub(crate) fn json(value: &Json) -> anyhow::Result<()> {
    line(&value.to_string())
}

/// Prints rows below their headings.
pub(crate) fn table(
    headings: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> anyhow::Result<()> {
    let mut table = Table::new();
    table
        .load_style(UTF8_BORDERS_ONLY)
        .set_header(headings.to_vec());
    for row in rows {
        table.add_row(row);
    }
    line(&table.to_string())
}

/// Prints the digest of all relationships at a revision.
pub(crate) fn digest(
    is_json: bool,
    (revision, token): (u64, &str),
    count: u64,
    digest: &str,
) -> anyhow::Result<()> {
    if is_json {
        return json(&json!({
            "revision": revision,
            "token": token,
            "relationships": count,
            "digest": digest,
        }));
    }
    line(&format!(
        "{count} relationships at revision {revision}, digest {digest}\ntoken {token}"
    ))
}
