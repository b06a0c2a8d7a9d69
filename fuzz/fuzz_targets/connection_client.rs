//! A client against a server's genuine words, cut up, changed and sealed again under their genuine keys: see `play.rs`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use udtls_fuzz::{
    play::{play, scripts},
    provider::End,
    script::Script,
};

static SCRIPTS: LazyLock<Vec<Script>> = LazyLock::new(|| scripts(End::Server));

fuzz_target!(|data: &[u8]| play(&SCRIPTS, data));
