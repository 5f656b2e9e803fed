//! Cedar in this process: policies in `bench/peers/cedar`, and for each question the entities that it needs.

use std::str::FromStr as _;

use anyhow::{Context as _, bail};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    PolicySet, Request, RestrictedExpression,
};

use super::slice::{Condition, Slice};
use crate::in_process::NOW;
use crate::workload::Question;

pub(crate) const HOW: &str = "4.14 in this process; the entities of each question (the subject with its groups, the resource \
    with what it and those above it name) and the request are built before the measured time, against Remit's engine \
    in this process, which finds everything by name within it";

/// Questions, ready to be asked.
pub(crate) struct Cedar {
    authorizer: Authorizer,
    policies: PolicySet,
    asked: Vec<(Request, Entities)>,
}

impl Cedar {
    pub(crate) fn new<'a>(
        questions: impl Iterator<Item = (&'a Question, Slice)>,
    ) -> anyhow::Result<Self> {
        let mut policies = None;
        let mut asked = Vec::new();
        for (question, slice) in questions {
            if policies.is_none() {
                policies = Some(policies_about(question.resource.definition.as_str())?);
            }
            asked.push(ask(question, slice)?);
        }
        Ok(Self {
            authorizer: Authorizer::new(),
            policies: policies.context("nothing is asked")?,
            asked,
        })
    }

    /// The decision on a question by its number.
    pub(crate) fn answer(&self, ix: usize) -> anyhow::Result<bool> {
        let (request, entities) = self.asked.get(ix).context("no such question")?;
        let response = self
            .authorizer
            .is_authorized(request, &self.policies, entities);
        Ok(response.decision() == Decision::Allow)
    }
}

fn policies_about(definition: &str) -> anyhow::Result<PolicySet> {
    let text = match definition {
        "repository" => include_str!("../../peers/cedar/repository.cedar"),
        "document" => include_str!("../../peers/cedar/document.cedar"),
        "endpoint" => include_str!("../../peers/cedar/endpoint.cedar"),
        other => bail!("no policies about `{other}`"),
    };
    Ok(text.parse()?)
}

/// The request of a question and its entities.
fn ask(question: &Question, slice: Slice) -> anyhow::Result<(Request, Entities)> {
    let subject = question.subject.to_string();
    let (principal, resource) = (uid(&subject)?, uid(&question.resource.to_string())?);
    let groups = slice.is.iter().filter(|set| **set != subject);
    let groups = groups
        .map(|set| uid(set))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let name = ("name".to_owned(), RestrictedExpression::new_string(subject));
    let mut lists = Vec::new();
    for (name, who) in slice.lists {
        let who = who
            .iter()
            .map(|who| Ok(RestrictedExpression::new_entity_uid(uid(who)?)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        lists.push((name, RestrictedExpression::new_set(who)));
    }
    let mut grants = Vec::new();
    for (who, condition) in slice.grants {
        grants.push((who, grant(condition)?));
    }
    let entities = [
        Entity::new(
            principal.clone(),
            [name].into(),
            groups.into_iter().collect(),
        )?,
        Entity::new_with_tags(resource.clone(), lists, [], grants)?,
    ];
    let mut told = vec![(
        "now".to_owned(),
        RestrictedExpression::new_long(NOW.as_micros()),
    )];
    told.extend(slice.hour.map(|hour| ("hour".to_owned(), long(hour))));
    told.extend(
        slice
            .ip
            .map(|ip| ("ip".to_owned(), RestrictedExpression::new_ip(ip))),
    );
    let action = EntityUid::from_type_name_and_id(
        EntityTypeName::from_str("Action")?,
        EntityId::new(question.permission),
    );
    let request = Request::new(
        principal,
        action,
        resource,
        Context::from_pairs(told)?,
        None,
    )?;
    Ok((request, Entities::from_entities(entities, None)?))
}

fn grant(condition: Condition) -> anyhow::Result<RestrictedExpression> {
    let mut fields = Vec::new();
    if let Some(network) = condition.network {
        fields.push(("network".to_owned(), RestrictedExpression::new_ip(network)));
    }
    if let Some(until) = condition.until {
        let until = RestrictedExpression::new_long(until.as_micros());
        fields.push(("until".to_owned(), until));
    }
    if let Some((from, to)) = condition.hours {
        fields.extend([("from".to_owned(), long(from)), ("to".to_owned(), long(to))]);
    }
    Ok(RestrictedExpression::new_record(fields)?)
}

fn long(number: i32) -> RestrictedExpression {
    RestrictedExpression::new_long(number.into())
}

/// The entity of `user:ann`, or of the group whose set is `group:staff#member`.
fn uid(name: &str) -> anyhow::Result<EntityUid> {
    let (definition, id) = name.split_once(':').context("a name without a kind")?;
    let (id, _) = id.split_once('#').unwrap_or((id, ""));
    Ok(EntityUid::from_type_name_and_id(
        EntityTypeName::from_str(definition)?,
        EntityId::new(id),
    ))
}
