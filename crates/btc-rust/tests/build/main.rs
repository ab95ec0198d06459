//! Tests of the building of transactions: the rules of money, signatures, and a real node's word.

mod node;
mod plan;
mod psbt;
mod request;
mod request_money;
mod samples;
mod signatures;
mod verify;
