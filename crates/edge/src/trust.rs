//! What an expression may rest on: who asks is never what a client says.
//!
//! A header that tells who asks is read only if the rules say that the proxy strips it from what clients send (`strips`). A
//! subject rests on nothing else that a client chooses, and no credential is read at all.

use schema::caveat::Computation;

use crate::attributes::{HEADERS, OF_CLIENT};

/// Credentials: to be verified, not to be read.
const CREDENTIALS: [&str; 5] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "remit-authorization",
    "x-api-key",
];

/// Headers by which proxies commonly tell who asks.
const IDENTITIES: [&str; 23] = [
    "cf-access-authenticated-user-email",
    "client-cert",
    "remote-email",
    "remote-groups",
    "remote-name",
    "remote-user",
    "ssl-client-cert",
    "ssl-client-s-dn",
    "tailscale-user-login",
    "x-client-cert",
    "x-email",
    "x-forwarded-client-cert",
    "x-forwarded-email",
    "x-forwarded-for",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-user",
    "x-groups",
    "x-real-ip",
    "x-remote-user",
    "x-roles",
    "x-user",
    "x-username",
];
/// The like, by how they begin.
const IDENTITY_PREFIXES: [&str; 9] = [
    "x-amzn-oidc-",
    "x-auth-",
    "x-authenticated-",
    "x-goog-authenticated-user-",
    "x-goog-iap-",
    "x-ms-client-principal",
    "x-ssl-client-",
    "x-user-",
    "x-webauth-",
];

/// What is wrong with reading what `computation` reads, where `strips` are taken out of what clients send.
pub(crate) fn fault(
    computation: &Computation,
    strips: &[String],
    is_subject: bool,
) -> Option<String> {
    if let Some(name) = OF_CLIENT
        .into_iter()
        .find(|name| is_subject && computation.uses(name))
    {
        return Some(format!(
            "`{name}` is what the client chose, and says nothing of who asks: take `peer`, `claims`, `user` or `extensions`"
        ));
    }
    let Some(headers) = computation.keys_read(HEADERS) else {
        return Some(
            "name the header that is read, as in `headers[\"x-tenant\"]`: what any header says cannot be trusted"
                .to_owned(),
        );
    };
    headers
        .into_iter()
        .find_map(|name| header_fault(name, strips, is_subject))
}

fn header_fault(name: &str, strips: &[String], is_subject: bool) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    if lower != name {
        return Some(format!("names of headers are in lower case: `{lower}`"));
    }
    if CREDENTIALS.contains(&name) {
        return Some(format!(
            "header `{name}` is a credential, which no expression reads: `user` is whom Remit verified, `claims` what the proxy did"
        ));
    }
    if strips.iter().any(|other| other == name) {
        return None;
    }
    if is_subject || is_identity(name) {
        return Some(format!(
            "header `{name}` can be sent by any client: have the proxy strip it from what clients send, and say so by \
             `strips: [{name}]`"
        ));
    }
    None
}

fn is_identity(name: &str) -> bool {
    IDENTITIES.contains(&name) || IDENTITY_PREFIXES.iter().any(|it| name.starts_with(it))
}
