//! Octets that are allocated, as Rust's allocator sees it. What aws-lc allocates for its contexts is not among them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Counts what is allocated and not given back.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Octets allocated now.
pub fn live() -> usize {
    LIVE.load(Relaxed)
}

/// How often anything was allocated.
pub fn allocations() -> usize {
    ALLOCATIONS.load(Relaxed)
}

/// Octets that a value holds: what its end gives back.
pub fn held<T>(value: T) -> usize {
    let before = live();
    drop(value);
    before - live()
}

/// The most that one association holds of Rust's memory, whatever its peer does. Its parts, as `TransportConfig` has them by
/// default: the next message, as blocks of fragments that take twice its length, and others in the reassembly buffer; early
/// records; what a half-open handshake has otherwise (24 KiB, and a chain of certificates of up to 16 KiB, which is parsed,
/// kept and sent).
pub const MAX_HELD: usize = 2 * (64 << 10) + (64 << 10) + (16 << 10) + (24 << 10) + 3 * (16 << 10);
