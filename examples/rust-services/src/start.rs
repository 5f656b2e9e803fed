//! What both binaries are told: where to listen, where Remit is, and the file with the key.

use std::net::SocketAddr;

use anyhow::Context as _;
use remit_client::{Client, Credentials};

/// Reads the arguments, and makes the client of the process.
///
/// # Errors
/// If they are not three, or make no client.
pub fn from_arguments() -> anyhow::Result<(SocketAddr, Client)> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, remit, key_file] = arguments.as_slice() else {
        anyhow::bail!("expected: ADDRESS-TO-LISTEN REMIT-ADDRESS[,REMIT-ADDRESS..] KEY-FILE");
    };
    let listen = listen
        .parse()
        .with_context(|| format!("`{listen}` is no address such as `127.0.0.1:8000`"))?;
    Ok((listen, client(remit.split(','), key_file)?))
}

/// A client of a Remit on this machine. Elsewhere it would be one over TLS: `.tls(authorities_pem)`.
fn client<'a>(remit: impl Iterator<Item = &'a str>, key_file: &str) -> anyhow::Result<Client> {
    let credentials = Credentials::file(key_file)?;
    Ok(Client::builder(remit).credentials(credentials).build()?)
}
