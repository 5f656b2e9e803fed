//! What one issuer's tokens have to be, and how their claims become a caller.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use model::{DefinitionName, ObjectRef, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::claims::{Claims, Window, missing, of_wrong_type};
use super::error::TokenError;
use crate::caller::{Caller, Credential};
use crate::error::AuthenticateError;
use crate::jose::{Algorithm, Compact};
use crate::object_id;
use model::json::Object;

/// Groups that one token may name.
const GROUPS_MAX: usize = 256;

/// The rules for the tokens of one issuer.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    /// What the configuration calls the issuer.
    pub(crate) name: String,
    /// What its tokens have as `iss`.
    pub(crate) issuer: String,
    pub(crate) audiences: Vec<String>,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) token_type: TokenType,
    pub(crate) window: Window,
    pub(crate) required_scope: Option<String>,
    pub(crate) required_claims: BTreeMap<String, RequiredValue>,
    pub(crate) subject_claim: ClaimPath,
    pub(crate) subject_type: DefinitionName,
    pub(crate) subject_prefix: String,
    pub(crate) groups_claim: ClaimPath,
    pub(crate) group_type: DefinitionName,
    pub(crate) group_prefix: String,
}

/// What the header of a token has to say that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum TokenType {
    /// An access token by RFC 9068, with all the claims that it asks for.
    #[serde(rename = "at+jwt")]
    AccessToken,
    /// A JWT of whatever use, as many issuers still send: `JWT`, nothing, or the above.
    #[serde(rename = "JWT")]
    Jwt,
}

/// Where a claim is: a name, or the names that lead to it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum ClaimPath {
    /// A claim of the token itself.
    Name(String),
    /// A member of a member.
    Path(Vec<String>),
}

/// What a claim has to be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum RequiredValue {
    /// This text.
    Text(String),
    /// True or false.
    Flag(bool),
    /// One of these texts.
    AnyOf(Vec<String>),
}

/// What a token is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Confirmation {
    /// Nothing: whoever has it may use it.
    Bearer,
    /// The certificate of the connection, by the SHA-256 of its DER.
    Certificate([u8; 32]),
}

/// Claims that RFC 9068 asks for beside those that every token has to have.
const OF_ACCESS_TOKENS: [&str; 3] = ["sub", "client_id", "jti"];

impl Profile {
    /// What can be said of a token before its key is sought.
    pub(crate) fn admits(&self, token: &Compact<'_>) -> Result<(), TokenError> {
        if !self.algorithms.contains(&token.algorithm) {
            let name = token.algorithm.name();
            return Err(TokenError::Algorithm { name });
        }
        self.token_type.admits(token.typ.as_deref())
    }

    /// Whom the claims of a token name, once its signature is verified.
    ///
    /// # Errors
    /// What is wrong with them, and last of all that the scope is not there which the issuer's tokens have to have.
    pub(crate) fn verified(
        &self,
        claims: &Object,
        now: Timestamp,
    ) -> Result<Caller, AuthenticateError> {
        let read = Claims(claims);
        if read.required("iss")? != self.issuer {
            return Err(TokenError::UnknownIssuer.into());
        }
        read.is_for(&self.audiences)?;
        let valid_until = read.valid_until(self.window, now)?;
        match self.token_type {
            TokenType::AccessToken => {
                for claim in OF_ACCESS_TOKENS {
                    read.required(claim)?;
                }
                if !claims.contains_key("iat") {
                    return Err(missing("iat").into());
                }
            }
            TokenType::Jwt => {}
        }
        for (claim, required) in &self.required_claims {
            let value = claims.get(claim).ok_or_else(|| missing(claim))?;
            if !required.is_met_by(value) {
                return Err(of_wrong_type(claim, "what is configured for its issuer").into());
            }
        }
        let confirmation = confirmation(claims)?;
        let subject = self.subject(claims)?;
        let credential = Credential::Token {
            issuer: self.name.clone(),
            id: read.text("jti")?.map(str::to_owned),
        };
        let name = subject.to_string();
        let groups = self.groups(claims)?;
        self.require_scope(claims)?;
        let caller = Caller::new(subject, name, groups, credential, Some(valid_until));
        Ok(caller.bound_to(confirmation))
    }

