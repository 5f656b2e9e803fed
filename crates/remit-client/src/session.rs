//! Reading one's own writes: a session remembers the token of its newest write, and asks at least as fresh as that.
//!
//! Tokens are opaque, and no client can say which of two is the newer. A session does not guess. It knows that a write which began after
//! another was answered is newer; where it does not know (writes at the same time, a token from elsewhere, a write whose answer
//! was lost) it asks fully consistent once, and goes on with the token of that answer, which is as fresh as both.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use remit_proto::authzed::api::v1 as wire;

use crate::check::{Check, Decision};
use crate::client::Client;
use crate::consistency::{Consistency, Token};
use crate::error::Error;
use crate::lookup::{LookupResources, LookupSubjects};
use crate::relationship::{Delete, Deleted, Read, Write};
use crate::results::Results;

/// The header in which a service passes a session's token on to another.
pub const TOKEN_HEADER: &str = "remit-token";

/// Calls of which each sees the writes before it. A clone is the same session.
#[derive(Debug, Clone)]
pub struct Session {
    client: Client,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    freshness: Freshness,
    /// How often it has changed.
    changes: u64,
}

/// How fresh an answer has to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Freshness {
    /// Nothing was written.
    #[default]
    Any,
    /// As fresh as this.
    Token(Token),
    /// As fresh as several that are in no known order.
    Unordered,
}

impl Session {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            state: Arc::default(),
        }
    }

    /// The client beneath, whose calls see what they see.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What to pass on, as the text of [`TOKEN_HEADER`], so that another service sees what this session wrote. None if nothing was
    /// written, or if it is not known which of several tokens is the newest: [`Self::settle`] finds out.
    #[must_use]
    pub fn token(&self) -> Option<Token> {
        match &self.state().freshness {
            Freshness::Token(token) => Some(token.clone()),
            Freshness::Any | Freshness::Unordered => None,
        }
    }

    /// Takes over a token that was passed on: what follows sees what it stands for, beside what this session wrote.
    pub fn observe(&self, token: Token) {
        let mut state = self.state();
        let merged = match &state.freshness {
            Freshness::Any => Freshness::Token(token),
            Freshness::Token(own) if *own == token => return,
            Freshness::Token(_) | Freshness::Unordered => Freshness::Unordered,
        };
        state.change(merged);
    }

    /// The one token that is as fresh as all that this session wrote or took over; asks the server if it is not known.
    ///
    /// # Errors
    /// [`Error`] if the server cannot be asked. `probe` may be any check that the caller may ask.
    pub async fn settle(&self, probe: Check) -> Result<Option<Token>, Error> {
        let is_unordered = self.state().freshness == Freshness::Unordered;
        if is_unordered {
            let decision = self.check(probe).await?;
            return Ok(Some(decision.checked_at().clone()));
        }
        Ok(self.token())
    }

    /// Asks, at least as fresh as this session's writes; the check's own consistency is not used.
    ///
    /// # Errors
    /// As [`Client::check`].
    pub async fn check(&self, check: Check) -> Result<Decision, Error> {
        let (consistency, changes) = self.consistency();
        let is_settling = consistency == Consistency::FullyConsistent;
        let check = check.with_consistency(consistency);
        let decision = self.client.check(check).await?;
        if is_settling {
            let mut state = self.state();
            // Unless something came in between, all that was unordered is behind this.
            if state.changes == changes {
                let token = decision.checked_at().clone();
                state.change(Freshness::Token(token));
            }
        }
        Ok(decision)
    }

    /// Writes, and remembers the token.
    ///
    /// # Errors
    /// As [`Client::write`].
    pub async fn write(&self, write: Write) -> Result<Token, Error> {
        let writing = Writing::begin(self);
        let token = self.client.write(write).await?;
        writing.wrote(&token);
        Ok(token)
    }

    /// Deletes, and remembers the token.
    ///
    /// # Errors
    /// As [`Client::delete`].
    pub async fn delete(&self, delete: Delete) -> Result<Deleted, Error> {
        let writing = Writing::begin(self);
        let deleted = self.client.delete(delete).await?;
        writing.wrote(&deleted.token);
        Ok(deleted)
    }

    /// Looks up resources, at least as fresh as this session's writes.
    #[must_use]
    pub fn lookup_resources(
        &self,
        lookup: LookupResources,
    ) -> Results<wire::LookupResourcesRequest> {
        let lookup = lookup.with_consistency(self.consistency().0);
        self.client.lookup_resources(lookup)
    }

    /// Looks up subjects, at least as fresh as this session's writes.
    #[must_use]
    pub fn lookup_subjects(&self, lookup: LookupSubjects) -> Results<wire::LookupSubjectsRequest> {
        let lookup = lookup.with_consistency(self.consistency().0);
        self.client.lookup_subjects(lookup)
    }

    /// Reads relationships, at least as fresh as this session's writes.
    #[must_use]
    pub fn read(&self, read: Read) -> Results<wire::ReadRelationshipsRequest> {
        let read = read.with_consistency(self.consistency().0);
        self.client.read(read)
    }

    fn consistency(&self) -> (Consistency, u64) {
        let state = self.state();
        let consistency = match &state.freshness {
            Freshness::Any => Consistency::MinimizeLatency,
            Freshness::Token(token) => Consistency::AtLeastAsFresh(token.clone()),
            Freshness::Unordered => Consistency::FullyConsistent,
        };
        (consistency, state.changes)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A write that has no answer yet. Dropped without one, it may have been applied: it failed, or nobody waited for it.
struct Writing<'a> {
    session: &'a Session,
    /// How often the state had changed when it began.
    began: u64,
    has_token: bool,
}

