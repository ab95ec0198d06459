//! Tests of the Rust implementation against a scripted node in this process.

mod answers;
mod blocks;
mod broadcast;
mod connect;
mod errors;
mod fees;
mod login;
mod retries;
mod samples;
mod server;
