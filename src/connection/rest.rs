//! What an association that has little to do gives back of its memory.

use super::{Connection, Phase};
use std::sync::Arc;

impl Connection {
    /// Gives back all memory that can be had again: for associations of which nothing is heard for long, in programs with many.
    ///
    /// The contexts of AEAD and record number mask go, which are most of what an association takes, and are built again from
    /// its secrets when the next record comes or goes, which costs as much as some dozens of records. Numbers, replay
    /// windows, key updates, exporters and timers go on as they were; the next ACK lists what comes from now on, and not
    /// again what earlier ones did. It may be called at any time, as often as one likes.
    pub fn hibernate(&mut self) {
        self.records.rest();
        self.acks.forget_history();
        self.give_back();
    }

    /// Forgets the certificates that the peer has shown, and what came with them: from here on
    /// [`Negotiated::peer_certificates`](crate::Negotiated::peer_certificates) is empty. Sessions that the association still
    /// gives, or is given, keep them; an association that waits for tickets does so too. Does nothing before the handshake is
    /// complete.
    pub fn forget_peer_certificates(&mut self) {
        if let Phase::Established(negotiated) = &mut self.phase {
            Arc::make_mut(negotiated).forget_peer();
        }
    }

    /// Gives back what lists hold for more than is in them.
    pub(super) fn give_back(&mut self) {
        self.records.give_back();
        self.outgoing.give_back();
        self.stats.give_back();
        self.events.shrink_to_fit();
        self.acks.give_back();
    }
}