    fn subject(&self, claims: &Object) -> Result<ObjectRef, TokenError> {
        let claim = || self.subject_claim.to_string();
        let value = self.subject_claim.of(claims);
        let value = value.ok_or_else(|| missing(&claim()))?;
        let text = value.as_str().filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| of_wrong_type(&claim(), "a text"))?;
        object(&self.subject_type, &self.subject_prefix, text, claim)
    }

    fn groups(&self, claims: &Object) -> Result<Vec<ObjectRef>, TokenError> {
        if self.has_groups_elsewhere(claims) {
            return Err(TokenError::GroupsElsewhere);
        }
        let Some(value) = self.groups_claim.of(claims) else {
            return Ok(Vec::new());
        };
        let claim = || self.groups_claim.to_string();
        let mut names = Claims::list(&claim(), value)?;
        if names.len() > GROUPS_MAX {
            return Err(TokenError::TooManyGroups {
                count: names.len(),
                count_max: GROUPS_MAX,
            });
        }
        names.sort_unstable();
        names.dedup();
        let object = |name: &str| object(&self.group_type, &self.group_prefix, name, claim);
        names.into_iter().map(object).collect()
    }

    /// Whether the issuer left the groups out for being many: a distributed claim (OpenID Connect Core, 5.6.2), or the sign
    /// for it in short tokens of Entra.
    fn has_groups_elsewhere(&self, claims: &Object) -> bool {
        let names = claims.get("_claim_names").and_then(Value::as_object);
        names.is_some_and(|names| names.contains_key(self.groups_claim.first()))
            || (self.groups_claim.first() == "groups"
                && claims.get("hasgroups") == Some(&Value::Bool(true)))
    }

    fn require_scope(&self, claims: &Object) -> Result<(), AuthenticateError> {
        let Some(required) = &self.required_scope else {
            return Ok(());
        };
        for claim in ["scope", "scp"] {
            if let Some(value) = claims.get(claim)
                && Claims::list(claim, value)?.contains(&required.as_str())
            {
                return Ok(());
            }
        }
        Err(AuthenticateError::InsufficientScope {
            scope: required.clone(),
        })
    }
}

fn object(
    definition: &DefinitionName,
    prefix: &str,
    text: &str,
    claim: impl Fn() -> String,
) -> Result<ObjectRef, TokenError> {
    let id = object_id::escaped(prefix, text);
    let id = id.map_err(|source| TokenError::Id {
        claim: claim(),
        source,
    })?;
    Ok(ObjectRef {
        definition: definition.clone(),
        id,
    })
}

/// What `cnf` binds a token to. What is not known cannot be checked, and so is refused.
pub(crate) fn confirmation(claims: &Object) -> Result<Confirmation, TokenError> {
    let Some(value) = claims.get("cnf") else {
        return Ok(Confirmation::Bearer);
    };
    let methods = value.as_object().ok_or(TokenError::BoundOtherwise)?;
    if methods.contains_key("jkt") {
        return Err(TokenError::BoundToKey);
    }
    let thumbprint = methods.get("x5t#S256").filter(|_| methods.len() == 1);
    let thumbprint = thumbprint.and_then(Value::as_str);
    let thumbprint = thumbprint.and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok());
    let thumbprint = thumbprint.and_then(|bytes| bytes.try_into().ok());
    thumbprint
        .map(Confirmation::Certificate)
        .ok_or(TokenError::BoundOtherwise)
}

impl TokenType {
    fn admits(self, typ: Option<&str>) -> Result<(), TokenError> {
        // RFC 7515, 4.1.9: `application/` may be left out, and media types are the same in any case.
        let typ = typ.map(str::to_ascii_lowercase);
        let typ = typ.as_deref();
        let typ = typ.map(|typ| typ.strip_prefix("application/").unwrap_or(typ));
        let (is_admitted, expected) = match self {
            Self::AccessToken => (typ == Some("at+jwt"), "`at+jwt`"),
            Self::Jwt => (
                matches!(typ, None | Some("jwt" | "at+jwt")),
                "`JWT` or `at+jwt`",
            ),
        };
        if is_admitted {
            Ok(())
        } else {
            Err(TokenError::Type { expected })
        }
    }
}

impl ClaimPath {
    pub(crate) fn names(&self) -> &[String] {
        match self {
            Self::Name(name) => std::slice::from_ref(name),
            Self::Path(names) => names,
        }
    }

    fn first(&self) -> &str {
        self.names().first().map_or("", String::as_str)
    }

    fn of<'a>(&self, claims: &'a Object) -> Option<&'a Value> {
        let (first, rest) = self.names().split_first()?;
        let mut value = claims.get(first)?;
        for name in rest {
            value = value.as_object()?.get(name)?;
        }
        Some(value)
    }
}

impl std::fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.names().join("."))
    }
}

impl RequiredValue {
    fn is_met_by(&self, value: &Value) -> bool {
        match self {
            Self::Text(text) => value.as_str() == Some(text),
            Self::Flag(flag) => value.as_bool() == Some(*flag),
            Self::AnyOf(texts) => value
                .as_str()
                .is_some_and(|value| texts.iter().any(|text| text == value)),
        }
    }
}
