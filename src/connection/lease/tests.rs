//! Counts go down on every way out, and once.

use super::*;

struct Scene {
    places: Arc<Places>,
    network: Arc<AtomicUsize>,
}

impl Scene {
    fn new() -> Self {
        Self { places: Arc::default(), network: Arc::default() }
    }

    fn take(&self, standing: Standing) -> (Arc<Seat>, Lease) {
        let seat = Seat::take(&self.places, &self.network, standing);
        (Arc::clone(&seat), Lease::Held(seat))
    }

    /// Connections, half-open, in the network, octets.
    fn counts(&self) -> (usize, usize, usize, usize) {
        let Self { places, network } = self;
        (places.connections(), places.half_open(), network.load(SeqCst), places.memory())
    }
}

#[test]
fn every_way_out_gives_the_place_back_once() {
    type Step = fn(&Seat, &Lease);
    let steps: [(&str, Step); 4] = [
        ("established", |_, lease| lease.established()),
        ("over", |_, lease| lease.over()),
        ("evicted", |seat, _| seat.revoke(Order::Evicted)),
        ("replaced", |seat, _| seat.revoke(Order::Replaced)),
    ];
    for (name, first) in steps {
        for (other, second) in steps {
            let scene = Scene::new();
            let (seat, lease) = scene.take(Standing::HalfOpen);
            lease.set_memory(100);
            assert_eq!(scene.counts(), (1, 1, 1, 100));
            first(&seat, &lease);
            let (connections, half_open, network, memory) = scene.counts();
            assert_eq!((connections, half_open, network, memory), (usize::from(name == "established"), 0, 0, 0));
            lease.set_memory(50);
            second(&seat, &lease);
            drop(lease);
            assert_eq!(scene.counts(), (0, 0, 0, 0), "{name}, {other}");
            assert_eq!((seat.standing(), scene.places.left()), (Standing::Left, 1));
        }
    }
}

#[test]
fn our_own_connections_are_never_half_open() {
    let scene = Scene::new();
    let (_, lease) = scene.take(Standing::Established);
    lease.set_memory(100);
    assert_eq!(scene.counts(), (1, 0, 0, 0));
    drop(lease);
    assert_eq!(scene.counts(), (0, 0, 0, 0));
}

#[test]
fn an_order_is_an_error_that_says_why() {
    let scene = Scene::new();
    let (seat, lease) = scene.take(Standing::HalfOpen);
    assert_eq!(lease.order(), None);
    seat.revoke(Order::Evicted);
    assert_eq!(lease.order(), Some(Error::Evicted));
    let (seat, lease) = scene.take(Standing::HalfOpen);
    seat.revoke(Order::Replaced);
    assert_eq!(lease.order(), Some(Error::Replaced));
    assert_eq!(Lease::Uncounted.order(), None);
}

/// A connection may be in another thread than the endpoint.
#[test]
fn memory_is_counted_right_whoever_is_faster() {
    let scene = Scene::new();
    for _ in 0..200 {
        let (seat, lease) = scene.take(Standing::HalfOpen);
        let other = std::thread::spawn(move || {
            (1..50).for_each(|octets| lease.set_memory(octets));
            drop(lease);
        });
        seat.revoke(Order::Evicted);
        other.join().unwrap();
        assert_eq!(scene.counts(), (0, 0, 0, 0));
    }
}
