//! What is asked of the graph for a review, and what the answers come to.
//!
//! A user is asked about, and each group that it is said to be in: groups that Remit knows it to be in count by themselves. Each is
//! asked about in the namespace and in the cluster: whether something grants it, and whether it is banned. Whether one of them is
//! locked shows where it is denied to be itself. A lock denies every question, also whether there is a ban: so each is asked about,
//! and that last, lest a lock that comes meanwhile lifts a ban and does not show.
//!
//! A ban is never passed over: where it cannot be decided, nothing is answered, and what the cluster is told to do then happens
//! (its `failurePolicy`). An API server takes an answer with an error in it for one without an opinion, and asks the next.

use std::collections::BTreeMap;
use std::fmt;

use model::{Context, ObjectRef, SubjectRef, Value};

use crate::id::{self, Cluster, IdError};
use crate::names;
use crate::review::{About, Review};

/// The most groups that are asked about.
pub const GROUPS_MAX: usize = 1_000;

/// Why a review cannot be asked about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// It says that the user is in too many groups.
    #[error("the review has {groups} groups, at most {GROUPS_MAX} are asked about")]
    TooManyGroups {
        /// How many.
        groups: usize,
    },
    /// The user has no id here.
    #[error("the user cannot be asked about: {0}")]
    User(#[source] IdError),
    /// A group has no id here.
    #[error("a group cannot be asked about: {0}")]
    Group(#[source] IdError),
    /// The namespace has no id here.
    #[error("the namespace cannot be asked about: {0}")]
    Namespace(#[source] IdError),
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To know whether the user, or a group of it, is not locked.
    Unlocked,
    /// To know whether one is banned there.
    Banned(Ban),
    /// To know whether it is granted.
    Granted,
}

/// Why somebody is denied what others may grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ban {
    /// The user or a group of it is locked.
    Locked,
    /// The user or a group of it is banned in the cluster.
    Cluster,
    /// The user or a group of it is banned in the namespace.
    Namespace,
}

/// A question of the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// What for.
    pub purpose: Purpose,
    /// On what.
    pub resource: ObjectRef,
    /// Which permission.
    pub permission: &'static str,
    /// Who.
    pub subject: SubjectRef,
    /// What it is about, for caveats.
    pub context: Context,
}

/// What a question was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Yes.
    Yes,
    /// No.
    No,
    /// It is not known, for this reason.
    Unknown(String),
}

/// What a review comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Something grants it.
    Allowed,
    /// Nobody is to grant it.
    Denied(Ban),
    /// Nothing grants it, which leaves it to others.
    NoOpinion {
        /// Why it is not known for certain that nothing grants it, if it is not.
        failure: Option<String>,
    },
}

/// It is not known whether the user is banned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is not known whether the user is banned: {why}")]
pub struct BanUnknown {
    /// Why not.
    pub why: String,
}

/// What has to be asked for `review` in `cluster`.
///
/// # Errors
/// [`AskError`] for names that are too long, and past [`GROUPS_MAX`].
pub fn questions(cluster: &Cluster, review: &Review) -> Result<Vec<Asked>, AskError> {
    let groups = review.groups.len();
    if groups > GROUPS_MAX {
        return Err(AskError::TooManyGroups { groups });
    }
    let scopes = scopes(cluster, &review.about).map_err(AskError::Namespace)?;
    let context = context(&review.about);
    let mut asked = Vec::with_capacity((groups + 1) * (scopes.len() * 2 + 1));
    let mut subjects = Vec::with_capacity(groups + 1);
    if let Some(user) = &review.user {
        subjects.push(id::user(cluster, user).map_err(AskError::User)?);
    }
    for group in &review.groups {
        subjects.push(id::global(names::GROUP, group).map_err(AskError::Group)?);
    }
    for subject in &subjects {
        for (scope, ban) in &scopes {
            let ask = |purpose, permission, context: &Context| Asked {
                purpose,
                resource: scope.clone(),
                permission,
                subject: subject.clone().into(),
                context: context.clone(),
            };
            let nothing = Context::default();
            asked.push(ask(Purpose::Banned(*ban), names::BANNED, &nothing));
            asked.push(ask(Purpose::Granted, granted(&review.about), &context));
        }
    }
    asked.extend(subjects.into_iter().map(|subject| Asked {
        purpose: Purpose::Unlocked,
        resource: subject.clone(),
        permission: names::ITSELF,
        subject: subject.into(),
        context: Context::default(),
    }));
    Ok(asked)
}

