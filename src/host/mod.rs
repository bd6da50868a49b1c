//! The adapter between proxy-wasm and the core.
