//! libFuzzer, pointed at the decoder that the environment variable `DECODER` names.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use weir_fuzz::{DECODERS, Decoder};

static CHOSEN: OnceLock<&Decoder> = OnceLock::new();

fuzz_target!(
    init: {
        let name = std::env::var("DECODER").expect("DECODER names a decoder, one of DECODERS in fuzz/src/lib.rs");
        let decoder = DECODERS.iter().find(|decoder| decoder.name == name);
        let decoder = decoder.unwrap_or_else(|| panic!("no decoder is called {name}"));
        assert!(CHOSEN.set(decoder).is_ok(), "chosen once");
    },
    |bytes: &[u8]| CHOSEN.get().expect("chosen at the start").run(bytes)
);
