//! A network for one node, whose cable to the database can be pulled: what is sent then is lost, and nobody is told.
//!
//! The node is in a network namespace with two cables out of it, one to the database and one to its clients. That takes root.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::{Command, Output};

use super::cluster::NODES;

/// A namespace; gone with the value, and its cables with it.
pub(super) struct Network {
    node: usize,
    name: String,
}

/// To where a cable leads.
#[derive(Debug, Clone, Copy)]
enum Cable {
    Database,
    Clients,
}

impl Network {
    /// Whether the machine lets us make networks; says so if not.
    pub(super) fn is_there() -> bool {
        let tried = ip(&format!("netns add {}", name(NODES)));
        let is_there = tried.as_ref().is_ok_and(|tried| tried.status.success());
        if is_there {
            run(&format!("netns del {}", name(NODES)));
        } else {
            // Not by a macro, whose output a test that passes keeps to itself.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: networks that lose what is sent need iproute2, and the right to make network namespaces: {tried:?}"
            );
        }
        is_there
    }

    /// That of a node.
    pub(super) fn new(node: usize) -> Self {
        let name = name(node);
        run(&format!("netns add {name}"));
        let network = Self { node, name };
        run(&format!("-n {} link set lo up", network.name));
        for cable in [Cable::Database, Cable::Clients] {
            network.lay(cable);
        }
        network
    }

    fn lay(&self, cable: Cable) {
        let (name, link) = (&self.name, self.link(cable));
        let [outside, inside] = self.addresses(cable);
        for command in [
            format!("link add {link} type veth peer name {link} netns {name}"),
            format!("addr add {outside}/30 dev {link}"),
            format!("link set {link} up"),
            format!("-n {name} addr add {inside}/30 dev {link}"),
            format!("-n {name} link set {link} up"),
        ] {
            run(&command);
        }
    }

    /// Where the database is to be, for the node.
    pub(super) fn database(&self) -> Ipv4Addr {
        self.addresses(Cable::Database)[0]
    }

    /// Where the node is, for its clients.
    pub(super) fn node(&self) -> Ipv4Addr {
        self.addresses(Cable::Clients)[1]
    }

    /// A program that is to run in this network.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Pulls the cable to the database.
    pub(super) fn pull(&self) {
        // At the far end: the node's own end would tell it that there is no way any more.
        run(&format!("link set {} down", self.link(Cable::Database)));
    }

    /// Plugs it in again, if it was pulled.
    pub(super) fn plug(&self) {
        run(&format!("link set {} up", self.link(Cable::Database)));
    }

    fn link(&self, cable: Cable) -> String {
        format!("{}{}", self.name, cable as usize)
    }

    /// Those of the two ends, outside first: in what is kept for tests of networks.
    fn addresses(&self, cable: Cable) -> [Ipv4Addr; 2] {
        let [.., high, low] = std::process::id().to_be_bytes();
        let first = (self.node * 2 + cable as usize) * 4 + 1;
        let first = u8::try_from(first).unwrap();
        [first, first + 1].map(|last| Ipv4Addr::new(198, 18 | (high & 1), low, last))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // It may not have come to be.
        let _ = ip(&format!("netns del {}", self.name));
    }
}

/// Of its own to this process; that of a link is a letter longer, of 15 at most.
fn name(node: usize) -> String {
    format!("rmt{}n{node}", std::process::id())
}

fn run(arguments: &str) {
    let done = ip(arguments);
    let is_done = done.as_ref().is_ok_and(|done| done.status.success());
    assert!(is_done, "ip {arguments}: {done:?}");
}

fn ip(arguments: &str) -> std::io::Result<Output> {
    Command::new("ip").args(arguments.split(' ')).output()
}
