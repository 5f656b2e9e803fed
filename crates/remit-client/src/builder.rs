//! How a client is described: where the servers are, who calls, and how long, how often, how many.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::{Batcher, Batching};
use crate::call::{Core, Deadlines, Tally};
use crate::client::Client;
use crate::connection::{ClientCertificate, ConnectError, Lines, Shown, Transport};
use crate::credentials::Credentials;
use crate::endpoints::{Endpoints, Server};
use crate::hedge::{Hedge, HedgeDelay, Hedging};
use crate::link::Reach;
use crate::retry::{Budget, Retry};
use crate::trace::{Provider, Traceparent};

/// Describes a [`Client`]. Only the endpoints have to be said.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it builds"]
pub struct Builder {
    endpoints: Vec<String>,
    transport: Transport,
    certificate: Option<ClientCertificate>,
    connect_timeout: Duration,
    credentials: Credentials,
    deadlines: Deadlines,
    retry: Retry,
    hedge: Option<Hedge>,
    batching: Batching,
    traces: Option<Provider>,
}

impl Builder {
    /// To these endpoints: host and port each. They are nodes of one Remit, and take turns.
    pub fn new<S: Into<String>>(endpoints: impl IntoIterator<Item = S>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            transport: Transport::Plaintext,
            certificate: None,
            connect_timeout: Duration::from_secs(2),
            credentials: Credentials::none(),
            deadlines: Deadlines::default(),
            retry: Retry::default(),
            hedge: None,
            batching: Batching::default(),
            traces: None,
        }
    }

    /// Over TLS, to servers with certificates of these authorities (PEM).
    pub fn tls(mut self, authorities_pem: impl Into<String>) -> Self {
        self.transport = Transport::Tls {
            authorities_pem: authorities_pem.into(),
        };
        self
    }

    /// Showing this certificate, with its key (PEM both).
    pub fn client_certificate(
        mut self,
        certificate_pem: impl Into<String>,
        key_pem: impl Into<String>,
    ) -> Self {
        self.certificate = Some(ClientCertificate::Fixed(Shown {
            certificate_pem: certificate_pem.into(),
            key_pem: key_pem.into(),
        }));
        self
    }

    /// Showing the certificate in a file, with its key in another (PEM both). They are read again at most once a second while calls are
    /// made; a certificate that was renewed gets connections of its own.
    pub fn client_certificate_files(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        let files = ClientCertificate::Files(certificate.into(), key.into());
        self.certificate = Some(files);
        self
    }

    /// Protected like that.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// How long a connection may take to be made; 2 seconds if nothing is said.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// What calls are made with.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// How long calls may take: a check 1 second, a write 5, and a result of many 10, if nothing is said.
    pub fn deadlines(mut self, deadlines: Deadlines) -> Self {
        self.deadlines = deadlines;
        self
    }

    /// When calls are made again.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// When checks are asked for a second time before the first has answered: never, if nothing is said.
    pub fn hedge(mut self, hedge: Hedge) -> Self {
        self.hedge = Some(hedge);
        self
    }

    /// How checks are put together.
    pub fn batching(mut self, batching: Batching) -> Self {
        self.batching = batching;
        self
    }

    /// As part of which traces calls are made: `provider` is asked at the beginning of each call that says nothing itself, by whoever makes it,
    /// and should be quick. Where it returns none the call is part of no trace.
    pub fn traceparent(
        mut self,
        provider: impl Fn() -> Option<Traceparent> + Send + Sync + 'static,
    ) -> Self {
        self.traces = Some(Provider::new(provider));
        self
    }

    /// The client. It connects when it is first asked.
    ///
    /// # Errors
    /// [`ConnectError`] for a description that cannot work.
    pub fn build(self) -> Result<Client, ConnectError> {
        self.check()?;
        let servers = self.endpoints.iter().map(|name| {
            let (transport, certificate) = (&self.transport, self.certificate.as_ref());
            let lines = Lines::new(name, transport, certificate, self.connect_timeout)?;
            Ok(Arc::new(Server::new(name, lines)))
        });
        let servers = servers.collect::<Result<Vec<_>, ConnectError>>()?;
        let reach = Reach {
            endpoints: Endpoints::new(servers),
            credentials: self.credentials,
            traces: self.traces,
        };
        let core = Core {
            reach: Arc::new(reach),
            deadlines: self.deadlines,
            budget: Budget::new(self.retry.share_max, self.retry.burst_max),
            retry: self.retry,
            hedging: self.hedge.as_ref().map(Hedging::new),
            tally: Tally::default(),
        };
        Ok(Client::new(core, Batcher::new(self.batching)))
    }

    fn check(&self) -> Result<(), ConnectError> {
        if self.endpoints.is_empty() {
            return Err(ConnectError::NoEndpoint);
        }
        let delay = self.hedge.as_ref().map(|hedge| hedge.delay);
        let fixed = match delay {
            Some(HedgeDelay::Fixed(delay)) => delay,
            Some(HedgeDelay::P95) | None => Duration::MAX,
        };
        for (name, time) in [
            ("connect_timeout", self.connect_timeout),
            ("deadlines.check", self.deadlines.check),
            ("deadlines.write", self.deadlines.write),
            ("deadlines.result", self.deadlines.result),
            ("hedge.delay", fixed),
            ("batching.patience", self.batching.patience),
        ] {
            wrong_unless(!time.is_zero(), name, "0 s", "some time")?;
        }
        for (name, count) in [
            ("retry.attempts_max", self.retry.attempts_max as usize),
            ("batching.size_max", self.batching.size_max),
            ("batching.under_way_max", self.batching.under_way_max),
            ("batching.waiting_max", self.batching.waiting_max),
        ] {
            wrong_unless(count > 0, name, "0", "1 or more")?;
        }
        let hedge_share = self.hedge.as_ref().map_or(0.0, |hedge| hedge.share_max);
        for (name, share) in [
            ("retry.share_max", self.retry.share_max),
            ("hedge.share_max", hedge_share),
        ] {
            let is_share = (0.0..=1.0).contains(&share);
            wrong_unless(is_share, name, &share.to_string(), "a share from 0 to 1")?;
        }
        Ok(())
    }
}

fn wrong_unless(
    is_right: bool,
    name: &'static str,
    value: &str,
    expected: &'static str,
) -> Result<(), ConnectError> {
    match is_right {
        true => Ok(()),
        false => Err(ConnectError::Setting {
            name,
            value: value.to_owned(),
            expected,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(builder: Builder) -> String {
        builder.build().unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_work_is_told_before_it_is_used() {
        let to = || Builder::new(["127.0.0.1:50051"]);
        assert!(to().build().is_ok());
        assert!(wrong(Builder::new(Vec::<String>::new())).contains("no endpoint"));
        for endpoint in ["", "host", "http://host:1", "user@host:1", "a b:1"] {
            assert!(
                wrong(Builder::new([endpoint])).contains("host and port"),
                "{endpoint}"
            );
        }
        let certificate = to().client_certificate("a", "b");
        assert!(wrong(certificate).contains("needs TLS"));
        let never = Deadlines {
            check: Duration::ZERO,
            ..Deadlines::default()
        };
        assert!(wrong(to().deadlines(never)).contains("`deadlines.check` cannot be 0 s"));
        let all = Hedge {
            share_max: 1.5,
            ..Hedge::after_p95()
        };
        assert!(wrong(to().hedge(all)).contains("`hedge.share_max` cannot be 1.5"));
        let none = Batching {
            under_way_max: 0,
            ..Batching::default()
        };
        assert!(wrong(to().batching(none)).contains("batching.under_way_max"));
    }
}
