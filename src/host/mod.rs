//! The adapter between proxy-wasm and the core: callbacks become events, effects become host calls.
//!
//! It has no opinion. Only the fallible functions of `hostcalls` are used, with header values as bytes: the SDK's own
//! conveniences panic on a surprise, and a panic here ends every stream of the worker.

#![allow(unsafe_code, reason = "the SDK's entry point macro expands to it")]

mod bell;
mod calls;
mod errands;
mod redis;
mod root;
mod stream;
#[cfg(feature = "trap")]
mod trap;
mod waiting;
mod worker;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
    proxy_wasm::set_root_context(|id| Box::new(root::Root::new(id)));
}}
