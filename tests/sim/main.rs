//! Two associations, or many, over a network of virtual time: loss, duplication, reordering and noise, from a seed.
//!
//! A failure prints the seed, what the network was told to do and a ladder of every datagram. The environment replays it:
//! `UDTLS_SIM_SEED=7 cargo test --test sim` runs the random scenarios with that seed alone, `UDTLS_SIM_RUNS=1000` runs
//! them with so many seeds, and `UDTLS_DEEP=1` counts out three lost datagrams where it is two otherwise, and more orders.
//! docs/LOSS.md is written by the example `loss_page` (`loss_page.rs`), from these modules. Nothing here reads a clock but
//! for the origin of virtual time, and the provider of cryptography is seeded, so that a run repeats to the byte.

mod attacker;
mod bad_input;
mod chaos;
mod close;
mod crowd;
mod data;
mod door;
mod exchange;
mod failing;
mod failing_parts;
mod failure;
mod keys;
mod kinds;
mod knobs;
mod ladder;
mod loss;
mod many;
mod network;
mod noise;
mod order;
mod pair;
mod patterns;
mod pending;
mod pki;
mod post_handshake;
mod provider;
mod recovery;
mod sessions;
mod tally;
mod timers;
