//! Who is connected: counts of connections in all and by address, with their limits.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::LimitSettings;
use crate::domain::peer::network;
use crate::measures::Clients;

/// Counts of connections since the start, for those who watch the service.
#[derive(Debug, Default)]
pub struct Connections {
    /// Those that are open now.
    pub open: AtomicU64,
    /// Those that were taken.
    pub accepted: AtomicU64,
    /// Those that were closed at once because there were too many.
    pub refused: AtomicU64,
    /// Those whose handshake failed or took too long.
    pub handshakes_failed: AtomicU64,
    /// Those that were closed after their age, or because they were idle.
    pub retired: AtomicU64,
    /// Those that were cut off, with what was in flight, at the end of their grace.
    pub cut_off: AtomicU64,
    /// Streams that were reset because the client took nothing of the answer.
    pub streams_stalled: AtomicU64,
    by_network: Mutex<HashMap<IpAddr, u64>>,
}

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// There are as many as there may be.
    Service,
    /// There are as many from its address.
    Address,
}

/// The place of an open connection, given back when this is dropped.
pub(super) struct Place {
    connections: Arc<Connections>,
    network: IpAddr,
}

impl Connections {
    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts at the moment.
    pub(super) fn observe(&self) -> Clients {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Clients {
            open: read(&self.open),
            accepted: read(&self.accepted),
            refused: read(&self.refused),
            handshakes_failed: read(&self.handshakes_failed),
            retired: read(&self.retired),
            cut_off: read(&self.cut_off),
            streams_stalled: read(&self.streams_stalled),
        }
    }

    /// Takes a connection in, if there is room for it.
    pub(super) fn admit(self: &Arc<Self>, address: SocketAddr, limits: &LimitSettings) -> Result<Place, Full> {
        let network = network(address.ip());
        let admitted = self.take(network, limits);
        Self::count(if admitted.is_ok() { &self.accepted } else { &self.refused });
        admitted.map(|()| Place { connections: self.clone(), network })
    }

    fn take(&self, network: IpAddr, limits: &LimitSettings) -> Result<(), Full> {
        if self.open.load(Ordering::Relaxed) >= limits.max_connections {
            return Err(Full::Service);
        }
        let mut by_network = self.by_network.lock().unwrap_or_else(PoisonError::into_inner);
        let of_network = by_network.entry(network).or_default();
        if *of_network >= limits.max_connections_per_address {
            return Err(Full::Address);
        }
        *of_network += 1;
        Self::count(&self.open);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
        let mut by_network = self.connections.by_network.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_network) = by_network.get_mut(&self.network) {
            *of_network -= 1;
            if *of_network == 0 {
                by_network.remove(&self.network);
            }
        }
    }
}
