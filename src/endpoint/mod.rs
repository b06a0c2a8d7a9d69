//! Floor 6: many peers on one socket. Cookies for those who have none, a place for those who have, and to whom a datagram
//! belongs.

#[cfg_attr(not(test), expect(dead_code, reason = "the listener binds it into cookies"))]
mod source;
mod stats;

pub use source::Source;
pub use stats::{CookieFault, DropReason};
