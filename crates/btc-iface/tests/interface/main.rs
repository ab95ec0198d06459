//! Tests of the interface crate through its public names.

mod asynchronous;
mod double;
mod forwarding;
mod names;
mod transaction;
