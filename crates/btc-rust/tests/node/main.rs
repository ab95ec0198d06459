//! Tests of the Rust implementation against a scripted node in this process.

mod blocks;
mod broadcast;
mod connect;
mod errors;
mod fees;
mod login;
mod retries;
mod samples;
mod server;
