//! What callers may do: roles, delegation, locks, and what is told to those who may not.

mod attenuation;
mod delegation;
mod leaks;
mod locks;
mod on_behalf;
mod roles;

use std::sync::Arc;

use identity::{Authenticator, Authorization, Caller, Presented, PresharedKeys};
use model::{Operation, RelationshipUpdate, SystemClock, Token};
use ops::write::Write;
use ops::{Error, Node, watch};

use crate::running::{Running, start};

/// Callers with a key of their name.
const NAMES: [&str; 5] = ["root", "ann", "bob", "cat", "dan"];

/// Somebody who was let in by a key.
pub(crate) async fn caller(name: &str) -> Caller {
    let key = format!("{name}:key-of-{name}");
    let keys = Arc::new(PresharedKeys::new([key.as_str()]).unwrap());
    caller_of(&keys, name).await
}

/// Somebody who was let in by one of the keys.
pub(super) async fn caller_of(keys: &Arc<PresharedKeys>, name: &str) -> Caller {
    let clock = Arc::new(SystemClock);
    let authenticator = Authenticator::new(
        Some(Arc::clone(keys)),
        Arc::default(),
        identity::Settings::default(),
        clock,
    );
    let header = format!("Bearer key-of-{name}");
    let presented = Presented {
        authorization: Authorization::One(&header),
        certificate: None,
    };
    authenticator.authenticate(&presented).await.unwrap()
}

/// A node on which `root` is the one administrator.
pub(crate) async fn enforced() -> Running {
    let running = start(watch::Settings::default()).await;
    let root = caller("root").await;
    let made = change(
        &running.node,
        &root,
        &["+remit/system:main#administrator@remit/key:root"],
    );
    made.await.unwrap();
    running
}

/// Commits lines of `+relationship` and `-relationship` as somebody.
pub(crate) async fn change(node: &Node, caller: &Caller, lines: &[&str]) -> Result<Token, Error> {
    let updates = lines.iter().map(|line| {
        let (sign, relationship) = line.split_at(1);
        RelationshipUpdate {
            operation: if sign == "-" {
                Operation::Delete
            } else {
                Operation::Touch
            },
            relationship: relationship.parse().unwrap(),
        }
    });
    let write = Write {
        updates: updates.collect(),
        ..Write::default()
    };
    ops::write::write(node, caller, write).await
}
