//! Casbin in this process: each relationship is a policy or a link of a role, under the model of `bench/peers/casbin.conf`.

use anyhow::Context as _;
use casbin::{CoreApi as _, DefaultModel, Enforcer, MemoryAdapter, MgmtApi as _};

use super::slice::{GROUPS, Rows, SHAPES};
use crate::workload::Question;

pub(crate) const HOW: &str = "2.20 in this process, each relationship a policy or a link of a role, which its matcher goes \
    through one after the other; rows with a condition are left out, as it holds none, with the questions that they \
    decide; against Remit's engine in this process";

/// Which relation gives which permission, each also by way of the lesser ones.
const GIVES: &[(&str, &[&str])] = &[
    ("reader", &["pull"]),
    ("triager", &["pull", "triage"]),
    ("writer", &["pull", "triage", "push"]),
    ("maintainer", &["pull", "triage", "push", "maintain"]),
    (
        "admin",
        &["pull", "triage", "push", "maintain", "administer"],
    ),
    // Of an organisation as of a document or folder: no permission is named alike in two workloads.
    (
        "owner",
        &[
            "pull",
            "triage",
            "push",
            "maintain",
            "administer",
            "edit",
            "view",
        ],
    ),
    ("viewer", &["view"]),
    ("banned", &["view"]),
    ("caller", &["call"]),
    ("operator", &["call"]),
];

/// An enforcer with the rows of a workload in it.
pub(crate) struct Casbin {
    enforcer: Enforcer,
    asked: Vec<[String; 3]>,
}

impl Casbin {
    pub(crate) async fn new<'a>(
        rows: &Rows,
        questions: impl Iterator<Item = &'a Question>,
    ) -> anyhow::Result<Self> {
        let model = DefaultModel::from_str(include_str!("../../peers/casbin.conf")).await?;
        let mut enforcer = Enforcer::new(model, MemoryAdapter::default()).await?;
        let (mut policies, mut groups, mut above) = (Vec::new(), Vec::new(), Vec::new());
        for (set, who) in rows.unconditional() {
            let (object, relation) = set.split_once('#').context("a set without a relation")?;
            let (definition, _) = object.split_once(':').context("an object without a kind")?;
            if GROUPS.contains(&(definition, relation)) {
                groups.push(vec![who.to_owned(), set.to_owned()]);
            } else if SHAPES.iter().any(|shape| shape.above == relation) {
                above.push(vec![object.to_owned(), who.to_owned()]);
            } else if GIVES.iter().any(|(giving, _)| *giving == relation) {
                let effect = if relation == "banned" {
                    "deny"
                } else {
                    "allow"
                };
                policies.push([who, object, relation, effect].map(str::to_owned).to_vec());
            }
        }
        let gives = GIVES.iter().flat_map(|(relation, permissions)| {
            let each = permissions.iter();
            each.map(|permission| vec![(*relation).to_owned(), (*permission).to_owned()])
        });
        enforcer.add_policies(policies).await?;
        enforcer.add_named_grouping_policies("g", groups).await?;
        enforcer.add_named_grouping_policies("g2", above).await?;
        let gives = gives.collect();
        enforcer.add_named_grouping_policies("g3", gives).await?;
        let asked = questions.map(|question| {
            [
                question.subject.to_string(),
                question.resource.to_string(),
                question.permission.to_owned(),
            ]
        });
        Ok(Self {
            enforcer,
            asked: asked.collect(),
        })
    }

    /// The decision on a question by its number.
    pub(crate) fn answer(&self, ix: usize) -> anyhow::Result<bool> {
        let [subject, object, permission] = self.asked.get(ix).context("no such question")?;
        Ok(self
            .enforcer
            .enforce((subject.as_str(), object.as_str(), permission.as_str()))?)
    }
}
