//! Certificates: how long they are good, and whether they are for the names that callers use.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use model::{Clock as _, SystemClock};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

use super::Finding;
use crate::arguments::Doctor;

/// Fewer days are told: the time that a person may be away.
const DAYS_WARN: i64 = 21;
const DAY_SECONDS: i64 = 24 * 60 * 60;

pub(super) fn look(arguments: &Doctor) -> Vec<Finding> {
    let serve = &arguments.serve;
    let mut findings = Vec::new();
    if let Some(path) = &serve.tls_cert {
        findings.extend(validity("certificate", path));
        findings.extend(names(path, &arguments.endpoint));
    }
    let authorities = [
        ("authorities of callers", &serve.tls_client_ca),
        ("authorities of the server", &arguments.tls_ca),
    ];
    for (what, path) in authorities {
        findings.extend(path.iter().flat_map(|path| validity(what, path)));
    }
    findings
}

/// How long each certificate of a file is good.
fn validity(check: &str, path: &Path) -> Vec<Finding> {
    let now = SystemClock.now().as_micros() / 1_000_000;
    let told = each(path, |certificate| {
        let validity = certificate.validity();
        let (begins, ends) = (
            validity.not_before.timestamp(),
            validity.not_after.timestamp(),
        );
        let subject = certificate.subject().to_string();
        of_validity(check, &subject, (begins, now, ends))
    });
    told.unwrap_or_else(|error| vec![Finding::failed(check, &error, "give a file of PEM")])
}

fn of_validity(check: &str, subject: &str, (begins, now, ends): (i64, i64, i64)) -> Finding {
    let days = ends.saturating_sub(now) / DAY_SECONDS;
    let shown = if subject.is_empty() {
        "without a subject"
    } else {
        subject
    };
    let renew = "have it renewed; a running server reads the file again by itself";
    if now < begins {
        let found = format!("{shown}: it is not good yet");
        Finding::fail(check, found, "look at the clock of this machine")
    } else if now >= ends {
        Finding::fail(check, format!("{shown}: it has expired"), renew)
    } else if days < DAYS_WARN {
        Finding::warn(check, format!("{shown}: it expires in {days} days"), renew)
    } else {
        Finding::ok(check, format!("{shown}: it expires in {days} days"))
    }
}

/// Whether the server's certificate is for the hosts of `endpoints`.
fn names(path: &Path, endpoints: &[String]) -> Vec<Finding> {
    const CHECK: &str = "certificate, names";
    // The first of the chain is the server's; what is wrong with the file was told.
    let Ok(mut all) = each(path, names_of) else {
        return Vec::new();
    };
    if all.is_empty() {
        return Vec::new();
    }
    let names = all.swap_remove(0);
    let shown = names.join(", ");
    if names.is_empty() {
        let found = "it names nobody (no subject alternative names)";
        let advice = "clients refuse it: have one made for the names of this server";
        return vec![Finding::fail(CHECK, found, advice)];
    }
    if endpoints.is_empty() {
        return vec![Finding::ok(CHECK, format!("it is for {shown}"))];
    }
    let of_endpoint = |endpoint: &String| {
        let host = host(endpoint);
        if names.iter().any(|name| is_for(name, host)) {
            return Finding::ok(CHECK, format!("it is for {host}"));
        }
        let found = format!("it is for {shown}, and not for {host}");
        Finding::fail(CHECK, found, "have that name added to it")
    };
    endpoints.iter().map(of_endpoint).collect()
}

fn names_of(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let name = |name: &GeneralName<'_>| {
        if let GeneralName::DNSName(name) = name {
            Some((*name).to_owned())
        } else if let GeneralName::IPAddress(bytes) = name {
            address(bytes)
        } else {
            None
        }
    };
    names.value.general_names.iter().filter_map(name).collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(four).to_string());
    }
    let sixteen = <[u8; 16]>::try_from(bytes).ok()?;
    Some(std::net::Ipv6Addr::from(sixteen).to_string())
}

/// Whether a name of a certificate, which may begin with `*.` for one label, is that of `host`.
fn is_for(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(domain) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(domain)),
        None => name.eq_ignore_ascii_case(host),
    }
}

/// The host of `HOST:PORT`, without the brackets of an IPv6 address.
fn host(endpoint: &str) -> &str {
    let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

/// What `work` makes of each certificate of a file.
fn each<T>(path: &Path, work: impl Fn(&X509Certificate<'_>) -> T) -> anyhow::Result<Vec<T>> {
    let shown = path.display();
    let text = fs::read(path).with_context(|| format!("cannot read `{shown}`"))?;
    let mut made = Vec::new();
    for pem in Pem::iter_from_buffer(&text) {
        let pem = pem.with_context(|| format!("`{shown}` is no PEM"))?;
        if pem.label != "CERTIFICATE" {
            continue;
        }
        let (_, certificate) = x509_parser::parse_x509_certificate(&pem.contents)
            .with_context(|| format!("`{shown}` has what is no certificate"))?;
        made.push(work(&certificate));
    }
    if made.is_empty() {
        bail!("`{shown}` has no certificate");
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_certificate_is_good_for_a_time() {
        let day = DAY_SECONDS;
        for (now, verdict) in [
            (-1, Verdict::Fail),
            (0, Verdict::Ok),
            (69 * day, Verdict::Ok),
            (70 * day, Verdict::Warn),
            (90 * day, Verdict::Fail),
        ] {
            let finding = of_validity("it", "CN=remit", (0, now, 90 * day));
            assert_eq!(finding.verdict, verdict, "{now}: {}", finding.found);
        }
    }

    #[test]
    fn a_name_is_for_its_host_and_a_wildcard_for_one_label() {
        for (name, endpoint, is) in [
            ("remit.example.com", "Remit.example.com:50051", true),
            ("*.example.com", "remit.example.com:50051", true),
            ("*.example.com", "a.remit.example.com:50051", false),
            ("*.example.com", "example.com:50051", false),
            ("::1", "[::1]:50051", true),
            ("127.0.0.1", "127.0.0.1:50051", true),
            ("remit.example.com", "remit.example.org:50051", false),
        ] {
            assert_eq!(is_for(name, host(endpoint)), is, "{name} {endpoint}");
        }
    }
}
