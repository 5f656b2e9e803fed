//! The client: what a service asks, in calls that are bounded, tried again where that is harmless, and never an allow by accident.

use std::sync::Arc;

use remit_proto::authzed::api::v1 as wire;
use remit_proto::authzed::api::v1::permissions_service_client::PermissionsServiceClient;

use crate::batch::Batcher;
use crate::builder::Builder;
use crate::call::{Core, Counts, Manner, deadline_after};
use crate::check::{Check, Decision};
use crate::connection::{ConnectError, Connection};
use crate::consistency::Token;
use crate::credentials::Credentials;
use crate::error::Error;
use crate::link::Link;
use crate::lookup::{LookupResources, LookupSubjects};
use crate::options::Options;
use crate::relationship::{Delete, Deleted, Read, Write};
use crate::results::Results;
use crate::retry::Repeat;
use crate::session::Session;

/// A client. A clone shares connections, batches, and budgets: make one for a process.
#[derive(Debug, Clone)]
pub struct Client {
    core: Arc<Core>,
    batcher: Arc<Batcher>,
}

impl Client {
    pub(crate) fn new(core: Core, batcher: Batcher) -> Self {
        Self {
            core: Arc::new(core),
            batcher: Arc::new(batcher),
        }
    }

    /// Describes a client of these endpoints.
    pub fn builder<S: Into<String>>(endpoints: impl IntoIterator<Item = S>) -> Builder {
        Builder::new(endpoints)
    }

    /// A client of one server, which has to be there now.
    ///
    /// # Errors
    /// [`ConnectError`] if the connection is described wrongly or nobody answers.
    pub async fn connect(connection: &Connection) -> Result<Self, ConnectError> {
        let credentials = match &connection.key {
            Some(key) => Credentials::key(key).map_err(|_| ConnectError::Key)?,
            None => Credentials::none(),
        };
        let client = Builder::new([&connection.endpoint])
            .transport(connection.transport.clone())
            .connect_timeout(connection.connect_timeout)
            .credentials(credentials)
            .build()?;
        for server in client.core.reach.endpoints.all() {
            let connected = server.lines.connect().await;
            connected.map_err(|source| ConnectError::Transport {
                endpoint: server.name.clone(),
                source,
            })?;
        }
        Ok(client)
    }

    /// Asks whether a subject may do something to a resource. Checks that are asked at the same time go to the server together.
    ///
    /// # Errors
    /// [`Error`] if there is no decision. That is not an allow, and nothing makes one of it.
    pub async fn check(&self, check: Check) -> Result<Decision, Error> {
        self.batcher.check(&self.core, check).await
    }

    /// Asks several questions at the same time. Each fails alone.
    pub async fn check_all(
        &self,
        checks: impl IntoIterator<Item = Check>,
    ) -> Vec<Result<Decision, Error>> {
        let all = checks.into_iter().map(|check| self.check(check));
        futures_util::future::join_all(all).await
    }

    /// Looks up the resources that a subject has a permission on.
    #[must_use]
    pub fn lookup_resources(
        &self,
        lookup: LookupResources,
    ) -> Results<wire::LookupResourcesRequest> {
        let (request, options) = lookup.into_parts();
        Results::new(Arc::clone(&self.core), self.core.traced(options), request)
    }

    /// Looks up the subjects that have a permission on a resource.
    #[must_use]
    pub fn lookup_subjects(&self, lookup: LookupSubjects) -> Results<wire::LookupSubjectsRequest> {
        let (request, options) = lookup.into_parts();
        Results::new(Arc::clone(&self.core), self.core.traced(options), request)
    }

    /// Reads relationships as they are stored.
    #[must_use]
    pub fn read(&self, read: Read) -> Results<wire::ReadRelationshipsRequest> {
        let (request, options) = read.into_parts();
        Results::new(Arc::clone(&self.core), self.core.traced(options), request)
    }

    /// Writes relationships, all or none, and returns the token to read them with.
    ///
    /// # Errors
    /// [`Error`]; of kind [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) if it may have been applied all the same.
    pub async fn write(&self, write: Write) -> Result<Token, Error> {
        // A server that knows the key applies it once, however often it is sent.
        let repeat = match write.options.idempotency_key {
            Some(_) => Repeat::Harmless,
            None => Repeat::Once,
        };
        let options = self.core.traced(write.options);
        let manner = self.writing(repeat, &options);
        let answer = self
            .core
            .call(
                manner,
                &options,
                &write.request,
                |link, request| async move {
                    PermissionsServiceClient::new(link)
                        .write_relationships(request)
                        .await
                },
            )
            .await?;
        Token::of(answer.into_inner().written_at)
    }

    /// Deletes relationships by a filter.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn delete(&self, delete: Delete) -> Result<Deleted, Error> {
        let options = self.core.traced(delete.options);
        let manner = self.writing(Repeat::Once, &options);
        let answer = self
            .core
            .call(
                manner,
                &options,
                &delete.request,
                |link, request| async move {
                    PermissionsServiceClient::new(link)
                        .delete_relationships(request)
                        .await
                },
            )
            .await?;
        Deleted::of(answer.into_inner())
    }

    /// A session, whose checks see its writes.
    #[must_use]
    pub fn session(&self) -> Session {
        Session::new(self.clone())
    }

    /// What the client has done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.core.tally.counts()
    }

    /// What sends calls that are made by hand.
    pub(crate) fn link(&self) -> Link {
        Link::new(Arc::clone(&self.core.reach))
    }

    fn writing(&self, repeat: Repeat, options: &Options) -> Manner {
        let deadline = options.deadline.unwrap_or(self.core.deadlines.write);
        Manner {
            repeat,
            is_hedged: false,
            is_write: true,
            is_stream: false,
            deadline: deadline_after(deadline),
        }
    }
}
