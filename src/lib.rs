//! Weir: an AI API gateway that lives inside Envoy.
//!
//! The crate is a library that happens to be run by Envoy. Everything below is pure - it builds and tests natively -
//! except `host`, which exists for Envoy's target alone and turns the proxy-wasm callbacks into events for [`flow`] and
//! its effects into host calls. `docs/architecture.md` is the map.

pub mod account;
pub mod auth;
pub mod cache;
pub mod chat;
pub mod config;
pub mod dialect;
pub mod flow;
pub mod hash;
pub mod history;
pub mod json;
pub mod limit;
pub mod metric;
pub mod redis;
pub mod refusal;
pub mod route;
pub mod store;
pub mod unit;
pub mod vendor;

#[cfg(target_os = "wasi")]
mod host;

#[cfg(all(test, not(target_family = "wasm")))]
pub(crate) use core::prelude::v1::test;
/// The attribute of a test that runs natively and, compiled to wasm, in a JavaScript engine.
#[cfg(all(test, target_family = "wasm"))]
pub(crate) use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(doctest)]
#[doc = include_str!("../docs/adding-a-vendor.md")]
struct AddingAVendor;
