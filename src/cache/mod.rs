//! Answers that are kept, so that the same question need not be asked twice.

pub mod l1;