impl<'a> Writing<'a> {
    fn begin(session: &'a Session) -> Self {
        Self {
            session,
            began: session.state().changes,
            has_token: false,
        }
    }

    fn wrote(mut self, token: &Token) {
        self.has_token = true;
        let mut state = self.session.state();
        let freshness = match state.changes == self.began {
            // All that came before was there when it began: this is the newest.
            true => Freshness::Token(token.clone()),
            false => Freshness::Unordered,
        };
        state.change(freshness);
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if !self.has_token {
            self.session.state().change(Freshness::Unordered);
        }
    }
}

impl State {
    fn change(&mut self, freshness: Freshness) {
        self.freshness = freshness;
        self.changes += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        let client = Client::builder(["127.0.0.1:1"]).build();
        client.unwrap().session()
    }

    fn token(text: &str) -> Token {
        Token::new(text).unwrap()
    }

    #[test]
    fn a_write_after_another_is_the_newest() {
        let session = session();
        for text in ["a", "b"] {
            Writing::begin(&session).wrote(&token(text));
            assert_eq!(session.token(), Some(token(text)));
        }
        session.observe(token("b"));
        assert_eq!(session.token(), Some(token("b")));
    }

    #[test]
    fn what_is_in_no_known_order_is_asked_fully_consistent() {
        let session = session();
        let (one, other) = (Writing::begin(&session), Writing::begin(&session));
        other.wrote(&token("second"));
        one.wrote(&token("first"));
        assert_eq!(session.token(), None);
        assert_eq!(session.consistency().0, Consistency::FullyConsistent);
        // A write that began after both is newer than both.
        Writing::begin(&session).wrote(&token("third"));
        assert_eq!(session.token(), Some(token("third")));
        session.observe(token("elsewhere"));
        assert_eq!(session.consistency().0, Consistency::FullyConsistent);
    }

    #[test]
    fn a_write_that_may_have_been_applied_is_looked_for() {
        let session = session();
        assert_eq!(session.consistency().0, Consistency::MinimizeLatency);
        drop(Writing::begin(&session));
        assert_eq!(session.consistency().0, Consistency::FullyConsistent);
    }
}
