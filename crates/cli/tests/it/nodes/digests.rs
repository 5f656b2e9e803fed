//! Whether all nodes have in the end what the database has.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use remit_client::proto::authzed::api::v1::{Consistency, consistency::Requirement};
use remit_client::proto::remit::v1::DigestRequest;
use store::{Digest, PostgresConfig, PostgresStore, Store as _};
use tokio::runtime::Runtime;

use super::clients::connect;
use super::cluster::{NODES, Places, serving};

/// How long it may take until all are at the same revision. What expired is removed now and then.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who has something else than the database, of the same revision.
pub(super) fn differences(runtime: &Runtime, places: &Places, url: &str) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let nodes: Vec<_> = (0..NODES)
            .map(|node| runtime.block_on(of_node(places, node)))
            .collect();
        let store = of_store(url);
        let is_one_revision =
            |(revision, _): &(u64, String)| nodes.iter().flatten().all(|(of, _)| of == revision);
        if nodes.iter().all(Option::is_some) && is_one_revision(&store) {
            let differ = nodes.iter().flatten().enumerate();
            let differ = differ.filter(|(_, of_node)| **of_node != store);
            return differ
                .map(|(node, of_node)| format!("node {node} has {of_node:?}, the store {store:?}"))
                .collect();
        }
        if begun.elapsed() > PATIENCE {
            return vec![format!(
                "no digests of one revision: {nodes:?}, the store {store:?}"
            )];
        }
    }
}

async fn of_node(places: &Places, node: usize) -> Option<(u64, String)> {
    let (_, address) = serving(places, node)?;
    let request = DigestRequest {
        consistency: Some(Consistency {
            requirement: Some(Requirement::FullyConsistent(true)),
        }),
    };
    let answer = connect(address).await?.node().digest(request).await.ok()?;
    let answer = answer.into_inner();
    Some((answer.revision, answer.digest))
}

fn of_store(url: &str) -> (u64, String) {
    let config: PostgresConfig = url.parse().unwrap();
    let store = PostgresStore::open(&config).unwrap();
    let mut digest = Digest::default();
    let scanned = store.scan(&mut |_, row| {
        digest.add_row(&row);
        ControlFlow::Continue(())
    });
    (scanned.unwrap().head.revision.0, digest.to_string())
}
