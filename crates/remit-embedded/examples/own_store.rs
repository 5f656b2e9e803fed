//! An engine with a store of its own: `cargo run -p remit-embedded --example own_store -- memory:`, or `sqlite:PATH` to keep it.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use remit_embedded::{
    Consistency, Context, Decision, Engine, Operation, Place, Question, RelationshipUpdate,
    Resources, Write,
};

const SCHEMA: &str = "
definition user {}
definition team {
  relation member: user | team#member
}
definition document {
  relation owner: user
  relation reader: user | team#member
  permission read = owner + reader
}
";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let place = std::env::args().nth(1);
    let place = place.as_deref().unwrap_or("memory:").parse()?;
    for line in run(place).await? {
        println!("{line}");
    }
    Ok(())
}

/// Writes and asks; what came of it, line by line.
pub(crate) async fn run(place: Place) -> anyhow::Result<Vec<String>> {
    let engine = Engine::open(place).await?;
    engine.write_schema(SCHEMA).await?;
    let rows = [
        "document:plan#owner@user:ann",
        "document:plan#reader@team:design#member",
        "team:design#member@user:bob",
    ];
    let mut updates = Vec::new();
    for row in rows {
        updates.push(RelationshipUpdate {
            operation: Operation::Touch,
            relationship: row.parse()?,
        });
    }
    let write = Write {
        updates,
        ..Write::default()
    };
    let token = engine.write(write).await?;

    // One question, on a snapshot that has the write.
    let mut told = Vec::new();
    let question = Question {
        resource: "document:plan".parse()?,
        permission: "read".to_owned(),
        subject: "user:bob".parse()?,
        context: Context::default(),
    };
    let fresh = Consistency::AtLeastAsFresh(token);
    let answered = engine.check(fresh, &question).await?;
    told.push(format!("may bob read the plan? {:?}", answered.answer));
    let explained = engine.explain(fresh, &question).await?;
    let rests_on = explained.answer.witness.iter().map(ToString::to_string);
    let mut rests_on: Vec<String> = rests_on.collect();
    rests_on.sort();
    told.push(format!("because of {}", rests_on.join(" and ")));

    // Many questions, without a wait between them.
    let pinned = engine.pin()?;
    let plan = "document:plan".parse()?;
    for user in ["user:ann", "user:eve"] {
        let decision = pinned.check(&plan, "read", &user.parse()?, &Context::default())?;
        let may = matches!(decision, Decision::Allowed);
        told.push(format!("{user} may read it: {may}"));
    }

    let asked = Resources {
        definition: "document".parse()?,
        permission: "read".to_owned(),
        subject: "user:bob".parse()?,
        context: Context::default(),
        limit: 0,
        cursor: None,
    };
    let page = engine.look_up_resources(fresh, &asked).await?;
    told.push(format!("bob may read {} document", page.total()));
    page.end()?;
    engine.close().await?;
    Ok(told)
}
