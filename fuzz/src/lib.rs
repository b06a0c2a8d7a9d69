//! What the fuzz targets in `fuzz_targets/` share. Everything is deterministic: time is a number, randomness and key
//! exchange come from `provider.rs`, which begins anew with every input.

pub mod input;
pub mod kinds;
pub mod memory;
pub mod play;
pub mod provider;
pub mod script;
pub mod subject;
