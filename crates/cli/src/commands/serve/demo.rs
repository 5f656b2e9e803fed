//! `--demo`: the example company in a fresh store, and what to try with it.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use identity::Caller;
use model::Relationship;
use ops::Node;
use ops::bulk::Import;

/// The files of `examples/company`, so that the binary needs nothing beside it.
const SCHEMA: &str = include_str!("../../../../../examples/company/schema.zed");
const RELATIONSHIPS: &str = include_str!("../../../../../examples/company/relationships.txt");
const QUESTIONS: &str = include_str!("../../../../../examples/company/questions.txt");
/// The first of them as JSON.
const CHECK: &str = r#"{"resource": {"objectType": "document", "objectId": "handbook"}, "permission": "view", "subject": {"object": {"objectType": "user", "objectId": "ana-ruiz"}}}"#;

/// Loads the company into an empty store; a store that holds something is left as it is.
pub(super) async fn load(node: &Node) -> anyhow::Result<()> {
    let snapshot = node.snapshot();
    if !snapshot.schema().is_empty() {
        bail!(
            "`--demo` needs a fresh store, and this one has a schema; leave `--store` away, or name a new file"
        );
    }
    let caller = Caller::without_authentication();
    ops::schema::write(node, &caller, SCHEMA).await?;
    let lines = RELATIONSHIPS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("//"));
    let relationships: Vec<Relationship> = lines
        .map(str::parse)
        .collect::<Result<_, _>>()
        .context("the example's relationships cannot be read")?;
    let mut import = Import::default();
    import.add(node, relationships)?;
    import.commit(node, &caller).await?;
    Ok(())
}

/// Prints commands that work against this server.
pub(super) fn say_what_to_try(
    address: SocketAddr,
    http: Option<SocketAddr>,
    has_tls: bool,
    without_key: bool,
) {
    let key = if without_key { "" } else { " --token KEY" };
    // As this process was started, so that the lines work where it was.
    let program = std::env::args()
        .next()
        .unwrap_or_else(|| "remit".to_owned());
    eprintln!("\nThe example company is loaded. In another terminal, try:\n");
    for question in QUESTIONS.lines().filter(|line| !line.is_empty()) {
        match question.strip_prefix("# ") {
            Some(comment) => eprintln!("  # {comment}"),
            None => eprintln!("  {program} {question} --insecure{key} --endpoint {address}"),
        }
    }
    if let Some(http) = http {
        let key = if without_key {
            ""
        } else {
            " -H 'authorization: Bearer KEY'"
        };
        let scheme = if has_tls { "https" } else { "http" };
        eprintln!(
            "  # The same over HTTP, as JSON ({scheme}://{http}/openapi.json says all of it)."
        );
        eprintln!("  curl {scheme}://{http}/v1/permissions/check{key} -d '{CHECK}'");
    }
    eprintln!();
}
