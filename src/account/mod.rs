//! What a request costs: tokens times price.

use crate::unit::PicoUsd;

/// What one token costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Price {
    /// A token of the prompt.
    pub input: PicoUsd,
    /// A token of the prompt that the vendor had in its cache.
    pub cached_input: PicoUsd,
    /// A token of the prompt that the vendor put into its cache.
    pub cache_write: PicoUsd,
    /// A token of the answer, reasoning included.
    pub output: PicoUsd,
}
