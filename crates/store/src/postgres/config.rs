//! Where the database is and how it is reached, from one URL.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// How long a connection may take to be made, in every part of it.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A peer that is gone is noticed after about this long.
const SILENCE_MAX: Duration = Duration::from_secs(15);
const KEEPALIVE: Duration = Duration::from_secs(5);

/// A database of PostgreSQL 13 or newer, as `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full&sslrootcert=FILE`.
///
/// Several hosts may be given, separated by commas: the one that takes writes is used. Off this machine, connections are
/// encrypted and the server's certificate is verified, unless `sslmode=disable` says otherwise.
#[derive(Clone)]
pub struct PostgresConfig {
    pub(super) server: tokio_postgres::Config,
    pub(super) tls: Option<ClientConfig>,
}

/// Why a URL names no database that can be used.
#[derive(Debug, thiserror::Error)]
pub enum PostgresConfigError {
    /// It is no URL of a database. The URL is not repeated: it may hold a password.
    #[error("the URL of the database is wrong: {0}")]
    Url(String),
    /// The mode does not say whom one talks to.
    #[error(
        "`sslmode={mode}` may end unencrypted or with an unverified server; use `verify-full`, with \
         `sslrootcert=FILE` for a certificate authority of your own, or `disable`"
    )]
    SslMode {
        /// The mode.
        mode: String,
    },
    /// A file of certificates or keys cannot be used.
    #[error("`{parameter}={path}` cannot be used: {detail}")]
    File {
        /// The parameter of the URL.
        parameter: &'static str,
        /// The file.
        path: String,
        /// What is wrong.
        detail: String,
    },
    /// The certificates and the key do not go together, or there are none to trust.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// The parameters of TLS in a URL, which the driver does not know.
#[derive(Debug, Default)]
struct TlsParameters {
    mode: Option<String>,
    root: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl FromStr for PostgresConfig {
    type Err = PostgresConfigError;

    fn from_str(url: &str) -> Result<Self, PostgresConfigError> {
        let (url, parameters) = TlsParameters::split(url)?;
        let mut server = tokio_postgres::Config::from_str(&url)
            .map_err(|error| PostgresConfigError::Url(error.to_string()))?;
        if server.get_hosts().is_empty() {
            return Err(PostgresConfigError::Url("it names no host".to_owned()));
        }
        let is_encrypted = match parameters.mode.as_deref() {
            None => !server.get_hosts().iter().all(is_this_machine),
            Some("disable") => false,
            Some("require" | "verify-ca" | "verify-full") => true,
            Some(mode) => {
                return Err(PostgresConfigError::SslMode {
                    mode: mode.to_owned(),
                });
            }
        };
        server
            .ssl_mode(if is_encrypted {
                SslMode::Require
            } else {
                SslMode::Disable
            })
            .application_name("remit")
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .connect_timeout(CONNECT_MAX)
            .tcp_user_timeout(SILENCE_MAX)
            .keepalives(true)
            .keepalives_idle(KEEPALIVE)
            .keepalives_interval(KEEPALIVE)
            .keepalives_retries(2);
        let tls = if is_encrypted {
            Some(parameters.client_config()?)
        } else {
            None
        };
        Ok(Self { server, tls })
    }
}

impl PostgresConfig {
    /// The hosts and the database, without user or password: for logs and errors.
    #[must_use]
    pub fn place(&self) -> String {
        let ports = self.server.get_ports();
        let hosts: Vec<String> = self
            .server
            .get_hosts()
            .iter()
            .enumerate()
            .map(|(at, host)| {
                let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
                match host {
                    Host::Tcp(name) => format!("{name}:{port}"),
                    Host::Unix(path) => format!("{}:{port}", path.display()),
                }
            })
            .collect();
        let database = self.server.get_dbname().or(self.server.get_user());
        format!("{}/{}", hosts.join(","), database.unwrap_or_default())
    }
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresConfig({})", self.place())
    }
}

fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        }
    }
}

