//! Remit's server, an empty call, and the peers that are processes of their own, in turn.

use super::spicedb::{self, SpiceDb};
use super::{Asked, Beside, Peer, Peers, Round, cerbos};
use crate::served::calls::Calls;
use crate::served::load::Load;
use crate::served::target::Target;

/// Questions whose answers are compared before anything is measured.
const COMPARED: usize = 2_000;

const FLOOR: &str = "an empty call: a server on the gRPC library of Remit that reads Remit's requests and answers at once";

/// Measures whichever of them are asked for.
pub(super) async fn measure(peers: &Peers, asked: &Asked) -> anyhow::Result<Vec<Beside>> {
    let is_asked =
        |peer| peers.peer.contains(&peer) && (peer == Peer::Spicedb || peers.bulk.is_none());
    if !is_asked(Peer::Spicedb) && !is_asked(Peer::Cerbos) {
        return Ok(Vec::new());
    }
    let checks_per_call = peers.bulk.unwrap_or(1);
    let (remit, _) = peers.setup.remit(asked.workload.as_ref()).await?;
    let floor = Target::floor().await?;
    let own = peers.load(match peers.bulk {
        None => Calls::checks(&asked.questions),
        Some(size) => Calls::bulk_checks(&asked.questions, size),
    });

    let mut spicedb = None;
    if is_asked(Peer::Spicedb) {
        let workload = asked.workload.as_ref();
        let mut started = SpiceDb::start(workload, &own.calls, peers.spicedb_threads).await?;
        let answers = started
            .answers(COMPARED.div_ceil(checks_per_call.into()))
            .await?;
        asked.agree("SpiceDB", asked.questions.iter(), &answers)?;
        started.run(own.duration).await?;
        spicedb = Some(started);
    }
    let mut cerbos = None;
    if is_asked(Peer::Cerbos) {
        let slices = asked.questions.iter();
        let requests = cerbos::requests(slices.map(|asking| (asking, asked.rows.slice(asking))));
        let started = cerbos::start().await?;
        let answers = cerbos::answers(&started, &requests, COMPARED).await?;
        asked.agree("Cerbos", asked.questions.iter(), &answers)?;
        let load = peers.load(Calls::Cerbos(requests));
        load.run(&started).await?;
        cerbos = Some((started, load));
    }
    own.run(&remit).await?;
    own.run(&floor).await?;

    let [mut of_remit, mut of_floor, mut of_spicedb, mut of_cerbos] = [const { Vec::new() }; 4];
    for _ in 0..peers.setup.rounds {
        of_remit.push(Round::from(own.run(&remit).await?));
        of_floor.push(own.run(&floor).await?.into());
        if let Some(spicedb) = &mut spicedb {
            of_spicedb.push(spicedb.run(own.duration).await?);
        }
        if let Some((cerbos, load)) = &cerbos {
            of_cerbos.push(load.run(cerbos).await?.into());
        }
    }
    let cost = |rounds| super::cost(rounds, checks_per_call);
    let remit = cost(of_remit)?;
    let mut found = vec![asked.beside("empty call", FLOOR, remit, cost(of_floor)?)];
    let others = [
        ("SpiceDB", spicedb::HOW, of_spicedb),
        ("Cerbos", cerbos::HOW, of_cerbos),
    ];
    for (peer, how, rounds) in others {
        if !rounds.is_empty() {
            found.push(Beside {
                compared: COMPARED,
                checks_per_call,
                ..asked.beside(peer, how, remit, cost(rounds)?)
            });
        }
    }
    Ok(found)
}

impl Peers {
    fn load(&self, calls: Calls) -> Load {
        self.setup.load(calls, self.in_flight, None)
    }
}
