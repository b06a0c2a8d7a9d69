//! Connections that had to end, for the application to hear of.
//!
//! It may hear of them elsewhere, by their own events, and never ask here. Those that it has dropped are of no interest, so
//! no more are remembered than there are of the others.

use super::ConnectionHandle;
use crate::connection::{Seat, Standing};
use std::collections::VecDeque;
use std::sync::Arc;

/// The oldest first.
#[derive(Default)]
pub(super) struct Closed {
    queue: VecDeque<(ConnectionHandle, Arc<Seat>)>,
    /// How many were left when those that are of no interest were last forgotten.
    left: usize,
}

impl Closed {
    pub(super) fn push(&mut self, handle: ConnectionHandle, seat: Arc<Seat>) {
        if self.queue.len() >= self.left.saturating_mul(2).max(FEW) {
            self.queue.retain(|(_, seat)| seat.standing() != Standing::Left);
            self.left = self.queue.len();
        }
        self.queue.push_back((handle, seat));
    }

    /// The next one that the application still has.
    pub(super) fn pop(&mut self) -> Option<ConnectionHandle> {
        while let Some((handle, seat)) = self.queue.pop_front() {
            if seat.standing() != Standing::Left {
                return Some(handle);
            }
        }
        None
    }
}

/// So many may be remembered in any case.
const FEW: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{Lease, Order, Places};
    use crate::endpoint::routes::tests::handle;

    fn seat() -> (Arc<Seat>, Lease) {
        let seat = Seat::take(&Arc::<Places>::default(), &Arc::default(), Standing::HalfOpen);
        (Arc::clone(&seat), Lease::Held(seat))
    }

    #[test]
    fn an_application_that_never_asks_costs_nothing() {
        let mut closed = Closed::default();
        let kept: Vec<_> = (0..10).map(|_| seat()).collect();
        for (number, (seat, _)) in (0..).zip(&kept) {
            closed.push(handle(number), Arc::clone(seat));
        }
        for number in 10..10_000 {
            let (seat, lease) = seat();
            seat.revoke(Order::Evicted);
            closed.push(handle(number), seat);
            drop(lease);
            assert!(closed.queue.len() <= FEW + 1, "{}", closed.queue.len());
        }
        let told: Vec<_> = std::iter::from_fn(|| closed.pop()).collect();
        assert_eq!(told, (0..10).map(handle).collect::<Vec<_>>());
    }
}
