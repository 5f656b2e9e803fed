//! How many connections there may be: in all, and from one address. One more is closed at once, before anything is read of it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The places of one listener, or of several that share them.
#[derive(Debug)]
pub(crate) struct Places {
    all_max: usize,
    /// From one address; none for no such limit. Loopback has none: what is on this machine has one address.
    of_peer_max: Option<usize>,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    of_peers: HashMap<IpAddr, usize>,
}

/// A place, until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    peer: IpAddr,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// There are as many connections as there may be.
    All,
    /// There are as many from that address as there may be.
    OfPeer,
}

impl Places {
    pub(crate) fn new(all_max: usize, of_peer_max: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            all_max,
            of_peer_max,
            taken: Mutex::default(),
        })
    }

    /// A place for a connection from `peer`.
    pub(crate) fn take(self: &Arc<Self>, peer: IpAddr) -> Result<Place, NoPlace> {
        // The same host may come by either family of addresses.
        let peer = peer.to_canonical();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.all_max {
            return Err(NoPlace::All);
        }
        if let Some(max) = self.of_peer_max.filter(|_| !peer.is_loopback()) {
            let of_peer = taken.of_peers.entry(peer).or_default();
            if *of_peer >= max {
                return Err(NoPlace::OfPeer);
            }
            *of_peer += 1;
        }
        taken.all += 1;
        Ok(Place {
            places: Arc::clone(self),
            peer,
        })
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all
    }
}

impl NoPlace {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::All => "too_many",
            Self::OfPeer => "too_many_of_peer",
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let taken = &self.places.taken;
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        if let Some(of_peer) = taken.of_peers.get_mut(&self.peer) {
            *of_peer = of_peer.saturating_sub(1);
            if *of_peer == 0 {
                taken.of_peers.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_a_share_of_the_places_and_gives_them_back() {
        let places = Places::new(3, Some(2));
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        let (one, other) = (at("10.0.0.1"), at("10.0.0.2"));
        let first = places.take(one).unwrap();
        let _second = places.take(at("::ffff:10.0.0.1")).unwrap();
        assert_eq!(places.take(one).unwrap_err(), NoPlace::OfPeer);
        let third = places.take(other).unwrap();
        assert_eq!(places.take(other).unwrap_err(), NoPlace::All);
        drop(first);
        assert!(places.take(one).is_ok());
        drop(third);
        assert_eq!(places.taken(), 1);
        assert!(places.taken.lock().unwrap().of_peers.len() == 1);
    }

    #[test]
    fn what_is_on_this_machine_is_not_told_apart() {
        let places = Places::new(5, Some(1));
        let here = "127.0.0.1".parse().unwrap();
        let held: Vec<_> = (0..5).map(|_| places.take(here).unwrap()).collect();
        assert_eq!(places.take(here).unwrap_err(), NoPlace::All);
        drop(held);
        assert_eq!(places.taken(), 0);
    }
}
