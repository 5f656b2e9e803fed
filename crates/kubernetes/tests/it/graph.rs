//! A cluster whose manifests were imported, asked as the webhook asks.

use std::sync::Arc;

use engine::eval::{self, Environment, Query};
use engine::graph::{Change, Snapshot};
use kubernetes::difference;
use kubernetes::id::Cluster;
use kubernetes::import::{self, Desired, Target};
use kubernetes::manifest::Manifests;
use kubernetes::question::{self, Answer, Asked, Verdict};
use kubernetes::review::Review;
use kubernetes::schema::TEXT;
use model::{Decision, Operation, Relationship, RelationshipUpdate, Revision, Timestamp};
use schema::Schema;
use serde_json::{Value, json};
use testkit::oracle;

fn target() -> Target {
    Target {
        cluster: Cluster::default(),
        source: "rbac".to_owned(),
    }
}

/// What manifests come to.
fn desired(manifests: &[Value]) -> Desired {
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": manifests });
    let mut read = Manifests::default();
    read.read("list.json", &list.to_string(), None);
    assert_eq!(read.faults, [], "{list}");
    import::desired(&target(), &read.found).unwrap()
}

/// What was imported.
pub(crate) struct Graph {
    schema: Arc<Schema>,
    rows: Vec<Relationship>,
    snapshot: Snapshot,
    cluster: Cluster,
}

impl Graph {
    /// Imports manifests as JSON, and adds `more` beside them.
    pub(crate) fn of(manifests: &[Value], more: &[&str]) -> Self {
        let mut rows: Vec<Relationship> = desired(manifests).relationships().cloned().collect();
        rows.extend(more.iter().map(|text| text.parse().unwrap()));
        let schema = Arc::new(Schema::compile(TEXT).unwrap());
        let changes: Vec<Change> = rows.iter().cloned().map(Change::Put).collect();
        let snapshot = Snapshot::empty(Arc::clone(&schema));
        let snapshot = snapshot
            .apply(Revision(1), Timestamp::EPOCH, &changes)
            .unwrap();
        Self {
            schema,
            rows,
            snapshot,
            cluster: Cluster::default(),
        }
    }

    /// What an import of `manifests` writes to it.
    pub(crate) fn updates_to(&self, manifests: &[Value]) -> Vec<RelationshipUpdate> {
        let (desired, current) = (desired(manifests), self.rows.clone());
        let found = difference::difference(&target(), &desired, current, true);
        found.unwrap().updates
    }

    /// Writes a commit to it.
    pub(crate) fn write(&mut self, updates: &[RelationshipUpdate]) {
        let changes: Vec<Change> = updates
            .iter()
            .map(|update| match update.operation {
                Operation::Delete => Change::Remove(update.relationship.key()),
                Operation::Touch | Operation::Create => Change::Put(update.relationship.clone()),
            })
            .collect();
        let next = Revision(self.snapshot.revision().0 + 1);
        let written = self.snapshot.apply(next, Timestamp::EPOCH, &changes);
        self.snapshot = written.unwrap();
    }

    fn questions(&self, spec: &Value) -> Vec<Asked> {
        let review = json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec });
        let review = Review::read(review.as_object().unwrap()).unwrap();
        question::questions(&self.cluster, &review).unwrap()
    }

    fn verdict(&self, spec: &Value, decide: impl Fn(&Asked) -> Decision) -> Verdict {
        let asked = self.questions(spec);
        let answers = asked.iter().map(|asked| {
            let answer = match decide(asked) {
                Decision::Allowed => Answer::Yes,
                Decision::Denied => Answer::No,
                Decision::Conditional { missing } => panic!("{missing:?} of {asked:?}"),
            };
            (asked.purpose, answer)
        });
        question::verdict(answers).unwrap()
    }

    /// What the engine says.
    pub(crate) fn ask(&self, spec: &Value) -> Verdict {
        self.verdict(spec, |asked| {
            let query = Query::resolve(
                &self.snapshot,
                &asked.resource,
                asked.permission,
                &asked.subject,
            );
            let environment = Environment {
                context: &asked.context,
                now: Timestamp::EPOCH,
                depth_max: 50,
                edges_visited_max: 10_000_000,
            };
            eval::check(&self.snapshot, &query.unwrap(), environment).unwrap()
        })
    }

    /// What the naive evaluator says.
    pub(crate) fn ask_oracle(&self, spec: &Value) -> Verdict {
        self.verdict(spec, |asked| {
            let question = oracle::Question {
                resource: asked.resource.clone(),
                member: asked.permission.parse().unwrap(),
                subject: asked.subject.clone(),
                context: asked.context.clone(),
                now: Timestamp::EPOCH,
            };
            oracle::check(&self.schema, &self.rows, &question, 50).unwrap()
        })
    }

    /// The graph itself.
    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
}