/// What answers come to; `answers` are those of [`questions`], in whatever order.
///
/// # Errors
/// [`BanUnknown`] if a ban could not be decided, and no other is certain.
pub fn verdict(
    answers: impl IntoIterator<Item = (Purpose, Answer)>,
) -> Result<Verdict, BanUnknown> {
    let (mut ban, mut ban_unknown, mut is_granted, mut failure) = (None, None, false, None);
    for (purpose, answer) in answers {
        match (purpose, answer) {
            (Purpose::Unlocked, Answer::No) => ban = ban.or(Some(Ban::Locked)),
            (Purpose::Banned(of), Answer::Yes) => ban = ban.or(Some(of)),
            (Purpose::Unlocked | Purpose::Banned(_), Answer::Unknown(why)) => {
                ban_unknown = ban_unknown.or(Some(why));
            }
            (Purpose::Granted, Answer::Yes) => is_granted = true,
            (Purpose::Granted, Answer::Unknown(why)) => failure = failure.or(Some(why)),
            (Purpose::Unlocked, Answer::Yes)
            | (Purpose::Banned(_) | Purpose::Granted, Answer::No) => {}
        }
    }
    match (ban, ban_unknown) {
        (Some(ban), _) => Ok(Verdict::Denied(ban)),
        (None, Some(why)) => Err(BanUnknown { why }),
        (None, None) if is_granted => Ok(Verdict::Allowed),
        (None, None) => Ok(Verdict::NoOpinion { failure }),
    }
}

/// Who may do something, as look-ups of subjects.
#[derive(Debug, Clone, PartialEq)]
pub struct Lookups {
    /// On these, all that have the permission with the context are granted it.
    pub granted: Vec<(ObjectRef, &'static str)>,
    /// And on these, all that have the permission are banned.
    pub banned: Vec<(ObjectRef, &'static str)>,
    /// What it is about.
    pub context: Context,
    /// The definitions of subjects.
    pub definitions: [&'static str; 3],
}

/// The look-ups for who may do what it is about.
///
/// # Errors
/// [`IdError`] for a namespace without an id.
pub fn look_ups(cluster: &Cluster, about: &About) -> Result<Lookups, IdError> {
    let scopes = scopes(cluster, about)?;
    let on = |permission| {
        scopes
            .iter()
            .map(move |(scope, _)| (scope.clone(), permission))
    };
    Ok(Lookups {
        granted: on(granted(about)).collect(),
        banned: on(names::BANNED).collect(),
        context: context(about),
        definitions: [names::USER, names::SERVICE_ACCOUNT, names::GROUP],
    })
}

/// Where grants and bans count: in the cluster, and in the namespace of a resource that has one.
fn scopes(cluster: &Cluster, about: &About) -> Result<Vec<(ObjectRef, Ban)>, IdError> {
    let mut scopes = Vec::with_capacity(2);
    if let About::Resource { namespace, .. } = about
        && !namespace.is_empty()
    {
        let namespace = cluster.object(names::NAMESPACE, &[namespace])?;
        scopes.push((namespace, Ban::Namespace));
    }
    let cluster = id::global(names::CLUSTER, cluster.as_str())?;
    scopes.push((cluster, Ban::Cluster));
    Ok(scopes)
}

fn granted(about: &About) -> &'static str {
    match about {
        About::Resource { .. } => names::GRANTED,
        About::Url { .. } => names::GRANTED_URL,
    }
}

/// The values that the caveats of rules take.
fn context(about: &About) -> Context {
    let values: Vec<(&str, &String)> = match about {
        About::Resource {
            verb,
            group,
            resource,
            subresource,
            name,
            namespace: _,
        } => vec![
            ("verb", verb),
            ("group", group),
            ("resource", resource),
            ("subresource", subresource),
            ("name", name),
        ],
        About::Url { path, verb } => vec![("path", path), ("verb", verb)],
    };
    let values = values.into_iter();
    let values = values.map(|(name, text)| (name.to_owned(), Value::String(text.clone())));
    Context::new(values.collect::<BTreeMap<_, _>>())
}

impl fmt::Display for Ban {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Locked => "the user or a group of it is locked",
            Self::Cluster => "the user or a group of it is banned in the cluster",
            Self::Namespace => "the user or a group of it is banned in the namespace",
        })
    }
}

#[cfg(test)]
mod tests;
