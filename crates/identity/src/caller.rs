//! The proof that somebody was let in, and as whom.

use std::net::SocketAddr;
use std::sync::Arc;

use model::{DefinitionName, ObjectRef, Timestamp};

use crate::minted::Narrowing;
use crate::object_id;
use crate::origin::Origin;
use crate::standing::Standing;
use crate::token::Confirmation;

/// Somebody who was let in; a clone is cheap. Only this crate can make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    inner: Arc<Inner>,
    /// From where it calls, where that is known; of one call, where the rest is of a credential.
    peer: Option<SocketAddr>,
    origin: Option<Arc<Origin>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    subject: ObjectRef,
    name: String,
    /// The name with that of whom the caller asks for, where it asks for another.
    name_with_principal: Option<String>,
    groups: Vec<ObjectRef>,
    credential: Credential,
    valid_until: Option<Timestamp>,
    on_behalf_of: Option<ObjectRef>,
    narrowing: Option<Narrowing>,
    confirmation: Confirmation,
    /// What it all rests on: what was presented, and what vouches for that.
    rests_on: Vec<Standing>,
}

/// By what somebody was let in. It tells credentials apart and holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// Nothing was asked for.
    None,
    /// A preshared key.
    PresharedKey {
        /// The key's name.
        name: String,
    },
    /// A token of an issuer.
    Token {
        /// The name that the configuration gives the issuer.
        issuer: String,
        /// The token's `jti`, if it has one.
        id: Option<String>,
    },
    /// A JWT-SVID.
    JwtSvid {
        /// The trust domain whose key signed it.
        trust_domain: String,
        /// The token's `jti`, if it has one.
        id: Option<String>,
    },
    /// An X.509-SVID.
    X509Svid {
        /// The trust domain whose authority signed it.
        trust_domain: String,
        /// The certificate's serial number, in hexadecimal.
        serial: String,
    },
    /// A token that the server minted.
    Minted {
        /// The token's random id.
        id: String,
        /// The credential that it was minted with.
        rests_on: Box<Credential>,
    },
}

/// The definition of those who call with a preshared key.
pub(crate) const KEY: &str = "remit/key";
/// The definition of those who call with an SVID.
pub(crate) const WORKLOAD: &str = "remit/workload";
const ANONYMOUS: &str = "remit/anonymous";

impl Caller {
    pub(crate) fn new(
        subject: ObjectRef,
        name: String,
        groups: Vec<ObjectRef>,
        credential: Credential,
        valid_until: Option<Timestamp>,
    ) -> Self {
        let inner = Inner {
            subject,
            name,
            name_with_principal: None,
            groups,
            credential,
            valid_until,
            on_behalf_of: None,
            narrowing: None,
            confirmation: Confirmation::Bearer,
            rests_on: Vec::new(),
        };
        Self {
            inner: Arc::new(inner),
            peer: None,
            origin: None,
        }
    }

    /// This caller, whose call came that way.
    #[must_use]
    pub fn from_origin(mut self, origin: Origin) -> Self {
        self.origin = Some(Arc::new(origin));
        self
    }

