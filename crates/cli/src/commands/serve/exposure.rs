//! Whom a server lets in from where, and whether what protects it is whole.
//!
//! The pairs are held together here, and not by the parser of flags: to that the values of the configuration file are defaults, and it
//! asks nothing of a default.

use anyhow::bail;

use crate::arguments::Serve;
use crate::configuration::ConfigurationError;

/// Refuses half of what protects a server, and to be reachable without protection unless that is said aloud.
pub(crate) fn check(arguments: &Serve) -> anyhow::Result<()> {
    check_pairs(arguments)?;
    let others = [arguments.http_addr.get(), arguments.metrics_addr.get()];
    let mut addresses = std::iter::once(arguments.grpc_addr).chain(others.into_iter().flatten());
    let Some(address) = addresses.find(|address| !address.ip().is_loopback()) else {
        return Ok(());
    };
    if arguments.insecure_no_auth {
        bail!("`--insecure-no-auth` serves loopback addresses alone, not {address}");
    }
    if arguments.tls_cert.is_none() && !arguments.allow_plaintext {
        bail!(
            "{address} can be reached by others: give `--tls-cert` and `--tls-key`, or `--allow-plaintext`"
        );
    }
    Ok(())
}

/// What is of no use alone, and what contradicts itself.
fn check_pairs(arguments: &Serve) -> Result<(), ConfigurationError> {
    let certificate = ("tls-cert", &arguments.tls_cert);
    let key = ("tls-key", &arguments.tls_key);
    let authorities = ("tls-client-ca", &arguments.tls_client_ca);
    for (given, needed) in [
        (certificate, key),
        (key, certificate),
        (authorities, certificate),
    ] {
        if given.1.is_some() && needed.1.is_none() {
            let what = format!("`--{}` needs `--{}`", given.0, needed.0);
            return Err(ConfigurationError(what));
        }
    }
    for (name, value) in [
        ("identity", &arguments.identity),
        ("token-key-file", &arguments.token_key_file),
    ] {
        if arguments.insecure_no_auth && value.is_some() {
            let what = format!("`--{name}` cannot be used with `--insecure-no-auth`");
            return Err(ConfigurationError(what));
        }
    }
    Ok(())
}