impl TlsParameters {
    /// Takes them out of a URL.
    fn split(url: &str) -> Result<(String, Self), PostgresConfigError> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            let detail = "it does not begin with `postgres://`";
            return Err(PostgresConfigError::Url(detail.to_owned()));
        }
        let mut own = Self::default();
        let Some((address, query)) = url.split_once('?') else {
            return Ok((url.to_owned(), own));
        };
        let mut others = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let place = match name {
                "sslmode" => &mut own.mode,
                "sslrootcert" => &mut own.root,
                "sslcert" => &mut own.certificate,
                "sslkey" => &mut own.key,
                _ => {
                    others.push(parameter);
                    continue;
                }
            };
            let value = percent_encoding::percent_decode_str(value).decode_utf8();
            let value = value.map_err(|_| {
                PostgresConfigError::Url(format!("the value of `{name}` is not UTF-8"))
            })?;
            *place = Some(value.into_owned());
        }
        Ok((format!("{address}?{}", others.join("&")), own))
    }

    fn client_config(&self) -> Result<ClientConfig, PostgresConfigError> {
        let tls_error = |error: rustls::Error| PostgresConfigError::Tls(error.to_string());
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(tls_error)?
            .with_root_certificates(self.roots()?);
        match (&self.certificate, &self.key) {
            (None, None) => Ok(builder.with_no_client_auth()),
            (Some(certificate), Some(key)) => {
                let chain = certificates("sslcert", certificate)?;
                let key = PrivateKeyDer::from_pem_file(Path::new(key))
                    .map_err(|error| file_error("sslkey", key, &error))?;
                builder.with_client_auth_cert(chain, key).map_err(tls_error)
            }
            (Some(_), None) | (None, Some(_)) => Err(PostgresConfigError::Tls(
                "`sslcert` and `sslkey` go together".to_owned(),
            )),
        }
    }

    fn roots(&self) -> Result<RootCertStore, PostgresConfigError> {
        let mut roots = RootCertStore::empty();
        match &self.root {
            Some(path) => {
                for certificate in certificates("sslrootcert", path)? {
                    roots
                        .add(certificate)
                        .map_err(|error| file_error("sslrootcert", path, &error))?;
                }
            }
            None => {
                // Those of the system that cannot be read are of no use to anybody.
                let _ =
                    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            return Err(PostgresConfigError::Tls(
                "there is no certificate authority to trust; give `sslrootcert=FILE`".to_owned(),
            ));
        }
        Ok(roots)
    }
}

fn certificates(
    parameter: &'static str,
    path: &str,
) -> Result<Vec<CertificateDer<'static>>, PostgresConfigError> {
    let certificates = CertificateDer::pem_file_iter(Path::new(path))
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| file_error(parameter, path, &error))?;
    if certificates.is_empty() {
        return Err(file_error(parameter, path, &"it holds no certificate"));
    }
    Ok(certificates)
}

fn file_error(
    parameter: &'static str,
    path: &str,
    detail: &dyn fmt::Display,
) -> PostgresConfigError {
    PostgresConfigError::File {
        parameter,
        path: path.to_owned(),
        detail: detail.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<PostgresConfig, String> {
        url.parse()
            .map_err(|error: PostgresConfigError| error.to_string())
    }

    #[test]
    fn this_machine_is_reached_in_the_clear_and_others_are_not() {
        for url in [
            "postgres://ann@localhost/remit",
            "postgres://ann@127.0.0.1:5433/remit",
            "postgres://ann@%2Frun%2Fpostgresql/remit",
            "postgres://ann@db.example.com/remit?sslmode=disable",
        ] {
            assert!(parsed(url).unwrap().tls.is_none(), "{url}");
        }
        for url in [
            "postgres://ann@localhost,db.example.com/remit",
            "postgres://ann@10.0.0.1/remit",
            "postgres://ann@localhost/remit?sslmode=verify-full",
        ] {
            // A machine without any certificate authority says so, rather than going on in the clear.
            match parsed(url) {
                Ok(config) => assert!(config.tls.is_some(), "{url}"),
                Err(error) => assert!(error.contains("certificate authority"), "{error}"),
            }
        }
    }

    #[test]
    fn modes_that_verify_nothing_are_refused() {
        for mode in ["prefer", "allow", "on"] {
            let error = parsed(&format!("postgres://h/remit?sslmode={mode}")).unwrap_err();
            assert!(error.contains("verify-full"), "{error}");
        }
    }

    #[test]
    fn errors_and_places_hold_no_password() {
        let config = parsed("postgres://ann:secret@localhost:5433/remit").unwrap();
        assert_eq!(config.place(), "localhost:5433/remit");
        assert!(!format!("{config:?}").contains("secret"));
        for url in [
            "postgres://ann:secret@localhost:port/remit",
            "mysql://ann:secret@localhost/remit",
            "postgres://ann:secret@localhost/remit?colour=red",
            "postgres://ann:secret@localhost/remit?sslmode=verify-full&sslrootcert=/nowhere",
            "postgres:///remit",
        ] {
            let error = parsed(url).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