    /// By which way the call came, where that was asked for.
    #[must_use]
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_deref()
    }

    /// The caller with less to do.
    pub(crate) fn narrowed(mut self, narrowing: Narrowing) -> Self {
        Arc::make_mut(&mut self.inner).narrowing = Some(narrowing);
        self
    }

    /// The caller, who calls from there. For the record: it takes nothing from the caller and gives it nothing.
    #[must_use]
    pub fn from_peer(mut self, peer: SocketAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// From where the caller calls, where that is known.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The caller, whose credential is bound to that.
    pub(crate) fn bound_to(mut self, confirmation: Confirmation) -> Self {
        if self.inner.confirmation != confirmation {
            Arc::make_mut(&mut self.inner).confirmation = confirmation;
        }
        self
    }

    /// What the caller's credential is bound to.
    pub(crate) fn confirmation(&self) -> Confirmation {
        self.inner.confirmation
    }

    /// This caller, who is none once what `standing` is of is withdrawn.
    pub(crate) fn resting_on(mut self, standing: &Standing) -> Self {
        let inner = Arc::make_mut(&mut self.inner);
        inner.rests_on.push(standing.clone());
        self
    }

    /// Whether what the caller was let in by is gone, or what vouched for it: a key, an issuer, a trust domain. What was begun
    /// with it is to end.
    #[must_use]
    pub fn is_withdrawn(&self) -> bool {
        self.inner.rests_on.iter().any(Standing::is_withdrawn)
    }

    /// Whether what the caller was let in by is still good.
    pub(crate) fn is_good(&self, now: Timestamp) -> bool {
        self.valid_until().is_none_or(|until| now < until) && !self.is_withdrawn()
    }

    /// The caller of the preshared key called `name`, for as long as that stands.
    pub(crate) fn of_key(name: &str, standing: &Standing) -> Self {
        let credential = Credential::PresharedKey {
            name: name.to_owned(),
        };
        Self::new(
            own(KEY, name),
            name.to_owned(),
            Vec::new(),
            credential,
            None,
        )
        .resting_on(standing)
    }

    /// The caller of a server that asks nobody who they are. Such a server serves loopback addresses alone.
    #[must_use]
    pub fn without_authentication() -> Self {
        let name = "anonymous";
        let subject = own(ANONYMOUS, name);
        Self::new(subject, name.to_owned(), Vec::new(), Credential::None, None)
    }

    /// This caller, who asks in the name of another: what is done is what both may do.
    #[must_use]
    pub fn on_behalf_of(&self, principal: ObjectRef) -> Self {
        let inner = Inner {
            name_with_principal: Some(format!("{} for {principal}", self.inner.name)),
            on_behalf_of: Some(principal),
            ..self.inner.as_ref().clone()
        };
        Self {
            inner: Arc::new(inner),
            peer: self.peer,
            origin: self.origin.clone(),
        }
    }

    /// In whose name the caller asks, if that is not its own.
    #[must_use]
    pub fn principal(&self) -> Option<&ObjectRef> {
        self.inner.on_behalf_of.as_ref()
    }

    /// Who calls, as an object that relationships can name.
    #[must_use]
    pub fn subject(&self) -> &ObjectRef {
        &self.inner.subject
    }

    /// The name under which records keep what the caller did: the name of a preshared key, else the text of the subject.
    /// Never the key or the token.
    #[must_use]
    pub fn name(&self) -> &str {
        let with_principal = self.inner.name_with_principal.as_ref();
        with_principal.unwrap_or(&self.inner.name)
    }

    /// The caller's own name, without that of whom it asks for: what it may ask for goes by this, since it chooses the other.
    #[must_use]
    pub fn own_name(&self) -> &str {
        &self.inner.name
    }

    /// The groups that the caller's token names.
    #[must_use]
    pub fn groups(&self) -> &[ObjectRef] {
        &self.inner.groups
    }

    /// By what the caller was let in.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.inner.credential
    }

    /// What is left of what the subject may do; none for a caller that came with no minted token. Every minted token has an
    /// end, so that it narrows at least that.
    #[must_use]
    pub fn narrowing(&self) -> Option<&Narrowing> {
        self.inner.narrowing.as_ref()
    }

    /// Until when that is good; none if it has no end of its own.
    #[must_use]
    pub fn valid_until(&self) -> Option<Timestamp> {
        self.inner.valid_until
    }
}

#[expect(
    clippy::expect_used,
    reason = "the definitions are constants, and names are short"
)]
fn own(definition: &str, name: &str) -> ObjectRef {
    // PANIC: a test makes each of the three definitions; a key's name has 1 to 64 bytes, at most 192 once escaped.
    ObjectRef {
        definition: DefinitionName::new(definition).expect("a definition"),
        id: object_id::escaped("", name).expect("a name of 1 to 64 bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_objects() {
        assert_eq!(
            Caller::of_key("billing.eu", &Standing::default())
                .subject()
                .to_string(),
            "remit/key:billing=2Eeu"
        );
        let anonymous = Caller::without_authentication();
        assert_eq!(anonymous.subject().to_string(), "remit/anonymous:anonymous");
        assert!(DefinitionName::new(WORKLOAD).is_ok());
    }
}
