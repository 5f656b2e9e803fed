//! Calls by the name of their method, with messages as bytes: one way of asking for every service of every server.

use prost::bytes::{Buf, BufMut as _, Bytes};
use remit_client::proto::google::rpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::running::{KEY, Running};

/// What a call brought: messages, and how it failed if it did. A stream may do both.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) messages: Vec<Bytes>,
    pub(crate) failure: Option<Failure>,
}

/// How a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: String,
    /// Why, for programs; none if this was not told.
    pub(crate) reason: Option<Reason>,
}

/// An `ErrorInfo`. No name if there is no such detail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Reason {
    pub(crate) name: String,
    pub(crate) metadata: std::collections::BTreeMap<String, String>,
}

/// A connection to a Remit server.
#[derive(Debug, Clone)]
pub(crate) struct RemitWire {
    channel: Channel,
}

impl RemitWire {
    pub(crate) async fn connect(running: &Running) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{}", running.endpoint)).unwrap();
        Self {
            channel: endpoint.connect().await.unwrap(),
        }
    }

    /// Calls `method`, for example `/authzed.api.v1.SchemaService/ReadSchema`.
    pub(crate) async fn call(&self, method: &str, requests: Vec<Vec<u8>>) -> Answer {
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.unwrap();
        let mut request = Request::new(tokio_stream::iter(requests));
        request
            .metadata_mut()
            .insert("authorization", format!("Bearer {KEY}").parse().unwrap());
        let mut answer = Answer {
            messages: Vec::new(),
            failure: None,
        };
        let response = client
            .streaming(request, method.parse().unwrap(), AsBytes)
            .await;
        let mut stream = match response {
            Ok(response) => response.into_inner(),
            Err(status) => {
                answer.failure = Some(Failure::from_status(&status));
                return answer;
            }
        };
        loop {
            match stream.message().await {
                Ok(Some(message)) => answer.messages.push(message),
                Ok(None) => return answer,
                Err(status) => {
                    answer.failure = Some(Failure::from_status(&status));
                    return answer;
                }
            }
        }
    }
}

impl Failure {
    pub(crate) fn from_status(status: &Status) -> Self {
        Self {
            code: status.code(),
            message: status.message().to_owned(),
            reason: Some(Reason::from_details(&status.get_error_details())),
        }
    }

    /// Of one item in an answer of many.
    pub(crate) fn from_item(status: rpc::Status) -> Self {
        let details = tonic_types::pb::Status {
            code: status.code,
            message: status.message.clone(),
            details: status.details,
        };
        Self::from_status(&Status::with_details(
            Code::from(status.code),
            status.message,
            prost::Message::encode_to_vec(&details).into(),
        ))
    }
}

impl Reason {
    fn from_details(details: &ErrorDetails) -> Self {
        details
            .error_info()
            .map_or_else(Self::default, |info| Self {
                name: info.reason.clone(),
                metadata: info.metadata.clone().into_iter().collect(),
            })
    }
}

/// Messages that stay encoded.
struct AsBytes;

impl Codec for AsBytes {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for AsBytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for AsBytes {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
