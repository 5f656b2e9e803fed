//! The way to the server: each call with its time-out, and what comes back checked before anything else sees it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{Revision, Timestamp, Token};
use ops::replica::Page;
use remit_proto::authzed::api::v1::ZedToken;
use remit_proto::remit::v1 as wire;
use remit_proto::remit::v1::read_log_response::Part as LogPart;
use remit_proto::remit::v1::replica_service_client::ReplicaServiceClient;
use remit_proto::remit::v1::verify_token_response::Verdict;
use store::{Head, StoreIdentity, TokenRefused, TokenVerdict};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status, Streaming};

use super::entries::Entries;
use super::pieces::{PieceError, head_of, identity_of, time_of};
use super::{Pace, Server, Transport};
use crate::FollowError;

/// The longest message that is taken: a schema before and after a change, with room to spare.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// How often an idle connection is tried, and how long that may take.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Why a call did not come to an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("{}: {}", .0.code(), .0.message())]
    Status(Box<Status>),
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    #[error(transparent)]
    Piece(#[from] PieceError),
    #[error("the page of the log is not what it says: {0}")]
    Page(&'static str),
    #[error("revision {revision} has format {version}, which this version does not know")]
    NewerFormat { revision: Revision, version: u8 },
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl CallError {
    /// What the server says to a caller that may not replicate it, or whom it does not know.
    pub(crate) fn refusal(&self) -> Option<&str> {
        match self {
            Self::Status(status) => {
                let is_refusal = [
                    Code::Unauthenticated,
                    Code::PermissionDenied,
                    Code::Unimplemented,
                ];
                is_refusal
                    .contains(&status.code())
                    .then(|| status.message())
            }
            Self::TimedOut(_) | Self::Piece(_) | Self::Page(_) | Self::NewerFormat { .. } => None,
        }
    }
}

/// The connection, made anew where it is silent.
pub(crate) struct Connection {
    endpoint: Endpoint,
    bearer: Mutex<Bearer>,
    channel: Mutex<Channel>,
    call_max: Duration,
}

/// Adds the key to each call.
#[derive(Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

type Client = ReplicaServiceClient<InterceptedService<Channel, Bearer>>;

impl Connection {
    /// A connection that is made when it is first used.
    ///
    /// # Errors
    /// [`FollowError`] if the server is described wrongly.
    pub(crate) fn new(server: &Server, pace: &Pace) -> Result<Self, FollowError> {
        let scheme = match server.transport {
            Transport::Plaintext => "http",
            Transport::Tls { .. } => "https",
        };
        let wrong = |_| FollowError::Endpoint {
            endpoint: server.endpoint.clone(),
        };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{}", server.endpoint))
            .map_err(wrong)?
            .connect_timeout(pace.connect_max)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        if let Transport::Tls { authorities_pem } = &server.transport {
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authorities_pem));
            endpoint = endpoint.tls_config(tls).map_err(FollowError::Tls)?;
        }
        let bearer = Bearer::of(server.key.as_deref())?;
        Ok(Self {
            channel: Mutex::new(endpoint.connect_lazy()),
            endpoint,
            bearer: Mutex::new(bearer),
            call_max: pace.call_max,
        })
    }

    fn client(&self) -> Client {
        let bearer = held(&self.bearer).clone();
        let channel = InterceptedService::new(held(&self.channel).clone(), bearer);
        ReplicaServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Calls with that key from here on, over a connection of its own.
    ///
    /// # Errors
    /// [`FollowError::Key`]
    pub(crate) fn use_key(&self, key: &str) -> Result<(), FollowError> {
        *held(&self.bearer) = Bearer::of(Some(key))?;
        self.renew();
        Ok(())
    }

    /// Lets go of the connection: the next call makes another one, to another node perhaps.
    pub(crate) fn renew(&self) {
        *held(&self.channel) = self.endpoint.connect_lazy();
    }

    /// The answer, if it comes in time.
    async fn within<T>(
        &self,
        answer: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, CallError> {
        match tokio::time::timeout(self.call_max, answer).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(CallError::TimedOut(self.call_max)),
        }
    }

    fn unary<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.call_max);
        request
    }

    pub(crate) async fn head(&self) -> Result<(StoreIdentity, Head), CallError> {
        let mut client = self.client();
        let answer = client.ask_head(self.unary(wire::AskHeadRequest {}));
        let answer = self.within(answer).await?.into_inner();
        Ok((identity_of(answer.identity)?, head_of(answer.head)?))
    }

    pub(crate) async fn time(&self) -> Result<Timestamp, CallError> {
        let mut client = self.client();
        let answer = client.ask_time(self.unary(wire::AskTimeRequest {}));
        Ok(time_of(self.within(answer).await?.into_inner().now_micros)?)
    }

    pub(crate) async fn verify(
        &self,
        token: Token,
    ) -> Result<(StoreIdentity, Result<TokenVerdict, TokenRefused>), CallError> {
        let mut client = self.client();
        let token_sent = ZedToken {
            token: token.to_string(),
        };
        let answer = client.verify_token(self.unary(wire::VerifyTokenRequest {
            token: Some(token_sent),
        }));
        let answer = self.within(answer).await?.into_inner();
        let verdict = match answer.verdict() {
            Verdict::Unspecified => return Err(PieceError::Field("verdict").into()),
            Verdict::Known => Ok(TokenVerdict::Known(token.revision)),
            Verdict::Old => Ok(TokenVerdict::Old(token.revision)),
            Verdict::OtherStore => Err(TokenRefused::OtherStore),
            Verdict::OtherHistory => Err(TokenRefused::OtherHistory),
            Verdict::BeyondHead => Err(TokenRefused::BeyondHead {
                head: Revision(answer.head),
            }),
            Verdict::HashMismatch => Err(TokenRefused::HashMismatch {
                revision: token.revision,
            }),
        };
        Ok((identity_of(answer.identity)?, verdict))
    }

    /// A page of the log. Each entry has the hash that it says.
    pub(crate) async fn log(
        &self,
        after: Revision,
        entries_max: usize,
    ) -> Result<(StoreIdentity, Page), CallError> {
        let mut client = self.client();
        let call = client.read_log(Request::new(wire::ReadLogRequest {
            after: after.0,
            entries_max: u32::try_from(entries_max).unwrap_or(u32::MAX),
        }));
        let mut parts = self.within(call).await?.into_inner();
        let beginning = match self
            .within(parts.message())
            .await?
            .and_then(|first| first.part)
        {
            Some(LogPart::Beginning(beginning)) => beginning,
            Some(LogPart::Entry(_) | LogPart::Block(_)) | None => {
                return Err(CallError::Page("it lacks its beginning"));
            }
        };
        let identity = identity_of(beginning.identity)?;
        if let Some(oldest) = beginning.trimmed_before.map(Revision) {
            return Ok((identity, Page::Trimmed { oldest }));
        }
        if let Some(head) = beginning.beyond_head.map(Revision) {
            return Ok((identity, Page::BeyondHead { head }));
        }
        let mut entries = Entries::new(beginning.entry_count as usize, entries_max)?;
        while let Some(part) = self.within(parts.message()).await? {
            match part.part {
                Some(LogPart::Entry(entry)) => entries.begin(entry)?,
                Some(LogPart::Block(bytes)) => entries.add(&bytes)?,
                Some(LogPart::Beginning(_)) | None => {
                    return Err(CallError::Page("it has two beginnings"));
                }
            }
        }
        Ok((identity, Page::Entries(entries.finish()?)))
    }

    pub(crate) async fn state(&self) -> Result<Pieces<'_>, CallError> {
        let mut client = self.client();
        let call = client.read_state(Request::new(wire::ReadStateRequest {}));
        Ok(Pieces {
            connection: self,
            messages: self.within(call).await?.into_inner(),
        })
    }

    pub(crate) async fn news(&self) -> Result<Streaming<wire::FollowHeadResponse>, CallError> {
        let mut client = self.client();
        let call = client.follow_head(Request::new(wire::FollowHeadRequest {}));
        Ok(self.within(call).await?.into_inner())
    }
}

/// The pieces of a state as they come.
pub(crate) struct Pieces<'c> {
    connection: &'c Connection,
    messages: Streaming<wire::ReadStateResponse>,
}

impl Pieces<'_> {
    /// The next one; none at the end of the call.
    pub(crate) async fn next(&mut self) -> Result<Option<wire::ReadStateResponse>, CallError> {
        self.connection.within(self.messages.message()).await
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bearer {
    fn of(key: Option<&str>) -> Result<Self, FollowError> {
        let Some(key) = key else {
            return Ok(Self(None));
        };
        let header = format!("Bearer {key}").parse();
        let mut header: MetadataValue<Ascii> = header.map_err(|_| FollowError::Key)?;
        header.set_sensitive(true);
        Ok(Self(Some(header)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.0 {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", header.clone());
        }
        Ok(request)
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("server", &self.endpoint.uri())
            .finish_non_exhaustive()
    }
}
