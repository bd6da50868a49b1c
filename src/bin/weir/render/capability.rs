//! What the filter may do at all: the calls of Envoy's that it makes, and those of its own that Envoy makes.
//!
//! The module imports more than this, because the library that it is written with names every call there is. What is not
//! here answers "no" to whoever calls it: a fault in the filter, or in what it is made of, can open no stream to anywhere
//! by gRPC, cut nobody's connection and read no metric. `tests/suite/test_capabilities.py` holds the list against the
//! module and against `src/host`.

use serde_json::{Map, Value, json};

/// The restriction, as Envoy is told of it.
pub fn restriction() -> Value {
    let allowed: Map<String, Value> = ALLOWED.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
    json!({"allowed_capabilities": allowed})
}

/// Envoy takes a list without a callback for a filter that does not want it, and lets every request pass.
pub const ALLOWED: &[&str] = &[
    // What Envoy tells the filter.
    "proxy_on_vm_start",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_tick",
    "proxy_on_queue_ready",
    "proxy_on_http_call_response",
    "proxy_on_request_headers",
    "proxy_on_request_body",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_response_body",
    "proxy_on_response_trailers",
    "proxy_on_log",
    "proxy_on_done",
    "proxy_on_delete",
    // Streams.
    "proxy_get_header_map_pairs",
    "proxy_replace_header_map_value",
    "proxy_remove_header_map_value",
    "proxy_get_buffer_bytes",
    "proxy_set_buffer_bytes",
    "proxy_get_property",
    "proxy_set_property",
    "proxy_send_local_response",
    "proxy_continue_stream",
    "proxy_call_foreign_function",
    "proxy_http_call",
    "proxy_set_effective_context",
    "proxy_done",
    // What streams and workers share, and what is told of them.
    "proxy_get_shared_data",
    "proxy_set_shared_data",
    "proxy_register_shared_queue",
    "proxy_enqueue_shared_queue",
    "proxy_dequeue_shared_queue",
    "proxy_set_tick_period_milliseconds",
    "proxy_define_metric",
    "proxy_increment_metric",
    "proxy_record_metric",
    "proxy_log",
    // The standard library: clocks, randomness, and the last words of a panic.
    "clock_time_get",
    "random_get",
    "environ_get",
    "environ_sizes_get",
    "fd_write",
    "proc_exit",
];
