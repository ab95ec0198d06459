//! Tests that the decoder in Rust and the one in Python read the same bytes alike.
//!
//! What both accept is equal in every field, and both refuse the same; each liberty of
//! python-bitcoinlib that breaks this rule has a test of its own in `liberties`, which asserts what
//! both do, so that a change on either side is noticed.

mod arbitrary;
mod blocks;
mod encoders;
mod legacy;
mod liberties;
mod transactions;
