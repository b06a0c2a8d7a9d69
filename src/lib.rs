//! DTLS 1.2 and DTLS 1.3 for programs that own their event loop: datagrams and the time go in,
//! datagrams, events and the next deadline come out.

#![forbid(unsafe_code)]
// No panic on any input, configuration or order of calls. Test modules may panic.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::todo,
        clippy::unimplemented,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::dbg_macro,
        clippy::disallowed_methods
    )
)]
